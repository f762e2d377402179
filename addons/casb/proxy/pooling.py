"""Connections to an app that outlive the browser's, for the next browser that asks for the same.

mitmproxy makes a connection to the origin for each of a browser's, and, for a browser that speaks HTTP/2, one for each
request to an origin that does not: half of what a new connection costs is the handshake behind it (reference/
performance.md, section 2). A connection goes on to somebody else only when an HTTP/1.1 exchange ended on it whole, both
ways, nothing lies unread, and no side asked to close it; to the same app, address, name, trust, protocols and
configuration only; and never when somebody signed in to the connection itself (NTLM, Negotiate: RFC 4559 section 6).
What fails is closed, never kept. A request and its answer see no difference.

`upstream: {pool: false}` switches it off for an app, `limits: {upstream_pool: 0s}` and `CASB_PLAIN_CORE=1` for all.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from typing import Any

from mitmproxy import http
from mitmproxy.connection import Client, Connection, ConnectionState, Server
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, context, events, mode_servers, server_hooks, tunnel
from mitmproxy.proxy.layers import http as core
from mitmproxy.proxy.layers import tls
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._events import RequestHeaders
from mitmproxy.proxy.server import ConnectionIO
from OpenSSL import SSL

from casb.control.routes import Kind, Route
from casb.proxy.levers import QuickHandler, waiting_bytes, wanted
from casb.proxy.stream import FramedClient

PER_KEY = 64
"""Idle connections kept for one app's host; a browser's burst is about six."""
IN_ALL = 1024
_BOUND = (b"ntlm", b"negotiate", b"kerberos")  # schemes that sign in a connection, not a request


@dataclass(slots=True, kw_only=True)
class Idle:
    """A connection that waits, and since when (monotonic)."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    tls: SSL.Connection | None
    since: float

    def is_sound(self) -> bool:
        """Nothing has come and nobody has gone: whatever an origin says unasked ends the connection."""
        reader: Any = self.reader
        return not (
            self.writer.is_closing() or self.reader.at_eof() or self.reader.exception() is not None or reader._buffer
        )


class Pool:
    """Idle connections by what makes two of them the same; the youngest is used first, the oldest closed first."""

    def __init__(self, seconds: Callable[[], float] = lambda: 0.0) -> None:
        self.seconds = seconds
        self.counters: Counter[str] = Counter()
        self._idle: dict[Hashable, deque[Idle]] = {}
        self._count = 0
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return self._count

    def has(self, key: Hashable) -> bool:
        """Whether to ask at all."""
        return key in self._idle

    def put(self, key: Hashable, idle: Idle) -> None:
        """Keep one, or close it."""
        waiting = self._idle.setdefault(key, deque())
        if self.seconds() <= 0 or len(waiting) >= PER_KEY or self._count >= IN_ALL or not idle.is_sound():
            idle.writer.close()
            if not waiting:
                del self._idle[key]
            return
        waiting.append(idle)
        self._count += 1
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(1, self._close_old)

    def take(self, key: Hashable) -> Idle | None:
        """The youngest that is still good."""
        waiting = self._idle.get(key)
        oldest = time.monotonic() - self.seconds()
        found = None
        while waiting and found is None:
            idle = waiting.pop()
            self._count -= 1
            if idle.since >= oldest and idle.is_sound():
                found = idle
            else:
                idle.writer.close()
        if waiting is not None and not waiting:
            del self._idle[key]
        return found

    def close(self) -> None:
        """Close all of them."""
        for waiting in self._idle.values():
            for idle in waiting:
                idle.writer.close()
        self._idle.clear()
        self._count = 0
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _close_old(self) -> None:
        self._sweep = None
        oldest = time.monotonic() - self.seconds()
        for key, waiting in list(self._idle.items()):
            good: deque[Idle] = deque()
            for idle in waiting:
                if idle.since >= oldest and idle.is_sound():
                    good.append(idle)
                else:
                    idle.writer.close()
            self._count -= len(waiting) - len(good)
            if good:
                self._idle[key] = good
            else:
                del self._idle[key]
        if self._idle:
            self._sweep = asyncio.get_running_loop().call_later(1, self._close_old)


