"""Keeping the session in the proxy: heads and bodies through `casb.rewrite`, both ways.

`Inward` maps requests before the decision, `Outward` maps responses after it. Downloads and whatever is not text that
a browser acts on pass byte-exact.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cachetools import LRUCache
from mitmproxy import http

from casb import __version__
from casb.control.pages import error_page
from casb.control.routes import Kind
from casb.errors import ContentError
from casb.model.app import View
from casb.proxy import translate
from casb.proxy.controls import for_page
from casb.proxy.ids import ulid
from casb.proxy.notices import cookie as notice_cookie
from casb.proxy.pins import Pins
from casb.proxy.redaction import Chain
from casb.proxy.runtime import Runtime
from casb.proxy.sealed import sealed
from casb.proxy.translate import State
from casb.rewrite import caching, codings
from casb.rewrite.body import BodyRewriter, kind_of, recoded, request_rewriter_for, rewriter_for
from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.guard import guard_digest, guard_script, worker_prologue
from casb.rewrite.headers import (
    page_policy_of,
    request_headers,
    response_headers,
    target_to_origin,
    without_body_facts,
)
from casb.rewrite.hosts import HostMap
from casb.rewrite.integrity import Unless, Witness
from casb.rewrite.sites import relation

logger = logging.getLogger(__name__)

BUFFERED = 262_144
"""Text bodies up to this many bytes are rewritten in one piece; streaming small ones costs more (measured)."""
_NOWHERE = HostMap(suffix="", port=443, names=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The guard script for a host map and a view, made once per snapshot."""

    script: bytes
    digest: str
    version: str  # of rewriting: what the validators of a rewritten body carry
    for_worker: Callable[[bytes], bytes]


_guards: LRUCache[tuple[int, View, bool], tuple[HostMap, Guard]] = LRUCache(32)


def guard_of(hosts: HostMap, view: View = View.SUFFIX, *, controls: bool = False) -> Guard:
    """The guard script as apps of that view get it; with `controls` as pages that are controlled do."""
    found = _guards.get((id(hosts), view, controls))
    if found is None or found[0] is not hosts:
        script = guard_script(hosts, view=view, controls=controls)
        digest = guard_digest(script)
        version = caching.version_of(hosts, view, digest, __version__)
        guard = Guard(script=script, digest=digest, version=version, for_worker=worker_prologue(script))
        found = _guards[id(hosts), view, controls] = (hosts, guard)
    return found[1]


def hosts_of(state: State) -> HostMap:
    """The host map that holds for an exchange: only suffix hosts are mapped."""
    return state.snapshot.hosts if state.route.mode == "suffix" else _NOWHERE


def context_of(state: State) -> RewriteContext:
    """What the rewriting engine needs to know of an exchange."""
    if state.rewriting is not None:
        return state.rewriting
    route, hosts = state.route, hosts_of(state)
    view = route.app.rewrite.view if route.app else View.SUFFIX
    destination = state.fields.get(b"sec-fetch-dest", b"").decode("latin-1")
    inject = bool(route.app and route.app.rewrite.inject_guard)
    controlled = for_page(state) if inject and destination in _CONTROLLED else b""
    guard = guard_of(hosts, view, controls=bool(controlled))
    host = route.origin_authority or route.host
    related = relation(state.fields, hosts, host, state.facts.method)
    state.rewriting = RewriteContext(
        hosts=hosts,
        method=state.facts.method,
        path=state.facts.path,
        cookies=state.fields.get(b"cookie", b""),
        relation=related.told,
        crossing=related.crossing,
        client=state.ip,
        forwarded=route.app.upstream.forwarded if route.app else "none",
        user=state.session.user.id if state.session else "",
        seal=state.seal,
        guard_digest=guard.digest,
        worker_guard=guard.for_worker,
        host=host,
        destination=destination,
        mode=state.fields.get(b"sec-fetch-mode", b"").decode("latin-1"),
        inject_guard=inject,
        view=view,
        controls=controlled,
        needs_script=bool(controlled and route.app and route.app.controls.without_script == "refuse"),
    )
    return state.rewriting


def version_of(state: State) -> str:
    """The version of rewriting that holds for an exchange."""
    context = context_of(state)
    return guard_of(context.hosts, context.view, controls=bool(context.controls)).version


