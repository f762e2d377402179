"""Is it connected, is it quiet, is it losing data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from casb.collector.health import DROPPED, LOW_RATE, NO_DATA, SourceState, alerts, as_json, status

NOW = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)


def state(hours_ago: float | None, *, attached: bool = True) -> SourceState:
    last = None if hours_ago is None else NOW - timedelta(hours=hours_ago)
    return SourceState(name="fw", attached=attached, attached_at=NOW - timedelta(days=9), last_data=last)


@pytest.mark.parametrize(
    ("made", "word", "told"),
    [
        (state(None, attached=False), "created", [NO_DATA]),
        (state(None), "healthy", [NO_DATA]),
        (state(1), "connected", []),
        (state(23.9), "connected", []),
        (state(24), "disconnected", []),
        (state(47.9), "disconnected", []),
        (state(48), "disconnected", [NO_DATA]),
    ],
)
def test_status_and_silence(made: SourceState, word: str, told: list[str]) -> None:
    assert status(made, NOW) == word
    assert alerts(made, NOW) == told


def test_a_low_rate_is_low_beside_the_usual_one() -> None:
    made = state(0)
    made.hours = [1000] * 30
    assert alerts(made, NOW) == []
    made.hours = [1000] * 30 + [99]
    assert alerts(made, NOW) == [LOW_RATE]
    made.hours = [1000] * 10 + [0]
    assert alerts(made, NOW) == [], "too little is known"


def test_hours_turn_and_empty_ones_count() -> None:
    made = state(None)
    made.take(10, NOW)
    made.take(5, NOW + timedelta(minutes=29))
    made.take(7, NOW + timedelta(hours=3))
    assert (made.hours, made.hour_bytes) == ([15, 0, 0], 7)
    made.turn(NOW + timedelta(days=400))
    assert len(made.hours) == 168


def test_losses_are_told() -> None:
    made = state(0)
    made.drop(9, "disk full")
    assert alerts(made, NOW) == [DROPPED]
    assert as_json(made, NOW)["drops"] == {"disk full": 1}