pool = Pool()
"""The worker's: its loop is one, and so are its connections."""


def key_of(client: Client, server: Server) -> Hashable | None:
    """What two connections have in common that may stand for each other; None: this one is nobody else's."""
    found: Route | None = getattr(client, "casb_route", None)
    if found is None or found.kind is not Kind.APP or found.app is None or pool.seconds() <= 0:
        return None
    if not found.app.upstream.pool or server.via or server.transport_protocol != "tcp" or server.sockname:
        return None
    ca, offers = found.app.upstream.ca, tuple(client.alpn_offers)
    return found.app.id, server.address, found.origin, ca, server.tls, offers, found.version


def signs_in_connection(headers: http.Headers, name: bytes) -> bool:
    """Whether a header of this name is of a scheme that signs in a connection."""
    return any(field.lower() == name and value.lstrip().lower().startswith(_BOUND) for field, value in headers.fields)


class PooledClient(FramedClient):
    """Towards an HTTP/1.1 origin: knows whether its connection may go on to somebody else."""

    def __init__(self, context: context.Context) -> None:
        super().__init__(context)
        self._bound = False
        self._whole = False  # ended whole on behalf of an HTTP/2 browser: mitmproxy closes it then
        context.server.casb_line = self

    def send(self, event: Any) -> Generator[commands.Command, Any, None]:
        """As the original; notes who signs in to the connection."""
        if type(event) is RequestHeaders and signs_in_connection(event.request.headers, b"authorization"):
            self._bound = True
        yield from super().send(event)

    def mark_done(self, *, request: bool = False, response: bool = False) -> Generator[commands.Command, Any, None]:
        """As the original; notes how the exchange ended."""
        asked, answered = self.request, self.response
        if answered is not None and signs_in_connection(answered.headers, b"www-authenticate"):
            self._bound = True
        if (self.request_done or request) and (self.response_done or response) and asked and answered:
            self._whole = asked.is_http2 and not self.buf and not _ends(asked, answered)
        yield from super().mark_done(request=request, response=response)

    def is_idle(self) -> bool:
        """Whether the last exchange is over and nothing has come since."""
        if self._bound or self.buf:
            return False
        if self._whole:
            return bool(self.state == self.done)
        return self.request is None and self.stream_id is None and bool(self.state == self.read_headers)


def _ends(request: http.Request, response: http.Response) -> bool:
    """Whether an exchange ends its connection, HTTP/2 on the browser's side aside."""
    try:
        return (
            _http1.should_make_pipe(request, response)
            or http1.expected_http_body_size(request, response) == -1
            or http1.connection_close("HTTP/1.1", request.headers)
            or http1.connection_close(response.http_version, response.headers)
        )
    except ValueError:
        return True


class _Gone:
    """Stands for the writer of a connection that has been kept, until its old owner has let go of it."""

    def is_closing(self) -> bool:
        return True

    def write(self, data: bytes) -> None:
        """To nobody."""

    def write_eof(self) -> None:
        """Of nobody."""

    def close(self) -> None:
        """It is not theirs any more."""

    async def drain(self) -> None:
        """Nothing waits."""


def keep(client: Client, server: Server, io: ConnectionIO) -> bool:
    """Take a connection from its owner, who is about to close it, when it may go on; then the pool has it, or closes
    it, as soon as the owner's task has ended."""
    line, secured = getattr(server, "casb_line", None), getattr(server, "casb_tls", None)
    reader, writer, task = io.reader, io.writer, io.handler
    if not isinstance(line, PooledClient) or not line.is_idle() or server.error or task is None:
        return False
    if not isinstance(reader, asyncio.StreamReader) or not isinstance(writer, asyncio.StreamWriter):
        return False
    key = getattr(server, "casb_pool_key", None)
    if key is None or key != key_of(client, _again(server)) or bool(server.tls) != (secured is not None):
        return False
    if secured is not None and not _is_quiet(secured):
        return False
    idle = Idle(reader=reader, writer=writer, tls=secured, since=time.monotonic())
    if not idle.is_sound() or writer.transport.get_write_buffer_size():
        return False
    io.writer = _Gone()  # type: ignore[assignment]
    server.casb_line = server.casb_tls = None
    task.add_done_callback(lambda _: pool.put(key, idle))
    return True


