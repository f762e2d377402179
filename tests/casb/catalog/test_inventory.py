from dataclasses import replace

import pytest

from casb.catalog.inventory import Local, Override, alternatives, build, own_hosts, tag_list
from casb.catalog.known import CUSTOM_TAG, Origin, Source
from casb.catalog.metrics import Band
from casb.catalog.overlay import NOTHING, Overlay, with_facts
from casb.catalog.tagging import Profile, TagState
from casb.model.app import App, AppTag
from casb.settings import Provider, Settings, Sidecar
from catalog_support import DAY, app, fact, inventory, known

BOX = app("box", "box.com", "*.box.com", saml=True, soc_2=True)
DROPBOX = app("dropbox", "dropbox.com", "*.dropbox.com", saml=False)
PAPER = app("paper", "paper.dropbox.com")
CRM = app("crm", "crm.example", category="crm")


def test_override_then_declared_then_computed() -> None:
    local = Local(overrides={"box": Override(score=2, note="why", by="ada", at="now")})
    configured = [App(id="dropbox", name="D", domains=("dropbox.com",), risk_score=9)]
    found = inventory(BOX, DROPBOX, CRM, local=local, configured=configured)
    scores = {entry.id: (entry.score, entry.computed.rounded, found.band(entry)) for entry in found}
    assert scores == {
        "box": (2, 10, Band.HIGH),
        "dropbox": (9, 0, Band.LOW),
        "crm": (None, None, Band.UNSCORED),
    }
    assert inventory(BOX).entries["box"].score == 10, "removing the override restores the computed score"


def test_a_configured_app_is_found_in_the_catalog_by_id_or_domain() -> None:
    configured = [
        App(id="box", name="Our Box", domains=("box.contoso.example",)),
        App(id="files", name="Files", domains=("www.dropbox.com",)),
        App(id="payroll", name="Payroll", domains=("payroll.contoso.example",), category="human_resource_management"),
    ]
    found = inventory(BOX, DROPBOX, configured=configured)
    assert found.aliases == {"box": "box", "files": "dropbox", "payroll": "payroll"}
    dropbox = found.get("files")
    assert dropbox is not None
    assert (dropbox.id, dropbox.configured, dropbox.controlled) == ("dropbox", ("files",), True)
    matched = found.match("box.contoso.example")
    assert matched is not None
    assert matched.id == "box"
    assert found.entries["payroll"].app.origin is Origin.CONFIGURED
    assert found.entries["payroll"].app.category == "human_resource_management"


def test_custom_before_catalog_and_overlays_before_what_ships() -> None:
    custom = replace(app("ours", "*.dropbox.com"), origin=Origin.CUSTOM, fixed_score=7)
    local = Local(added={"ours": custom}, overlays={"box": Overlay(add_domains=("crm.example",))})
    found = inventory(BOX, DROPBOX, PAPER, CRM, local=local)
    owners = {
        host: entry.id for host in ("paper.dropbox.com", "dropbox.com", "crm.example") if (entry := found.match(host))
    }
    assert owners == {"paper.dropbox.com": "ours", "dropbox.com": "dropbox", "crm.example": "box"}
    assert found.entries["ours"].tags == {CUSTOM_TAG}
    assert found.entries["ours"].score == 7


def test_tags_are_words() -> None:
    local = Local(states={"box": TagState(tag=AppTag.MONITORED, custom=frozenset({"Finance"}))})
    assert inventory(BOX, local=local).entries["box"].tags == {"monitored", "Finance"}


def test_the_list_for_enforcement() -> None:
    local = Local(
        version=4,
        states={
            "dropbox": TagState(tag=AppTag.UNSANCTIONED, profile="sales"),
            "box": TagState(tag=AppTag.SANCTIONED),
            "crm": TagState(tag=AppTag.MONITORED),
        },
        profiles={"sales": Profile(name="sales", include=frozenset({"s"}))},
    )
    found = tag_list(inventory(BOX, DROPBOX, PAPER, CRM, local=local, own=["casb.example"]))
    assert (found.version, found.protected[0]) == (4, "casb.example")
    by_id = {each.id: each for each in found.apps}
    assert set(by_id) == {"dropbox", "crm", "paper"}
    assert by_id["dropbox"].alternatives == (("box", "Box"),)
    assert by_id["dropbox"].profile == Profile(name="sales", include=frozenset({"s"}))
    assert (by_id["paper"].tag, by_id["paper"].domains) == (AppTag.NONE, ("paper.dropbox.com",))


def test_a_domain_that_was_taken_over_is_not_blocked_with_its_old_owner() -> None:
    custom = replace(app("ours", "dropbox.com"), origin=Origin.CUSTOM, fixed_score=7)
    local = Local(added={"ours": custom}, states={"dropbox": TagState(tag=AppTag.UNSANCTIONED)})
    (blocked, *_) = tag_list(inventory(DROPBOX, local=local)).apps
    assert blocked.domains == ("*.dropbox.com",)


def test_alternatives() -> None:
    local = Local(states={"paper": TagState(tag=AppTag.SANCTIONED), "evil": TagState(tag=AppTag.UNSANCTIONED)})
    found = inventory(BOX, DROPBOX, PAPER, CRM, app("evil", "evil.example", saml=True), local=local)
    assert [entry.id for entry in alternatives(found, "dropbox")] == ["paper", "box"]
    with_saml = alternatives(found, "dropbox", lambda entry: entry.app.value("saml") is True)
    assert [entry.id for entry in with_saml] == ["box"]
    assert alternatives(found, "nobody") == []


def test_own_hosts() -> None:
    settings = Settings(
        suffix="casb.example",
        sidecar=Sidecar(public_url="https://portal.example:8443/x", url="http://127.0.0.1:8090"),
        providers=(
            Provider(id="e", kind="entra", authority="https://login.microsoftonline.com/t/v2.0"),
            Provider(id="o", authority="https://id.example:444", hosts=("keys.example:444",)),
        ),
    )
    found = own_hosts(settings)
    assert found[:4] == ("casb.example", "*.casb.example", "portal.example", "login.microsoftonline.com")
    assert {"id.example", "keys.example", "login.windows.net"} <= set(found)
    assert not any("127" in each for each in found)


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    many = [app(f"a{number}", f"a{number}.example") for number in range(2500)]
    build(known(*many), Local(), DAY, progress=lambda done, of: told.append((done, of)))
    assert told == [(1000, 2500), (2000, 2500), (2500, 2500)]


def test_facts_of_overlays_are_scored() -> None:
    overlay = with_facts(NOTHING, {"saml": fact("saml", True, Source.OPERATOR)})
    assert inventory(DROPBOX, local=Local(overlays={"dropbox": overlay})).entries["dropbox"].score == 10


@pytest.mark.parametrize("ident", ["gone", "also-gone"])
def test_an_overlay_of_an_app_that_an_upgrade_dropped_waits(ident: str) -> None:
    local = Local(overlays={ident: Overlay(name="x", add_domains=("box.com",))}, states={ident: TagState()})
    matched = inventory(BOX, local=local).match("box.com")
    assert matched is not None
    assert matched.id == "box"
