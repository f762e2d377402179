"""The geometry of the bars."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.sidecar.chart import ORDER, TOP, chart_of, nice
from sample_records import START

counts = st.dictionaries(st.sampled_from((*ORDER, "other")), st.integers(0, 10**6))


@given(st.lists(counts, max_size=30))
def test_bars_stay_in_the_picture_and_on_top_of_each_other(hours: list[dict[str, int]]) -> None:
    chart = chart_of([(START + timedelta(hours=number), each) for number, each in enumerate(hours)])
    assert chart.total == sum(sum(each.values()) for each in hours)
    for column, given_counts in zip(chart.columns, hours, strict=True):
        assert {bar.action for bar in column.bars} == {name for name, count in given_counts.items() if count}
        below = float(chart.base)
        for bar in column.bars:
            assert bar.y + bar.height == pytest.approx(below, abs=0.1)
            below = bar.y
            assert TOP - 0.1 <= bar.y
            assert chart.left <= bar.x and bar.x + bar.width <= chart.width


@pytest.mark.parametrize(("most", "expected"), [(0, 4), (4, 4), (5, 8), (9, 20), (21, 40), (200, 200), (201, 400)])
def test_round_numbers(most: int, expected: int) -> None:
    assert nice(most) == expected
