"""The standard door to commercial engines: a file through ICAP (RFC 3507), its verdict back.

Each file goes as the body of a response (RESPMOD), whichever way it travels. An answer of 204, and the same bytes sent
back, are clean; an infection is told by the headers that engines use for it, or by another body in the file's place.
Whatever is not understood is *unscannable*, never clean.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from casb.connectors.streams import Address, connect
from casb.model.file import EngineVerdict, VerdictStatus

PORT = 1344
_HEAD = 64 * 1024
_FOUND = ("x-infection-found", "x-virus-id", "x-violations-found", "x-virus-name", "x-threat-name")
_FAILED = frozenset({"x-error-code", "x-scan-error"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """An ICAP service: `icap://host[:port]/service`."""

    address: Address
    host: str  # as written, for the Host header
    path: str


def parse(url: str) -> Service:
    """Raises `ValueError` with a sentence."""
    parts = urlsplit(url)
    if parts.scheme != "icap" or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"{url!r} is not icap://host/service")
    port = parts.port or PORT
    address = Address(host=parts.hostname, port=port)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Service(address=address, host=f"{host}:{port}", path=parts.path or "/")


class Icap:
    """One service. `seconds` bounds a file from its first byte to the verdict."""

    def __init__(self, service: Service, *, seconds: float) -> None:
        self._service = service
        self._seconds = seconds
        self.name = f"icap {service.host}{service.path}"

    async def judge(self, name: str, size: int, pieces: Iterable[bytes]) -> EngineVerdict:
        """The service's verdict on a file. Never raises on account of service or file."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._ask(name, size, pieces)
        except TimeoutError:
            return self._unscannable("timeout")
        except (OSError, asyncio.IncompleteReadError):
            return self._unscannable("the engine is away")
        except (ValueError, asyncio.LimitOverrunError):
            return self._unscannable("the engine's answer was not understood")

    async def _ask(self, name: str, size: int, pieces: Iterable[bytes]) -> EngineVerdict:
        reader, writer = await connect(self._service.address)
        sent = hashlib.sha256()
        try:
            with contextlib.suppress(ConnectionError):  # A service that has seen enough may answer and hang up.
                writer.write(self._head(name, size))
                for piece in pieces:
                    if piece:
                        sent.update(piece)
                        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                        await writer.drain()
                writer.write(b"0\r\n\r\n")
                await writer.drain()
            return self._verdict(await _answer(reader), sent.digest())
        finally:
            writer.close()

    def _head(self, name: str, size: int) -> bytes:
        """RESPMOD with a made-up exchange around the file: engines know downloads best (RFC 3507 section 4.9)."""
        request = f"GET /{quote(name[-200:], safe='.')} HTTP/1.1\r\nHost: file.invalid\r\n\r\n".encode("ascii")
        response = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n".encode()
        )
        return (
            f"RESPMOD icap://{self._service.host}{self._service.path} ICAP/1.0\r\nHost: {self._service.host}\r\n"
            f"User-Agent: casb\r\nAllow: 204\r\nConnection: close\r\n"
            f"Encapsulated: req-hdr=0, res-hdr={len(request)}, res-body={len(request) + len(response)}\r\n\r\n"
        ).encode("ascii") + request + response  # fmt: skip

    def _verdict(self, answer: Answer, sent: bytes) -> EngineVerdict:
        for name in _FOUND:
            if name in answer.headers:
                return self._malicious(_threat(answer.headers[name]) or "malware")
        if _FAILED & answer.headers.keys():
            return self._unscannable("the engine failed")
        if answer.status == 204:
            return EngineVerdict(engine=self.name, status=VerdictStatus.CLEAN)
        if answer.status == 200 and answer.inner is not None:
            # Servers without 204 send the file back. Whatever else they send instead of it is a refusal.
            if answer.inner == 200 and answer.digest == sent:
                return EngineVerdict(engine=self.name, status=VerdictStatus.CLEAN)
            return self._malicious("blocked by the engine")
        return self._unscannable(f"the engine answered {answer.status}")

    def _malicious(self, threat: str) -> EngineVerdict:
        return EngineVerdict(engine=self.name, status=VerdictStatus.MALICIOUS, threat=threat)

    def _unscannable(self, why: str) -> EngineVerdict:
        return EngineVerdict(engine=self.name, status=VerdictStatus.UNSCANNABLE, why=why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a service said: its own status and headers; of the HTTP message within, status and digest of the body."""

    status: int
    headers: Mapping[str, str]
    inner: int | None = None
    digest: bytes = b""


async def _answer(reader: asyncio.StreamReader) -> Answer:
    """Reads an answer to its end. Raises `ValueError` for what is no ICAP, `IncompleteReadError` for a part of one."""
    status, headers = _parsed(await _section(reader), "ICAP/1.0")
    while status == 100:
        status, headers = _parsed(await _section(reader), "ICAP/1.0")
    places = dict(re.findall(r"([a-z-]+) *= *([0-9]{1,7})", headers.get("encapsulated", "").lower()))
    body = next((int(places[each]) for each in ("res-body", "req-body") if each in places), None)
    end = int(places["null-body"]) if body is None and "null-body" in places else body
    if status != 200 or end is None:
        return Answer(status=status, headers=headers)
    start = int(places.get("res-hdr") or places.get("req-hdr") or 0)
    if not 0 <= start <= end <= _HEAD:
        raise ValueError("the encapsulated parts make no sense")
    head = await reader.readexactly(end)
    inner, more = _parsed(head[start:], "HTTP/1.") if "res-hdr" in places else (0, {})
    found = {**{name: value for name, value in more.items() if name in _FOUND}, **headers}
    digest = await _chunks(reader) if body is not None else hashlib.sha256().digest()
    return Answer(status=status, headers=found, inner=inner, digest=digest)


async def _section(reader: asyncio.StreamReader) -> bytes:
    data = await reader.readuntil(b"\r\n\r\n")
    if len(data) > _HEAD:
        raise ValueError("the head is too long")
    return data


def _parsed(head: bytes, version: str) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith(version) or not re.fullmatch(r"[1-5][0-9][0-9]", words[1]):
        raise ValueError(f"no status line: {first[:80]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return int(words[1]), headers


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """The digest of a chunked body (RFC 9112 section 7.1)."""
    digest = hashlib.sha256()
    while True:
        size, _, _ = (await reader.readuntil(b"\n")).strip().partition(b";")
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size):
            raise ValueError("no size of a chunk")
        left = int(size, 16)
        if not left:
            return digest.digest()
        while left:
            piece = await reader.read(min(left, 65536))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            digest.update(piece)
            left -= len(piece)
        await reader.readexactly(2)


def _threat(value: str) -> str:
    """Out of `Type=0; Resolution=2; Threat=Eicar;`, or the whole value."""
    found = re.search(r"Threat=([^;]+)", value)
    return (found[1] if found else value).strip()[:200]
