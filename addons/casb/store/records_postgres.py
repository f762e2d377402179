"""The activity log in PostgreSQL, for several sidecars: the promises and the answers of `records_sqlite`.

A batch is one COPY and a handful of statements in one transaction. Writers take turns (`WRITER_LOCK`), so a reader
that follows the log by number never misses one. A record is known by its id in every week.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from casb.policy.budget import Spent
from casb.settings import Secret
from casb.store.filters import condition_of, decode_cursor, encode_cursor, in_postgres
from casb.store.postgres import WRITER_LOCK, Postgres
from casb.store.records_sqlite import HOUR, LARGEST_PAGE, PURGE_STEP, RecordPage, SeenApp, prepared
from casb.store.row import Row

if TYPE_CHECKING:
    import psycopg

WEEK = 7 * 24 * HOUR
FIRST_WEEK, LAST_WEEK = 946_684_800_000 // WEEK, 4_102_444_800_000 // WEEK  # of 2000 and 2100; one partition outside
_COLUMNS = ", ".join(Row._fields)
_STAGE = f"CREATE TEMP TABLE IF NOT EXISTS staged (at integer, {', '.join(f'{each} text' for each in Row._fields)}) ON COMMIT DELETE ROWS"  # noqa: E501
_COPY = f"COPY staged (at, {_COLUMNS}) FROM STDIN"
_KEEP = (
    f"INSERT INTO activities (seq, {_COLUMNS}) "  # noqa: S608 - our own names
    f"SELECT nextval('activities_seq'), {_COLUMNS.replace('time', 'time::bigint', 1)} FROM "
    f"(SELECT * FROM staged WHERE NOT EXISTS (SELECT 1 FROM activities WHERE activities.id = staged.id) ORDER BY at) "
    "AS fresh ON CONFLICT DO NOTHING RETURNING id, seq"
)
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"), ("\0", "\ufffd"))


class PostgresRecords:
    """The activity log. Safe to use from several threads, and from several processes on one database."""

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._weeks: set[int] = set()

    @classmethod
    def open(cls, conninfo: Secret) -> PostgresRecords:
        """The log in the database; its tables are made when they are missing. Raises `StoreError`."""
        return cls(Postgres(conninfo))

    def close(self) -> None:
        self._database.close()

    def leads(self) -> bool:
        """Whether this process follows the log for all that share it."""
        return self._database.leads()

    def place(self) -> int | None:
        """How far the log was followed, by whichever process led then; None when nobody ever did."""
        with self._database.using("S024") as con:
            seq = _one(con, "SELECT seq FROM places WHERE name = 'activity policies'")
        return None if seq is None else int(seq)

    def keep_place(self, seq: int) -> None:
        """The log has been followed so far."""
        with self._database.using("S023") as con:
            con.execute(
                "INSERT INTO places VALUES ('activity policies', %s) "
                "ON CONFLICT (name) DO UPDATE SET seq = excluded.seq",
                (seq,),
            )

    def append(self, records: Iterable[Mapping[str, Any]]) -> int:
        """Keep the records, all or none, durably; those whose id is there already are left alone.

        Raises `StoreError`: S031 for what is not a record, S023 when the database refuses.
        """
        return self.append_rows([prepared(record) for record in records])

    def append_rows(self, rows: Sequence[tuple[Row, set[str], str]]) -> int:
        """As `append`, for rows that have been made already."""
        fresh: dict[str, tuple[Row, set[str], str]] = {}
        for each in rows:
            fresh.setdefault(each[0].id, each)
        if not fresh:
            return 0
        text = "".join(
            f"{at}\t" + "\t".join(map(_field, _shaped(row))) + "\n" for at, (row, _, _) in enumerate(fresh.values())
        ).encode()
        weeks = {_week(row.time) for row, _, _ in fresh.values()}
        with self._database.using("S023") as con:
            con.execute(_STAGE)
            with con.cursor().copy(_COPY) as copy:
                copy.write(text)
            con.execute("SELECT pg_advisory_xact_lock(%s)", (WRITER_LOCK,))
            made = weeks - self._weeks
            for week in made:
                _make_week(con, week)
            kept = con.execute(_KEEP).fetchall()
            if kept:
                _count(con, [(*fresh[record_id], seq) for record_id, seq in kept])
        self._weeks |= made
        return len(kept)

    def get(self, record_id: str) -> dict[str, Any] | None:
        with self._database.using("S024") as con:
            row = con.execute(
                "SELECT record FROM activities WHERE id = %s LIMIT 1", (record_id.replace("\0", "\ufffd"),)
            ).fetchone()
        return orjson.loads(row[0]) if row else None

    def query(self, filters: Mapping[str, Any], *, cursor: str | None = None, limit: int = 100) -> RecordPage:
        """A page of at most `limit` records (1 to 1000). Raises `StoreError`: S032 filter, S033 cursor."""
        limit = max(1, min(limit, LARGEST_PAGE))
        sql, values = in_postgres(condition_of(filters, postgres=True))
        if cursor:
            sql, values = f"({sql}) AND (time, id) < (%s, %s)", [*values, *decode_cursor(cursor)]
        statement = f"SELECT time, id, record FROM activities WHERE {sql} ORDER BY time DESC, id DESC LIMIT %s"  # noqa: S608
        with self._database.using("S024") as con:
            rows = con.execute(statement.encode(), [*values, limit + 1]).fetchall()
        further = encode_cursor(rows[limit - 1][0], rows[limit - 1][1]) if len(rows) > limit else None
        return RecordPage(records=[orjson.loads(row[2]) for row in rows[:limit]], cursor=further)

    def after(self, seq: int, *, limit: int = 1000) -> list[tuple[int, dict[str, Any]]]:
        """Records in the order they arrived, behind the one numbered `seq`; each with its number."""
        with self._database.using("S024") as con:
            rows = con.execute(
                "SELECT seq, record FROM activities WHERE seq > %s ORDER BY seq LIMIT %s", (seq, limit)
            ).fetchall()
        return [(row[0], orjson.loads(row[1])) for row in rows]

    def arrived(self, since: datetime | None = None) -> int:
        """The number of the last record that arrived; with `since`, of the last before any of that time or later."""
        with self._database.using("S024") as con:
            if since is not None:
                first = _one(con, "SELECT min(seq) FROM activities WHERE time >= %s", (_millis(since),))
                if first is not None:
                    return int(first) - 1
            return int(_one(con, "SELECT coalesce(max(seq), 0) FROM activities"))

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
        """Drop what is older: whole weeks at once, the rest in small transactions; the number dropped."""
        limit = _millis(before)
        dropped = 0
        with self._database.using("S023") as con:
            con.execute("SELECT pg_advisory_xact_lock(%s)", (WRITER_LOCK,))
            con.execute("DELETE FROM hourly WHERE hour + %s <= %s", (HOUR, limit))
            past = [week for week in _weeks(con) if week < LAST_WEEK and (week + 1) * WEEK <= limit]
            for week in past:
                dropped += int(_one(con, f"SELECT count(*) FROM activities_{_name(week)}"))  # noqa: S608 - a number
                con.execute(f"DROP TABLE activities_{_name(week)}, matches_{_name(week)}".encode())
        # Another sidecar may still believe in them, too: it is told when a record of that week finds no place.
        self._weeks.clear()
        while step := self._purge_step(limit):
            dropped += step
        return dropped

    def _purge_step(self, limit: int) -> int:
        with self._database.using("S023") as con:
            con.execute("INSERT INTO purging VALUES (%s)", (limit,))
            con.execute("DELETE FROM matches WHERE time < %s", (limit,))
            gone = con.execute(
                "DELETE FROM activities WHERE time < %s AND id IN "
                "(SELECT id FROM activities WHERE time < %s ORDER BY time LIMIT %s)",
                (limit, limit, PURGE_STEP),
            ).rowcount
            con.execute("DELETE FROM purging")
        return gone

    def counts(self, by: str, since: datetime, until: datetime) -> dict[str, int]:
        """Activities in the hours from `since` up to `until`, by `action`, `app` or `activity`; most first."""
        if by not in ("action", "app", "activity"):
            raise ValueError(by)
        statement = (
            f"SELECT {by}, sum(count)::bigint AS hits FROM hourly WHERE hour >= %s AND hour < %s "  # noqa: S608
            f"GROUP BY {by} ORDER BY hits DESC, {by}"
        )
        with self._database.using("S024") as con:
            rows = con.execute(statement.encode(), (_millis(since) // HOUR * HOUR, _millis(until))).fetchall()
        return dict(rows)

    def histogram(self, since: datetime, until: datetime) -> list[tuple[datetime, dict[str, int]]]:
        """For each hour from the one of `since` up to `until`: activities by action. Empty hours are there too."""
        start, end = _millis(since) // HOUR * HOUR, _millis(until)
        hours: dict[int, dict[str, int]] = {hour: {} for hour in range(start, end, HOUR)}
        with self._database.using("S024") as con:
            rows = con.execute(
                "SELECT hour, action, sum(count)::bigint FROM hourly WHERE hour >= %s AND hour < %s "
                "GROUP BY hour, action",
                (start, end),
            ).fetchall()
        for hour, action, count in rows:
            hours[hour][action] = count
        return [(_time(hour), counts) for hour, counts in hours.items()]

    def policy_hits(self, since: datetime) -> dict[str, int]:
        """How often each policy matched since then."""
        with self._database.using("S024") as con:
            rows = con.execute(
                # Jumps from name to name in the index instead of reading all of it.
                "WITH RECURSIVE names(policy) AS (SELECT min(policy) FROM matches UNION ALL "
                "SELECT (SELECT min(policy) FROM matches WHERE policy > names.policy) FROM names "
                "WHERE names.policy IS NOT NULL) "
                "SELECT policy, (SELECT count(*) FROM matches WHERE matches.policy = names.policy AND time >= %s) "
                "FROM names WHERE policy IS NOT NULL",
                (_millis(since),),
            ).fetchall()
        return dict(rows)

    def spent(self, policy: str, apps: Sequence[str], activities: Sequence[str], since: datetime) -> Spent:
        """What a policy was asked about since then, by the apps (none: every app) and activities that it concerns, and
        how many of them it refused."""
        with self._database.using("S024") as con:
            asked = _one(
                con,
                "SELECT count(*) FROM activities WHERE time >= %s AND activity = ANY(%s) AND (%s OR app = ANY(%s))",
                (_millis(since), list(activities), not apps, list(apps)),
            )
            refused = _one(
                con,
                "SELECT count(*) FROM matches JOIN activities USING (seq, time, policy) WHERE matches.policy = %s "
                "AND matches.time >= %s AND action IN ('block', 'step_up')",
                (policy, _millis(since)),
            )
        return Spent(asked, refused)

    def policy_days(self, policy: str, since: datetime) -> dict[str, dict[str, int]]:
        """Matches of a policy by day (UTC) and by what was done in the end."""
        days: dict[str, dict[str, int]] = {}
        with self._database.using("S024") as con:
            rows = con.execute(
                "SELECT to_char(to_timestamp(time / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, action, count(*) "
                "FROM matches JOIN activities USING (seq, time) WHERE matches.policy = %s AND time >= %s "
                "GROUP BY day, action",
                (policy, _millis(since)),
            ).fetchall()
        for day, action, count in rows:
            days.setdefault(day, {})[action] = count
        return days

    def apps_seen(self) -> list[SeenApp]:
        """Every app in the log, the one used last first."""
        with self._database.using("S024") as con:
            rows = con.execute("SELECT app, name, first, last, count FROM apps_seen ORDER BY last DESC").fetchall()
        return [
            SeenApp(app=app, name=name, first=_time(first), last=_time(last), count=count)
            for app, name, first, last, count in rows
        ]

    def total(self) -> int:
        """How many records are kept."""
        with self._database.using("S024") as con:
            return int(_one(con, "SELECT coalesce(sum(count), 0)::bigint FROM hourly"))


def _shaped(row: Row) -> Row:
    """Texts that are searched are kept in lower case: LIKE then finds them by the index, whatever the locale."""
    return row._replace(file_name=row.file_name.lower(), words=row.words.lower())


def _field(value: str | int | None) -> str:
    """One field of COPY's text format."""
    if value is None:
        return "\\N"
    if not isinstance(value, str):
        return str(value)
    if value.isprintable() and "\\" not in value:
        return value
    for given, written in _ESCAPES:
        value = value.replace(given, written)
    return value


