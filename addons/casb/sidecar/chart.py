"""The activities of the last hours as bars: the geometry of an SVG. Pure; the template draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

WIDTH, HEIGHT = 960, 220
LEFT, BOTTOM, TOP = 44, 24, 10
ORDER = ("allow", "audit", "notify", "coach", "redact", "protect", "step_up", "block")


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle; `action` chooses its colour."""

    x: float
    y: float
    width: float
    height: float
    action: str


@dataclass(frozen=True, slots=True)
class Column:
    """One hour: its bars from the bottom up, and the text that pointing at it shows."""

    x: float
    width: float
    bars: tuple[Bar, ...]
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws. `lines` are the heights of the grid with their values."""

    width: int
    height: int
    base: int
    left: int
    columns: tuple[Column, ...]
    lines: tuple[tuple[float, int], ...]
    total: int


def chart_of(hours: Sequence[tuple[datetime, Mapping[str, int]]]) -> Chart:
    """The chart of hours and their activities by action."""
    return _stacked(
        [
            (f"{hour:%H:%M} UTC", f"{hour:%H:%M}" if index % 3 == 0 else "", each)
            for index, (hour, each) in enumerate(hours)
        ]
    )


def chart_of_days(days: Sequence[tuple[str, Mapping[str, int]]]) -> Chart:
    """The chart of days (`YYYY-MM-DD`) and their activities by action."""
    every = max(1, len(days) // 8)
    return _stacked([(day, day[5:] if index % every == 0 else "", each) for index, (day, each) in enumerate(days)])


def _stacked(stacks: Sequence[tuple[str, str, Mapping[str, int]]]) -> Chart:
    """Columns of a name, a label under it, and counts by action."""
    base = HEIGHT - BOTTOM
    top = nice(max((sum(counts.values()) for *_, counts in stacks), default=0))
    step = (WIDTH - LEFT) / max(1, len(stacks))
    scale = (base - TOP) / top
    columns = []
    for index, (name, label, counts) in enumerate(stacks):
        x, y = LEFT + index * step, float(base)
        bars = []
        for action in (*ORDER, *sorted(counts.keys() - set(ORDER))):
            if count := counts.get(action, 0):
                height = count * scale
                y -= height
                bars.append(Bar(round(x + step * 0.15, 2), round(y, 2), round(step * 0.7, 2), round(height, 2), action))
        told = ", ".join(f"{counts[action]} {action}" for action in ORDER if counts.get(action)) or "nothing"
        columns.append(Column(round(x, 2), round(step, 2), tuple(bars), f"{name}: {told}", label))
    lines = tuple((round(base - top * part / 4 * scale, 2), top * part // 4) for part in range(5))
    return Chart(WIDTH, HEIGHT, base, LEFT, tuple(columns), lines, sum(sum(counts.values()) for *_, counts in stacks))


def nice(most: int) -> int:
    """The lowest round number, divisible by four, that is not below `most`."""
    step = 1
    while True:
        for factor in (4, 8, 20):
            if most <= factor * step:
                return factor * step
        step *= 10
