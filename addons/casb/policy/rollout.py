"""How far a policy is rolled out: when it is in season, and for whom it is enforced rather than only watched.

A policy out of season is as if it were not there. A policy in shadow is asked and recorded, and changes nothing. A
canary is enforced for some people and in shadow for the others; the same person always falls on the same side.
"""

from __future__ import annotations

import hashlib
import re
import zoneinfo
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, tzinfo

from casb.model.activity import Activity
from casb.policy.document import Canary, Schedule, Stage
from casb.policy.matchers import Malformed

type Season = Callable[[datetime], bool]
type Live = Callable[[Activity], bool]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SHARE = re.compile(r"(100|[0-9]{1,2}(?:\.[0-9]{1,2})?) ?%")
_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_DURATION = re.compile(r"([0-9]{1,5})([smhd])")
_BUCKETS = 10_000


def share(text: str) -> int:
    """`12.5%` in hundredths of a percent. Raises `Malformed`."""
    found = _SHARE.fullmatch(text.strip())
    if not found:
        raise Malformed("017", f"'{text}' is no share", "write a percentage such as 10%")
    return round(float(found[1]) * 100)


def duration(text: str) -> timedelta:
    """`30s`, `90m`, `24h`, `7d`. Raises `Malformed`."""
    found = _DURATION.fullmatch(text.strip())
    if not found or int(found[1]) == 0:
        raise Malformed("017", f"'{text}' is no length of time", "write 90m, 24h or 7d")
    return timedelta(seconds=int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]])


def moment(text: str, zone: tzinfo, *, end: bool = False) -> datetime:
    """A date or a date with time, in `zone` unless it says otherwise. A mere date ends with its last instant."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise Malformed("017", f"'{text}' is no date", "write '2026-03-31' or '2026-03-31T18:00'") from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=zone)
    if end and len(text.strip()) == len("2026-03-31"):
        when += timedelta(days=1)
    return when.astimezone(UTC)


def zone_of(schedule: Schedule) -> tzinfo:
    """The time zone that a schedule is written in. Raises `Malformed`."""
    try:
        return zoneinfo.ZoneInfo(schedule.zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise Malformed("017", f"unknown time zone '{schedule.zone}'", "write a name such as Europe/Berlin") from None


def season(schedule: Schedule | None) -> Season | None:
    """Whether the policy counts at a moment (aware); None: always. Raises `Malformed`.

    Hours that end before they begin reach past midnight and belong to the day on which they begin.
    """
    if schedule is None:
        return None
    zone = zone_of(schedule)
    begin = moment(schedule.begin, zone) if schedule.begin else None
    end = moment(schedule.until, zone, end=True) if schedule.until else None
    if begin and end and end <= begin:
        raise Malformed("050", "the schedule ends before it begins", "mend 'begin' or 'until'")
    days = frozenset(_DAYS.index(day) for day in schedule.days) or frozenset(range(7))
    opening, closing = _hours(schedule.hours)

    def in_season(now: datetime) -> bool:
        if (begin is not None and now < begin) or (end is not None and now >= end):
            return False
        local = now.astimezone(zone)
        day, clock = local.weekday(), local.time()
        if opening is None or closing is None:
            return day in days
        if opening < closing or closing == time.min:
            return day in days and clock >= opening and (clock < closing or closing == time.min)
        if clock >= opening:
            return day in days
        return clock < closing and (day - 1) % 7 in days

    return in_season


def _hours(text: str) -> tuple[time | None, time | None]:
    if not text:
        return None, None
    found = _HOURS.fullmatch(text.strip())
    if not found or (found[3] == "24" and found[4] != "00"):
        raise Malformed("017", f"'{text}' is no span of hours", "write '08:00-18:00'")
    opening, closing = time(int(found[1]), int(found[2])), time(int(found[3]) % 24, int(found[4]))
    if opening == closing:
        raise Malformed("017", f"'{text}' is an empty span of hours", "leave 'hours' out for the whole day")
    return opening, closing


def expired(schedule: Schedule | None, now: datetime) -> bool:
    """Whether the policy will never count again. The schedule is well formed."""
    return bool(schedule and schedule.until and moment(schedule.until, zone_of(schedule), end=True) <= now)


def bucket(policy_id: str, user_id: str) -> int:
    """Which of 10,000 equal parts of mankind a person belongs to for this policy: the same on every node."""
    digest = hashlib.blake2b(f"{policy_id}\0{user_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % _BUCKETS


def live(policy_id: str, rollout: Stage | Canary) -> Live | None:
    """For whom the policy is enforced; None: for everybody. Raises `Malformed`.

    A canary with groups and a share is enforced for members of the groups and for the share of all others.
    """
    if rollout is Stage.ENFORCE:
        return None
    if rollout is Stage.SHADOW:
        return nobody
    assert isinstance(rollout, Canary)  # noqa: S101  # for the type checker: StrEnum members are exhausted above
    below = share(rollout.share) if rollout.share else 0
    names = (rollout.groups,) if isinstance(rollout.groups, str) else rollout.groups
    groups = frozenset(name.casefold() for name in names)
    if not below and not groups:
        raise Malformed("037", "'rollout' is for nobody", "give a share or groups, or write shadow")

    def chosen(activity: Activity) -> bool:
        user = activity.user
        if user is None:
            return False
        if groups and not groups.isdisjoint(group.casefold() for group in user.groups):
            return True
        return below > 0 and bucket(policy_id, user.id) < below

    return chosen


def nobody(activity: Activity) -> bool:
    """In shadow for everybody."""
    return False


def told(rollout: Stage | Canary) -> str:
    """The stage in a few words."""
    if not isinstance(rollout, Canary):
        return str(rollout)
    names = (rollout.groups,) if isinstance(rollout.groups, str) else rollout.groups
    parts = [*(f"group {name}" for name in names), *([f"{rollout.share} of the people"] if rollout.share else [])]
    return "canary: " + " and ".join(parts)
