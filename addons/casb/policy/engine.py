"""The decision: `decide(activity, policies)`, and why.

Laws: the strictest matching policy wins and ties name the lower id; the order of policies makes no difference; adding
one never loosens; a decision made without content is the one that any content would have led to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from casb.errors import Where
from casb.model.activity import Activity
from casb.model.decision import (
    Action,
    Alert,
    Coaching,
    Decision,
    Exempted,
    Need,
    Reason,
    Redaction,
    Shadowed,
    Truth,
)
from casb.policy.compile import Policies, Policy
from casb.policy.conditions import Branch, Leaf, Node
from casb.policy.message import fill, values_of
from casb.policy.truths import NO, UNKNOWN, YES

_ALLOWED: Final = Decision(action=Action.ALLOW)
_CONTENT: Final = frozenset({Need.CONTENT})


def decide(activity: Activity, policies: Policies, *, final: bool = False) -> Decision:
    """What happens to the activity.

    Access policies answer for `logon`, session policies for everything else. With `needs` in the answer, read the
    file and ask again; `final=True` says that it cannot be read: policies that are still unknown then do what their
    `unscannable` says. Conditions that content cannot settle (unknown groups) are treated so at once.
    """
    best = Action.ALLOW
    winner: Policy | None = None
    matched: list[tuple[Policy, Action, Truth]] | None = None
    still_open: list[Policy] | None = None
    asides: list[Shadowed | Exempted] | None = None
    for policy in policies.concerning(activity):
        if policy.season is not None and not policy.season(activity.time):
            continue
        truth = policy.check(activity)
        if truth is NO:
            continue
        action: Action | None = policy.action
        if truth is UNKNOWN:
            if not final and policy.content and _unread(activity):
                still_open = [*still_open, policy] if still_open else [policy]
                continue
            action = policy.unknown
        if action is None or (action is Action.STEP_UP and satisfied(policy, activity)):
            continue
        aside = _aside(policy, action, activity, truth)
        if aside is not None:
            asides = [*(asides or ()), aside]
            continue
        if action is Action.COACH and policy.id in activity.justified:
            action = Action.AUDIT
        if matched is None:
            matched = []
        matched.append((policy, action, truth))
        if action > best:  # They come in order of id, so the lower id keeps a tie.
            best, winner = action, policy
    needs = _CONTENT if still_open and _could_change(still_open, best, winner, matched, activity) else frozenset()
    if matched is None or winner is None:
        return _with(Decision(action=Action.ALLOW, needs=needs), asides) if needs or asides else _ALLOWED
    return _with(_decision(activity, best, winner, matched, needs), asides)


def _aside(policy: Policy, action: Action, activity: Activity, truth: Truth) -> Shadowed | Exempted | None:
    """What a matching policy would have done that is only watched, or that an exception lets through."""
    if policy.live is not None and not policy.live(activity):
        return Shadowed(policy=policy.id, action=action, reasons=tuple(reasons(policy, activity, truth)))
    exception = activity.excepted.get(policy.id) if activity.excepted else None
    if exception is None:
        return None
    why = tuple(reasons(policy, activity, truth))
    return Exempted(policy=policy.id, action=action, exception=exception, reasons=why)


def _with(decision: Decision, asides: list[Shadowed | Exempted] | None) -> Decision:
    """With what had no part in it. What an exception lets through is recorded at least."""
    if asides is None:
        return decision
    exempted = tuple(each for each in asides if isinstance(each, Exempted))
    return replace(
        decision,
        action=max(decision.action, Action.AUDIT) if exempted else decision.action,
        shadow=tuple(each for each in asides if isinstance(each, Shadowed)),
        exempted=exempted,
    )


def satisfied(policy: Policy, activity: Activity) -> bool:
    """Whether the step-up of a policy has been passed, recently enough. A proof of unknown age is not recent."""
    if policy.context not in activity.auth_contexts:
        return False
    if policy.fresh_for is None:
        return True
    proven = activity.proven.get(policy.context)
    return proven is not None and activity.time - proven <= policy.fresh_for


def open_outcomes(activity: Activity, policies: Policies) -> frozenset[Action]:
    """All that the policies which may concern an unread file could do; `ALLOW` where none might."""
    found = {Action.ALLOW}
    for policy in policies.concerning(activity):
        if policy.check(activity) is not NO:
            found |= {each for each in (policy.action, policy.unknown) if each is not None}
    return frozenset(found)


def _unread(activity: Activity) -> bool:
    if activity.text is not None and activity.text.content is None:
        return True
    return activity.file is not None and (not activity.file.inspected or activity.file.properties is None)


def _could_change(
    still_open: list[Policy],
    best: Action,
    winner: Policy | None,
    matched: list[tuple[Policy, Action, Truth]] | None,
    activity: Activity,
) -> bool:
    """Whether a policy that waits for content could raise an alert, win, or take a tie by its id."""
    for policy in still_open:
        passed = satisfied(policy, activity)
        justified = policy.id in activity.justified
        possible = [
            Action.AUDIT if each is Action.COACH and justified else each
            for each in (policy.action, policy.unknown)
            if each is not None and not (each is Action.STEP_UP and passed)
        ]
        if not possible:
            continue
        if (policy.live is not None and not policy.live(activity)) or policy.id in activity.excepted:
            return True  # One that has not seen the file tells nothing about what enforcing it would do.
        if Action.REDACT in possible and best is Action.REDACT and not _masks_already(policy, matched or []):
            return True
        if Action.COACH in possible and best is Action.COACH:
            return True  # One answer is for all that ask.
        if policy.alert is not None or max(possible) > best or (policy.quarantine and Action.BLOCK in possible):
            return True
        if winner is not None and best in possible and policy.id < winner.id:
            return True
    return False


def _decision(
    activity: Activity,
    action: Action,
    winner: Policy,
    matched: list[tuple[Policy, Action, Truth]],
    needs: frozenset[Need],
) -> Decision:
    values = values_of(activity, winner.name) if winner.message else {}
    return Decision(
        action=action,
        policy=winner.id,
        matched=tuple(policy.id for policy, _, _ in matched),
        reasons=tuple(reason for policy, _, truth in matched for reason in reasons(policy, activity, truth)),
        needs=needs,
        alerts=tuple(
            Alert(
                policy=policy.id,
                severity=policy.alert.severity or policy.severity,
                title=policy.alert.title or policy.name,
                daily_limit=policy.alert.daily_limit,
                email=policy.alert.email,
            )
            for policy, _, _ in matched
            if policy.alert is not None
        ),
        severity=winner.severity,
        message=fill(winner.message, values) if winner.message else "",
        messages={tag: fill(text, values) for tag, text in winner.messages.items()},
        using=_using(winner, action),
        quarantine=any(policy.quarantine and each is Action.BLOCK for policy, each, _ in matched),
        redaction=_redaction(matched) if action is Action.REDACT else None,
        coaching=_coaching(winner, matched) if action is Action.COACH else None,
        on_failure=_on_failure(winner, matched),
        fresh_for=winner.fresh_for if action is Action.STEP_UP else None,
    )


def _using(policy: Policy, action: Action) -> str:
    return policy.using if action is Action.PROTECT else policy.context if action is Action.STEP_UP else ""


def _redaction(matched: list[tuple[Policy, Action, Truth]]) -> Redaction | None:
    """All that any of them masks; what cannot be masked meets the strictest of what they say."""
    orders = [policy.redaction for policy, action, _ in matched if action is Action.REDACT and policy.redaction]
    if not orders:
        return None
    whole = any(not order.types for order in orders)
    types = frozenset() if whole else frozenset().union(*(order.types for order in orders))
    strictest = max(orders, key=lambda order: order.otherwise)
    return replace(strictest, types=types)


def _masks_already(policy: Policy, matched: list[tuple[Policy, Action, Truth]]) -> bool:
    """Whether what the policy would mask is masked anyway: what is masked is the sum of what all of them mask."""
    more, order = policy.redaction, _redaction(matched)
    if more is None or order is None or more.otherwise > order.otherwise:
        return False
    return not order.types or (bool(more.types) and more.types <= order.types)


_TEXT: Final = ("no", "optional", "required")


def _coaching(winner: Policy, matched: list[tuple[Policy, Action, Truth]]) -> Coaching:
    """One question for all that ask: the winner's reasons, the most text, the shortest time."""
    asking = [policy.coaching for policy, action, _ in matched if action is Action.COACH and policy.coaching]
    return Coaching(
        policies=tuple(name for each in asking for name in each.policies),
        reasons=winner.coaching.reasons if winner.coaching else (),
        text=max((each.text for each in asking), key=_TEXT.index, default="optional"),
        lasts=min((each.lasts for each in asking), default=0),
    )


