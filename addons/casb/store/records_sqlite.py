"""The activity log in SQLite: `ports.RecordStore` and the counts that the portal shows.

One writer at a time (a lock here, `BEGIN IMMEDIATE` between processes), any number of readers beside it. What is
counted often is counted once, while it is written: hits by hour, apps seen, policies matched.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from casb.errors import StoreError
from casb.policy.budget import Spent
from casb.settings import Settings
from casb.store.filters import condition_of, decode_cursor, encode_cursor
from casb.store.row import Row, matched, to_row
from casb.store.schema import connect, migrate

HOUR = 3_600_000  # milliseconds
PURGE_STEP = 5000  # rows of one purging transaction, so that the writer is never kept waiting long
LARGEST_PAGE = 1000

_INSERT = f"INSERT INTO activities VALUES (?{', ?' * len(Row._fields)})"  # noqa: S608 - only question marks
_INSERT_TEXT = "INSERT INTO activity_text (rowid, user_name, file_name, words) VALUES (?, ?, ?, ?)"
_COUNT_HOUR = (
    "INSERT INTO hourly VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (hour, app, activity, action) DO UPDATE SET count = count + excluded.count"
)
_SEE_APP = (
    "INSERT INTO apps_seen VALUES (?, ?, ?, ?, ?) ON CONFLICT (app) DO UPDATE SET name = excluded.name, "
    "first = min(first, excluded.first), last = max(last, excluded.last), count = count + excluded.count"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPage:
    """A page, newest first; `cursor` leads to the next one and is None on the last."""

    records: Sequence[dict[str, Any]]
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenApp:
    """An app as the log knows it."""

    app: str
    name: str
    first: datetime
    last: datetime
    count: int


def database_path(settings: Settings) -> Path:
    """Where a deployment's log is kept."""
    return Path(settings.data) / "casb.db"


