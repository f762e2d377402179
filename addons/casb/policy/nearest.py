"""What would have had to be otherwise: nearest misses, and the smallest changes that turn a decision.

Answers come from deciding again, never from reading the conditions: what is told here has been tried.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from casb.errors import Where
from casb.model.activity import Activity
from casb.model.decision import Action, Reason, Truth
from casb.policy.compile import Policies, Policy
from casb.policy.conditions import Branch, Leaf, Node
from casb.policy.engine import decide, explain
from casb.policy.supposing import plain, supposed
from casb.policy.truths import NO, YES

MAX_TRIES = 4000
"""Decisions that one question may cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One fact, supposed otherwise, and the condition that asks for it."""

    fact: str  # e.g. device.tag
    was: str
    becomes: str
    where: Where
    condition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """With these changes of facts the action would be another one."""

    changes: tuple[Change, ...]
    action: Action
    policy: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """With this change of the policies the action would be another one. `what` is a sentence in the infinitive."""

    policy: str
    where: Where
    what: str
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """A policy that did not match, and the conditions that kept it from matching (the fewest that would do)."""

    policy: str
    name: str
    where: Where
    action: Action
    failing: tuple[Reason, ...]


def misses(activity: Activity, policies: Policies, *, most: int = 5) -> tuple[Miss, ...]:
    """The policies that came closest to matching, closest first; out-of-season ones apart."""
    concerned = {policy.id: policy for policy in policies.concerning(activity)}
    found: list[Miss] = []
    for trace in explain(activity, policies):
        if trace.truth is not Truth.NO or trace.dormant:
            continue
        needed = _cheapest(concerned[trace.policy].when, activity, holding=True)
        if needed is None:
            continue
        failing = tuple(
            Reason(
                code=leaf.code,
                policy=trace.policy,
                where=leaf.where,
                condition=leaf.written,
                fact=leaf.fact(activity),
                truth=leaf.check(activity),
            )
            for leaf, _ in needed
        )
        found.append(
            Miss(policy=trace.policy, name=trace.name, where=trace.where, action=trace.action, failing=failing)
        )
    return tuple(sorted(found, key=lambda each: (len(each.failing), -each.action, each.policy))[:most])


type Needed = tuple[tuple[Leaf, bool], ...]


def _cheapest(node: Node, activity: Activity, *, holding: bool) -> Needed | None:
    """The fewest conditions that would have to answer otherwise for `node` to hold (or fail); None when none can."""
    if node.check(activity) is (YES if holding else NO):
        return ()
    if isinstance(node, Leaf):
        return ((node, holding),)
    together, each = _parts(node, holding)
    below = [_cheapest(part, activity, holding=each) for part in node.parts]
    if together:
        if any(part is None for part in below):
            return None
        return tuple(dict.fromkeys(itertools.chain.from_iterable(part for part in below if part is not None)))
    possible = [part for part in below if part is not None]
    return min(possible, key=len) if possible else None


def _parts(node: Branch, holding: bool) -> tuple[bool, bool]:
    """Whether all parts must answer so (or one suffices), and what each of them must answer."""
    if node.kind == "not":
        return holding, not holding
    return (node.kind == "all") is holding, holding


def flips(activity: Activity, policies: Policies, *, most: int = 4) -> tuple[Flip, ...]:
    """The smallest changes of facts that give another action: one fact if that can do, else two.

    Milder actions come first. Facts that a person cannot mend by behaving otherwise (the app, the user) are tried too.
    """
    before = _settled(activity, policies)[0]
    tries = itertools.count()
    singles = list(_single(activity, policies))
    found: dict[tuple[str, Action], Flip] = {}
    for change, changed in singles:
        _keep(found, (change,), changed, policies, before)
        if next(tries) > MAX_TRIES:
            break
    if not found:
        for (first, _), (second, _) in itertools.combinations(singles[:60], 2):
            if first.fact == second.fact or next(tries) > MAX_TRIES:
                continue
            both = _again(activity, policies, first, second)
            if both is not None:
                _keep(found, (first, second), both, policies, before)
    return tuple(sorted(found.values(), key=lambda each: (each.action > before, each.action, _words(each)))[:most])


def _words(flip: Flip) -> tuple[str, ...]:
    return tuple(change.fact for change in flip.changes)


def _keep(
    found: dict[tuple[str, Action], Flip],
    changes: tuple[Change, ...],
    changed: Activity,
    policies: Policies,
    before: Action,
) -> None:
    action, policy = _settled(changed, policies)
    key = (" ".join(change.fact for change in changes), action)
    if action is not before and key not in found:
        found[key] = Flip(changes=changes, action=action, policy=policy)


def _single(activity: Activity, policies: Policies) -> Iterator[tuple[Change, Activity]]:
    seen: set[tuple[str, str]] = set()
    for policy in policies.concerning(activity):
        for leaf in policy.when.leaves():
            if leaf.field.group == "file" and activity.file is None:
                continue
            if leaf.field.group == "text" and activity.text is None:
                continue
            holding = leaf.check(activity) is not YES
            for value, changed in itertools.islice(supposed(leaf, activity, holding=holding), 2):
                told = plain(value)
                if (leaf.code, told) in seen:
                    continue
                seen.add((leaf.code, told))
                yield (
                    Change(
                        fact=leaf.code,
                        was=leaf.fact(activity),
                        becomes=told,
                        where=leaf.where,
                        condition=leaf.written,
                    ),
                    changed,
                )


def _again(activity: Activity, policies: Policies, first: Change, second: Change) -> Activity | None:
    """Both changes on one activity."""
    for change in (first, second):
        leaf = next(
            each
            for policy in policies.concerning(activity)
            for each in policy.when.leaves()
            if each.where == change.where
        )
        holding = leaf.check(activity) is not YES
        step = next((found for value, found in supposed(leaf, activity, holding=holding)), None)
        if step is None:
            return None
        activity = step
    return activity


def edits(activity: Activity, policies: Policies, *, most: int = 4) -> tuple[Edit, ...]:
    """The smallest changes of policies that give another action: one condition or one policy less."""
    before = _settled(activity, policies)[0]
    found: list[Edit] = []
    concerned = policies.concerning(activity)
    for policy in concerned:
        rest = tuple(each for each in concerned if each is not policy)
        action = _settled(activity, _only(rest, activity))[0]
        if action is not before:
            what = f"switch '{policy.id}' off, or put it in shadow"
            found.append(Edit(policy=policy.id, where=policy.origins.policy, what=what, action=action))
        found += _without_condition(policy, concerned, activity, before)
    return tuple(sorted(found, key=lambda each: (each.action > before, each.action, each.policy))[:most])


def _without_condition(
    policy: Policy, concerned: tuple[Policy, ...], activity: Activity, before: Action
) -> Iterator[Edit]:
    if policy.check(activity) is not NO:
        return
    needed = _cheapest(policy.when, activity, holding=True)
    if needed is None or len(needed) != 1:
        return
    leaf = needed[0][0]
    if leaf not in _conjuncts(policy.when):
        return
    matching = replace(policy, check=lambda _: YES)
    action = _settled(activity, _only((*(each for each in concerned if each is not policy), matching), activity))[0]
    if action is not before:
        what = f"take '{leaf.written}' out of '{policy.id}'"
        yield Edit(policy=policy.id, where=leaf.where, what=what, action=action)


def _conjuncts(node: Node) -> Iterator[Leaf]:
    """The conditions that must hold each, whatever the others say."""
    if isinstance(node, Leaf):
        yield node
    elif node.kind == "all":
        for part in node.parts:
            yield from _conjuncts(part)


def _only(kept: Iterable[Policy], activity: Activity) -> Policies:
    """Just these policies, for just this activity."""
    ordered = tuple(sorted(kept, key=lambda each: each.id))
    by_app = {(activity.app.id, activity.type): ordered} if activity.app else {}
    return Policies(version="", all=ordered, by_app=by_app, for_any={activity.type: ordered})


def _settled(activity: Activity, policies: Policies) -> tuple[Action, str | None]:
    decision = decide(activity, policies)
    if decision.needs:
        decision = decide(activity, policies, final=True)
    return decision.action, decision.policy
