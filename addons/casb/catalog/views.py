"""An app as others read it: our own API and portal, the shape of Microsoft Graph, and that of its older API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from casb.catalog.factors import CATEGORIES, FACTORS, Factor, Family, Kind
from casb.catalog.filters import category_totals
from casb.catalog.interop import GRAPH, GRAPH_PARTS, VALUES, classic_category, graph_category
from casb.catalog.inventory import Entry, Inventory
from casb.catalog.known import NOT_APPLICABLE, Fact, KnownApp, Value, to_plain
from casb.catalog.score import AppScore, Explanation, FactorScore, FamilyScore

_UNKNOWN = "unknown"
_PROVIDER = {Family.GENERAL: "provider"}


def summary(entry: Entry, inventory: Inventory) -> dict[str, Any]:
    """A line of a list."""
    app = entry.app
    return {
        "id": app.id,
        "name": app.name,
        "vendor": app.vendor,
        "category": app.category,
        "category_name": CATEGORIES.get(app.category, app.category),
        "score": entry.score,
        "risk": inventory.band(entry).value,
        "tag": entry.tag.value,
        "tags": sorted(entry.tags),
        "headquarters": app.value("headquarters"),
        "domains": list(app.domains),
        "controlled": entry.controlled,
        "protected": entry.protected,
    }


def detail(entry: Entry, inventory: Inventory) -> dict[str, Any]:
    """Everything of one app: its facts with their provenance, scores and what was set here."""
    app = entry.app
    return {
        **summary(entry, inventory),
        "about": app.about,
        "also": list(app.also),
        "addresses": list(app.addresses),
        "mdca_id": app.mdca_id,
        "origin": app.origin.value,
        "business_unit": app.business_unit,
        "hosting_platform": app.hosting_platform,
        "attested": {"by": app.attested_by, "on": app.attested_on} if app.attested_by else None,
        "configured_as": list(entry.configured),
        "notes": entry.notes,
        "tagged": {"by": entry.state.by, "at": entry.state.at} if entry.state.at else None,
        "profile": entry.profile.name if entry.profile else None,
        "scores": scores(entry),
        "facts": {name: fact_json(FACTORS[name], fact) for name, fact in app.facts.items()},
    }


def scores(entry: Entry) -> dict[str, Any]:
    """The score that counts, and the computed one beside it."""
    override = entry.override
    return {
        "score": entry.score,
        "computed": _parts(entry.computed),
        "declared": entry.declared,
        "override": override and {"score": override.score, "note": override.note, "by": override.by, "at": override.at},
    }


def _parts(score: AppScore) -> dict[str, float | None]:
    return {"total": _round(score.total), **{family.value: _round(score.family(family)) for family in Family}}


def _round(score: float | None) -> float | None:
    return None if score is None else round(score, 2)


def fact_json(factor: Factor, fact: Fact) -> dict[str, Any]:
    """A value with where it comes from."""
    row = {"name": factor.name, "value": to_plain(factor, fact.value), "source": fact.source.value}
    return row | {name: getattr(fact, name) for name in ("as_of", "by", "evidence") if getattr(fact, name)}


def explanation(found: Explanation, entry: Entry) -> dict[str, Any]:
    """Why an app has the score it has."""
    return {
        "app": entry.id,
        "on": found.on.isoformat(),
        "metrics_version": found.metrics_version,
        **scores(entry),
        "families": [_family(each) for each in found.families],
    }


def _family(found: FamilyScore) -> dict[str, Any]:
    return {
        "family": found.family.value,
        "score": _round(found.score),
        "weight_percent": round(found.weight, 1),
        "share_percent": round(found.share, 1),
        "handling": found.handling.value,
        "factors": [_factor(each) for each in found.factors],
    }


def _factor(found: FactorScore) -> dict[str, Any]:
    fact = found.fact
    return {
        "factor": found.factor.id,
        "name": found.factor.name,
        "about": found.factor.about,
        "possible": list(found.factor.values),
        "value": None if fact is None else to_plain(found.factor, fact.value),
        "source": None if fact is None else fact.source.value,
        "as_of": None if fact is None else fact.as_of,
        "score": _round(found.score),
        "weight_percent": round(found.weight, 1),
        "share_percent": round(found.share, 1),
        "handling": found.handling.value,
    }


def categories(inventory: Inventory, entries: Iterable[Entry] | None = None) -> list[dict[str, Any]]:
    """All categories with how many of the entries each has."""
    totals = category_totals(inventory if entries is None else entries)
    return [
        {"id": ident, "name": name, "total": totals[ident], "classic": classic_category(ident)}
        for ident, name in CATEGORIES.items()
    ]


# --- Microsoft Graph (beta), namespace microsoft.graph.security


def graph_app(entry: Entry) -> dict[str, Any]:
    """`discoveredCloudAppDetail`, without the figures of use, which discovery adds."""
    app = entry.app
    return {
        "@odata.type": "#microsoft.graph.security.discoveredCloudAppDetail",
        "id": graph_id(app),
        "displayName": app.name,
        "description": app.about,
        "category": graph_category(app.category),
        "domains": list(app.domains),
        "tags": sorted(entry.tags),
        "riskScore": entry.score,
        "applicationRiskScore": graph_score(entry),
    }


def graph_score(entry: Entry) -> dict[str, float | None]:
    """Total and parts; the general part is called provider there. An override is the total."""
    score = entry.computed
    chosen = entry.override is not None or entry.declared is not None
    total = float(entry.score) if chosen and entry.score is not None else None
    return {
        "total": total if total is not None else _round(score.total),
        **{_PROVIDER.get(family, family.value): _round(score.family(family)) for family in Family},
    }


def graph_info(app: KnownApp) -> dict[str, Any]:
    """`discoveredCloudAppInfo`: every property, unknown where nobody knows."""
    info: dict[str, Any] = {
        "@odata.type": "#microsoft.graph.security.discoveredCloudAppInfo",
        "id": graph_id(app),
        "vendor": app.vendor or None,
    }
    for name, properties in GRAPH.items():
        value = _graph_value(FACTORS[name], app.value(name))
        for each in properties:
            info[each] = value
    for name, parts in GRAPH_PARTS.items():
        flags = app.value(name)
        truths = dict(flags) if isinstance(flags, tuple) else {}  # type: ignore[arg-type]  # FLAGS values are pairs
        for part, name_there in parts.items():
            info[name_there] = _state(truths.get(part))
        if name == "password_policy":
            info["isPasswordPolicy"] = _state(any(truths.values()) if truths else None)
    return info


def graph_id(app: KnownApp) -> str:
    """The product's number of the app where it is known, so that its clients find it; else our id."""
    return app.id if app.mdca_id is None else str(app.mdca_id)


