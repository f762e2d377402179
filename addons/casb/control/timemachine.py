"""Days of recorded activities under other policies: what would have been otherwise, for whom, and how often.

Constant memory: counts per person, app, policy and day are kept whole, those per file for the most frequent only. A
decision rests on the log line alone (`model.logged`), so the same line and policies always give the same answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from casb.model.decision import Action, Decision
from casb.model.logged import from_json
from casb.model.record import reason_json
from casb.policy.compile import Policies
from casb.policy.engine import decide

MOST_KEYS = 20_000
"""Names kept at once by a bounded counter."""

SAMPLES = 5
"""Activities kept as examples of one kind of change."""


class Frequent:
    """Counts of the most frequent names: exact while there are few, a lower bound for what came late among many."""

    def __init__(self, most: int = MOST_KEYS) -> None:
        self._most = most
        self._counts: Counter[str] = Counter()

    def add(self, name: str) -> None:
        self._counts[name] += 1
        if len(self._counts) > self._most:
            self._counts = Counter(dict(self._counts.most_common(self._most // 2)))

    def top(self, number: int) -> list[tuple[str, int]]:
        """The most frequent, most frequent first; of equals the first by name."""
        return sorted(self._counts.items(), key=lambda each: (-each[1], each[0]))[:number]


@dataclass(frozen=True, slots=True)
class Side:
    """What was done, or would be."""

    action: Action
    policy: str | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One activity that would have gone otherwise."""

    id: str
    time: str
    user: str
    app: str
    activity: str
    file: str
    before: Side
    after: Side


@dataclass(slots=True)
class Comparison:
    """What came out. `tighter` and `looser` are the activities that would have met a stricter or milder action."""

    total: int = 0
    left_out: int = 0  # not decided by policies then, or no activity
    unsure: int = 0  # it rests on what the log does not keep: counted neither as changed nor as the same
    changed: int = 0
    tighter: int = 0
    looser: int = 0
    first: str = ""
    last: str = ""
    transitions: Counter[tuple[Action, Action]] = field(default_factory=Counter)
    tighter_by_policy: Counter[str] = field(default_factory=Counter)
    looser_by_policy: Counter[str] = field(default_factory=Counter)
    matched_after: Counter[str] = field(default_factory=Counter)
    shadow_after: Counter[tuple[str, Action]] = field(default_factory=Counter)
    users: Counter[str] = field(default_factory=Counter)
    tighter_users: Counter[str] = field(default_factory=Counter)
    looser_users: Counter[str] = field(default_factory=Counter)
    apps: Counter[str] = field(default_factory=Counter)
    days: dict[str, Counter[Action]] = field(default_factory=dict)
    days_before: dict[str, Counter[Action]] = field(default_factory=dict)
    files: Frequent = field(default_factory=Frequent)
    samples: dict[tuple[Action, Action], list[Sample]] = field(default_factory=dict)


_ACTIONS = {action.word: action for action in Action}


def compare(
    records: Iterable[Mapping[str, Any]], after: Policies, before: Policies | None = None
) -> Iterator[Comparison]:
    """Decide every record again; the comparison so far is given after each record, for progress.

    `before` are the policies to compare with; without them the comparison is with what was recorded.
    """
    found = Comparison()
    for record in records:
        _add(found, record, after, before)
        yield found


def _add(found: Comparison, record: Mapping[str, Any], after: Policies, before: Policies | None) -> None:
    try:
        activity = from_json(record)
    except ValueError:
        found.left_out += 1
        return
    if record.get("default_behaviour"):
        found.left_out += 1  # A failure of ours decided: no policy would change that.
        return
    first = decide(activity, after)
    decision = _settled(first, lambda: decide(activity, after, final=True))
    now = Side(decision.action, decision.policy)
    open_before = False
    if before is None:
        then = Side(_ACTIONS.get(record.get("action", ""), Action.ALLOW), record.get("policy"))
    else:
        asked = decide(activity, before)
        earlier = _settled(asked, lambda: decide(activity, before, final=True))
        then, open_before = Side(earlier.action, earlier.policy), bool(asked.needs)
    unsure = now.action is not then.action and (bool(first.needs) or open_before)
    _count(found, record, decision, then, then if unsure else now)
    found.unsure += unsure


def _settled(decision: Decision, again: Any) -> Decision:
    settled: Decision = again() if decision.needs else decision
    return settled