def _count(con: psycopg.Connection[Any], kept: list[tuple[Row, set[str], str, int]]) -> None:
    """What is counted once, while it is written."""
    matches = [(policy, row.time, seq) for row, policies, _, seq in kept for policy in sorted(policies)]
    if matches:
        columns = [list(column) for column in zip(*matches, strict=True)]
        columns[0] = [str(each).replace("\0", "\ufffd") for each in columns[0]]
        con.execute("INSERT INTO matches SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[])", columns)
    hours = Counter((row.time // HOUR * HOUR, _plain(row.app or ""), row.activity, row.action) for row, _, _, _ in kept)
    counted = [(*key, count) for key, count in sorted(hours.items())]
    con.execute(
        "INSERT INTO hourly SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::bigint[]) "
        "ON CONFLICT (hour, app, activity, action) DO UPDATE SET count = hourly.count + excluded.count",
        [list(column) for column in zip(*counted, strict=True)],
    )
    seen: dict[str, tuple[str, int, int, int]] = {}
    for row, _, name, _ in kept:
        if row.app is not None:
            _, first, last, count = seen.get(row.app, ("", row.time, row.time, 0))
            seen[row.app] = (_plain(name), min(first, row.time), max(last, row.time), count + 1)
    if seen:
        apps = [(_plain(app), *facts) for app, facts in seen.items()]
        con.execute(
            "INSERT INTO apps_seen SELECT * FROM "
            "unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[]) ON CONFLICT (app) DO UPDATE SET "
            "name = excluded.name, first = least(apps_seen.first, excluded.first), "
            "last = greatest(apps_seen.last, excluded.last), count = apps_seen.count + excluded.count",
            [list(column) for column in zip(*apps, strict=True)],
        )


def _plain(text: str) -> str:
    return text.replace("\0", "\ufffd")


def _week(time: int) -> int:
    return max(FIRST_WEEK - 1, min(time // WEEK, LAST_WEEK))


def _name(week: int) -> str:
    return f"w{week}"


def _make_week(con: psycopg.Connection[Any], week: int) -> None:
    start = "MINVALUE" if week < FIRST_WEEK else str(week * WEEK)
    end = "MAXVALUE" if week >= LAST_WEEK else str((week + 1) * WEEK)
    for table in ("activities", "matches"):
        con.execute(
            f"CREATE TABLE IF NOT EXISTS {table}_{_name(week)} PARTITION OF {table} "
            f"FOR VALUES FROM ({start}) TO ({end})".encode()
        )
    con.execute(
        f"CREATE OR REPLACE TRIGGER activities_remain BEFORE TRUNCATE ON activities_{_name(week)} "
        "FOR EACH STATEMENT EXECUTE FUNCTION activities_stay()".encode()
    )


def _weeks(con: psycopg.Connection[Any]) -> list[int]:
    """The weeks that have a partition."""
    rows = con.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent = 'activities'::regclass"
    ).fetchall()
    return [int(row[0].removeprefix("activities_w")) for row in rows]


def _one(con: psycopg.Connection[Any], statement: str, values: Sequence[Any] = ()) -> Any:
    row = con.execute(statement.encode(), values).fetchone()
    return row[0] if row else None


def _millis(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _time(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)
