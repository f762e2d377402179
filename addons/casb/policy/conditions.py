"""The condition vocabulary put to work: what stands under `when` becomes closures, Activity to yes, no or unknown.

Each condition is compiled once and keeps its place in the file, so that a decision can name it. Rules of absence: a
fact that is missing never satisfies a positive condition and does satisfy `not`; a fact that is not known yet answers
UNKNOWN to both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from casb.errors import Where
from casb.model.activity import Activity
from casb.model.decision import Truth
from casb.policy import findings, matchers
from casb.policy.found import Found
from casb.policy.matchers import Malformed
from casb.policy.truths import NO, UNKNOWN, YES, Check, all_of, always, any_of, none_of, unknown
from casb.policy.vocabulary import (
    DEFAULT_FIELD,
    FIELDS,
    GROUPS,
    KNOWN_AT_SIGN_IN,
    OPERATORS,
    OPERATORS_OF,
    OPPOSITES,
    TREE_DOCS,
    UNMANAGED_ONLY,
    UNREAD,
    Field,
    Kind,
    plain_name,
)
from casb.yamlfile import Marks, Path, Report, describe, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One condition on one fact. `written` is its YAML, e.g. `device: unmanaged`; `operand` the value as written."""

    field: Field
    where: Where
    written: str
    check: Check
    operator: str = "any_of"
    operand: Any = dataclasses.field(default=None, compare=False)

    @property
    def code(self) -> str:
        return self.field.code

    def leaves(self) -> Iterator[Leaf]:
        yield self

    def fact(self, activity: Activity) -> str:
        """The fact that answers it, for people."""
        return show(self.field, self.field.get(activity), activity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Several conditions together."""

    kind: Literal["all", "any", "not"]
    parts: tuple[Node, ...]
    where: Where
    check: Check

    def leaves(self) -> Iterator[Leaf]:
        for part in self.parts:
            yield from part.leaves()


type Node = Leaf | Branch

ALWAYS = Branch(kind="all", parts=(), where=Where(file=""), check=always)
"""The condition of a policy without `when`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the parser of one policy knows: places, where to report, and what exists in the deployment."""

    marks: Marks
    errors: Report
    warnings: Report
    known_apps: Collection[str] | None = None
    ip_tags: Collection[str] | None = None
    info_types: Collection[str] | None = None
    known_labels: Collection[str] | None = None
    known_recipients: Collection[str] | None = None
    without: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # groups and fields: why not, and a hint


# --- YAML to conditions


def parse(raw: Any, path: Path, context: Context) -> Node:
    """The conditions under `raw`, which stands at `path`. What is wrong goes to the context's reports."""
    if not isinstance(raw, dict):
        _error(context, path, "016", f"conditions must be a mapping, not {describe(raw)}")
        return ALWAYS
    parts: list[Node] = []
    for key, value in raw.items():
        below = (*path, key)
        if key in TREE_DOCS:
            parts.append(_tree(key, value, below, context))
        elif key in context.without:
            why, hint = context.without[key]
            _error(context, below, "035", f"'{key}' {why}", hint, key=True)
        elif key in GROUPS:
            parts.extend(_group(key, value, below, context))
        else:
            _error(context, below, "013", f"unknown condition '{key}'", _condition_hint(key), key=True)
    return _join("all", parts, context.marks.where(path, key=True))


def _condition_hint(key: str) -> str:
    for each in FIELDS:
        if each.name == key:
            return f"write {each.group}: {{{key}: …}}"
    return did_you_mean(key, (*GROUPS, *TREE_DOCS))


def _join(kind: Literal["all", "any", "not"], parts: Sequence[Node], where: Where) -> Node:
    if kind == "all" and not parts:
        return ALWAYS
    if kind != "not" and len(parts) == 1:
        return parts[0]
    # Cheap questions first: the answer is the same in any order.
    checks = [part.check for part in sorted(parts, key=_cost)]
    combine = {"all": all_of, "any": any_of, "not": none_of}[kind]
    return Branch(kind=kind, parts=tuple(parts), where=where, check=combine(checks))


def _cost(node: Node) -> int:
    if isinstance(node, Branch):
        return 3
    return {Kind.ADDRESS: 2, Kind.PATTERN: 1, Kind.MEDIA: 1}.get(node.field.kind, 0)


def _tree(key: str, value: Any, path: Path, context: Context) -> Node:
    where = context.marks.where(path, key=True)
    kind: Literal["all", "any", "not"] = "all" if key == "all" else "any" if key == "any" else "not"
    items = [(value, path)] if kind == "not" and isinstance(value, dict) else None
    if items is None and isinstance(value, list):
        items = [(item, (*path, index)) for index, item in enumerate(value)]
    if items is None:
        _error(context, path, "016", f"'{key}' must be a list of conditions, not {describe(value)}")
        return ALWAYS
    if not items or any(item == {} for item, _ in items):
        _error(context, path, "037", f"'{key}' has nothing in it", "add conditions, or remove it", key=True)
    return _join(kind, [parse(item, below, context) for item, below in items] or [ALWAYS], where)


def _group(group: str, value: Any, path: Path, context: Context) -> list[Node]:
    fields = GROUPS[group]
    default = fields[DEFAULT_FIELD[group]]
    if not isinstance(value, dict):
        return _field(default, value, path, context, f"{group}: {{}}")
    if not value:
        _error(context, path, "037", f"'{group}' has nothing in it", "add conditions, or remove it", key=True)
    if value and all(key in OPERATORS for key in value):
        return _field(default, value, path, context, f"{group}: {{}}")
    parts: list[Node] = []
    for key, below in value.items():
        if f"{group}.{key}" in context.without:
            why, hint = context.without[f"{group}.{key}"]
            _error(context, (*path, key), "035", f"'{key}' {why}", hint, key=True)
        elif key in fields:
            parts.extend(_field(fields[key], below, (*path, key), context, f"{group}: {{{key}: {{}}}}"))
        else:
            hint = did_you_mean(key, fields)
            _error(context, (*path, key), "013", f"unknown condition '{key}' under '{group}'", hint, key=True)
    return parts


def _field(each: Field, value: Any, path: Path, context: Context, frame: str) -> list[Node]:
    """The conditions on one field. `frame` is how the field is written, with `{}` for the value."""
    if each.kind is Kind.FLAG:
        if not isinstance(value, bool):
            _error(context, path, "016", f"'{each.name}' must be true or false, not {describe(value)}")
            return []
        return [_leaf(each, path, context, _frame(frame, value), _flag(each.get, value), "any_of", value)]
    if each.kind is Kind.FINDINGS:
        return _findings(each, value, path, context, frame)
    if not isinstance(value, dict):
        value, bare = {"any_of": value}, True
    else:
        bare = False
    if not value:
        _error(context, path, "037", f"'{each.name}' has nothing in it", "add a value, or remove it", key=True)
    _warn_of_contradiction(each, value, path, context)
    parts: list[Node] = []
    for name, operand in value.items():
        below = path if bare else (*path, name)
        if bare and "any_of" not in OPERATORS_OF[each.kind]:
            hint = f"write {each.name}: {{at_least: {flow(operand)}}}; known: {', '.join(OPERATORS_OF[each.kind])}"
            _error(context, below, "016", f"'{each.name}' needs an operator", hint)
            continue
        if name not in OPERATORS_OF[each.kind]:
            hint = did_you_mean(name, OPERATORS_OF[each.kind])
            _error(context, below, "013", f"'{each.name}' has no operator '{name}'", hint, key=True)
            continue
        check = _operator(each, name, operand, below, context)
        if check:
            written = _frame(frame, operand if bare else {name: operand})
            parts.append(_leaf(each, below, context, written, check, name, operand))
    return parts


def _findings(each: Field, value: Any, path: Path, context: Context, frame: str) -> list[Node]:
    def wrong(below: Path, malformed: Malformed) -> None:
        _error(context, (*path, *below), malformed.number, malformed.message, malformed.hint, key=bool(below))

    for name in value if isinstance(value, dict) else ():
        if name in OPERATORS:
            hint = "operators stand under a type: findings: {credit-card: {at_least: 2}}"
            _error(context, (*path, name), "013", f"'{each.name}' has no operator '{name}'", hint, key=True)
            return []
    return [
        _leaf(
            each,
            (*path, *below),
            context,
            _frame(frame, wanted.written),
            wanted.check(each.get),
            "findings",
            wanted,
        )
        for below, wanted in findings.read(value, context.info_types, wrong)
    ]


def asked(nodes: Iterable[Node]) -> frozenset[str]:
    """The sensitive information types and categories that some conditions name."""
    leaves = (leaf for node in nodes for leaf in node.leaves())
    return frozenset().union(*(leaf.operand.types for leaf in leaves if leaf.field.kind is Kind.FINDINGS))


def _frame(frame: str, value: Any) -> str:
    return frame.replace("{}", flow(value), 1)


def _leaf(each: Field, path: Path, context: Context, written: str, check: Check, operator: str, operand: Any) -> Leaf:
    where = context.marks.where(path, key=True)
    return Leaf(field=each, where=where, written=written, check=check, operator=operator, operand=operand)


def _error(context: Context, path: Path, number: str, message: str, hint: str = "", *, key: bool = False) -> None:
    context.errors.add(number, message, context.marks.where(path, key=key), hint)


def _operator(each: Field, name: str, operand: Any, path: Path, context: Context) -> Check | None:
    """One operator's check; None when its operand is wrong, which is reported."""
    try:
        if name == "is_set":
            if not isinstance(operand, bool):
                raise Malformed("016", f"'is_set' must be true or false, not {describe(operand)}")
            return _is_set(each.get, operand, each.partial)
        if each.kind in (Kind.NUMBER, Kind.SIZE):
            return _compare(each, name, operand)
    except Malformed as wrong:
        _error(context, path, wrong.number, wrong.message, wrong.hint)
        return None
    values = _values(each, name, operand, path, context)
    if not values:
        return None
    if each.many and each.kind is Kind.PATTERN:
        return _about_several(each, name, values)
    if each.many:
        wanted = frozenset(value.casefold() for value in values)
        if name == "other_than":
            return all_of([_is_set(each.get, True, each.partial), _none_in(each, wanted)])
        return _none_in(each, wanted) if name in OPPOSITES else _some_in(each, wanted)
    if name == "other_than":
        return _is(each.get, _negated(_test(each, "any_of", values)))
    test = _test(each, OPPOSITES.get(name, name), values)
    return _is_not(each.get, test) if name in OPPOSITES else _is(each.get, test)


def _about_several(each: Field, name: str, values: Sequence[str]) -> Check:
    """Of several names: whether one of them fits, or for the opposites that none does."""
    test = _test(each, OPPOSITES.get(name, "any_of" if name == "other_than" else name), values)

    def some(names: frozenset[str]) -> bool:
        return any(test(one) for one in names)

    if name == "other_than":
        return all_of([_is_set(each.get, True, each.partial), _is(each.get, _negated(some))])
    return _is(each.get, _negated(some) if name in OPPOSITES else some)


def _negated[Fact](test: Callable[[Fact], bool]) -> Callable[[Fact], bool]:
    return lambda fact: not test(fact)


def _test(each: Field, name: str, values: Sequence[str]) -> matchers.Test:
    match name, each.kind:
        case "contains", _:
            return matchers.contains(values)
        case "contains_words", _:
            return matchers.contains_words(values)
        case "starts_with", _:
            return matchers.starts_with(values)
        case "ends_with", _:
            return matchers.ends_with(values)
        case "regex", _:
            return matchers.regex(values)
        case "any_of", Kind.PATTERN:
            return matchers.glob(values)
        case _, Kind.PATTERN:
            return frozenset(plain_name(value) for value in values).__contains__
        case _, Kind.ADDRESS:
            return matchers.addresses(values)
        case _, Kind.MEDIA:
            return matchers.media([value.casefold() for value in values])
    return frozenset(_spelled(each, value) for value in values).__contains__


def _spelled(each: Field, value: str) -> str:
    return value.casefold().removeprefix(".") if each.code == "file.extension" else value.casefold()


def _values(each: Field, name: str, operand: Any, path: Path, context: Context) -> list[str]:
    """The texts of an operand; empty when one of them is wrong, which is reported at its own place."""
    items = operand if isinstance(operand, list) else [operand]
    if not items:
        _error(context, path, "037", f"'{each.name}' has an empty list, which nothing is in", "add a value")
    good: list[str] = []
    for index, item in enumerate(items):
        below = (*path, index) if isinstance(operand, list) else path
        try:
            good.append(_value(each, name, item, context, below))
        except Malformed as wrong:
            _error(context, below, wrong.number, wrong.message, wrong.hint)
    return good if len(good) == len(items) else []


def _value(each: Field, name: str, item: Any, context: Context, path: Path) -> str:
    if not isinstance(item, str):
        hint = f'quote it: "{item}"' if isinstance(item, int | float) and not isinstance(item, bool) else ""
        raise Malformed("016", f"'{each.name}' must be a text or a list of texts, not {describe(item)}", hint)
    if not item.strip():
        raise Malformed("017", f"'{each.name}' is an empty text, which nothing is", "write a value")
    if name == "regex":
        matchers.regex([item])
    elif name == "contains_words":
        matchers.contains_words([item])
    if name not in _VALUES:
        return item
    if each.kind is Kind.ADDRESS:
        matchers.network(item)
    elif each.kind is Kind.MEDIA:
        matchers.check_media(item.casefold())
    elif each.words and item.casefold() not in {word.casefold() for word in each.words}:
        hint = _COUNTRY_HINTS.get(item.upper(), "two letters of ISO 3166-1") if each.name == "country" else ""
        raise Malformed("014", f"unknown {each.group} {each.name} '{item}'", hint or did_you_mean(item, each.words))
    elif each.code == "app.id" and context.known_apps is not None and item not in context.known_apps:
        raise Malformed("031", f"unknown app '{item}'", did_you_mean(item, context.known_apps))
    elif each.code == "client.ip_tag" and context.ip_tags is not None and item not in context.ip_tags:
        where = context.marks.where(path)
        context.warnings.add(
            "051", f"no address range has the tag '{item}'", where, did_you_mean(item, context.ip_tags)
        )
    return item


_VALUES = frozenset({"any_of", "not", "other_than", "equals", "does_not_equal"})
"""The operators that compare whole facts."""

_COUNTRY_HINTS: Mapping[str, str] = {"UK": "did you mean 'GB'?", "EL": "did you mean 'GR'?", "EN": "did you mean 'GB'?"}


def _warn_of_contradiction(each: Field, operators: Mapping[str, Any], path: Path, context: Context) -> None:
    """Told when no fact at all can satisfy the operators together."""

    def texts(name: str) -> set[str]:
        operand = operators.get(name, [])
        return {str(item).casefold() for item in (operand if isinstance(operand, list) else [operand])}

    why = ""
    if operators.get("is_set") is False and len(operators) > 1:
        why = "it asks for an absent fact and for its value"
    elif not each.many and "any_of" in operators and texts("any_of") <= texts("not") | texts("other_than"):
        why = "every value that it allows is excluded again"
    else:
        try:
            to_number = matchers.size if each.kind is Kind.SIZE else matchers.number
            lows = [to_number(operators[name]) for name in ("at_least", "more_than") if name in operators]
            highs = [to_number(operators[name]) for name in ("at_most", "less_than") if name in operators]
        except Malformed:
            return  # Told as an error.
        if lows and highs and max(lows) > min(highs):
            why = "its lower bound lies above its upper bound"
    if why:
        where = context.marks.where(path, key=True)
        context.warnings.add("050", f"the condition on '{each.name}' can never hold: {why}", where)


# --- checks


def _flag(get: Callable[[Activity], Any], wanted: bool) -> Check:
    def check(activity: Activity) -> Truth:
        fact = get(activity)
        if fact is UNREAD:
            return UNKNOWN
        return YES if fact is wanted else NO

    return check


def _is(get: Callable[[Activity], Any], test: Callable[[Any], bool]) -> Check:
    def check(activity: Activity) -> Truth:
        fact = get(activity)
        if fact is None:
            return NO
        if fact is UNREAD:
            return UNKNOWN
        return YES if test(fact) else NO

    return check


def _is_not(get: Callable[[Activity], Any], test: Callable[[Any], bool]) -> Check:
    def check(activity: Activity) -> Truth:
        fact = get(activity)
        if fact is None:
            return YES
        if fact is UNREAD:
            return UNKNOWN
        return NO if test(fact) else YES

    return check


def _some_in(each: Field, wanted: frozenset[str]) -> Check:
    get, partial = each.get, each.partial

    def check(activity: Activity) -> Truth:
        if not wanted.isdisjoint(get(activity)):
            return YES
        return UNKNOWN if partial is not None and partial(activity) else NO

    return check


def _none_in(each: Field, wanted: frozenset[str]) -> Check:
    get, partial = each.get, each.partial

    def check(activity: Activity) -> Truth:
        if not wanted.isdisjoint(get(activity)):
            return NO
        return UNKNOWN if partial is not None and partial(activity) else YES

    return check


def _is_set(get: Callable[[Activity], Any], wanted: bool, partial: Callable[[Activity], bool] | None) -> Check:
    there, absent = (YES, NO) if wanted else (NO, YES)

    def check(activity: Activity) -> Truth:
        fact = get(activity)
        if fact is UNREAD:
            return UNKNOWN
        if fact is None or fact == UNMANAGED_ONLY or fact == frozenset():
            return UNKNOWN if partial is not None and partial(activity) else absent
        return there

    return check


def _compare(each: Field, name: str, operand: Any) -> Check:
    bound = matchers.size(operand) if each.kind is Kind.SIZE else None
    if name == "any_of":
        values = frozenset(matchers.number(item) for item in (operand if isinstance(operand, list) else [operand]))
        if not values:
            raise Malformed("037", f"'{each.name}' has an empty list, which nothing is in", "add a value")
        return _is(each.get, values.__contains__)
    limit = matchers.number(operand) if bound is None else bound
    tests: Mapping[str, Callable[[Any], bool]] = {
        "at_least": lambda fact: fact >= limit,
        "at_most": lambda fact: fact <= limit,
        "more_than": lambda fact: fact > limit,
        "less_than": lambda fact: fact < limit,
    }
    return _is(each.get, tests[name])


def session_part(node: Node) -> Check:
    """The condition as far as it can be told at sign-in: what a later exchange may bring is unknown."""
    if isinstance(node, Leaf):
        return unknown if node.code not in KNOWN_AT_SIGN_IN else node.check
    if not node.parts:
        return node.check
    combine = {"all": all_of, "any": any_of, "not": none_of}[node.kind]
    return combine([session_part(part) for part in node.parts])


def depends_on_content(node: Node) -> bool:
    """Whether reading a file could change the answer."""
    return any(leaf.field.content for leaf in node.leaves())


# --- for people


def show(each: Field, fact: Any, activity: Activity) -> str:
    """A fact as people read it, never with control characters, at most about 120 characters."""
    if fact is UNREAD:
        return "not known: the file has not been read" if each.group == "file" else "not known"
    if isinstance(fact, Found):
        return findings.told(fact)
    if each.code == "text.content" and fact is not None:
        return f"a text of {len(fact)} characters"  # It goes into the log, which has no business with it.
    if fact == UNMANAGED_ONLY:
        return "no device tags"
    if isinstance(fact, frozenset):
        suffix = " (not all are known)" if each.partial is not None and each.partial(activity) else ""
        if not fact:
            return f"no {each.name.replace('_', ' ')}{suffix}"
        words = sorted(fact)
        more = f" and {len(words) - 8} more" if len(words) > 8 else ""
        return _clean(", ".join(words[:8])) + more + suffix
    if fact is None:
        return f"no {each.name.replace('_', ' ')}"
    if isinstance(fact, bool):
        return "true" if fact else "false"
    return f"{fact} bytes" if each.kind is Kind.SIZE else _clean(str(fact))


def _clean(text: str) -> str:
    if len(text) <= 120 and text.isprintable():
        return text
    printable = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:121])
    return printable if len(text) <= 120 else printable[:120] + "…"


def flow(value: Any) -> str:
    """Plain data as YAML on one line."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dict():
            return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(flow(item) for item in value) + "]"
        case str() if not value or _quotable(value):
            return "'" + value.replace("'", "''") + "'"
    return str(value)


def _quotable(text: str) -> bool:
    plain = text.replace("-", "").replace("_", "").replace(".", "").replace("/", "").replace("@", "").replace("*", "")
    odd = text[0] in "-*@." or not plain.replace(" ", "").isalnum() or text != text.strip()
    return odd or text[0].isdigit() or text.casefold() in ("yes", "no", "on", "off", "true", "false", "null")


__all__ = [
    "ALWAYS",
    "Branch",
    "Context",
    "Leaf",
    "Node",
    "asked",
    "depends_on_content",
    "flow",
    "parse",
    "session_part",
    "show",
]
