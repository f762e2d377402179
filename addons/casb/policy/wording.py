"""Policies in plain words, and the difference between two versions of them as an auditor reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from casb.errors import Where
from casb.model.decision import Action
from casb.policy import rollout
from casb.policy.compile import action_of, unknown_of
from casb.policy.conditions import Branch, Leaf, Node
from casb.policy.document import Kind, PolicyDocument, Schedule, Stage
from casb.policy.loader import LoadedPolicy
from casb.policy.suspicions import implies

_MILD = (Action.AUDIT, Action.NOTIFY)
_VERBS = {
    "audit": "records",
    "notify": "tells the person of",
    "coach": "asks for a justification before",
    "redact": "masks what is found in",
    "protect": "hands over encrypted",
    "step_up": "asks for a stronger sign-in before",
    "block": "blocks",
}


class Direction(StrEnum):
    """What a change does to people."""

    TIGHTER = "tighter"
    LOOSER = "looser"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One change of one policy, as a sentence. `where` is its place in the newer version, or the older when removed."""

    policy: str
    what: str
    direction: Direction
    where: Where


def sentence(loaded: LoadedPolicy) -> str:
    """The policy in one sentence, e.g. `blocks download in files when device: unmanaged`."""
    document = loaded.document
    verb = _VERBS[action_of(document).word]
    if document.kind is Kind.ACCESS:
        what = "opening"
    elif document.activities:
        what = " and ".join(loaded.activities)
    else:
        what = "every activity"
    apps = f" in {' and '.join(loaded.apps)}" if loaded.apps else " in every app"
    when = f" when {words(loaded.when)}" if document.when else ""
    stage = "" if document.rollout is Stage.ENFORCE else f" ({rollout.told(document.rollout)})"
    over = f", {_schedule(document.schedule)}" if document.schedule else ""
    off = "" if document.enabled else " (switched off)"
    return f"{verb} {what}{apps}{when}{over}{stage}{off}"


def words(node: Node) -> str:
    """Conditions as one phrase."""
    if isinstance(node, Leaf):
        return node.written
    if node.kind == "not":
        return f"not ({' or '.join(words(part) for part in node.parts)})"
    joined = (" and " if node.kind == "all" else " or ").join(words(part) for part in node.parts)
    return f"({joined})" if node.kind == "any" else joined


def _schedule(schedule: Schedule) -> str:
    parts = [f"from {schedule.begin}"] if schedule.begin else []
    parts += [f"until {schedule.until}"] if schedule.until else []
    parts += [f"on {', '.join(schedule.days)}"] if schedule.days else []
    parts += [f"at {schedule.hours}"] if schedule.hours else []
    return " ".join([*parts, f"({schedule.zone})"])


def differences(old: Sequence[LoadedPolicy], new: Sequence[LoadedPolicy]) -> Iterator[Difference]:
    """What `new` says otherwise, policy by policy in order of id; within one, the weightiest first."""
    before = {each.document.id: each for each in old}
    after = {each.document.id: each for each in new}
    for name in sorted({*before, *after}):
        if name not in before:
            yield _whole(after[name], "is new: it", Direction.TIGHTER)
        elif name not in after:
            yield _whole(before[name], "is removed: it", Direction.LOOSER)
        elif before[name].digest != after[name].digest:
            yield from _changes(name, before[name], after[name])


def _whole(loaded: LoadedPolicy, how: str, direction: Direction) -> Difference:
    felt = loaded.document.enabled and action_of(loaded.document) not in _MILD
    return Difference(
        policy=loaded.document.id,
        what=f"{how} {sentence(loaded)}",
        direction=direction if felt else Direction.OTHER,
        where=loaded.origins.policy,
    )


def _changes(name: str, before: LoadedPolicy, after: LoadedPolicy) -> Iterator[Difference]:
    found = [
        *_effect(before.document, after.document),
        *_reach(before, after),
        *_texts(before.document, after.document),
    ]
    for what, direction in found or [("is written otherwise and means the same", Direction.OTHER)]:
        yield Difference(policy=name, what=what, direction=direction, where=after.origins.policy)


type Change = tuple[str, Direction]


