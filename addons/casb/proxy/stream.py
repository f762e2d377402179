"""mitmproxy's HTTP stream with the guarantees that hooks alone cannot give.

Five things happen inside the proxy core, between hooks, and are overridden here:

- a refused response stops there: the origin's body is neither awaited nor kept, whatever its size;
- a held body never grows past its own limit, chunked or not, and what happens then is asked of the exchange;
- a refused upload's bytes are dropped as they come, and errors of the origin become pages of ours;
- what goes to an HTTP/1.1 origin is framed, whatever it came as;
- a body that is to be judged is taken in while its head waits (`taking.py`).

Private parts of mitmproxy 12.2: `tests/casb/proxy/test_stream.py` fails when an upgrade changes them.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from mitmproxy import flow as flow_module
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers import http as core
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestHeaders,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook, HttpResponseHeadersHook

from casb.control.pages import error_page
from casb.proxy import gates, heads, taking, translate
from casb.proxy.ids import ulid

type Commands[T] = Generator[commands.Command, Any, T]

_original = core.HttpStream


class SealedStream(taking.TakingStream):
    """One exchange inside the proxy core."""

    def check_body_size(self, request: bool) -> Commands[bool]:
        """Bound what is buffered by the exchange's own limit, known length or not."""
        state = translate.state_of(self.flow)
        if state is None or state.limit is None:
            return (yield from super().check_body_size(request))
        buffered = len(self.request_body_buf) if request else len(self.response_body_buf)
        if buffered <= state.limit:
            return False
        if translate.is_refused(self.flow):
            self._forget(request)
            return False
        if state.on_overflow is not None and state.on_overflow():
            state.limit = None
            yield from self._stream_on(request)
            return False
        if request:
            # The answer is in place already (`on_overflow` refused), or what is left is not worth keeping.
            state.cut = True
            self._forget(request)
            return False
        yield from self._cut_short()
        return True

    def _forget(self, request: bool) -> None:
        (self.request_body_buf if request else self.response_body_buf).clear()

    def _stream_on(self, request: bool) -> Commands[None]:
        """Give out what was held and let the rest stream."""
        if request:
            self.flow.request.stream = True
            held = bytes(self.request_body_buf)
            self.request_body_buf.clear()
            yield from self.start_request_stream()
            yield from self.handle_event(RequestData(self.stream_id, held))
        elif self.flow.response is not None:
            self.flow.response.stream = self.flow.response.stream or True
            held = bytes(self.response_body_buf)
            self.response_body_buf.clear()
            yield from self.start_response_stream()
            yield from self.handle_event(ResponseData(self.stream_id, held))

    def state_wait_for_response_headers(self, event: Any) -> Commands[None]:
        """As the original, but a response refused in `responseheaders` ends right there."""
        self.flow.response = event.response
        if not event.end_stream and (yield from self.check_body_size(False)):
            return
        if (yield from self.check_invalid(False)):
            return
        yield HttpResponseHeadersHook(self.flow)
        if (yield from self.check_killed(True)):
            return
        if translate.is_refused(self.flow) and not event.end_stream:
            yield from self._cut_short()
        elif self._taking is not None and not event.end_stream:
            self.server_state = self.state_take_response_body
        elif self.flow.response.stream and not event.end_stream:
            yield from self.start_response_stream()
        else:
            self.server_state = self.state_consume_response_body

    def state_done(self, _: Any) -> Commands[None]:
        """As the original, but what an origin had sent before we hung up on it is no surprise."""
        yield from ()

    def state_consume_request_body(self, event: Any) -> Commands[None]:
        """As the original, but a refused upload is not kept, and one that is to be judged is taken in elsewhere."""
        if self._taking is not None and not translate.is_refused(self.flow):
            self.client_state = self.state_take_request_body
            yield from self.client_state(event)
            return
        if isinstance(event, RequestData) and translate.is_refused(self.flow):
            return
        yield from super().state_consume_request_body(event)

    def state_stream_response_body(self, event: Any) -> Commands[None]:
        """As the original, but once refused nothing more leaves."""
        if translate.is_refused(self.flow):
            yield from self._kill()
            return
        yield from super().state_stream_response_body(event)
        yield from self._let_read(event)

    def _let_read(self, event: Any) -> Commands[None]:
        """Wait for a client that reads slowly over HTTP/2: mitmproxy would keep for it what it does not take."""
        if not isinstance(event, ResponseData) or not self.flow.request.is_http2:
            return
        waiting = gates.backlog(self._connection_layer(self.context.client), self.stream_id)
        if waiting > 4 * gates.LOW and translate.state_of(self.flow) is not None:
            with self._back_pressure(False):
                yield from self._drained(False)

    def handle_protocol_error(self, event: Any) -> Commands[None]:
        """An origin that fails before its answer began gets a page of ours, with an id and the class of the cause."""
        waiting = self.server_state in (
            self.state_wait_for_response_headers,
            self.state_consume_response_body,
            self.state_uninitialized,
            *(() if self.flow.response is not None and self.flow.response.stream else (self.state_take_response_body,)),
        )
        ours = (
            isinstance(event, ResponseProtocolError)
            and self._ticket is None
            and event.code is not ErrorCode.KILL
            and waiting
            and self.client_state == self.state_done
            and translate.state_of(self.flow) is not None
            and not (self.flow.error and self.flow.error.msg == flow_module.Error.KILLED_MESSAGE)
        )
        if not ours:
            yield from super().handle_protocol_error(event)
            return
        self.flow.error = flow_module.Error(event.message)
        yield HttpErrorHook(self.flow)
        page = origin_failed(self.flow, event.message)
        self.flow.response = response = translate.response_from(page)
        self.server_state = self.state_done
        yield core.SendHttp(ResponseHeaders(self.stream_id, response, not page.body), self.context.client)
        yield core.SendHttp(ResponseData(self.stream_id, page.body), self.context.client)
        yield core.SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)
        self.flow.live = False
        yield core.DropStream(self.stream_id)


