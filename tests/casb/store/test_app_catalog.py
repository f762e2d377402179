"""The catalog of a deployment: every change, its refusals, its audit line, and what is put in force."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from casb.catalog.importing import What, plan
from casb.catalog.known import CUSTOM_TAG, KnownApps, Source
from casb.catalog.metrics import DEFAULTS, Metrics, Weight
from casb.catalog.tables import read_rows
from casb.catalog.tagging import Profile, TagList
from casb.errors import CatalogError, Problems
from casb.model.app import App, AppTag
from casb.settings import Settings
from casb.store import tag_file
from casb.store.app_catalog import AppCatalog
from casb.store.catalog_sqlite import Actor
from casb.store.portal_sqlite import PortalStore
from casb.store.records_sqlite import Database
from catalog_support import NOW, app, known

ADA = Actor(who="ada", ip="192.0.2.1")
POLICY = Actor(who="policy block-new-storage")
SHIPPED = known(
    app("box", "box.com", "*.box.com", saml=True, soc_2=True),
    app("dropbox", "dropbox.com", "*.dropbox.com", saml=False),
    app("paper", "paper.dropbox.com"),
    app("idp", "login.example", category="security"),
    app("crm", "crm.example", category="crm", hipaa="n/a", saml=True),
)


class World:
    """A data folder, a clock and the apps of apps/*.yaml."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = NOW
        self.configured: list[App] = []
        self.database = Database(folder / "casb.db")
        self.portal = PortalStore(self.database)
        self.catalog = self.open(SHIPPED)

    def open(self, shipped: KnownApps) -> AppCatalog:
        settings = Settings(suffix="casb.example", data=str(self.folder))
        return AppCatalog(self.database, shipped, settings, self.clock, lambda: tuple(self.configured))

    def clock(self) -> datetime:
        return self.now

    def audit(self) -> list[tuple[str, str]]:
        return [(entry.who, entry.what) for entry in self.portal.audit()]

    def blocked(self, host: str) -> bool:
        from casb.catalog.tagging import index_of

        found = index_of(tag_file.read(self.folder / tag_file.FILE)).match(host)
        return found is not None and found.tag is AppTag.UNSANCTIONED


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.database.close()


def test_a_tag_is_set_audited_and_put_in_force(world: World) -> None:
    assert not (world.folder / tag_file.FILE).exists()
    (entry,) = world.catalog.tag(["dropbox"], AppTag.UNSANCTIONED, ADA, why="leaks")
    assert (entry.tag, entry.state.by, entry.state.at) == (AppTag.UNSANCTIONED, "ada", "2026-03-02T12:00:00.000Z")
    assert world.blocked("www.dropbox.com")
    assert not world.blocked("paper.dropbox.com"), "another app's"
    line = world.portal.audit()[0]
    assert (line.who, line.ip, line.what) == ("ada", "192.0.2.1", "tagged app")
    assert line.detail == {"app": "dropbox", "tag": "unsanctioned", "before": "none", "why": "leaks"}
    world.catalog.tag(["dropbox"], AppTag.NONE, ADA)
    assert not world.blocked("www.dropbox.com")


def test_the_last_writer_wins_and_both_are_audited(world: World) -> None:
    world.catalog.tag(["dropbox"], AppTag.UNSANCTIONED, POLICY)
    world.catalog.tag(["dropbox"], AppTag.SANCTIONED, ADA)
    assert world.catalog.entry("dropbox").tags == {"sanctioned"}, "they exclude each other"
    assert world.audit()[:2] == [("ada", "tagged app"), ("policy block-new-storage", "tagged app")]
    world.catalog.tag(["dropbox"], AppTag.UNSANCTIONED, POLICY)
    assert world.catalog.entry("dropbox").tag is AppTag.UNSANCTIONED, "a policy can flip what was set by hand"


def test_a_protected_app_keeps_its_tag(world: World) -> None:
    world.catalog.protect("login.example", ADA)
    world.catalog.tag(["idp"], AppTag.MONITORED, ADA)
    before = world.audit()
    with pytest.raises(Problems, match=r"C223 'idp' cannot be unsanctioned: login\.example"):
        world.catalog.tag(["dropbox", "idp"], AppTag.UNSANCTIONED, ADA)
    assert world.catalog.entry("idp").tag is AppTag.MONITORED
    assert world.catalog.entry("dropbox").tag is AppTag.NONE, "all or none"
    assert world.audit() == before
    world.catalog.protect("login.example", ADA, on=False)
    world.catalog.tag(["idp"], AppTag.UNSANCTIONED, ADA)
    assert world.blocked("login.example")
    world.catalog.protect("login.example", ADA)
    assert not world.blocked("login.example"), "a protected host is not blocked, whatever its app's tag"


def test_the_deployments_own_hosts_stay_protected(world: World) -> None:
    with pytest.raises(CatalogError, match="C223"):
        world.catalog.protect("*.casb.example", ADA, on=False)
    for wrong in ("*.com", "a b", "x.example/path"):
        with pytest.raises(CatalogError, match="C224"):
            world.catalog.protect(wrong, ADA)


def test_configured_apps_become_sanctioned(world: World) -> None:
    world.catalog.tag(["box"], AppTag.UNSANCTIONED, ADA)
    world.configured = [
        App(id="ourbox", name="Box", domains=("app.box.com",)),
        App(id="own", name="O", domains=("o.test",)),
    ]
    assert world.catalog.sync_configured() == []
    assert world.catalog.entry("box").tags == {"sanctioned"}, "onboarding came last"
    assert world.catalog.entry("own").tag is AppTag.SANCTIONED
    assert ("configuration", "tagged app") in world.audit()
    world.catalog.tag(["box"], AppTag.MONITORED, ADA)
    world.catalog.sync_configured()
    assert world.catalog.entry("box").tag is AppTag.MONITORED, "a later tag by hand wins"
    world.configured = [App(id="ourbox", name="Box", domains=("app.box.com",), tag=AppTag.UNSANCTIONED)]
    world.catalog.protect("app.box.com", ADA)
    (refused,) = world.catalog.sync_configured()
    assert refused.code == "C223"
    assert world.catalog.entry("box").tag is AppTag.MONITORED
    assert world.catalog.sync_configured() == [], "told once an edit"


def test_custom_tags(world: World) -> None:
    assert world.catalog.create_tag(" Finance  apps ", ADA, "for finance") == "Finance apps"
    world.catalog.add_tags(["box", "crm"], ["finance APPS"], ADA)
    world.catalog.tag(["box"], AppTag.SANCTIONED, ADA)
    assert world.catalog.entry("box").tags == {"sanctioned", "Finance apps"}, "they add up"
    with pytest.raises(CatalogError, match="C227 2 apps"):
        world.catalog.delete_tag("Finance apps", ADA)
    world.catalog.drop_tags(["box"], ["Finance apps"], ADA)
    world.catalog.delete_tag("Finance apps", ADA, everywhere=True)
    assert world.catalog.entry("crm").tags == frozenset()
    for act in (
        lambda: world.catalog.add_tags(["box"], ["Finance apps"], ADA),
        lambda: world.catalog.add_tags(["box"], ["sanctioned"], ADA),
        lambda: world.catalog.drop_tags(["box"], [CUSTOM_TAG], ADA),
        lambda: world.catalog.create_tag("Monitored", ADA),
    ):
        with pytest.raises(CatalogError, match="C222"):
            act()


def test_profiles_are_bound_to_tags(world: World) -> None:
    world.catalog.save_profile(Profile(name="sales", include=frozenset({"s"}), exclude=frozenset({"x"})), ADA)
    world.catalog.tag(["dropbox"], AppTag.UNSANCTIONED, ADA, profile="sales")
    (blocked, _) = world.catalog.effective_tags().apps
    assert blocked.profile == Profile(name="sales", include=frozenset({"s"}), exclude=frozenset({"x"}))
    with pytest.raises(CatalogError, match="C227"):
        world.catalog.delete_profile("sales", ADA)
    world.catalog.tag(["dropbox"], AppTag.NONE, ADA, profile="sales")
    world.catalog.delete_profile("sales", ADA)
    with pytest.raises(CatalogError, match="C222"):
        world.catalog.tag(["dropbox"], AppTag.UNSANCTIONED, ADA, profile="sales")


def test_overrides(world: World) -> None:
    computed = world.catalog.entry("box").score
    entry = world.catalog.override("box", 2, "breached", ADA)
    assert (entry.score, entry.computed.rounded) == (2, computed)
    world.catalog.recalculate(ADA)
    assert world.catalog.entry("box").score == 2, "survives recalculation"
    assert world.catalog.override("box", None, "", ADA).score == computed
    for wrong in (11, -1, True):
        with pytest.raises(CatalogError, match="C229"):
            world.catalog.override("box", wrong, "", ADA)


def test_notes(world: World) -> None:
    world.catalog.add_note("box", " ask legal ", ADA)
    (note,) = world.catalog.notes("box")
    assert (note.text, note.by, note.at) == ("ask legal", "ada", NOW)
    assert world.catalog.entry("box").notes == 1
    assert world.catalog.delete_note(note.seq, ADA)
    assert not world.catalog.delete_note(note.seq, ADA)
    for wrong in ("", " ", "x" * 2001):
        with pytest.raises(CatalogError, match="C229"):
            world.catalog.add_note("box", wrong, ADA)


def test_what_was_edited_survives_an_upgrade(world: World) -> None:
    world.catalog.edit("box", {"business_unit": "Sales", "add_domains": ["box.contoso.example"]}, ADA)
    world.catalog.set_facts("box", {"soc_3": True, "saml": False}, ADA, evidence="https://x.example/")
    world.catalog.tag(["box"], AppTag.SANCTIONED, ADA)
    upgraded = world.open(known(app("box", "box.com", "box.net", saml=True, iso_27001=True)))
    entry = upgraded.entry("box")
    assert entry.app.domains == ("box.com", "box.net", "box.contoso.example")
    assert (entry.app.business_unit, entry.tag) == ("Sales", AppTag.SANCTIONED)
    assert {name: entry.app.value(name) for name in ("saml", "soc_3", "iso_27001")} == {
        "saml": False,
        "soc_3": True,
        "iso_27001": True,
    }
    fact = entry.app.facts["soc_3"]
    assert (fact.source, fact.by, fact.evidence) == (Source.OPERATOR, "ada", "https://x.example/")
    assert world.catalog.drop_fact("box", "saml", ADA).app.value("saml") is True


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"add_domains": ["dropbox.com"]}, "C225"),
        ({"add_domains": ["*"]}, "C224"),
        ({"add_addresses": ["x"]}, "C224"),
        ({"category": "krm"}, "C224"),
        ({"colour": "red"}, "C224"),
        ({"name": "x" * 501}, "C224"),
    ],
)
def test_edits_that_are_refused(world: World, changes: dict[str, Any], code: str) -> None:
    version = world.catalog.store.version()
    with pytest.raises((CatalogError, Problems), match=code):
        world.catalog.edit("box", changes, ADA)
    assert world.catalog.store.version() == version


def test_custom_apps(world: World) -> None:
    values: dict[str, Any] = {"name": "Box", "category": "crm", "domains": ["crm.contoso.example"], "score": 6}
    entry = world.catalog.save_custom(values, ADA)
    assert (entry.id, entry.score, set(entry.tags)) == ("box-2", 6, {CUSTOM_TAG})
    changed = world.catalog.save_custom({**values, "score": 3}, ADA, ident="box-2")
    assert changed.score == 3
    with pytest.raises(Problems, match="C225"):
        world.catalog.save_custom({**values, "name": "Other"}, ADA, take_over=True)
    with pytest.raises(Problems, match=r"C225 'www\.dropbox\.com' overlaps"):
        world.catalog.save_custom({**values, "name": "Other", "domains": ["www.dropbox.com"]}, ADA)
    with pytest.raises(Problems, match="C225"):
        world.catalog.save_custom({**values, "name": "Other", "domains": ["*.dropbox.com"]}, ADA)
    world.catalog.save_custom({**values, "name": "Other", "domains": ["www.dropbox.com"]}, ADA, take_over=True)
    matched = world.catalog.inventory().match("www.dropbox.com")
    assert matched is not None
    assert matched.id == "other"
    with pytest.raises(CatalogError, match="C224"):
        world.catalog.save_custom(values, ADA, ident="dropbox")
    world.catalog.delete_added("other", ADA)
    with pytest.raises(CatalogError, match="C221"):
        world.catalog.entry("other")
    with pytest.raises(CatalogError, match="C224"):
        world.catalog.delete_added("box", ADA)


def test_networks_of_custom_apps_overlap_too(world: World) -> None:
    values = {"name": "One", "category": "crm", "domains": ["one.test"], "addresses": ["10.1.0.0/16"], "score": 1}
    world.catalog.save_custom(values, ADA)
    with pytest.raises(Problems, match=r"'10\.1\.2\.0/24' overlaps with 10\.1\.0\.0/16 of 'one'"):
        world.catalog.save_custom({**values, "name": "Two", "domains": ["two.test"], "addresses": ["10.1.2.0/24"]}, ADA)


def test_suggestions(world: World) -> None:
    first = world.catalog.suggest("new_app", "please", ADA, name="Acme", domain="Acme.example", contact=True)
    second = world.catalog.suggest("score_update", "they have SOC 3", ADA, ident="box")
    queue = world.catalog.suggestions()
    assert [(each.seq, each.kind, each.app, each.name, each.state) for each in queue] == [
        (second, "score_update", "box", "Box", "open"),
        (first, "new_app", None, "Acme", "open"),
    ]
    assert (queue[1].domain, queue[1].contact) == ("acme.example", True)
    world.catalog.decide(first, "rejected", POLICY, "no")
    assert [each.seq for each in world.catalog.suggestions("open")] == [second]
    (decided,) = world.catalog.suggestions("rejected")
    assert (decided.answer, decided.decided_by, decided.decided_at) == ("no", POLICY.who, NOW)
    for act in (
        lambda: world.catalog.suggest("praise", "x", ADA, ident="box"),
        lambda: world.catalog.suggest("new_app", "x", ADA, name="A"),
        lambda: world.catalog.suggest("new_app", "x", ADA, name="A", domain="*.com"),
        lambda: world.catalog.decide(99, "done", ADA),
        lambda: world.catalog.decide(first, "lost", ADA),
    ):
        with pytest.raises(CatalogError, match="C228"):
            act()
    with pytest.raises(CatalogError, match="C221"):
        world.catalog.suggest("new_factor", "x", ADA, ident="nobody")


def test_a_recalculation_is_a_task_with_progress_and_the_number_of_changes(world: World) -> None:
    told: list[tuple[int, int]] = []
    first = world.catalog.recalculate(ADA, progress=lambda done, of: told.append((done, of)))
    assert (first.state, first.total, first.done, first.changed) == ("done", 5, 5, 5)
    assert told == [(5, 5)]
    assert world.catalog.recalculate(ADA).changed == 0
    strict = Metrics(factors={"hipaa": Weight(exclude_na=False)}, families=DEFAULTS.families)
    second = world.catalog.recalculate(ADA, strict)
    assert second.changed == 1, "only the app that has n/a there"
    assert world.catalog.inventory().metrics.version == strict.version
    assert [task.seq for task in world.catalog.tasks()] == [3, 2, 1]
    assert {what for _, what in world.audit()} >= {
        "started task: recalculate scores",
        "task done: recalculate scores",
        "changed score metrics",
    }


def test_a_recalculation_that_fails_is_in_the_log(world: World) -> None:
    def broken(done: int, of: int) -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        world.catalog.recalculate(ADA, progress=broken)
    assert [(task.state, task.message) for task in world.catalog.tasks()] == [("failed", "OSError")]


def test_scores_age_with_the_day(world: World) -> None:
    young = world.open(known(app("new", "new.example", founded=2026)))
    assert young.entry("new").computed.total == 0
    world.now += timedelta(days=3 * 366)
    assert young.entry("new").computed.total == 5


def test_an_import_is_carried_out_whole_with_one_audit_line(world: World) -> None:
    text = b"id,name,category,domains,soc_2,tag\nnew,New,crm,new.example,yes,unsanctioned\nbox,,,,no,\n"
    rows = read_rows(text, "t", "csv")
    found = plan(rows, world.catalog.inventory(), {}, What.APPS, by="ada", at="2026-03-02T00:00:00Z")
    world.catalog.carry_out(found, ADA, what="imported apps")
    assert world.catalog.entry("new").tag is AppTag.UNSANCTIONED
    assert world.blocked("new.example")
    assert world.catalog.entry("box").app.value("soc_2") is False
    assert world.audit()[:2] == [("ada", "imported apps"), ("ada", "tagged app")]
    again = plan(rows, world.catalog.inventory(), world.catalog.store.local().overlays, by="x", at="y")
    assert again.empty
    wrong = plan(read_rows(b"id,soc_2\nbox,maybe\n", "t", "csv"), world.catalog.inventory(), {}, by="x", at="y")
    with pytest.raises(Problems, match="C226"):
        world.catalog.carry_out(wrong, ADA, what="x")


def test_unknown_apps_are_told_with_a_guess(world: World) -> None:
    with pytest.raises(CatalogError, match=r"C221 there is no app 'dropbx'; did you mean 'dropbox'\?"):
        world.catalog.tag(["dropbx"], AppTag.NONE, ADA)


def test_an_older_list_never_replaces_a_newer_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else changes and publishes between our making a list and our putting it in force."""
    second_database = Database(world.folder / "casb.db")
    other = AppCatalog(second_database, SHIPPED, Settings(suffix="casb.example", data=str(world.folder)), world.clock)
    make, lists = world.catalog.effective_tags, []

    def overtaken() -> TagList:
        lists.append(make())
        if len(lists) == 1:
            other.tag(["dropbox"], AppTag.UNSANCTIONED, POLICY)
        return lists[-1]

    monkeypatch.setattr(world.catalog, "effective_tags", overtaken)
    world.catalog.tag(["box"], AppTag.UNSANCTIONED, ADA)
    second_database.close()
    assert len(lists) == 2
    assert world.blocked("box.com")
    assert world.blocked("dropbox.com")


def test_two_processes_publish_in_turn(world: World) -> None:
    """The file always ends as the last change left it, though both publish at once."""
    second_database = Database(world.folder / "casb.db")
    settings = Settings(suffix="casb.example", data=str(world.folder))
    other = AppCatalog(second_database, SHIPPED, settings, world.clock)

    def flip(catalog: AppCatalog, ident: str) -> None:
        for tag in [AppTag.UNSANCTIONED, AppTag.NONE] * 5 + [AppTag.UNSANCTIONED]:
            catalog.tag([ident], tag, ADA)

    threads = [threading.Thread(target=flip, args=pair) for pair in ((world.catalog, "box"), (other, "dropbox"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    second_database.close()
    assert world.blocked("box.com")
    assert world.blocked("dropbox.com")
    assert tag_file.read(world.folder / tag_file.FILE).version == world.catalog.store.version()
