"""Tags that take effect: the published tag file followed, its pages shown, attempts recorded, open tunnels closed.

The tags in force are an immutable index in `Runtime.tags`, replaced whole. A file that cannot be read changes nothing.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from mitmproxy import connection, ctx, http

from casb.catalog.tagging import BLOCKED_APP, TagIndex, index_of
from casb.control.pages import Page, error_page, redirect
from casb.control.routes import Kind, Route
from casb.control.tag_pages import CONTINUE, Notice, blocked_page, hours_of, warned_page
from casb.errors import CasbError, ContentError, StoreError, Where
from casb.identity.sessions import is_safe_path
from casb.model.activity import Activity, ActivityType, RequestFacts
from casb.model.app import App
from casb.model.decision import Action, Alert, Decision, Reason, Severity
from casb.model.identity import Device
from casb.model.record import Record
from casb.proxy import translate
from casb.proxy.faults import log_fault
from casb.proxy.ids import ulid
from casb.proxy.runtime import Runtime, now
from casb.store import tag_file

logger = logging.getLogger(__name__)

POLL = 0.25
"""Seconds between looks at the tag file."""
WARNED = timedelta(minutes=30)
"""How long the button of a warning can be pressed."""
ALERT_TITLE = "Connection to a blocked cloud application was detected"
PAGE_ONLY = frozenset({Kind.UNSANCTIONED, Kind.MONITORED})
"""Routes that are opened for a page of ours only."""

NO_CATEGORY = "unclassified"

_PURPOSE = "monitored app"
_MOST_ALERTS = 1000  # a day: each attempt counts, the store gathers those of one person and app


def load_tags(data: Path) -> TagIndex | None:
    """The published tags ready to be asked; None where nothing was ever published. Raises `StoreError` S061."""
    path = data / tag_file.FILE
    if tag_file.stamp(path) is None:
        return None
    return index_of(tag_file.read(path))


class Tags:
    """Keeps a worker's tags those that are published; reading and indexing happen in a thread."""

    def __init__(self, runtime: Runtime, data: Path) -> None:
        self.runtime = runtime
        self.data = data
        self._seen: object = None
        self._task: asyncio.Task[None] | None = None
        runtime.on_swap.append(lambda _snapshot: self._cut())

    def running(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def done(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                log_fault(logger, "the tags cannot be watched")
            await asyncio.sleep(POLL)

    async def look(self) -> None:
        """Take over what was published since the last look."""
        seen = tag_file.stamp(self.data / tag_file.FILE)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            tags = await asyncio.to_thread(load_tags, self.data)
        except CasbError as error:
            self.runtime.counters["tags_unreadable"] += 1
            logger.error("the last good tags stay in force: %s", error)
            return
        if tags is None:
            logger.error("the published tags are gone: the last good ones stay in force")
            return
        self.runtime.put_tags(tags)
        self._cut()
        logger.warning("tags in force version=%s apps=%d", tags.list.version, len(tags.list.apps))

    def _cut(self) -> None:
        """Close what was opened before its app was tagged: a browser keeps tunnels for minutes."""
        for handler in list(_connections()):
            if self._stands(handler.client):
                continue
            self.runtime.counters["tag_cut"] += 1
            transport = handler.transports.get(handler.client)
            if transport is not None and transport.handler is not None:
                transport.handler.cancel("the application was tagged")

    def _stands(self, client: connection.Client) -> bool:
        tunnel = getattr(client, "casb_tunnel", None)
        found: Route | None = getattr(client, "casb_route", None)
        if tunnel is None and (found is None or found.kind is not Kind.APP):
            return True
        forward = tunnel is not None or (found is not None and found.mode == "forward")
        names = {name for name in (tunnel and tunnel.host, found and found.host, client.sni) if name}
        ip = address_of(client)
        port = found.port if found is not None else 443
        return all(self.runtime.route(name, port, forward=forward, ip=ip).kind not in PAGE_ONLY for name in names)


def _connections() -> Iterator[Any]:
    server = ctx.master.addons.get("proxyserver")
    return iter(server.connections.values()) if server is not None else iter(())


def address_of(client: connection.Client) -> str:
    """The client's address on the wire: what a bypass is bound to."""
    return str(client.peername[0]) if client.peername else ""


# ---------------------------------------------------------------- pages


def answer(runtime: Runtime, flow: http.HTTPFlow, state: translate.State) -> None:
    """Answer an exchange with an unsanctioned or monitored app; nothing of it goes any further."""
    route = state.route
    if route.kind is Kind.MONITORED and flow.request.path.partition("?")[0] == CONTINUE:
        page = _continued(runtime, flow, state)
    elif route.kind is Kind.MONITORED:
        page = _warned(runtime, flow, state)
    else:
        identifier = attempt(runtime, route, address_of(flow.client_conn), state.facts, agent=_agent(state))
        page = blocked_page(notice(runtime, route, state.facts, identifier, address_of(flow.client_conn)))
    translate.refuse(flow, "requestheaders", _last(flow, page))


def _warned(runtime: Runtime, flow: http.HTTPFlow, state: translate.State) -> Page:
    route, ip = state.route, address_of(flow.client_conn)
    identifier = attempt(runtime, route, ip, state.facts, agent=_agent(state))
    path = flow.request.path if flow.request.method == "GET" and is_safe_path(flow.request.path) else "/"
    return warned_page(
        notice(runtime, route, state.facts, identifier, ip),
        token=_token(runtime, ip, _id(route)),
        path=path,
        hours=hours_of(runtime.snapshot.settings.enforcement.bypass),
    )


def _continued(runtime: Runtime, flow: http.HTTPFlow, state: translate.State) -> Page:
    """The button of the warning. Only a token that this address was shown for this app counts: no other site has it."""
    route, ip = state.route, address_of(flow.client_conn)
    query = parse_qs(flow.request.path.partition("?")[2], max_num_fields=5)
    to = query.get("to", ["/"])[0]
    if flow.request.method != "POST" or not _is_token(runtime, query.get("t", [""])[0], ip, _id(route)):
        fact = "the warning is too old or not theirs"
        identifier = attempt(runtime, route, ip, state.facts, agent=_agent(state), fact=fact)
        text = "Open the application again, and go on from the warning that you see then."
        return error_page(403, "This warning is no longer valid", text, identifier, facts=state.facts, code="warned")
    until = now() + timedelta(seconds=runtime.snapshot.settings.enforcement.bypass)
    identifier = attempt(
        runtime, route, ip, state.facts, agent=_agent(state), action=Action.AUDIT, fact="went on past the warning"
    )
    runtime.bypasses.grant(ip, _id(route), until.timestamp(), now().timestamp())
    return redirect(to if is_safe_path(to) else "/", headers=(("x-casb-activity", identifier),))


def reconnect(flow: http.HTTPFlow) -> None:
    """The app is open to this client now, and this connection was opened by us: the client comes by a new one.

    307 keeps method and body (RFC 9110 section 15.4.8); HTTP/2 has 421 for it (section 15.5.20).
    """
    if flow.request.is_http2:
        page = Page(status=421, headers=(("cache-control", "no-store"),), body=b"")
    else:
        path = flow.request.path if is_safe_path(flow.request.path) else "/"
        page = Page(status=307, headers=(("location", path), ("cache-control", "no-store")), body=b"")
    translate.refuse(flow, "requestheaders", _last(flow, page))


def _last(flow: http.HTTPFlow, page: Page) -> Page:
    """With the word that the connection ends: the next request must not meet a connection that we have opened."""
    if flow.request.is_http2:
        return page
    return replace(page, headers=(*page.headers, ("connection", "close")))


def notice(runtime: Runtime, route: Route, facts: RequestFacts | None, identifier: str, ip: str) -> Notice:
    """What a page tells of an app."""
    settings, tagged, app = runtime.snapshot.settings, route.tagged, route.app
    blocked = route.kind is Kind.UNSANCTIONED
    user = runtime.people.get(ip)
    return Notice(
        app=app.name if app else route.host,
        host=route.origin or route.host,
        activity_id=identifier,
        facts=facts,
        category=tagged.category if tagged else app.category if app else "",
        score=tagged.score if tagged else None,
        user=user.name if user else "",
        # What is in no category has no purpose that it could share.
        alternatives=_alternatives(runtime, tagged.alternatives if tagged and tagged.category != NO_CATEGORY else ()),
        help=(settings.enforcement.blocked_help if blocked else settings.enforcement.warned_help) or "",
    )


def _alternatives(runtime: Runtime, named: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    apps = runtime.snapshot.catalog.by_id
    return tuple((name, _start(apps.get(ident))) for ident, name in named)


def _start(app: App | None) -> str:
    """Where a configured app is opened."""
    if app is None:
        return ""
    host = next((domain for domain in app.domains if not domain.startswith("*.")), "")
    return f"https://{host}{app.start}" if host else ""


# ---------------------------------------------------------------- records


def attempt(
    runtime: Runtime,
    route: Route,
    ip: str,
    facts: RequestFacts | None,
    *,
    agent: str = "",
    action: Action = Action.BLOCK,
    fact: str = "",
) -> str:
    """Write an attempt to reach a tagged app into the activity log; its id.

    A log that cannot be written stops no refusal; letting somebody pass unrecorded raises `StoreError`.
    """
    identifier, snapshot = ulid(), runtime.snapshot
    unsanctioned = route.kind is Kind.UNSANCTIONED
    name = route.app.name if route.app else route.host
    word = "unsanctioned" if unsanctioned else "monitored"
    reason = Reason(
        code=f"app.{word}",
        policy="",
        where=Where(file=snapshot.settings.folder),
        condition=f"tag: {word}",
        fact=(fact or f"{name} is tagged {word}")[:300],
    )
    alert = Alert(
        policy=BLOCKED_APP,
        severity=Severity(snapshot.settings.enforcement.severity),
        title=ALERT_TITLE,
        daily_limit=_MOST_ALERTS,
    )
    client, device = snapshot.client(ip, agent, Device())
    activity = Activity(
        id=identifier,
        time=now(),
        type=ActivityType.VIEW,
        app=route.app,
        user=runtime.people.get(ip),
        device=device,
        client=client,
        request=facts,
    )
    decision = Decision(action=action, reasons=(reason,), alerts=(alert,) if unsanctioned else ())
    extra = {"user_by": "address"} if activity.user is not None else {}
    record = Record(activity=activity, decision=decision, policy_version=snapshot.version, mode=route.mode, extra=extra)
    try:
        runtime.log(record)
    except StoreError:
        if action is not Action.BLOCK:
            raise
        logger.exception("attempt not recorded activity=%s", identifier)
    runtime.counters[f"app_{word}" if action is Action.BLOCK else f"app_{word}_passed"] += 1
    return identifier


def handshake_failed(runtime: Runtime, client: connection.Client) -> None:
    """A client that does not trust our authority saw no page: its attempt is recorded all the same."""
    found: Route | None = getattr(client, "casb_route", None)
    if found is None or found.kind not in PAGE_ONLY:
        return
    facts = RequestFacts(method="CONNECT", scheme="https", host=found.origin or found.host, port=found.port, path="")
    attempt(runtime, found, address_of(client), facts, fact="the client did not accept our certificate")


def _agent(state: translate.State) -> str:
    return state.fields.get(b"user-agent", b"").decode("utf-8", "replace")[:1024]


def _id(route: Route) -> str:
    if route.tagged is None:
        raise LookupError("monitored without a tag")
    return route.tagged.id


# ---------------------------------------------------------------- proof of having been warned


def _token(runtime: Runtime, ip: str, app: str) -> str:
    until = str(int((now() + WARNED).timestamp())).encode()
    key, blob = runtime.keyring.wrap(_PURPOSE, f"{ip}\0{app}".encode(), until)
    return f"{key}.{base64.urlsafe_b64encode(blob).decode()}"


def _is_token(runtime: Runtime, token: str, ip: str, app: str) -> bool:
    key, _, text = token.partition(".")
    try:
        blob = base64.b64decode(text.encode(), altchars=b"-_", validate=True)
        until = runtime.keyring.unwrap(_PURPOSE, key, f"{ip}\0{app}".encode(), blob)
        return int(until) > now().timestamp()
    except (ContentError, binascii.Error, ValueError):
        return False
