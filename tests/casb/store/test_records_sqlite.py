"""The activity log in SQLite, beyond what every store promises."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from casb.errors import StoreError
from casb.model.decision import Action
from casb.store.records_sqlite import Database, SqliteRecords
from casb.store.schema import connect
from sample_records import START, record, records

DAY = timedelta(days=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteRecords]:
    opened = SqliteRecords.open(path)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE activities SET action = 'allow'",
        "UPDATE activities SET record = '{}' WHERE seq = 1",
        "DELETE FROM activities",
        "REPLACE INTO activities SELECT * FROM activities",
        "INSERT INTO audit VALUES (1, 1, 'a', 'b', 'c', '{}'); UPDATE audit SET who = 'x'",
        "INSERT INTO audit VALUES (1, 1, 'a', 'b', 'c', '{}'); DELETE FROM audit",
    ],
)
def test_the_logs_are_append_only_whatever_writes(store: SqliteRecords, path: Path, statement: str) -> None:
    store.append([record(1)])
    connection = connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.executescript(statement)
    connection.close()
    assert store.get(record(1)["id"]) == record(1)


def test_counts_are_what_a_count_of_the_records_gives(store: SqliteRecords) -> None:
    all_of_them = list(records(300))
    store.append(all_of_them[:200])
    store.append(all_of_them[100:])
    assert store.counts("action", START, START + DAY) == Counter(each["action"] for each in all_of_them)
    assert store.counts("app", START, START + DAY) == Counter(each["app"]["id"] for each in all_of_them)
    assert store.total() == 300
    assert store.counts("action", START - DAY, START) == {}
    hits = Counter(name for each in all_of_them for name in each["matched"])
    assert store.policy_hits(START) == hits
    assert sum(sum(hour.values()) for _, hour in store.histogram(START, START + DAY)) == 300
    assert len(store.histogram(START, START + DAY)) == 24


def test_counts_take_only_what_can_be_counted(store: SqliteRecords) -> None:
    with pytest.raises(ValueError, match="record"):
        store.counts("record", START, START + DAY)


def test_apps_seen(store: SqliteRecords) -> None:
    store.append(records(50))
    seen = {each.app: each for each in store.apps_seen()}
    assert seen["files"].name == "Contoso Files"
    assert seen["files"].count + seen["notes"].count == 50
    assert max(each.last for each in seen.values()) == START + timedelta(seconds=49)
    assert min(each.first for each in seen.values()) == START


def test_stream_gives_everything_once(store: SqliteRecords) -> None:
    store.append(records(1203))
    assert [each["id"] for each in store.stream({})] == [record(number)["id"] for number in reversed(range(1203))]
    assert len(list(store.stream({}, limit=700))) == 700


def test_what_is_committed_is_there_for_the_next_process(store: SqliteRecords, path: Path) -> None:
    store.append([record(1)])
    other = SqliteRecords.open(path, read_only=True)
    assert other.get(record(1)["id"]) == record(1)
    with pytest.raises(StoreError, match="S023"):
        other.append([record(2)])
    other.close()


def test_writers_and_readers_at_once(store: SqliteRecords) -> None:
    errors: list[BaseException] = []

    def write(offset: int) -> None:
        try:
            for start in range(0, 100, 10):
                store.append([record(offset + number) for number in range(start, start + 10)])
                store.query({"text": "contoso"}, limit=5)
        except BaseException as error:
            errors.append(error)

    # The two ranges overlap, so that the same ids come from two sides.
    threads = [threading.Thread(target=write, args=(offset,)) for offset in (0, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert store.total() == 150


def test_a_failing_batch_leaves_the_counts_alone(store: SqliteRecords, path: Path) -> None:
    store.append([record(1)])
    connection = connect(path)
    connection.execute(
        "CREATE TRIGGER broken BEFORE INSERT ON matches BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"
    )
    with pytest.raises(StoreError, match="S023"):
        store.append([record(2, action=Action.BLOCK)])
    connection.execute("DROP TRIGGER broken")
    connection.close()
    assert store.total() == 1
    assert store.append([record(2, action=Action.BLOCK)]) == 1


def test_a_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is no database, " * 100)
    with pytest.raises(StoreError, match="S02"):
        Database(tmp_path / "text")
    with pytest.raises(StoreError, match="S020"):
        Database(tmp_path / "missing", read_only=True)
