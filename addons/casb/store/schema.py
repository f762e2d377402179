"""The tables of the sidecar's SQLite database, their versions, and how a connection to it is opened.

One file holds the activity log, the audit log and the portal's own small tables, so that a backup is one file.
`PRAGMA user_version` is the schema's version; `MIGRATIONS[n]` leads from version n to n + 1 and is never edited.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from casb.errors import StoreError
from casb.store.catalog_schema import CATALOG

# The activity log is append-only. A row cannot be changed, and it can be deleted only while `purge` has written down
# up to which time; its own triggers say so, whatever code or hand is at work.
_FIRST = """
CREATE TABLE activities (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    time INTEGER NOT NULL,
    activity TEXT NOT NULL,
    source TEXT NOT NULL,
    app TEXT,
    user_id TEXT,
    user_name TEXT NOT NULL,
    ip TEXT NOT NULL,
    action TEXT NOT NULL,
    policy TEXT,
    severity TEXT,
    device_tags TEXT NOT NULL,
    session TEXT,
    country TEXT,
    file_name TEXT NOT NULL,
    words TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX activities_time ON activities (time, id);
CREATE INDEX activities_activity ON activities (activity, time);
CREATE INDEX activities_app ON activities (app, time) WHERE app IS NOT NULL;
CREATE INDEX activities_user ON activities (user_id, time) WHERE user_id IS NOT NULL;
CREATE INDEX activities_ip ON activities (ip, time);
CREATE INDEX activities_action ON activities (action, time);
CREATE INDEX activities_session ON activities (session, time) WHERE session IS NOT NULL;
CREATE VIRTUAL TABLE activity_text USING fts5 (
    user_name, file_name, words, content='activities', content_rowid='seq', tokenize='trigram'
);
CREATE TABLE matches (policy TEXT NOT NULL, time INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (policy, time, seq)) WITHOUT ROWID;
CREATE TABLE hourly (hour INTEGER NOT NULL, app TEXT NOT NULL, activity TEXT NOT NULL, action TEXT NOT NULL,
    count INTEGER NOT NULL, PRIMARY KEY (hour, app, activity, action)) WITHOUT ROWID;
CREATE TABLE apps_seen (app TEXT PRIMARY KEY, name TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE purging (before INTEGER NOT NULL);
CREATE TRIGGER activities_stay BEFORE UPDATE ON activities BEGIN
    SELECT RAISE(ABORT, 'the activity log is append-only');
END;
CREATE TRIGGER activities_purge BEFORE DELETE ON activities
WHEN NOT EXISTS (SELECT 1 FROM purging WHERE OLD.time < before) BEGIN
    SELECT RAISE(ABORT, 'the activity log is append-only');
END;

CREATE TABLE audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, who TEXT NOT NULL, ip TEXT NOT NULL,
    what TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_remains BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TABLE admins (name TEXT PRIMARY KEY, password TEXT NOT NULL, role TEXT NOT NULL, created INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE admin_sessions (key BLOB PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, provider TEXT NOT NULL,
    created INTEGER NOT NULL, seen INTEGER NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE admin_flows (key BLOB PRIMARY KEY, value TEXT NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tokens (id TEXT PRIMARY KEY, key BLOB NOT NULL UNIQUE, label TEXT NOT NULL, made_by TEXT NOT NULL,
    created INTEGER NOT NULL, used INTEGER) WITHOUT ROWID;
CREATE TABLE attempts (key TEXT PRIMARY KEY, count INTEGER NOT NULL, until INTEGER NOT NULL, last INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE proxies (name TEXT PRIMARY KEY, time INTEGER NOT NULL, facts TEXT NOT NULL) WITHOUT ROWID;
"""

_SCOPES = """
ALTER TABLE tokens ADD COLUMN scope TEXT NOT NULL DEFAULT 'read';
"""

_ALERTS = """
CREATE TABLE alerts (id TEXT PRIMARY KEY, time INTEGER NOT NULL, last INTEGER NOT NULL, kind TEXT NOT NULL,
    policy TEXT NOT NULL, severity TEXT NOT NULL, title TEXT NOT NULL, state TEXT NOT NULL, read INTEGER NOT NULL,
    count INTEGER NOT NULL, app TEXT NOT NULL, user_name TEXT NOT NULL, ip TEXT NOT NULL, closed_by TEXT NOT NULL,
    comment TEXT NOT NULL, detail TEXT NOT NULL, together TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX alerts_last ON alerts (last, id);
CREATE INDEX alerts_together ON alerts (together, last) WHERE state = 'open';
CREATE INDEX alerts_open ON alerts (state, severity);
CREATE TABLE alert_activities (alert TEXT NOT NULL, activity TEXT NOT NULL, policy TEXT NOT NULL,
    UNIQUE (activity, policy));
CREATE INDEX alert_activities_alert ON alert_activities (alert);
CREATE TABLE alert_days (policy TEXT NOT NULL, day TEXT NOT NULL, raised INTEGER NOT NULL DEFAULT 0,
    suppressed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (policy, day)) WITHOUT ROWID;
CREATE TABLE notifications (seq INTEGER PRIMARY KEY, alert TEXT NOT NULL, channel TEXT NOT NULL, email TEXT NOT NULL,
    due INTEGER NOT NULL, tries INTEGER NOT NULL);
CREATE INDEX notifications_due ON notifications (channel, due);
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _ALERTS, CATALOG, _SCOPES)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the database; transactions are begun and ended by hand. Raises `StoreError` (S020).

    Every commit is on the disk when it returns (synchronous=FULL); readers never wait for the writer (WAL).
    """
    try:
        if read_only:
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        else:
            # Made by us, so that only its owner reads it; SQLite gives its side files the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(path, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise StoreError("S020", f"{path} cannot be opened ({error})") from error
    try:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout=10000")
        if read_only:
            connection.execute("PRAGMA query_only=ON")
        else:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA recursive_triggers=ON")  # so that not even REPLACE gets past the triggers
            connection.execute("PRAGMA cache_size=-16000")
            connection.execute("PRAGMA trusted_schema=OFF")
    except sqlite3.Error as error:
        connection.close()
        raise StoreError("S020", f"{path} is no database of ours ({error})") from error
    return connection


def migrate(connection: sqlite3.Connection, migrations: Sequence[str] | None = None) -> None:
    """Bring the database to the present version, all or nothing. Raises `StoreError`: S021 newer, S022 failed."""
    migrations = MIGRATIONS if migrations is None else migrations
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version > len(migrations):
                raise StoreError(
                    "S021",
                    f"the database has version {version}, this casb knows {len(migrations)}",
                    hint="start the newer casb that made it",
                )
            for script in migrations[version:]:
                for statement in _statements(script):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={len(migrations)}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise StoreError("S022", f"the database cannot be brought to version {len(migrations)} ({error})") from error


def _statements(script: str) -> list[str]:
    """The statements of a script one by one: `executescript` would commit what must stay one transaction."""
    statements, text = [], ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            statements.append(text)
            text = ""
    return statements
