"""Usage as Parquet files by stream and day, read by an in-memory DuckDB (decision 0013).

A file never changes. Which files count stands in the book; a reader takes the list and reads, so that a writer needs no
lock against readers. A file that no list names is swept.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from cachetools import LRUCache

from casb.errors import StoreError
from casb.store.discovery_book import Book, Ingest, Segment, Stale
from casb.store.discovery_expressions import sql_of
from casb.store.discovery_frames import USAGE, answers, connection, merged, told, written
from casb.store.discovery_usage import FactRow

logger = logging.getLogger(__name__)

FOLDER = "usage"
MANY = 12
"""Files of one stream and day from which they are merged."""
ORPHAN = 6 * 3600.0
"""Seconds after which a file that no list names is a dead writer's."""
_ATTEMPTS = 4
_CACHED_ROWS = 20_000
_SCRATCH = "scratch"
_PARTS = 6
_LARGEST_PART = 200_000
"""Rows of one app or user that are kept in memory; about 50 MB."""
NARROW = ("app", "user", "ip", "device", "resource")


class ParquetUsage:
    """`UsageStore` on files below `folder`. Safe to use from several threads and processes."""

    def __init__(self, folder: Path, book: Book, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._root = folder / FOLDER
        self._scratch = folder / _SCRATCH
        self._book = book
        self._clock = clock
        self._cache: LRUCache[Any, list[dict[str, Any]]] = LRUCache(128)
        self._parts: LRUCache[Any, pa.Table | None] = LRUCache(_PARTS)
        self._lock = threading.Lock()

    def add(
        self, ingest: Ingest, spills: Sequence[Path], unmatched: Iterable[tuple[date, str, int]], scratch: Path
    ) -> bool:
        """As `UsageStore.add`."""
        if self._book.has(ingest.stream, ingest.key):
            return False
        made: list[Segment] = []
        done = False
        try:
            if spills:
                made = self._partition(spills, ingest.catalog, scratch)
            done = self._book.commit(ingest, made, unmatched)
        finally:
            if not done:
                self._unlink([each.id for each in made])
        return done

    def _partition(self, spills: Sequence[Path], catalog: str, scratch: Path) -> list[Segment]:
        made: list[Segment] = []
        try:
            with connection(scratch) as con:
                # One pass over the spills, ordered; then a file per stream and day reads its row groups alone.
                whole = scratch / "merged.parquet"
                order = ", ".join(f'"{key}"' for key in ("stream", "day", "in_global", "app"))
                merged(con, spills).order(order).write_parquet(str(whole), compression="zstd", row_group_size=50_000)
                source = f"read_parquet({str(whole)!r})"
                keys = con.sql(f'SELECT DISTINCT "stream", "day" FROM {source} ORDER BY ALL').fetchall()  # noqa: S608
                for stream, day in keys:
                    found = con.sql(
                        f'SELECT * FROM {source} WHERE "stream" = ? AND "day" = ?',  # noqa: S608
                        params=[stream, day],
                    ).to_arrow_table()
                    made.append(self._write(stream, day, found, catalog))
        except duckdb.Error as error:
            self._unlink([each.id for each in made])
            raise StoreError("D020", f"usage cannot be merged ({told(error)})") from error
        except BaseException:
            self._unlink([each.id for each in made])
            raise
        return made

    def _write(self, stream: str, day: date, rows: pa.Table, catalog: str) -> Segment:
        ident = f"{stream}/{day.isoformat()}/{time.time_ns():x}-{secrets.token_hex(6)}"
        path = self._path(ident)
        with written(path) as temporary, connection() as con:
            con.register("rows_here", rows)
            con.sql('SELECT * FROM rows_here ORDER BY "app", "user"').write_parquet(str(temporary), compression="zstd")
        counted = rows.column("in_global")
        return Segment(
            id=ident,
            stream=stream,
            day=day,
            in_global=bool(pc.any(counted).as_py()),
            rows=rows.num_rows,
            bytes=path.stat().st_size,
            catalog=catalog,
        )

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
        sql = sql_of(expression, "duckdb")
        for attempt in range(_ATTEMPTS):
            segments = tuple(each.id for each in self._book.segments(streams, since, until))
            key = (sql, segments, tuple(facts))
            with self._lock:
                known = self._cache.get(key)
            if known is not None:
                return [dict(row) for row in known]
            try:
                rows = self._run(sql, segments, facts, narrow)
            except duckdb.Error as error:
                # A file may have been merged or dropped since the list was read.
                if attempt + 1 < _ATTEMPTS and not all(self._path(each).exists() for each in segments):
                    continue
                raise StoreError("D021", f"usage cannot be read ({told(error)})") from error
            if len(rows) <= _CACHED_ROWS:
                with self._lock:
                    self._cache[key] = rows
            return [dict(row) for row in rows]
        raise AssertionError

    def _part(self, segments: tuple[str, ...], narrow: tuple[str, str]) -> pa.Table | None:
        """The rows of one app, user, address or device in memory, for the questions of its page; None: too many."""
        key = (segments, narrow)
        with self._lock:
            if key in self._parts:
                return self._parts[key]
        column, value = narrow
        names = [str(self._path(each)) for each in segments]
        with connection(self._scratch) as con:
            sql = f'SELECT * FROM read_parquet({names!r}) WHERE "{column}" = ? LIMIT {_LARGEST_PART + 1}'  # noqa: S608
            found = con.sql(sql, params=[value]).to_arrow_table()
        part = found if found.num_rows <= _LARGEST_PART else None
        with self._lock:
            self._parts[key] = part
        return part

    def _run(
        self,
        sql: str,
        segments: tuple[str, ...],
        facts: Sequence[FactRow],
        narrow: tuple[str, str] | None,
    ) -> list[dict[str, Any]]:
        part = self._part(segments, narrow) if segments and narrow and narrow[0] in NARROW else None
        with connection(self._scratch) as con:
            if part is not None:
                con.register("usage", part)
            elif segments:
                names = [str(self._path(each)) for each in segments]
                con.execute(f"CREATE VIEW usage AS SELECT * FROM read_parquet({names!r})")  # noqa: S608 - our own paths
            else:
                con.register("usage", USAGE.empty_table())
            columns = list(zip(*facts, strict=True)) if facts else [()] * len(FactRow._fields)
            con.register(
                "app_facts",
                pa.table(
                    {name: pa.array(values, pa.string()) for name, values in zip(FactRow._fields, columns, strict=True)}
                ),
            )
            return answers(con, sql)

    def expire(self, before: date) -> int:
        """As `UsageStore.expire`."""
        dropped = self._book.drop_segments(before=before)
        self._unlink(dropped)
        return len(dropped)

    def drop(self, stream: str | None = None) -> None:
        """As `UsageStore.drop`."""
        self._unlink(self._book.drop_segments(stream=stream))

    def compact(self) -> int:
        """As `UsageStore.compact`. Also sweeps what dead writers left."""
        groups: dict[tuple[str, date], list[Segment]] = {}
        for segment in self._book.segments(all_streams=True):
            groups.setdefault((segment.stream, segment.day), []).append(segment)
        count = 0
        for (stream, day), segments in groups.items():
            if len(segments) >= MANY:
                count += self._merge(stream, day, segments)
        self._sweep()
        return count

    def _merge(self, stream: str, day: date, segments: Sequence[Segment]) -> int:
        old = [each.id for each in segments]
        try:
            with connection(self._scratch) as con:
                rows = merged(con, [self._path(each) for each in old]).to_arrow_table()
            new = self._write(stream, day, rows, segments[-1].catalog)
        except duckdb.Error as error:
            raise StoreError("D020", f"usage cannot be merged ({told(error)})") from error
        try:
            self._book.swap(old, new, self._clock())
        except Stale:
            self._unlink([new.id])
            return 0
        self._unlink(old)
        return len(old)

    def _sweep(self) -> None:
        known = {str(self._path(each.id)) for each in self._book.segments(all_streams=True)}
        for path in self._root.rglob("*"):
            if path.is_file() and str(path) not in known:
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > ORPHAN:
                        path.unlink()
                        logger.info("swept file=%s", path.name)

    def _unlink(self, segments: Iterable[str]) -> None:
        for ident in segments:
            path = self._path(ident)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                path.parent.rmdir()  # when it was the day's last

    def _path(self, ident: str) -> Path:
        stream, day, name = ident.split("/")
        return self._root / f"stream={stream}" / f"day={day}" / f"{name}.parquet"

    def close(self) -> None:
        """As `UsageStore.close`."""
