"""Usage in PostgreSQL: for deployments whose usage outgrows one machine. The same questions, the same answers.

Two tables of ours in the database that the operator names. An input's rows and the note that it counted are one
transaction. Texts compare by bytes (collation C), as they do in DuckDB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
from psycopg import sql

from casb.errors import StoreError
from casb.settings import Secret
from casb.store.discovery_book import Book, Ingest
from casb.store.discovery_expressions import sql_of
from casb.store.discovery_frames import connection, merged, told
from casb.store.discovery_usage import FactRow, as_plain

_BATCH = 50_000
_COLUMNS = ("stream", "in_global", "day", "app", "user", "account", "ip", "device", "resource", "events", "blocked",
            "up", "down", "total", "first", "last")  # fmt: skip
_LOCK = 7_305_481
"""Advisory lock that makes of processes which start together one the maker of the tables."""
_TABLES = """
CREATE TABLE IF NOT EXISTS usage (
    stream text COLLATE "C" NOT NULL, in_global boolean NOT NULL, day date NOT NULL, app text COLLATE "C" NOT NULL,
    "user" text COLLATE "C", account text COLLATE "C", ip text COLLATE "C", device text COLLATE "C",
    resource text COLLATE "C", events bigint NOT NULL, blocked bigint NOT NULL, up bigint NOT NULL,
    down bigint NOT NULL, total bigint NOT NULL, first timestamptz NOT NULL, last timestamptz NOT NULL);
CREATE INDEX IF NOT EXISTS usage_stream_day ON usage (stream, day);
CREATE INDEX IF NOT EXISTS usage_day ON usage USING brin (day);
CREATE INDEX IF NOT EXISTS usage_app ON usage (app, day);
CREATE TABLE IF NOT EXISTS usage_ingests (
    stream text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, time timestamptz NOT NULL,
    PRIMARY KEY (stream, key));
"""


class PostgresUsage:
    """`UsageStore` in a PostgreSQL database."""

    def __init__(self, conninfo: Secret, book: Book, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`conninfo` as libpq has it. Makes the tables. Raises `StoreError` D022 when the database cannot be used."""
        self._conninfo = conninfo
        self._book = book
        self._clock = clock
        with self._connected("D022") as con:
            con.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            con.execute(_TABLES)

    def _connected(self, code: str) -> _Connected:
        return _Connected(self._conninfo, code)

    def add(
        self, ingest: Ingest, spills: Sequence[Path], unmatched: Iterable[tuple[date, str, int]], scratch: Path
    ) -> bool:
        """As `UsageStore.add`. The database decides; the book follows, again and again until it has."""
        whole = scratch / "merged.parquet"
        if spills:
            with connection(scratch) as duck:
                merged(duck, spills).write_parquet(str(whole), compression="zstd")
        with self._connected("D020") as con:
            done = con.execute(
                "INSERT INTO usage_ingests VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (ingest.stream, ingest.key, ingest.time),
            )
            fresh = done.rowcount == 1
            if fresh and spills:
                _copy(con, whole)
        # A crash here leaves the note in the book to the next attempt, which finds the database done.
        return self._book.commit(ingest, (), unmatched) or fresh

    def ask(
        self,
        expression: Any,
        *,
        streams: Sequence[str] | None,
        since: date,
        until: date,
        facts: Sequence[FactRow] = (),
        narrow: tuple[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        """As `UsageStore.ask`."""
        text = sql_of(expression, "postgres")
        with self._connected("D021") as con:
            con.execute("SET LOCAL TIME ZONE 'UTC'")
            if facts:
                con.execute(
                    'CREATE TEMP TABLE app_facts (app text COLLATE "C" PRIMARY KEY, category text COLLATE "C", '
                    'standing text COLLATE "C", risk text COLLATE "C") ON COMMIT DROP'
                )
                with con.cursor().copy("COPY app_facts FROM STDIN") as copy:
                    for row in facts:
                        copy.write_row([value.replace("\0", "") for value in row])
            found = con.execute(text.replace("\0", "").encode())
            names = [each.name for each in found.description or ()]
            return [{name: as_plain(value) for name, value in zip(names, row, strict=True)} for row in found.fetchall()]

    def expire(self, before: date) -> int:
        """As `UsageStore.expire`."""
        self._book.drop_segments(before=before)
        with self._connected("D020") as con:
            return con.execute("DELETE FROM usage WHERE day < %s", (before,)).rowcount

    def drop(self, stream: str | None = None) -> None:
        """As `UsageStore.drop`. The database first: what the book still knows can be dropped again."""
        with self._connected("D020") as con:
            if stream is None:
                con.execute("TRUNCATE usage, usage_ingests")
            else:
                con.execute("DELETE FROM usage WHERE stream = %s", (stream,))
                con.execute("DELETE FROM usage_ingests WHERE stream = %s", (stream,))
        self._book.drop_segments(stream=stream)

    def compact(self) -> int:
        """As `UsageStore.compact`: PostgreSQL tidies up by itself."""
        return 0

    def close(self) -> None:
        """As `UsageStore.close`."""


class _Connected:
    """One connection and one transaction; database errors become `StoreError`."""

    def __init__(self, conninfo: Secret, code: str) -> None:
        self._conninfo = conninfo
        self._code = code
        self._con: psycopg.Connection[Any] | None = None

    def __enter__(self) -> psycopg.Connection[Any]:
        try:
            self._con = psycopg.connect(self._conninfo.reveal(), connect_timeout=10)
        except psycopg.Error as error:
            raise StoreError("D022", f"PostgreSQL cannot be reached ({type(error).__name__})") from None
        return self._con

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        con = self._con
        if con is None:
            return
        try:
            if error is None:
                con.commit()
            else:
                con.rollback()
        except psycopg.Error as problem:
            error = error or problem
        finally:
            con.close()
        if isinstance(error, psycopg.Error):
            raise StoreError(self._code, f"PostgreSQL refused ({told(error)})") from error


def _copy(con: psycopg.Connection[Any], path: Path) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))
    with con.cursor().copy(sql.SQL("COPY usage ({}) FROM STDIN").format(names)) as copy:
        for batch in pq.ParquetFile(path).iter_batches(_BATCH, columns=list(_COLUMNS)):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                copy.write_row(row)
