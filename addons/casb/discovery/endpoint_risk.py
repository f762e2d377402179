"""How risky a device's use of cloud apps is: against its own past, never against other devices'.

Each of the last `OBSERVED` days is compared with the 30 days before it; the worst of them counts. Every point has a
reason that says what was unusual, so that somebody can look it up in the device's list of apps.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

BASELINE: Final = 30
"""Days that a day is compared with."""
OBSERVED: Final = 7
"""Latest days that are judged."""
LEARNING: Final = 5
"""Days with traffic that a baseline needs; before that new apps weigh less and volumes nothing."""
FLOOR: Final = 50 * 1024 * 1024
"""Bytes of a day's upload below which no volume is unusual."""
RISKY_UPLOAD: Final = 10 * 1024 * 1024
"""Bytes of a day's upload to risky apps that are told."""


class Level(StrEnum):
    """As the reference product has it."""

    INFORMATIONAL = "informational"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True, kw_only=True)
class DayUse:
    """What a device did with one app on one day."""

    day: date
    app: str
    events: int = 0
    blocked: int = 0
    up: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One unusual thing. `code` is stable, `text` for people."""

    code: str
    day: date
    points: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The level of the worst day, and why: the signals of that day."""

    level: Level
    points: int
    signals: tuple[Signal, ...] = ()


def assess(uses: Iterable[DayUse], *, risky: Collection[str], unsanctioned: Collection[str], today: date) -> Assessment:
    """The device's level today. `risky` and `unsanctioned` are ids of apps by the catalog in force."""
    days: dict[date, dict[str, DayUse]] = {}
    for use in uses:
        apps = days.setdefault(use.day, {})
        apps[use.app] = _sum(apps[use.app], use) if use.app in apps else use
    bad = {app for apps in days.values() for app in apps if app in risky or app in unsanctioned}
    worst: tuple[int, date, tuple[Signal, ...]] = (0, today, ())
    for back in range(OBSERVED):
        day = today - timedelta(days=back)
        if day in days:
            found = tuple(_signals(day, days, bad, unsanctioned))
            points = sum(each.points for each in found)
            if points > worst[0]:
                worst = (points, day, found)
    return Assessment(level=_level(worst[0]), points=worst[0], signals=worst[2])


def _signals(
    day: date, days: Mapping[date, Mapping[str, DayUse]], bad: Collection[str], unsanctioned: Collection[str]
) -> Iterable[Signal]:
    past = [days[each] for back in range(1, BASELINE + 1) if (each := day - timedelta(days=back)) in days]
    known = {app for apps in past for app in apps}
    learned = len(past) >= LEARNING
    today = days[day]
    for app in sorted(today):
        if app in bad and app not in known and today[app].events > today[app].blocked:
            kind = "unsanctioned" if app in unsanctioned else "risky"
            points = (3 if kind == "unsanctioned" else 2) if learned else 1
            yield Signal(code="new-risky-app", day=day, points=points, text=f"{kind} app {app} used for the first time")
    up = sum(use.up for use in today.values())
    if learned:
        usual = p95([sum(use.up for use in apps.values()) for apps in past])
        limit = max(usual, FLOOR)
        if up > 2 * limit:
            text = f"uploaded {_size(up)}; at most {_size(usual)} on 95 of 100 earlier days"
            yield Signal(code="upload-volume", day=day, points=4 if up > 5 * limit else 2, text=text)
    sent = {app: use.up for app, use in today.items() if app in bad}
    before = p95([sum(use.up for app, use in apps.items() if app in bad) for apps in past])
    if sum(sent.values()) > max(RISKY_UPLOAD, 2 * before):
        most = max(sorted(sent), key=lambda app: sent[app])
        text = f"uploaded {_size(sum(sent.values()))} to risky apps, most of it to {most}"
        yield Signal(code="risky-upload", day=day, points=2, text=text)
    tried = sum(use.blocked for use in today.values())
    if tried:
        yield Signal(code="blocked", day=day, points=1, text=f"{tried} connections to blocked apps")


def p95(values: Iterable[int]) -> int:
    """The 95th percentile by nearest rank; 0 of nothing."""
    ordered = sorted(values)
    return ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else 0


def _level(points: int) -> Level:
    if points >= 4:
        return Level.HIGH
    return (Level.INFORMATIONAL, Level.LOW, Level.MEDIUM, Level.MEDIUM)[points]


def _sum(a: DayUse, b: DayUse) -> DayUse:
    return DayUse(
        day=a.day, app=a.app, events=a.events + b.events, blocked=a.blocked + b.blocked, up=a.up + b.up,
        total=a.total + b.total,
    )  # fmt: skip


def _size(count: int) -> str:
    return f"{count / 1024 / 1024:.0f} MB"
