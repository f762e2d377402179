"""PostgreSQL as several sidecars share it: connections, the tables of the activity log, and who of them leads.

Extra: `casb[postgres]`. The log is partitioned by weeks, so that what is past is dropped whole. It is append-only: its
own triggers refuse changes, and deletion of what has not been written down as past, whoever asks.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from casb.errors import StoreError
from casb.settings import Secret

if TYPE_CHECKING:
    import psycopg

VERSION = 1
SCHEMA_LOCK = 7_305_490
WRITER_LOCK = 7_305_491
"""Held by a transaction that appends: numbers become visible in their order, no two writers wait for each other's
rows, and a week's partition has one maker."""
LEADER_LOCK = 7_305_492
IDLE = 8  # connections kept for later
STATEMENT_TIMEOUT = 60_000  # milliseconds

TABLES = """
CREATE SEQUENCE activities_seq AS bigint;
CREATE TABLE activities (
    seq bigint NOT NULL, id text COLLATE "C" NOT NULL, time bigint NOT NULL, activity text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL, app text COLLATE "C", user_id text COLLATE "C",
    user_name text COLLATE "C" NOT NULL, ip text COLLATE "C" NOT NULL, action text COLLATE "C" NOT NULL,
    policy text COLLATE "C", severity text COLLATE "C", device_tags text COLLATE "C" NOT NULL,
    session text COLLATE "C", country text COLLATE "C", file_name text COLLATE "C" NOT NULL,
    words text COLLATE "C" NOT NULL, record text COLLATE "C" NOT NULL
) PARTITION BY RANGE (time);
CREATE UNIQUE INDEX activities_id ON activities (id, time);
CREATE INDEX activities_seq_order ON activities (seq);
CREATE INDEX activities_time ON activities (time, id);
CREATE INDEX activities_activity ON activities (activity, time, id);
CREATE INDEX activities_app ON activities (app, time, id) WHERE app IS NOT NULL;
CREATE INDEX activities_user ON activities (user_id, time, id) WHERE user_id IS NOT NULL;
CREATE INDEX activities_ip ON activities (ip, time, id);
CREATE INDEX activities_action ON activities (action, time, id);
CREATE INDEX activities_session ON activities (session, time, id) WHERE session IS NOT NULL;
CREATE TABLE matches (policy text COLLATE "C" NOT NULL, time bigint NOT NULL, seq bigint NOT NULL)
    PARTITION BY RANGE (time);
CREATE INDEX matches_policy ON matches (policy, time, seq);
CREATE TABLE hourly (hour bigint NOT NULL, app text COLLATE "C" NOT NULL, activity text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL, count bigint NOT NULL, PRIMARY KEY (hour, app, activity, action));
CREATE TABLE apps_seen (app text COLLATE "C" PRIMARY KEY, name text NOT NULL, first bigint NOT NULL,
    last bigint NOT NULL, count bigint NOT NULL);
CREATE TABLE places (name text COLLATE "C" PRIMARY KEY, seq bigint NOT NULL);
CREATE TABLE purging (before bigint NOT NULL);
CREATE FUNCTION activities_stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (SELECT 1 FROM purging WHERE OLD.time < before) THEN RETURN OLD; END IF;
    END IF;
    RAISE EXCEPTION 'the activity log is append-only';
END $$;
CREATE TRIGGER activities_stay BEFORE UPDATE OR DELETE ON activities
    FOR EACH ROW EXECUTE FUNCTION activities_stay();
CREATE TRIGGER activities_remain BEFORE TRUNCATE ON activities
    FOR EACH STATEMENT EXECUTE FUNCTION activities_stay();
CREATE TABLE casb_schema (version integer NOT NULL);
"""
TEXT = """
CREATE INDEX activities_text ON activities USING gin
    (user_name gin_trgm_ops, file_name gin_trgm_ops, words gin_trgm_ops);
"""


