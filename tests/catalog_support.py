"""Small catalogs for tests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from casb.catalog.factors import FACTORS, Kind
from casb.catalog.inventory import Inventory, Local, build
from casb.catalog.known import Fact, KnownApp, KnownApps, Source, Value, parse_value

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = date(2026, 3, 2)


def fact(name: str, raw: Any, source: Source = Source.VENDOR_DOCUMENTATION) -> Fact:
    return Fact(value=parse_value(FACTORS[name], raw), source=source, as_of="2025-06")


def facts(values: Mapping[str, Any]) -> dict[str, Fact]:
    return {name: fact(name, raw) for name, raw in values.items()}


def app(ident: str, *domains: str, category: str = "cloud_storage", vendor: str = "", **values: Any) -> KnownApp:
    return KnownApp(
        id=ident,
        name=ident.capitalize(),
        category=category,
        vendor=vendor or f"{ident.capitalize()}, Inc.",
        domains=domains,
        facts=facts(values),
    )


def known(*apps: KnownApp) -> KnownApps:
    return KnownApps(version="test", by_id={each.id: each for each in apps})


def inventory(*apps: KnownApp, local: Local | None = None, **more: Any) -> Inventory:
    return build(known(*apps), local or Local(), DAY, **more)


def extreme(best: bool) -> dict[str, Fact]:
    """Every scored factor at its best or worst; a level that has no worst word is not applicable."""
    return {
        name: Fact(value=_extreme(name, best), source=Source.OPERATOR)
        for name, factor in FACTORS.items()
        if factor.scored
    }


def _extreme(name: str, best: bool) -> Value:
    factor = FACTORS[name]
    match factor.kind:
        case Kind.FLAG:
            return best
        case Kind.ENUM:
            if name == "csa_star_level" and not best:
                return "n/a"
            return factor.values[-1 if best else 0]
        case Kind.FLAGS:
            return tuple((each, best) for each in factor.values)
        case Kind.YEAR:
            return 1950 if best else DAY.year
        case Kind.NUMBER:
            return 10.0 if best else 0.0
        case _:
            return "1985-01-01" if best else DAY.isoformat()
