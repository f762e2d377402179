"""The files that were handed over protected: `protected.db` in the data folder.

The proxy tells of a file in a line of its spool before the first byte leaves; the sidecar puts it here. Proxies on the
same machine look here when somebody opens a file: passwords stand here wrapped by the key ring, and what an
administrator has said about a file since. Nothing is looked up while a file is handed over.
"""

from __future__ import annotations

import base64
import binascii
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from casb.errors import StoreError
from casb.model.record import rfc3339
from casb.protection.encrypt import HandOver
from casb.protection.entitlement import Standing
from casb.store.schema import connect

FILE = "protected.db"
KIND = "protected"
"""The `kind` of the lines that tell of a protected file."""
OPENED = "opened"
"""The `kind` of the lines that tell that one was opened."""

_TABLES = """
CREATE TABLE IF NOT EXISTS protected (
    id TEXT PRIMARY KEY, time INTEGER NOT NULL, name TEXT NOT NULL, user TEXT NOT NULL, user_name TEXT NOT NULL,
    app TEXT NOT NULL, policy TEXT NOT NULL, activity TEXT NOT NULL, label TEXT NOT NULL, format TEXT NOT NULL,
    groups TEXT NOT NULL, device TEXT NOT NULL, expires TEXT NOT NULL, sha256 TEXT NOT NULL, key_id TEXT NOT NULL,
    secret BLOB NOT NULL, recovery BLOB NOT NULL, revoked INTEGER, revoked_by TEXT NOT NULL DEFAULT '',
    expires_now INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS openings (id TEXT PRIMARY KEY, file TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS openings_file ON openings (file);
CREATE INDEX IF NOT EXISTS protected_time ON protected (time);
CREATE INDEX IF NOT EXISTS protected_user ON protected (user, time);
CREATE INDEX IF NOT EXISTS protected_sha256 ON protected (sha256) WHERE sha256 <> '';
"""
_COLUMNS = (
    "id, time, name, user, user_name, app, policy, activity, label, format, groups, device, expires, sha256, key_id, "
    "secret, recovery, revoked, revoked_by, expires_now"
)
_OPENED = "(SELECT count(*) FROM openings WHERE openings.file = protected.id)"
_ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_SHA256 = re.compile(r"(?:[0-9a-f]{64})?")
_TEXTS = ("name", "user", "user_name", "app", "policy", "activity", "label", "format", "groups", "device", "expires")
_KEPT = 17  # columns that a line brings
_TEXT_LIMIT = 4096
_BLOB_LIMIT = 8192


NOTHING_SAID = Standing()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedFile:
    """One file. `secret` is its password, wrapped under `key_id`; empty for formats that carry their key.

    `recovery` is the password for the recovery recipient. `standing` is what an administrator has said since.
    """

    facts: HandOver
    format: str
    time: datetime
    sha256: str = ""
    key_id: str = ""
    secret: bytes = b""
    recovery: bytes = b""
    standing: Standing = NOTHING_SAID
    revoked: datetime | None = None
    revoked_by: str = ""
    opened: int = 0  # how often

    def as_json(self) -> dict[str, Any]:
        """As plain JSON data, without anything that opens it."""
        facts, standing = self.facts, self.standing
        return {
            "id": facts.file,
            "time": rfc3339(self.time),
            "name": facts.name,
            "user": facts.user,
            "user_name": facts.user_name,
            "app": facts.app,
            "policy": facts.policy,
            "activity": facts.activity,
            "label": facts.label,
            "format": self.format,
            "groups": [each for each in facts.groups.split("\n") if each],
            "device": facts.device or "any",
            "expires": rfc3339(standing.expires) if standing.expires else facts.expires or None,
            "sha256": self.sha256 or None,
            "key_id": self.key_id or None,
            "revoked": rfc3339(self.revoked) if self.revoked else None,
            "revoked_by": self.revoked_by or None,
            "opened": self.opened,
        }


def line_of(
    facts: HandOver,
    form: str,
    time: datetime,
    *,
    sha256: str = "",
    key_id: str = "",
    secret: bytes = b"",
    recovery: bytes = b"",
) -> dict[str, Any]:
    """The line that tells of a file, as JSON data. Holds no secret in clear."""
    return {
        "kind": KIND,
        "id": facts.file,
        "time": rfc3339(time),
        **{name: getattr(facts, name) for name in _TEXTS if name != "format"},
        "format": form,
        "sha256": sha256,
        "key_id": key_id,
        "secret": base64.b64encode(secret).decode("ascii"),
        "recovery": base64.b64encode(recovery).decode("ascii"),
    }


