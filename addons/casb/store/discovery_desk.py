"""Names behind pseudonyms, under dual control: one admin asks with a reason, another approves, the first one reads.

Every step is audited before it takes effect, by whoever keeps the audit log; the names themselves are in no log.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from casb.discovery.pseudonym import NotAPseudonym, Pseudonyms, is_pseudonym
from casb.errors import StoreError
from casb.store.discovery_book import Book, millis, moment

SHORTEST_REASON = 10
"""Characters of a reason: less says nothing."""
MOST = 1000
"""Pseudonyms of one request."""
LIFE = timedelta(hours=24)
"""How long a request waits, and how long its answer can be read."""
ASKED, APPROVED, DENIED = "asked", "approved", "denied"

type Audit = Callable[[str, str, Mapping[str, str]], None]
"""Who, what, detail: writes a line of the audit log, durably, or raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """One request. `state` is asked, approved or denied."""

    id: str
    pseudonyms: tuple[str, ...]
    reason: str
    asked_by: str
    asked: datetime
    state: str
    expires: datetime
    decided_by: str | None = None
    decided: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """For API and CLI; no names are in it."""
        return {
            "id": self.id,
            "pseudonyms": list(self.pseudonyms),
            "reason": self.reason,
            "asked_by": self.asked_by,
            "asked": self.asked.isoformat(),
            "state": self.state,
            "expires": self.expires.isoformat(),
            "decided_by": self.decided_by,
            "decided": self.decided and self.decided.isoformat(),
        }


class Desk:
    """Requests and their answers. Raises `StoreError` D040 with the reason when a step is not allowed."""

    def __init__(self, book: Book, pseudonyms: Callable[[], Pseudonyms], clock: Callable[[], datetime]) -> None:
        self._database = book.database
        self._pseudonyms = pseudonyms
        self._clock = clock

    def ask(self, names: Sequence[str], reason: str, who: str, audit: Audit) -> Resolution:
        """Ask for the names behind pseudonyms."""
        wanted = tuple(dict.fromkeys(name.strip() for name in names))
        if not 0 < len(wanted) <= MOST or not all(map(is_pseudonym, wanted)):
            raise StoreError("D040", f"a request names 1 to {MOST} pseudonyms, as reports show them")
        if len(reason.strip()) < SHORTEST_REASON:
            raise StoreError("D040", f"a request needs a reason of at least {SHORTEST_REASON} characters")
        now = self._clock()
        ident = secrets.token_hex(8)
        audit(
            who,
            "asked for names behind pseudonyms",
            {"request": ident, "count": str(len(wanted)), "reason": reason[:500]},
        )
        with self._database.writing() as writer:
            writer.execute(
                "INSERT INTO resolutions (id, pseudonyms, reason, asked_by, asked, state, expires) "
                "VALUES (?,?,?,?,?,?,?)",
                (ident, json.dumps(wanted), reason.strip()[:2000], who, millis(now), ASKED, millis(now + LIFE)),
            )
        return self._known(ident)

    def decide(self, ident: str, who: str, audit: Audit, *, approve: bool) -> Resolution:
        """Approve or deny somebody else's request."""
        request = self._known(ident)
        now = self._clock()
        if request.asked_by == who:
            raise StoreError("D040", "nobody decides on a request of their own", hint="ask another admin")
        if request.state != ASKED or request.expires <= now:
            raise StoreError("D040", "the request is decided, or has expired")
        word = "approved" if approve else "denied"
        audit(who, f"{word} names behind pseudonyms", {"request": ident, "asked_by": request.asked_by})
        with self._database.writing() as writer:
            done = writer.execute(
                "UPDATE resolutions SET state = ?, decided_by = ?, decided = ?, expires = ? WHERE id = ? AND state = ?",
                (APPROVED if approve else DENIED, who, millis(now), millis(now + LIFE), ident, ASKED),
            )
            if done.rowcount != 1:
                raise StoreError("D040", "somebody else has decided meanwhile")
        return self._known(ident)

    def names(self, ident: str, who: str, audit: Audit) -> dict[str, str | None]:
        """Pseudonym to name, for whoever asked, once approved; None for what is no pseudonym of this deployment."""
        request = self._known(ident)
        if request.asked_by != who:
            raise StoreError("D040", "only who asked may read the names")
        if request.state != APPROVED or request.expires <= self._clock():
            raise StoreError("D040", "the request is not approved, or its answer has expired")
        cipher = self._pseudonyms()
        audit(who, "read names behind pseudonyms", {"request": ident, "count": str(len(request.pseudonyms))})
        found: dict[str, str | None] = {}
        for pseudonym in request.pseudonyms:
            try:
                found[pseudonym] = cipher.resolve(pseudonym)
            except NotAPseudonym:
                found[pseudonym] = None
        return found

    def requests(self, limit: int = 100) -> list[Resolution]:
        """The newest first."""
        with self._database.reading() as reader:
            sql = f"SELECT {_FIELDS} FROM resolutions ORDER BY asked DESC LIMIT ?"  # noqa: S608
            rows = reader.execute(sql, (limit,)).fetchall()
        return [_resolution(row) for row in rows]

    def _known(self, ident: str) -> Resolution:
        with self._database.reading() as reader:
            row = reader.execute(f"SELECT {_FIELDS} FROM resolutions WHERE id = ?", (ident,)).fetchone()  # noqa: S608
        if row is None:
            raise StoreError("D040", "there is no such request")
        return _resolution(row)


_FIELDS = "id, pseudonyms, reason, asked_by, asked, state, expires, decided_by, decided"


def _resolution(row: Sequence[Any]) -> Resolution:
    return Resolution(
        id=row[0],
        pseudonyms=tuple(json.loads(row[1])),
        reason=row[2],
        asked_by=row[3],
        asked=moment(row[4]),
        state=row[5],
        expires=moment(row[6]),
        decided_by=row[7],
        decided=moment(row[8]) if row[8] else None,
    )
