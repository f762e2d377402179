"""Where mitmproxy 12.2 spends time that a reverse proxy need not spend, taken back (reference/performance.md).

Each lever is one small override with its reason; all are switched off by `CASB_PLAIN_CORE=1`, which leaves the core as
it came. `tests/casb/proxy/test_levers.py` compares both, so that an upgrade that breaks one is noticed there.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import functools
import inspect
import itertools
import logging
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Any

import mitmproxy.connection
import mitmproxy.flow
from mitmproxy import addonmanager, flow, http, optmanager
from mitmproxy.proxy import commands, context, events, layer, mode_servers, server, tunnel
from mitmproxy.proxy.layers import http as core
from mitmproxy.proxy.layers import modes, tls
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import RequestHeaders
from mitmproxy.utils import asyncio_utils
from OpenSSL import SSL

from casb.proxy.faults import log_fault

logger = logging.getLogger(__name__)

type Handler = Callable[..., Awaitable[None] | None]


def wanted() -> bool:
    """False when the operator asked for the unmodified core."""
    return os.environ.get("CASB_PLAIN_CORE") != "1"


class HookTable:
    """Who answers which hook, looked up once.

    mitmproxy walks all addons and their attributes for every hook of every flow and follows each with an `update`
    hook for its user interface. Our hooks are sealed, so no outer safety net is needed around each of them.
    """

    def __init__(self, manager: addonmanager.AddonManager) -> None:
        self._manager = manager
        self._table: dict[str, tuple[Handler, ...]] = {}
        self._fields: dict[type[commands.StartHook], tuple[str, ...]] = {}

    def handlers(self, name: str) -> tuple[Handler, ...]:
        """All handlers of a hook in the order of the addons."""
        found = self._table.get(name)
        if found is None:
            addons = addonmanager.traverse(self._manager.chain)
            found = tuple(getattr(each, name) for each in addons if callable(getattr(each, name, None)))
            self._table[name] = found
        return found

    def arguments(self, hook: commands.StartHook) -> list[Any]:
        """What a hook is called with, as `hook.args()` has it."""
        names = self._fields.get(type(hook))
        if names is None:
            names = self._fields[type(hook)] = tuple(each.name for each in dataclasses.fields(hook))  # type: ignore[arg-type]
        return [getattr(hook, name) for name in names]


class QuickHandler(mode_servers.ProxyConnectionHandler):
    """Runs hooks that need no waiting in line, without a task and a lock round trip for each.

    A hook that raises is logged and closes the connection: nothing of ours is allowed to fail open.
    """

    table: HookTable
    received = 0  # bytes from the client, and bytes given to the kernel or its queue for it
    sent = 0

    def __init__(self, master: Any, *arguments: Any) -> None:
        super().__init__(master, *arguments)  # type: ignore[no-untyped-call]
        table = getattr(master, "casb_hook_table", None)
        if table is None:
            table = master.casb_hook_table = HookTable(master.addons)
        self.table = table
        self.client.casb_run_hook = self.run_hook  # type: ignore[attr-defined]

    async def handle_client(self) -> None:
        """As the original; the way back to the handler goes with the connection."""
        watched.add(self)
        try:
            await super().handle_client()
        finally:
            watched.discard(self)
            del self.client.casb_run_hook  # type: ignore[attr-defined]

    def run_hook(self, hook: commands.StartHook) -> Awaitable[None] | None:
        """Call the handlers; what is left to wait for, or None when all is done."""
        arguments = self.table.arguments(hook)
        handlers = self.table.handlers(hook.name)
        for index, handler in enumerate(handlers):
            try:
                result = handler(*arguments)
            except Exception:
                self._failed(hook, arguments)
                return None
            if result is not None and inspect.isawaitable(result):
                return self._rest(hook, arguments, result, handlers[index + 1 :])
        subject = arguments[0]
        if isinstance(subject, flow.Flow) and subject.intercepted:
            return subject.wait_for_resume()
        return None

    async def _rest(
        self, hook: commands.StartHook, arguments: list[Any], first: Awaitable[None], handlers: tuple[Handler, ...]
    ) -> None:
        try:
            await first
            for handler in handlers:
                result = handler(*arguments)
                if result is not None and inspect.isawaitable(result):
                    await result
        except Exception:
            self._failed(hook, arguments)
            return
        if isinstance(arguments[0], flow.Flow):
            await arguments[0].wait_for_resume()

    def _failed(self, hook: commands.StartHook, arguments: list[Any]) -> None:
        log_fault(logger, "hook failed, connection closed", hook=hook.name)
        subject = arguments[0] if arguments else None
        if isinstance(subject, flow.Flow) and subject.killable:
            subject.kill()

    async def drain_writers(self) -> None:
        """As the original, when there is anything to wait for."""
        for transport in self.transports.values():
            writer = transport.writer
            if writer is None:
                continue
            if not isinstance(writer, asyncio.StreamWriter) or writer.is_closing():
                break
            if writer.transport.get_write_buffer_size():
                break
        else:
            return
        await super().drain_writers()  # type: ignore[no-untyped-call]

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """For hooks outside of the layers (client connected and the like)."""
        with self.timeout_watchdog.disarm():
            waiting = self.run_hook(hook)
            if waiting is not None:
                await waiting

    async def _later(self, hook: commands.StartHook, waiting: Awaitable[None]) -> None:
        with self.timeout_watchdog.disarm():
            await waiting
        if hook.blocking:
            await self.server_event(events.HookCompleted(hook))

    async def server_event(self, event: events.Event) -> None:
        """As the original; a hook that is done at once is answered in the same turn, and what is sent is sent last.

        A response's head and its body are one call of the kernel that way.
        """
        async with self._server_event_lock:
            self.timeout_watchdog.register_activity()
            if type(event) is events.DataReceived and event.connection is self.client:
                self.received += len(event.data)
            queue: deque[events.Event] = deque([event])
            unsent: dict[mitmproxy.connection.Connection, list[bytes]] = {}
            try:
                while queue:
                    for command in self.layer.handle_event(queue.popleft()):
                        if isinstance(command, commands.SendData):
                            unsent.setdefault(command.connection, []).append(command.data)
                        elif isinstance(command, commands.StartHook):
                            self._hook(command, queue)
                        else:
                            if unsent and isinstance(command, commands.CloseConnection):
                                self._send(unsent)
                            self._carry_out(command)
                if unsent:
                    self._send(unsent)
            except Exception:
                log_fault(logger, "proxy core failed, connection closed")
                self.close_connection(self.client)
            if type(self.layer) in _PASSING:
                self.layer = innermost(self.layer)

    def _hook(self, hook: commands.StartHook, queue: deque[events.Event]) -> None:
        waiting = hook.__dict__.pop(_WAITING) if _WAITING in hook.__dict__ else self.run_hook(hook)
        if waiting is not None:
            asyncio_utils.create_task(
                self._later(hook, waiting),
                name=f"handle_hook({hook.name})",
                keep_ref=True,
                client=self.client.peername,
            )
        elif hook.blocking:
            queue.append(events.HookCompleted(hook))

    def _send(self, unsent: dict[mitmproxy.connection.Connection, list[bytes]]) -> None:
        for connection, parts in unsent.items():
            transport = self.transports.get(connection)
            if transport is None or transport.writer is None or transport.writer.is_closing():
                continue  # The connection has been closed already.
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            if connection is self.client:
                self.sent += len(data)
            transport.writer.write(data)
        unsent.clear()

    def _carry_out(self, command: commands.Command) -> None:
        match command:
            case commands.OpenConnection():
                handler = asyncio_utils.create_task(
                    self.open_connection(command),
                    name="server connection handler",
                    keep_ref=False,
                    client=self.client.peername,
                )
                self.transports[command.connection] = server.ConnectionIO(handler=handler)
            case commands.RequestWakeup():
                task = asyncio_utils.create_task(
                    self.wakeup(command), name="wakeup timer", keep_ref=False, client=self.client.peername
                )
                self.wakeup_timer.add(task)
            case commands.ConnectionCommand() if command.connection not in self.transports:
                pass  # The connection has been closed already.
            case commands.CloseTcpConnection():
                self.close_connection(command.connection, command.half_close)
            case commands.CloseConnection():
                self.close_connection(command.connection, False)
            case commands.Log():
                if command.level >= logging.WARNING:
                    self.log(command.message, command.level)
            case _:
                raise RuntimeError(f"unexpected command: {command}")


watched: set[QuickHandler] = set()
"""All connections of browsers to this process."""
_WAITING = "casb_waiting"
HttpStream = core.HttpStream  # before `stream.install` puts ours in its place
_PASSING = (layer.NextLayer, modes.ReverseProxy, modes.HttpProxy)


def innermost(outer: layer.Layer) -> layer.Layer:
    """The first layer that does more than hand on, so that events need not pass through the others.

    Layers that wait for something, or keep events back, stay.
    """
    while type(outer) in _PASSING and not outer._paused and not outer._paused_event_queue:
        if isinstance(outer, layer.NextLayer):
            if outer.layer is None or outer.events:
                break
            outer = outer.layer
        else:
            following = getattr(outer._handle_event, "__self__", outer)
            if following is outer or not isinstance(following, layer.Layer):
                break
            outer = following
    return outer


def stream_handle_event(self: HttpStream, event: events.Event) -> Generator[commands.Command, Any, None]:
    """As `Layer.handle_event`; hooks that need no waiting run here instead of at the other end of all layers."""
    run_hook = getattr(self.context.client, "casb_run_hook", None)
    if self._paused or run_hook is None or self.debug is not None:
        yield from layer.Layer.handle_event(self, event)
        return
    generator = self._handle_event(event)
    try:
        command = next(generator)
        while True:
            if command.blocking is True:
                if not isinstance(command, commands.StartHook):
                    break
                waiting = run_hook(command)
                if waiting is not None:
                    command.__dict__[_WAITING] = waiting
                    break
            else:
                yield command
            command = next(generator)
    except StopIteration:
        return
    command.blocking = self
    self._paused = layer.Paused(command, generator)
    yield command


# ---------------------------------------------------------------- headers


@functools.lru_cache(1024)
def _folded(name: str | bytes) -> bytes:
    return http._always_bytes(name).lower()


def _index(self: http.Headers) -> dict[bytes, list[bytes]]:
    """Names in lower case to values. Made once for each state of the fields, which are a tuple and never changed."""
    own = self.__dict__
    fields = own["fields"]
    if own.get("casb_indexed") is fields and type(fields) is tuple:
        found: dict[bytes, list[bytes]] = own["casb_index"]
        return found
    index: dict[bytes, list[bytes]] = {}
    for key, value in fields:
        index.setdefault(key.lower(), []).append(value)
    own["casb_indexed"], own["casb_index"] = fields, index
    return index


def _get_all(self: http.Headers, name: str | bytes) -> list[str]:
    return [value.decode("utf-8", "surrogateescape") for value in _index(self).get(_folded(name), ())]


def _get(self: http.Headers, name: str | bytes, default: Any = None) -> Any:
    values = _index(self).get(_folded(name))
    if values is None:
        return default
    if len(values) == 1:
        return values[0].decode("utf-8", "surrogateescape")
    return b", ".join(values).decode("utf-8", "surrogateescape")


def _getitem(self: http.Headers, name: str | bytes) -> str:
    value = _get(self, name)
    if value is None:
        raise KeyError(name)
    return str(value)


def _contains(self: http.Headers, name: str | bytes) -> bool:
    return _folded(name) in _index(self)


def _setitem(self: http.Headers, name: str | bytes, value: str | bytes) -> None:
    wanted, new, fields = _folded(name), http._always_bytes(value), []
    found = False
    for pair in self.fields:
        if pair[0].lower() != wanted:
            fields.append(pair)
        elif not found:
            fields.append((pair[0], new))
            found = True
    if not found:
        fields.append((http._always_bytes(name), new))
    self.fields = tuple(fields)


_plain_init = http.Headers.__init__


def _init(self: http.Headers, fields: Iterable[tuple[bytes, bytes]] = (), **headers: Any) -> None:
    if headers:
        _plain_init(self, fields, **headers)
        return
    self.fields = tuple(map(tuple, fields))  # type: ignore[arg-type]
    for key, value in self.fields:
        if type(key) is not bytes or type(value) is not bytes:
            raise TypeError("Header fields must be bytes.")


_HEADERS: dict[str, Any] = {
    "__init__": _init,
    "__getitem__": _getitem,
    "__setitem__": _setitem,
    "__contains__": _contains,
    "get": _get,
    "get_all": _get_all,
}

# ---------------------------------------------------------------- options

_plain_current = optmanager._Option.current
_IMMUTABLE = (bool, int, float, str, type(None))


def _current(self: optmanager._Option) -> Any:
    """As the original, which copies deeply what cannot be changed."""
    value = self._default if self.value is optmanager.unset else self.value
    return value if type(value) in _IMMUTABLE else copy.deepcopy(value)


# ---------------------------------------------------------------- layers


def http_event_to_child(
    self: core.HttpLayer, child: layer.Layer, event: events.Event
) -> Generator[commands.Command, Any, None]:
    """As the original, which asks of every command all that it may be; the frequent ones come first here."""
    for command in child.handle_event(event):
        kind = type(command)
        if kind is commands.SendData or kind is commands.Log:
            yield command
            continue
        if command.blocking or kind is commands.RequestWakeup:
            self.command_sources[command] = child
        if kind is ReceiveHttp:
            received = command.event  # type: ignore[attr-defined]
            if type(received) is RequestHeaders:
                yield from self.make_stream(received.stream_id)
            stream = self.streams.get(received.stream_id)
            if stream is not None:  # It may have been finished already.
                yield from self.event_to_child(stream, received)
        elif kind is core.SendHttp:
            target = self.connections[command.connection]  # type: ignore[attr-defined]
            yield from self.event_to_child(target, command.event)  # type: ignore[attr-defined]
        elif kind is core.DropStream:
            self.streams.pop(command.stream_id, None)  # type: ignore[attr-defined]
        elif kind is core.GetHttpConnection:
            yield from self.get_connection(command)  # type: ignore[arg-type]
        elif kind is core.RegisterHttpConnection:
            yield from self.register_connection(command)  # type: ignore[arg-type]
        else:
            if kind is commands.OpenConnection:
                self.connections[command.connection] = child  # type: ignore[attr-defined]
            yield command


def context_fork(self: context.Context) -> context.Context:
    """As the original, which makes a server connection and throws it away."""
    fork = object.__new__(context.Context)
    fork.client, fork.options, fork.server = self.client, self.options, self.server
    fork.layers = self.layers.copy()
    return fork


def waiting_bytes(bio: Any) -> int:
    """How much can be read from a memory BIO now."""
    return int(SSL._lib.BIO_get_mem_data(bio, _START))  # type: ignore[attr-defined]


_START = SSL._ffi.new("char **")  # type: ignore[attr-defined]


def tls_interact(self: tls.TLSLayer) -> Generator[commands.Command, Any, None]:
    """As the original, which reads until an exception says that there is no more."""
    size = waiting_bytes(self.tls._from_ssl)
    if size:
        yield commands.SendData(self.conn, self.tls.bio_read(size))


def _read(layer_: tls.TLSLayer, data: bytes) -> tuple[bytes, bool, SSL.Error | None]:
    """The plain text of what has arrived, whether the peer has said goodbye, and what was wrong with it."""
    if data:
        layer_.tls.bio_write(data)
    parts: list[bytes] = []
    while True:
        try:
            parts.append(layer_.tls.recv(65535))
        except SSL.WantReadError:
            return b"".join(parts), False, None
        except SSL.ZeroReturnError:
            return b"".join(parts), True, None
        except SSL.Error as error:
            return b"".join(parts), False, error
        if not waiting_bytes(layer_.tls._into_ssl) and not layer_.tls.pending():
            return (parts[0] if len(parts) == 1 else b"".join(parts)), False, None


def tls_receive_data(self: tls.TLSLayer, data: bytes) -> Generator[commands.Command, Any, None]:
    """As the original, which reads until an exception says that there is no more."""
    yield from _received(self, *_read(self, data))


def _received(
    self: tls.TLSLayer, plain: bytes, close: bool, error: SSL.Error | None
) -> Generator[commands.Command, Any, None]:
    if error is not None:
        yield commands.Log(f"TLS Error: {error}", logging.WARNING)
    yield from self.tls_interact()
    if plain:
        yield from self.event_to_child(events.DataReceived(self.conn, plain))
    if close:
        self.conn.state &= ~mitmproxy.connection.ConnectionState.CAN_READ
        yield from self.event_to_child(events.ConnectionClosed(self.conn))


def tls_handle_event(self: tls.TLSLayer, event: events.Event) -> Generator[commands.Command, Any, None]:
    """As `TunnelLayer._handle_event`; once the tunnel stands, its generators are one.

    What one event makes the layers above send is encrypted at once: a response's head and its body.
    """
    if self.tunnel_state is not tunnel.TunnelState.OPEN or self.tls is None or self.is_dtls:
        yield from tunnel.TunnelLayer._handle_event(self, event)
        return
    following = event
    if isinstance(event, events.ConnectionEvent) and event.connection is self.conn:
        if type(event) is not events.DataReceived:
            yield from tunnel.TunnelLayer._handle_event(self, event)
            return
        plain, close, error = _read(self, event.data)
        if close or error is not None or not plain:
            yield from _received(self, plain, close, error)
            return
        following = events.DataReceived(self.conn, plain)
    unsent: list[bytes] = []
    for command in self.child_layer.handle_event(following):
        if not isinstance(command, commands.ConnectionCommand) or command.connection is not self.conn:
            yield command
        elif type(command) is commands.SendData:
            unsent.append(command.data)
        else:
            if unsent:
                yield from self.send_data(b"".join(unsent))
                unsent = []
            yield from self._handle_command(command)
    if unsent:
        yield from self.send_data(unsent[0] if len(unsent) == 1 else b"".join(unsent))
    elif following is not event:
        yield from self.tls_interact()  # reading may have had an answer to give, a new key for example


class _CheapIds:
    """Flow and connection ids need to be unique in the process only; `uuid4` asks the kernel each time."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._prefix = f"{os.getpid():x}-"

    def uuid4(self) -> str:
        return f"{self._prefix}{next(self._numbers):x}"


