"""Where mitmproxy 12.2 spends time that a reverse proxy need not spend, taken back (reference/performance.md).

Each lever is one small override with its reason; all are switched off by `CASB_PLAIN_CORE=1`, which leaves the core as
it came. `tests/casb/proxy/test_levers.py` compares both, so that an upgrade that breaks one is noticed there.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import mitmproxy.connection
import mitmproxy.flow
from mitmproxy import addonmanager, flow
from mitmproxy.proxy import commands, events, mode_servers, server
from mitmproxy.utils import asyncio_utils

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

    def handlers(self, name: str) -> tuple[Handler, ...]:
        """All handlers of a hook in the order of the addons."""
        found = self._table.get(name)
        if found is None:
            addons = addonmanager.traverse(self._manager.chain)
            found = tuple(getattr(each, name) for each in addons if callable(getattr(each, name, None)))
            self._table[name] = found
        return found


class QuickHandler(mode_servers.ProxyConnectionHandler):
    """Runs hooks that need no waiting in line, without a task and a lock round trip for each.

    A hook that raises is logged and closes the connection: nothing of ours is allowed to fail open.
    """

    table: HookTable

    def __init__(self, master: Any, *arguments: Any) -> None:
        super().__init__(master, *arguments)  # type: ignore[no-untyped-call]
        table = getattr(master, "casb_hook_table", None)
        if table is None:
            table = master.casb_hook_table = HookTable(master.addons)
        self.table = table

    def run_hook(self, hook: commands.StartHook) -> Awaitable[None] | None:
        """Call the handlers; what is left to wait for, or None when all is done."""
        arguments = hook.args()
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
        """As the original; a hook that is done at once is answered in the same turn."""
        async with self._server_event_lock:
            self.timeout_watchdog.register_activity()
            queue: deque[events.Event] = deque([event])
            try:
                while queue:
                    for command in self.layer.handle_event(queue.popleft()):
                        if isinstance(command, commands.StartHook):
                            waiting = self.run_hook(command)
                            if waiting is None:
                                if command.blocking:
                                    queue.append(events.HookCompleted(command))
                            else:
                                asyncio_utils.create_task(
                                    self._later(command, waiting),
                                    name=f"handle_hook({command.name})",
                                    keep_ref=True,
                                    client=self.client.peername,
                                )
                        else:
                            self._carry_out(command)
            except Exception:
                log_fault(logger, "proxy core failed, connection closed")
                self.close_connection(self.client)

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
            case commands.SendData():
                writer = self.transports[command.connection].writer
                if writer is not None and not writer.is_closing():
                    writer.write(command.data)
            case commands.CloseTcpConnection():
                self.close_connection(command.connection, command.half_close)
            case commands.CloseConnection():
                self.close_connection(command.connection, False)
            case commands.Log():
                if command.level >= logging.WARNING:
                    self.log(command.message, command.level)
            case _:
                raise RuntimeError(f"unexpected command: {command}")


class _CheapIds:
    """Flow and connection ids need to be unique in the process only; `uuid4` asks the kernel each time."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._prefix = f"{os.getpid():x}-"

    def uuid4(self) -> str:
        return f"{self._prefix}{next(self._numbers):x}"


def share_port() -> None:
    """Several worker processes listen on one port (SO_REUSEPORT); the kernel spreads connections among them."""

    async def listen(self: Any, host: str, port: int) -> list[Any]:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        return [await asyncio.start_server(self.handle_stream, sock=listener, backlog=1024)]

    mode_servers.AsyncioServerInstance.listen = listen  # type: ignore[method-assign]


_PLAIN = (mode_servers.ProxyConnectionHandler, vars(mitmproxy.flow)["uuid"], vars(mitmproxy.connection)["uuid"])


def pull() -> None:
    """Put all levers in place, or back where mitmproxy had them."""
    if not wanted():
        mode_servers.ProxyConnectionHandler, mitmproxy.flow.uuid, mitmproxy.connection.uuid = _PLAIN  # type: ignore[misc,attr-defined]
        return
    mode_servers.ProxyConnectionHandler = QuickHandler  # type: ignore[misc]
    cheap = _CheapIds()
    mitmproxy.flow.uuid = cheap  # type: ignore[attr-defined,assignment]
    mitmproxy.connection.uuid = cheap  # type: ignore[attr-defined,assignment]
