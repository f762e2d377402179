"""Who is asking: the cookie to a session, or the way to sign in. Nobody reaches an app without one.

The common case (a session looked up in the last seconds) does no I/O and makes no task.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import weakref
from collections.abc import Awaitable
from dataclasses import replace

from cachetools import LRUCache, TTLCache
from mitmproxy import ctx, http
from mitmproxy.connection import Client

from casb.control import siblings
from casb.control.pages import Page, error_page, redirect, sign_in_needed
from casb.control.routes import Kind
from casb.errors import StoreError, TokenError
from casb.identity.sessions import (
    PENDING_COOKIE,
    SESSION_COOKIE,
    agent_digest,
    cookie,
    is_safe_path,
    key_of,
    set_cookie,
)
from casb.model.activity import ActivityType, RequestMode
from casb.model.app import App
from casb.model.forwarded import client_address, is_trusted, plain_address
from casb.model.identity import Session
from casb.proxy import translate
from casb.proxy.faults import log_fault
from casb.proxy.incidents import incident
from casb.proxy.liveness import Due, Liveness
from casb.proxy.runtime import Runtime, now
from casb.proxy.sealed import sealed
from casb.proxy.stepup import Ask, StepUp
from casb.proxy.translate import State

logger = logging.getLogger(__name__)

RESERVED = "/.casb/"
RESUME = "__casb_resume"
VOUCHED = 1800.0
"""Seconds that an open page lets its static parts through (`control/siblings.py`)."""
WATCH = 0.1
"""Seconds between looks at the revocation counter; live connections of ended sessions are closed then."""
SWEEP = 30.0
"""Seconds between looks at sessions that may have run out by themselves."""
TOGETHER = 64
"""Sessions of open connections that are looked up at once."""
NOTED = 600.0
"""Seconds during which a cookie that stands for no session is written down once, however often it is shown."""


MINUTE = 60.0
ASKED = 3000
"""Sign-ins that one address may begin within a minute: each is kept for `session.pending`, by a stranger's wish."""


