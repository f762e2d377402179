"""Flow to facts, effect to flow. Every write to a flow goes through here.

Live objects of an exchange hang on the flow as `State`; `flow.metadata` gets plain strings only, for it is saved with
recorded flows.
"""

from __future__ import annotations

import asyncio
import fnmatch
import functools
import json
import re
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from mitmproxy import http

from casb.catalog.filenames import parse_disposition, upload_name
from casb.catalog.instances import instance_of
from casb.catalog.transfers import Piece
from casb.control.exchange import Exchange, Party
from casb.control.justified import Justification
from casb.control.pages import Page, error_page
from casb.control.protecting import Plan
from casb.control.routes import Route
from casb.control.snapshot import Snapshot
from casb.model.activity import RequestFacts, RequestMode, ResponseFacts
from casb.model.app import App
from casb.model.decision import Answer, Decision, Redaction
from casb.model.identity import Session
from casb.model.record import Record, user_json
from casb.proxy.ids import ulid
from casb.rewrite.context import RewriteContext
from casb.rewrite.shared import Seal

if TYPE_CHECKING:
    from casb.proxy.stepup import Ask
    from casb.proxy.waiting import Ticket, Waiting

REFUSED = "casb.refused"
type Fields = Mapping[bytes, bytes]


class Taking(Protocol):
    """Where a body goes that is to be judged, instead of memory."""

    passing: bool
    """The head may go, and what `given` tells after it. Never taken back."""
    done: bool
    """Nobody reads on: once `given` has told all, the rest of the body streams."""

    @property
    def empty(self) -> bool:
        """There was no body at all."""

    @property
    def more(self) -> bool:
        """Whether `take` has work without anything new having come."""

    async def take(self, data: bytes, *, last: bool) -> None:
        """The next step of the body, at its end perhaps an empty one. May refuse the exchange."""

    def given(self) -> Iterable[bytes]:
        """What may leave now, in pieces; each is asked for when the one before has left."""

    def drop(self) -> None:
        """The exchange is over: nothing is needed any more."""


class Stream(Protocol):
    """A push-style transformer of a body."""

    def feed(self, chunk: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


@dataclass(slots=True)
class State:
    """What is known of one exchange while it lives."""

    snapshot: Snapshot
    route: Route
    fields: Fields
    facts: RequestFacts
    ip: str = ""  # the client's address, behind trusted proxies the one they tell
    session: Session | None = None
    cookie: str = field(default="", repr=False)  # the value that the session was found by
    over: bool = False  # the answer is complete, or there is none; an open WebSocket is never over
    given: tuple[Justification, ...] = ()  # what the person has said to go on, in this app
    asked_path: str = ""  # path and query as the browser asked for them
    notice: Decision | None = None  # what the person is told of in the answer (`notify`)
    notice_cookie: bytes = b""
    masking: Stream | None = None  # masks the response's body before anything else touches it
    mask_request: Redaction | None = None  # the request is held to be masked
    coached: Answer | None = None  # a form that is kept while the person is asked why
    stranger: bool = False  # a person without a session, to be sent to sign in
    seal: Seal | None = field(default=None, repr=False)  # for cookies that flattened hosts share
    noted: str = ""  # id of the record that a cookie without a session was shown
    preflight: bool = False  # a question that browsers ask without cookies; it goes on without a session
    ask: Ask | None = None  # what must be proven before the request goes on; its body is awaited first
    keeping: asyncio.Future[None] | None = None  # what must be in the store before the answer leaves
    part: bytes = b""  # a static part of a page, let through for who has the page open: its `Sec-Fetch-Dest`
    ending: bool = False  # the app's own sign-out
    resumed: bytes | None = None  # the body kept across a sign-in
    rewriting: RewriteContext | None = None  # what both directions of rewriting need to know
    page_secret: str = ""  # what the guard of the page in the answer tells back
    page_sent: bool = False  # and the page went out
    response: ResponseFacts | None = None
    refused: Answer | None = None  # what an upload meets with once it has come, to be kept
    kept: str = ""  # in quarantine: `kept` or `failed`
    plan: Plan | None = None  # how the held response is to be labelled and encrypted
    sealing: Stream | None = None  # what encrypts the response as it streams
    protected: bool = False  # the response leaves encrypted: nobody touches its body any more
    naming: bool = False  # the upload's form is held until it has told its file names
    piece: Piece | None = None  # the request carries a piece of a file
    expected: Any = None  # a transfer whose pieces go where the answer says
    socket_over: bool = False  # the WebSocket is to be closed
    socket_file: bytes = field(default=b"", repr=False)  # a file that comes in several messages
    told: str = ""  # id of a record that the page is to show, though the exchange went on
    body_rewriter: Stream | None = None  # maps the request's body back
    rewriter: Stream | None = None  # rewrites the response's body once it is there in one piece
    map_body: bool = False  # the request's body may name suffixed hosts and is mapped back before it is sent
    ours: bool = False  # answered by an endpoint of ours, never by the origin
    party: Party | None = None
    exchange: Exchange | None = None
    page: Page | None = None
    flow: weakref.ref[http.HTTPFlow] | None = field(default=None, repr=False)
    asked: float = 0.0  # monotonic time when the request was complete
    silent: bool = False  # the application did not begin to answer in time
    failure: str = ""  # the phase in which our own code failed
    failure_id: str = ""
    held: bool = False  # a policy asked for the content
    taking: Taking | None = None  # where the present body goes while its head waits
    waiting: Waiting | None = field(default=None, repr=False)  # who shows a page while a download is judged
    ticket: Ticket | None = field(default=None, repr=False)  # for that page
    work: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)  # what the proxy core waits for
    cut: bool = False  # the request's body outgrew `limit`: what is left of it is a part
    limit: int | None = None  # most bytes ever buffered of the present body
    on_overflow: Callable[[], bool] | None = None  # True: let it stream on; False: refuse
    written: int = 0  # records already handed to the log


