"""A page for people who wait for a large file to be judged, and the file when that is done.

A browser that opens a download sees nothing before its first byte, and gives up after a while. So a navigation whose
file takes long is answered with a page of ours that tells how far it is and asks again by itself; the transfer goes on
behind it, on the client's connection. Then the page's address gives the file, or says why not.

Only navigations of a whole tab: whoever saves a link, loads a frame or fetches by script expects the file itself and
waits for it. A ticket belongs to the session that asked. It lives in the worker that has the client's connection; the
others know of it from the session store and send the browser back there.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from urllib.parse import quote

from cachetools import TTLCache
from mitmproxy import http

from casb.control.pages import Page, error_page, html
from casb.model.activity import ActivityType, RequestMode
from casb.ports import SessionStore
from casb.proxy.faults import log_fault
from casb.proxy.translate import State, Taking

logger = logging.getLogger(__name__)

PATH = "/.casb/wait/"
LARGE = 16 * 1024 * 1024
"""A file of so many bytes is waited for with a page from the first moment."""
PATIENCE = 2.0
"""And any other after so many seconds."""
LIFETIME = 900.0
"""Seconds that a file is kept for whoever waited for it."""
AGAIN = 2
"""Seconds after which the page asks again."""


@dataclass(slots=True, kw_only=True)
class Ticket:
    """One file that somebody waits for."""

    id: str
    session: str
    name: str
    app: str
    total: int | None
    begun: float
    received: int = 0
    state: str = "arriving"  # judging | ready | refused | failed
    told: float = 0.0
    shown: bool = False  # the page has been sent
    page: Page | None = None
    response: http.Response | None = field(default=None, repr=False)
    taking: Taking | None = field(default=None, repr=False)

    @property
    def path(self) -> str:
        """Where the page asks; the file's name is the last part, for browsers that take it from there."""
        return f"{PATH}{self.id}/{quote(self.name, safe='')}"

    @property
    def due(self) -> bool:
        """Whether it takes long enough for a page."""
        large = max(self.received, self.total or 0) >= LARGE
        return not self.shown and (large or time.monotonic() - self.begun >= PATIENCE)


class Handed:
    """A `Taking` that is over: the file of a ticket on its way to whoever waited."""

    passing = done = more = False

    def __init__(self, ticket: Ticket) -> None:
        self._ticket = ticket

    @property
    def empty(self) -> bool:
        return self._ticket.taking is None or self._ticket.taking.empty

    async def take(self, data: bytes, *, last: bool) -> None:
        """Nothing comes any more."""

    def given(self) -> Iterable[bytes]:
        """The file."""
        return self._ticket.taking.given() if self._ticket.taking is not None else ()

    def drop(self) -> None:
        """It stays with its ticket: a browser may ask twice."""


