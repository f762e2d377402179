"""What is allowed and probably not meant: policies that never match, never decide, overlap, or are over.

Everything told here is certain, not everything that is so is told: conditions are compared one by one, and what cannot
be compared counts as independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from casb.errors import PolicyError
from casb.model.activity import Activity, ActivityType
from casb.model.decision import Action
from casb.model.file import FileFacts
from casb.model.identity import Client, Device
from casb.policy import matchers
from casb.policy.compile import Policy
from casb.policy.conditions import Leaf, Node
from casb.policy.supposing import suppose
from casb.policy.truths import NO, YES
from casb.policy.vocabulary import Kind, plain_name

_ANY = Activity(
    id="",
    time=datetime(2026, 1, 1, tzinfo=UTC),
    type=ActivityType.VIEW,
    app=None,
    user=None,
    device=Device(),
    client=Client(ip="192.0.2.1"),
    file=FileFacts(name="", inspected=True),
)


def suspicions(policies: Sequence[Policy]) -> Iterator[PolicyError]:
    """Warnings, by policy. `policies` are those that are switched on."""
    for policy in policies:
        never = contradiction(policy)
        if never is not None:
            first, second = never
            message = f"the policy can never match: it asks for '{first.written}' and for '{second.written}'"
            yield PolicyError("P050", message, second.where, f"the other one is at {first.where}")
    known = _Candidates(policies)
    for policy in policies:
        stronger = next((each for each in known.of(policy) if _silences(each, policy)), None)
        if stronger is not None:
            message = (
                f"'{policy.id}' never decides: whenever it matches, '{stronger.id}' does too and would "
                f"{stronger.action.word}"
            )
            hint = f"that one is at {stronger.origins.policy}; narrow it, or remove this one"
            yield PolicyError("P053", message, policy.origins.policy, hint)


class _Candidates:
    """Policies by something that another one must have in common with them to be silenced: not all pairs are tried."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._by: dict[tuple[str, str], list[Policy]] = {}
        for policy in policies:
            for key in self._keys(policy) or [("", "")]:
                self._by.setdefault(key, []).append(policy)

    @staticmethod
    def _keys(policy: Policy) -> list[tuple[str, str]]:
        named = next((leaf for leaf in conjuncts(policy.when) if _listed(leaf)), None)
        return [(named.code, value) for value in _folded(named)] if named else [("app", app) for app in policy.apps]

    def of(self, policy: Policy) -> Iterator[Policy]:
        """Those that may silence it."""
        keys = [("", "")]
        keys += [(leaf.code, min(_folded(leaf))) for leaf in conjuncts(policy.when) if _listed(leaf)]
        keys += [("app", min(policy.apps))] if policy.apps else []
        for key in keys:
            yield from self._by.get(key, ())


def _listed(leaf: Leaf) -> bool:
    """Whether the leaf names words that a narrower one must name too."""
    return leaf.operator == "any_of" and leaf.field.kind is Kind.WORD


def overlaps(policies: Sequence[Policy]) -> Iterator[PolicyError]:
    """Pairs that refuse or change the same activities in different ways: the stricter one wins where both match."""
    active = [each for each in policies if each.action > Action.AUDIT and not each.live and contradiction(each) is None]
    for index, first in enumerate(active):
        for second in active[index + 1 :]:
            if first.action is not second.action and _together(first, second):
                winner = max(first, second, key=lambda each: each.action)
                message = f"'{first.id}' and '{second.id}' can both match: '{winner.id}' wins ({winner.action.word})"
                yield PolicyError("P054", message, second.origins.policy, f"the other one is at {first.origins.policy}")


def _together(first: Policy, second: Policy) -> bool:
    if first.activities.isdisjoint(second.activities):
        return False
    if first.apps and second.apps and first.apps.isdisjoint(second.apps):
        return False
    others = list(conjuncts(second.when))
    return not any(_exclude(one, other) for one in conjuncts(first.when) for other in others)


def conjuncts(node: Node) -> Iterator[Leaf]:
    """The conditions that must hold each, whatever the others say."""
    if isinstance(node, Leaf):
        yield node
    elif node.kind == "all":
        for part in node.parts:
            yield from conjuncts(part)


def contradiction(policy: Policy) -> tuple[Leaf, Leaf] | None:
    """Two conditions of the policy that cannot both hold."""
    leaves = list(conjuncts(policy.when))
    for index, first in enumerate(leaves):
        for second in leaves[index + 1 :]:
            if first.code == second.code and _exclude(first, second):
                return first, second
    return None