def state_of(flow: http.HTTPFlow) -> State | None:
    """The live state, or None for a flow that never passed the gateway."""
    return getattr(flow, "casb", None)


def attach(flow: http.HTTPFlow, state: State) -> None:
    """Hang the live state on its flow."""
    flow.casb = state  # type: ignore[attr-defined]


# ---------------------------------------------------------------- flow to facts


def request_fields(request: http.Request) -> dict[bytes, bytes]:
    """Header names in lower case to values: the one pass over the headers. Several cookies become one."""
    fields: dict[bytes, bytes] = {}
    for name, value in request.headers.fields:
        key = name.lower()
        if key in fields and key == b"cookie":  # HTTP/2 may split cookies (RFC 9113 section 8.2.3)
            value = fields[key] + b"; " + value
        fields[key] = value
    return fields


def mode_of(fields: Fields) -> tuple[RequestMode, bool, bool]:
    """How the browser asks: (mode, save as, in a frame). W3C Fetch Metadata, else the older signs."""
    fetch_mode = fields.get(b"sec-fetch-mode")
    if fetch_mode is None:
        if fields.get(b"upgrade", b"").lower() == b"websocket":
            return RequestMode.WEBSOCKET, False, False
        if b"x-requested-with" in fields:
            return RequestMode.FETCH, False, False
        if b"text/html" in fields.get(b"accept", b""):
            return RequestMode.NAVIGATION, False, False
        return RequestMode.OTHER, False, False
    destination = fields.get(b"sec-fetch-dest", b"")
    if fetch_mode == b"navigate":
        framed = destination in (b"iframe", b"frame", b"embed", b"object")
        return RequestMode.NAVIGATION, destination == b"empty", framed
    if fetch_mode == b"websocket":
        return RequestMode.WEBSOCKET, False, False
    if destination == b"empty":
        return RequestMode.FETCH, False, False
    return RequestMode.SUBRESOURCE, False, False


def media_type(value: bytes) -> str:
    """The type alone, lower case."""
    return value.split(b";", 1)[0].strip().lower().decode("latin-1")


