"""WebSocket messages between the hooks of an exchange: names mapped both ways, memory bounded, a bug refuses.

The handshake was decided on and mapped like any other exchange. Of binary messages only what browsers send as Protocol
Buffers is mapped; mitmproxy keeps the fragments of what did not change, compression and close codes.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Any

from mitmproxy import http
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers import websocket
from wsproto.events import CloseConnection
from wsproto.frame_protocol import CloseReason

from casb.model.app import View
from casb.proxy import prompts, rewriting, translate
from casb.proxy.faults import log_fault
from casb.proxy.runtime import Runtime
from casb.proxy.socket_uploads import SocketUploads
from casb.proxy.translate import State
from casb.rewrite.messages import message_to_origin, message_to_suffix
from casb.rewrite.protobuf import binary_to_origin

logger = logging.getLogger(__name__)

MAX_MESSAGE = 64 * 1024 * 1024
"""A longer message ends its connection with 1009 (RFC 6455 section 7.4.1): mitmproxy would hold all of it."""


class Messages:
    """Maps each text message as it passes."""

    def __init__(self, runtime: Runtime, sockets: SocketUploads) -> None:
        self.runtime = runtime
        self.sockets = sockets

    def websocket_message(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """The newest message; the ones before it have left and are forgotten."""
        if flow.websocket is None:
            return None
        message = flow.websocket.messages[-1]
        del flow.websocket.messages[:-1]
        try:
            state = translate.state_of(flow)
            if state is not None and state.socket_over:
                message.drop()  # Several messages may have come at once.
                return None
            if state is not None and message.from_client and not translate.is_refused(flow):
                if self.sockets.wants(state, message.content, is_text=message.is_text):
                    return self._judged(flow, state, message)
            self._map(flow, message)
        except Exception:
            self._end(flow, message)
        return None

    async def _judged(self, flow: http.HTTPFlow, state: State, message: Any) -> None:
        try:
            if await self.sockets.judge(flow, state, message.content, is_text=message.is_text):
                self._map(flow, message)
                return
            message.drop()
            # What follows a piece of a file would be the rest of it.
            state.socket_over = not message.is_text
        except Exception:
            self._end(flow, message)

    def _end(self, flow: http.HTTPFlow, message: Any) -> None:
        """Sealed hooks cannot refuse a message: it is dropped, and the connection ended."""
        log_fault(logger, "message not judged or mapped, connection ended", flow=flow.id)
        message.drop()
        state = translate.state_of(flow)
        if state is not None:
            state.socket_over = True
        if flow.killable:
            flow.kill()

    def _map(self, flow: http.HTTPFlow, message: Any) -> None:
        state = translate.state_of(flow)
        if state is None or translate.is_refused(flow):
            raise LookupError("a message outside of any exchange")
        app = state.route.app
        if message.from_client and prompts.takes_prompts(state):
            allowed = prompts.outgoing(self.runtime, flow, state, message.content)
            if allowed is None:
                message.drop()
                return
            if allowed != message.content:
                message.content = allowed
        elif not message.from_client and message.is_text:
            masked = prompts.incoming(state, message.content)
            if masked != message.content:
                message.content = masked
        if app is None or not app.rewrite.messages or state.route.mode != "suffix":
            return
        hosts = rewriting.hosts_of(state)
        view: View = app.rewrite.view
        content = message.content
        if not message.is_text:
            changed = binary_to_origin(content, hosts) if message.from_client else content
        elif message.from_client:
            changed = message_to_origin(content, hosts)
        else:
            changed = message_to_suffix(content, hosts, view)
        if changed is not content and changed != content:
            message.content = changed
            self.runtime.counters["messages_mapped"] += 1


_original = websocket.WebsocketLayer


class BoundedWebsocket(_original):
    """Ends a connection whose message grows beyond `MAX_MESSAGE`, and one whose message was refused for good."""

    def relay_messages(self, event: Any) -> Any:
        """As the original, with what it holds looked at afterwards."""
        yield from super().relay_messages(event)
        for source in (self.client_ws, self.server_ws):
            if sum(len(part) for part in source.frame_buf) > MAX_MESSAGE:
                source.frame_buf = [b""]
                yield from self._close(CloseReason.MESSAGE_TOO_BIG)
                return
        state = translate.state_of(self.flow)
        if state is not None and state.socket_over:
            yield from self._close(CloseReason.POLICY_VIOLATION)

    def _close(self, code: int) -> Any:
        closing = CloseConnection(code=code, reason="")
        for each in (self.client_ws, self.server_ws):
            yield each.send2(closing)
            yield commands.CloseConnection(each.conn)
        self.flow.live = False
        self._handle_event = self.done

    _handle_event = _original.start


def install() -> None:
    """Make mitmproxy use it for every WebSocket."""
    websocket.WebsocketLayer = BoundedWebsocket  # type: ignore[misc]
