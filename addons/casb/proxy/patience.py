"""Browsers that take their time: heads that never end, bodies and readers that crawl, streams opened to be reset.

Nothing is counted per request but bytes: every few seconds one look at each connection says what its client is doing
and how far it has come since the last one. Who is slower than the limits allow is cut off; who waits for us, or for the
application, is not. HTTP/2 streams that are reset faster than people click end their connection (CVE-2023-44487).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import h2.errors
import h2.events
from mitmproxy.proxy import context
from mitmproxy.proxy.commands import Command
from mitmproxy.proxy.layers import http as core
from mitmproxy.proxy.layers.http import _http2

from casb.control.routes import Kind
from casb.proxy.faults import log_fault
from casb.proxy.heads import BoundedServer
from casb.proxy.levers import QuickHandler, logger, watched
from casb.proxy.runtime import Runtime
from casb.settings import Limits

INTERVAL = 2.0
"""Seconds between looks; 10,000 connections take some 10 ms."""
WINDOW = 20.0
"""Seconds for which somebody may be slower than `limits.client_rate`."""
RESETS = 200
"""Streams that an HTTP/2 client may reset within `RESET_WINDOW` seconds; pages that are left reset dozens."""
RESET_WINDOW = 10.0


@dataclass(slots=True)
class Course:
    """What was seen of one connection. `doing` is a phase and which request it is of; times are monotonic."""

    doing: tuple[str, int]
    since: float
    moved: int


def doing(handler: QuickHandler) -> tuple[str, int]:
    """What the client of a connection is at: `head`, `body`, `reading`, or `nothing` that we wait for."""
    io = handler.transports.get(handler.client)
    if io is None or io.writer is None:
        return "nothing", 0
    if not isinstance(io.writer, asyncio.StreamWriter) or not isinstance(io.reader, asyncio.StreamReader):
        return "nothing", 0
    reader: Any = io.reader
    if io.writer.transport.get_write_buffer_size():
        return "reading", 0
    if reader._buffer or _waits(handler):
        return "nothing", 0
    line = getattr(handler.client, "casb_http", None)
    if line is None:
        route = getattr(handler.client, "casb_route", None)
        return ("nothing", 0) if route is not None and route.kind is Kind.TUNNEL else ("head", 0)
    if isinstance(line, WatchedServer):
        if line.state == line.read_headers and (line.buf or line.stream_id == 1):
            return "head", line.stream_id
        return ("body", line.stream_id) if line.state == line.read_body else ("nothing", 0)
    return ("head", 0) if not line.h2_conn.highest_inbound_stream_id else ("nothing", 0)


def _waits(handler: QuickHandler) -> bool:
    """Whether we do not read because somebody else does not take what has come."""
    return any(
        isinstance(io.writer, asyncio.StreamWriter) and io.writer.transport.get_write_buffer_size()
        for connection, io in handler.transports.items()
        if connection is not handler.client
    )


def too_slow(handler: QuickHandler, before: Course | None, now: float, limits: Limits) -> tuple[Course, str]:
    """The course of a connection at this look, and what its client is too slow with ("": nothing)."""
    at = doing(handler)
    moved = handler.received
    if at[0] == "reading":
        io = handler.transports[handler.client]
        moved = handler.sent - (io.writer.transport.get_write_buffer_size() if io.writer else 0)  # type: ignore[union-attr]
    if before is None or before.doing != at:
        return Course(at, now, moved), ""
    if at[0] == "head":
        return before, "head" if now - before.since > limits.client_head else ""
    if at[0] == "nothing" or now - before.since < WINDOW:
        return before, ""
    slow = moved - before.moved < limits.client_rate * (now - before.since)
    return Course(at, now, moved), at[0] if slow else ""


class Patience:
    """Looks at all connections of a worker, again and again."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._courses: dict[QuickHandler, Course] = {}
        self._task: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def done(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                self.look(time.monotonic())
            except Exception:
                log_fault(logger, "slow clients not looked for")

    def look(self, now: float) -> None:
        """Once over all connections."""
        limits = self.runtime.snapshot.settings.limits
        courses: dict[QuickHandler, Course] = {}
        for handler in list(watched):
            courses[handler], with_what = too_slow(handler, self._courses.get(handler), now, limits)
            if with_what:
                self.runtime.counters[f"slow_{with_what}"] += 1
                _cut(handler)
        self._courses = courses


def _cut(handler: QuickHandler) -> None:
    """End a client's connection at once: what is still to be sent is not waited for."""
    io = handler.transports.get(handler.client)
    if io is not None and isinstance(io.writer, asyncio.StreamWriter):
        io.writer.transport.abort()
    if io is not None and io.handler is not None:
        io.handler.cancel("too slow")


class WatchedServer(BoundedServer):
    """Towards an HTTP/1.1 browser: known to its connection."""

    def __init__(self, context: context.Context) -> None:
        super().__init__(context)
        context.client.casb_http = self  # type: ignore[attr-defined]


class CalmServer(_http2.Http2Server):
    """Towards an HTTP/2 browser: ends a connection whose streams are opened to be reset (RFC 9113 section 10.5)."""

    clock: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(self, context: context.Context) -> None:
        super().__init__(context)
        context.client.casb_http = self  # type: ignore[attr-defined]
        self._resets, self._began = 0, 0.0

    def handle_h2_event(self, event: h2.events.Event) -> Generator[Command, Any, bool]:
        """As the original, up to the limit."""
        if isinstance(event, h2.events.StreamReset):
            now = self.clock()
            if now - self._began > RESET_WINDOW:
                self._resets, self._began = 0, now
            self._resets += 1
            if self._resets > RESETS:
                yield from self.protocol_error("too many streams reset", h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
                return True
        return (yield from super().handle_h2_event(event))


def install() -> None:
    """Make mitmproxy use them."""
    core.Http1Server = WatchedServer  # type: ignore[attr-defined]
    core.Http2Server = CalmServer  # type: ignore[attr-defined]