# What shows as a page.
_CONTROLLED = frozenset(("document", "iframe", "frame", "embed", "object", "fencedframe", ""))
_IN_PIECES = frozenset(("worker", "sharedworker", "serviceworker"))  # nothing can pin them, and they get the guard


def _is_ours(field: tuple[bytes, bytes], state: State) -> bool:
    """True for what the protector has put in: from an origin the same names are dropped."""
    if state.exchange is None or not state.exchange.records:
        return False
    identifier = state.exchange.records[-1].activity.id
    name, value = field[0].lower(), field[1]
    if name == b"x-casb-activity":
        return value == identifier.encode()
    return name == b"set-cookie" and value == notice_cookie(identifier).encode()


def _runs_scripts(flow: http.HTTPFlow, context: RewriteContext) -> bool:
    """Whether the guard of this page can be expected to run: not in a frame, which may be a sandbox of its parent."""
    response = flow.response
    if response is None or flow.request.method != "GET" or context.destination != "document":
        return False
    return "sandbox" not in response.headers.get("content-security-policy", "")


class Inward:
    """Requests: the app's own names in the head, in the query and in what people typed."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    @sealed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Map the head; note whether the body must follow."""
        state = translate.state_of(flow)
        if state is None or state.ours or state.route.kind is not Kind.APP:
            return
        context = context_of(state)
        fields = request_headers(list(flow.request.headers.fields), context)
        fields = caching.conditions(
            fields, version_of(state), method=flow.request.method, destination=context.destination
        )
        translate.set_request_fields(flow, fields)
        if state.route.mode != "suffix":
            return
        target = flow.request.path.encode("utf-8", "surrogateescape")
        mapped = target_to_origin(target, context)
        if mapped is not target:
            flow.request.data.path = mapped
        length = state.facts.content_length
        if b"content-type" in state.fields and length != 0:
            rewriter = request_rewriter_for(state.fields[b"content-type"].decode("latin-1"), context)
            # What has no known length, or a great one, is mapped while it streams.
            state.map_body = rewriter is not None and length is not None and length <= BUFFERED * 8
            if rewriter is not None and not state.map_body and b"content-encoding" in state.fields:
                coding = state.fields[b"content-encoding"].decode("latin-1")
                rewriter = _in_coding(rewriter, coding) if length is None or length > BUFFERED * 8 else rewriter
            state.body_rewriter = rewriter

    @sealed
    def request(self, flow: http.HTTPFlow) -> None:
        """Map a buffered body."""
        state = translate.state_of(flow)
        if state is None or state.ours or state.body_rewriter is None or not flow.request.raw_content:
            return
        rewriter, state.body_rewriter = state.body_rewriter, None
        body = flow.request.raw_content
        coding = state.fields.get(b"content-encoding", b"").decode("latin-1")
        if coding and state.map_body:
            # What does not decode is the application's to refuse: it gets the bytes that were sent.
            with contextlib.suppress(ContentError):
                plain = codings.decoded(body, coding, limit=state.snapshot.settings.limits.rewrite)
                mapped = rewriter.feed(plain) + rewriter.finish()
                body = body if mapped == plain else _encoded(mapped, coding)
        else:
            body = rewriter.feed(body) + rewriter.finish()
        if body != flow.request.raw_content:
            flow.request.raw_content = body
            if "content-length" in flow.request.headers:
                flow.request.headers["content-length"] = str(len(body))


def _encoded(body: bytes, coding: str) -> bytes:
    encoder = codings.request_encoder_for(coding)
    return encoder.feed(body) + encoder.finish()


def _in_coding(rewriter: BodyRewriter, coding: str) -> BodyRewriter | None:
    """A streamed body keeps the coding that its head names; one that we cannot make again passes as it is."""
    try:
        return codings.between(rewriter, codings.decoder_for(coding), codings.request_encoder_for(coding))
    except ContentError:
        return None


def _masked(state: State, rewriter: BodyRewriter | None, kind: str) -> tuple[BodyRewriter | None, str]:
    """With the masks in front: they see the bytes as the application sent them."""
    if state.masking is None:
        return rewriter, kind
    live = state.response is not None and state.response.content_type == "text/event-stream"
    chained = Chain(state.masking, rewriter) if rewriter is not None else state.masking
    return chained, kind or ("stream" if live else "data")