def share_port(before: Callable[[Any, Any], Any] = lambda mode, take: take) -> None:
    """Several worker processes listen on one port (SO_REUSEPORT); the kernel spreads connections among them.

    `before` puts something in front of what takes the connections of a mode.
    """

    async def listen(self: Any, host: str, port: int) -> list[Any]:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        return [await asyncio.start_server(before(self.mode, self.handle_stream), sock=listener, backlog=1024)]

    mode_servers.AsyncioServerInstance.listen = listen  # type: ignore[method-assign]


_MISSING = object()


def _overrides() -> list[tuple[Any, str, Any]]:
    """Every private part that is replaced: whose, which, and by what. All of them exist in mitmproxy 12.2.3."""
    cheap = _CheapIds()
    return [
        (mode_servers, "ProxyConnectionHandler", QuickHandler),
        (mitmproxy.flow, "uuid", cheap),
        (mitmproxy.connection, "uuid", cheap),
        (HttpStream, "handle_event", stream_handle_event),
        (core.HttpLayer, "event_to_child", http_event_to_child),
        (context.Context, "fork", context_fork),
        (tls.TLSLayer, "tls_interact", tls_interact),
        (tls.TLSLayer, "receive_data", tls_receive_data),
        (tls.TLSLayer, "_handle_event", tls_handle_event),
        *((http.Headers, name, ours) for name, ours in _HEADERS.items()),
        (optmanager._Option, "current", _current),
        # Live connections are the same when they are the same object; ids decide for recorded ones only.
        (mitmproxy.connection.Connection, "__eq__", object.__eq__),
        (mitmproxy.connection.Connection, "__hash__", object.__hash__),
    ]


_put: list[tuple[Any, str, Any]] = []
"""What stood in the place of each override; empty while the core is plain."""


def pull() -> None:
    """Put all levers in place, or back where mitmproxy had them."""
    while _put:
        owner, name, before = _put.pop()
        if before is _MISSING:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
    if wanted():
        for owner, name, ours in _overrides():
            _put.append((owner, name, vars(owner).get(name, _MISSING)))
            setattr(owner, name, ours)
