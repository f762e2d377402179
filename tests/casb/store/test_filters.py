"""Every filter finds what it should and nothing else; whatever people write is a parameter, never SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from casb.errors import StoreError
from casb.store.filters import FILTERS, condition_of, decode_cursor, encode_cursor
from casb.store.records_sqlite import SqliteRecords
from sample_records import START, records

RECORDS = list(records(200))
Predicate = Callable[[dict[str, Any]], bool]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteRecords]:
    opened = SqliteRecords.open(tmp_path_factory.mktemp("log") / "log.db")
    opened.append(RECORDS)
    yield opened
    opened.close()


def name(record: dict[str, Any]) -> str:
    return record["file"]["name"] if record["file"] else ""


CASES: list[tuple[dict[str, Any], Predicate]] = [
    ({}, lambda each: True),
    ({"action": ""}, lambda each: True),
    ({"id": RECORDS[7]["id"]}, lambda each: each["id"] == RECORDS[7]["id"]),
    ({"action": "block"}, lambda each: each["action"] == "block"),
    ({"action": ["block", "protect"]}, lambda each: each["action"] in ("block", "protect")),
    (
        {"activity": "download", "app": "files"},
        lambda each: (each["activity"], each["app"]["id"]) == ("download", "files"),
    ),
    ({"user": "ada"}, lambda each: each["user"]["name"].startswith("ada")),
    ({"user": "ADA@Contoso"}, lambda each: each["user"]["name"].startswith("ada")),
    ({"user": "ad"}, lambda each: "ad" in each["user"]["name"]),
    ({"user_id": "contoso/grace"}, lambda each: each["user"]["id"] == "contoso/grace"),
    ({"ip": RECORDS[0]["client"]["ip"]}, lambda each: each["client"]["ip"] == RECORDS[0]["client"]["ip"]),
    ({"ip": "203.0.113.1*"}, lambda each: each["client"]["ip"].startswith("203.0.113.1")),
    ({"ip": "203.0."}, lambda each: True),
    ({"ip": "%"}, lambda each: False),
    ({"policy": "watch-everything"}, lambda each: "watch-everything" in each["matched"]),
    ({"policy": "watch"}, lambda each: False),
    ({"severity": "high"}, lambda each: each["severity"] == "high"),
    ({"device": "unmanaged"}, lambda each: not each["device"]["tags"]),
    ({"device": "compliant"}, lambda each: "compliant" in each["device"]["tags"]),
    ({"device": "compl"}, lambda each: False),
    ({"device": ["unmanaged", "compliant"]}, lambda each: True),
    ({"file": "payroll"}, lambda each: "payroll" in name(each)),
    ({"file": "überBLICK"}, lambda each: "Überblick" in name(each)),
    ({"file": ".x"}, lambda each: ".x" in name(each)),
    ({"file": "%"}, lambda each: False),
    ({"file": '"'}, lambda each: False),
    ({"file": 'pay"roll'}, lambda each: False),
    ({"session": "session-ada"}, lambda each: each["session"] == "session-ada"),
    ({"source": "session control"}, lambda each: True),
    ({"country": "DE"}, lambda each: each["client"]["country"] == "DE"),
    ({"text": "team notes"}, lambda each: each["app"]["name"] == "Team Notes"),
    ({"text": "may not leave"}, lambda each: "may not leave" in each["message"]),
    ({"text": "payroll.xlsx"}, lambda each: "payroll" in str(each)),
    ({"from": START + timedelta(seconds=50)}, lambda each: int(each["id"][4:]) >= 50),
    ({"from": "2026-03-02T08:00:50Z", "to": "2026-03-02T09:01:00+01:00"}, lambda each: 50 <= int(each["id"][4:]) < 60),
]


@pytest.mark.parametrize(("filters", "expected"), CASES, ids=[str(filters) for filters, _ in CASES])
def test_a_filter_finds_exactly_its_records(log: SqliteRecords, filters: dict[str, Any], expected: Predicate) -> None:
    found = [each["id"] for each in log.query(filters, limit=1000).records]
    assert found == [each["id"] for each in reversed(RECORDS) if expected(each)]


@pytest.mark.parametrize(
    "filters",
    [{"nothing": "x"}, {"from": "yesterday"}, {"to": "2026"}, {"user": "x" * 201}, {"user": 5}, {"app": ["a"] * 51}],
)
def test_what_is_no_filter(filters: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match="S032"):
        condition_of(filters)


def test_every_filter_is_tried_here() -> None:
    assert set(FILTERS) == {name for filters, _ in CASES for name in filters}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(sorted(set(FILTERS) - {"from", "to"})), st.text(max_size=20))
@example("text", "a\0b")
@example("file", "') OR 1=1 --")
@example("text", 'words : "x" OR NEAR(')
def test_whatever_people_write_is_only_a_value(log: SqliteRecords, filter_name: str, value: str) -> None:
    found = log.query({filter_name: value}, limit=1000).records
    if value and filter_name in ("id", "activity", "action", "app", "session"):
        assert all(value in (each[filter_name], (each["app"] or {}).get("id")) for each in found)
    if filter_name == "file" and value:
        assert all(value.lower() in name(each).lower() for each in found)


@given(st.integers(0, 10**14), st.text("abcXYZ0189_.:-", min_size=1, max_size=40))
def test_cursors_round_trip(time: int, record_id: str) -> None:
    assert decode_cursor(encode_cursor(time, record_id)) == (time, record_id)


@given(st.text(max_size=40))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        decode_cursor(text)
    except StoreError as error:
        assert error.code == "S033"


def test_times_are_utc() -> None:
    assert condition_of({"from": datetime(1970, 1, 1, 1, tzinfo=UTC)})[1] == [3600000]
