"""One suite over every place that usage can live in: the same questions, the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from casb.errors import StoreError
from casb.settings import Secret
from casb.store import discovery_expressions as ask
from casb.store.discovery_book import Book, Ingest
from casb.store.discovery_parquet import ParquetUsage
from casb.store.discovery_postgres import PostgresUsage
from casb.store.discovery_usage import FactRow, UsageStore
from usage_support import NOW, TODAY, postgres, row, spill

WEEK = TODAY - timedelta(days=6)
FACTS = [
    FactRow("dropbox", "cloud_storage", "sanctioned", "low"),
    FactRow("mega", "cloud_storage", "unsanctioned", "high"),
    FactRow("slack", "collaboration", "other", "medium"),
]
ROWS = [
    row("dropbox", "ada", "192.0.2.1", events=3, blocked=1),
    row("dropbox", "bob", "192.0.2.2", day=TODAY - timedelta(days=1)),
    row("mega", "ada", "192.0.2.1", up=5000, down=1),
    row("mega", None, "2001:db8::1"),
    row("slack", "Åsa'; DROP TABLE usage --", "192.0.2.3", account="CONTOSO\\asa", device="PC-1"),
    row("slack", "=cmd|' /C calc'!A0", "192.0.2.3", stream="s2", resource="bucket:b1"),
    row("slack", "<script>", "192.0.2.4", stream="snapshot", in_global=False),
    row("mega", "old", "192.0.2.5", day=TODAY - timedelta(days=40)),
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as conninfo:
        yield conninfo


@pytest.fixture(params=["parquet", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[UsageStore]:
    book = Book.open(tmp_path)
    made: UsageStore
    if request.param == "parquet":
        made = ParquetUsage(tmp_path, book, lambda: NOW)
    else:
        made = PostgresUsage(Secret(request.getfixturevalue("server")), book, lambda: NOW)
        made.drop(None)
    yield made
    made.close()
    book.close()


def ingest(key: str, stream: str = "s1") -> Ingest:
    return Ingest(stream=stream, key=key, time=NOW, name=key, catalog="1", outcome={})


def add(store: UsageStore, folder: Path, rows: list[Any], key: str = "k1", stream: str = "s1") -> bool:
    scratch = folder / f"scratch-{key}"
    scratch.mkdir(exist_ok=True)
    return store.add(ingest(key, stream), [spill(scratch, rows)] if rows else [], [(TODAY, "h.example", 2)], scratch)


def asked(store: UsageStore, expression: Any, *, streams: Any = None, facts: Any = ()) -> list[dict[str, Any]]:
    return store.ask(expression, streams=streams, since=WEEK, until=TODAY, facts=facts)


def scope(streams: Any = None, **narrow: Any) -> Any:
    return ask.scope(streams, WEEK, TODAY, **narrow)


def test_totals_count_distinct_people_and_leave_snapshots_and_other_days_out(store: UsageStore, tmp_path: Path) -> None:
    assert add(store, tmp_path, ROWS)
    (found,) = asked(store, ask.totals(scope()))
    assert found == {
        "events": 8, "blocked": 1, "up": 5050, "down": 501, "total": 5551, "apps": 3, "users": 4, "ips": 4,
        "devices": 1,
    }  # fmt: skip
    assert all(type(value) is int for value in found.values())


def test_rows_of_equal_keys_are_added_up_whatever_file_they_come_from(store: UsageStore, tmp_path: Path) -> None:
    add(store, tmp_path, [row(events=2), row(events=3)], "a")
    add(store, tmp_path, [row(events=5)], "b")
    (found,) = asked(store, ask.by_app(scope()))
    assert (found["app"], found["events"], found["users"]) == ("dropbox", 10, 1)
    assert found["first"].hour == 9 and found["first"].utcoffset() == timedelta(0)


def test_an_input_counts_once(store: UsageStore, tmp_path: Path) -> None:
    assert add(store, tmp_path, [row()], "same")
    assert not add(store, tmp_path, [row()], "same")
    assert add(store, tmp_path, [row()], "other")
    assert asked(store, ask.totals(scope()))[0]["events"] == 2


def test_nothing_gives_nothing(store: UsageStore, tmp_path: Path) -> None:
    assert add(store, tmp_path, [], "empty")
    assert asked(store, ask.by_app(scope())) == []
    assert asked(store, ask.totals(scope()))[0]["apps"] == 0


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        pytest.param(
            ask.by_fact(scope(), "category"),
            [("cloud_storage", 6, 2, 2), ("collaboration", 2, 1, 2)],
            id="people are distinct over all apps of a category",
        ),
        pytest.param(
            ask.by_fact(scope(), "risk"), [("high", 2, 1, 1), ("low", 4, 1, 2), ("medium", 2, 1, 2)], id="risk"
        ),
    ],
)
def test_facts_of_the_catalog_join_at_the_time_of_asking(
    store: UsageStore, tmp_path: Path, expression: Any, expected: list[Any]
) -> None:
    add(store, tmp_path, ROWS)
    found = asked(store, expression, facts=FACTS)
    assert [(each["name"], each["events"], each["apps"], each["users"]) for each in found] == expected


def test_hostile_names_are_data(store: UsageStore, tmp_path: Path) -> None:
    add(store, tmp_path, ROWS)
    hostile = "Åsa'; DROP TABLE usage --"
    (found,) = asked(store, ask.totals(scope(user=hostile)))
    assert found["events"] == 1
    page = asked(store, ask.entity_page(scope(), "user", search="'; drop", by="name"))
    assert [each["name"] for each in page] == [hostile]
    assert asked(store, ask.entity_page(scope(), "user", search="%")) == [], "no wildcard of SQL"


def test_pages_of_entities_are_sorted_and_cut(store: UsageStore, tmp_path: Path) -> None:
    add(store, tmp_path, [row(user=f"u{number:02}", up=number % 3) for number in range(10)])
    first = asked(store, ask.entity_page(scope(), "user", by="up", limit=4))
    second = asked(store, ask.entity_page(scope(), "user", by="up", limit=4, skip=4))
    assert [each["name"] for each in first + second] == ["u02", "u05", "u08", "u01", "u04", "u07", "u00", "u03"]
    assert asked(store, ask.entity_count(scope(), "user")) == [{"count": 10}]


def test_a_stream_is_itself_and_global_is_what_counts_in_global(store: UsageStore, tmp_path: Path) -> None:
    add(store, tmp_path, ROWS)
    assert asked(store, ask.totals(scope(["snapshot"])), streams=["snapshot"])[0]["events"] == 1
    assert asked(store, ask.totals(scope(["s2"])), streams=["s2"])[0]["events"] == 1
    assert [each["resource"] for each in asked(store, ask.by_resource(scope()))] == ["bucket:b1"]


def test_expired_days_go(store: UsageStore, tmp_path: Path) -> None:
    add(store, tmp_path, ROWS)
    assert store.expire(TODAY - timedelta(days=30)) == 1
    whole = ask.scope(None, TODAY - timedelta(days=90), TODAY)
    found = store.ask(ask.trend(whole), streams=None, since=TODAY - timedelta(days=90), until=TODAY)
    assert [each["day"] for each in found] == [TODAY - timedelta(days=1), TODAY]


def test_what_is_dropped_may_come_again(store: UsageStore, tmp_path: Path) -> None:
    add(store, tmp_path, [row()], "a")
    add(store, tmp_path, [row(stream="s2")], "b", "s2")
    store.drop("s1")
    assert asked(store, ask.totals(scope()))[0]["events"] == 1
    assert add(store, tmp_path, [row()], "a")
    store.drop(None)
    assert asked(store, ask.by_app(scope())) == []


def test_a_question_that_fails_is_told(store: UsageStore, tmp_path: Path) -> None:
    add(store, tmp_path, [row()])
    with pytest.raises(StoreError) as caught:
        asked(store, ask.USAGE.filter(ask.USAGE.app.cast("int64") == 1))
    assert caught.value.code == "D021"
