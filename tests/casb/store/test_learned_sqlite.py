"""The list of learned hosts: counted over processes, bounded, exported."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from casb.errors import StoreError
from casb.store import learned_sqlite
from casb.store.learned_sqlite import COLUMNS, FILE, LearnedHost, LearnedHosts, learned_csv

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
ONE = LearnedHost(
    app="files",
    host="cdn.example",
    first=START,
    last=START,
    count=1,
    page="files.example/a",
    kinds=frozenset({"image"}),
)


def test_counts_add_up(tmp_path: Path) -> None:
    later = replace(
        ONE, first=START + timedelta(hours=1), last=START + timedelta(hours=2), count=4, page="files.example/b"
    )
    LearnedHosts(tmp_path).add([ONE, replace(ONE, host="b.example")])
    LearnedHosts(tmp_path).add([replace(later, kinds=frozenset({"script"}), denied=True)])
    (first, second) = LearnedHosts(tmp_path).all()
    expected = replace(later, first=START, count=5, kinds=frozenset({"image", "script"}), denied=True)
    assert (first, second.host) == (expected, "b.example")
    assert LearnedHosts(tmp_path).all("other") == []


def test_nothing_yet(tmp_path: Path) -> None:
    assert LearnedHosts(tmp_path).all() == []


def test_a_page_cannot_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_sqlite, "MOST", 3)
    LearnedHosts(tmp_path).add(replace(ONE, host=f"h{number}.example") for number in range(9))
    LearnedHosts(tmp_path).add([replace(ONE, host="h1.example")])
    assert {each.host: each.count for each in LearnedHosts(tmp_path).all()} == {
        "h0.example": 1,
        "h1.example": 2,
        "h2.example": 1,
    }


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError):
        LearnedHosts(tmp_path).add([ONE])
    with pytest.raises(StoreError):
        LearnedHosts(tmp_path).all()


def test_csv() -> None:
    text = learned_csv([ONE.as_json(), replace(ONE, page='=cmd("x"),y').as_json()])
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == list(COLUMNS) == list(ONE.as_json())
    assert rows[1][:5] == ["cdn.example", "files", "1", "image", "files.example/a"]
    assert rows[2][4] == '\'=cmd("x"),y'
