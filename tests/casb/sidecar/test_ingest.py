"""Batches of NDJSON: each line is kept, known already, or named with the reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casb.sidecar.ingest import LONGEST_RECORD, MOST_RECORDS, TooMany, take
from casb.store.records_sqlite import SqliteRecords
from sample_records import record

FIELDS = ["id", "name", "ip", "tags", "url", "time"]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteRecords]:
    opened = SqliteRecords.open(tmp_path / "log.db")
    yield opened
    opened.close()


def lines(*records: object) -> bytes:
    return b"".join(each if isinstance(each, bytes) else orjson.dumps(each) + b"\n" for each in records)


def test_accepted_duplicates_and_rejected_add_up(log: SqliteRecords) -> None:
    body = lines(record(1), b"{broken\n", b"\n", record(2), record(1), {**record(3), "time": "yesterday"})
    receipt = take(body, log)
    assert (receipt.accepted, receipt.duplicates) == (2, 1)
    assert [each.index for each in receipt.rejected] == [1, 4]
    assert "not JSON" in receipt.rejected[0].error
    assert "time: not an RFC 3339 time" in receipt.rejected[1].error
    assert take(body, log).duplicates == 3


def test_limits(log: SqliteRecords) -> None:
    with pytest.raises(TooMany):
        take(b"{}\n" * (MOST_RECORDS + 1), log)
    receipt = take(lines({**record(1), "message": "x" * LONGEST_RECORD}, record(2)), log)
    assert (receipt.accepted, receipt.rejected[0].index) == (1, 0)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.binary(max_size=40)
        | st.tuples(st.sampled_from(list(record(1))), json_values).map(
            lambda changed: json.dumps({**record(1), changed[0]: changed[1]}).encode()
        ),
        max_size=4,
    )
)
def test_any_bytes_give_a_receipt_that_adds_up(log: SqliteRecords, items: list[bytes]) -> None:
    body = b"\n".join(items)
    count = len([line for line in body.split(b"\n") if line])
    receipt = take(body, log)
    assert receipt.accepted + receipt.duplicates + len(receipt.rejected) == count
