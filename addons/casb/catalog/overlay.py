"""What an organisation knows better than the shipped catalog, kept apart from it so that it survives upgrades.

An overlay says what to add, to take away and to put in the place of what ships; it never copies what it leaves alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from casb.catalog.factors import FACTORS
from casb.catalog.known import Fact, KnownApp, PlainReader, Source, to_plain

PRECEDENCE: tuple[Source, ...] = (
    Source.OPERATOR,
    Source.MEASURED,
    Source.ATTESTATION,
    Source.BREACH_LIST,
    Source.IMPORT,
)
"""Whose word counts when several sources say something of a factor, the first one first; all beat what ships.

What was measured beats what a vendor attests. The latest breach is the latest of all sources, whoever says it.
"""

_LATEST = "latest_breach"
_TEXTS = ("name", "vendor", "about", "category", "business_unit", "attested_by", "attested_on")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Changes to one app. Empty texts and None leave what is there; `facts` has one value a factor and source."""

    name: str = ""
    vendor: str = ""
    about: str = ""
    category: str = ""
    business_unit: str = ""
    mdca_id: int | None = None
    attested_by: str = ""
    attested_on: str = ""
    add_domains: tuple[str, ...] = ()
    remove_domains: tuple[str, ...] = ()
    add_addresses: tuple[str, ...] = ()
    remove_addresses: tuple[str, ...] = ()
    facts: Mapping[str, tuple[Fact, ...]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def empty(self) -> bool:
        """Whether it changes nothing."""
        return all(not getattr(self, each.name) for each in fields(self))


NOTHING = Overlay()


def apply(app: KnownApp, overlay: Overlay) -> KnownApp:
    """The app as the organisation sees it."""
    changes: dict[str, Any] = {name: getattr(overlay, name) for name in _TEXTS if getattr(overlay, name)}
    if overlay.mdca_id is not None:
        changes["mdca_id"] = overlay.mdca_id
    if overlay.add_domains or overlay.remove_domains:
        changes["domains"] = _changed(app.domains, overlay.add_domains, overlay.remove_domains)
    if overlay.add_addresses or overlay.remove_addresses:
        changes["addresses"] = _changed(app.addresses, overlay.add_addresses, overlay.remove_addresses)
    if overlay.facts:
        changes["facts"] = MappingProxyType(
            {**app.facts, **{name: _chosen(name, rows, app.facts.get(name)) for name, rows in overlay.facts.items()}}
        )
    return replace(app, **changes) if changes else app


def _changed(present: tuple[str, ...], add: Iterable[str], remove: Iterable[str]) -> tuple[str, ...]:
    gone = set(remove)
    return tuple(dict.fromkeys([*(each for each in present if each not in gone), *add]))


def _chosen(name: str, rows: tuple[Fact, ...], shipped: Fact | None) -> Fact:
    if name == _LATEST:
        every = [*rows, *([shipped] if shipped else [])]
        return max(every, key=lambda fact: (str(fact.value), -_rank(fact)))
    return min(rows, key=_rank)


def _rank(fact: Fact) -> int:
    return PRECEDENCE.index(fact.source) if fact.source in PRECEDENCE else len(PRECEDENCE)


def with_facts(overlay: Overlay, facts: Mapping[str, Fact]) -> Overlay:
    """The overlay with each fact in the place of an earlier one of the same factor and source."""
    merged = dict(overlay.facts)
    for name, fact in facts.items():
        merged[name] = (*(each for each in merged.get(name, ()) if each.source is not fact.source), fact)
    return replace(overlay, facts=MappingProxyType(merged))


def without_fact(overlay: Overlay, factor: str, source: Source) -> Overlay:
    """The overlay without what a source said of a factor; what ships, or another source, counts again."""
    rows = tuple(each for each in overlay.facts.get(factor, ()) if each.source is not source)
    merged = {**overlay.facts, factor: rows}
    return replace(overlay, facts=MappingProxyType({name: each for name, each in merged.items() if each}))


def overlay_to_plain(overlay: Overlay) -> dict[str, Any]:
    """As JSON data; what is empty is left out."""
    plain: dict[str, Any] = {}
    for each in fields(Overlay):
        value = getattr(overlay, each.name)
        if each.name != "facts" and value not in ("", None, ()):
            plain[each.name] = list(value) if isinstance(value, tuple) else value
    if overlay.facts:
        plain["facts"] = {
            name: [
                [to_plain(FACTORS[name], row.value), row.source.value, row.as_of, row.by, row.evidence] for row in rows
            ]
            for name, rows in overlay.facts.items()
        }
    return plain


def overlay_from_plain(plain: Mapping[str, Any]) -> Overlay:
    """What `overlay_to_plain` wrote. A factor that this version no longer knows is left out."""
    reader = PlainReader()
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in plain.items() if name != "facts"
    }
    facts = {
        name: tuple(reader.fact(row) for row in rows)
        for name, rows in plain.get("facts", {}).items()
        if name in FACTORS
    }
    return Overlay(facts=MappingProxyType(facts), **values)
