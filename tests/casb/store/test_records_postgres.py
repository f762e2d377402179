"""The log in PostgreSQL: the same answers as SQLite's, writers beside each other, weeks, append-only, restarts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from casb.errors import StoreError
from casb.settings import Secret
from casb.store.records_postgres import PostgresRecords
from casb.store.records_sqlite import SqliteRecords
from sample_records import START, record, records
from usage_support import emptied, postgres

UNTIL = START + timedelta(hours=30)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as conninfo:
        yield conninfo


@pytest.fixture(scope="module")
def both(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqliteRecords, PostgresRecords]]:
    given = list(records(400, until=UNTIL))
    given.append({**record(401, START), "message": "back\\slash\ttab\nline 100%_ \u00dcber\u00df \u0000"})
    one = SqliteRecords.open(tmp_path_factory.mktemp("log") / "log.db")
    two = PostgresRecords.open(emptied(server))
    assert one.append(given) == two.append(given) == 401
    yield one, two
    one.close()
    two.close()


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"user": "ADA"},
        {"user": "a"},
        {"file": "\u00dcberblick"},
        {"file": "\u00fcBER"},
        {"text": "payroll.xlsx"},
        {"text": "slash\tTAB\nl"},
        {"text": "100%_"},
        {"text": "back\\s"},
        {"text": "%"},
        {"app": ["files", "notes"], "action": "block"},
        {"policy": "watch-everything", "severity": "high"},
        {"ip": "203.0.113.*"},
        {"ip": "203.0.113.7"},
        {"device": "unmanaged"},
        {"device": "compliant", "country": ["DE", "FR"]},
        {"session": "session-ada", "activity": "download"},
        {"from": "2026-03-02T10:00:00Z", "to": "2026-03-02T20:00:00Z"},
        {"id": record(3)["id"]},
        {"source": "session_control"},
    ],
    ids=lambda filters: "+".join(filters) or "none",
)
def test_filters_find_the_same(both: tuple[SqliteRecords, PostgresRecords], filters: dict[str, Any]) -> None:
    one, two = (list(each.stream(filters)) for each in both)
    assert one == two


def test_counts_are_the_same(both: tuple[SqliteRecords, PostgresRecords]) -> None:
    one, two = both
    span = (START, UNTIL + timedelta(hours=1))
    for by in ("action", "app", "activity"):
        assert one.counts(by, *span) == two.counts(by, *span)
    assert one.histogram(*span) == two.histogram(*span)
    assert one.policy_hits(START) == two.policy_hits(START) != {}
    policy = next(iter(one.policy_hits(START)))
    assert one.policy_days(policy, START) == two.policy_days(policy, START)
    for apps in ((), ("files",)):
        assert one.spent("block-downloads-on-unmanaged-devices", apps, ("download",), START) == two.spent(
            "block-downloads-on-unmanaged-devices", apps, ("download",), START
        )
    assert one.apps_seen() == two.apps_seen()
    assert one.total() == two.total() == 401
    assert [each["id"] for _, each in one.after(0)] == [each["id"] for _, each in two.after(0)]
    assert two.after(two.arrived()) == []
    assert len(two.after(two.arrived(UNTIL - timedelta(hours=1)))) == len(
        one.after(one.arrived(UNTIL - timedelta(hours=1)))
    )


def test_a_reader_that_follows_misses_nothing_of_many_writers(server: str) -> None:
    secret = emptied(server)
    logs = [PostgresRecords.open(secret) for _ in range(3)]

    def write(part: int) -> None:
        for start in range(0, 60, 5):
            # Every record comes twice, by two writers.
            numbers = [
                *range(part * 60 + start, part * 60 + start + 5),
                *range(((part + 1) % 3) * 60 + start, ((part + 1) % 3) * 60 + start + 5),
            ]
            logs[part].append([record(number) for number in numbers])

    threads = [threading.Thread(target=write, args=(part,)) for part in range(3)]
    for each in threads:
        each.start()
    seen: list[str] = []
    seq = 0
    while any(each.is_alive() for each in threads) or logs[0].after(seq, limit=1):
        for number, found in logs[0].after(seq, limit=7):
            assert number > seq
            seq = number
            seen.append(found["id"])
    for each in threads:
        each.join()
    assert sorted(seen) == sorted(record(number)["id"] for number in range(180))
    assert logs[0].total() == 180
    assert [each.leads() for each in logs] == [True, False, False]
    logs[0].close()
    assert logs[1].leads(), "who is left takes over"
    assert logs[1].place() is None
    logs[1].keep_place(7)
    logs[1].keep_place(9)
    assert logs[2].place() == 9
    for log in logs:
        log.close()


def test_an_id_is_known_in_every_week_and_weeks_are_dropped_whole(server: str) -> None:
    log = PostgresRecords.open(emptied(server))
    spread = [record(number, START + timedelta(days=5 * number)) for number in range(10)]
    assert log.append(spread) == 10
    assert log.append([record(0, START + timedelta(days=40))]) == 0
    far = [{**record(90), "time": "0001-01-01T00:00:00Z"}, {**record(91), "time": "9999-12-31T00:00:00Z"}]
    assert log.append(far) == 2
    assert log.purge(START + timedelta(days=21)) == 6  # five of ours, and the one of the year 1
    with psycopg.connect(server) as con:
        weeks = con.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'activities'::regclass").fetchone()
        left = con.execute("SELECT count(*) FROM matches WHERE time < %s", (0,)).fetchone()
    assert weeks == (6,), "four of ours, the one in which the limit lies, and the far future"
    assert left == (0,)
    other = PostgresRecords.open(Secret(server))
    assert other.append([record(1, START)]) == 1, "a week that was dropped is made again"
    log.close()
    other.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE activities SET action = 'allow'",
        "DELETE FROM activities",
        "TRUNCATE activities",
        "INSERT INTO activities SELECT * FROM activities",
    ],
)
def test_the_log_is_append_only(server: str, statement: str) -> None:
    log = PostgresRecords.open(emptied(server))
    log.append(records(3))
    with psycopg.connect(server) as con, pytest.raises(psycopg.Error):
        con.execute(statement.encode())
    assert log.total() == 3
    log.close()


def test_a_server_that_restarts(server: str, tmp_path: Path) -> None:
    log = PostgresRecords.open(emptied(server))
    log.append([record(1)])
    with psycopg.connect(server, autocommit=True) as con:
        con.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'casb'")
    with pytest.raises(StoreError, match="S02"):
        log.append([record(2)])
    assert log.append([record(2)]) == 1
    assert log.total() == 2
    log.close()
    with pytest.raises(StoreError, match="S025") as raised:
        PostgresRecords.open(Secret("host=127.0.0.1 port=1 password=s3cret"))
    assert "s3cret" not in str(raised.value)


def test_a_newer_database_is_left_alone(server: str) -> None:
    log = PostgresRecords.open(emptied(server))
    log.close()
    with psycopg.connect(server, autocommit=True) as con:
        con.execute("UPDATE casb_schema SET version = 99")
    with pytest.raises(StoreError, match="S021"):
        PostgresRecords.open(Secret(server))


def test_times_at_the_edges_of_weeks(server: str) -> None:
    log = PostgresRecords.open(emptied(server))
    edge = datetime(2026, 1, 1, tzinfo=UTC)
    given = [record(number, edge + timedelta(days=number, milliseconds=-1)) for number in range(15)]
    assert log.append(given) == 15
    assert [each["id"] for each in log.query({}).records] == [each["id"] for each in reversed(given)]
    log.close()