class Database:
    """The sidecar's SQLite file: one connection that writes, a few that read."""

    def __init__(self, path: Path | str, *, read_only: bool = False, migrations: Sequence[str] | None = None) -> None:
        self._path = Path(path)
        self._read_only = read_only
        self._lock = threading.Lock()
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._writer: sqlite3.Connection | None = None
        if read_only:
            if not self._path.exists():
                raise StoreError("S020", f"there is no database {self._path}")
        else:
            self._writer = connect(self._path)
            try:
                migrate(self._writer, migrations)
            except BaseException:
                self._writer.close()
                raise

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on the disk when the block ends. Raises `StoreError` (S023); nothing is kept then."""
        writer = self._writer
        if writer is None:
            raise StoreError("S023", "the database is open for reading only")
        with self._lock:
            try:
                writer.execute("BEGIN IMMEDIATE")
                try:
                    yield writer
                    writer.execute("COMMIT")
                except BaseException:
                    if writer.in_transaction:
                        writer.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise StoreError("S023", f"the database refused to write ({error})") from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with. Raises `StoreError` (S024)."""
        try:
            reader = self._readers.get_nowait()
        except queue.Empty:
            reader = connect(self._path, read_only=True)
        try:
            yield reader
        except sqlite3.Error as error:
            raise StoreError("S024", f"the database could not be read ({error})") from error
        finally:
            self._readers.put(reader)

    def close(self) -> None:
        """Close every connection."""
        while not self._readers.empty():
            self._readers.get_nowait().close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class SqliteRecords:
    """The activity log. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, path: Path | str, *, read_only: bool = False) -> SqliteRecords:
        """The log in the file at `path`, made when it is missing (not when `read_only`)."""
        return cls(Database(path, read_only=read_only))

    def close(self) -> None:
        self._database.close()

    def leads(self) -> bool:
        """Whether this process follows the log for all that share it: a file has one sidecar."""
        return True

    def place(self) -> int | None:
        """None: the one that follows this log keeps its place in its own data folder."""
        return None

    def keep_place(self, seq: int) -> None:
        """As `place`: nothing."""

    def append(self, records: Iterable[Mapping[str, Any]]) -> int:
        """Keep the records, all or none, durably; those whose id is there already are left alone.

        Raises `StoreError`: S031 for what is not a record, S023 when the database refuses.
        """
        return self.append_rows([(to_row(record), matched(record), _app_name(record)) for record in records])

    def append_rows(self, rows: Sequence[tuple[Row, set[str], str]]) -> int:
        """As `append`, for rows that have been made already."""
        fresh = {row.id: (row, policies, name) for row, policies, name in reversed(rows)}
        if not fresh:
            return 0
        with self._database.writing() as writer:
            known = writer.execute(
                "SELECT id FROM activities WHERE id IN (SELECT value FROM json_each(?))",
                (orjson.dumps(list(fresh)).decode(),),
            )
            for (record_id,) in known.fetchall():
                del fresh[record_id]
            if fresh:
                _insert(writer, list(reversed(fresh.values())))
        return len(fresh)

    def get(self, record_id: str) -> dict[str, Any] | None:
        with self._database.reading() as reader:
            row = reader.execute("SELECT record FROM activities WHERE id = ?", (record_id,)).fetchone()
        return orjson.loads(row[0]) if row else None

    def query(self, filters: Mapping[str, Any], *, cursor: str | None = None, limit: int = 100) -> RecordPage:
        """A page of at most `limit` records (1 to 1000). Raises `StoreError`: S032 filter, S033 cursor."""
        limit = max(1, min(limit, LARGEST_PAGE))
        sql, values = condition_of(filters)
        if cursor:
            sql, values = f"({sql}) AND (time, id) < (?, ?)", [*values, *decode_cursor(cursor)]
        # The condition is made of our own texts alone; what people wrote is in the parameters.
        statement = f"SELECT time, id, record FROM activities WHERE {sql} ORDER BY time DESC, id DESC LIMIT ?"  # noqa: S608
        with self._database.reading() as reader:
            rows = reader.execute(statement, [*values, limit + 1]).fetchall()
        further = encode_cursor(rows[limit - 1][0], rows[limit - 1][1]) if len(rows) > limit else None
        return RecordPage(records=[orjson.loads(row[2]) for row in rows[:limit]], cursor=further)

    def after(self, seq: int, *, limit: int = 1000) -> list[tuple[int, dict[str, Any]]]:
        """Records in the order they arrived, behind the one numbered `seq`; each with its number."""
        with self._database.reading() as reader:
            rows = reader.execute(
                "SELECT seq, record FROM activities WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
            ).fetchall()
        return [(row[0], orjson.loads(row[1])) for row in rows]

    def arrived(self, since: datetime | None = None) -> int:
        """The number of the last record that arrived; with `since`, of the last before any of that time or later."""
        with self._database.reading() as reader:
            if since is not None:
                first = reader.execute("SELECT min(seq) FROM activities WHERE time >= ?", (_millis(since),)).fetchone()
                if first[0] is not None:
                    return int(first[0]) - 1
            return int(reader.execute("SELECT coalesce(max(seq), 0) FROM activities").fetchone()[0])

    def stream(self, filters: Mapping[str, Any], *, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """All matching records, newest first, page by page: no long transaction, no large list."""
        cursor, left = None, limit
        while left is None or left > 0:
            page = self.query(filters, cursor=cursor, limit=min(500, left or 500))
            yield from page.records
            left = None if left is None else left - len(page.records)
            cursor = page.cursor
            if cursor is None:
                return

    def purge(self, before: datetime) -> int:
        """Drop what is older, in small transactions; the number dropped."""
        limit = _millis(before)
        with self._database.writing() as writer:
            writer.execute("DELETE FROM matches WHERE time < ?", (limit,))
            writer.execute("DELETE FROM hourly WHERE hour + ? <= ?", (HOUR, limit))
        dropped = 0
        while step := self._purge_step(limit):
            dropped += step
        return dropped

    def _purge_step(self, limit: int) -> int:
        with self._database.writing() as writer:
            rows = writer.execute(
                "SELECT seq, user_name, file_name, words FROM activities WHERE time < ? ORDER BY time LIMIT ?",
                (limit, PURGE_STEP),
            ).fetchall()
            writer.execute("INSERT INTO purging VALUES (?)", (limit,))
            # An external-content index must be told what it is to forget.
            writer.executemany(
                "INSERT INTO activity_text (activity_text, rowid, user_name, file_name, words) "
                "VALUES ('delete', ?, ?, ?, ?)",
                rows,
            )
            writer.executemany("DELETE FROM activities WHERE seq = ?", [(row[0],) for row in rows])
            writer.execute("DELETE FROM purging")
        return len(rows)

    def counts(self, by: str, since: datetime, until: datetime) -> dict[str, int]:
        """Activities in the hours from `since` up to `until`, by `action`, `app` or `activity`; most first."""
        if by not in ("action", "app", "activity"):
            raise ValueError(by)
        with self._database.reading() as reader:
            rows = reader.execute(
                f"SELECT {by}, sum(count) AS hits FROM hourly WHERE hour >= ? AND hour < ? "  # noqa: S608 - checked above
                f"GROUP BY {by} ORDER BY hits DESC, {by}",
                (_millis(since) // HOUR * HOUR, _millis(until)),
            ).fetchall()
        return dict(rows)

    def histogram(self, since: datetime, until: datetime) -> list[tuple[datetime, dict[str, int]]]:
        """For each hour from the one of `since` up to `until`: activities by action. Empty hours are there too."""
        start, end = _millis(since) // HOUR * HOUR, _millis(until)
        hours: dict[int, dict[str, int]] = {hour: {} for hour in range(start, end, HOUR)}
        with self._database.reading() as reader:
            rows = reader.execute(
                "SELECT hour, action, sum(count) FROM hourly WHERE hour >= ? AND hour < ? GROUP BY hour, action",
                (start, end),
            )
            for hour, action, count in rows:
                hours[hour][action] = count
        return [(_time(hour), counts) for hour, counts in hours.items()]

    def policy_hits(self, since: datetime) -> dict[str, int]:
        """How often each policy matched since then."""
        with self._database.reading() as reader:
            names = reader.execute(
                # Jumps from name to name in the index instead of reading all of it.
                "WITH RECURSIVE names(policy) AS (SELECT min(policy) FROM matches UNION ALL "
                "SELECT (SELECT min(policy) FROM matches WHERE policy > names.policy) FROM names "
                "WHERE names.policy IS NOT NULL) "
                "SELECT policy, (SELECT count(*) FROM matches WHERE matches.policy = names.policy AND time >= ?) "
                "FROM names WHERE policy IS NOT NULL",
                (_millis(since),),
            ).fetchall()
        return dict(names)

    def spent(self, policy: str, apps: Sequence[str], activities: Sequence[str], since: datetime) -> Spent:
        """What a policy was asked about since then, by the apps (none: every app) and activities that it concerns, and
        how many of them it refused."""
        with self._database.reading() as reader:
            of_apps = "" if not apps else "AND app IN (SELECT value FROM json_each(?)) "
            values = [_millis(since), orjson.dumps(list(activities)).decode()]
            values += [orjson.dumps(list(apps)).decode()] if apps else []
            asked = reader.execute(
                "SELECT count(*) FROM activities WHERE time >= ? AND source != 'access request' "  # noqa: S608 - our own text alone
                f"AND activity IN (SELECT value FROM json_each(?)) {of_apps}",
                values,
            ).fetchone()[0]
            refused = reader.execute(
                "SELECT count(*) FROM matches JOIN activities USING (seq) WHERE matches.policy = ? "
                "AND matches.time >= ? AND activities.policy = matches.policy AND action IN ('block', 'step_up')",
                (policy, _millis(since)),
            ).fetchone()[0]
            appeals = reader.execute(
                "SELECT count(*) FROM matches JOIN activities USING (seq) WHERE matches.policy = ? "
                "AND matches.time >= ? AND source = 'access request'",
                (policy, _millis(since)),
            ).fetchone()[0]
        return Spent(asked, refused, appeals)

    def policy_days(self, policy: str, since: datetime) -> dict[str, dict[str, int]]:
        """Matches of a policy by day (UTC) and by what was done in the end."""
        days: dict[str, dict[str, int]] = {}
        with self._database.reading() as reader:
            rows = reader.execute(
                "SELECT date(matches.time / 1000, 'unixepoch') AS day, action, count(*) FROM matches "
                "JOIN activities USING (seq) WHERE matches.policy = ? AND matches.time >= ? GROUP BY day, action",
                (policy, _millis(since)),
            )
            for day, action, count in rows:
                days.setdefault(day, {})[action] = count
        return days

    def apps_seen(self) -> list[SeenApp]:
        """Every app in the log, the one used last first."""
        with self._database.reading() as reader:
            rows = reader.execute("SELECT app, name, first, last, count FROM apps_seen ORDER BY last DESC").fetchall()
        return [
            SeenApp(app=app, name=name, first=_time(first), last=_time(last), count=count)
            for app, name, first, last, count in rows
        ]

    def total(self) -> int:
        """How many records are kept."""
        with self._database.reading() as reader:
            return int(reader.execute("SELECT coalesce(sum(count), 0) FROM hourly").fetchone()[0])


def prepared(record: Mapping[str, Any], text: str | None = None) -> tuple[Row, set[str], str]:
    """A record made ready for `append_rows`; `text` as in `to_row`. Raises `StoreError` (S031)."""
    return to_row(record, text), matched(record), _app_name(record)


def _insert(writer: sqlite3.Connection, items: list[tuple[Row, set[str], str]]) -> None:
    seq = int(writer.execute("SELECT coalesce(max(seq), 0) FROM activities").fetchone()[0])
    numbered = list(enumerate(items, seq + 1))
    writer.executemany(_INSERT, [(number, *row) for number, (row, _, _) in numbered])
    writer.executemany(
        _INSERT_TEXT, [(number, row.user_name, row.file_name, row.words) for number, (row, _, _) in numbered]
    )
    writer.executemany(
        "INSERT INTO matches VALUES (?, ?, ?)",
        [(policy, row.time, number) for number, (row, policies, _) in numbered for policy in policies],
    )
    hours = Counter((row.time // HOUR * HOUR, row.app or "", row.activity, row.action) for row, _, _ in items)
    writer.executemany(_COUNT_HOUR, [(*key, count) for key, count in hours.items()])
    seen: dict[str, tuple[str, int, int, int]] = {}
    for row, _, name in items:
        if row.app is not None:
            _, first, last, count = seen.get(row.app, (name, row.time, row.time, 0))
            seen[row.app] = (name, min(first, row.time), max(last, row.time), count + 1)
    writer.executemany(_SEE_APP, [(app, *facts) for app, facts in seen.items()])


def _app_name(record: Mapping[str, Any]) -> str:
    app = record.get("app") or {}
    return str(app.get("name") or app.get("id") or "")


def _millis(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _time(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)
