"""What is known about usage: streams, what was ingested, jobs, exclusions, saved queries. Never usage itself.

SQLite beside the activity log (`discovery.db`). The row in `ingests` is what makes an input count exactly once: it is
written in the transaction that puts the input's segments in force.
"""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from casb.discovery.exclude import Exclusion
from casb.discovery.streams import Kind, Stream, filter_json, filter_of
from casb.discovery.tophosts import KEPT
from casb.errors import StoreError
from casb.model.network import parse_network
from casb.store.discovery_schema import MIGRATIONS
from casb.store.records_sqlite import Database

FILE = "discovery.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One Parquet file of one stream and day."""

    id: str
    stream: str
    day: date
    in_global: bool
    rows: int
    bytes: int
    catalog: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """An input that counted. `outcome` holds lines, events, matched, skipped and the like."""

    stream: str
    key: str
    time: datetime
    name: str
    catalog: str
    outcome: Mapping[str, Any]


class Book:
    """All of it. Safe to use from several threads and processes."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def open(cls, folder: Path) -> Book:
        """The book of a data folder, made when missing. Raises `StoreError`."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(Database(folder / FILE, migrations=MIGRATIONS))

    def close(self) -> None:
        self.database.close()

    # Streams

    def streams(self) -> list[Stream]:
        """All streams, by name; Global is none of them."""
        with self.database.reading() as reader:
            rows = reader.execute(f"SELECT {_STREAM} FROM streams ORDER BY name").fetchall()  # noqa: S608
        return [_stream(row) for row in rows]

    def stream(self, stream_id: str) -> Stream | None:
        """One stream by id."""
        with self.database.reading() as reader:
            row = reader.execute(f"SELECT {_STREAM} FROM streams WHERE id = ?", (stream_id,)).fetchone()  # noqa: S608
        return _stream(row) if row else None

    def stream_named(self, name: str) -> Stream | None:
        """One stream by its name."""
        with self.database.reading() as reader:
            row = reader.execute(f"SELECT {_STREAM} FROM streams WHERE name = ?", (name,)).fetchone()  # noqa: S608
        return _stream(row) if row else None

    def put_stream(self, stream: Stream) -> Stream:
        """Keep a new stream, or change one of the same id. Raises `StoreError` D030 when the name is taken."""
        filters = json.dumps(filter_json(stream.filters)) if stream.filters else None
        values = (
            stream.id, stream.name, stream.kind.value, stream.source, stream.log_type, stream.receiver, stream.comment,
            stream.anonymize_users, stream.anonymize_devices, filters, millis(stream.created), millis(stream.modified),
        )  # fmt: skip
        try:
            with self.database.writing() as writer:
                writer.execute(
                    "INSERT INTO streams (id, name, kind, source, log_type, receiver, comment, anonymize_users, "
                    "anonymize_devices, filters, created, modified) VALUES (?,?,?,?,?,?,?,?,?,?,?,?) "
                    "ON CONFLICT (id) DO UPDATE SET name = excluded.name, source = excluded.source, "
                    "log_type = excluded.log_type, receiver = excluded.receiver, comment = excluded.comment, "
                    "anonymize_users = excluded.anonymize_users, anonymize_devices = excluded.anonymize_devices, "
                    "filters = excluded.filters, modified = excluded.modified",
                    values,
                )
        except StoreError as error:
            if isinstance(error.__cause__, sqlite3.IntegrityError):
                raise StoreError("D030", f"there is a stream named {stream.name!r}") from error
            raise
        return self.stream(stream.id) or stream

    def ensure_stream(self, name: str, kind: Kind, now: datetime, **facts: Any) -> Stream:
        """The stream of this name, made when it is missing; of racing callers all get the same one."""
        found = self.stream_named(name)
        if found is not None:
            return found
        stream = Stream(id=new_id(name), name=name, kind=kind, created=now, modified=now, **facts)
        try:
            return self.put_stream(stream)
        except StoreError as error:
            found = self.stream_named(name)
            if error.code == "D030" and found is not None:
                return found
            raise

    def drop_stream(self, stream_id: str) -> None:
        """Forget a stream; its usage is dropped by the usage store."""
        with self.database.writing() as writer:
            writer.execute("DELETE FROM streams WHERE id = ?", (stream_id,))
            writer.execute("DELETE FROM ingests WHERE stream = ?", (stream_id,))
            writer.execute("DELETE FROM unmatched WHERE stream = ?", (stream_id,))

    def views_for(self, stream: Stream) -> list[Stream]:
        """The views that may take rows of an input stream."""
        return [] if stream.kind is Kind.SNAPSHOT else [each for each in self.streams() if each.kind is Kind.VIEW]

    def failed(self, stream_id: str) -> None:
        """Count an input that could not be used."""
        with self.database.writing() as writer:
            writer.execute("UPDATE streams SET failed = failed + 1, files = files + 1 WHERE id = ?", (stream_id,))

    # What was ingested

    def has(self, stream: str, key: str) -> bool:
        """Whether an input has counted already."""
        with self.database.reading() as reader:
            return bool(reader.execute("SELECT 1 FROM ingests WHERE stream = ? AND key = ?", (stream, key)).fetchone())

    def commit(self, ingest: Ingest, segments: Iterable[Segment], unmatched: Iterable[tuple[date, str, int]]) -> bool:
        """Put an input in force, all of it or nothing. False when it counted before: then nothing changes."""
        at = millis(ingest.time)
        with self.database.writing() as writer:
            done = writer.execute(
                "INSERT INTO ingests VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (ingest.stream, ingest.key, at, ingest.name, ingest.catalog, json.dumps(ingest.outcome)),
            )
            if done.rowcount != 1:
                return False
            writer.executemany("INSERT INTO segments VALUES (?,?,?,?,?,?,?,?)", [_row(each, at) for each in segments])
            writer.execute(
                "UPDATE streams SET files = files + 1, last_data = max(coalesce(last_data, 0), ?) WHERE id = ?",
                (at, ingest.stream),
            )
            days = _count_hosts(writer, ingest.stream, unmatched)
            for day in days:
                _keep_busiest(writer, ingest.stream, day)
        return True

    def ingests(self, stream: str | None = None, limit: int = 100) -> list[Ingest]:
        """What was ingested last."""
        where, values = ("WHERE stream = ?", [stream]) if stream else ("", [])
        with self.database.reading() as reader:
            rows = reader.execute(
                "SELECT stream, key, time, name, catalog, outcome FROM ingests "  # noqa: S608
                f"{where} ORDER BY time DESC LIMIT ?",
                [*values, limit],
            ).fetchall()
        return [
            Ingest(
                stream=each[0],
                key=each[1],
                time=moment(each[2]),
                name=each[3],
                catalog=each[4],
                outcome=json.loads(each[5]),
            )
            for each in rows
        ]

    # Segments

    def segments(
        self,
        streams: Sequence[str] | None = None,
        since: date | None = None,
        until: date | None = None,
        *,
        all_streams: bool = False,
    ) -> list[Segment]:
        """Those of the streams (None: what counts in Global; `all_streams`: every one) and days."""
        where, values = ["TRUE"], []
        if streams is not None:
            where.append("stream IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(list(streams)))
        elif not all_streams:
            where.append("in_global")
        if since is not None:
            where.append("day >= ?")
            values.append(since.isoformat())
        if until is not None:
            where.append("day <= ?")
            values.append(until.isoformat())
        with self.database.reading() as reader:
            rows = reader.execute(
                "SELECT id, stream, day, in_global, rows, bytes, catalog FROM segments "  # noqa: S608
                f"WHERE {' AND '.join(where)} ORDER BY day, stream, id",
                values,
            ).fetchall()
        return [
            Segment(id=each[0], stream=each[1], day=date.fromisoformat(each[2]), in_global=bool(each[3]), rows=each[4],
                    bytes=each[5], catalog=each[6])
            for each in rows
        ]  # fmt: skip

    def swap(self, old: Sequence[str], new: Segment, now: datetime) -> None:
        """Put one segment in the place of several. Raises `Stale`, and changes nothing, when one of those is gone."""
        with self.database.writing() as writer:
            gone = writer.execute(
                "DELETE FROM segments WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(old)),)
            ).rowcount
            if gone != len(old):
                raise Stale
            writer.execute("INSERT INTO segments VALUES (?,?,?,?,?,?,?,?)", _row(new, millis(now)))

    def drop_segments(self, *, before: date | None = None, stream: str | None = None) -> list[str]:
        """Take segments out of force: those of days before a day, of a stream, or all. Their ids."""
        where, values = ["TRUE"], []
        if before is not None:
            where.append("day < ?")
            values.append(before.isoformat())
        if stream is not None:
            where.append("stream = ?")
            values.append(stream)
        condition = " AND ".join(where)
        with self.database.writing() as writer:
            found = writer.execute(f"SELECT id FROM segments WHERE {condition}", values)  # noqa: S608
            dropped = [row[0] for row in found]
            writer.execute(f"DELETE FROM segments WHERE {condition}", values)  # noqa: S608
            writer.execute(f"DELETE FROM unmatched WHERE {condition}", values)  # noqa: S608
            if before is None:
                ingests = "stream = ?" if stream is not None else "TRUE"
                writer.execute(f"DELETE FROM ingests WHERE {ingests}", values)  # noqa: S608
        return dropped

    def unmatched(
        self, streams: Sequence[str] | None, since: date, until: date, limit: int = 100
    ) -> list[tuple[str, int]]:
        """The busiest hosts of no known app. `streams` None: those that feed Global."""
        ids = [each.id for each in self.streams() if each.kind.in_global] if streams is None else list(streams)
        with self.database.reading() as reader:
            return reader.execute(
                "SELECT host, sum(events) AS hits FROM unmatched WHERE day >= ? AND day <= ? AND stream IN "
                "(SELECT value FROM json_each(?)) GROUP BY host ORDER BY hits DESC, host LIMIT ?",
                (since.isoformat(), until.isoformat(), json.dumps(ids), limit),
            ).fetchall()

    # Exclusions

    def exclusions(self) -> list[Exclusion]:
        """Who is left out of Global."""
        with self.database.reading() as reader:
            rows = reader.execute("SELECT entity, value, comment FROM exclusions ORDER BY entity, value").fetchall()
        return [Exclusion(entity=entity, value=value, comment=comment) for entity, value, comment in rows]

    def exclude(self, entry: Exclusion, who: str, now: datetime) -> None:
        """Add to the list; the same entry again changes its comment."""
        with self.database.writing() as writer:
            writer.execute(
                "INSERT INTO exclusions VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET comment = excluded.comment",
                (entry.entity, entry.value, entry.comment, who, millis(now)),
            )

    def include(self, entity: str, value: str) -> bool:
        """Take off the list; False when it was not on it."""
        with self.database.writing() as writer:
            done = writer.execute("DELETE FROM exclusions WHERE entity = ? AND value = ?", (entity, value))
            return done.rowcount == 1

    # Saved queries

    def queries(self) -> dict[str, list[dict[str, Any]]]:
        """Name to the rows of a saved query, as `query.conditions` reads them."""
        with self.database.reading() as reader:
            return {
                name: json.loads(rows) for name, rows in reader.execute("SELECT name, rows FROM queries ORDER BY name")
            }

    def save_query(self, name: str, rows: Sequence[Mapping[str, Any]], who: str, now: datetime) -> None:
        """Keep a query under a name, in the place of one of that name."""
        with self.database.writing() as writer:
            writer.execute(
                "INSERT INTO queries VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET rows = excluded.rows",
                (name, json.dumps(list(rows)), who, millis(now)),
            )

    def drop_query(self, name: str) -> bool:
        """Forget a query; False when there was none."""
        with self.database.writing() as writer:
            return writer.execute("DELETE FROM queries WHERE name = ?", (name,)).rowcount == 1

    # Collectors

    def put_collector(self, name: str, facts: Mapping[str, Any], now: datetime) -> None:
        """A collector's heartbeat."""
        with self.database.writing() as writer:
            writer.execute(
                "INSERT INTO collectors VALUES (?,?,?) "
                "ON CONFLICT DO UPDATE SET time = excluded.time, facts = excluded.facts",
                (name, millis(now), json.dumps(facts)),
            )

    def collectors(self) -> list[tuple[str, datetime, dict[str, Any]]]:
        """Name, last heartbeat and what it told."""
        with self.database.reading() as reader:
            rows = reader.execute("SELECT name, time, facts FROM collectors ORDER BY name").fetchall()
        return [(name, moment(time), json.loads(facts)) for name, time, facts in rows]


class Stale(Exception):
    """Somebody else changed the segments meanwhile."""


_STREAM = (
    "id, name, kind, source, log_type, receiver, comment, anonymize_users, anonymize_devices, filters, created, "
    "modified, last_data, files, failed"
)


def new_id(name: str) -> str:
    """An id that can stand in a path and tells people what it is."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:32]
    return f"{plain or 'stream'}-{secrets.token_hex(4)}"


def millis(time: datetime) -> int:
    """A time as milliseconds since 1970."""
    return round(time.timestamp() * 1000)


def moment(value: int) -> datetime:
    """Milliseconds since 1970 as an aware time."""
    return datetime.fromtimestamp(value / 1000, UTC)


def _stream(row: Sequence[Any]) -> Stream:
    (ident, name, kind, source, log_type, receiver, comment, users, devices, filters, created, modified, last, files,
     failed) = row  # fmt: skip
    return Stream(
        id=ident,
        name=name,
        kind=Kind(kind),
        source=source,
        log_type=log_type,
        receiver=receiver,
        comment=comment,
        anonymize_users=bool(users),
        anonymize_devices=bool(devices),
        filters=filter_of(json.loads(filters), parse_network) if filters else None,
        created=moment(created),
        modified=moment(modified),
        last_data=moment(last) if last else None,
        files=files,
        failed=failed,
    )


def changed(stream: Stream, now: datetime, **facts: Any) -> Stream:
    """The stream with other facts, modified now."""
    return replace(stream, modified=now, **facts)


def _row(segment: Segment, at: int) -> tuple[Any, ...]:
    return (segment.id, segment.stream, segment.day.isoformat(), segment.in_global, segment.rows, segment.bytes,
            segment.catalog, at)  # fmt: skip


def _count_hosts(writer: sqlite3.Connection, stream: str, unmatched: Iterable[tuple[date, str, int]]) -> set[str]:
    rows = [(day.isoformat(), stream, host[:255], count) for day, host, count in unmatched]
    writer.executemany(
        "INSERT INTO unmatched VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET events = events + excluded.events", rows
    )
    return {row[0] for row in rows}


def _keep_busiest(writer: sqlite3.Connection, stream: str, day: str) -> None:
    writer.execute(
        "DELETE FROM unmatched WHERE day = ? AND stream = ? AND host NOT IN (SELECT host FROM unmatched "
        "WHERE day = ? AND stream = ? ORDER BY events DESC, host LIMIT ?)",
        (day, stream, day, stream, KEPT),
    )
