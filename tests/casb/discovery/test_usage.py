"""Events to sums, in bounded memory, whatever the order."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.discovery import usage
from casb.discovery.usage import BEFORE, EXPIRED, FUTURE, Counts, Tally, Window
from casb.model.discovery import Skipped, TrafficEvent

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
APPS = {"www.dropbox.com": "dropbox", "slack.com": "slack"}


def match(host: str | None, url: str | None, address: str | None) -> str | None:
    if host == "shared.example":
        return "one" if url and "/one" in url else "two" if url and "/two" in url else None
    return APPS.get(host or "") or ("by-address" if address == "198.51.100.7" else None)


def event(**facts: Any) -> TrafficEvent:
    known: dict[str, Any] = {
        "line": 1,
        "time": NOW,
        "source": "squid",
        "host": "www.dropbox.com",
        "client_ip": "192.0.2.1",
    }
    return TrafficEvent(**{**known, **facts})


def tally(**facts: Any) -> Tally:
    return Tally(match, by_path=lambda host: host == "shared.example", **facts)


def test_sums_blocked_and_times() -> None:
    made = tally()
    made.add(event(bytes_up=5, bytes_down=7, user="ada"))
    made.add(event(bytes_up=1, allowed=False, user="ada", time=NOW - timedelta(hours=2)))
    made.add(event(bytes_total=100, user="bob"))
    ada, bob = made.drain()
    assert (ada.events, ada.blocked, ada.up, ada.down, ada.total) == (2, 1, 6, 7, 13)
    assert (ada.first, ada.last) == (NOW - timedelta(hours=2), NOW)
    assert (bob.up, bob.down, bob.total) == (0, 0, 100), "a sum that the source gives alone is kept as a sum"
    assert made.drain() == []


@pytest.mark.parametrize(
    ("facts", "app"),
    [
        ({"host": "slack.com"}, "slack"),
        ({"host": "shared.example", "url": "https://shared.example/one/x"}, "one"),
        ({"host": "shared.example", "url": "https://shared.example/two"}, "two"),
        ({"host": None, "dest_ip": "198.51.100.7"}, "by-address"),
        ({"host": "unknown.example", "dest_ip": "198.51.100.7"}, "by-address"),
        ({"host": "unknown.example"}, None),
        ({"host": None, "dest_ip": None}, None),
    ],
)
def test_path_then_host_then_address(facts: dict[str, Any], app: str | None) -> None:
    made = tally()
    for _ in range(2):  # the second time from memory
        made.add(event(**facts))
    rows = made.drain()
    assert [each.app for each in rows] == ([app] if app else [])
    assert made.counts.matched == (2 if app else 0)
    assert made.counts.events == 2


def test_hosts_of_no_app_are_counted_by_day() -> None:
    made = tally()
    made.add(event(host="unknown.example"))
    made.add(event(host=None, dest_ip="203.0.113.9"))
    assert list(made.unmatched.rows()) == [(NOW.date(), "203.0.113.9", 1), (NOW.date(), "unknown.example", 1)]


@pytest.mark.parametrize(
    ("time", "why"),
    [
        (NOW + timedelta(days=2), FUTURE),
        (datetime.max.replace(tzinfo=UTC), FUTURE),
        (NOW - timedelta(days=91), EXPIRED),
        (NOW - timedelta(days=8), BEFORE),
        (NOW, None),
    ],
)
def test_times_outside_the_window_are_counted_with_their_reason(time: datetime, why: str | None) -> None:
    window = Window(since=NOW - timedelta(days=7), oldest=NOW - timedelta(days=90), newest=NOW + timedelta(days=1))
    made = tally(window=window)
    assert made.add(event(time=time)) is (why is None)
    assert made.counts.outside == (Counter({why: 1}) if why else Counter())
    assert made.counts.lines == made.counts.events == 1


def test_skipped_lines_are_counted_all_and_told_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "SAMPLES", 3)
    made = tally()
    for number in range(10):
        made.skip(Skipped(line=number, why="odd" if number % 2 else "even"))
    assert made.counts.skipped == Counter(odd=5, even=5)
    assert [each.line for each in made.counts.samples] == [0, 1, 2]
    whole = Counts()
    whole.add(made.counts)
    whole.add(made.counts)
    assert (whole.lines, whole.skipped.total(), len(whole.samples)) == (20, 20, 3)


def test_a_full_tally_asks_to_be_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "FULL", 3)
    made, rows = tally(), []
    for _ in made.feed(event(user=f"u{number}") for number in range(10)):
        assert made.full
        rows.append(len(made.drain()))
    assert rows == [3, 3, 3]
    assert len(made.drain()) == 1


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from(["ada", "bob", None]), st.integers(0, 9), st.integers(0, 3)), max_size=40),
    st.data(),
)
def test_neither_order_nor_cuts_change_the_sums(items: list[Any], data: st.DataObject) -> None:
    events = [event(user=user, bytes_up=up, time=NOW - timedelta(days=days)) for user, up, days in items]

    def sums(parts: list[list[TrafficEvent]]) -> dict[Any, Any]:
        found: Counter[Any] = Counter()
        spans: dict[Any, Any] = {}
        for part in parts:
            made = tally()
            for each in part:
                made.add(each)
            for row in made.drain():
                found[row[:6], "events"] += row.events
                found[row[:6], "up"] += row.up
                low, high = spans.get(row[:6], (row.first, row.last))
                spans[row[:6]] = (min(low, row.first), max(high, row.last))
        return {**found, **spans}

    cut = data.draw(st.integers(0, len(events)))
    shuffled = data.draw(st.permutations(events))
    assert sums([events]) == sums([shuffled[:cut], shuffled[cut:]])
