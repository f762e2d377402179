"""What every `ports.RecordStore` promises, run over each of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from casb.errors import StoreError
from casb.model.decision import Action
from casb.ports import RecordStore
from casb.store.records import ActivityLog
from casb.store.records_postgres import PostgresRecords
from casb.store.records_sqlite import SqliteRecords
from sample_records import START, record, records
from usage_support import emptied, postgres


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as conninfo:
        yield conninfo


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    opened: ActivityLog
    if request.param == "sqlite":
        opened = SqliteRecords.open(tmp_path / "log.db")
    else:
        opened = PostgresRecords.open(emptied(request.getfixturevalue("server")))
    yield opened
    opened.close()


def ids(store: RecordStore, filters: dict[str, Any], limit: int = 1000) -> list[str]:
    return [each["id"] for each in store.query(filters, limit=limit).records]


def test_what_was_appended_comes_back_unchanged(store: RecordStore) -> None:
    given = {**record(1), "unknown": {"kept": [1, 2.5, None, "ü"]}}
    assert store.append([given]) == 1
    assert store.get(given["id"]) == given
    assert store.get("nothing") is None


def test_an_id_is_kept_once_and_the_first_wins(store: RecordStore) -> None:
    first = record(1, action=Action.BLOCK)
    assert store.append([first, {**first, "message": "again"}, record(2)]) == 2
    assert store.append([{**first, "message": "later"}, record(3)]) == 1
    assert store.get(first["id"]) == first
    assert len(ids(store, {})) == 3


def test_nothing_of_a_batch_with_a_bad_record_is_kept(store: RecordStore) -> None:
    with pytest.raises(StoreError, match="S031"):
        store.append([record(1), {"id": "x"}])
    assert ids(store, {}) == []


def test_newest_first_and_every_page_once(store: RecordStore) -> None:
    # Two records share each time, so that pages have to end between equals.
    store.append([record(number, START + timedelta(seconds=number // 2)) for number in range(25)])
    seen: list[str] = []
    cursor = None
    while True:
        page = store.query({}, cursor=cursor, limit=4)
        seen += [each["id"] for each in page.records]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == [record(number)["id"] for number in reversed(range(25))]


def test_records_that_arrive_while_paging_disturb_nothing(store: RecordStore) -> None:
    store.append([record(number) for number in range(10)])
    page = store.query({}, limit=5)
    store.append([record(number) for number in range(10, 20)])
    rest = store.query({}, cursor=page.cursor, limit=50)
    assert [each["id"] for each in rest.records] == [record(number)["id"] for number in reversed(range(5))]


@pytest.mark.parametrize("cursor", ["x", "!!", "bm90LW91cnM", "\u00fc", "MX4" * 50])
def test_a_cursor_that_is_not_ours(store: RecordStore, cursor: str) -> None:
    with pytest.raises(StoreError, match="S033"):
        store.query({}, cursor=cursor)


def test_purge_removes_only_what_is_older(store: RecordStore) -> None:
    store.append(records(20))
    assert store.purge(START + timedelta(seconds=12)) == 12
    assert ids(store, {}) == [record(number)["id"] for number in reversed(range(12, 20))]
    assert store.purge(START + timedelta(seconds=12)) == 0
    assert ids(store, {"text": "contoso"}) == ids(store, {})