class Outward:
    """Responses: suffixed names in the head and in text that a browser acts on; the guard script in pages."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._pins: Pins | None = None

    @property
    def pins(self) -> Pins:
        """What pages pin by digest, in this deployment."""
        if self._pins is None:
            self._pins = Pins(Path(self.runtime.snapshot.settings.data) / "pins")
        return self._pins

    @sealed
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Map the head; choose between streaming, rewriting while streaming, and rewriting in one piece."""
        self._head(flow)
        state = translate.state_of(flow)
        if state is not None and state.told and flow.response is not None:
            # Files were taken out of the request on its way: the page is to say which.
            flow.response.headers["x-casb-activity"] = state.told
            flow.response.headers.add("set-cookie", notice_cookie(state.told))

    def _head(self, flow: http.HTTPFlow) -> None:
        state, response = translate.state_of(flow), flow.response
        if state is None or response is None or state.ours or state.exchange is None:
            return
        context = context_of(state)
        fields = list(response.headers.fields)
        page = page_policy_of(fields, context)
        ours = [field for field in fields if _is_ours(field, state)] if state.protected else []
        mapped = response_headers(fields, context, page)
        if state.notice_cookie:
            mapped = [*mapped, (b"set-cookie", state.notice_cookie)]
        if state.protected or response.status_code == 101:
            translate.set_response_fields(flow, [*mapped, *ours])
            return
        rewriter, kind = _masked(state, *self._rewriter(flow, state, context, page))
        version = version_of(state)
        if rewriter is not None:
            mapped = caching.versioned(mapped, version, purpose=kind == "page")
            if context.controls and kind == "page":
                mapped = caching.unstored(mapped)
                state.page_sent = _runs_scripts(flow, context)
        elif response.status_code == 304 and caching.was_rewritten(state.fields.get(b"if-none-match", b""), version):
            mapped = caching.versioned(mapped, version, purpose=True)
        elif state.route.mode == "suffix":
            mapped = caching.private(mapped)
        translate.set_response_fields(flow, mapped)
        if rewriter is None:
            if not state.held:
                self._pass(flow, state)
        elif flow.request.method == "HEAD":
            self._body_head(flow, None)
        elif state.held:
            # The decision needs the bytes as they are: they are rewritten once it is made.
            state.rewriter = rewriter
        else:
            self._rewrite(flow, state, rewriter, live=kind == "stream")

    def _rewriter(
        self, flow: http.HTTPFlow, state: State, context: RewriteContext, page: PagePolicy
    ) -> tuple[BodyRewriter | None, str]:
        """What rewrites the body, and what kind of body it is."""
        facts, response, app = state.response, flow.response, state.route.app
        if facts is None or response is None or app is None or facts.status in (204, 205, 304):
            return None, ""
        if facts.content_length == 0 or any(translate.glob(each, state.facts.path) for each in app.rewrite.exclude):
            return None, ""
        content_type = response.headers.get("content-type", "")
        nosniff = response.headers.get("x-content-type-options", "").strip().lower() == "nosniff"
        rewriter = rewriter_for(
            content_type,
            "",
            context,
            status=facts.status,
            disposition=response.headers.get("content-disposition", ""),
            nosniff=nosniff,
            page=page,
        )
        if rewriter is None:
            return None, ""
        kind = kind_of(content_type, context, nosniff=nosniff)
        if kind != "stream" and context.hosts.maps_anything:
            rewriter = self._pinned(rewriter, kind, context.destination, facts.content_length, state)
        return rewriter, kind

    def _pinned(
        self, rewriter: BodyRewriter, kind: str, destination: str, length: int | None, state: State
    ) -> BodyRewriter:
        """Let what pages pin pass as it is; learn from what passes what they pin."""
        small = length is not None and length <= BUFFERED
        if destination not in _IN_PIECES and (kind in ("code", "style") or (kind == "data" and small)) and self.pins:
            rewriter = Unless(rewriter, self.pins.has, limit=state.snapshot.settings.limits.rewrite)
        return Witness(rewriter, self.pins.note)

    def _pass(self, flow: http.HTTPFlow, state: State) -> None:
        """Large bodies and those of unknown length stream; small ones are cheaper in one piece."""
        length = state.response.content_length if state.response else None
        if length is None or length > BUFFERED:
            translate.stream_through(flow)

    def _rewrite(self, flow: http.HTTPFlow, state: State, rewriter: BodyRewriter, *, live: bool) -> None:
        facts, response = state.response, flow.response
        if facts is None or response is None:
            raise LookupError("no response")
        length = facts.content_length
        if length is not None and length <= BUFFERED:
            state.rewriter = rewriter
            state.limit, state.on_overflow = BUFFERED * 2, lambda: False
            return
        coding = codings.choose(state.fields.get(b"accept-encoding", b"").decode("latin-1"))
        try:
            changed = recoded(rewriter, facts.content_encoding, "" if live else coding, flush=True)
        except ContentError as error:
            self._unreadable(flow, state, "responseheaders", error)
            return
        self._body_head(flow, "" if live else coding)
        if not flow.request.is_http2:
            response.headers["transfer-encoding"] = "chunked"
        translate.stream_through(flow, changed)

    def _unreadable(self, flow: http.HTTPFlow, state: State, phase: str, error: ContentError) -> None:
        """A body that is not what its head says: a browser might make something of it, so it does not go on."""
        identifier = ulid()
        logger.warning("answer refused code=%s activity=%s", error.code, identifier)
        self.runtime.counters["unreadable"] += 1
        state.failure, state.failure_id = phase, identifier
        title, text = "The application's answer cannot be read", f"It is not what it says it is ({error.code})."
        page = error_page(502, title, text, identifier, facts=state.facts, code="upstream")
        translate.refuse(flow, phase, page)

    def _body_head(self, flow: http.HTTPFlow, coding: str | None) -> None:
        """Take back what is said of the body as it was. `coding` None: there is no body."""
        if flow.response is None:
            return
        fields = without_body_facts(list(flow.response.headers.fields))
        if coding is None:
            translate.set_response_fields(flow, fields)
            return
        translate.set_response_fields(flow, [pair for pair in fields if pair[0].lower() != b"content-encoding"])
        if coding:
            flow.response.headers["content-encoding"] = coding

    @sealed
    def response(self, flow: http.HTTPFlow) -> None:
        """Rewrite a body that arrived in one piece."""
        state, response = translate.state_of(flow), flow.response
        if state is None or response is None or state.rewriter is None or state.response is None or state.protected:
            return
        if state.taking is not None and not translate.is_refused(flow):
            return  # It is not in memory: it is rewritten on its way out.
        rewriter, state.rewriter = state.rewriter, None
        encoding = state.response.content_encoding
        body = response.raw_content or b""
        if not body:
            return
        try:
            plain = recoded(rewriter, encoding, "", limit=state.snapshot.settings.limits.rewrite)
            out = plain.feed(body) + plain.finish()
        except ContentError as error:
            self._unreadable(flow, state, "response", error)
            return
        if out == body and not encoding:
            return  # Nothing of ours was in it: what its head says of it stays true.
        coding = codings.choose(state.fields.get(b"accept-encoding", b"").decode("latin-1")) if len(out) > 1400 else ""
        encoder = codings.encoder_for(coding)
        if encoder is not None:
            out = encoder.feed(out) + encoder.finish()
        self._body_head(flow, coding)
        response.data.content = out
        response.headers["content-length"] = str(len(out))

    @sealed
    def casb_pass(self, flow: http.HTTPFlow) -> None:
        """A held body leaves: rewrite it on its way."""
        state, response = translate.state_of(flow), flow.response
        if state is None or response is None or state.rewriter is None or state.response is None or state.protected:
            return
        rewriter, state.rewriter = state.rewriter, None
        coding = codings.choose(state.fields.get(b"accept-encoding", b"").decode("latin-1"))
        changed = recoded(rewriter, state.response.content_encoding, coding, flush=False)
        self._body_head(flow, coding)
        if not flow.request.is_http2:
            response.headers["transfer-encoding"] = "chunked"
        translate.stream_through(flow, changed)