class FramedClient(heads.BoundedClient):
    """Towards an HTTP/1.1 origin.

    A request that came without a length over HTTP/2 gets a framing of its own (RFC 9112 section 6.3): without one the
    origin would read its body as the next request, one that nobody here has judged.
    """

    def send(self, event: Any) -> Commands[None]:
        """As the original, with the body always framed."""
        if isinstance(event, RequestData) and not event.data:
            return  # With chunked transfer coding it would be written as the terminating chunk.
        if isinstance(event, RequestHeaders) and not event.end_stream:
            request = event.request
            if (request.is_http2 or request.is_http3) and "content-length" not in request.headers:
                request = request.copy()
                request.headers["transfer-encoding"] = "chunked"
                event = replace(event, request=request)
        yield from super().send(event)


def origin_failed(flow: Any, message: str) -> Any:
    """The page for an origin that cannot be reached or trusted. The raw message stays in the log."""
    state = translate.state_of(flow)
    name = state.route.app.name if state and state.route.app else "The application"
    identifier = (state and state.failure_id) or ulid()
    facts = state.facts if state else None
    if "ertificate" in message:
        title = "The application's certificate cannot be trusted"
        text = f"{name} answered with a certificate that is not valid for it, so nothing was sent to it."
    elif (state and state.silent) or "timed out" in message or "timeout" in message:
        title, text = "The application does not answer", f"{name} took too long to answer."
    elif "Killed" in message or "refused by casb" in message:
        title, text = "This address is not allowed", f"{name} points to an address that is not allowed."
    else:
        title, text = "The application cannot be reached", f"{name} did not answer as it should. Try again later."
    return error_page(502, title, text, identifier, facts=facts, code="upstream")


def install() -> None:
    """Make mitmproxy use it for every exchange."""
    gates.install()
    core.HttpStream = SealedStream  # type: ignore[misc]
    core.Http1Client = FramedClient  # type: ignore[attr-defined]
