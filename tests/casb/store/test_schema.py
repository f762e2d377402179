"""The schema: made once, brought forward, never backward."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from casb.errors import StoreError
from casb.store import schema
from casb.store.schema import MIGRATIONS, connect, migrate


def test_a_new_database_gets_the_present_version(tmp_path: Path) -> None:
    connection = connect(tmp_path / "a.db")
    migrate(connection)
    migrate(connection)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o600}
    connection.close()


def test_migrations_run_from_where_the_database_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect(tmp_path / "a.db")
    migrate(connection)
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE later (x);\nINSERT INTO later VALUES (1);"))
    migrate(connection)
    migrate(connection)
    assert connection.execute("SELECT count(*) FROM later").fetchone() == (1,)
    connection.close()


def test_a_failing_migration_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect(tmp_path / "a.db")
    migrate(connection)
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE later (x);\nINSERT INTO nowhere VALUES (1);"))
    with pytest.raises(StoreError, match="S022"):
        migrate(connection)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    with pytest.raises(sqlite3.OperationalError, match="later"):
        connection.execute("SELECT * FROM later")
    connection.close()


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    connection = connect(tmp_path / "a.db")
    connection.execute("PRAGMA user_version=99")
    with pytest.raises(StoreError, match="S021"):
        migrate(connection)
    connection.close()


def test_read_only_means_it(tmp_path: Path) -> None:
    connect(tmp_path / "a.db").close()
    reader = connect(tmp_path / "a.db", read_only=True)
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("CREATE TABLE x (y)")
    reader.close()
    with pytest.raises(StoreError, match="S020"):
        connect(tmp_path / "missing.db", read_only=True)
    with pytest.raises(StoreError, match="S020"):
        connect(tmp_path / "missing/a.db")
