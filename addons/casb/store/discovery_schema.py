"""The tables of `discovery.db`: what is known about usage, never usage itself. See decision 0013."""

from __future__ import annotations

_FIRST = """
CREATE TABLE streams (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, source TEXT,
    log_type INTEGER NOT NULL, receiver TEXT NOT NULL, comment TEXT NOT NULL, anonymize_users INTEGER NOT NULL,
    anonymize_devices INTEGER NOT NULL, filters TEXT, created INTEGER NOT NULL, modified INTEGER NOT NULL,
    last_data INTEGER, files INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE ingests (stream TEXT NOT NULL, key TEXT NOT NULL, time INTEGER NOT NULL, name TEXT NOT NULL,
    catalog TEXT NOT NULL, outcome TEXT NOT NULL, PRIMARY KEY (stream, key)) WITHOUT ROWID;
CREATE INDEX ingests_time ON ingests (time);
CREATE TABLE segments (id TEXT PRIMARY KEY, stream TEXT NOT NULL, day TEXT NOT NULL, in_global INTEGER NOT NULL,
    rows INTEGER NOT NULL, bytes INTEGER NOT NULL, catalog TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX segments_day ON segments (day, stream);
CREATE TABLE unmatched (day TEXT NOT NULL, stream TEXT NOT NULL, host TEXT NOT NULL, events INTEGER NOT NULL,
    PRIMARY KEY (day, stream, host)) WITHOUT ROWID;
CREATE TABLE jobs (id TEXT PRIMARY KEY, kind TEXT NOT NULL, stream TEXT, title TEXT NOT NULL, asked_by TEXT NOT NULL,
    status TEXT NOT NULL, created INTEGER NOT NULL, started INTEGER, ended INTEGER, beat INTEGER,
    progress REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0, error TEXT, message TEXT NOT NULL DEFAULT '', input TEXT NOT NULL,
    outcome TEXT NOT NULL DEFAULT '{}') WITHOUT ROWID;
CREATE INDEX jobs_status ON jobs (status, created);
CREATE TABLE uploads (key BLOB PRIMARY KEY, file TEXT NOT NULL, source TEXT NOT NULL, path TEXT NOT NULL,
    asked_by TEXT NOT NULL, created INTEGER NOT NULL, size INTEGER, sha256 TEXT) WITHOUT ROWID;
CREATE TABLE exclusions (entity TEXT NOT NULL, value TEXT NOT NULL, comment TEXT NOT NULL, made_by TEXT NOT NULL,
    created INTEGER NOT NULL, PRIMARY KEY (entity, value)) WITHOUT ROWID;
CREATE TABLE queries (name TEXT PRIMARY KEY, rows TEXT NOT NULL, made_by TEXT NOT NULL, created INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE resolutions (id TEXT PRIMARY KEY, pseudonyms TEXT NOT NULL, reason TEXT NOT NULL, asked_by TEXT NOT NULL,
    asked INTEGER NOT NULL, decided_by TEXT, decided INTEGER, state TEXT NOT NULL, expires INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE proxy_traffic (id TEXT PRIMARY KEY, time INTEGER NOT NULL, batch TEXT, line TEXT) WITHOUT ROWID;
CREATE INDEX proxy_traffic_batch ON proxy_traffic (batch) WHERE line IS NOT NULL;
CREATE TABLE collectors (name TEXT PRIMARY KEY, time INTEGER NOT NULL, facts TEXT NOT NULL) WITHOUT ROWID;
"""

_POLICIES = """
CREATE TABLE policy_matches (policy TEXT NOT NULL, app TEXT NOT NULL, stream TEXT NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (policy, app, stream)) WITHOUT ROWID;
CREATE TABLE policy_runs (policy TEXT PRIMARY KEY, streams TEXT NOT NULL, says TEXT NOT NULL, time INTEGER NOT NULL)
    WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _POLICIES)