class Postgres:
    """Connections to one database; safe to use from several threads. Raises `StoreError` S025 when it is away."""

    def __init__(self, conninfo: Secret) -> None:
        """`conninfo` as libpq has it: `host=… dbname=… sslmode=verify-full`, or an address. Makes the tables.

        Raises `StoreError` S026 without the extra, S021 when a newer casb made them.
        """
        try:
            import psycopg  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise StoreError("S026", "records are kept in PostgreSQL, but psycopg is not installed") from error
        self._psycopg = psycopg
        self._conninfo = conninfo
        self._idle: queue.LifoQueue[psycopg.Connection[Any]] = queue.LifoQueue()
        self._leading: psycopg.Connection[Any] | None = None
        self._lead = threading.Lock()
        try:
            with self.using("S022") as con:
                self.trigram = _prepare(con)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def using(self, code: str) -> Iterator[psycopg.Connection[Any]]:
        """A connection and one transaction, kept when the block ends well. Database errors become `StoreError`."""
        con = self._take()
        try:
            try:
                yield con
                con.commit()
            except BaseException:
                con.rollback()
                raise
        except self._psycopg.Error as error:
            if con.broken or con.closed:
                self._forget()
            # Not the server's own text: it repeats values.
            state = getattr(error, "sqlstate", None) or type(error).__name__
            raise StoreError(code, f"PostgreSQL refused ({state})") from error
        finally:
            if con.closed or self._idle.qsize() >= IDLE:
                con.close()
            else:
                self._idle.put(con)

    def leads(self) -> bool:
        """Whether this process is the one of all that share the database which does what must be done once."""
        with self._lead:
            con = self._leading
            try:
                if con is not None:
                    con.execute("SELECT 1")
                    return True
                con = self._connect()
                if con.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,)).fetchone() == (True,):
                    self._leading = con
                    return True
                con.close()
            except (self._psycopg.Error, StoreError):
                if con is not None:
                    con.close()
                self._leading = None
            return False

    def close(self) -> None:
        """Let all connections go."""
        self._forget()
        with self._lead:
            if self._leading is not None:
                self._leading.close()
                self._leading = None

    def _take(self) -> psycopg.Connection[Any]:
        while True:
            try:
                con = self._idle.get_nowait()
            except queue.Empty:
                break
            if not con.closed:
                return con
        con = self._connect()
        con.autocommit = False
        return con

    def _connect(self) -> psycopg.Connection[Any]:
        try:
            # An idle connection whose peer vanished without a word is noticed, too.
            return self._psycopg.connect(
                self._conninfo.reveal(),
                connect_timeout=5,
                keepalives_idle=30,
                autocommit=True,
                application_name="casb",
                options=f"-c statement_timeout={STATEMENT_TIMEOUT}",
            )
        except self._psycopg.Error as error:
            # Its text may hold the connection string.
            raise StoreError("S025", f"PostgreSQL cannot be reached ({type(error).__name__})") from None

    def _forget(self) -> None:
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return


def _prepare(con: psycopg.Connection[Any]) -> bool:
    """Make the tables, or see that they are ours; whether texts have an index."""
    con.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
    if con.execute("SELECT to_regclass('casb_schema')").fetchone() == (None,):
        con.execute(TABLES)
        con.execute("INSERT INTO casb_schema VALUES (%s)", (VERSION,))
        if _trigram(con):
            con.execute(TEXT)
    row = con.execute("SELECT version FROM casb_schema").fetchone()
    version = row[0] if row else 0
    if version > VERSION:
        raise StoreError("S021", f"the database has version {version}, this casb knows {VERSION}")
    return con.execute("SELECT to_regclass('activities_text')").fetchone() != (None,)


def _trigram(con: psycopg.Connection[Any]) -> bool:
    """Whether pg_trgm is there or can be had."""
    found = con.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'").fetchone()
    if found is not None:
        return True
    known = con.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'").fetchone()
    may = con.execute("SELECT has_database_privilege(current_database(), 'CREATE')").fetchone()
    if known is None or may != (True,):
        return False
    con.execute("CREATE EXTENSION pg_trgm")
    return True
