"""Back-pressure: whoever works on a body holds the reading of its connection, and waits until what it sent has left.

mitmproxy reads on while one of its streams waits for a hook, and keeps what arrives; over HTTP/2 it keeps what the peer
does not take. Either would put a whole file into memory. So a connection is read `AHEAD` bytes further while somebody
works on what came from it, and no more is sent to a peer before it has taken nearly all that was.

Works beside the levers and without them: it depends on `ConnectionHandler.transports` alone.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mitmproxy.connection import Connection
from mitmproxy.proxy import server
from mitmproxy.proxy.context import Context

AHEAD = 256 * 1024
"""Bytes that are read from a connection while its last ones are worked on."""
LOW = 256 * 1024
"""Bytes that may wait in an HTTP/2 stream for the peer's window."""
_NAP, _LONGEST_NAP = 0.001, 0.05


class Gate:
    """The reading of one connection."""

    def __init__(self, reader: Any) -> None:
        self._read = reader.read
        self._open = asyncio.Event()
        self._open.set()
        self._holders = 0
        self._left = 0
        reader.read = self.read

    async def read(self, size: int) -> bytes:
        """As the reader's own, once the gate is open or something may still be read ahead."""
        while self._holders and self._left <= 0:
            await self._open.wait()
        data: bytes = await self._read(size)
        self._left -= len(data)
        return data

    @contextmanager
    def held(self, queued: int = 0) -> Iterator[None]:
        """Closed for as long as somebody is within; `queued` bytes have been read ahead already."""
        if not self._holders:
            self._left = AHEAD - queued
            self._open.clear()
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._open.set()


class Handlers:
    """From a client connection to what runs it."""

    def __init__(self) -> None:
        self._of: weakref.WeakKeyDictionary[Connection, weakref.ref[server.ConnectionHandler]] = (
            weakref.WeakKeyDictionary()
        )

    def note(self, handler: server.ConnectionHandler) -> None:
        """A handler was made."""
        self._of[handler.client] = weakref.ref(handler)

    def of(self, client: Connection) -> server.ConnectionHandler | None:
        """The handler of a client, while it lives."""
        found = self._of.get(client)
        return found() if found is not None else None


handlers = Handlers()


@contextmanager
def reading_held(client: Connection, connection: Connection, queued: int = 0) -> Iterator[None]:
    """Read no further than `AHEAD` from a connection that `client` led to, with what is `queued` counted in: whoever
    holds it again and again would otherwise let in more each time than was worked on."""
    handler = handlers.of(client)
    transport = handler.transports.get(connection) if handler else None
    reader = transport.reader if transport else None
    if reader is None:
        yield
        return
    gate = getattr(reader, "casb_gate", None)
    if gate is None:
        gate = Gate(reader)
        reader.casb_gate = gate  # type: ignore[union-attr]
    with gate.held(queued):
        yield


def is_shared(layer: Any) -> bool:
    """Whether several exchanges may be on a connection at the same time: HTTP/2."""
    return hasattr(layer, "h2_conn")


def backlog(layer: Any, stream_id: int) -> int:
    """Bytes that an HTTP/2 stream keeps for its peer; 0 over HTTP/1.1."""
    h2 = getattr(layer, "h2_conn", None)
    if h2 is None:
        return 0
    number = getattr(layer, "our_stream_id", {}).get(stream_id, stream_id)  # towards an origin it has another
    waiting = h2.stream_buffers.get(number)
    return sum(len(each.data) for each in waiting) if waiting else 0


async def drained(
    client: Connection, connection: Connection, layer: Any, stream_id: int, patience: float | None
) -> bool:
    """Wait until a peer has taken nearly all that was sent to it. False: it has gone, or took nothing for `patience`
    seconds."""
    handler = handlers.of(client)
    transport = handler.transports.get(connection) if handler else None
    writer = transport.writer if transport else None
    if writer is None or writer.is_closing():
        return False
    try:
        async with asyncio.timeout(patience):
            await writer.drain()
    except (OSError, TimeoutError):
        return False
    nap, idle, before = _NAP, 0.0, backlog(layer, stream_id)
    while (left := backlog(layer, stream_id)) > LOW:
        if writer.is_closing() or (patience is not None and idle > patience):
            return False
        idle = 0.0 if left != before else idle + nap
        before = left
        await asyncio.sleep(nap)
        nap = min(nap * 2, _LONGEST_NAP)
    return not writer.is_closing()


def install() -> None:
    """Know the handler of every client from now on."""
    plain = getattr(server.ConnectionHandler.__init__, "__wrapped__", server.ConnectionHandler.__init__)

    def init(self: server.ConnectionHandler, context: Context) -> None:
        plain(self, context)
        handlers.note(self)

    init.__wrapped__ = plain  # type: ignore[attr-defined]
    server.ConnectionHandler.__init__ = init  # type: ignore[method-assign]