def _again(server: Server) -> Server:
    """The same, as it was asked for: without the address it got on this machine."""
    asked = Server(address=server.address, transport_protocol=server.transport_protocol)
    asked.tls, asked.via = server.tls, server.via
    return asked


def _is_quiet(secured: SSL.Connection) -> bool:
    """Nothing lies between the socket and the layers above it."""
    return not (secured.pending() or waiting_bytes(secured._into_ssl) or waiting_bytes(secured._from_ssl))


def adopt(server: Server, idle: Idle, task: asyncio.Task[Any] | None) -> ConnectionIO:
    """Give a kept connection to its next owner: the rest goes as if it had been made now."""
    now = time.time()
    server.timestamp_start = server.timestamp_tcp_setup = now
    server.state = ConnectionState.OPEN
    server.peername = idle.writer.get_extra_info("peername")
    server.sockname = idle.writer.get_extra_info("sockname")
    server.casb_kept_tls = idle.tls  # `tls.TlsConfig` takes it instead of a new one
    return ConnectionIO(handler=task, reader=idle.reader, writer=idle.writer)


_plain_handshake = tls.ServerTLSLayer.start_handshake


def start_handshake(self: tls.ServerTLSLayer) -> Generator[commands.Command, Any, None]:
    """As the original; on a kept connection nothing is left to shake hands about, and nobody will say so later."""
    if getattr(self.conn, "casb_kept_tls", None) is None:
        yield from _plain_handshake(self)
        return
    yield from self.start_tls()
    if self.tls:
        yield from tunnel.TunnelLayer.start_handshake(self)


class PoolingHandler(QuickHandler):
    """A browser's connection whose connections to apps come from the pool, and go back to it."""

    async def open_connection(self, command: commands.OpenConnection) -> None:
        """As the original; a kept connection is taken where there is one."""
        server = command.connection
        server.casb_pool_key = key = key_of(self.client, server)
        if key is None or server.address is None or not pool.has(key):
            pool.counters["opened"] += 1
            await super().open_connection(command)
            return
        await asyncio.sleep(0)  # tasks begin at once: whoever made this one first notes it as the connection's
        told = server_hooks.ServerConnectionHookData(client=self.client, server=server)
        await self.handle_hook(server_hooks.ServerConnectHook(told))
        idle = None if server.error else pool.take(key)
        if idle is None:
            await super().open_connection(command)  # it asks again, and says what is wrong
            return
        pool.counters["reused"] += 1
        async with self.max_conns[server.address]:
            self.transports[server] = adopt(server, idle, asyncio.current_task())
            await self.handle_hook(server_hooks.ServerConnectedHook(told))
            await self.server_event(events.OpenConnectionCompleted(command, None))
            try:
                await self.handle_connection(server)
            finally:
                server.timestamp_end = time.time()
                await self.handle_hook(server_hooks.ServerDisconnectedHook(told))

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """As the original; when the browser has gone, what can go on is taken out first."""
        if type(hook) is server_hooks.ClientDisconnectedHook:
            for connection, io in list(self.transports.items()):
                if isinstance(connection, Server):
                    keep(self.client, connection, io)
        await super().handle_hook(hook)

    def close_connection(self, connection: Connection, half_close: bool = False) -> None:
        """As the original; a connection that only an HTTP/2 browser's request ended goes on."""
        if isinstance(connection, Server) and not half_close:
            io = self.transports.get(connection)
            if io is not None:
                keep(self.client, connection, io)
        super().close_connection(connection, half_close)


def install(seconds: Callable[[], float]) -> None:
    """Make mitmproxy use it; `seconds` a connection may wait, 0: none is kept."""
    if wanted():
        pool.seconds = seconds
        core.Http1Client = PooledClient  # type: ignore[attr-defined]
        tls.ServerTLSLayer.start_handshake = start_handshake  # type: ignore[method-assign]
        mode_servers.ProxyConnectionHandler = PoolingHandler  # type: ignore[misc]
