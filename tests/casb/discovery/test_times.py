"""Timestamps as logs write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.discovery.times import Clock, zone_of

NOW = datetime(2024, 5, 20, 12, tzinfo=UTC)
MOMENT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-06T07:08:09Z", "2024-05-06 07:08:09", "2024-05-06T09:08:09+02:00", "2024-05-06T09:08:09+0200",
        "2024-05-06 03:08:09 EDT", "2024-05-06 07:08:09 UTC", "2024/05/06 07:08:09", "2024.05.06 07:08:09", "2024:05:06-07:08:09",
        "2024 05 06 07:08:09", "2024-05-06_07:08:09", "06/May/2024:07:08:09 +0000", "06/May/2024:09:08:09 +0200",
        "[06/May/2024:07:08:09 +0000]", "May 06 2024 07:08:09", "May  6 07:08:09 2024", "May 6, 2024 07:08:09", "May 06 07:08:09",
        "Mon May 06 07:08:09 2024", "Mon, 06 May 2024 07:08:09 GMT", "6May2024 7:08:09", "06-May-2024 07:08:09",
        "05/06/2024 07:08:09", "5/6/2024 7:08:09 AM", "06.05.2024 07:08:09", "20240506070809", "20240506T070809Z",
        "1714979289", "1714979289000", "1714979289000000", "1714979289000000000", '"2024-05-06 07:08:09"', "07:08:09 May 06 2024",
        "07:08:09 UTC Mon May 6 2024", "2024-05-06 09:08:09 Europe/Berlin",
    ],
)  # fmt: skip
def test_forms(text: str) -> None:
    assert Clock(UTC, NOW).parse(text) == MOMENT


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1714979289.123", 123000),
        ("1714979289123", 123000),
        ("2024-05-06T07:08:09.123456Z", 123456),
        ("2024-05-06 07:08:09,5", 500000),
    ],
)
def test_fractions(text: str, micros: int) -> None:
    assert Clock(UTC, NOW).parse(text) == MOMENT.replace(microsecond=micros)


@pytest.mark.parametrize(
    "text", ["", "-", "yesterday", "2024-13-40 00:00:00", "31/02/2024 00:00:00", "99:99:99", "12", "May 32 07:08:09"]
)
def test_what_is_no_time(text: str) -> None:
    assert Clock(UTC, NOW).parse(text) is None


def test_the_clocks_zone_is_for_times_that_name_none() -> None:
    berlin = Clock(ZoneInfo("Europe/Berlin"), NOW)
    assert berlin.parse("2024-05-06 09:08:09") == MOMENT
    assert berlin.parse("2024-05-06 07:08:09Z") == MOMENT
    assert berlin.parse("2024-05-06 07:08:09", UTC) == MOMENT


@pytest.mark.parametrize(
    ("now", "text", "year"),
    [
        (datetime(2024, 1, 2, tzinfo=UTC), "Dec 31 23:59:59", 2023),
        (datetime(2024, 12, 31, 23, 59, tzinfo=UTC), "Jan  1 00:00:05", 2025),
        (datetime(2024, 6, 1, tzinfo=UTC), "Jul  1 00:00:00", 2023),
        (datetime(2025, 6, 1, tzinfo=UTC), "Feb 29 12:00:00", 2024),
    ],
)
def test_a_missing_year_is_the_last_that_fits(now: datetime, text: str, year: int) -> None:
    moment = Clock(UTC, now).parse(text)
    assert moment is not None
    assert moment.year == year


def test_the_order_of_day_and_month_is_learned() -> None:
    clock = Clock(UTC, NOW)
    assert clock.parse("05/06/2024 00:00:00") == datetime(2024, 5, 6, tzinfo=UTC)
    assert clock.parse("25/06/2024 00:00:00") == datetime(2024, 6, 25, tzinfo=UTC)
    assert clock.parse("05/06/2024 00:00:00") == datetime(2024, 6, 5, tzinfo=UTC)
    assert clock.parse("06/25/2024 00:00:00") == datetime(2024, 6, 25, tzinfo=UTC)
    assert clock.parse("05/06/2024 00:00:00") == datetime(2024, 5, 6, tzinfo=UTC)


def test_twelve_hour_clocks() -> None:
    clock = Clock(UTC, NOW)
    assert clock.parse("05/06/2024 12:00:00 AM") == datetime(2024, 5, 6, tzinfo=UTC)
    assert clock.parse("05/06/2024 12:00:00 PM") == datetime(2024, 5, 6, 12, tzinfo=UTC)
    assert clock.parse("05/06/2024 11:00:00 p.m.") == datetime(2024, 5, 6, 23, tzinfo=UTC)


def test_a_leap_second_is_the_second_before() -> None:
    assert Clock(UTC, NOW).parse("2016-12-31T23:59:60Z") == datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "hours"),
    [("+0200", 2), ("-05:00", -5), ("+11", 11), ("GMT+1", 1), ("EST", -5), ("Z", 0), ("+0530", 5.5), ("CEST", 2)],
)
def test_zones(text: str, hours: float) -> None:
    zone = zone_of(text)
    assert zone is not None
    assert datetime(2024, 1, 1, tzinfo=zone).utcoffset() == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "Mars/Olympus", "+99", "XYZ", "../../etc/passwd", "Europe/../../etc"])
def test_what_is_no_zone(text: str) -> None:
    assert zone_of(text) is None


@given(st.integers(631152000, 3786912000), st.integers(0, 999_999), st.integers(-12, 14))
def test_iso_times_round_trip(seconds: int, micros: int, hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    aware = datetime.fromtimestamp(seconds, zone).replace(microsecond=micros)
    assert Clock(UTC, NOW).parse(aware.isoformat(sep=" ")) == aware


@settings(max_examples=300)
@given(st.text(max_size=60) | st.from_regex(r"[0-9A-Za-z:/ ,.+-]{1,40}"))
def test_any_text_gives_a_time_in_utc_or_none(text: str) -> None:
    moment = Clock(UTC, NOW).parse(text)
    assert moment is None or moment.tzinfo is UTC
