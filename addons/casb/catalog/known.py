"""What is known of cloud apps: the values, and how one value of a factor is read.

An app is described by facts, one a factor at most. Each fact says where it comes from and when it held, so that a value
can be weighed, corrected and dated. What nobody knows is absent. Knows no file and no score.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from casb.catalog.factors import FACTORS, Factor, Kind
from casb.model.countries import CODES as COUNTRIES

NOT_APPLICABLE = "n/a"
"""The value of a factor that does not concern an app, as `hipaa` does not concern a game."""

CUSTOM_TAG = "custom app"
"""Every custom app has this tag; nobody can take it away."""

type Flags = tuple[tuple[str, bool], ...]
type Value = bool | int | float | str | tuple[str, ...] | Flags
"""A factor's value by its kind: FLAG bool; YEAR int; NUMBER float; TEXT, ENUM, DATE (ISO) and URL str; LIST a tuple;
FLAGS pairs of name and truth. All are hashable. `NOT_APPLICABLE` stands for any kind that allows it."""

_LONGEST = 500
_MOST = 50
_FIRST_YEAR = 1600
_LAST_YEAR = 2100
_COUNTRY_FACTORS = frozenset({"headquarters", "data_centers"})
_WHOLE = re.compile(r"[0-9]{1,6}\Z")
_DECIMAL = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


class Source(StrEnum):
    """Where a fact comes from."""

    COMPANY_PROFILE = "company-profile"
    VENDOR_DOCUMENTATION = "vendor-documentation"
    VENDOR_TRUST_PAGE = "vendor-trust-page"
    VENDOR_TERMS = "vendor-terms"
    CERTIFICATION_REGISTER = "certification-register"
    DOMAIN_REGISTER = "domain-register"
    PRESS = "press"
    SERVICE_NATURE = "service-nature"
    MEASURED = "measured"
    ATTESTATION = "attestation"
    BREACH_LIST = "breach-list"
    IMPORT = "import"
    OPERATOR = "operator"


SHIPPED_SOURCES = (
    Source.COMPANY_PROFILE,
    Source.VENDOR_DOCUMENTATION,
    Source.VENDOR_TRUST_PAGE,
    Source.VENDOR_TERMS,
    Source.CERTIFICATION_REGISTER,
    Source.DOMAIN_REGISTER,
    Source.PRESS,
    Source.SERVICE_NATURE,
)
"""Those that a shipped file may name. The others are made by what an operator does here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A value with its provenance. `as_of` is `YYYY-MM`, a date or an RFC 3339 time: when it was found to hold."""

    value: Value
    source: Source
    as_of: str = ""
    by: str = ""  # who asserts it: an attester or an admin; empty for the shipped catalog
    evidence: str = ""  # address of the page that says so


class Origin(StrEnum):
    """How an app came into the catalog."""

    SHIPPED = "shipped"
    IMPORTED = "imported"
    CUSTOM = "custom"
    CONFIGURED = "configured"  # of `apps/*.yaml`, and nowhere else


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownApp:
    """One app of the catalog.

    `domains` are patterns of `catalog.domains`: host, `*.` wildcard, host and path. `addresses` are CIDR networks.
    """

    id: str
    name: str
    category: str
    vendor: str = ""
    about: str = ""
    domains: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    also: tuple[str, ...] = ()  # further categories
    facts: Mapping[str, Fact] = field(default_factory=lambda: MappingProxyType({}))
    mdca_id: int | None = None  # the reference product's number, for exchange with it
    origin: Origin = Origin.SHIPPED
    business_unit: str = ""
    hosting_platform: str = ""  # custom apps: azure, aws, gcp, other
    fixed_score: int | None = None  # custom apps: the score an admin gave it
    attested_by: str = ""
    attested_on: str = ""  # ISO date

    @property
    def custom(self) -> bool:
        """Whether an admin made it here."""
        return self.origin is Origin.CUSTOM

    def value(self, factor: str) -> Value | None:
        """The value of a factor; None when nobody knows."""
        fact = self.facts.get(factor)
        return None if fact is None else fact.value


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownApps:
    """A whole catalog: its apps by id, and a version that changes with its content."""

    version: str
    by_id: Mapping[str, KnownApp]

    def __len__(self) -> int:
        return len(self.by_id)


def parse_value(factor: Factor, raw: Any) -> Value:
    """The value of `factor` that `raw` is, which comes from YAML, JSON or a cell of a table.

    Raises `ValueError` with a sentence when it is none.
    """
    if isinstance(raw, str):
        raw = raw.strip()
        if raw.lower() in (NOT_APPLICABLE, "not applicable"):
            if not factor.not_applicable:
                raise ValueError(f"'{factor.id}' cannot be n/a")
            return NOT_APPLICABLE
    return _PARSERS[factor.kind](factor, raw)


def to_plain(factor: Factor, value: Value) -> Any:
    """The value as JSON and YAML have it; `parse_value` reads it back."""
    if factor.kind is Kind.FLAGS and value != NOT_APPLICABLE:
        return dict(value)  # type: ignore[arg-type]  # FLAGS values are pairs
    return list(value) if isinstance(value, tuple) else value


def _flag(factor: Factor, raw: Any) -> Value:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.lower() in ("true", "false"):
        return raw.lower() == "true"
    raise ValueError(f"'{factor.id}' is true or false, not {_shown(raw)}")


def _text(factor: Factor, raw: Any) -> Value:
    if not isinstance(raw, str) or not raw or len(raw) > _LONGEST:
        raise ValueError(f"'{factor.id}' is a text of 1 to {_LONGEST} characters, not {_shown(raw)}")
    if factor.id in _COUNTRY_FACTORS and raw not in COUNTRIES:
        raise ValueError(f"'{factor.id}' is a country as two capital letters, ISO 3166 (GB, US), not {_shown(raw)}")
    return raw


def _enum(factor: Factor, raw: Any) -> Value:
    word = str(raw) if isinstance(raw, str | int | float) and not isinstance(raw, bool) else None
    if word in factor.values:
        return word
    raise ValueError(f"'{factor.id}' is one of {', '.join(factor.values)}, not {_shown(raw)}")


def _date(factor: Factor, raw: Any) -> Value:
    text = raw.isoformat() if isinstance(raw, date) else raw
    if isinstance(text, str) and _DATE.match(text):
        try:
            return date.fromisoformat(text).isoformat()
        except ValueError:
            pass
    raise ValueError(f"'{factor.id}' is a date as YYYY-MM-DD, not {_shown(raw)}")


def _year(factor: Factor, raw: Any) -> Value:
    number = int(raw) if isinstance(raw, str) and _WHOLE.match(raw) else raw
    if isinstance(number, int) and not isinstance(number, bool) and _FIRST_YEAR <= number <= _LAST_YEAR:
        return number
    raise ValueError(f"'{factor.id}' is a year, not {_shown(raw)}")


def _number(factor: Factor, raw: Any) -> Value:
    number = float(raw) if isinstance(raw, str) and _DECIMAL.match(raw) else raw
    if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= 10:
        return float(number)
    raise ValueError(f"'{factor.id}' is a number from 0 to 10, not {_shown(raw)}")


def _url(factor: Factor, raw: Any) -> Value:
    if isinstance(raw, str) and len(raw) <= _LONGEST and not re.search(r"[\s\x00-\x1f<>\"]", raw):
        try:
            parts = urlsplit(raw)
            if parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc:
                return raw
        except ValueError:
            pass
    raise ValueError(f"'{factor.id}' is an http or https address, not {_shown(raw)}")


def _list(factor: Factor, raw: Any) -> Value:
    items = [raw] if isinstance(raw, str) and raw else raw
    if not isinstance(items, list | tuple) or not items or len(items) > _MOST:
        raise ValueError(f"'{factor.id}' is a list of 1 to {_MOST} texts, not {_shown(raw)}")
    for item in items:
        _text(factor, item)
        if factor.values and item not in factor.values:
            raise ValueError(f"'{factor.id}' holds {', '.join(factor.values)}, not {_shown(item)}")
    return tuple(dict.fromkeys(items))


def _flags(factor: Factor, raw: Any) -> Value:
    if not isinstance(raw, Mapping) or not raw:
        raise ValueError(f"'{factor.id}' is a mapping of {', '.join(factor.values)} to true or false")
    for name in raw:
        if name not in factor.values:
            raise ValueError(f"'{factor.id}' has {', '.join(factor.values)}, not {_shown(name)}")
    truths = {name: _flag(factor, raw[name]) for name in factor.values if name in raw}
    return tuple((name, bool(truth)) for name, truth in truths.items())


def _shown(raw: Any) -> str:
    text = repr(raw)
    return text if len(text) <= 60 else text[:59] + "…"


_PARSERS = {
    Kind.FLAG: _flag,
    Kind.TEXT: _text,
    Kind.ENUM: _enum,
    Kind.DATE: _date,
    Kind.YEAR: _year,
    Kind.NUMBER: _number,
    Kind.URL: _url,
    Kind.LIST: _list,
    Kind.FLAGS: _flags,
}


def app_to_plain(app: KnownApp) -> dict[str, Any]:
    """The app as JSON data, complete: `app_from_plain` reads it back. Absent and empty fields are left out."""
    plain: dict[str, Any] = {"id": app.id, "name": app.name, "category": app.category}
    for name in _PLAIN_FIELDS:
        value = getattr(app, name)
        if value not in ("", None, ()):
            plain[name] = list(value) if isinstance(value, tuple) else value
    if app.origin is not Origin.SHIPPED:
        plain["origin"] = app.origin.value
    if app.facts:
        plain["facts"] = {
            factor: [to_plain(FACTORS[factor], fact.value), fact.source.value, fact.as_of, fact.by, fact.evidence]
            for factor, fact in app.facts.items()
        }
    return plain


_PLAIN_FIELDS = (
    "vendor",
    "about",
    "domains",
    "addresses",
    "also",
    "mdca_id",
    "business_unit",
    "hosting_platform",
    "fixed_score",
    "attested_by",
    "attested_on",
)
_TUPLES = frozenset({"domains", "addresses", "also"})
_SOURCES = {source.value: source for source in Source}


class PlainReader:
    """Reads what `app_to_plain` wrote, trusting it. Equal facts of many apps become one object, which saves memory."""

    def __init__(self) -> None:
        self._facts: dict[Any, Fact] = {}

    def app(self, plain: Mapping[str, Any], facts: Mapping[str, Fact] | None = None) -> KnownApp:
        """The app, with `facts` when they are read already; `KeyError`, `TypeError` or `ValueError` for other data."""
        extra: dict[str, Any] = {
            name: tuple(plain[name]) if name in _TUPLES else plain[name] for name in _PLAIN_FIELDS if name in plain
        }
        return KnownApp(
            id=plain["id"],
            name=plain["name"],
            category=plain["category"],
            origin=Origin(plain.get("origin", Origin.SHIPPED)),
            facts=facts
            if facts is not None
            else {name: self.fact(row) for name, row in plain.get("facts", {}).items()},
            **extra,
        )

    def fact(self, row: list[Any]) -> Fact:
        """One fact: value, source, as of, by, evidence."""
        raw, source, as_of, by, evidence = row
        value: Value
        if isinstance(raw, list):
            value = tuple(raw)
        elif isinstance(raw, dict):
            value = tuple(raw.items())
        else:
            value = raw
        # The type is in the key: 1, 1.0 and True are equal and not the same value.
        key = (value, type(value), source, as_of, by, evidence)
        fact = self._facts.get(key)
        if fact is None:
            fact = Fact(value=value, source=_SOURCES[source], as_of=as_of, by=by, evidence=evidence)
            self._facts[key] = fact
        return fact


def pack(apps: Iterable[KnownApp]) -> dict[str, Any]:
    """Many apps as JSON data, each fact that several of them have only once: `unpack` is fast because of it."""
    numbers: dict[tuple[Fact, type], int] = {}
    rows: list[Any] = []
    packed = []
    for app in apps:
        plain = app_to_plain(app)
        facts = {}
        for name, fact in app.facts.items():
            key = (fact, type(fact.value))
            number = numbers.setdefault(key, len(rows))
            if number == len(rows):
                rows.append(plain["facts"][name])
            facts[name] = number
        packed.append({**plain, "facts": facts})
    return {"facts": rows, "apps": packed}


def unpack(packed: Mapping[str, Any]) -> dict[str, KnownApp]:
    """What `pack` wrote, by id; `KeyError`, `TypeError`, `ValueError` or `IndexError` when it is something else."""
    reader = PlainReader()
    facts = [reader.fact(row) for row in packed["facts"]]
    apps = {}
    for plain in packed["apps"]:
        own = {name: facts[number] for name, number in plain["facts"].items()}
        apps[plain["id"]] = reader.app(plain, own)
    return apps


def apps_from_plain(rows: Iterable[Mapping[str, Any]]) -> dict[str, KnownApp]:
    """Many apps, by id, in their order."""
    reader = PlainReader()
    apps = (reader.app(row) for row in rows)
    return {app.id: app for app in apps}
