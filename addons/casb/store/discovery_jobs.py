"""The tasks of discovery, as the governance log shows them: parsing, deleting, exporting; each once.

A task survives whoever works on it: one whose worker has not been heard of for a while is taken over.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from casb.store.discovery_book import Book, millis, moment

QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"
STALE = timedelta(minutes=3)
"""Silence after which a worker is taken for dead."""
MOST_ATTEMPTS = 3
"""Workers that a task may take with it before it counts as failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One line of the governance log. `progress` runs from 0 to 1, `error` is a code of the error book."""

    id: str
    kind: str
    stream: str | None
    title: str
    asked_by: str
    status: str
    created: datetime
    started: datetime | None
    ended: datetime | None
    progress: float
    attempts: int
    error: str | None
    message: str
    input: Mapping[str, Any]
    outcome: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """For the API; paths of ours stay here."""
        return {
            "id": self.id,
            "kind": self.kind,
            "stream": self.stream,
            "title": self.title,
            "asked_by": self.asked_by,
            "status": self.status,
            "created": self.created.isoformat(),
            "started": self.started and self.started.isoformat(),
            "ended": self.ended and self.ended.isoformat(),
            "progress": round(self.progress, 4),
            "error": self.error,
            "message": self.message,
            "outcome": dict(self.outcome),
        }


class Tasks:
    """The list. Safe to use from several threads and processes."""

    def __init__(self, book: Book) -> None:
        self._database = book.database

    def add(
        self, kind: str, title: str, who: str, now: datetime, given: Mapping[str, Any], *, stream: str | None = None
    ) -> str:
        """Queue a task; its id."""
        ident = secrets.token_hex(8)
        with self._database.writing() as writer:
            writer.execute(
                "INSERT INTO jobs (id, kind, stream, title, asked_by, status, created, input) VALUES (?,?,?,?,?,?,?,?)",
                (ident, kind, stream, title, who, QUEUED, millis(now), json.dumps(dict(given))),
            )
        return ident

    def note(
        self, kind: str, title: str, who: str, now: datetime, outcome: Mapping[str, Any], *, stream: str | None = None
    ) -> str:
        """Write down what was done at once."""
        ident = self.add(kind, title, who, now, {}, stream=stream)
        self.end(ident, now, outcome=outcome)
        return ident

    def claim(self, now: datetime) -> Task | None:
        """The next task to work on, taken by exactly one worker; None when there is none."""
        at = millis(now)
        with self._database.writing() as writer:
            writer.execute(
                "UPDATE jobs SET status = ?, ended = ?, error = 'D015', message = 'its worker ended again and again' "
                "WHERE status = ? AND beat < ? AND attempts >= ?",
                (FAILED, at, RUNNING, at - _ms(STALE), MOST_ATTEMPTS),
            )
            row = writer.execute(
                "SELECT id FROM jobs WHERE status = ? OR (status = ? AND beat < ?) ORDER BY created, id LIMIT 1",
                (QUEUED, RUNNING, at - _ms(STALE)),
            ).fetchone()
            if row is None:
                return None
            writer.execute(
                "UPDATE jobs SET status = ?, started = ?, beat = ?, progress = 0, attempts = attempts + 1 WHERE id = ?",
                (RUNNING, at, at, row[0]),
            )
        return self.get(row[0])

    def beat(self, ident: str, progress: float, now: datetime) -> None:
        """The worker lives, and has come so far."""
        with self._database.writing() as writer:
            writer.execute(
                "UPDATE jobs SET beat = ?, progress = ? WHERE id = ?", (millis(now), min(progress, 1.0), ident)
            )

    def end(
        self, ident: str, now: datetime, *, outcome: Mapping[str, Any], error: str | None = None, message: str = ""
    ) -> None:
        """It is done, or failed with `error`."""
        with self._database.writing() as writer:
            writer.execute(
                "UPDATE jobs SET status = ?, ended = ?, progress = 1, error = ?, message = ?, outcome = ? WHERE id = ?",
                (FAILED if error else DONE, millis(now), error, message, json.dumps(dict(outcome)), ident),
            )

    def retry(self, ident: str) -> bool:
        """Queue a failed task again; False when it has not failed."""
        with self._database.writing() as writer:
            done = writer.execute(
                "UPDATE jobs SET status = ?, error = NULL, message = '', progress = 0, attempts = 0, ended = NULL "
                "WHERE id = ? AND status = ? AND input != '{}'",
                (QUEUED, ident, FAILED),
            )
            return done.rowcount == 1

    def get(self, ident: str) -> Task | None:
        """One task."""
        with self._database.reading() as reader:
            row = reader.execute(f"SELECT {_TASK} FROM jobs WHERE id = ?", (ident,)).fetchone()  # noqa: S608
        return _task(row) if row else None

    def latest(self, limit: int = 100, *, status: str | None = None) -> list[Task]:
        """The newest first."""
        with self._database.reading() as reader:
            rows = reader.execute(
                f"SELECT {_TASK} FROM jobs WHERE ? IS NULL OR status = ? "  # noqa: S608
                "ORDER BY created DESC, id LIMIT ?",
                (status, status, limit),
            ).fetchall()
        return [_task(row) for row in rows]

    def waiting(self) -> int:
        """How many are queued or under way."""
        with self._database.reading() as reader:
            return int(
                reader.execute("SELECT count(*) FROM jobs WHERE status IN (?, ?)", (QUEUED, RUNNING)).fetchone()[0]
            )

    def purge(self, before: datetime) -> list[str]:
        """Forget what ended before then; the files that failed tasks had kept."""
        limit = millis(before)
        with self._database.writing() as writer:
            rows = writer.execute("SELECT input FROM jobs WHERE ended < ?", (limit,)).fetchall()
            writer.execute("DELETE FROM jobs WHERE ended < ?", (limit,))
        return [path for row in rows for path in json.loads(row[0]).get("paths", [])]


_TASK = (
    "id, kind, stream, title, asked_by, status, created, started, ended, progress, attempts, error, message, input, "
    "outcome"
)


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)


def _task(row: Sequence[Any]) -> Task:
    return Task(
        id=row[0],
        kind=row[1],
        stream=row[2],
        title=row[3],
        asked_by=row[4],
        status=row[5],
        created=moment(row[6]),
        started=moment(row[7]) if row[7] else None,
        ended=moment(row[8]) if row[8] else None,
        progress=row[9],
        attempts=row[10],
        error=row[11],
        message=row[12],
        input=json.loads(row[13]),
        outcome=json.loads(row[14]),
    )
