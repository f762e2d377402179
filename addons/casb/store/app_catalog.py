"""The app catalog of a deployment: what is known, what was said here, and every change that may be made to it.

Each change is checked, kept and audited in one transaction, and then put in force for those who enforce tags. Sidecar,
commands and policies all come through here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from casb.catalog.custom import Owner, check_domains, check_networks, is_id, read_custom, slug
from casb.catalog.domains import parse_pattern
from casb.catalog.factors import CATEGORIES, FACTORS
from casb.catalog.importing import Plan
from casb.catalog.inventory import Entry, Inventory, Local, build, own_hosts, tag_list
from casb.catalog.known import Fact, KnownApps, Origin, Source, parse_value
from casb.catalog.metrics import Metrics
from casb.catalog.overlay import with_facts, without_fact
from casb.catalog.tagging import RESERVED_TAGS, Profile, TagList, check_tag_name
from casb.errors import CatalogError, Problems
from casb.model.app import App, AppTag
from casb.model.network import Network, parse_network
from casb.model.record import rfc3339
from casb.ports import Clock
from casb.settings import Settings
from casb.store import tag_file
from casb.store.catalog_files import load_shipped
from casb.store.catalog_sqlite import Actor, CatalogStore, Note, Suggestion, Task
from casb.store.records_sqlite import Database
from casb.yamlfile import did_you_mean

SUGGESTIONS = ("new_app", "score_update", "new_factor", "update_data")
STATES = ("open", "accepted", "rejected", "done")
CONFIGURATION = Actor(who="configuration")

_LONGEST_NOTE = 2000
_PUBLISHING = 5  # attempts, while others change things meanwhile


class AppCatalog:
    """All of it. Usable from several threads and beside other processes on the same database.

    `configured` gives the apps of apps/*.yaml as they are now. Methods raise `StoreError` when the database is away
    and `CatalogError` (or `Problems` with several) when a change is refused; then nothing was changed.
    """

    def __init__(
        self,
        database: Database,
        known: KnownApps,
        settings: Settings,
        clock: Clock,
        configured: Callable[[], Iterable[App]] = tuple,
    ) -> None:
        self.store = CatalogStore(database)
        self.known = known
        self._settings = settings
        self._own = own_hosts(settings)
        self._clock = clock
        self._configured = configured
        self._lock = threading.Lock()
        self._made: tuple[Any, Inventory] | None = None

    @classmethod
    def open(
        cls, database: Database, settings: Settings, clock: Clock, configured: Callable[[], Iterable[App]] = tuple
    ) -> AppCatalog:
        """With the shipped catalog, whose compiled form is kept in the data folder."""
        return cls(database, load_shipped(Path(settings.data) / "cache"), settings, clock, configured)

    # Reading

    def inventory(self) -> Inventory:
        """The catalog as it is now; made anew when something changed, and every day, for scores age."""
        apps = tuple(self._configured())
        with self._lock:
            key = (self.store.version(), self._clock().date(), apps)
            if self._made is None or self._made[0] != key:
                local = self.store.local()
                before = self._made[1] if self._made else None
                made = build(self.known, local, key[1], configured=apps, own=self._own, before=before)
                self._made = ((local.version, key[1], apps), made)
            return self._made[1]

    def entry(self, ident: str) -> Entry:
        """One app. Raises `CatalogError` C221."""
        inventory = self.inventory()
        found = inventory.get(ident)
        if found is None:
            raise CatalogError("C221", f"there is no app '{ident}'", None, did_you_mean(ident, inventory.entries))
        return found

    def effective_tags(self) -> TagList:
        """What enforcement must know now: see `TagList`."""
        return tag_list(self.inventory())

    def notes(self, ident: str) -> list[Note]:
        """An app's notes, the newest first."""
        return self.store.notes(self.entry(ident).id)

    def suggestions(self, state: str | None = None) -> list[Suggestion]:
        """The queue, the newest first."""
        return self.store.suggestions(state)

    def tasks(self) -> list[Task]:
        """Recalculations and the like, the newest first."""
        return self.store.tasks()

    # Tags

    def publish(self) -> Path:
        """Put the present tags in force for the proxies; where the file is."""
        data = Path(self._settings.data)
        for _ in range(_PUBLISHING):
            tags = self.effective_tags()
            with self.store.alone() as version:
                # Only the newest may be put there, or two who publish at once could leave the older one.
                if version == tags.version:
                    return tag_file.publish(data, tags)
        return data / tag_file.FILE  # Somebody else is changing all the time, and publishes too.

    def tag(
        self, idents: Iterable[str], tag: AppTag, actor: Actor, *, profile: str | None = None, why: str = ""
    ) -> list[Entry]:
        """Set sanctioned, unsanctioned, monitored or none on some apps, all or none of them; what they are now.

        The last one to set a tag wins, whoever it is. Raises C221, C222 for an unknown profile, C223 for a protected
        app that would be unsanctioned. `why` is written into the audit log.
        """
        entries = [self.entry(ident) for ident in dict.fromkeys(idents)]
        self._refuse_protected(entries, tag)
        if profile is not None and profile not in self.store.local().profiles:
            raise CatalogError("C222", f"there is no profile '{profile}'")
        with self.store.changing(actor, self._clock()) as change:
            for entry in entries:
                change.set_tag(entry.id, tag, profile if tag is not AppTag.NONE else None, why)
        self.publish()
        return [self.entry(entry.id) for entry in entries]

    def _refuse_protected(self, entries: Iterable[Entry], tag: AppTag) -> None:
        if tag is not AppTag.UNSANCTIONED:
            return
        refused = [entry for entry in entries if entry.protected]
        if refused:
            raise Problems(
                [
                    CatalogError(
                        "C223",
                        f"'{entry.id}' cannot be unsanctioned: {entry.protected} belongs to it, which is protected",
                        None,
                        "its tag is unchanged",
                    )
                    for entry in refused
                ]
            )

    def add_tags(self, idents: Iterable[str], tags: Iterable[str], actor: Actor) -> None:
        """Put custom tags on apps. Raises C221, and C222 for tags that do not exist."""
        entries = [self.entry(ident) for ident in dict.fromkeys(idents)]
        names = [self._custom_tag(tag) for tag in tags]
        with self.store.changing(actor, self._clock()) as change:
            for entry in entries:
                for name in names:
                    change.add_tag(entry.id, name)

    def drop_tags(self, idents: Iterable[str], tags: Iterable[str], actor: Actor) -> None:
        """Take custom tags off apps. Raises C221 and C222, also for the system's tags."""
        entries = [self.entry(ident) for ident in dict.fromkeys(idents)]
        names = [self._custom_tag(tag) for tag in tags]
        with self.store.changing(actor, self._clock()) as change:
            for entry in entries:
                for name in names:
                    change.drop_tag(entry.id, name)

    def _custom_tag(self, name: str) -> str:
        known = {each.casefold(): each for each in self.store.local().tags}
        if name.casefold() in RESERVED_TAGS:
            raise CatalogError("C222", f"'{name}' is a tag of the system and cannot be put on or taken off like this")
        if name.casefold() not in known:
            hint = did_you_mean(name, known.values()) or "make it first"
            raise CatalogError("C222", f"there is no tag '{name}'", None, hint)
        return known[name.casefold()]

    def create_tag(self, name: str, actor: Actor, about: str = "") -> str:
        """A custom tag, or a new description of one; its name. Raises C222."""
        name = check_tag_name(name)
        with self.store.changing(actor, self._clock()) as change:
            change.put_custom_tag(name, about.strip()[:_LONGEST_NOTE])
        return name

    def delete_tag(self, name: str, actor: Actor, *, everywhere: bool = False) -> None:
        """Away with a custom tag. Raises C222, and C227 while apps have it, unless `everywhere` confirms."""
        name = self._custom_tag(name)
        with self.store.changing(actor, self._clock()) as change:
            users = change.tag_users(name)
            if users and not everywhere:
                raise CatalogError(
                    "C227", f"{len(users)} apps have the tag '{name}'", None, "confirm to remove it there"
                )
            change.delete_custom_tag(name)

    def save_profile(self, profile: Profile, actor: Actor) -> None:
        """A scoped profile: whom a tag concerns. Raises C222 for a name that cannot be."""
        check_tag_name(profile.name)
        with self.store.changing(actor, self._clock()) as change:
            change.put_profile(profile)
        self.publish()

    def delete_profile(self, name: str, actor: Actor) -> None:
        """Away with a profile. Raises C227 while a tag is bound to it: without it the tag would concern everybody."""
        with self.store.changing(actor, self._clock()) as change:
            users = change.profile_users(name)
            if users:
                raise CatalogError("C227", f"{len(users)} apps are tagged with the profile '{name}'")
            if not change.delete_profile(name):
                raise CatalogError("C222", f"there is no profile '{name}'")

    def protect(self, pattern: str, actor: Actor, *, on: bool = True) -> None:
        """Put a host or wildcard on the protected list, or take it off. The deployment's own hosts stay (C223).

        An app that owns the host and is unsanctioned already keeps its tag; the host itself is not blocked any more.
        """
        try:
            pattern = parse_pattern(pattern)
        except ValueError as error:
            raise CatalogError("C224", str(error)) from None
        if "/" in pattern:
            raise CatalogError("C224", "protected is a host or a wildcard, without a path")
        if not on and pattern in self._own:
            raise CatalogError("C223", f"'{pattern}' is a host of this deployment and stays protected")
        with self.store.changing(actor, self._clock()) as change:
            change.put_protected(pattern, added=on)
        self.publish()

    def sync_configured(self) -> list[CatalogError]:
        """Tag what apps/*.yaml has: an app that came, or whose tag was edited there, gets that tag; audited.

        So an app becomes sanctioned by being onboarded, and a later tag by hand still wins. What is refused (C223) is
        returned and tried again only after another edit. Cheap when nothing changed.
        """
        apps = {app.id: app for app in self._configured()}
        tags = {ident: app.tag.value for ident, app in apps.items()}
        before = self.store.configured()
        if tags == before:
            return []
        inventory = self.inventory()
        refused = []
        with self.store.changing(CONFIGURATION, self._clock()) as change:
            for ident, tag in tags.items():
                entry = inventory.get(ident)
                if entry is None or before.get(ident) == tag:
                    continue
                if tag == AppTag.UNSANCTIONED.value and entry.protected:
                    refused.append(
                        CatalogError("C223", f"'{ident}' cannot be unsanctioned: {entry.protected} is protected")
                    )
                    continue
                change.set_tag(entry.id, AppTag(tag), None, f"app '{ident}' of apps/*.yaml")
            change.put_configured(tags)
        self.publish()
        return refused

    # Scores, notes, details

    def override(self, ident: str, score: int | None, note: str, actor: Actor) -> Entry:
        """Put a score in the place of the computed one, or None to return to it; the app as it is then. Raises C229."""
        entry = self.entry(ident)
        if score is not None and (isinstance(score, bool) or not 0 <= score <= 10):
            raise CatalogError("C229", "an override is a whole number from 0 to 10")
        with self.store.changing(actor, self._clock()) as change:
            if score is None:
                change.drop_override(entry.id)
            else:
                change.put_override(entry.id, score, _note(note, needed=False))
        return self.entry(entry.id)

    def add_note(self, ident: str, text: str, actor: Actor) -> None:
        """A note for other admins. Raises C229."""
        entry = self.entry(ident)
        with self.store.changing(actor, self._clock()) as change:
            change.add_note(entry.id, _note(text, needed=True))

    def delete_note(self, seq: int, actor: Actor) -> bool:
        """Away with a note; False when there is none."""
        with self.store.changing(actor, self._clock()) as change:
            return bool(change.drop_note(seq))

    def edit(self, ident: str, changes: Mapping[str, Any], actor: Actor, *, take_over: bool = False) -> Entry:
        """Change details of an app of the catalog; what ships stays as it is below and takes upgrades.

        `changes` may have name, vendor, about, category, business_unit, add_domains, remove_domains, add_addresses,
        remove_addresses. A domain of another app needs `take_over` (C225). Raises C224.
        """
        entry = self.entry(ident)
        values = dict(changes)
        for name in ("add_domains", "remove_domains"):
            if name in values:
                values[name] = check_domains(values[name])
        for name in ("add_addresses", "remove_addresses"):
            if name in values:
                values[name] = check_networks(values[name])
        _check_details(values)
        inventory = self.inventory()
        for text in values.get("add_domains", ()):
            owned = inventory.index.owns(text)
            if owned is not None and owned.owner != entry.id and not take_over:
                raise CatalogError("C225", f"'{text}' belongs to '{owned.owner}'")
        with self.store.changing(actor, self._clock()) as change:
            overlay = replace(change.overlay(entry.id), **values)
            change.put_overlay(entry.id, overlay, fields=sorted(values))
        self.publish()
        return self.entry(entry.id)

    def set_facts(
        self,
        ident: str,
        values: Mapping[str, Any],
        actor: Actor,
        *,
        source: Source = Source.OPERATOR,
        evidence: str = "",
    ) -> Entry:
        """Say what is known better of an app, each value with its source. Raises C221 and C224."""
        entry = self.entry(ident)
        now = rfc3339(self._clock())
        facts = {}
        for name, raw in values.items():
            if name not in FACTORS:
                raise CatalogError("C224", f"'{name}' is no factor", None, did_you_mean(name, FACTORS))
            try:
                value = parse_value(FACTORS[name], raw)
            except ValueError as error:
                raise CatalogError("C224", str(error)) from None
            facts[name] = Fact(value=value, source=source, as_of=now, by=actor.who, evidence=evidence)
        return self.put_facts(entry.id, facts, actor)

    def put_facts(self, ident: str, facts: Mapping[str, Fact], actor: Actor) -> Entry:
        """As `set_facts`, with facts that are made already, as measuring makes them."""
        entry = self.entry(ident)
        with self.store.changing(actor, self._clock()) as change:
            overlay = with_facts(change.overlay(entry.id), facts)
            change.put_overlay(entry.id, overlay, "set app factors", factors=sorted(facts))
        return self.entry(entry.id)

    def drop_fact(self, ident: str, factor: str, actor: Actor, source: Source = Source.OPERATOR) -> Entry:
        """Take back what a source said of a factor; what another source says, or what ships, counts again."""
        entry = self.entry(ident)
        with self.store.changing(actor, self._clock()) as change:
            overlay = without_fact(change.overlay(entry.id), factor, source)
            change.put_overlay(entry.id, overlay, "took back an app factor", factor=factor, source=source.value)
        return self.entry(entry.id)

    # Custom apps

    def save_custom(
        self, values: Mapping[str, Any], actor: Actor, *, ident: str | None = None, take_over: bool = False
    ) -> Entry:
        """Make a custom app, or with `ident` of one change it; values as `catalog.custom.FIELDS`.

        Raises `Problems` (C224, C225). A new one gets an id from its name.
        """
        inventory = self.inventory()
        if ident is None:
            ident = _free(slug(str(values.get("name", ""))), inventory)
        else:
            present = inventory.get(ident)
            if present is not None and not present.app.custom:
                raise CatalogError("C224", f"'{ident}' is no custom app", None, "edit its details instead")
        app = read_custom(
            ident,
            values,
            lambda text: overlap(inventory, text, ident),
            by=actor.who,
            at=rfc3339(self._clock()),
            take_over=take_over,
        )
        with self.store.changing(actor, self._clock()) as change:
            change.put_added(app)
        self.publish()
        return self.entry(app.id)

    def delete_added(self, ident: str, actor: Actor) -> None:
        """Away with a custom or imported app. Raises C221, and C224 for one that ships or is configured."""
        entry = self.entry(ident)
        if entry.app.origin not in (Origin.CUSTOM, Origin.IMPORTED):
            raise CatalogError("C224", f"'{ident}' was not made here and cannot be deleted")
        with self.store.changing(actor, self._clock()) as change:
            change.delete_added(entry.id)
        self.publish()

    # Suggestions

    def suggest(
        self,
        kind: str,
        text: str,
        actor: Actor,
        *,
        ident: str | None = None,
        name: str = "",
        domain: str = "",
        contact: bool = False,
    ) -> int:
        """Put a wish into the queue; its number. Raises C228; C221 for an app that is not there."""
        if kind not in SUGGESTIONS:
            raise CatalogError("C228", f"'{kind}' is no kind of suggestion", None, did_you_mean(kind, SUGGESTIONS))
        app = None
        if kind == "new_app":
            if not name.strip() or not domain.strip():
                raise CatalogError("C228", "a new app needs a name and a domain")
            try:
                domain = parse_pattern(domain.strip())
            except ValueError as error:
                raise CatalogError("C228", str(error)) from None
        else:
            entry = self.entry(ident or "")
            app, name = entry.id, entry.app.name
        text = text.strip()
        if len(text) > _LONGEST_NOTE or len(name) > 120:
            raise CatalogError("C228", f"a suggestion has at most {_LONGEST_NOTE} characters")
        with self.store.changing(actor, self._clock()) as change:
            return change.add_suggestion(kind, app, name.strip(), domain, text, contact=contact)

    def decide(self, seq: int, state: str, actor: Actor, answer: str = "") -> None:
        """Say what becomes of a suggestion. Raises C228."""
        if state not in STATES:
            raise CatalogError("C228", f"'{state}' is no state of a suggestion", None, did_you_mean(state, STATES))
        with self.store.changing(actor, self._clock()) as change:
            if not change.decide_suggestion(seq, state, answer.strip()[:_LONGEST_NOTE]):
                raise CatalogError("C228", f"there is no suggestion {seq}")

    # Score metrics

    def recalculate(
        self, actor: Actor, metrics: Metrics | None = None, progress: Callable[[int, int], None] | None = None
    ) -> Task:
        """Score all apps anew, after changing how much everything counts when `metrics` are given.

        Runs here and now as a task that others can watch; the finished task. What fails is kept in it and raised.
        """
        total = len(self.known)
        seq = self.store.begin_task("recalculate scores", total, actor, self._clock())

        def told(done: int, of: int) -> None:
            self.store.advance_task(seq, done, of)
            if progress is not None:
                progress(done, of)

        try:
            if metrics is not None:
                with self.store.changing(actor, self._clock()) as change:
                    change.put_metrics(metrics)
            local: Local = self.store.local()
            apps = tuple(self._configured())
            made = build(self.known, local, self._clock().date(), configured=apps, own=self._own, progress=told)
            changed = self.store.put_scores({entry.id: entry.computed.total for entry in made})
        except BaseException as error:
            self.store.end_task(seq, actor, self._clock(), ok=False, message=type(error).__name__)
            raise
        with self._lock:
            self._made = ((local.version, made.on, apps), made)
        self.publish()
        self.store.end_task(
            seq, actor, self._clock(), ok=True, changed=changed, message=f"{len(made)} apps, {changed} scores changed"
        )
        return self.store.tasks(1)[0]

    # Imports

    def carry_out(self, plan: Plan, actor: Actor, *, what: str) -> None:
        """Do what a plan says, whole or not at all, with one line in the audit log. Raises `Problems` for a bad one."""
        if plan.errors:
            raise Problems(list(plan.errors))
        with self.store.changing(actor, self._clock()) as change:
            for app in (*plan.added, *plan.replaced):
                change.put_added(app, "")
            for ident, overlay in plan.overlays.items():
                change.put_overlay(ident, overlay, "")
            for ident, tag in plan.tags.items():
                change.set_tag(ident, tag, None, what)
            change.audit(what, added=len(plan.added), changed=len(plan.overlays) + len(plan.replaced))
        self.publish()


def overlap(inventory: Inventory, text: str, ident: str) -> Owner | None:
    """The app other than `ident` whose domains or networks overlap with a pattern or network; a custom one first."""
    found: Owner | None = None
    for entry in inventory:
        if entry.id == ident:
            continue
        for pattern in (*entry.app.domains, *entry.app.addresses):
            if _overlaps(text, pattern) and (found is None or (entry.app.custom and not found.custom)):
                found = Owner(entry.id, pattern, entry.app.custom)
    return found


_NETWORK = re.compile(r"[0-9a-f.:]+/[0-9]+\Z")


def _overlaps(one: str, other: str) -> bool:
    if one == other:
        return True
    if _NETWORK.match(one) or _NETWORK.match(other):
        if not (_NETWORK.match(one) and _NETWORK.match(other)):
            return False
        return _networks_overlap(parse_network(one), parse_network(other))
    return _covers(one, other) or _covers(other, one)


def _networks_overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _covers(wide: str, narrow: str) -> bool:
    host, slash, path = wide.partition("/")
    other, _, below = narrow.partition("/")
    inside = other.removeprefix("*.").endswith(host[1:]) if host.startswith("*.") else other == host
    return inside and (not slash or f"{below}/".startswith(f"{path}/"))


def _note(text: str, *, needed: bool) -> str:
    text = text.strip()
    if len(text) > _LONGEST_NOTE or (needed and not text):
        raise CatalogError("C229", f"a note has 1 to {_LONGEST_NOTE} characters")
    return text


_DETAILS = ("name", "vendor", "about", "category", "business_unit")
_LISTS = ("add_domains", "remove_domains", "add_addresses", "remove_addresses")


def _check_details(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name not in (*_DETAILS, *_LISTS):
            raise CatalogError("C224", f"'{name}' cannot be edited", None, did_you_mean(name, (*_DETAILS, *_LISTS)))
        if name in _DETAILS and (not isinstance(value, str) or len(value) > 500):
            raise CatalogError("C224", f"'{name}' is a text of at most 500 characters")
    category = values.get("category")
    if category and category not in CATEGORIES:
        raise CatalogError("C224", f"'{category}' is no category", None, did_you_mean(category, CATEGORIES))


def _free(ident: str, inventory: Inventory) -> str:
    """The id, or with a number behind it while it is taken."""
    found, number = ident, 2
    while inventory.get(found) is not None or not is_id(found):
        found = f"{ident[:58].rstrip('-')}-{number}"
        number += 1
    return found