def _state(truth: object) -> str:
    return "true" if truth is True else "false" if truth is False else _UNKNOWN


def _graph_value(factor: Factor, value: Value | None) -> Any:
    if value == NOT_APPLICABLE:
        # Of all properties there, only the protocol can say so.
        return "notApplicable" if factor.id == "encryption_protocol" else _UNKNOWN
    match factor.kind:
        case Kind.FLAG:
            return _state(value)
        case Kind.ENUM:
            return _UNKNOWN if value is None else VALUES.get(factor.id, {}).get(str(value), str(value))
        case Kind.DATE:
            return None if value is None else f"{value}T00:00:00Z"
        case Kind.LIST:
            spelt = VALUES.get(factor.id, {})
            words = [spelt.get(str(each), str(each)) for each in value] if isinstance(value, tuple) else []
            return ",".join(words) or (_UNKNOWN if factor.values else None)
    return value


# --- The older API: GET /api/v1/saasdb/{id}/


def classic_app(entry: Entry) -> dict[str, Any]:
    """One app as the older API has it; `revised_score` has no legal part there, so it stands beside."""
    app, score = entry.app, entry.computed
    return {
        "_id": app.mdca_id if app.mdca_id is not None else app.id,
        "appId": app.mdca_id if app.mdca_id is not None else app.id,
        "name": app.name,
        "description": app.about,
        "vendor": app.vendor,
        "category": classic_category(app.category),
        "domainList": list(app.domains),
        "sanctioned": entry.tag.value == "sanctioned",
        "unsanctioned": entry.tag.value == "unsanctioned",
        "tags": sorted(entry.tags),
        "score": entry.score,
        "revised_score": {
            "provider": _round(score.general),
            "security": _round(score.security),
            "compliance": _round(score.compliance),
            "legal": _round(score.legal),
            "total": graph_score(entry)["total"],
        },
        "custom": app.custom,
    }


def find_numbered(inventory: Inventory, ident: str) -> Entry | None:
    """An app by our id or by the product's number of it."""
    found = inventory.get(ident)
    if found is None and ident.isascii() and ident.isdigit() and len(ident) < 10:
        number = int(ident)
        found = next((each for each in inventory if each.app.mdca_id == number), None)
    return found
