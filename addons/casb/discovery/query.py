"""Questions about discovered apps: the advanced filters, sorting and paging (reference section 9.5).

A question is rows of field, operator and values; rows are joined by AND, several values of a row mean any of them.
Works on usage per app joined with the catalog in force; knows no store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from casb.discovery.facts import AppFacts

type Plain = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppUsage:
    """One app in a report: sums over the window, and what the catalog says. Times aware UTC."""

    facts: AppFacts
    events: int
    blocked: int
    up: int
    down: int
    total: int
    users: int
    ips: int
    devices: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One row of the advanced filters."""

    field: str
    op: str
    values: tuple[Any, ...]

    def as_plain(self) -> dict[str, Any]:
        """As JSON; `condition` reads it again."""
        return {"field": self.field, "op": self.op, "values": list(self.values)}


NUMBERS: Mapping[str, Callable[[AppUsage], Any]] = {
    "score": lambda each: each.facts.score,
    "users": lambda each: each.users,
    "ips": lambda each: each.ips,
    "devices": lambda each: each.devices,
    "transactions": lambda each: each.events,
    "blocked": lambda each: each.blocked,
    "traffic": lambda each: each.total,
    "uploaded": lambda each: each.up,
    "downloaded": lambda each: each.down,
}
DAYS: Mapping[str, Callable[[AppUsage], date]] = {
    "first_seen": lambda each: each.first.date(),
    "last_seen": lambda each: each.last.date(),
}
WORDS: Mapping[str, Callable[[AppUsage], Iterable[str]]] = {
    "tag": lambda each: (each.facts.tag, *each.facts.tags),
    "app": lambda each: (each.facts.id, each.facts.name, *each.facts.domains),
    "category": lambda each: (each.facts.category,),
    "risk": lambda each: (each.facts.risk,),
    "vendor": lambda each: (each.facts.vendor,),
    "headquarters": lambda each: (each.facts.headquarters or "",),
}
FACTOR = "factor."
"""Prefix of a risk factor's field: `factor.soc_2`."""
OPERATORS = {
    "number": ("gt", "ge", "lt", "le", "equals", "not_equals", "between"),
    "day": ("gt", "lt", "equals"),
    "word": ("equals", "not_equals", "contains", "not_contains"),
    "factor": ("equals", "not_equals", "at_least", "below", "known", "unknown"),
}