def _effect(before: PolicyDocument, after: PolicyDocument) -> Iterator[Change]:
    if before.enabled != after.enabled:
        yield ("is switched on", Direction.TIGHTER) if after.enabled else ("is switched off", Direction.LOOSER)
    old, new = action_of(before), action_of(after)
    if old is not new:
        yield f"{_VERBS[new.word]} where it was: {_VERBS[old.word]}", _more(new > old)
    elif before.action != after.action:
        yield "its action has other details", Direction.OTHER
    was, now = unknown_of(before), unknown_of(after)
    if before.unscannable != after.unscannable:
        what = f"what cannot be judged: {after.unscannable} where it was {before.unscannable}"
        yield what, Direction.OTHER if was == now else _more((now or 0) > (was or 0))
    if before.rollout != after.rollout:
        what = f"rolled out: {rollout.told(after.rollout)} where it was {rollout.told(before.rollout)}"
        enforced = Stage.ENFORCE
        wider, narrower = (
            after.rollout is enforced or before.rollout is Stage.SHADOW,
            before.rollout is enforced,
        )
        yield what, Direction.TIGHTER if wider else Direction.LOOSER if narrower else Direction.OTHER
    if before.schedule != after.schedule:
        was_, now_ = (f"{_schedule(each)}" if each else "always" for each in (before.schedule, after.schedule))
        direction = Direction.OTHER if before.schedule and after.schedule else _more(after.schedule is None)
        yield f"counts {now_} where it was: {was_}", direction


def _more(more: bool) -> Direction:
    return Direction.TIGHTER if more else Direction.LOOSER


def _reach(before: LoadedPolicy, after: LoadedPolicy) -> Iterator[Change]:
    if before.document.kind is not after.document.kind:
        yield f"is an {after.document.kind} policy where it was: {before.document.kind}", Direction.OTHER
    lists: Mapping[str, tuple[Sequence[str], Sequence[str], str]] = {
        "apps": (before.apps, after.apps, "every app"),
        "activities": (_activities(before), _activities(after), "every activity"),
    }
    for name, (old, new, every) in lists.items():
        if set(old) != set(new):
            wider = not new or (bool(old) and set(new) > set(old))
            narrower = not old or (bool(new) and set(new) < set(old))
            what = f"{name}: {', '.join(new) or every} where it was {', '.join(old) or every}"
            yield what, Direction.TIGHTER if wider else Direction.LOOSER if narrower else Direction.OTHER
    yield from _conditions(before.when, after.when)


def _activities(loaded: LoadedPolicy) -> Sequence[str]:
    """As written: none for every one."""
    return [str(each) for each in loaded.activities] if loaded.document.activities else []


def _conditions(before: Node, after: Node) -> Iterator[Change]:
    old, new = ({words(part): part for part in _parts(node)} for node in (before, after))
    gone = {phrase: part for phrase, part in old.items() if phrase not in new}
    for phrase, part in new.items():
        if phrase in old:
            continue
        twin = next((each for each, other in gone.items() if _same_fact(part, other)), None)
        if twin is None:
            yield f"new condition: {phrase}", Direction.LOOSER
        else:
            yield f"condition: {phrase} where it was: {twin}", _compared(gone.pop(twin), part)
    for phrase in gone:
        yield f"condition dropped: {phrase}", Direction.TIGHTER


def _same_fact(first: Node, second: Node) -> bool:
    return isinstance(first, Leaf) and isinstance(second, Leaf) and first.code == second.code


def _compared(before: Node, after: Node) -> Direction:
    assert isinstance(before, Leaf) and isinstance(after, Leaf)  # noqa: S101  # `_same_fact` has seen to it
    if implies(after, before):
        return Direction.LOOSER
    return Direction.TIGHTER if implies(before, after) else Direction.OTHER


def _parts(node: Node) -> tuple[Node, ...]:
    """What must hold, each."""
    return node.parts if isinstance(node, Branch) and node.kind == "all" else (node,)


def _texts(before: PolicyDocument, after: PolicyDocument) -> Iterator[Change]:
    for name, told in (("name", "name"), ("severity", "severity"), ("message", "message"), ("alert", "alert")):
        if getattr(before, name) != getattr(after, name):
            yield f"its {told} is another", Direction.OTHER
    if before.budget != after.budget:
        yield "its budget is another", Direction.OTHER