class Waiting:
    """The tickets of one worker."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._tickets: _Tickets = _Tickets(10_000, LIFETIME, timer=time.monotonic)
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, state: State, length: int | None) -> Ticket | None:
        """A ticket for a held download, where a page can be shown for it."""
        facts, exchange, party = state.facts, state.exchange, state.party
        activity = exchange.activity if exchange else None
        if activity is None or activity.type is not ActivityType.DOWNLOAD or activity.file is None:
            return None
        if facts.mode is not RequestMode.NAVIGATION or facts.save_as or facts.frame or facts.method != "GET":
            return None
        if state.fields.get(b"sec-fetch-dest") != b"document" or party is None or not party.session_id:
            return None
        return Ticket(
            id=secrets.token_urlsafe(24),
            session=party.session_id,
            name=activity.file.name or "download",
            app=state.route.app.name if state.route.app else "",
            total=length,
            begun=time.monotonic(),
        )

    def show(self, ticket: Ticket) -> Page:
        """The page, in the place of the answer."""
        ticket.shown = True
        self._tickets[ticket.id] = ticket
        self.tell(ticket)
        return waiting_page(ticket.path, _facts(ticket))

    def tell(self, ticket: Ticket) -> None:
        """Let the other workers know how far it is; not more often than once a second."""
        present = time.monotonic()
        if present - ticket.told < 1 and ticket.state == "arriving":
            return
        ticket.told = present
        self._tickets[ticket.id] = ticket  # it lives as long as something happens
        task = asyncio.ensure_future(self._put(ticket.id, ticket.session, json.dumps(_facts(ticket)).encode()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _put(self, identifier: str, session: str, value: bytes) -> None:
        try:
            await self._store.put("wait", _key(identifier, session), value, ttl=LIFETIME)
        except Exception:
            log_fault(logger, "progress not kept")  # the worker that has the file knows it

    def judging(self, ticket: Ticket) -> None:
        """All of it is there."""
        ticket.state = "judging"
        self.tell(ticket)

    def ready(self, ticket: Ticket, response: http.Response, taking: Taking) -> None:
        """It may be handed over."""
        ticket.state, ticket.response, ticket.taking = "ready", response, taking
        self.tell(ticket)

    def refused(self, ticket: Ticket, page: Page | None) -> None:
        """Policy says no, or our own failure does."""
        ticket.state, ticket.page = "refused", page
        self.tell(ticket)

    def failed(self, ticket: Ticket) -> None:
        """The application did not send all of it."""
        ticket.state = "failed"
        self.tell(ticket)

    async def answer(self, flow: http.HTTPFlow, state: State, session: str) -> Page | None:
        """The page as things stand; None when the flow has been given the file."""
        identifier = state.facts.path.removeprefix(PATH).partition("/")[0]
        ticket = self._tickets.get(identifier)
        if ticket is None or ticket.session != session:
            value = await self._store.get("wait", _key(identifier, session))
            if value is None or ticket is not None:
                return _gone()
            # Another worker has it: a new connection may lead there.
            return waiting_page(state.facts.path, json.loads(value), elsewhere=not flow.request.is_http2)
        if ticket.state == "refused":
            return ticket.page or _gone()
        if ticket.state == "failed":
            return error_page(
                502,
                "The file did not arrive",
                f"{ticket.app or 'The application'} stopped sending it, or the connection was lost. Download it again.",
                "",
            )
        if ticket.state != "ready" or ticket.response is None:
            return waiting_page(ticket.path, _facts(ticket))
        state.ours = True
        state.taking = Handed(ticket)
        flow.response = ticket.response.copy()
        flow.response.stream = ticket.response.stream
        if callable(ticket.response.stream):  # it is changed on its way, which can be done but once
            self._tickets.pop(ticket.id, None)
        return None


class _Tickets(TTLCache[str, Ticket]):
    """Gives up the file of a ticket that is too old, or one too many."""

    def popitem(self) -> tuple[str, Ticket]:
        identifier, ticket = super().popitem()
        _drop(ticket)
        return identifier, ticket

    def expire(self, time: float | None = None) -> list[tuple[str, Ticket]]:
        old: list[tuple[str, Ticket]] = super().expire(time) or []
        for _, ticket in old:
            _drop(ticket)
        return old


def _drop(ticket: Ticket) -> None:
    if ticket.taking is not None:
        ticket.taking.drop()


def _key(identifier: str, session: str) -> bytes:
    return hashlib.sha256(f"{identifier}|{session}".encode()).digest()


def _facts(ticket: Ticket) -> dict[str, str | int | float | None]:
    return {
        "name": ticket.name,
        "app": ticket.app,
        "state": ticket.state,
        "received": ticket.received,
        "total": ticket.total,
        "seconds": round(time.monotonic() - ticket.begun, 1),
    }


def _gone() -> Page:
    return error_page(
        404, "This file is no longer kept", "It was handed over, or nobody asked for it in time. Download it again.", ""
    )


def _size(number: int) -> str:
    return f"{number / 1024**3:.1f} GB" if number >= 1024**3 else f"{number / 1024**2:.1f} MB"


def waiting_page(path: str, facts: dict[str, str | int | float | None], *, elsewhere: bool = False) -> Page:
    """What people see meanwhile. It needs no script: it asks again by itself. `elsewhere`: on a new connection."""
    received, total = int(facts["received"] or 0), facts["total"]
    arriving = facts["state"] == "arriving"
    if not arriving:
        bar, how_far = "<progress></progress>", "All of it is here, and it is being checked."
    elif isinstance(total, int) and total > 0:
        bar = f'<progress max="{total}" value="{min(received, total)}"></progress>'
        how_far = f"{_size(received)} of {_size(total)} have arrived."
        seconds = float(facts["seconds"] or 0)
        if received and seconds > 1 and received < total:
            left = (total - received) * seconds / received
            how_far += f" About {max(1, round(left / 60))} min left." if left > 90 else f" About {round(left)} s left."
    else:
        bar, how_far = "<progress></progress>", f"{_size(received)} have arrived."
    body = (
        f"<p>Your organisation checks <strong>{escape(str(facts['name']))}</strong> before it reaches you. "
        "The download begins by itself when that is done; leave this page open until then.</p>"
        f"{bar}<p role=status>{escape(how_far)}</p>"
        f'<p class=row><a class="button plain" href="{escape(path, quote=True)}">Look again now</a></p>'
    )
    headers = [("refresh", f"{AGAIN}; url={path}")]
    if elsewhere:
        headers.append(("connection", "close"))
    return html(200, "Your file is being checked", body, headers=headers, mark="…")
