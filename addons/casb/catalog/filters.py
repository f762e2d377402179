"""Which apps a search means: rows of filter, operator and values; rows combine with AND, the values of one with OR.

`does not equal` is the opposite of `equals`: it holds where nothing is known. The same rows make a saved query, a
suggested query and the app filter of a discovery policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from casb.catalog.factors import CATEGORIES, FACTORS, Factor, Family, Kind
from casb.catalog.inventory import Entry, Inventory
from casb.catalog.known import NOT_APPLICABLE, Value
from casb.catalog.metrics import Band
from casb.errors import CatalogError
from casb.model.app import AppTag
from casb.yamlfile import did_you_mean

UNKNOWN = "unknown"
NONE = "none"

EQUALS = "equals"
NOT_EQUALS = "does_not_equal"
CONTAINS = "contains"
AT_LEAST = "at_least"
AT_MOST = "at_most"
OPERATORS = (EQUALS, NOT_EQUALS, CONTAINS, AT_LEAST, AT_MOST)

_FACTOR = "factor:"
_MOST_ROWS = 50
_MOST_VALUES = 200
_LONGEST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One row. `field` is a name of `FIELDS`, `factor:<id>`, or `factor:<id>.<flag>` for one of a composite."""

    field: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A named search."""

    id: str
    name: str
    conditions: tuple[Condition, ...]


type Test = Callable[[Entry], bool]


def compile_conditions(conditions: Sequence[Condition], inventory: Inventory | None = None) -> Test:
    """The rows as one test. Raises `CatalogError` C230 for what cannot be compared so.

    `inventory` gives the risk bands; without it `risk` cannot be used.
    """
    if len(conditions) > _MOST_ROWS:
        raise CatalogError("C230", f"a search has at most {_MOST_ROWS} rows")
    tests = [_row(each, inventory) for each in conditions]
    return lambda entry: all(test(entry) for test in tests)


def select(inventory: Inventory, conditions: Sequence[Condition]) -> list[Entry]:
    """The apps that all rows hold for, in the order of the catalog."""
    test = compile_conditions(conditions, inventory)
    return [entry for entry in inventory if test(entry)]


def _row(row: Condition, inventory: Inventory | None) -> Test:
    if not row.values or len(row.values) > _MOST_VALUES or any(len(each) > _LONGEST for each in row.values):
        raise CatalogError("C230", f"'{row.field}' needs 1 to {_MOST_VALUES} values")
    if row.operator not in OPERATORS:
        raise CatalogError("C230", f"'{row.operator}' is no operator", None, did_you_mean(row.operator, OPERATORS))
    if row.field.startswith(_FACTOR):
        return _factor(row)
    if row.field == "score":
        return _score(row)
    if row.field not in FIELDS:
        words = [*FIELDS, "score", *(f"{_FACTOR}{name}" for name in FACTORS)]
        raise CatalogError("C230", f"there is no filter '{row.field}'", None, did_you_mean(row.field, words))
    if row.operator in (AT_LEAST, AT_MOST):
        raise CatalogError("C230", f"'{row.field}' has no order to compare by")
    wanted = {each.casefold() for each in row.values}
    if row.field == "risk":
        if inventory is None:
            raise CatalogError("C230", "'risk' needs the bands of a catalog")
        bands = inventory.metrics.bands
        _words(row, [each.value for each in Band])
        equal: Test = lambda entry: bands.of(entry.score).value in wanted  # noqa: E731 - one of two of its kind
        return _either(row, equal)
    if row.field == "category":
        _words(row, CATEGORIES)
    read = FIELDS[row.field]
    if row.operator == CONTAINS:
        return lambda entry: any(want in word for word in read(entry) for want in wanted)
    return _either(row, lambda entry: not wanted.isdisjoint(read(entry)))


def _either(row: Condition, equal: Test) -> Test:
    if row.operator == NOT_EQUALS:
        return lambda entry: not equal(entry)
    return equal


def _words(row: Condition, known: Iterable[str]) -> None:
    words = list(known)
    for value in row.values:
        if row.operator != CONTAINS and value not in words:
            raise CatalogError("C230", f"'{value}' is no {row.field}", None, did_you_mean(value, words))


def _score(row: Condition) -> Test:
    """A score, `lowest-highest`, or `unscored`; the score is the rounded one that counts."""
    if row.operator in (AT_LEAST, AT_MOST):
        edge = _number(row.values[0], row)
        if row.operator == AT_LEAST:
            return lambda entry: entry.score is not None and entry.score >= edge
        return lambda entry: entry.score is not None and entry.score <= edge
    ranges = []
    unscored = False
    for value in row.values:
        if value == "unscored":
            unscored = True
            continue
        low, dash, high = value.partition("-")
        ranges.append((_number(low, row), _number(high if dash else low, row)))

    def equal(entry: Entry) -> bool:
        score = entry.score
        if score is None:
            return unscored
        return any(low <= score <= high for low, high in ranges)

    return _either(row, equal)


def _number(text: str, row: Condition) -> float:
    try:
        return float(text)
    except ValueError:
        raise CatalogError("C230", f"'{row.field}': {text!r} is no number") from None


def _factor(row: Condition) -> Test:
    name, _, part = row.field.removeprefix(_FACTOR).partition(".")
    factor = FACTORS.get(name)
    if factor is None:
        raise CatalogError("C230", f"there is no factor '{name}'", None, did_you_mean(name, FACTORS))
    if part and (factor.kind is not Kind.FLAGS or part not in factor.values):
        raise CatalogError("C230", f"'{name}' has no part '{part}'", None, did_you_mean(part, factor.values))
    if row.operator in (AT_LEAST, AT_MOST):
        return _ordered(row, factor)
    wanted = frozenset(each.casefold() for each in row.values)
    _known_words(row, factor, part, wanted)

    def words(entry: Entry) -> frozenset[str]:
        value = entry.app.value(name)
        return frozenset({UNKNOWN}) if value is None else _value_words(factor, value, part)

    if row.operator == CONTAINS:
        return lambda entry: any(want in word for word in words(entry) for want in wanted)
    return _either(row, lambda entry: not wanted.isdisjoint(words(entry)))


def _known_words(row: Condition, factor: Factor, part: str, wanted: Iterable[str]) -> None:
    if factor.kind is Kind.FLAG or part:
        known = {"true", "false"}
    elif factor.kind is Kind.FLAGS:
        known = {"all", "some", NONE, *factor.values}
    elif factor.values:
        known = set(factor.values)
    else:
        return
    known |= {UNKNOWN, NOT_APPLICABLE}
    for value in wanted:
        if value not in known and row.operator != CONTAINS:
            raise CatalogError("C230", f"'{factor.id}' is never '{value}'", None, did_you_mean(value, known))


def _value_words(factor: Factor, value: Value, part: str) -> frozenset[str]:
    """What a value equals, as words."""
    if value == NOT_APPLICABLE:
        return frozenset({NOT_APPLICABLE})
    if isinstance(value, bool):
        return frozenset({"true" if value else "false"})
    if factor.kind is Kind.FLAGS and isinstance(value, tuple):
        truths = {str(pair[0]): pair[1] is True for pair in value}
        if part:
            return frozenset({UNKNOWN if part not in truths else "true" if truths[part] else "false"})
        met = {name for name, truth in truths.items() if truth}
        share = "all" if len(met) == len(factor.values) else "some" if met else NONE
        return frozenset({share, *met})
    if isinstance(value, tuple):
        return frozenset(str(each).casefold() for each in value)
    return frozenset({f"{value:g}" if isinstance(value, float) else str(value).casefold()})


def _ordered(row: Condition, factor: Factor) -> Test:
    """Enums by their order from worst to best, dates, years and numbers by size."""
    edge = row.values[0]
    rank: Callable[[Value], Any]
    if factor.kind is Kind.ENUM:
        if edge not in factor.values:
            raise CatalogError("C230", f"'{factor.id}' is never '{edge}'", None, did_you_mean(edge, factor.values))
        rank = lambda value: factor.values.index(str(value))  # noqa: E731 - chosen by the kind
    elif factor.kind in (Kind.YEAR, Kind.NUMBER):
        rank = lambda value: float(str(value))  # noqa: E731 - chosen by the kind
        _number(edge, row)
    elif factor.kind is Kind.DATE:
        rank = str
    else:
        raise CatalogError("C230", f"'{factor.id}' has no order to compare by")
    limit: Any = rank(edge)
    above = row.operator == AT_LEAST

    def test(entry: Entry) -> bool:
        value = entry.app.value(factor.id)
        if value is None or value == NOT_APPLICABLE:
            return False
        at: Any = rank(value)
        return bool(at >= limit if above else at <= limit)

    return test


def _tags(entry: Entry) -> frozenset[str]:
    words = {tag.casefold() for tag in entry.tags}
    return frozenset(words) if words else frozenset({NONE})


def _texts(*texts: str) -> frozenset[str]:
    return frozenset(text.casefold() for text in texts)


FIELDS: Mapping[str, Callable[[Entry], frozenset[str]]] = {
    "app": lambda entry: _texts(entry.id, entry.app.name),
    "domain": lambda entry: frozenset(entry.app.domains),
    "app_or_domain": lambda entry: _texts(entry.id, entry.app.name, *entry.app.domains),
    "vendor": lambda entry: _texts(entry.app.vendor),
    "category": lambda entry: frozenset(entry.categories),
    "tag": _tags,
    "risk": lambda entry: frozenset(),  # by the bands in force
    "origin": lambda entry: _texts(entry.app.origin.value),
    "business_unit": lambda entry: _texts(entry.app.business_unit or NONE),
    "headquarters": lambda entry: _texts(str(entry.app.value("headquarters") or UNKNOWN)),
    "configured": lambda entry: frozenset({"yes" if entry.configured else "no"}),
}
"""Filters besides `score` and factors, and what of an app they look at, in lower case."""


def _is(name: str, *values: str) -> Condition:
    return Condition(field=f"{_FACTOR}{name}", operator=EQUALS, values=values)


def _is_not(name: str, *values: str) -> Condition:
    return Condition(field=f"{_FACTOR}{name}", operator=NOT_EQUALS, values=values)


def _category(*values: str) -> Condition:
    return Condition(field="category", operator=EQUALS, values=values)


SUGGESTED: tuple[Query, ...] = (
    Query(
        id="anonymous_use",
        name="Cloud apps that allow anonymous use",
        conditions=(_is("requires_user_authentication", "false"),),
    ),
    Query(
        id="csa_star",
        name="Cloud apps that are CSA STAR certified",
        conditions=(
            _is("csa_star_level", "certification", "attestation", "c_star_assessment", "continuous_monitoring"),
        ),
    ),
    Query(
        id="fedramp",
        name="Cloud apps that are FedRAMP compliant",
        conditions=(_is("fedramp_level", "high", "moderate", "low"),),
    ),
    Query(
        id="vendor_owns_data",
        name="Storage and collaboration apps where the vendor owns the data",
        conditions=(_category("cloud_storage", "collaboration"), _is("data_ownership", "false")),
    ),
    Query(
        id="risky_storage",
        name="Risky and non-compliant cloud storage apps",
        conditions=(
            _category("cloud_storage"),
            _is_not("soc_2", "true"),
            _is_not("hipaa", "true"),
            _is_not("pci_dss_version", *FACTORS["pci_dss_version"].values[1:]),
            Condition(field="score", operator=AT_MOST, values=("5",)),
        ),
    ),
    Query(
        id="weak_authentication",
        name="Cloud apps with weak authentication",
        conditions=(
            _is("saml", "false"),
            _is("password_policy", NONE),
            _is("multi_factor_authentication", "false"),
        ),
    ),
    Query(
        id="weak_encryption",
        name="Cloud apps with weak encryption",
        conditions=(
            _is("data_at_rest_encryption", "not_supported"),
            _is("encryption_protocol", "not_supported"),
        ),
    ),
    Query(
        id="gdpr_ready",
        name="GDPR-ready cloud apps",
        conditions=(_is_not("gdpr_readiness_statement", UNKNOWN),),
    ),
)
"""The searches that the reference product suggests."""


def category_totals(entries: Iterable[Entry]) -> dict[str, int]:
    """How many of the apps a filter by each category would leave, by id. An app counts in each of its categories."""
    totals = dict.fromkeys(CATEGORIES, 0)
    for entry in entries:
        for category in entry.categories:
            totals[category] = totals.get(category, 0) + 1
    return totals


def family_factors(family: Family) -> list[Factor]:
    """The factors of a family, for the picker of its filter."""
    return [factor for factor in FACTORS.values() if factor.family is family]


def insights(inventory: Inventory) -> dict[str, int]:
    """The counters above the catalog: what wants a decision."""
    untagged = [entry for entry in inventory if entry.tag is AppTag.NONE]
    return {
        "untagged_high_risk": sum(inventory.band(entry) is Band.HIGH for entry in untagged),
        "untagged_generative_ai": sum("generative_ai" in entry.categories for entry in untagged),
    }
