"""A body that is taken in while its head waits: to be judged first, whole or in a stream, and never kept in memory.

mitmproxy knows two ways for a body: buffered whole, or streamed by a callable that cannot wait and runs after the head
has gone. Here is the third. What arrives goes to a `Taking` in steps of `STEP` bytes; each is waited for, while the
origin is read no further than `gates.AHEAD`. The head leaves when the taking says so, then what it gives out, as fast
as the receiver takes it.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from mitmproxy import flow as flow_module
from mitmproxy import http
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers import http as core
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    HttpEvent,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._hooks import (
    HttpErrorHook,
    HttpRequestHook,
    HttpResponseHeadersHook,
    HttpResponseHook,
)

from casb.proxy import gates, translate
from casb.proxy.faults import log_fault
from casb.proxy.translate import State, Taking
from casb.proxy.waiting import Handed, Ticket, Waiting

logger = logging.getLogger(__name__)

IN_MEMORY = "CASB_HOLD_IN_MEMORY"
"""Environment variable: `1` leaves bodies that are to be judged to mitmproxy's own buffers, up to `limits.hold`."""
STEP = 256 * 1024
"""Bytes that are handed over at once; more would cost memory, less would cost time."""

type Commands[T] = Generator[commands.Command, Any, T]


@dataclass
class CasbWorkHook(commands.StartHook):
    """Work of ours that an exchange waits for: `State.work`."""

    flow: http.HTTPFlow


@dataclass
class CasbPassHook(commands.StartHook):
    """A body that was held may leave: the last moment to change its head and to say how its pieces are changed."""

    flow: http.HTTPFlow


class Working:
    """The addon that does the work. What fails refuses the exchange."""

    async def casb_work(self, flow: http.HTTPFlow) -> None:
        """Do it."""
        state = translate.state_of(flow)
        try:
            if state is None or state.work is None:
                raise LookupError("nothing to do")
            work, state.work = state.work, None
            await work()
        except Exception:
            log_fault(logger, "work on a body failed, exchange refused", flow=flow.id)
            translate.refuse(flow, "work")

    def error(self, flow: http.HTTPFlow) -> None:
        """The exchange is over before its end."""
        release(translate.state_of(flow))


def wanted() -> bool:
    """False when the operator asked for the core's own way of holding."""
    return os.environ.get(IN_MEMORY) != "1"


def release(state: State | None) -> None:
    """Give up whatever is held of an exchange's bodies."""
    if state is not None and state.taking is not None:
        taking, state.taking = state.taking, None
        taking.drop()


