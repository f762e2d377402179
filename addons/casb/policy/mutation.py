"""Mutation testing: policies with one thing changed, each of which some case should notice.

A mutant that every case passes shows what no test defends (DeMillo, Lipton, Sayward, "Hints on Test Data Selection",
1978). The changes are those that people make by mistake: a condition lost, a value missing, a bound off by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from casb.errors import Problems, Where
from casb.policy.cases import Suite, run
from casb.policy.compile import compile_policies
from casb.policy.conditions import flow
from casb.policy.document import PolicyFile
from casb.policy.loader import LoadedPolicy, load
from casb.policy.vocabulary import GROUPS, OPERATORS, OPPOSITES, TREE_DOCS
from casb.yamlfile import Marks, Path, examine


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One policy with one thing changed. `what` tells the change; `where` is its place in the admin's file."""

    policy: str
    where: Where
    what: str
    loaded: LoadedPolicy | None  # None: the policy is not there any more


TAKEN_OUT = " is taken out of "

type Edit = tuple[Path, str, Any]
"""Where in the policy, what is done, and the policy afterwards (None: gone)."""


def mutants(file: str, text: bytes) -> Iterator[Mutant]:
    """Every mutant of every switched-on policy in a file without errors. Changes that leave no valid policy are left
    out."""
    document, marks, _ = examine(PolicyFile, text, file)
    if document is None or marks is None:
        return
    for index, policy in enumerate(document.policies):
        if not policy.enabled:
            continue
        path: Path = ("policies", index)
        yield Mutant(policy=policy.id, where=marks.where((*path, "id")), what="the policy is removed", loaded=None)
        said: set[bytes] = {orjson.dumps(marks.data(path), option=orjson.OPT_SORT_KEYS)}
        for below, what, changed in _edits(marks.data(path)):
            key = orjson.dumps(changed, option=orjson.OPT_SORT_KEYS)
            loaded = None if key in said else _loaded(file, changed)
            said.add(key)
            if loaded is not None:
                yield Mutant(policy=policy.id, where=_where(marks, (*path, *below)), what=what, loaded=loaded)


def _where(marks: Marks, path: Path) -> Where:
    return marks.where(path, key=isinstance(path[-1], str))


def _loaded(file: str, policy: Mapping[str, Any]) -> LoadedPolicy | None:
    """The changed policy, checked; JSON is YAML."""
    try:
        return load({file: orjson.dumps({"version": 1, "policies": [policy]})}).policies[0]
    except Problems:
        return None


def survivors(
    found: Iterable[Mutant], policies: Mapping[str, Sequence[LoadedPolicy]], suites: Sequence[Suite]
) -> Iterator[tuple[Mutant, bool]]:
    """Each mutant with whether it survived: no case of any suite fails. `policies` are those of a suite, by its file.

    The suites pass on the policies as they are.
    """
    for mutant in found:
        yield mutant, not any(_notices(suite, policies[suite.file], mutant) for suite in suites)


def _notices(suite: Suite, loaded: Sequence[LoadedPolicy], mutant: Mutant) -> bool:
    if all(each.document.id != mutant.policy for each in loaded):
        return False
    changed = [each for each in loaded if each.document.id != mutant.policy]
    if mutant.loaded is not None:
        changed.append(mutant.loaded)
    return any(not outcome.passed for outcome in run(suite, compile_policies(changed)))


# --- the changes


def _edits(policy: dict[str, Any]) -> Iterator[Edit]:
    action = policy.get("action")
    if action != "audit":
        yield ("action",), f"action: {flow(action)} becomes audit", {**policy, "action": "audit"}
    for key in ("apps", "activities"):
        values = policy.get(key)
        if isinstance(values, list) and len(values) > 1:
            for index, value in enumerate(values):
                rest = [*values[:index], *values[index + 1 :]]
                yield (key, index), f"{value}{TAKEN_OUT}'{key}'", {**policy, key: rest}
        if values:
            yield (key,), f"{key} is left out: it concerns every one", _without(policy, key)
    if policy.get("schedule"):
        yield ("schedule",), "the schedule is left out: it counts always", _without(policy, "schedule")
    repeated = policy.get("repeated")
    if repeated:
        yield ("repeated",), "'repeated' is left out: once is enough", _without(policy, "repeated")
        least = repeated["at_least"]
        if least > 2:
            what = f"'at_least: {least}' becomes {least - 1}"
            yield ("repeated", "at_least"), what, {**policy, "repeated": {**repeated, "at_least": least - 1}}
    when = policy.get("when")
    if isinstance(when, dict):
        for path, what, changed in _conditions(when, ("when",)):
            yield path, what, {**policy, "when": changed} if changed else _without(policy, "when")


