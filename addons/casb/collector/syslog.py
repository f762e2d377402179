"""Syslog receivers: UDP, TCP, TLS with client certificates; one port for each source."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl

from casb.collector.framing import Frames, one_line
from casb.collector.spool import SourceSpool
from casb.errors import ConfigError
from casb.settings import LogSource

logger = logging.getLogger(__name__)

UDP_BUFFER = 8 * 1024 * 1024
"""Bytes the kernel keeps while we write: bursts are short and UDP does not wait."""
CONNECTIONS = 1024
"""Senders at one port at a time."""
IDLE = 3600.0
"""Seconds after which a silent connection is closed."""


async def listen(spool: SourceSpool) -> asyncio.AbstractServer | asyncio.DatagramTransport:
    """Start the receiver of a source. Raises `ConfigError` D060."""
    source = spool.source
    host, _, port = (source.listen or "").rpartition(":")
    host = host.strip("[]")
    try:
        if source.receiver == "syslog-udp":
            return await _udp(spool, host, int(port))
        context = server_context(source) if source.receiver == "syslog-tls" else None
        return await asyncio.start_server(_Connections(spool), host, int(port), ssl=context, limit=256 * 1024)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError("D060", f"source {source.name!r} cannot listen on {source.listen} ({reason})") from error


def server_context(source: LogSource) -> ssl.SSLContext:
    """TLS 1.2 or newer; senders without a certificate of the source's own authority are refused (RFC 5425)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(source.certificate or "", source.key)
    context.load_verify_locations(source.client_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def _udp(spool: SourceSpool, host: str, port: int) -> asyncio.DatagramTransport:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER)
        opened.setblocking(False)
        opened.bind((host, port))
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Datagrams(spool), sock=opened)
    except BaseException:
        opened.close()
        raise
    return transport


class _Datagrams(asyncio.DatagramProtocol):
    """A datagram is a message (RFC 5426)."""

    def __init__(self, spool: SourceSpool) -> None:
        self._spool = spool

    def datagram_received(self, data: bytes, addr: object) -> None:
        message = one_line(data.strip(b"\0\r\n "))
        if message:
            self._spool.append(message)


class _Connections:
    """One call per connection."""

    def __init__(self, spool: SourceSpool) -> None:
        self._spool = spool
        self._open = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= CONNECTIONS:
            writer.close()
            return
        self._open += 1
        frames = Frames()
        try:
            while data := await asyncio.wait_for(reader.read(64 * 1024), IDLE):
                for message in frames.feed(data):
                    self._spool.append(one_line(message))
        except (OSError, TimeoutError, ssl.SSLError) as error:
            logger.info("connection ended source=%s reason=%s", self._spool.source.name, type(error).__name__)
        finally:
            rest = frames.rest()
            if rest:
                self._spool.append(one_line(rest))
            self._open -= 1
            writer.close()
