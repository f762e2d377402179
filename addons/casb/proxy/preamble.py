"""PROXY protocol, versions 1 and 2 (HAProxy, `doc/proxy-protocol.txt`): a load balancer that passes bytes on says first
whose connection it is.

On a listener that expects it, a connection must come from a trusted proxy and begin with it; any other is closed before
a byte of it is read as something else, so nobody can say for himself where he comes from.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from mitmproxy.proxy import mode_specs

from casb.model.forwarded import is_trusted, plain_address
from casb.proxy.runtime import Runtime

logger = logging.getLogger(__name__)

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
MAX_TEXT: Final = 107  # bytes of a version 1 line, with its end
MAX_ADDRESSES: Final = 4096  # bytes of addresses and TLVs of version 2
PATIENCE: Final = 5.0  # seconds for the preamble to come

type Peer = tuple[str, int]
type Take = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_preamble(reader: asyncio.StreamReader) -> Peer | None:
    """The source that a preamble names, None when the proxy speaks for itself (LOCAL, a health check).

    Reads not one byte beyond it. Raises `ValueError` when there is none, or it names no TCP source;
    `asyncio.IncompleteReadError` when the connection ends before.
    """
    start = await reader.readexactly(len(SIGNATURE))
    if start == SIGNATURE:
        head = await reader.readexactly(4)
        size = int.from_bytes(head[2:], "big")
        if size > MAX_ADDRESSES:
            raise ValueError("the preamble is too long")
        return parse_binary(head[0], head[1], await reader.readexactly(size))
    if not start.startswith(b"PROXY "):
        raise ValueError("the connection does not begin with a preamble")
    line = bytearray(start)
    while not line.endswith(b"\n"):
        if len(line) >= MAX_TEXT:
            raise ValueError("the preamble is too long")
        line += await reader.readexactly(1)
    return parse_text(bytes(line))


def parse_text(line: bytes) -> Peer:
    """The source in a whole version 1 line; raises `ValueError`."""
    parts = line.split(b" ")
    if len(line) > MAX_TEXT or len(parts) != 6 or parts[0] != b"PROXY" or not line.endswith(b"\r\n"):
        raise ValueError("the preamble names no TCP source")
    family: Callable[[str], object] | None = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}.get(parts[1])
    if family is None:
        raise ValueError("the preamble names no TCP source")
    source, destination = parts[2].decode("ascii"), parts[3].decode("ascii")
    if "%" in source:
        raise ValueError("the preamble's source has a zone")
    address = str(family(source))
    family(destination)
    port = _port(parts[4])
    _port(parts[5].removesuffix(b"\r\n"))
    return plain_address(address), port


def parse_binary(version: int, family: int, addresses: bytes) -> Peer | None:
    """The source in a version 2 preamble, of which these are the bytes behind the signature; raises `ValueError`."""
    if version == 0x20:
        return None
    if version != 0x21:
        raise ValueError("the preamble is of an unknown version")
    if family == 0x11 and len(addresses) >= 12:
        return str(IPv4Address(addresses[:4])), int.from_bytes(addresses[8:10], "big")
    if family == 0x21 and len(addresses) >= 36:
        return plain_address(str(IPv6Address(addresses[:16]))), int.from_bytes(addresses[32:34], "big")
    raise ValueError("the preamble names no TCP source")


def _port(text: bytes) -> int:
    if not text.isdigit() or len(text) > 5 or int(text) > 65535 or (text[:1] == b"0" and text != b"0"):
        raise ValueError("the preamble has a port that is none")
    return int(text)


class ToldWriter(asyncio.StreamWriter):
    """A writer whose `peername` is the source that the preamble named."""

    def __init__(self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader, peer: Peer) -> None:
        transport = writer.transport
        super().__init__(transport, transport.get_protocol(), reader, asyncio.get_running_loop())
        self._peer = peer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As of any writer, but for the peer's name."""
        return self._peer if name == "peername" else super().get_extra_info(name, default)


class Gate:
    """Stands before the listeners. `runtime` says which of them expect a preamble, and whom to trust."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._expecting = frozenset(runtime.snapshot.settings.listeners.proxy_protocol)

    def before(self, mode: mode_specs.ProxyMode, take: Take) -> Take:
        """`take`, for a listener of `mode`, with the preamble read before."""
        name = "forward" if isinstance(mode, mode_specs.RegularMode) else "reverse"
        if name not in self._expecting:
            return take

        async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                peer = await self._source(reader, writer)
            except (ValueError, OSError, EOFError, TimeoutError):
                self._runtime.counters["preambles_refused"] += 1
                writer.transport.abort()
                return
            except BaseException:
                writer.transport.abort()
                raise
            await take(reader, writer if peer is None else ToldWriter(writer, reader, peer))

        return taken

    async def _source(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Peer | None:
        peer = writer.get_extra_info("peername")
        trusted = self._runtime.snapshot.settings.trusted_proxies
        if not peer or not is_trusted(plain_address(str(peer[0])), trusted):
            raise ValueError("the connection does not come from a trusted proxy")
        async with asyncio.timeout(PATIENCE):
            return await read_preamble(reader)
