"""Stands in front of the real origins, for both ways of opening an application, and notes what they are told.

It terminates TLS with the laboratory's own certificates, passes bytes on as they are, and looks in what goes towards
the origin for marks that must never arrive there: the suffix and the cookies of session control. HTTP/1.1 only.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import ssl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from casb.lab.authority import Front

HEAD = 256 * 1024
"""Longest head of a request, in bytes."""
CHUNK = 64 * 1024
_REQUEST = re.compile(rb"(?:^|\r\n|\n)([A-Z]{3,16}) (\S{1,4096}) HTTP/1\.1\r\n")
_HOST = re.compile(rb"\r\nhost:[ \t]*([^\r\n]+)", re.IGNORECASE)
_UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*websocket", re.IGNORECASE)
_COMPRESSION = re.compile(rb"\r\nsec-websocket-extensions:[^\r\n]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an origin really is, and the name that its certificate must have. `ca` alone is trusted for it when given;
    `verify` off for a test's own server."""

    host: str
    port: int
    tls: bool = True
    ca: str | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A mark that reached an origin: which one, and the last request line before it on that connection."""

    host: str
    mark: str
    request: str


def forms_of(mark: str) -> tuple[bytes, ...]:
    """A mark as it may stand in a body: plain, and within base64 at each of the three alignments."""
    raw = mark.encode()
    forms = [raw]
    for lead in range(3):
        coded = base64.b64encode(b"\0" * lead + raw).rstrip(b"=")
        forms.append(coded[(0, 2, 3)[lead] : -1])
    return tuple(forms)


class Finder:
    """Finds marks in a stream of bytes, across the borders of chunks."""

    def __init__(self, marks: Iterable[str]) -> None:
        self._forms = [(form.lower(), form, mark) for mark in marks for form in forms_of(mark)]
        self._keep = max((len(form) for form, _, _ in self._forms), default=1) - 1
        self._rest = b""

    def feed(self, chunk: bytes) -> list[str]:
        """The marks found in this chunk."""
        data = self._rest + chunk
        lower = data.lower()
        found = {mark for low, form, mark in self._forms if (low in lower if form.islower() else form in data)}
        self._rest = b"" if found else data[-self._keep :]
        return sorted(found)


class Unmasker:
    """The payload of a client's WebSocket frames (RFC 6455 section 5.2), without compression."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """The payloads of the frames that are complete now."""
        self._data += chunk
        out = bytearray()
        while (frame := self._next()) is not None:
            out += frame
        return bytes(out)

    def _next(self) -> bytes | None:
        data = self._data
        if len(data) < 2:
            return None
        length, start = data[1] & 0x7F, 2
        if length >= 126:
            wide = 2 if length == 126 else 8
            if len(data) < 2 + wide:
                return None
            length, start = int.from_bytes(data[2 : 2 + wide], "big"), 2 + wide
        masked = bool(data[1] & 0x80)
        key = data[start : start + 4] if masked else b"\0\0\0\0"
        start += 4 if masked else 0
        if len(data) < start + length:
            return None
        payload = bytes(data[start : start + length])
        del data[: start + length]
        stretched = (bytes(key) * (length // 4 + 1))[:length]
        return (int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big")).to_bytes(length, "big")


@dataclass
class Relay:
    """Runs in a thread of its own. `routes` says where hosts really are; any other is asked for on port 443."""

    front: Front
    routes: Mapping[str, Target]
    marks: tuple[str, ...]
    told: list[Told] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    unreached: dict[str, str] = field(default_factory=dict)  # host → why
    port: int = 0
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None

    def start(self) -> Relay:
        """Listen on a free loopback port."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), name="lab relay", daemon=True)
        self._thread.start()
        ready.wait(10)
        return self

    def stop(self) -> None:
        """Hang up and end."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        if self._thread is not None:
            self._thread.join(5)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(lambda *_: None)  # a browser that hangs up in a handshake is no news
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, ssl=self.front.context)
        self.port = int(server.sockets[0].getsockname()[1])
        ready.set()
        await self._over.wait()
        server.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, EOFError):
            await self._connected(reader, writer)
        writer.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await _head(reader)
        named = _HOST.search(head)
        if named is None:
            return
        host = named[1].decode("latin-1").strip().lower().partition(":")[0]
        self.hosts.add(host)
        target = self.routes.get(host) or Target(host=host, port=443)
        context = _context(target)
        try:
            to_reader, to_writer = await asyncio.open_connection(
                target.host, target.port, ssl=context, server_hostname=target.host if context else None
            )
        except OSError as error:
            self.unreached[host] = str(error)
            text = f"the laboratory could not reach {host}: {error}".encode()
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/plain\r\nconnection: close\r\n")
            writer.write(b"content-length: %d\r\n\r\n%s" % (len(text), text))
            await writer.drain()
            return
        upgrade = _UPGRADE.search(head) is not None
        if upgrade:
            head = _COMPRESSION.sub(b"", head)  # so that its frames can be read
        there = asyncio.create_task(self._towards(host, head, reader, to_writer, upgrade=upgrade))
        back = asyncio.create_task(_pump(to_reader, writer))
        # An origin that has closed says nothing more; a browser that has closed hears nothing more.
        await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        for task in (there, back):
            task.cancel()
        await asyncio.gather(there, back, return_exceptions=True)
        to_writer.close()

    async def _towards(
        self, host: str, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, upgrade: bool
    ) -> None:
        finder, request, frames = Finder(self.marks), "", Unmasker() if upgrade else None
        chunk, is_head = head, True
        while chunk:
            lines = _REQUEST.findall(chunk) if is_head or frames is None else []
            request = " ".join(part.decode("latin-1") for part in lines[-1]) if lines else request
            plain = chunk if frames is None or is_head else frames.feed(chunk)
            for mark in finder.feed(plain):
                self.told.append(Told(host=host, mark=mark, request=request + (" (WebSocket)" if upgrade else "")))
            writer.write(chunk)
            await writer.drain()
            chunk, is_head = await reader.read(CHUNK), False
        if writer.can_write_eof():
            writer.write_eof()


async def _head(reader: asyncio.StreamReader) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data and len(data) < HEAD:
        chunk = await reader.read(CHUNK)
        if not chunk:
            break
        data += chunk
    return data


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()


def _context(target: Target) -> ssl.SSLContext | None:
    if not target.tls:
        return None
    context = ssl.create_default_context(cafile=target.ca)
    if not target.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
