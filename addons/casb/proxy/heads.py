"""Header sections as bytes: how large they may be, what may stand in them, and interim responses.

mitmproxy 12.2 reads an HTTP/1 head of any size, takes an interim response (`103 Early Hints`) for the final one, and
passes folded lines and control characters on. Here a head is bounded (`limits.head`), interim responses are swallowed
as they are on HTTP/2 (they are hints: RFC 9110 section 15.2), folded lines are joined (RFC 9112 section 5.2), and
what still has a NUL, CR or LF in a value is refused (RFC 9110 section 5.5): written to the other side it could end one
message and begin another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Any

from mitmproxy import http
from mitmproxy.net.http import validate
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers import http as core
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ErrorCode, ResponseProtocolError

type Commands[T] = Generator[commands.Command, Any, T]

_FOLD = re.compile(rb"[ \t]*\r?\n[ \t]+")
_FORBIDDEN = re.compile(rb"[\x00\r\n]")
_NO_TARGET = re.compile(rb"[\x00-\x20\x7f]")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9]{2}[ \r\n]")
_END = re.compile(rb"\n\r?\n")
_plain_validation = validate.validate_headers

limit: Callable[[], int] = lambda: 262_144  # noqa: E731 - replaced by `install`
"""The largest header section in bytes."""


def validated(message: http.Message) -> None:
    """As mitmproxy's check, and for what no header may carry. Raises ValueError."""
    size = 0
    folded = False
    for name, value in message.headers.fields:
        size += len(name) + len(value) + 4
        if _FORBIDDEN.search(value):
            folded = True
            if _FORBIDDEN.search(_FOLD.sub(b" ", value)):
                raise ValueError(f"a control character in the header {name!r}")
    if size > limit():
        raise ValueError("a header section that is too large")
    if isinstance(message, http.Request) and _NO_TARGET.search(message.data.path + message.data.method):
        raise ValueError("a control character or space in the request line")
    if folded:
        message.headers.fields = tuple((name, _FOLD.sub(b" ", value)) for name, value in message.headers.fields)
    _plain_validation(message)


def too_large(buffer: Any) -> bool:
    """Has a head outgrown the limit, whole or not?"""
    most = limit()
    return len(buffer) > most and _END.search(bytes(buffer)[: most + 4]) is None


class BoundedServer(_http1.Http1Server):
    """Towards an HTTP/1.1 browser."""

    def read_headers(self, event: Any) -> Commands[None]:
        """As the original, up to the limit."""
        if isinstance(event, events.DataReceived) and too_large(self.buf):
            yield commands.SendData(self.conn, _http1.make_error_response(431, "The header section is too large."))
            yield commands.CloseConnection(self.conn)
            self.state = self.done
            return
        yield from super().read_headers(event)


class BoundedClient(_http1.Http1Client):
    """Towards an HTTP/1.1 origin."""

    _interim = 0

    def read_headers(self, event: Any) -> Commands[None]:
        """As the original, up to the limit and without interim responses."""
        if isinstance(event, events.DataReceived) and self.stream_id is not None:
            while not too_large(self.buf) and _INTERIM.match(bytes(self.buf)[:16]):
                before = len(self.buf)
                if self.buf.maybe_extract_lines() is None:
                    return
                self._interim += before - len(self.buf)
                if self._interim > limit():
                    break
            if too_large(self.buf) or self._interim > limit():
                yield commands.CloseConnection(self.conn)
                text = "the header section of the response is too large"
                yield ReceiveHttp(ResponseProtocolError(self.stream_id, text, ErrorCode.GENERIC_SERVER_ERROR))
                return
            if self._interim and not self.buf:
                return
            self._interim = 0
        yield from super().read_headers(event)


def install(most: Callable[[], int]) -> None:
    """Make mitmproxy use it for every exchange."""
    global limit
    limit = most
    core.validate_headers = validated  # type: ignore[attr-defined]
    core.Http1Server = BoundedServer  # type: ignore[attr-defined]