class TakingStream(core.HttpStream):
    """The part of an exchange inside the proxy core that takes bodies in."""

    _step: list[bytes]
    _stepped: int = 0
    _ticket: Ticket | None = None
    """The client has been answered with the page of a ticket; what becomes of the body is told to that alone."""
    _begun: bool = False
    """The head of the response has left, and what follows it may."""

    # ---------------------------------------------------------------- request

    def state_take_request_body(self, event: Any) -> Commands[None]:
        """A request whose body is taken in before anything of it is sent."""
        if isinstance(event, RequestTrailers):
            self.flow.request.trailers = event.trailers
        elif isinstance(event, RequestData):
            if not translate.is_refused(self.flow) and self._collect(event.data):
                yield from self._hand_over(True, last=False)
        elif isinstance(event, RequestEndOfMessage):
            self.flow.request.timestamp_end = time.time()
            if not translate.is_refused(self.flow) and (yield from self._hand_over(True, last=True)):
                return
            if self.client_state != self.state_take_request_body:  # it streams by now
                yield from self.client_state(event)
                return
            self.client_state = self.state_done
            yield HttpRequestHook(self.flow)
            if (yield from self.check_killed(True)):
                return
            if self.flow.response:
                release(translate.state_of(self.flow))
                self.flow.response.timestamp_start = time.time()
                yield HttpResponseHeadersHook(self.flow)
                if not (yield from self.check_killed(True)):
                    yield from self.send_response()
                return
            yield from self._send_request()

    def _send_request(self) -> Commands[None]:
        """A judged upload goes to its origin, piece by piece."""
        taking = self._taking
        if taking is None or not (yield from self.make_server_connection()):
            return
        if (yield from self._head_changed()):
            return
        bare = taking.empty and not self.flow.request.trailers
        yield core.SendHttp(RequestHeaders(self.stream_id, self.flow.request, bare), self.context.server)
        if (yield from self._give(True, taking.given(), finish=True)):
            if self.flow.request.trailers:
                yield core.SendHttp(RequestTrailers(self.stream_id, self.flow.request.trailers), self.context.server)
            yield core.SendHttp(RequestEndOfMessage(self.stream_id), self.context.server)
        # Otherwise the origin has gone or has answered already: what it said waits in the queue.
        release(translate.state_of(self.flow))
        if self.server_state == self.state_done:
            yield from self.flow_done()

    # ---------------------------------------------------------------- response

    def state_take_response_body(self, event: Any) -> Commands[None]:
        """A response whose head waits while its body is taken in."""
        if isinstance(event, ResponseTrailers):
            if self.flow.response:
                self.flow.response.trailers = event.trailers
        elif isinstance(event, ResponseData):
            if self._collect(event.data):
                yield from self._hand_over(False, last=False)
        elif isinstance(event, ResponseEndOfMessage):
            yield from self._response_taken(event)

    def _response_taken(self, event: ResponseEndOfMessage) -> Commands[None]:
        if (yield from self._hand_over(False, last=True)):
            return
        if self.server_state != self.state_take_response_body or self._taking is None:
            if self.server_state == self.state_stream_response_body:
                yield from self.server_state(event)
            return
        if self._taking.passing:  # its head has left, and all of its body
            yield from self.send_response(already_streamed=True)
            release(translate.state_of(self.flow))
            return
        yield from self._send_held()

    def _send_held(self) -> Commands[None]:
        """As `send_response`, for a body that was taken in whole: the page of a refusal, or the body piece by piece."""
        flow, taking = self.flow, self._taking
        if flow.response is None or taking is None:
            raise LookupError("no response")
        flow.response.timestamp_end = time.time()
        if self._ticket is not None and self._waiting is not None:
            self._waiting.judging(self._ticket)
        yield HttpResponseHook(flow)
        self.server_state = self.state_done
        if (yield from self.check_killed(False)):
            return
        if self._ticket is not None:
            yield from self._hand_to_ticket(taking)
            return
        if translate.is_refused(flow):
            release(translate.state_of(flow))
            yield from self._send_page()
            return
        if (yield from self._head_changed()):
            return
        self._over(False)  # whoever ends sessions may still end this
        yield core.SendHttp(ResponseHeaders(self.stream_id, flow.response, end_stream=False), self.context.client)
        sent = yield from self._give(False, taking.given(), finish=True)
        self._over(True)
        release(translate.state_of(flow))
        if not sent:
            yield from self._kill()
            return
        if flow.response.trailers:
            yield core.SendHttp(ResponseTrailers(self.stream_id, flow.response.trailers), self.context.client)
        if self.client_state == self.state_done:
            yield from self.flow_done()

    def _over(self, over: bool) -> None:
        state = translate.state_of(self.flow)
        if state is not None:
            state.over = over

    # ---------------------------------------------------------------- a page meanwhile

    @property
    def _waiting(self) -> Waiting | None:
        state = translate.state_of(self.flow)
        return state.waiting if state else None

    def _let_wait(self, more: int) -> Commands[None]:
        """Answer the client with a page, when it would wait too long; the transfer goes on."""
        state = translate.state_of(self.flow)
        if state is None or state.ticket is None or state.waiting is None or self.client_state != self.state_done:
            return
        ticket = state.ticket
        ticket.received += more
        if self._ticket is not None:
            state.waiting.tell(ticket)
        elif ticket.due:
            self._ticket = ticket
            page = translate.response_from(state.waiting.show(ticket))
            yield core.SendHttp(ResponseHeaders(self.stream_id, page, False), self.context.client)
            yield core.SendHttp(ResponseData(self.stream_id, page.raw_content or b""), self.context.client)
            yield core.SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    def _hand_to_ticket(self, taking: Taking) -> Commands[None]:
        """The verdict on a file that somebody waits for with a page."""
        state, ticket, response = translate.state_of(self.flow), self._ticket, self.flow.response
        if state is None or ticket is None or state.waiting is None or response is None:
            raise LookupError("nobody waits")
        if not translate.is_refused(self.flow):
            yield CasbPassHook(self.flow)
        if translate.is_refused(self.flow):
            yield from self._end_ticket()
            return
        state.taking = None  # it is the ticket's from now on
        state.waiting.ready(ticket, response, taking)
        yield from self._leave()

    def _end_ticket(self) -> Commands[None]:
        """Whoever waits is told that there will be no file."""
        state, ticket = translate.state_of(self.flow), self._ticket
        release(state)
        if state is not None and ticket is not None and state.waiting is not None:
            if translate.is_refused(self.flow):
                state.waiting.refused(ticket, state.page)
            else:
                state.waiting.failed(ticket)
        yield from self._leave()

    def _leave(self) -> Commands[None]:
        self.flow.live = False
        self.client_state = self.server_state = self.state_errored
        yield core.DropStream(self.stream_id)

    def check_killed(self, emit_error_hook: bool) -> Commands[bool]:
        """As the original; but a client that was answered already is told nothing."""
        if self._ticket is None:
            return (yield from super().check_killed(emit_error_hook))
        if self.flow.error is None:
            return False
        yield HttpErrorHook(self.flow)
        yield from self._end_ticket()
        return True

    def handle_protocol_error(self, event: Any) -> Commands[None]:
        """As the original; but a client that was answered already may go, and what an origin fails at is told later."""
        if self._ticket is None:
            yield from super().handle_protocol_error(event)
        elif isinstance(event, ResponseProtocolError) and self.server_state != self.state_errored:
            self.flow.error = flow_module.Error(event.message)
            yield HttpErrorHook(self.flow)
            yield from self._end_ticket()

    def send_response(self, already_streamed: bool = False) -> Commands[None]:
        """As the original; a file that was waited for comes from where it is held."""
        if isinstance(self._taking, Handed) and not already_streamed:
            yield from self._send_held()
        else:
            yield from super().send_response(already_streamed)

    def _send_page(self) -> Commands[None]:
        response = self.flow.response
        if response is None:
            raise LookupError("no response")
        content = response.raw_content or b""
        yield core.SendHttp(ResponseHeaders(self.stream_id, response, not content), self.context.client)
        if content:
            yield core.SendHttp(ResponseData(self.stream_id, content), self.context.client)
        if self.client_state == self.state_done:
            yield from self.flow_done()

    def _cut_short(self) -> Commands[None]:
        """Hang up on the origin and answer with the page that `response` sets."""
        self.response_body_buf.clear()
        release(translate.state_of(self.flow))
        yield core.SendHttp(RequestProtocolError(self.stream_id, "refused", ErrorCode.CANCEL), self.context.server)
        yield from self.send_response()
        self.server_state = self.state_done

    def _kill(self) -> Commands[None]:
        """Abort what is on its way to the client: short of its length, or without the last chunk."""
        if self.flow.killable:
            self.flow.kill()
        yield from self.check_killed(True)

    # ---------------------------------------------------------------- both

    @property
    def _taking(self) -> Taking | None:
        state = translate.state_of(self.flow)
        return state.taking if state else None

    def _work(self, work: Callable[[], Awaitable[None]]) -> Commands[None]:
        """Wait for something."""
        state = translate.state_of(self.flow)
        if state is None:
            raise LookupError("nothing is known of the exchange")
        state.work = work
        yield CasbWorkHook(self.flow)

    def _collect(self, data: bytes) -> bool:
        """Keep a piece; whether a step is complete."""
        if not self._stepped:
            self._step = []
        self._step.append(data)
        self._stepped += len(data)
        return self._stepped >= STEP

    def _hand_over(self, request: bool, *, last: bool) -> Commands[bool]:
        """Give what was collected to the taking, and do what it says. True: there is nothing more to do."""
        taking = self._taking
        if taking is None:
            return False
        data = b"".join(self._step) if self._stepped else b""
        self._step, self._stepped = [], 0
        source = self.context.client if request else self.flow.server_conn
        while True:
            with gates.reading_held(self.context.client, source, self._queued()):
                yield from self._work(functools.partial(taking.take, data, last=last))
            if (yield from self.check_killed(True)):
                return True
            if translate.is_refused(self.flow):
                if not request:
                    yield from self._refused_midway()
                return not request
            if taking.passing and self._ticket is not None:
                # Too large to be held, and nobody is there to take it any more.
                yield from self._end_ticket()
                return True
            if taking.passing:
                with self._back_pressure(request):
                    if (yield from self._pass_on(request, taking)):
                        return True
            elif not request:
                yield from self._let_wait(len(data))
            if not taking.more:
                return False
            data = b""

    def _back_pressure(self, request: bool) -> AbstractContextManager[None]:
        """Read no further from where a body comes from while its receiver takes its time.

        Several exchanges share a connection of HTTP/2: who stops one of them must not stop the others.
        """
        source = self.context.client if request else self.flow.server_conn
        if gates.is_shared(self._connection_layer(source)):
            return nullcontext()
        return gates.reading_held(self.context.client, source, self._queued())

    def _queued(self) -> int:
        """Bytes that were read and wait for this exchange to go on."""
        return sum(len(each.data) for each in self._paused_event_queue if isinstance(each, RequestData | ResponseData))

    def _refused_midway(self) -> Commands[None]:
        if self._ticket is not None:
            yield core.SendHttp(RequestProtocolError(self.stream_id, "refused", ErrorCode.CANCEL), self.context.server)
            yield HttpResponseHook(self.flow)
            yield from self._end_ticket()
            return
        if self._begun:
            yield from self._kill()
            return
        yield from self._cut_short()

    def _pass_on(self, request: bool, taking: Taking) -> Commands[bool]:
        """The head, if it still waits, and what may follow it."""
        if request:
            # What policy lets pass unread goes on as a stream.
            yield from self.start_request_stream()
            if self.client_state == self.state_errored:
                return True
            yield from self._give(True, taking.given(), finish=False)
            release(translate.state_of(self.flow))
            self.client_state = self.state_stream_request_body
            return False
        response = self.flow.response
        if response is None:
            raise LookupError("no response")
        if not self._begun:
            if (yield from self._head_changed()):
                return True
            self._begun = True
            response.stream = response.stream or True
            yield core.SendHttp(ResponseHeaders(self.stream_id, response, end_stream=False), self.context.client)
        if not (yield from self._give(False, taking.given(), finish=False)):
            yield from self._kill()
            return True
        if taking.done:
            release(translate.state_of(self.flow))
            self.server_state = self.state_stream_response_body
        return False

    def _head_changed(self) -> Commands[bool]:
        """Let whoever changes a body say how, now that it leaves. True: that failed, and the exchange is over."""
        yield CasbPassHook(self.flow)
        if (yield from self.check_killed(True)):
            return True
        if translate.is_refused(self.flow):
            yield from self._kill()
            return True
        return False

    def _give(self, request: bool, pieces: Iterable[bytes], *, finish: bool) -> Commands[bool]:
        """Send pieces through the body's transformer. False: the receiver has gone."""
        message: Any = self.flow.request if request else self.flow.response
        change = message.stream if callable(message.stream) else None
        sent = 0
        for piece in pieces:
            for out in _changed(change, piece) if change else (piece,):
                yield self._data(request, out)
                sent += len(out)
            if sent >= STEP:
                sent = 0
                if not (yield from self._drained(request)):
                    return False
        if finish and change:
            for out in _changed(change, b""):
                yield self._data(request, out)
        return not sent or (yield from self._drained(request))

    def _data(self, request: bool, data: bytes) -> commands.Command:
        event: HttpEvent = RequestData(self.stream_id, data) if request else ResponseData(self.stream_id, data)
        return core.SendHttp(event, self.context.server if request else self.context.client)

    def _drained(self, request: bool) -> Commands[bool]:
        """Wait until the receiver has taken what was sent. False: it has gone."""
        receiver = self.context.server if request else self.context.client
        state = translate.state_of(self.flow)
        patience = float(state.snapshot.settings.limits.upstream_idle) if request and state else None
        took = False

        async def wait() -> None:
            nonlocal took
            layer = self._connection_layer(receiver)
            took = await gates.drained(self.context.client, receiver, layer, self.stream_id, patience)

        yield from self._work(wait)
        return took and not any(isinstance(each, RequestProtocolError) for each in self._paused_event_queue)

    def _connection_layer(self, connection: Any) -> Any:
        parent = self.context.layers[self.context.layers.index(self) - 1]
        return getattr(parent, "connections", {}).get(connection)


def _changed(change: Callable[[bytes], Any], piece: bytes) -> Iterable[bytes]:
    out = change(piece)
    return (out,) if isinstance(out, bytes) else out
