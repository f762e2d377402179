"""An import as a plan: what it would add, change and leave, before anything of it is done.

The same plan is shown by a dry run and taken over by an import. Importing the same file again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from casb.catalog.custom import PLATFORMS, is_id, slug
from casb.catalog.domains import parse_pattern
from casb.catalog.factors import CATEGORIES, FACTORS
from casb.catalog.inventory import Entry, Inventory
from casb.catalog.known import Fact, KnownApp, Origin, Source, to_plain
from casb.catalog.overlay import NOTHING, Overlay, with_facts
from casb.catalog.suffixes import is_public_suffix
from casb.catalog.tables import Row
from casb.errors import CasbError, CatalogError
from casb.model.app import AppTag
from casb.model.network import parse_network
from casb.yamlfile import did_you_mean


class What(StrEnum):
    """What a table is, which says whose word its values are."""

    APPS = "apps"
    ATTESTATION = "attestation"
    BREACHES = "breaches"


_SOURCES = {
    What.APPS: Source.IMPORT,
    What.ATTESTATION: Source.ATTESTATION,
    What.BREACHES: Source.BREACH_LIST,
}
_TEXTS = ("name", "vendor", "about", "category", "business_unit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One line of a diff. `old` and `new` are JSON data; None is nothing."""

    app: str
    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All of it. A plan with errors is not taken over."""

    added: tuple[KnownApp, ...] = ()
    replaced: tuple[KnownApp, ...] = ()  # imported or custom apps that the table changes
    overlays: Mapping[str, Overlay] = field(default_factory=dict)
    tags: Mapping[str, AppTag] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    same: int = 0
    errors: tuple[CasbError, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return not (self.added or self.replaced or self.overlays or self.tags)


def plan(
    rows: Sequence[Row],
    inventory: Inventory,
    overlays: Mapping[str, Overlay],
    what: What = What.APPS,
    *,
    by: str,
    at: str,
) -> Plan:
    """What taking the rows over would do. `overlays` are those in force; `by` and `at` (RFC 3339) become provenance."""
    planner = _Planner(inventory, overlays, what, by, at)
    for row in rows:
        planner.row(row)
    return planner.done()


class _Planner:
    def __init__(self, inventory: Inventory, overlays: Mapping[str, Overlay], what: What, by: str, at: str) -> None:
        self.inventory = inventory
        self.overlays = overlays
        self.what = what
        self.by = by
        self.at = at
        self.errors: list[CasbError] = []
        self.added: dict[str, KnownApp] = {}
        self.replaced: dict[str, KnownApp] = {}
        self.changed: dict[str, Overlay] = {}
        self.tags: dict[str, AppTag] = {}
        self.differences: list[Difference] = []
        self.seen: dict[str, Row] = {}
        self.claims: dict[str, str] = {}
        self.names = {entry.app.name.casefold(): entry.id for entry in inventory}
        self.same = 0

    def done(self) -> Plan:
        """The plan, when all rows were seen."""
        return Plan(
            added=tuple(self.added.values()),
            replaced=tuple(self.replaced.values()),
            overlays=self.changed,
            tags=self.tags,
            differences=tuple(self.differences),
            same=self.same,
            errors=tuple(self.errors),
        )

    def wrong(self, row: Row, message: str, hint: str = "") -> None:
        """Something is wrong with a row."""
        self.errors.append(CatalogError("C226", message, row.where, hint))

    def row(self, row: Row) -> None:
        """One app of the table."""
        before = len(self.errors)
        for problem in row.problems:
            self.wrong(row, problem)
        patterns, networks = self._patterns(row), self._networks(row)
        entry = self._entry(row, patterns)
        if len(self.errors) > before:
            return
        if entry is None and self.what is not What.APPS:
            self.wrong(row, f"there is no app '{_label(row)}' in the catalog", "give its id, name or domain")
            return
        ident = entry.id if entry else str(row.fields.get("id") or slug(str(row.fields.get("name", ""))))
        if ident in self.seen:
            if self.what is What.BREACHES:
                self._merge_breach(ident, row)
                return
            self.wrong(row, f"'{ident}' is here twice", f"the first is at {self.seen[ident].where}")
            return
        self.seen[ident] = row
        self._check(row, ident, entry)
        if len(self.errors) > before:
            return
        facts = self._facts(row)
        count = len(self.differences)
        if entry is None:
            self._add(row, ident, patterns, networks, facts)
        elif entry.app.origin in (Origin.IMPORTED, Origin.CUSTOM) and self.what is What.APPS:
            self._replace(row, entry, patterns, networks, facts)
        else:
            self._overlay(row, entry, patterns, networks, facts)
        self._tag(row, ident, entry)
        self.same += len(self.differences) == count

    def _merge_breach(self, ident: str, row: Row) -> None:
        """A list may have several breaches of an app: the latest counts."""
        overlay = self.changed.get(ident, self.overlays.get(ident, NOTHING))
        facts = self._facts(row)
        present = [each for each in overlay.facts.get("latest_breach", ()) if each.source is Source.BREACH_LIST]
        if "latest_breach" in facts and (not present or str(facts["latest_breach"].value) > str(present[0].value)):
            old = present[0].value if present else None
            self.changed[ident] = with_facts(overlay, facts)
            self.differences.append(
                Difference(app=ident, field="latest_breach", old=old, new=facts["latest_breach"].value)
            )

    def _entry(self, row: Row, patterns: tuple[str, ...]) -> Entry | None:
        """The app that a row is about: by id, then name, then one of its domains."""
        ident = row.fields.get("id")
        if ident:
            found = self.inventory.get(str(ident))
            if found is not None or self.what is What.APPS:
                return found
        name = str(row.fields.get("name", "")).casefold()
        if name in self.names:
            return self.inventory.get(self.names[name])
        if self.what is not What.APPS:
            for pattern in patterns:
                owned = self.inventory.match(pattern.removeprefix("*."), "")
                if owned is not None:
                    return owned
        return None

    def _patterns(self, row: Row) -> tuple[str, ...]:
        found = []
        for text in row.fields.get("domains", ()):
            try:
                pattern = parse_pattern(text)
            except ValueError as error:
                self.wrong(row, str(error))
                continue
            if is_public_suffix(pattern.partition("/")[0].removeprefix("*.")):
                self.wrong(row, f"'{text}' is or covers a public suffix")
            found.append(pattern)
        return tuple(dict.fromkeys(found))

    def _networks(self, row: Row) -> tuple[str, ...]:
        found = []
        for text in row.fields.get("addresses", ()):
            try:
                found.append(str(parse_network(text)))
            except ValueError as error:
                self.wrong(row, str(error))
        return tuple(dict.fromkeys(found))

    def _check(self, row: Row, ident: str, entry: Entry | None) -> None:
        fields = row.fields
        if not is_id(ident):
            self.wrong(row, f"'{ident}' is not an id", "use lower-case letters, digits and hyphens")
        for word in filter(None, (fields.get("category"), *fields.get("also", ()))):
            if word not in CATEGORIES:
                self.wrong(row, f"'{word}' is no category", did_you_mean(str(word), CATEGORIES))
        score = fields.get("score")
        if score is not None and not 0 <= score <= 10:
            self.wrong(row, f"a score is 0 to 10, not {score}")
        for name, known in (("hosting_platform", PLATFORMS), ("tag", tuple(tag.value for tag in AppTag))):
            if fields.get(name) and fields[name] not in known:
                self.wrong(row, f"'{fields[name]}' cannot be the {name}", did_you_mean(fields[name], known))
        if fields.get("tag") == AppTag.UNSANCTIONED.value and entry is not None and entry.protected:
            self.wrong(row, f"'{ident}' cannot be unsanctioned: {entry.protected} is protected")
        if entry is None:
            for name in ("name", "category", "domains"):
                if not fields.get(name):
                    self.wrong(row, f"the new app '{ident}' has no {name}")
            if fields.get("custom") and score is None:
                self.wrong(row, f"the custom app '{ident}' has no score")
        self._claim(row, ident)

    def _claim(self, row: Row, ident: str) -> None:
        """No pattern may belong to two apps, in the table or in the catalog."""
        for text in row.fields.get("domains", ()):
            try:
                pattern = parse_pattern(text)
            except ValueError:
                continue
            owned = self.inventory.index.owns(pattern)
            owner = self.claims.setdefault(pattern, ident)
            if owner == ident and owned is not None:
                owner = owned.owner
            if owner != ident:
                self.wrong(row, f"'{pattern}' belongs to '{owner}'")

    def _facts(self, row: Row) -> dict[str, Fact]:
        source = _SOURCES[self.what]
        by = str(row.fields.get("attested_by") or self.by) if self.what is What.ATTESTATION else self.by
        at = str(row.fields.get("attested_on") or row.fields.get("as_of") or self.at)
        evidence = str(row.fields.get("evidence", ""))
        if self.what is What.BREACHES and row.fields.get("records"):
            evidence = f"{evidence} ({row.fields['records']} records)".strip()
        names = ("latest_breach",) if self.what is What.BREACHES else tuple(row.facts)
        return {
            name: Fact(value=row.facts[name], source=source, as_of=at, by=by, evidence=evidence)
            for name in names
            if name in row.facts
        }

    def _add(
        self, row: Row, ident: str, patterns: tuple[str, ...], networks: tuple[str, ...], facts: Mapping[str, Fact]
    ) -> None:
        app = self._made(row, ident, patterns, networks, facts, None)
        self.added[ident] = app
        self.differences.append(Difference(app=ident, field="app", old=None, new=app.name))

    def _replace(
        self,
        row: Row,
        entry: Entry,
        patterns: tuple[str, ...],
        networks: tuple[str, ...],
        facts: Mapping[str, Fact],
    ) -> None:
        old = self.inventory.entries[entry.id].app
        kept = {
            name: fact for name, fact in facts.items() if name not in old.facts or old.facts[name].value != fact.value
        }
        new = self._made(row, entry.id, patterns, networks, {**old.facts, **kept}, old)
        changes = _app_changes(old, new)
        if changes:
            self.replaced[entry.id] = new
            self.differences += changes

    def _made(
        self,
        row: Row,
        ident: str,
        patterns: tuple[str, ...],
        networks: tuple[str, ...],
        facts: Mapping[str, Fact],
        old: KnownApp | None,
    ) -> KnownApp:
        fields = row.fields
        custom = fields.get("custom", old.custom if old else False)
        base = old or KnownApp(id=ident, name=str(fields["name"]), category=str(fields["category"]))
        given: dict[str, Any] = {
            name: fields[name] for name in (*_TEXTS, "hosting_platform", "mdca_id") if name in fields
        }
        return replace(
            base,
            **given,
            domains=patterns or base.domains,
            addresses=networks or base.addresses,
            also=tuple(fields.get("also", base.also)),
            facts=dict(facts),
            origin=Origin.CUSTOM if custom else Origin.IMPORTED,
            fixed_score=fields.get("score", base.fixed_score) if custom else None,
        )

    def _overlay(
        self,
        row: Row,
        entry: Entry,
        patterns: tuple[str, ...],
        networks: tuple[str, ...],
        facts: Mapping[str, Fact],
    ) -> None:
        app = entry.app
        overlay = self.overlays.get(entry.id, NOTHING)
        changes: dict[str, Any] = {}
        found: list[Difference] = []
        if self.what is What.APPS:
            for name in (*_TEXTS, "mdca_id"):
                new = row.fields.get(name)
                if new and new != getattr(app, name):
                    changes[name] = new
                    found.append(Difference(app=app.id, field=name, old=getattr(app, name), new=new))
            for name, given in (("domains", patterns), ("addresses", networks)):
                fresh = tuple(each for each in given if each not in getattr(app, name))
                if fresh:
                    changes[f"add_{name}"] = (*getattr(overlay, f"add_{name}"), *fresh)
                    found.append(Difference(app=app.id, field=name, old=None, new=list(fresh)))
        if self.what is What.ATTESTATION:
            for name, new in (
                ("attested_by", str(row.fields.get("attested_by") or self.by)),
                ("attested_on", str(row.fields.get("attested_on") or self.at[:10])),
            ):
                if new != getattr(app, name) and (
                    name != "attested_on" or not app.attested_on or "attested_on" in row.fields
                ):
                    changes[name] = new
                    found.append(Difference(app=app.id, field=name, old=getattr(app, name) or None, new=new))
        fresh_facts = {name: fact for name, fact in facts.items() if not self._said(overlay, app, name, fact)}
        for name, fact in fresh_facts.items():
            old = app.value(name)
            factor = FACTORS[name]
            found.append(
                Difference(
                    app=app.id,
                    field=name,
                    old=None if old is None else to_plain(factor, old),
                    new=to_plain(factor, fact.value),
                )
            )
        if found:
            self.changed[entry.id] = with_facts(replace(overlay, **changes), fresh_facts)
            self.differences += found

    def _said(self, overlay: Overlay, app: KnownApp, name: str, fact: Fact) -> bool:
        """Whether that has been said already, or would change nothing."""
        if any(each.source is fact.source and each.value == fact.value for each in overlay.facts.get(name, ())):
            return True
        if self.what is What.ATTESTATION:
            return False  # That a vendor attests what was known is news of its own.
        old = app.facts.get(name)
        if self.what is What.BREACHES and old is not None and str(old.value) >= str(fact.value):
            return True
        return old is not None and old.value == fact.value and type(old.value) is type(fact.value)

    def _tag(self, row: Row, ident: str, entry: Entry | None) -> None:
        tag = row.fields.get("tag")
        if tag and self.what is What.APPS and AppTag(tag) is not (entry.tag if entry else AppTag.NONE):
            self.tags[ident] = AppTag(tag)
            old = entry.tag.value if entry else None
            self.differences.append(Difference(app=ident, field="tag", old=old, new=tag))


def _app_changes(old: KnownApp, new: KnownApp) -> list[Difference]:
    names = (*_TEXTS, "domains", "addresses", "also", "mdca_id", "hosting_platform", "fixed_score", "origin")
    found = [
        Difference(app=old.id, field=name, old=_json(getattr(old, name)), new=_json(getattr(new, name)))
        for name in names
        if getattr(old, name) != getattr(new, name)
    ]
    for name, fact in new.facts.items():
        before = old.facts.get(name)
        if before is None or before.value != fact.value:
            factor = FACTORS[name]
            previous = None if before is None else to_plain(factor, before.value)
            found.append(Difference(app=old.id, field=name, old=previous, new=to_plain(factor, fact.value)))
    return found


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _label(row: Row) -> str:
    return str(row.fields.get("id") or row.fields.get("name") or next(iter(row.fields.get("domains", ())), "?"))


def describe(plan: Plan, limit: int = 200) -> Iterable[str]:
    """The diff as lines that people read."""
    for change in plan.differences[:limit]:
        if change.field == "app":
            yield f"+ {change.app}: {change.new}"
        elif change.old is None:
            yield f"~ {change.app}: {change.field} is {_shown(change.new)}"
        else:
            yield f"~ {change.app}: {change.field} {_shown(change.old)} becomes {_shown(change.new)}"
    left = len(plan.differences) - limit
    if left > 0:
        yield f"… and {left} more"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value not in ("", None) else "nothing"
