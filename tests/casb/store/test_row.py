"""Records to columns: strict where we search, lenient elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import StoreError
from casb.store.row import Row, matched, millis, parse, to_row
from sample_records import record


def test_columns_of_a_whole_record() -> None:
    given = record(3)
    row = to_row(given)
    assert (row.id, row.activity, row.action) == (given["id"], given["activity"], given["action"])
    assert (row.app, row.user_id, row.user_name) == (given["app"]["id"], given["user"]["id"], given["user"]["name"])
    assert (row.ip, row.country, row.session) == (given["client"]["ip"], given["client"]["country"], given["session"])
    assert parse(row.record.encode()) == given


def test_the_least_that_is_a_record() -> None:
    row = to_row({"id": "a", "time": "2026-03-02T08:00:00Z", "activity": "view", "action": "allow"})
    assert (row.app, row.user_id, row.user_name, row.ip, row.file_name) == (None, None, "", "", "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": None}, "id: missing"),
        ({"id": "a b"}, "id: missing or not of its form"),
        ({"id": "a\n"}, "id"),
        ({"id": "x" * 129}, "id"),
        ({"id": 7}, "id"),
        ({"time": None}, "time"),
        ({"time": "2026-03-02T08:00:00"}, "time: not an RFC 3339 time"),
        ({"time": "2026-13-02T08:00:00Z"}, "time"),
        ({"time": 1700000000}, "time"),
        ({"activity": "<script>"}, "activity"),
        ({"action": ""}, "action"),
        ({"app": "files"}, "app: not an object"),
        ({"app": {"id": 5}}, "app.id: not text"),
        ({"user": {"name": ["a"]}}, "user.name: not text"),
        ({"device": {"tags": "compliant"}}, "tags: not a list of texts"),
        ({"objects": ["x"]}, "objects: not a list of objects"),
        ({"matched": [None]}, "matched: not a list of texts"),
        ({"policy": 1}, "policy: not text"),
        ({"extra": {"number": 2**70}}, "cannot be kept"),
        ({"extra": {"text": "\ud800"}}, "cannot be kept"),
    ],
)
def test_what_is_no_record(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(StoreError, match="S031") as caught:
        to_row({**record(1), **change})
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.0015Z", 2),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2026-03-02t08:00:00z", 1772438400000),
    ],
)
def test_millis(text: str, expected: int) -> None:
    assert millis(text) == expected


def test_matched_has_the_deciding_policy_too() -> None:
    assert matched({"policy": "a", "matched": ["b"]}) == {"a", "b"}
    assert matched({}) == set()


@given(st.binary(max_size=80))
def test_any_bytes_are_a_record_or_refused(data: bytes) -> None:
    try:
        assert isinstance(to_row(parse(data)), Row)
    except StoreError as error:
        assert error.code in ("S030", "S031")