def row_of(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """A line as a row. Raises `StoreError` S031 for one that is none."""
    try:
        texts = [line[name] for name in _TEXTS]
        if not all(isinstance(each, str) and len(each) <= _TEXT_LIMIT for each in texts):
            raise ValueError("a text is missing or too long")
        identifier, sha256, key_id = line["id"], line["sha256"], line["key_id"]
        if not _ID.fullmatch(identifier) or not _SHA256.fullmatch(sha256) or len(key_id) > 64:
            raise ValueError("an id is malformed")
        blobs = [base64.b64decode(line[name], validate=True) for name in ("secret", "recovery")]
        if any(len(each) > _BLOB_LIMIT for each in blobs):
            raise ValueError("a key is too long")
        time = datetime.fromisoformat(line["time"])
        return (identifier, _millis(time), *texts, sha256, key_id, *blobs)
    except (KeyError, TypeError, ValueError, OverflowError, binascii.Error) as error:
        raise StoreError("S031", f"no protected file: {type(error).__name__}") from None


def opening_of(line: Mapping[str, Any]) -> tuple[str, str]:
    """The ids of an opening and its file. Raises `StoreError` S031."""
    found = line.get("id"), line.get("file")
    if not all(isinstance(each, str) and _ID.fullmatch(each) for each in found):
        raise StoreError("S031", "no opening of a protected file")
    return str(found[0]), str(found[1])


class ProtectedFiles:
    """The table. Opened anew for every call: it is asked when people open files, not on the way of traffic."""

    def __init__(self, data: Path | str) -> None:
        self._path = Path(data) / FILE

    def keep(self, rows: Sequence[tuple[Any, ...]], openings: Sequence[tuple[str, str]] = ()) -> int:
        """Keep rows of `row_of` and of `opening_of`; one whose id is there is left alone. The number newly kept.

        Raises `StoreError`.
        """
        with self._open() as database:
            before = database.total_changes
            names = _COLUMNS.split(", ")[:_KEPT]
            marks = ", ".join("?" * _KEPT)
            insert = f"INSERT OR IGNORE INTO protected ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - names of ours
            database.execute("BEGIN IMMEDIATE")
            database.executemany(insert, rows)
            database.executemany("INSERT OR IGNORE INTO openings VALUES (?, ?)", openings)
            database.execute("COMMIT")
            return database.total_changes - before

    def get(self, identifier: str) -> ProtectedFile | None:
        """One file by its id. Raises `StoreError`."""
        return next(iter(self._select("WHERE id = ?", (identifier,))), None)

    def by_digest(self, sha256: str) -> ProtectedFile | None:
        """The file whose bytes have this SHA-256, newest first. Raises `StoreError`."""
        if not sha256:
            return None
        return next(iter(self._select("WHERE sha256 = ? ORDER BY time DESC LIMIT 1", (sha256,))), None)

    def of_user(self, user: str, limit: int = 20) -> list[ProtectedFile]:
        """What was handed to a person, newest first. Raises `StoreError`."""
        return self._select("WHERE user = ? ORDER BY time DESC LIMIT ?", (user, limit))

    def search(self, words: str = "", *, limit: int = 100, offset: int = 0) -> list[ProtectedFile]:
        """Files whose name, person, app, policy, label or id contain the words, newest first. Raises `StoreError`."""
        escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        where = " OR ".join(f"{name} LIKE ? ESCAPE '\\'" for name in _SEARCHED)
        values = (*[f"%{escaped}%"] * len(_SEARCHED), limit, offset)
        return self._select(f"WHERE {where} ORDER BY time DESC LIMIT ? OFFSET ?", values)

    def revoke(self, identifier: str, who: str, now: datetime) -> bool:
        """From now on it does not open. False when there is no such file, or it was revoked before."""
        change = "UPDATE protected SET revoked = ?, revoked_by = ? WHERE id = ? AND revoked IS NULL"
        return self._change(change, (_millis(now), who, identifier))

    def restore(self, identifier: str) -> bool:
        """It opens again. False when it was not revoked."""
        change = "UPDATE protected SET revoked = NULL, revoked_by = '' WHERE id = ? AND revoked IS NOT NULL"
        return self._change(change, (identifier,))

    def expire(self, identifier: str, when: datetime) -> bool:
        """It opens until then, whatever the policy said. False when there is no such file."""
        return self._change("UPDATE protected SET expires_now = ? WHERE id = ?", (_millis(when), identifier))

    def keys(self) -> dict[str, int]:
        """How many passwords each key of the key ring has wrapped."""
        with self._open() as database:
            rows = database.execute("SELECT key_id, count(*) FROM protected GROUP BY key_id").fetchall()
        return {key_id: count for key_id, count in rows if key_id}

    def _change(self, statement: str, values: tuple[Any, ...]) -> bool:
        with self._open() as database:
            return database.execute(statement, values).rowcount > 0

    def _select(self, tail: str, values: tuple[Any, ...]) -> list[ProtectedFile]:
        with self._open() as database:
            rows: Iterable[tuple[Any, ...]] = database.execute(
                f"SELECT {_COLUMNS}, {_OPENED} FROM protected {tail}",  # noqa: S608 - texts of this file
                values,
            ).fetchall()
        return [_file(row) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(connect(self._path)) as database:
            try:
                database.executescript(_TABLES)
                yield database
            except sqlite3.Error as error:
                raise StoreError("S023", f"the protected files cannot be read or written ({error})") from error


_SEARCHED = ("name", "user_name", "user", "app", "policy", "label", "id")


def _file(row: tuple[Any, ...]) -> ProtectedFile:
    (identifier, time, name, user, user_name, app, policy, activity, label, form, groups, device, expires) = row[:13]
    (sha256, key_id, secret, recovery, revoked, revoked_by, expires_now, opened) = row[13:]
    facts = HandOver(
        file=identifier,
        user=user,
        user_name=user_name,
        name=name,
        app=app,
        policy=policy,
        activity=activity,
        label=label,
        time=rfc3339(_time(time)),
        groups=groups,
        device=device,
        expires=expires,
    )
    return ProtectedFile(
        facts=facts,
        format=form,
        time=_time(time),
        sha256=sha256,
        key_id=key_id,
        secret=secret,
        recovery=recovery,
        standing=Standing(revoked=revoked is not None, expires=None if expires_now is None else _time(expires_now)),
        revoked=None if revoked is None else _time(revoked),
        revoked_by=revoked_by,
        opened=opened,
    )


def _millis(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _time(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)