def _length(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() and len(value) < 19 else None


def request_facts(
    request: http.Request, fields: Fields, *, host: str, port: int = 443, scheme: str = "https"
) -> RequestFacts:
    """The request as the origin is meant to see it."""
    mode, save_as, frame = mode_of(fields)
    content_type = fields.get(b"content-type")
    return RequestFacts(
        method=request.method,
        scheme=scheme,
        host=host,
        port=port,
        path=request.path.partition("?")[0],
        mode=mode,
        save_as=save_as,
        frame=frame,
        content_type=media_type(content_type) if content_type else "",
        content_length=_length(fields.get(b"content-length")),
        upload_name=_upload_name(fields),
        query_names=query_names(request.path),
        override=_override(request.method, fields),
    )


def instance(app: App, host: str, fields: Fields) -> str | None:
    """Which instance of the app the request is for."""

    def header(name: str) -> str | None:
        value = fields.get(name.encode("latin-1"))
        return None if value is None else value.decode("latin-1")

    return instance_of(app, host, header)


def query_names(path: str) -> frozenset[str]:
    """The query's parameters, `name` and `name=value` of each, for app signatures only."""
    query = path.partition("?")[2]
    if not query:
        return frozenset()
    found = set()
    for each in query.split("&")[:200]:
        name, equals, value = each.partition("=")
        name = unquote(name)
        found.add(name)
        if equals and len(value) <= 1024:
            found.add(f"{name}={unquote(value)}")
    return frozenset(found)


_OVERRIDES = (b"x-http-method-override", b"x-http-method", b"x-method-override")


def _override(method: str, fields: Fields) -> str:
    """What a POST wants to be taken for; only known words, for it decides what is recognised."""
    if method != "POST":
        return ""
    for name in _OVERRIDES:
        told = fields.get(name)
        if told is not None:
            word = told.strip().upper().decode("latin-1")
            return word if word in _METHODS else ""
    return ""


_METHODS = frozenset(("GET", "PUT", "PATCH", "DELETE", "MERGE", "MOVE", "COPY", "MKCOL"))


@functools.lru_cache(1024)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def glob(pattern: str, path: str) -> bool:
    """Whether a path fits a glob of the configuration."""
    return _glob(pattern).match(path) is not None


_NAMING = (b"content-disposition", b"x-file-name", b"x-filename", b"x-upload-filename", b"slug", b"upload-metadata")


def _upload_name(fields: Fields) -> str | None:
    told = {name.decode(): fields[name].decode("utf-8", "surrogateescape") for name in _NAMING if name in fields}
    return upload_name(told) if told else None


def response_facts(response: http.Response) -> ResponseFacts:
    """A response by its head."""
    content_type = length = encoding = None
    attachment, filename, nosniff = False, None, False
    for name, value in response.headers.fields:
        match name.lower():
            case b"content-type":
                content_type = value
            case b"content-length":
                length = value
            case b"content-encoding":
                encoding = value
            case b"content-disposition":
                told = parse_disposition(value.decode("utf-8", "surrogateescape"))
                attachment, filename = told.attachment, told.filename or None
            case b"x-content-type-options":
                nosniff = True
    return ResponseFacts(
        status=response.status_code,
        content_type=media_type(content_type) if content_type else "",
        content_length=_length(length),
        content_encoding=encoding.strip().lower().decode("latin-1") if encoding else "",
        attachment=attachment,
        filename=filename,
        nosniff=nosniff,
    )


# ---------------------------------------------------------------- effect to flow


def response_from(page: Page) -> http.Response:
    """A page of ours as a response."""
    headers = http.Headers([(name.encode(), value.encode("latin-1", "replace")) for name, value in page.headers])
    headers["content-length"] = str(len(page.body))
    return http.Response(
        data_http_version(), page.status, b"", headers, page.body, None, timestamp_start=0.0, timestamp_end=0.0
    )


def data_http_version() -> bytes:
    """Pages of ours are written as HTTP/1.1; mitmproxy adapts them to the client's version."""
    return b"HTTP/1.1"


def answer(flow: http.HTTPFlow, page: Page) -> None:
    """Answer a request with a page of ours; the origin is never asked."""
    state = state_of(flow)
    if state is not None:
        state.ours = True
        state.page = page
    flow.response = response_from(page)


def is_refused(flow: http.HTTPFlow) -> bool:
    """Whether this exchange was refused: nothing of the app's may pass any more."""
    return REFUSED in flow.metadata


def refuse(flow: http.HTTPFlow, phase: str, page: Page | None = None) -> None:
    """Refuse at the latest point where mitmproxy still honours it.

    Without a page it is a failure of ours: the user gets an error page, the log a record of the default behaviour.
    """
    state = state_of(flow)
    flow.metadata[REFUSED] = "yes"
    if page is None:
        identifier = ulid()
        if state is not None:
            state.failure, state.failure_id = phase, identifier
        page = failure_page(identifier, state.facts if state else None)
    if state is not None:
        state.page = page
    else:
        flow.casb_page = page  # type: ignore[attr-defined]
    if flow.response is not None and flow.response.stream and phase != "responseheaders":
        flow.kill()  # The head has left already.
        return
    hold_refusal(flow, phase, page)


def hold_refusal(flow: http.HTTPFlow, phase: str, page: Page | None = None) -> None:
    """Keep a refused exchange refused in each later phase."""
    if page is None:
        state = state_of(flow)
        page = (state.page if state else getattr(flow, "casb_page", None)) or failure_page(ulid(), None)
    if phase == "responseheaders":
        # A response set here would get the origin's body put back into it: it is set in `response`.
        if flow.response is not None:
            flow.response.stream = False
    elif flow.response is not None and flow.response.stream:
        if flow.killable:
            flow.kill()
    elif phase in ("requestheaders", "request", "response"):
        flow.request.stream = False
        flow.response = response_from(page)


def failure_page(identifier: str, facts: RequestFacts | None) -> Page:
    """What a user sees when our own code failed."""
    return error_page(
        502,
        "This request was stopped",
        "Session control failed while it examined this request, so nothing was passed on. "
        "Your administrator finds the cause under the activity id.",
        identifier,
        facts=facts,
        code="failed",
    )


def send_to(flow: http.HTTPFlow, route: Route) -> None:
    """Send the request to the app's real address under the app's own name."""
    request = flow.request
    request.data.host, request.data.port = route.address
    request.data.scheme = b"https" if route.tls else b"http"
    if request.data.authority:
        request.data.authority = route.origin_authority.encode()
    request.headers["host"] = route.origin_authority
    if request.is_http2:
        # Towards an HTTP/2 origin a Host header besides :authority is refused by many servers.
        del request.headers["host"]
        request.data.authority = route.origin_authority.encode()


def whole(flow: http.HTTPFlow) -> None:
    """Ask for all of a file: a part of it cannot be judged, and parts could be put together later (RFC 9110, 14.2: a
    server may ignore Range, so a client is ready for a whole answer)."""
    for name in ("range", "if-range"):
        flow.request.headers.pop(name, None)


def resume(flow: http.HTTPFlow, state: State, path: str, content_type: str, length: int) -> None:
    """Make the request the one that was kept across the sign-in; its body follows in `request`."""
    flow.request.path = state.asked_path = path
    if content_type:
        flow.request.headers["content-type"] = content_type
    else:
        flow.request.headers.pop("content-type", None)
    flow.request.headers["content-length"] = str(length)
    state.fields = request_fields(flow.request)
    state.facts = replace(
        state.facts, content_type=media_type(content_type.encode("latin-1", "replace")), content_length=length
    )


def replace_request_body(flow: http.HTTPFlow, body: bytes) -> None:
    """Put another body into a held request; its framing follows."""
    flow.request.data.content = body
    tell_request_length(flow, len(body))


def tell_request_length(flow: http.HTTPFlow, length: int) -> None:
    """Frame a request by the length of what is sent in the place of its body."""
    flow.request.headers.pop("transfer-encoding", None)
    flow.request.headers["content-length"] = str(length)


def set_request_fields(flow: http.HTTPFlow, fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Replace the request headers."""
    flow.request.headers = http.Headers(fields)


def set_response_fields(flow: http.HTTPFlow, fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Replace the response headers."""
    if flow.response is not None:
        flow.response.headers = http.Headers(fields)


def stream_through(flow: http.HTTPFlow, transform: Stream | None = None) -> None:
    """Let the response body pass as it comes, through `transform` when there is one."""
    if flow.response is None:
        return
    if transform is None:
        flow.response.stream = True
        return

    def step(chunk: bytes) -> list[bytes]:
        # Never b"": with chunked transfer coding mitmproxy would write it as the terminating chunk.
        out = transform.feed(chunk) if chunk else transform.finish()
        return [out] if out else []

    flow.response.stream = step


def stream_request(flow: http.HTTPFlow, transform: Stream | None) -> None:
    """Let the request body pass as it comes, through `transform` when there is one; its length is not known then."""
    if transform is None:
        flow.request.stream = True
        return
    if "content-length" in flow.request.headers:
        del flow.request.headers["content-length"]
        if not flow.request.is_http2:
            flow.request.headers["transfer-encoding"] = "chunked"

    def step(chunk: bytes) -> list[bytes]:
        out = transform.feed(chunk) if chunk else transform.finish()
        return [out] if out else []

    flow.request.stream = step


def note(flow: http.HTTPFlow, **facts: str) -> None:
    """Keep plain strings with the flow, for recorded flows."""
    for key, value in facts.items():
        flow.metadata[f"casb.{key}"] = value


def annotate(flow: http.HTTPFlow, record: Record | None, route: Route, party: Party | None) -> None:
    """Keep with a recorded flow what `casb replay` needs and the flow itself does not carry."""
    note(flow, host=route.origin or route.host, mode=route.mode, authority=route.authority)
    if party is not None:
        note(flow, party=json.dumps(party_json(party), separators=(",", ":")))
    if record is not None:
        note(flow, activity=record.activity.id, action=record.decision.action.word)


def party_json(party: Party) -> dict[str, Any]:
    """The facts of a party that cannot be read off a request."""
    user, device = party.user, party.device
    return {
        "user": user and user_json(user),
        "device": {"id": device.id, "tags": sorted(device.tags), "sources": dict(device.sources)},
        "ip": party.client.ip,
        "session": party.session_id,
        "auth_contexts": sorted(party.auth_contexts),
        "proven": {name: when.isoformat() for name, when in party.proven.items()},
    }
