"""Numbers as the geometry of plots: donut, stacked bars, a line over days. Pure; templates draw it as SVG.

Everything is an attribute of an SVG element: the portal's content security policy allows no inline style.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import pi

RADIUS = 70
ROUND = 2 * pi * RADIUS
WIDTH, HEIGHT = 960, 180
LEFT, TOP, BOTTOM = 64, 10, 24
BAR = 1000
"""Width of the longest bar, in the units of its view box."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a donut: `dash` and `gap` along the circle, begun at `offset`."""

    name: str
    value: int
    percent: float
    dash: float
    gap: float
    offset: float


def donut(parts: Sequence[tuple[str, int]]) -> list[Slice]:
    """The slices, clockwise from the top; empty when there is nothing."""
    whole = sum(max(0, value) for _, value in parts)
    slices: list[Slice] = []
    begun = 0.0
    for name, value in parts:
        if whole and value > 0:
            long = value / whole * ROUND
            dash, gap = round(long, 2), round(ROUND - long, 2)
            slices.append(Slice(name, value, round(100 * value / whole, 1), dash, gap, round(-begun, 2)))
            begun += long
    return slices


@dataclass(frozen=True, slots=True)
class Bar:
    """A row with the parts of its bar as (x, width, kind, value)."""

    label: str
    value: int
    parts: tuple[tuple[float, float, str, int], ...]


def bars(rows: Sequence[tuple[str, Mapping[str, int]]]) -> list[Bar]:
    """Horizontal bars on one scale, each a stack of its kinds in their order."""
    top = max((sum(kinds.values()) for _, kinds in rows), default=0)
    made = []
    for label, kinds in rows:
        x, parts = 0.0, []
        for kind, value in kinds.items():
            if value > 0:
                width = value / top * BAR
                parts.append((round(x, 1), round(max(width, 1.0), 1), kind, value))
                x += width
        made.append(Bar(label, sum(kinds.values()), tuple(parts)))
    return made


@dataclass(frozen=True, slots=True)
class Line:
    """A line over days: the points of a polyline, of the area below it, and what pointing at a day shows."""

    width: int
    height: int
    left: int
    base: int
    points: str
    area: str
    days: tuple[tuple[float, float, str, int, str], ...]  # x, width, ISO day, value, label below
    lines: tuple[tuple[float, float], ...]  # y and value of the grid
    most: int


def line(days: Sequence[tuple[date, int]]) -> Line:
    """The days from the left; the scale begins at 0."""
    base = HEIGHT - BOTTOM
    most = max((value for _, value in days), default=0)
    top = most or 1
    step = (WIDTH - LEFT) / max(1, len(days))
    marks, points = [], []
    every = max(1, len(days) // 8)
    for index, (day, value) in enumerate(days):
        x = LEFT + index * step
        y = base - value / top * (base - TOP)
        points.append(f"{x + step / 2:.1f},{y:.1f}")
        label = f"{day:%d %b}" if index % every == 0 and index + every // 2 < len(days) else ""
        marks.append((round(x, 1), round(step, 1), day.isoformat(), value, label))
    area = ""
    if points:
        first, last = points[0].split(",")[0], points[-1].split(",")[0]
        area = f"{first},{base} {' '.join(points)} {last},{base}"
    grid = tuple((round(base - part / 2 * (base - TOP), 1), top * part / 2) for part in range(3))
    return Line(WIDTH, HEIGHT, LEFT, base, " ".join(points), area, tuple(marks), grid, most)


def spark(values: Sequence[int]) -> str:
    """The points of a small line of 100 by 24."""
    top = max(values, default=0) or 1
    step = 100 / max(1, len(values) - 1)
    return " ".join(f"{index * step:.1f},{22 - 20 * value / top:.1f}" for index, value in enumerate(values))
