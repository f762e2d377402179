"""The portal's small tables in SQLite: admins, their sessions, read tokens, the audit log, what proxies report.

Secrets never arrive here as they are: passwords come hashed, cookies and tokens as SHA-256 digests. Times are aware
UTC and are passed in; nothing here looks at a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from casb.store.records_sqlite import Database

ADMIN = "admin"
VIEWER = "viewer"
ROLES = (ADMIN, VIEWER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A local account. `password` is a hash as `sidecar.passwords` makes it."""

    name: str
    role: str
    password: str
    created: datetime


READ, UPLOAD, FEED = "read", "upload", "feed"
SCOPES = (READ, UPLOAD, FEED)
"""What tokens of programs are good for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSession:
    """Somebody signed in to the portal. `provider` is `local` or the identity provider's id."""

    name: str
    role: str
    provider: str
    created: datetime
    seen: datetime
    expires: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadToken:
    """A token for programs. The token itself is shown once and kept as a digest.

    `scope` is what it is good for: `READ` lets read `/v1`, `UPLOAD` lets hand over logs,
    `FEED` lets fetch block lists; none lets what another does.
    """

    id: str
    label: str
    made_by: str
    created: datetime
    used: datetime | None
    scope: str = READ


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what in the portal."""

    seq: int
    time: datetime
    who: str
    ip: str
    what: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyStatus:
    """What a proxy last said about itself."""

    name: str
    time: datetime
    facts: Mapping[str, Any]


class PortalStore:
    """Reads and writes them. Every method may raise `StoreError` (S023, S024). Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Accounts

    def accounts(self) -> list[Account]:
        """All local accounts, by name."""
        with self._database.reading() as reader:
            rows = reader.execute("SELECT name, role, password, created FROM admins ORDER BY name").fetchall()
        return [Account(name=row[0], role=row[1], password=row[2], created=_time(row[3])) for row in rows]

    def account(self, name: str) -> Account | None:
        """One local account."""
        return next((each for each in self.accounts() if each.name == name), None)

    def add_account(self, name: str, role: str, password: str, now: datetime, *, first: bool = False) -> bool:
        """False when the name is taken or, with `first`, when there is any account already."""
        with self._database.writing() as writer:
            if first and writer.execute("SELECT 1 FROM admins LIMIT 1").fetchone():
                return False
            added = writer.execute(
                "INSERT INTO admins VALUES (?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
                (name, password, role, _millis(now)),
            )
            return added.rowcount == 1

    def set_password(self, name: str, password: str) -> None:
        """A new password ends every session of the account."""
        with self._database.writing() as writer:
            writer.execute("UPDATE admins SET password = ? WHERE name = ?", (password, name))
            writer.execute("DELETE FROM admin_sessions WHERE name = ? AND provider = 'local'", (name,))

    def remove_account(self, name: str) -> bool:
        """False when it is not there or is the last admin."""
        with self._database.writing() as writer:
            others = writer.execute("SELECT 1 FROM admins WHERE role = ? AND name <> ?", (ADMIN, name)).fetchone()
            if not others:
                return False
            writer.execute("DELETE FROM admin_sessions WHERE name = ? AND provider = 'local'", (name,))
            return writer.execute("DELETE FROM admins WHERE name = ?", (name,)).rowcount == 1

    # Sessions

    def add_session(self, key: bytes, session: AdminSession) -> None:
        """Keep a session under the digest of its cookie."""
        times = (_millis(session.created), _millis(session.seen), _millis(session.expires))
        with self._database.writing() as writer:
            writer.execute(
                "INSERT INTO admin_sessions VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, session.name, session.role, session.provider, *times),
            )
            writer.execute("DELETE FROM admin_sessions WHERE expires <= ?", (times[0],))

    def session(self, key: bytes, now: datetime, idle: timedelta) -> AdminSession | None:
        """The session, unless it has expired or was idle for too long. Its last use is noted once a minute."""
        with self._database.reading() as reader:
            row = reader.execute(
                "SELECT name, role, provider, created, seen, expires FROM admin_sessions WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        created, seen, expires = (_time(value) for value in row[3:])
        if now >= expires or now - seen >= idle:
            self.drop_session(key)
            return None
        if now - seen >= timedelta(minutes=1):
            with self._database.writing() as writer:
                writer.execute("UPDATE admin_sessions SET seen = ? WHERE key = ?", (_millis(now), key))
        return AdminSession(name=row[0], role=row[1], provider=row[2], created=created, seen=seen, expires=expires)

    def drop_session(self, key: bytes) -> None:
        """End a session."""
        with self._database.writing() as writer:
            writer.execute("DELETE FROM admin_sessions WHERE key = ?", (key,))

    def put_flow(self, key: bytes, value: str, now: datetime, ttl: timedelta) -> None:
        """Keep what a sign-in at an identity provider needs on its way back."""
        with self._database.writing() as writer:
            writer.execute("DELETE FROM admin_flows WHERE expires <= ?", (_millis(now),))
            writer.execute("INSERT INTO admin_flows VALUES (?, ?, ?)", (key, value, _millis(now + ttl)))

    def take_flow(self, key: bytes, now: datetime) -> str | None:
        """What was kept, once."""
        with self._database.writing() as writer:
            row = writer.execute("SELECT value, expires FROM admin_flows WHERE key = ?", (key,)).fetchone()
            writer.execute("DELETE FROM admin_flows WHERE key = ?", (key,))
        return str(row[0]) if row and row[1] > _millis(now) else None

    # Failed attempts

    def locked_until(self, keys: Sequence[str], now: datetime) -> datetime | None:
        """Until when any of the keys (an account, an address) may not try again; None when all may."""
        with self._database.reading() as reader:
            row = reader.execute(
                "SELECT max(until) FROM attempts WHERE key IN (SELECT value FROM json_each(?))",
                (orjson.dumps(list(keys)).decode(),),
            ).fetchone()
        return _time(row[0]) if row[0] and row[0] > _millis(now) else None

    def note_failure(self, keys: Sequence[str], now: datetime, *, free: int, first: timedelta, most: timedelta) -> None:
        """Count a failed attempt: `free` cost nothing, each further one locks twice as long as the last."""
        with self._database.writing() as writer:
            # A day without failures is forgiven.
            writer.execute("DELETE FROM attempts WHERE last < ?", (_millis(now - timedelta(days=1)),))
            for key in keys:
                row = writer.execute("SELECT count FROM attempts WHERE key = ?", (key,)).fetchone()
                count = (row[0] if row else 0) + 1
                pause = min(most, first * 2 ** min(count - free, 20)) if count >= free else timedelta()
                writer.execute(
                    "INSERT INTO attempts VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
                    "count = excluded.count, until = excluded.until, last = excluded.last",
                    (key, count, _millis(now + pause), _millis(now)),
                )

    def forgive(self, keys: Sequence[str]) -> None:
        """Forget failed attempts."""
        with self._database.writing() as writer:
            writer.executemany("DELETE FROM attempts WHERE key = ?", [(key,) for key in keys])

    # Read tokens

    def tokens(self) -> list[ReadToken]:
        """All read tokens, the newest first."""
        with self._database.reading() as reader:
            rows = reader.execute(
                "SELECT id, label, made_by, created, used, scope FROM tokens ORDER BY created DESC, id"
            ).fetchall()
        return [
            ReadToken(
                id=row[0],
                label=row[1],
                made_by=row[2],
                created=_time(row[3]),
                used=_time(row[4]) if row[4] else None,
                scope=row[5],
            )
            for row in rows
        ]

    def add_token(
        self, token_id: str, key: bytes, label: str, made_by: str, now: datetime, *, scope: str = READ
    ) -> None:
        """Keep the digest of a new token, good for `READ` or for `UPLOAD`."""
        with self._database.writing() as writer:
            writer.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, NULL, ?)",
                (token_id, key, label, made_by, _millis(now), scope),
            )

    def use_token(self, key: bytes, now: datetime) -> ReadToken | None:
        """The token with this digest. Its last use is noted once a minute."""
        with self._database.reading() as reader:
            row = reader.execute(
                "SELECT id, label, made_by, created, used, scope FROM tokens WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        if not row[4] or _millis(now) - row[4] >= 60_000:
            with self._database.writing() as writer:
                writer.execute("UPDATE tokens SET used = ? WHERE key = ?", (_millis(now), key))
        return ReadToken(id=row[0], label=row[1], made_by=row[2], created=_time(row[3]), used=now, scope=row[5])

    def remove_token(self, token_id: str) -> ReadToken | None:
        """Revoke; the token that was there."""
        found = next((each for each in self.tokens() if each.id == token_id), None)
        with self._database.writing() as writer:
            writer.execute("DELETE FROM tokens WHERE id = ?", (token_id,))
        return found

    # Audit log

    def note(self, who: str, ip: str, what: str, now: datetime, **detail: Any) -> None:
        """Write a line of the audit log. Never a secret: names, ids and counts only."""
        with self._database.writing() as writer:
            writer.execute(
                "INSERT INTO audit (time, who, ip, what, detail) VALUES (?, ?, ?, ?, ?)",
                (_millis(now), who, ip, what, orjson.dumps(detail).decode()),
            )

    def audit(self, *, before: int | None = None, limit: int = 100) -> list[AuditEntry]:
        """The newest entries, or those before the entry with number `before`."""
        with self._database.reading() as reader:
            rows = reader.execute(
                "SELECT seq, time, who, ip, what, detail FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?",
                (2**62 if before is None else before, limit),
            ).fetchall()
        return [
            AuditEntry(seq=row[0], time=_time(row[1]), who=row[2], ip=row[3], what=row[4], detail=orjson.loads(row[5]))
            for row in rows
        ]

    def last_noted(self, what: str, key: str, value: str) -> datetime | None:
        """When `what` was last noted with this detail."""
        with self._database.reading() as reader:
            row = reader.execute(
                "SELECT max(time) FROM audit WHERE what = ? AND json_extract(detail, '$.' || ?) = ?", (what, key, value)
            ).fetchone()
        return None if row[0] is None else _time(row[0])

    def probe(self, now: datetime) -> None:
        """Raises `StoreError` (S023) when nothing can be written."""
        with self._database.writing() as writer:
            writer.execute("DELETE FROM admin_flows WHERE expires <= ?", (_millis(now),))

    # Proxies

    def put_status(self, name: str, facts: Mapping[str, Any], now: datetime) -> None:
        """Keep what a proxy says about itself; only the last word counts."""
        with self._database.writing() as writer:
            writer.execute(
                "INSERT INTO proxies VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
                "time = excluded.time, facts = excluded.facts",
                (name, _millis(now), orjson.dumps(facts).decode()),
            )

    def statuses(self) -> list[ProxyStatus]:
        """What each proxy last said, by name."""
        with self._database.reading() as reader:
            rows = reader.execute("SELECT name, time, facts FROM proxies ORDER BY name").fetchall()
        return [ProxyStatus(name=row[0], time=_time(row[1]), facts=orjson.loads(row[2])) for row in rows]


def _millis(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _time(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)
