"""Activity policies: which of them an activity in the log matches, once or again and again.

Pure: the state is plain and bounded, times are those of the activities. Nothing here refuses anything.
"""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from casb.model.activity import Activity
from casb.policy.compile import Policies, Policy
from casb.policy.document import Repeated
from casb.policy.rollout import duration
from casb.policy.truths import YES

MOST_SERIES = 100_000
"""Series (of a policy, a person and an app) that are counted at a time; the one untouched for longest is forgotten."""

type Key = tuple[str, str, str]
type Seen = tuple[datetime, str, str]
"""Time, activity id, and the file that it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An activity policy matched. `activities` are the ids of all that it took, oldest first."""

    policy: Policy
    activity: Activity
    activities: tuple[str, ...]


@dataclass(slots=True)
class Counted:
    """How often what happened lately: the only state. At most `MOST_SERIES` series of at most `at_least` entries."""

    series: OrderedDict[Key, list[Seen]] = field(default_factory=OrderedDict)


def reach(policies: Iterable[Policy]) -> timedelta:
    """How far back the counting looks: what must be told to `observe` again after a restart."""
    return max((duration(each.repeated.within) for each in policies if each.repeated), default=timedelta())


def observe(counted: Counted, activity: Activity, policies: Policies) -> Iterator[Match]:
    """The activity policies that match with this activity.

    A fact that the log does not know holds for nothing. The same activity told twice counts once; activities may come
    somewhat out of order. After a match the count of a series begins anew.
    """
    for policy in concerning(activity, policies):
        if policy.check(activity) is not YES:
            continue
        if policy.repeated is None:
            yield Match(policy=policy, activity=activity, activities=(activity.id,))
        else:
            found = _again(counted, policy, policy.repeated, activity)
            if found:
                yield Match(policy=policy, activity=activity, activities=found)


def concerning(activity: Activity, policies: Policies) -> Iterator[Policy]:
    """The activity policies for its app and type, in season."""
    return (each for each in policies.afterwards if _concerns(each, activity))


def _concerns(policy: Policy, activity: Activity) -> bool:
    if activity.type not in policy.activities:
        return False
    if policy.apps and (activity.app is None or activity.app.id not in policy.apps):
        return False
    if policy.season is not None and not policy.season(activity.time):
        return False
    return policy.live is None or policy.live(activity)


def _again(counted: Counted, policy: Policy, repeated: Repeated, activity: Activity) -> tuple[str, ...]:
    who = activity.client.ip if repeated.per == "ip" else activity.user.id if activity.user else ""
    if not who:
        return ()
    key = (policy.id, who, activity.app.id if repeated.in_one_app and activity.app else "")
    file = _file(activity) if repeated.unique_files else ""
    if repeated.unique_files and not file:
        return ()
    seen = counted.series.setdefault(key, [])
    counted.series.move_to_end(key)
    if any(each[1] == activity.id for each in seen):
        return ()
    if repeated.unique_files:
        seen[:] = [each for each in seen if each[2] != file]
    insort(seen, (activity.time, activity.id, file))
    since = seen[-1][0] - duration(repeated.within)
    seen[:] = [each for each in seen if each[0] > since][-repeated.at_least :]
    found: tuple[str, ...] = ()
    if len(seen) >= repeated.at_least:
        found = tuple(each[1] for each in seen)
        del counted.series[key]
    while len(counted.series) > MOST_SERIES:
        counted.series.popitem(last=False)
    return found


def _file(activity: Activity) -> str:
    if activity.file is not None and activity.file.name:
        return activity.file.name
    return next((each.id or each.name for each in activity.objects if each.type in ("file", "folder")), "")