def _count(found: Comparison, record: Mapping[str, Any], decision: Decision, then: Side, now: Side) -> None:
    time = str(record["time"])
    found.total += 1
    found.first = min(found.first, time) if found.first else time
    found.last = max(found.last, time)
    found.days.setdefault(time[:10], Counter())[now.action] += 1
    found.days_before.setdefault(time[:10], Counter())[then.action] += 1
    found.matched_after.update(decision.matched)
    found.shadow_after.update((each.policy, each.action) for each in decision.shadow)
    if now.action is then.action:
        return
    user = str((record.get("user") or {}).get("name") or "nobody")
    app = str((record.get("app") or {}).get("name") or "no app")
    file = str((record.get("file") or {}).get("name") or "")
    stricter = now.action > then.action
    found.changed += 1
    found.transitions[then.action, now.action] += 1
    found.users[user] += 1
    found.apps[app] += 1
    if file:
        found.files.add(file)
    if stricter:
        found.tighter += 1
        found.tighter_users[user] += 1
        found.tighter_by_policy[now.policy or ""] += 1
    else:
        found.looser += 1
        found.looser_users[user] += 1
        found.looser_by_policy[then.policy or ""] += 1
    samples = found.samples.setdefault((then.action, now.action), [])
    if len(samples) < SAMPLES:
        activity = str(record["activity"])
        samples.append(Sample(str(record["id"]), time, user, app, activity, file, then, now))


def identical(record: Mapping[str, Any], policies: Policies) -> bool:
    """Whether deciding on the record again gives the decision in it to the last reason.

    For records that policies decided, under the policies of the record's version.
    """
    activity = from_json(record)
    decision = _settled(decide(activity, policies), lambda: decide(activity, policies, final=True))
    return (
        record.get("action") == decision.action.word
        and record.get("policy") == decision.policy
        and record.get("matched") == list(decision.matched)
        and record.get("reasons") == [reason_json(reason) for reason in decision.reasons]
    )


def to_json(found: Comparison, most: int = 10) -> dict[str, Any]:
    """The comparison as plain JSON data, lists with the `most` frequent first."""
    return {
        "total": found.total,
        "left_out": found.left_out,
        "unsure": found.unsure,
        "changed": found.changed,
        "tighter": found.tighter,
        "looser": found.looser,
        "first": found.first or None,
        "last": found.last or None,
        "transitions": [
            {"before": before.word, "after": after.word, "activities": number}
            for (before, after), number in _most(found.transitions, None)
        ],
        "people": {
            "affected": len(found.users),
            "most": [
                {
                    "user": user,
                    "activities": number,
                    "tighter": found.tighter_users[user],
                    "looser": found.looser_users[user],
                }
                for user, number in _most(found.users, most)
            ],
        },
        "apps": [{"app": app, "activities": number} for app, number in _most(found.apps, most)],
        "files": [{"file": file, "activities": number} for file, number in found.files.top(most)],
        "policies": {
            "tighter": [
                {"policy": name, "activities": number} for name, number in _most(found.tighter_by_policy, most)
            ],
            "looser": [{"policy": name, "activities": number} for name, number in _most(found.looser_by_policy, most)],
            "hits": [{"policy": name, "activities": number} for name, number in _most(found.matched_after, None)],
            "shadow": [
                {"policy": name, "action": action.word, "activities": number}
                for (name, action), number in _most(found.shadow_after, None)
            ],
        },
        "days": [
            {
                "day": day,
                "before": {action.word: number for action, number in sorted(found.days_before[day].items())},
                "after": {action.word: number for action, number in sorted(counts.items())},
            }
            for day, counts in sorted(found.days.items())
        ],
        "samples": [
            {
                "before": before.word,
                "after": after.word,
                "activities": [
                    {
                        "id": each.id,
                        "time": each.time,
                        "user": each.user,
                        "app": each.app,
                        "activity": each.activity,
                        "file": each.file,
                        "policy_before": each.before.policy,
                        "policy_after": each.after.policy,
                    }
                    for each in samples
                ],
            }
            for (before, after), samples in sorted(found.samples.items())
        ],
    }


def _most[K](counts: Counter[K], most: int | None) -> list[tuple[K, int]]:
    ordered = sorted(counts.items(), key=lambda each: (-each[1], str(each[0])))
    return ordered if most is None else ordered[:most]
