"""Hosts that pages of controlled apps asked for and that no app owns: `learned.db` in the data folder.

Every worker adds to it; `casb catalog` and the portal read it on the same machine. Bounded: a page can invent as many
host names as it likes.
"""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from casb.errors import StoreError
from casb.model.record import rfc3339
from casb.store.schema import connect

FILE = "learned.db"
MOST = 500
"""Hosts kept for one app; what comes after them is not kept."""
_TABLE = """CREATE TABLE IF NOT EXISTS learned (app TEXT NOT NULL, host TEXT NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, count INTEGER NOT NULL, page TEXT NOT NULL, kinds TEXT NOT NULL, denied INTEGER NOT NULL,
    PRIMARY KEY (app, host)) WITHOUT ROWID"""
_ADD = """INSERT INTO learned VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (app, host) DO UPDATE SET
    last = max(last, excluded.last), count = count + excluded.count, page = excluded.page,
    kinds = ?, denied = excluded.denied"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedHost:
    """`page` is where the host was asked for last, as host and path; `kinds` are words such as `image`, `script`,
    `connect`. `denied`: the browser was told to refuse it."""

    app: str
    host: str
    first: datetime
    last: datetime
    count: int
    page: str
    kinds: frozenset[str]
    denied: bool = False

    def as_json(self) -> dict[str, Any]:
        """As plain JSON data, in the order of the columns of the CSV."""
        return {
            "host": self.host,
            "app": self.app,
            "count": self.count,
            "kinds": sorted(self.kinds),
            "page": self.page,
            "first": rfc3339(self.first),
            "last": rfc3339(self.last),
            "denied": self.denied,
        }


COLUMNS = ("host", "app", "count", "kinds", "page", "first", "last", "denied")


def learned_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows of `as_json` as CSV (RFC 4180). A cell that a spreadsheet would read as a formula gets a quote before it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        cells = [" ".join(row[name]) if name == "kinds" else str(row[name]) for name in COLUMNS]
        writer.writerow([f"'{cell}" if cell[:1] in "=+-@\t\r" and cell else cell for cell in cells])
    return out.getvalue()


class LearnedHosts:
    """The list. Opened anew for every call: it is written once a second at most, and read by people."""

    def __init__(self, data: Path | str) -> None:
        self._path = Path(data) / FILE

    def add(self, hosts: Iterable[LearnedHost]) -> None:
        """Count what was seen. Raises `StoreError` (S020, S023)."""
        with closing(connect(self._path)) as database:
            try:
                database.execute(_TABLE)
                database.execute("BEGIN IMMEDIATE")
                for each in hosts:
                    self._add(database, each)
                database.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreError("S023", f"the list of learned hosts cannot be written ({error})") from error

    def _add(self, database: sqlite3.Connection, each: LearnedHost) -> None:
        key = (each.app, each.host)
        known = database.execute("SELECT kinds FROM learned WHERE app = ? AND host = ?", key).fetchone()
        if known is None:
            (count,) = database.execute("SELECT count(*) FROM learned WHERE app = ?", key[:1]).fetchone()
            if count >= MOST:
                return
        kinds = " ".join(sorted(each.kinds | set(known[0].split() if known else ())))
        row = (*key, _millis(each.first), _millis(each.last), each.count, each.page, kinds, each.denied, kinds)
        database.execute(_ADD, row)

    def all(self, app: str | None = None) -> list[LearnedHost]:
        """The hosts of one app or of all, most asked for first. Raises `StoreError` (S020, S024)."""
        if not self._path.exists():
            return []
        with closing(connect(self._path, read_only=True)) as database:
            try:
                if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'learned'").fetchone() is None:
                    return []  # being made at this moment
                rows = database.execute(
                    "SELECT app, host, first, last, count, page, kinds, denied FROM learned "
                    "WHERE app = ? OR ? IS NULL ORDER BY count DESC, app, host",
                    (app, app),
                ).fetchall()
            except sqlite3.Error as error:
                raise StoreError("S024", f"the list of learned hosts cannot be read ({error})") from error
        return [
            LearnedHost(
                app=row[0],
                host=row[1],
                first=_time(row[2]),
                last=_time(row[3]),
                count=row[4],
                page=row[5],
                kinds=frozenset(row[6].split()),
                denied=bool(row[7]),
            )
            for row in rows
        ]


def _millis(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _time(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)
