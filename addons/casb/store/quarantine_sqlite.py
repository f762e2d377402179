"""What is known of the files in quarantine: `quarantine.db` in the data folder.

The proxy tells of a file in a line of its spool, kept or not; the sidecar puts it here. Proxies on the same machine
look here when somebody asks for a released file. A row outlives its file: what was deleted or has run out still says
whose it was, why, and who ended it.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from casb.errors import StoreError
from casb.model.record import Record, reason_json, rfc3339
from casb.protection.encrypt import HandOver
from casb.store.quarantine import is_id
from casb.store.schema import connect

FILE = "quarantine.db"
KIND = "quarantine"
"""The `kind` of the lines that tell of a refused file."""
STATES = ("kept", "released", "failed", "deleted", "expired", "lost")
AT_LEAST = timedelta(days=7)
"""How long a file can be fetched once it was released, however little of its time was left."""

_TABLES = """
CREATE TABLE IF NOT EXISTS quarantine (
    id TEXT PRIMARY KEY, time INTEGER NOT NULL, user TEXT NOT NULL, user_name TEXT NOT NULL, app TEXT NOT NULL,
    app_name TEXT NOT NULL, policy TEXT NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL, type TEXT NOT NULL,
    failure TEXT NOT NULL, facts TEXT NOT NULL, size INTEGER NOT NULL, until INTEGER NOT NULL, state TEXT NOT NULL,
    adopted INTEGER NOT NULL DEFAULT 0, asked INTEGER, asked_by TEXT NOT NULL DEFAULT '',
    asked_why TEXT NOT NULL DEFAULT '', changed INTEGER, changed_by TEXT NOT NULL DEFAULT '',
    changed_why TEXT NOT NULL DEFAULT '', fetched INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS quarantine_time ON quarantine (time);
CREATE INDEX IF NOT EXISTS quarantine_user ON quarantine (user, time);
CREATE INDEX IF NOT EXISTS quarantine_state ON quarantine (state, until);
"""
_TEXTS = ("user", "user_name", "app", "app_name", "policy", "name", "sha256", "type", "failure")
_BROUGHT = ("id", "time", *_TEXTS, "facts", "size", "until", "state", "adopted")
_COLUMNS = (*_BROUGHT, "asked", "asked_by", "asked_why", "changed", "changed_by", "changed_why", "fetched")
_SEARCHED = ("id", "user_name", "user", "app", "app_name", "policy", "name", "sha256")
_SHA256 = re.compile(r"(?:[0-9a-f]{64})?")
_TEXT_LIMIT = 4096
_LARGEST = 2**53

type Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One refused file and what became of it. `failure` says why it could not be kept."""

    id: str  # of the activity that was refused
    time: datetime
    user: str
    user_name: str
    app: str
    app_name: str
    policy: str
    name: str
    sha256: str
    type: str
    failure: str
    size: int
    until: datetime
    state: str
    facts: Mapping[str, Any] = field(default_factory=dict)  # reasons, findings (masked), malware
    asked: datetime | None = None
    asked_by: str = ""
    asked_why: str = ""
    changed: datetime | None = None
    changed_by: str = ""
    changed_why: str = ""
    fetched: int = 0

    @property
    def is_here(self) -> bool:
        """Whether its bytes are kept."""
        return self.state in ("kept", "released")

    def as_json(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {
            "id": self.id,
            "time": rfc3339(self.time),
            "state": self.state,
            "user": self.user,
            "user_name": self.user_name,
            "app": self.app,
            "app_name": self.app_name,
            "policy": self.policy,
            "name": self.name,
            "size": self.size,
            "sha256": self.sha256 or None,
            "type": self.type or None,
            "failure": self.failure or None,
            "until": rfc3339(self.until),
            "asked": rfc3339(self.asked) if self.asked else None,
            "asked_by": self.asked_by or None,
            "asked_why": self.asked_why or None,
            "changed": rfc3339(self.changed) if self.changed else None,
            "changed_by": self.changed_by or None,
            "changed_why": self.changed_why or None,
            "fetched": self.fetched,
            **self.facts,
        }


def line_of(record: Record, until: datetime, *, size: int, sha256: str, failure: str = "") -> dict[str, Any]:
    """The line that tells of a refused file, as JSON data. `failure`: why it is not kept."""
    activity, decision = record.activity, record.decision
    file, user, app = activity.file, activity.user, activity.app
    findings = file.verdict.findings if file and file.verdict else ()
    return {
        "kind": KIND,
        "id": activity.id,
        "time": rfc3339(activity.time),
        "user": user.id if user else "",
        "user_name": user.name if user else "",
        "app": app.id if app else "",
        "app_name": app.name if app else "",
        "policy": decision.policy or "",
        "name": (file.name if file else "")[:_TEXT_LIMIT],
        "type": (file.detected_type or file.declared_type or "") if file else "",
        "sha256": sha256,
        "size": size,
        "until": rfc3339(until),
        "failure": failure,
        "facts": {
            "reasons": [reason_json(each) for each in decision.reasons][:50],
            "findings": {each.info_type: each.count for each in findings},
            "malware": [
                {"engine": each.engine, "status": each.status.value, "threat": each.threat, "why": each.why}
                for each in (file.engines if file else ())
            ],
        },
    }


def row_of(line: Mapping[str, Any]) -> Row:
    """A line as a row. Raises `StoreError` S031 for one that is none."""
    try:
        texts = [line[name] for name in _TEXTS]
        if not all(isinstance(each, str) and len(each) <= _TEXT_LIMIT for each in texts):
            raise ValueError("a text is missing or too long")
        if not is_id(line["id"]) or not _SHA256.fullmatch(line["sha256"]):
            raise ValueError("an id is malformed")
        size, facts = line["size"], line["facts"]
        if not isinstance(size, int) or not 0 <= size < _LARGEST or not isinstance(facts, dict):
            raise ValueError("a size or the facts are malformed")
        state = "failed" if line["failure"] else "kept"
        time, until = (_millis(datetime.fromisoformat(line[name])) for name in ("time", "until"))
        return (line["id"], time, *texts, json.dumps(facts), size, until, state, 0)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise StoreError("S031", f"no quarantined file: {type(error).__name__}") from None


def adopted_row(facts: HandOver, size: int, sha256: str) -> Row:
    """The row of a file whose line was lost, out of the file's own header."""
    texts = {name: getattr(facts, name, "") for name in _TEXTS} | {"sha256": sha256}
    time, until = (_millis(datetime.fromisoformat(each)) for each in (facts.time, facts.expires))
    return (facts.file, time, *(texts[name] for name in _TEXTS), "{}", size, until, "kept", 1)


class QuarantinedFiles:
    """The table. Opened anew for every call: it is asked by people, not on the way of traffic."""

    def __init__(self, data: Path | str) -> None:
        self._path = Path(data) / FILE

    def keep(self, rows: Sequence[Row]) -> int:
        """Keep rows; one whose id is there is left alone, unless it was guessed from a file. The number of changes.

        Raises `StoreError`.
        """
        if not rows:
            return 0
        names, marks = ", ".join(_BROUGHT), ", ".join("?" * len(_BROUGHT))
        facts = ", ".join(f"{name} = excluded.{name}" for name in (*_TEXTS, "facts", "adopted"))
        statement = (
            f"INSERT INTO quarantine ({names}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {facts} "  # noqa: S608
            "WHERE quarantine.adopted = 1 AND excluded.adopted = 0"
        )
        with self._open() as database:
            before = database.total_changes
            database.execute("BEGIN IMMEDIATE")
            database.executemany(statement, rows)
            database.execute("COMMIT")
            return database.total_changes - before

    def get(self, identifier: str) -> Quarantined | None:
        """One file by its id. Raises `StoreError`."""
        return next(iter(self._select("WHERE id = ?", (identifier,))), None)

    def of_user(self, user: str, limit: int = 50) -> list[Quarantined]:
        """What was kept of a person's, newest first. Raises `StoreError`."""
        return self._select("WHERE user = ? AND state <> 'failed' ORDER BY time DESC LIMIT ?", (user, limit))

    def search(self, words: str = "", state: str = "", *, limit: int = 100, offset: int = 0) -> list[Quarantined]:
        """Files whose id, person, app, policy, name or digest contain the words, newest first. Raises `StoreError`."""
        escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        where = "(" + " OR ".join(f"{name} LIKE ? ESCAPE '\\'" for name in _SEARCHED) + ")"
        values: list[Any] = [f"%{escaped}%"] * len(_SEARCHED)
        if state:
            where += " AND state = ?"
            values.append(state)
        return self._select(f"WHERE {where} ORDER BY time DESC, id DESC LIMIT ? OFFSET ?", (*values, limit, offset))

    def counts(self) -> dict[str, tuple[int, int]]:
        """How many files, and how many bytes, are in each state."""
        with self._open() as database:
            rows = database.execute("SELECT state, count(*), sum(size) FROM quarantine GROUP BY state").fetchall()
        return {state: (count, size) for state, count, size in rows}

    def ask(self, identifier: str, who: str, why: str, now: datetime) -> bool:
        """Somebody wants it released, and another one has to allow it. False when it cannot be."""
        change = "UPDATE quarantine SET asked = ?, asked_by = ?, asked_why = ? WHERE id = ? AND state = 'kept'"
        return self._change(change, (_millis(now), who, why, identifier))

    def release(self, identifier: str, who: str, why: str, now: datetime, *, two: bool = False) -> bool:
        """Whoever uploaded it may fetch it from now on. `two`: only when somebody else has asked for it before.

        False when it cannot be: it is not kept, it has run out, or nobody else has asked.
        """
        change = (
            "UPDATE quarantine SET state = 'released', changed = ?, changed_by = ?, changed_why = ?, "
            "until = max(until, ?) WHERE id = ? AND state = 'kept' AND until > ?"
        )
        values: tuple[Any, ...] = (_millis(now), who, why, _millis(now + AT_LEAST), identifier, _millis(now))
        if two:
            change, values = f"{change} AND asked_by <> '' AND asked_by <> ?", (*values, who)
        return self._change(change, values)

    def end(self, identifier: str, state: str, who: str, why: str, now: datetime) -> bool:
        """Its bytes are to go (`deleted`, `expired`), or have gone (`lost`). False when they were not here."""
        change = (
            "UPDATE quarantine SET state = ?, changed = ?, changed_by = ?, changed_why = ? "
            "WHERE id = ? AND state IN ('kept', 'released')"
        )
        return self._change(change, (state, _millis(now), who, why, identifier))

    def fetched(self, identifier: str) -> None:
        """Whoever uploaded it has fetched it once more."""
        self._change("UPDATE quarantine SET fetched = fetched + 1 WHERE id = ?", (identifier,))

    def due(self, now: datetime) -> list[Quarantined]:
        """Those whose time is over, and whose bytes are here."""
        return self._select("WHERE state IN ('kept', 'released') AND until <= ?", (_millis(now),))

    def here(self) -> dict[str, bool]:
        """Every id, and whether its bytes should be here."""
        with self._open() as database:
            rows = database.execute("SELECT id, state IN ('kept', 'released') FROM quarantine").fetchall()
        return {identifier: bool(kept) for identifier, kept in rows}

    def purge(self, before: datetime) -> int:
        """Forget rows older than that whose bytes are gone; how many."""
        with self._open() as database:
            statement = "DELETE FROM quarantine WHERE time < ? AND state NOT IN ('kept', 'released')"
            return database.execute(statement, (_millis(before),)).rowcount

    def _change(self, statement: str, values: tuple[Any, ...]) -> bool:
        with self._open() as database:
            return database.execute(statement, values).rowcount > 0

    def _select(self, tail: str, values: tuple[Any, ...]) -> list[Quarantined]:
        with self._open() as database:
            rows = database.execute(f"SELECT {', '.join(_COLUMNS)} FROM quarantine {tail}", values).fetchall()  # noqa: S608
        return [_file(dict(zip(_COLUMNS, row, strict=True))) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(connect(self._path)) as database:
            try:
                database.executescript(_TABLES)
                yield database
            except sqlite3.Error as error:
                raise StoreError("S023", f"the quarantine cannot be read or written ({error})") from error


def _file(row: dict[str, Any]) -> Quarantined:
    row.pop("adopted")
    for name in ("time", "until", "asked", "changed"):
        row[name] = None if row[name] is None else datetime.fromtimestamp(row[name] / 1000, UTC)
    return Quarantined(**row | {"facts": json.loads(row["facts"])})


def _millis(time: datetime) -> int:
    return round(time.timestamp() * 1000)
