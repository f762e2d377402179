"""The tables of `endpoints.db`: devices, indicators and how far they are, attempts that wait to be settled."""

from __future__ import annotations

_FIRST = """
CREATE TABLE devices (id TEXT PRIMARY KEY, name TEXT NOT NULL, os TEXT NOT NULL, machine_group TEXT NOT NULL,
    risk TEXT NOT NULL, users TEXT NOT NULL, addresses TEXT NOT NULL, context INTEGER NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX devices_name ON devices (name);
CREATE TABLE inputs (key TEXT PRIMARY KEY, time INTEGER NOT NULL, events INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE indicators (domain TEXT PRIMARY KEY, app TEXT NOT NULL, name TEXT NOT NULL, action TEXT NOT NULL,
    machine_groups TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, remote TEXT NOT NULL,
    wanted INTEGER NOT NULL, pushed INTEGER, confirmed INTEGER, tries INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX indicators_app ON indicators (app);
CREATE TABLE attempts (id TEXT PRIMARY KEY, kind TEXT NOT NULL, time INTEGER NOT NULL, last INTEGER NOT NULL,
    device_id TEXT NOT NULL, host TEXT NOT NULL, facts TEXT NOT NULL, due INTEGER, told TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX attempts_near ON attempts (device_id, host, time);
CREATE INDEX attempts_due ON attempts (due) WHERE due IS NOT NULL;
CREATE TABLE pushes (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, outcome TEXT NOT NULL);
"""

MIGRATIONS: tuple[str, ...] = (_FIRST,)
