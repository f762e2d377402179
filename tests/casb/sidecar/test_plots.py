"""The geometry of plots."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.sidecar.plots import BAR, ROUND, bars, donut, line, spark


@given(st.lists(st.integers(0, 2**53), max_size=6))
def test_slices_make_a_whole_circle(values: list[int]) -> None:
    slices = donut([(str(index), value) for index, value in enumerate(values)])
    assert len(slices) == sum(value > 0 for value in values)
    if slices:
        assert sum(each.dash for each in slices) == pytest.approx(ROUND, abs=0.1)


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 2**53)), max_size=5))
def test_no_bar_is_longer_than_the_longest(rows: list[dict[str, int]]) -> None:
    for bar in bars([(str(index), row) for index, row in enumerate(rows)]):
        assert all(0 <= x and x + width <= BAR + 3 for x, width, _, _ in bar.parts)


def test_a_line_over_days() -> None:
    plot = line([(date(2026, 3, 1), 0), (date(2026, 3, 2), 10)])
    assert plot.most == 10 and plot.points.count(",") == 2 and plot.days[1][2] == "2026-03-02"
    assert line([]).points == "" and line([(date(2026, 3, 1), 0)]).most == 0
    assert spark([]) == "" and spark([1, 2]).startswith("0.0,12.0")