def masking(activity: Activity, policies: Policies) -> Redaction | None:
    """What is to be masked in a page or an answer that passes as a stream: conditions on its content are not waited
    for, so every value of the types is masked, and a count that a policy asks for makes no difference."""
    found: list[tuple[Policy, Action, Truth]] = []
    for policy in policies.concerning(activity):
        if policy.action is not Action.REDACT or (policy.season is not None and not policy.season(activity.time)):
            continue
        truth = policy.check(activity)
        if truth is NO or (truth is UNKNOWN and not policy.content) or _aside(policy, policy.action, activity, truth):
            continue
        found.append((policy, Action.REDACT, truth))
    return _redaction(found)


def _on_failure(winner: Policy, matched: list[tuple[Policy, Action, Truth]]) -> str:
    """`block` where any of them wants that; else what the winner says."""
    return "block" if any(policy.on_failure == "block" for policy, _, _ in matched) else winner.on_failure


def may_concern(activity: Activity, policies: Policies) -> bool:
    """Whether a session policy could match anything this person does in this app on this device (S30).

    Looks at user, device and app only: address, agent and file differ from exchange to exchange and count as open.
    """
    app = activity.app
    concerned = policies.session_policies(app.id) if app else policies.all
    return any(each.session_check(activity) is not NO for each in concerned)


# --- why