def _silences(strong: Policy, weak: Policy) -> bool:
    """Whether `strong` matches and wins whenever `weak` matches, so that nobody notices `weak`."""
    if strong is weak or strong.action is Action.AUDIT or weak.alert is not None or strong.kind is not weak.kind:
        return False
    if strong.season is not None or strong.live is not None or weak.live is not None:
        return False
    if strong.action < weak.strictest or (strong.action == weak.strictest and strong.id > weak.id):
        return False
    if strong.apps and not (weak.apps and weak.apps <= strong.apps):
        return False
    if strong.action in (Action.STEP_UP, Action.COACH) or not weak.activities <= strong.activities:
        return False
    return _covers(strong.when, weak.when)


def _covers(wide: Node, narrow: Node) -> bool:
    """Whether `wide` holds whenever `narrow` does."""
    if isinstance(wide, Leaf):
        return any(implies(each, wide) for each in conjuncts(narrow))
    if wide.kind == "all":
        return all(_covers(part, narrow) for part in wide.parts)
    if wide.kind == "any":
        return any(_covers(part, narrow) for part in wide.parts)
    return False


def _values(leaf: Leaf) -> list[Any]:
    return leaf.operand if isinstance(leaf.operand, list) else [leaf.operand]


def _answers(leaf: Leaf, value: Any) -> object:
    """What a condition says to one value of its fact. Wildcards in a pattern stand for themselves: only wildcards of
    another pattern match them."""
    if leaf.field.kind is Kind.PATTERN and isinstance(value, str):
        value = plain_name(value)
    return leaf.check(suppose(_ANY, leaf.code, frozenset({value}) if leaf.field.many else value))


def _plain(leaf: Leaf) -> bool:
    """Whether the leaf says that the fact is one of its values, each of them a whole value and no pattern."""
    if leaf.operator != "any_of" or leaf.field.kind in (Kind.ADDRESS, Kind.MEDIA):
        return False
    return leaf.field.kind is not Kind.PATTERN or not any(set("*?") & set(str(value)) for value in _values(leaf))


def implies(narrow: Leaf, wide: Leaf) -> bool:
    """Whether `wide` holds whenever `narrow` does."""
    if narrow.code != wide.code:
        return False
    if narrow.field.kind is Kind.FINDINGS:
        return bool(narrow.operand.implies(wide.operand))
    if narrow.operator == wide.operator and _same(narrow, wide):
        return True
    if narrow.operator == "any_of" and wide.operator == "is_set":
        return wide.operand is True and not narrow.field.many
    if narrow.field.kind in (Kind.NUMBER, Kind.SIZE):
        return _within(narrow, wide)
    if narrow.operator == "not" == wide.operator:
        return _folded(wide) <= _folded(narrow)
    if narrow.operator != "any_of":
        return False
    if narrow.field.many:  # Other members of the set may be anything.
        return wide.operator == "any_of" and _folded(narrow) <= _folded(wide)
    if narrow.field.kind in (Kind.ADDRESS, Kind.MEDIA):
        return wide.operator == "any_of" and _folded(narrow) <= _folded(wide)
    if wide.operator not in ("any_of", "starts_with", "ends_with", "contains") and not _plain(narrow):
        return False
    return all(_answers(wide, value) is YES for value in _values(narrow))


def _same(first: Leaf, second: Leaf) -> bool:
    return _folded(first) == _folded(second)


def _folded(leaf: Leaf) -> frozenset[str]:
    return frozenset(str(value).casefold() for value in _values(leaf))


def _within(narrow: Leaf, wide: Leaf) -> bool:
    """Of bounds on a number: whether every number within the one is within the other."""
    to_number = matchers.size if narrow.field.kind is Kind.SIZE else matchers.number
    if narrow.operator == "any_of":
        return all(_answers(wide, value) is YES for value in _values(narrow))
    low, high = ("at_least", "more_than"), ("at_most", "less_than")
    for side, sign in ((low, 1), (high, -1)):
        if narrow.operator in side and wide.operator in side:
            mine, other = sign * to_number(narrow.operand), sign * to_number(wide.operand)
            return mine > other or (mine == other and (narrow.operator == side[1] or wide.operator == side[0]))
    return False


def _exclude(first: Leaf, second: Leaf) -> bool:
    """Whether the two can never hold together."""
    if first.code != second.code or first.field.kind is Kind.FINDINGS:
        return False
    if first.code == "device.tag":
        return first.operator == second.operator == "any_of" and {_unmanaged(first), _unmanaged(second)} == {
            True,
            False,
        }
    if first.field.many:
        return {first.operator, second.operator} == {"any_of", "not"} and _folded(first) == _folded(second)
    for one, other in ((first, second), (second, first)):
        if _plain(one) and all(_answers(other, value) is NO for value in _values(one)):
            return True
    return False


def _unmanaged(leaf: Leaf) -> bool | None:
    """Of a device condition: whether it is about unmanaged devices alone; None when it is about both."""
    words = _folded(leaf)
    return True if words == {"unmanaged"} else False if "unmanaged" not in words else None
