"""Named fields to an event."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from casb.discovery.entry import Entry
from casb.discovery.fieldmap import FieldMap
from casb.discovery.times import Clock
from casb.model.discovery import Skipped, TrafficEvent

CLOCK = Clock(UTC, datetime(2024, 5, 20, tzinfo=UTC))
MAP = FieldMap(
    exact=("epoch",), moments=(("date", "time"),), time=("when",), zone=("tz",), user=("login", "user"), client=("src",), device=("name",),
    host=("host",), url=("url",), dest=("dst", "nat"), up=("up",), down=("down",), total=("sum",), action=("act",), status=("code",),
    verdicts={"odd": False, "nothing": None},
)  # fmt: skip
BASE = {"when": "2024-05-06T07:08:09Z", "src": "192.0.2.10", "dst": "198.51.100.7"}


def event(**changes: str) -> TrafficEvent:
    outcome = MAP.event({**BASE, **changes}, Entry(1, "x"), "s", CLOCK)
    assert isinstance(outcome, TrafficEvent)
    return outcome


def test_the_first_field_that_says_something_counts() -> None:
    assert event(login="-", user="alice").user == "alice"
    assert event(dst="0.0.0.0", nat="198.51.100.8").dest_ip == "198.51.100.8"  # noqa: S104


@pytest.mark.parametrize(
    ("fields", "hour"),
    [
        ({"epoch": "1714979289", "date": "2024-05-06", "time": "01:08:09"}, 7),
        ({"date": "2024-05-06", "time": "09:08:09", "tz": "+0200"}, 7),
        ({"date": "2024-05-06", "time": "09:08:09"}, 9),
        ({"when": "2024-05-06 05:08:09"}, 5),
    ],
)
def test_the_exact_time_goes_before_date_and_time_before_any_other(fields: dict[str, str], hour: int) -> None:
    assert event(**fields).time == datetime(2024, 5, 6, hour, 8, 9, tzinfo=UTC)


def test_the_wrappers_time_is_the_last_resort() -> None:
    outcome = MAP.event({"dst": "198.51.100.7"}, Entry(1, "x", "2024-05-06T07:08:09Z"), "s", CLOCK)
    assert isinstance(outcome, TrafficEvent)
    assert outcome.time.hour == 7


def test_the_sum_is_told_only_where_a_direction_is_not() -> None:
    assert (event(up="1", down="2", sum="3").bytes_total, event(up="1", sum="3").bytes_total) == (None, 3)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"act": "allow"}, True),
        ({"act": "ODD"}, False),
        ({"act": "nothing", "code": "403"}, False),
        ({"act": "nothing"}, None),
        ({"code": "403"}, False),
        ({"code": "200"}, True),
        ({}, None),
    ],
)
def test_verdicts(fields: dict[str, str], expected: bool | None) -> None:
    assert event(**fields).allowed is expected


def test_a_name_where_the_address_should_be_is_the_device() -> None:
    found = event(src="pc1.corp.example")
    assert (found.client_ip, found.device) == (None, "pc1.corp.example")


@pytest.mark.parametrize(("missing", "why"), [("when", "no time that can be read"), ("dst", "no destination")])
def test_what_is_missing_is_said(missing: str, why: str) -> None:
    fields = {key: value for key, value in BASE.items() if key != missing}
    assert MAP.event(fields, Entry(7, "x"), "s", CLOCK) == Skipped(line=7, why=why)


def test_a_narrowed_map_reads_the_same() -> None:
    fields = {**BASE, "date": "2024-05-06", "user": "alice", "up": "1", "act": "deny"}
    narrow = MAP.narrowed(fields.keys())
    assert narrow.event(fields, Entry(1, "x"), "s", CLOCK) == MAP.event(fields, Entry(1, "x"), "s", CLOCK)
    assert (narrow.user, narrow.moments, narrow.exact) == (("user",), (), ())