def reasons(policy: Policy, activity: Activity, truth: Truth) -> Iterator[Reason]:
    """The conditions that made a policy match: those that hold, and that it was unknown where it was."""
    found = list(_holding(policy, policy.when, activity, truth))
    yield from found
    if truth is UNKNOWN:
        yield _unscannable(policy, activity)
    elif not found:
        yield Reason(
            code="activity.type",
            policy=policy.id,
            where=policy.origins.activities,
            condition=f"activities: {activity.type.value}" if policy.kind == "session" else "kind: access",
            fact=activity.type.value,
        )


def _unscannable(policy: Policy, activity: Activity) -> Reason:
    leaf = next((each for each in policy.when.leaves() if each.check(activity) is UNKNOWN), None)
    if leaf is None or leaf.field.group == "file":
        verdict = activity.file.verdict if activity.file else None
        code, fact = "file.unscannable", verdict.why if verdict and verdict.why else "the file could not be read"
    elif leaf.field.group == "text":
        code, fact = "text.unscannable", "the text was not told"
    else:
        code, fact = f"{leaf.code}.unknown", leaf.fact(activity)
    treatment = "match" if policy.unknown == policy.action else policy.unknown.word if policy.unknown else "ignore"
    return Reason(
        code=code,
        policy=policy.id,
        where=policy.origins.unscannable,
        condition=f"unscannable: {treatment}",
        fact=fact,
        truth=UNKNOWN,
    )


def _holding(policy: Policy, node: Node, activity: Activity, truth: Truth) -> Iterator[Reason]:
    """The conditions that hold and matter, under a `node` whose truth is known: all parts of a true `all` are true."""
    if isinstance(node, Leaf):
        if truth is YES:
            yield _reason(policy, node, activity, YES)
    elif node.kind == "all":
        for part in node.parts:
            yield from _holding(policy, part, activity, YES if truth is YES else part.check(activity))
    elif node.kind == "any":
        for part in node.parts:
            if part.check(activity) is YES:
                yield from _holding(policy, part, activity, YES)
                return
    elif truth is YES:
        yield _negated(policy, node, activity)


def _negated(policy: Policy, node: Branch, activity: Activity) -> Reason:
    leaves = list(node.leaves())
    return Reason(
        code="not",
        policy=policy.id,
        where=node.where,
        condition="not: " + " · ".join(leaf.written for leaf in leaves),
        fact=" · ".join(leaf.fact(activity) for leaf in leaves),
        truth=node.check(activity),
    )


def _reason(policy: Policy, leaf: Leaf, activity: Activity, truth: Truth) -> Reason:
    return Reason(
        code=leaf.code,
        policy=policy.id,
        where=leaf.where,
        condition=leaf.written,
        fact=leaf.fact(activity),
        truth=truth,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What one policy said to an activity. `failing` is the first condition that did not hold.

    `matched` policies count; `shadow` ones match as well and are only watched. `dormant`: not in season now.
    """

    policy: str
    name: str
    where: Where
    action: Action
    truth: Truth
    matched: bool
    satisfied: bool  # a step-up that this session has passed already
    excepted: str  # the id of the exception that lets it through, or ""
    shadow: bool
    dormant: bool
    conditions: tuple[Reason, ...]
    failing: Reason | None


def explain(activity: Activity, policies: Policies, *, final: bool = True) -> list[Trace]:
    """Every policy for this app and activity with all its conditions, matching or not, in order of id."""
    return [_trace(policy, activity, final) for policy in policies.concerning(activity)]


def _trace(policy: Policy, activity: Activity, final: bool) -> Trace:
    truth = policy.check(activity)
    action: Action | None = policy.action
    if truth is UNKNOWN:
        action = policy.unknown if final or not policy.content or not _unread(activity) else None
    passed = action is Action.STEP_UP and satisfied(policy, activity)
    conditions = tuple(_all_conditions(policy, policy.when, activity))
    failing = next((each for each in conditions if each.truth is NO), None) if truth is NO else None
    dormant = policy.season is not None and not policy.season(activity.time)
    applies = truth is not NO and action is not None and not passed and not dormant
    watched = policy.live is not None and not policy.live(activity)
    excepted = activity.excepted.get(policy.id, "") if applies and not watched else ""
    if action is Action.COACH and policy.id in activity.justified:
        action = Action.AUDIT
    return Trace(
        policy=policy.id,
        name=policy.name,
        where=policy.origins.policy,
        action=action or policy.action,
        truth=truth,
        matched=applies and not watched and not excepted,
        satisfied=passed,
        excepted=excepted,
        shadow=applies and watched,
        dormant=dormant,
        conditions=conditions,
        failing=failing,
    )


def _all_conditions(policy: Policy, node: Node, activity: Activity) -> Iterator[Reason]:
    if isinstance(node, Leaf):
        yield _reason(policy, node, activity, node.check(activity))
    elif node.kind == "not":
        yield _negated(policy, node, activity)
    elif node.kind == "any" and node.check(activity) is YES:
        yield from _holding(policy, node, activity, YES)
    else:
        for part in node.parts:
            yield from _all_conditions(policy, part, activity)