class Sessions:
    """Finds the session of each exchange and closes the connections of ended ones."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.live: dict[str, list[State]] = {}  # connection id -> its exchanges that may still be under way
        self._strange: TTLCache[tuple[str, str, str], str] = TTLCache(4096, NOTED)
        self._asked: LRUCache[str, tuple[int, int]] = LRUCache(20_000)  # address -> minute, sign-ins begun in it
        self._vouched: TTLCache[bytes, bool] = TTLCache(20_000, VOUCHED / 3)
        self._keeping: set[asyncio.Future[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self.liveness, self.step_up = Liveness(), StepUp(runtime)

    # ------------------------------------------------------------ each exchange

    @sealed
    def requestheaders(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Attach the session; without one, refuse scripts and send people to sign in."""
        state = translate.state_of(flow)
        if state is None:
            raise LookupError("exchange without a route")
        state.ip = self.address(flow, state)
        if state.ours:
            return None
        if state.route.kind in (Kind.LOGIN, Kind.DEVICE) or flow.request.path.startswith(RESERVED):
            state.ours = True
            state.limit, state.on_overflow = state.snapshot.settings.session.resume_body, lambda: False
            return None
        value = self.cookie(state)
        if value is None and siblings.is_preflight(flow.request.method, state.fields):
            self._preflight(flow, state)
            return None
        if value is None and siblings.is_static(flow.request.method, state.fields):
            return self._static(flow, state)
        if value is None:
            self._stranger(flow, state, noted=self._noted(state, None))
            return None
        session = self.runtime.sign_in.cached(state.route.authority, value)
        if session is None or RESUME in flow.request.path:
            return self._look(flow, state, value)
        self._enter(flow, state, session, value)
        self._check(flow, state, session)
        return state.keeping

    def cookie(self, state: State) -> str | None:
        """The one session cookie of the request."""
        header = state.fields.get(b"cookie")
        if header is None or b"__Host-casb_s" not in header:
            return None
        return cookie(header.decode("latin-1"), SESSION_COOKIE)

    async def _look(self, flow: http.HTTPFlow, state: State, value: str) -> None:
        try:
            session = await self.runtime.sign_in.session_for(state.route.authority, value)
        except StoreError as error:
            self._store_away(flow, state, error)
            return
        if session is None:
            self._stranger(flow, state, noted=self._noted(state, value))
            return
        self._enter(flow, state, session, value)
        if RESUME in flow.request.path:
            await self._resume(flow, state, session)
        self._check(flow, state, session)
        if state.keeping is not None:
            await state.keeping

    def _check(self, flow: http.HTTPFlow, state: State, session: Session) -> None:
        """Whether what the provider said of the session still counts; if not, the exchange waits for it (S25)."""
        if translate.is_refused(flow) or state.ending:
            return
        agent = state.fields.get(b"user-agent", b"")
        due = self.liveness.due(session, state.ip, agent, state.snapshot, now())
        navigating = state.facts.mode is RequestMode.NAVIGATION and not state.facts.frame
        if due is Due.NOW or (due is Due.SOON and navigating):
            self.runtime.counters["reevaluations_asked"] += 1
            self.step_up.send(flow, state, Ask(), "requestheaders")

    def _enter(self, flow: http.HTTPFlow, state: State, session: Session, value: str) -> None:
        state.session = session
        state.cookie = value
        earlier = self.live.get(flow.client_conn.id, ())
        self.live[flow.client_conn.id] = [*(each for each in earlier if not each.over), state]
        app = state.route.app
        if app is not None and state.facts.mode is RequestMode.NAVIGATION and state.route.mode == "suffix":
            self._vouch(state, app)
        if app is not None and app.logout and any(translate.glob(each, state.facts.path) for each in app.logout):
            state.ending = True

    # ------------------------------------------------------------ without a cookie, between hosts of one app

    def _preflight(self, flow: http.HTTPFlow, state: State) -> None:
        """A question of a page of ours goes on bare; anybody else's is refused like any stranger's request."""
        if siblings.page_app(state.fields, state.snapshot) is None:
            self._stranger(flow, state, noted="")
        elif siblings.ours_alone(state.fields):
            translate.answer(flow, Page(status=204, headers=siblings.own_answer(state.fields), body=b""))
        else:
            state.preflight = True
            translate.set_request_fields(flow, siblings.question(flow.request.headers.fields))

    def _vouch(self, state: State, app: App) -> None:
        if len(app.domains) < 2 and not app.domains[0].startswith("*."):
            return
        key = self._visit(state, app)
        if key not in self._vouched:
            self._vouched[key] = True
            keeping = asyncio.ensure_future(
                self.runtime.sign_in.vouch(state.route.authority, state.cookie, key, ttl=VOUCHED)
            )
            self._keeping.add(keeping)
            keeping.add_done_callback(self._kept)

    def _kept(self, done: asyncio.Future[None]) -> None:
        self._keeping.discard(done)
        if not done.cancelled() and done.exception() is not None:
            logger.error("an open page was not noted: %r", done.exception())

    @staticmethod
    def _visit(state: State, app: App) -> bytes:
        """Address, browser and app, as a key."""
        agent = state.fields.get(b"user-agent", b"")
        return hashlib.sha256(b"\0".join((state.ip.encode(), agent, app.id.encode()))).digest()

    async def _static(self, flow: http.HTTPFlow, state: State) -> None:
        """A static part of a page for a person who has that app open; the response must be of the kind asked for."""
        app = state.route.app
        session = None
        if app is not None and siblings.page_app(state.fields, state.snapshot) is app:
            try:
                session = await self.runtime.sign_in.vouched(self._visit(state, app))
            except StoreError as error:
                self._store_away(flow, state, error)
                return
        if session is None:
            self._stranger(flow, state, noted=self._noted(state, None))
            return
        self.runtime.counters["parts_vouched"] += 1
        state.session, state.part = session, state.fields[b"sec-fetch-dest"]

    def _store_away(self, flow: http.HTTPFlow, state: State, error: StoreError) -> None:
        identifier = incident(self.runtime, code="store", fact=error.message, ip=state.ip, facts=state.facts)
        page = error_page(
            503,
            "Sessions cannot be checked",
            "The session store does not answer, so nothing was passed on. Try again in a moment.",
            identifier,
            facts=state.facts,
            code="unavailable",
            headers=(("retry-after", "5"),),
        )
        translate.refuse(flow, "requestheaders", page)

    # ------------------------------------------------------------ without a session

    def _noted(self, state: State, value: str | None) -> str:
        """The id of the record that a session cookie without a session was shown; '' when none was shown.

        It may have run out, be forged or be another host's: which one is not told, not even to ourselves.
        """
        if value is None and SESSION_COOKIE.encode() + b"=" not in state.fields.get(b"cookie", b""):
            return ""
        key = (state.route.authority, state.ip, key_of(value).hex() if value else "")
        found = self._strange.get(key)
        if found is None:
            found = self._strange[key] = incident(
                self.runtime,
                code="session.unknown" if value else "session.malformed",
                fact="the session cookie stands for no session on this host"
                if value
                else "there is more than one session cookie, or it has not the form of ours",
                ip=state.ip,
                app=state.route.app,
                facts=state.facts,
                agent=state.fields.get(b"user-agent", b"").decode("utf-8", "replace"),
                kind=ActivityType.LOGON,
            )
        return found

    def _stranger(self, flow: http.HTTPFlow, state: State, *, noted: str) -> None:
        state.noted = noted
        if state.facts.mode is not RequestMode.NAVIGATION:
            url = f"https://{state.route.authority}/.casb/sign-in"
            self.runtime.counters["without_session"] += 1
            translate.refuse(flow, "requestheaders", _with_id(sign_in_needed(url), noted))
            return
        # The body of a POST is kept across the sign-in, so it is answered in `request`.
        state.ours = state.stranger = True
        state.limit, state.on_overflow = state.snapshot.settings.session.resume_body, lambda: False

    @sealed
    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Send a stranger to sign in; put a kept body back in place."""
        state = translate.state_of(flow)
        if state is None:
            raise LookupError("exchange without a route")
        if state.ask is not None:
            return self.step_up.waiting(flow, state)
        if state.stranger:
            return self._send_to_sign_in(flow, state)
        if state.resumed is not None:
            flow.request.raw_content = state.resumed
        state.asked, state.flow = time.monotonic(), weakref.ref(flow)
        return None

    async def _send_to_sign_in(self, flow: http.HTTPFlow, state: State) -> None:
        page = await self.to_sign_in(
            state,
            flow.request.path,
            method=flow.request.method,
            body=None if state.cut else flow.request.raw_content or None,
            content_type=state.fields.get(b"content-type", b"").decode("latin-1"),
        )
        translate.answer(flow, _with_id(page, state.noted))

    def may_ask(self, ip: str) -> bool:
        """Whether an address has not yet asked for too much within this minute; counts it."""
        minute = int(time.monotonic() // MINUTE)
        since, asked = self._asked.get(ip, (minute, 0))
        asked = asked if since == minute else 0
        self._asked[ip] = minute, asked + 1
        return asked < ASKED

    async def to_sign_in(
        self, state: State, path: str, *, method: str = "GET", body: bytes | None = None, content_type: str = ""
    ) -> Page:
        """Keep what was asked for; the redirect to the sign-in host."""
        settings, app = state.snapshot.settings, state.route.app
        header = state.fields.get(b"cookie", b"").decode("latin-1")
        if not self.may_ask(state.ip):
            self.runtime.counters["sign_ins_limited"] += 1
            text = "Too many sign-ins were begun from your address. Wait a minute, then try again."
            return error_page(429, "Too many sign-ins", text, "", facts=state.facts, headers=(("retry-after", "60"),))
        try:
            started = await self.runtime.sign_in.start_pending(
                host=state.route.authority,
                path=path if is_safe_path(path) else "/",
                app=app.id if app else "",
                provider=(app.provider if app else None) or "",
                method=method,
                body=body,
                content_type=content_type,
                bind=cookie(header, PENDING_COOKIE),
                ip=state.ip,
                agent=agent_digest(state.fields.get(b"user-agent", b"").decode("utf-8", "replace")),
            )
        except (StoreError, TokenError) as error:
            identifier = incident(self.runtime, code=error.code, fact=error.message, ip=state.ip, facts=state.facts)
            return error_page(503, "Sign-in is not possible now", error.message, identifier, facts=state.facts)
        url = f"{settings.address_of(settings.login_host)}/.casb/login?p={started.id}"
        kept = set_cookie(PENDING_COOKIE, started.bind, max_age=settings.session.pending)
        return redirect(url, headers=(("set-cookie", kept),))

    async def _resume(self, flow: http.HTTPFlow, state: State, session: Session) -> None:
        """The form of ours has brought the browser back: put in what was to be sent before the sign-in."""
        path, token = without_resume(flow.request.path)
        if token is None:
            return
        try:
            kept = await self.runtime.sign_in.resume(session, state.route.authority, path, token)
        except TokenError as error:
            identifier = incident(
                self.runtime, code=error.code, fact=error.message, ip=state.ip, user=session.user, facts=state.facts
            )
            page = error_page(409, "Please send it again", error.message, identifier, facts=state.facts)
            translate.refuse(flow, "requestheaders", page)
            return
        state.resumed = kept.body
        translate.resume(flow, state, path, kept.content_type, len(kept.body))

    # ------------------------------------------------------------ the end of sessions

    @sealed
    def response(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """The app's own sign-out ends our session as well (S49)."""
        state = translate.state_of(flow)
        if state is None or not state.ending or state.session is None:
            return None
        return self._end(state.session)

    async def _end(self, session: Session) -> None:
        await self.runtime.sign_in.revoke_session(session.id)

    def running(self) -> None:
        """Begin to watch for revocations."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def done(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()

    def client_disconnected(self, client: Client) -> None:
        """Forget a connection."""
        self.live.pop(client.id, None)

    async def _watch(self) -> None:
        epoch, since = self.runtime.sessions.epoch(), 0.0
        looked = time.monotonic()
        while True:
            await asyncio.sleep(WATCH)
            since += WATCH
            try:
                if time.monotonic() - looked >= 1:
                    looked = time.monotonic()
                    self.hang_up_silent(looked)
                sweep = min(SWEEP, max(1.0, self.runtime.snapshot.settings.session.grace / 2))
                seen = self.runtime.sessions.epoch()
                if seen != epoch:
                    await self.close_dropped()
                    epoch = seen  # not before: what failed is tried again
                if since >= sweep:
                    since = 0.0
                    await self.close_ended()
            except asyncio.CancelledError:
                raise
            except Exception:
                log_fault(logger, "ended sessions could not be closed")

    async def close_dropped(self) -> None:
        """Close every connection on which an exchange of an ended session is under way, sockets and streams included.

        Others stay open: whatever comes on them next is asked for its session anyway.
        """
        held = self._under_way()
        gone = await self.runtime.sign_in.gone({value for _, value in held})
        for (_, value), states in held.items():
            if value in gone:
                self._close_all(states)

    async def close_ended(self) -> None:
        """The same for sessions that ran out by themselves, or that their provider has not confirmed in time."""
        asked = self._under_way()
        keys = list(asked)
        for at in range(0, len(keys), TOGETHER):
            await asyncio.gather(*(self._close_unless_alive(key, asked[key]) for key in keys[at : at + TOGETHER]))

    async def _close_unless_alive(self, key: tuple[str, str], held: list[tuple[str, State]]) -> None:
        session = await self.runtime.sign_in.session_for(*key, touch=False)
        limits = self.runtime.snapshot.settings.session
        if session is not None and limits.reevaluate:
            age = (now() - (session.evaluated or session.started)).total_seconds()
            session = session if age <= limits.reevaluate + limits.grace else None
        if session is None:
            self._close_all(held)

    def _under_way(self) -> dict[tuple[str, str], list[tuple[str, State]]]:
        """Host and cookie to the connections that an exchange of theirs is under way on."""
        found: dict[tuple[str, str], list[tuple[str, State]]] = {}
        for identifier, states in self.live.items():
            for state in states:
                if not state.over and state.session is not None and state.cookie:
                    found.setdefault((state.route.authority, state.cookie), []).append((identifier, state))
        return found

    def _close_all(self, held: list[tuple[str, State]]) -> None:
        for identifier, state in held:
            if not state.over:  # It may have finished while we looked.
                self._close(identifier)

    def hang_up_silent(self, present: float) -> None:
        """Give up on applications that were asked long ago and have not begun to answer (`limits.upstream_idle`)."""
        for identifier, states in self.live.items():
            for state in states:
                if not state.asked or state.over or state.response is not None:
                    continue
                if present - state.asked > state.snapshot.settings.limits.upstream_idle:
                    state.asked, state.silent = 0.0, True
                    self._hang_up(identifier, state)

    def _hang_up(self, identifier: str, state: State) -> None:
        flow = state.flow() if state.flow is not None else None
        handler = ctx.master.addons.get("proxyserver").connections.get(identifier)
        there = handler.transports.get(flow.server_conn) if handler is not None and flow is not None else None
        if there is not None and there.writer is not None:
            there.writer.transport.abort()
            self.runtime.counters["upstream_silent"] += 1

    def _close(self, identifier: str) -> None:
        self.live.pop(identifier, None)
        handler = ctx.master.addons.get("proxyserver").connections.get(identifier)
        if handler is None:
            return
        line = handler.transports.get(handler.client)
        if line is not None and line.writer is not None:
            # At once for all of them; taking each down in good order would make the last of many wait for the others.
            line.writer.transport.abort()
        else:
            handler.close_connection(handler.client)
        self.runtime.counters["connections_ended"] += 1

    # ------------------------------------------------------------ addresses

    def address(self, flow: http.HTTPFlow, state: State) -> str:
        """The client's address: the peer's, or what a trusted proxy in front of us says (right to left)."""
        peer = flow.client_conn.peername
        settings = state.snapshot.settings
        if not settings.trusted_proxies:
            return plain_address(str(peer[0])) if peer else ""
        name = settings.address_header
        told = [value.decode("latin-1") for key, value in flow.request.headers.fields if key.lower() == name.encode()]
        return client_address(str(peer[0]) if peer else "", name, told, settings.trusted_proxies)

    def is_trusted_peer(self, flow: http.HTTPFlow, state: State) -> bool:
        """Whether the connection itself comes from one of the proxies in front of us (`trusted_proxies`)."""
        peer = flow.client_conn.peername
        return bool(peer) and is_trusted(plain_address(str(peer[0])), state.snapshot.settings.trusted_proxies)


def _with_id(page: Page, identifier: str) -> Page:
    """The page with the id of a record, if there is one."""
    already = not identifier or any(name == "x-casb-activity" for name, _ in page.headers)
    return page if already else replace(page, headers=(*page.headers, ("x-casb-activity", identifier)))


def without_resume(path: str) -> tuple[str, str | None]:
    """A path without our one-time parameter, which our own form puts last; and the parameter."""
    for mark in ("?", "&"):
        head, found, token = path.rpartition(f"{mark}{RESUME}=")
        if found:
            return head, token
    return path, None


def with_resume(path: str, token: str) -> str:
    """The reverse of `without_resume`."""
    return f"{path}{'&' if '?' in path else '?'}{RESUME}={token}"