SORTS: Mapping[str, Callable[[AppUsage], Any]] = {
    "name": lambda each: each.facts.name.casefold(),
    "category": lambda each: each.facts.category,
    "score": lambda each: -1.0 if each.facts.score is None else each.facts.score,
    "tag": lambda each: each.facts.tag,
    "traffic": lambda each: each.total,
    "uploaded": lambda each: each.up,
    "downloaded": lambda each: each.down,
    "transactions": lambda each: each.events,
    "blocked": lambda each: each.blocked,
    "users": lambda each: each.users,
    "ips": lambda each: each.ips,
    "devices": lambda each: each.devices,
    "first_seen": lambda each: each.first,
    "last_seen": lambda each: each.last,
}
"""Column to the key it is sorted by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """What the catalog knows of factors: ids, and the values of an enumeration from worst to best."""

    factors: frozenset[str] = frozenset()
    enums: Mapping[str, Sequence[str]] | None = None


def condition(plain: Plain, scales: Scales) -> Condition:
    """One row from JSON. Raises `ValueError` with a sentence: unknown field or operator, values of the wrong kind."""
    if not isinstance(plain, Mapping) or set(plain) - {"field", "op", "values", "value"}:
        raise ValueError("a filter has `field`, `op` and `values`")
    field, op = plain.get("field"), plain.get("op", "equals")
    values = plain.get("values", [plain["value"]] if "value" in plain else [])
    if not isinstance(field, str) or not isinstance(op, str):
        raise ValueError("`field` and `op` are texts")
    if not isinstance(values, list | tuple):
        values = [values]
    kind = _kind(field, scales)
    if op not in OPERATORS[kind]:
        raise ValueError(f"{field!r} can be asked by {', '.join(OPERATORS[kind])}, not by {op!r}")
    if kind == "number":
        values = [_number(field, value) for value in values]
    elif kind == "day":
        values = [_day(field, value) for value in values]
    elif kind == "word":
        values = [_word(field, value) for value in values]
    wanted = 2 if op == "between" else 0 if op in ("known", "unknown") else 1
    if len(values) < wanted or (op == "between" and len(values) != 2):
        raise ValueError(f"{field!r} {op} needs {wanted} value{'s' if wanted > 1 else ''}")
    return Condition(field=field, op=op, values=tuple(values))


def conditions(plain: object, scales: Scales) -> tuple[Condition, ...]:
    """All rows of a question. Raises `ValueError`."""
    if not isinstance(plain, list | tuple) or len(plain) > 50:
        raise ValueError("filters are a list of at most 50 rows")
    return tuple(condition(each, scales) for each in plain)


def select(apps: Iterable[AppUsage], wanted: Iterable[Condition], scales: Scales) -> list[AppUsage]:
    """The apps that every row lets pass."""
    tests = [_test(each, scales) for each in wanted]
    return [app for app in apps if all(test(app) for test in tests)]


def sort(apps: Iterable[AppUsage], by: str = "traffic", *, descending: bool = True) -> list[AppUsage]:
    """Sorted by a column of `SORTS`; ties by name. Raises `ValueError`."""
    if by not in SORTS:
        raise ValueError(f"apps cannot be sorted by {by!r}; columns: {', '.join(SORTS)}")
    named = sorted(apps, key=lambda each: (each.facts.name.casefold(), each.facts.id))
    return sorted(named, key=SORTS[by], reverse=descending)


def _kind(field: str, scales: Scales) -> str:
    if field in NUMBERS:
        return "number"
    if field in DAYS:
        return "day"
    if field in WORDS:
        return "word"
    if field.startswith(FACTOR) and field.removeprefix(FACTOR) in scales.factors:
        return "factor"
    raise ValueError(f"there is no filter {field!r}; filters: {', '.join((*NUMBERS, *DAYS, *WORDS))}, factor.<id>")


def _test(row: Condition, scales: Scales) -> Callable[[AppUsage], bool]:
    kind = _kind(row.field, scales)
    if kind == "number":
        return _comparison(NUMBERS[row.field], row)
    if kind == "day":
        return _comparison(DAYS[row.field], replace(row, values=tuple(map(date.fromisoformat, row.values))))
    if kind == "word":
        return _words(WORDS[row.field], row)
    return _factor(row, scales)


def _comparison(take: Callable[[AppUsage], Any], row: Condition) -> Callable[[AppUsage], bool]:
    compare = _COMPARE[row.op]

    def test(app: AppUsage) -> bool:
        value = take(app)
        return value is not None and compare(value, row.values)

    return test


_COMPARE: Mapping[str, Callable[[Any, tuple[Any, ...]], bool]] = {
    "gt": lambda value, values: value > values[0],
    "ge": lambda value, values: value >= values[0],
    "lt": lambda value, values: value < values[0],
    "le": lambda value, values: value <= values[0],
    "equals": lambda value, values: value in values,
    "not_equals": lambda value, values: value not in values,
    "between": lambda value, values: values[0] <= value <= values[1],
}


def _words(take: Callable[[AppUsage], Iterable[str]], row: Condition) -> Callable[[AppUsage], bool]:
    wanted = [value.casefold() for value in row.values]
    within = row.op.endswith("contains")
    negated = row.op.startswith("not_")

    def test(app: AppUsage) -> bool:
        present = [word.casefold() for word in take(app)]
        if within:
            found = any(value in word for value in wanted for word in present)
        else:
            found = any(value in present for value in wanted)
        return found is not negated

    return test


def _factor(row: Condition, scales: Scales) -> Callable[[AppUsage], bool]:
    name = row.field.removeprefix(FACTOR)
    order = list((scales.enums or {}).get(name, ()))

    def test(app: AppUsage) -> bool:
        value = app.facts.factors.get(name)
        if row.op == "known":
            return value is not None
        if row.op == "unknown":
            return value is None
        if row.op == "not_equals":
            # Unknown is not equal: who asks for apps without SOC 2 means those that nobody vouches for, too.
            return value is None or not _same(value, row.values)
        if value is None:
            return False
        if row.op == "equals":
            return _same(value, row.values)
        return _ranked(value, row, order)

    return test


def _same(value: Any, wanted: Iterable[Any]) -> bool:
    if isinstance(value, tuple):  # a list of texts, or pairs of name and truth
        present = {each[0] for each in value if each[1]} if value and isinstance(value[0], tuple) else set(value)
        return any(_plain(each) in {_plain(item) for item in present} for each in wanted)
    return any(_plain(value) == _plain(each) for each in wanted)


def _plain(value: Any) -> str:
    return str(value).casefold()


def _ranked(value: Any, row: Condition, order: list[str]) -> bool:
    try:
        if order:
            place, limit = order.index(str(value)), order.index(str(row.values[0]))
        else:
            place, limit = float(value), float(row.values[0])  # type: ignore[assignment]
    except (ValueError, TypeError):
        return False  # n/a and what is not on the scale
    return place >= limit if row.op == "at_least" else place < limit


def _number(field: str, value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{field!r} is compared with a number, not with {value!r}")
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"{field!r} is compared with a number, not with {value!r}") from None
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError(f"{field!r} is compared with a number, not with {value!r}")
    return int(number) if number == int(number) else number


def _day(field: str, value: Any) -> str:
    try:
        return date.fromisoformat(str(value)[:10]).isoformat()
    except ValueError:
        raise ValueError(f"{field!r} is compared with a day such as 2026-03-01, not with {value!r}") from None


def _word(field: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 500:
        raise ValueError(f"{field!r} is compared with a text")
    return value
