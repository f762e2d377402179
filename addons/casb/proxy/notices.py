"""What the dialog in the page shows: left when a download is replaced, fetched by the guard script, once.

The answer that replaces a download is never seen by the page's scripts. So it carries a short-lived cookie that scripts
can read, holding the activity id and nothing else; the guard script fetches the notice for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import replace

from casb.control.pages import Page
from casb.ports import SessionStore
from casb.proxy.faults import log_fault

logger = logging.getLogger(__name__)

COOKIE = "casb_notice"
LIFETIME = 120.0
PASSING = b"passing"
"""Instead of a notice: a download that is judged while it passes has not ended."""
FINE = b"fine"
"""Instead of a notice: it has ended, and there is nothing to tell."""
_LONGEST = 6 * 3600.0


class Notices:
    """Kept in the session store, for the next request may reach another worker."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[bytes, asyncio.Task[None]] = {}  # writes of one key keep their order

    def leave(self, page: Page, session_id: str, notice: Mapping[str, str]) -> Page:
        """Keep a notice for a session; the page with the cookie that leads to it."""
        self.keep(session_id, notice)
        return replace(page, headers=(*page.headers, ("set-cookie", cookie(notice["activity"]))))

    def keep(self, session_id: str, notice: Mapping[str, str]) -> None:
        """Keep a notice for a session."""
        value = json.dumps(notice, separators=(",", ":")).encode()
        self._later(_key(session_id, notice["activity"]), value, LIFETIME)

    def _later(self, key: bytes, value: bytes, ttl: float) -> None:
        before = self._last.get(key)
        task = asyncio.ensure_future(self._after(before, key, value, ttl))
        self._last[key] = task
        task.add_done_callback(lambda done: self._last.pop(key) if self._last.get(key) is done else None)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def expect(self, session_id: str, activity_id: str) -> None:
        """A notice may follow, when a download has ended."""
        self._later(_key(session_id, activity_id), PASSING, _LONGEST)

    def ended(self, session_id: str, activity_id: str) -> None:
        """None will follow."""
        self._later(_key(session_id, activity_id), FINE, LIFETIME)

    async def _after(self, before: asyncio.Task[None] | None, key: bytes, value: bytes, ttl: float) -> None:
        if before is not None:
            await asyncio.wait([before])
        await self._put(key, value, ttl)

    async def _put(self, key: bytes, value: bytes, ttl: float) -> None:
        try:
            await self._store.put("notice", key, value, ttl=ttl)
        except Exception:
            # The refusal stands without its dialog.
            log_fault(logger, "notice not kept")

    async def fetch(self, session_id: str, activity_id: str) -> bytes | None:
        """The notice as JSON, for the session it was left for."""
        return await self._store.get("notice", _key(session_id, activity_id))


def cookie(activity_id: str) -> str:
    """Readable by scripts on purpose: it holds an activity id, which is on the page anyway."""
    return f"{COOKIE}={activity_id}; Path=/; Max-Age=60; Secure; SameSite=Lax"


def _key(session_id: str, activity_id: str) -> bytes:
    return hashlib.sha256(f"{session_id}|{activity_id}".encode()).digest()
