"""What every request passes before anything else: the right host name, a bounded body, and headers on the way out."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from casb.settings import Settings

type Scope = MutableMapping[str, Any]
type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type Application = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
"""Sent with every answer."""


def allowed_hosts(settings: Settings) -> frozenset[str]:
    """The values of `Host` that are ours: the listener's, the configured addresses', nobody else's.

    A page of somebody else's whose name is made to point at us (DNS rebinding) still sends its own name.
    """
    netlocs = {settings.listeners.sidecar}
    for url in (settings.sidecar.public_url, settings.sidecar_url):
        if url:
            netlocs.add(urlsplit(url).netloc)
    return frozenset(netloc.lower() for netloc in netlocs)


def is_loopback(host: str) -> bool:
    """`localhost`, `127.x.y.z` or `[::1]`, with any port."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class HostGuard:
    """Answers 421 when `Host` is not ours. RFC 9110 section 7.4."""

    def __init__(self, app: Application, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = [value for name, value in scope["headers"] if name == b"host"]
            host = given[0].decode("latin-1").lower() if len(given) == 1 else ""
            if host not in self._hosts and not is_loopback(host):
                await _refuse(send, 421, "this host name is not served here")
                return
        await self._app(scope, receive, send)


class HeaderGuard:
    """Adds our headers to every answer, and keeps what is not static out of caches."""

    def __init__(self, app: Application, *, https: bool) -> None:
        self._app = app
        self._headers = [*HEADERS, *([(b"strict-transport-security", b"max-age=31536000")] if https else [])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if not any(name.lower() == b"cache-control" for name, _ in headers):
                    static = scope["path"].startswith("/static/")
                    headers.append((b"cache-control", b"public, max-age=300" if static else b"no-store"))
                message["headers"] = [*headers, *self._headers]
            await send(message)

        await self._app(scope, receive, sending)


class BodyGuard:
    """Answers 413 as soon as a body is longer than its path allows; nothing longer is ever kept in memory."""

    def __init__(
        self, app: Application, *, most: int, exceptions: MutableMapping[str, int], streamed: str | None = None
    ) -> None:
        """Paths that begin with `streamed` bound and read their bodies themselves, piece by piece."""
        self._app = app
        self._most = most
        self._exceptions = exceptions
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streamed = self._streamed is not None and scope.get("path", "").startswith(self._streamed)
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD") or streamed:
            await self._app(scope, receive, send)
            return
        most = self._exceptions.get(scope["path"], self._most)
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client has gone
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > most:
                await _refuse(send, 413, f"the body is longer than {most} bytes")
                return
            if not message.get("more_body"):
                break
        body: list[bytes] = [b"".join(chunks)]

        async def replay() -> Message:
            if body:
                return {"type": "http.request", "body": body.pop(), "more_body": False}
            return await receive()

        await self._app(scope, replay, send)


async def _refuse(send: Send, status: int, error: str) -> None:
    body = json.dumps({"ok": False, "error": error, "errors": [error], "status": status}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 413:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