def _conditions(when: dict[str, Any], at: Path) -> Iterator[Edit]:
    """Changes of one mapping of conditions; the mapping afterwards."""
    for key, value in when.items():
        path = (*at, key)
        if key in TREE_DOCS:
            for below, what, changed in _tree(key, value, path):
                yield below, what, _with(when, key, changed)
        elif key in GROUPS:
            yield path, f"'{key}: {flow(value)}' is dropped", _without(when, key)
            for below, what, changed in _group(key, value, path):
                yield below, what, _with(when, key, changed)


def _with(mapping: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, _Renamed):
        return {
            (value.key if each == key else each): (value.value if each == key else old) for each, old in mapping.items()
        }
    return {**mapping, key: value}


@dataclass(frozen=True, slots=True)
class _Renamed:
    """A value that moves to another key."""

    key: str
    value: Any


def _tree(key: str, value: Any, path: Path) -> Iterator[Edit]:
    if key == "not":
        items = value if isinstance(value, list) else [value]
        if len(items) == 1:
            yield path, "'not' is lost", _Renamed("all", items)
    elif isinstance(value, list) and len(value) > 1:
        other = "any" if key == "all" else "all"
        yield path, f"'{key}' becomes '{other}'", _Renamed(other, value)
    if isinstance(value, dict):
        yield from _conditions(value, path)
        return
    if not isinstance(value, list):
        return
    for index, item in enumerate(value):
        if len(value) > 1:
            rest = [*value[:index], *value[index + 1 :]]
            yield (*path, index), f"'{flow(item)}' is dropped from '{key}'", rest
        if isinstance(item, dict):
            for below, what, changed in _conditions(item, (*path, index)):
                if changed:
                    yield below, what, [*value[:index], changed, *value[index + 1 :]]


def _group(group: str, value: Any, path: Path) -> Iterator[Edit]:
    if not isinstance(value, dict) or all(key in OPERATORS for key in value):
        yield from _value(group, value, path)
        return
    for name, below in value.items():
        if len(value) > 1:
            yield (*path, name), f"'{group}: {{{name}: {flow(below)}}}' is dropped", _without(value, name)
        for place, what, changed in _value(name, below, (*path, name)):
            yield place, what, {**value, name: changed}


_BOUNDS = {"at_least": "more_than", "more_than": "at_least", "at_most": "less_than", "less_than": "at_most"}


def _value(name: str, value: Any, path: Path) -> Iterator[Edit]:
    """Changes of what one fact is compared with."""
    if isinstance(value, bool):
        yield path, f"'{name}: {flow(value)}' becomes {flow(not value)}", not value
    elif isinstance(value, dict):
        for operator, operand in value.items():
            yield from _operator(name, value, operator, operand, path)
    else:
        yield path, f"'{name}: {flow(value)}' becomes 'not'", {"not": value}
        yield from _fewer(name, value, path)


def _operator(name: str, value: dict[str, Any], operator: str, operand: Any, path: Path) -> Iterator[Edit]:
    place = (*path, operator)
    if len(value) > 1:
        yield place, f"'{name}: {{{operator}: {flow(operand)}}}' is dropped", _without(value, operator)
    if operator in _BOUNDS:
        other = _BOUNDS[operator]
        yield (
            place,
            f"'{operator}: {flow(operand)}' becomes '{other}'",
            _with(value, operator, _Renamed(other, operand)),
        )
    elif operator == "is_set":
        yield place, f"'is_set: {flow(operand)}' becomes {flow(not operand)}", {**value, operator: not operand}
    elif operator == "not" and len(value) == 1:
        yield place, f"'not' of '{name}' is lost", operand
    elif operator in OPPOSITES or operator == "other_than":
        other = OPPOSITES.get(operator, "any_of")
        yield (
            place,
            f"'{operator}: {flow(operand)}' becomes '{other}'",
            _with(value, operator, _Renamed(other, operand)),
        )
    for below, what, changed in _fewer(name, operand, place):
        yield below, what, {**value, operator: changed}


def _fewer(name: str, value: Any, path: Path) -> Iterator[Edit]:
    if isinstance(value, list) and len(value) > 1:
        for index, item in enumerate(value):
            rest = [*value[:index], *value[index + 1 :]]
            yield (*path, index), f"{flow(item)}{TAKEN_OUT}'{name}'", rest


def _without(mapping: dict[str, Any], key: str) -> dict[str, Any]:
    return {each: value for each, value in mapping.items() if each != key}
