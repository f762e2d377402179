"""ClamAV's daemon: a file through INSTREAM, its verdict back (clamd(8), section Commands).

One connection a file, so that a slow file delays no other. What goes wrong is *unscannable*, never clean.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Iterable

from casb.connectors.streams import Address, connect
from casb.model.file import EngineVerdict, VerdictStatus

ENGINE = "clamav"
_LENGTH = struct.Struct(">I")
_LONGEST_ANSWER = 4096


class Clamd:
    """A daemon at `unix:/path` or `host:port`. `seconds` bounds one file from its first byte to the verdict."""

    name = ENGINE

    def __init__(self, address: Address, *, seconds: float) -> None:
        self._address = address
        self._seconds = seconds

    async def judge(self, name: str, size: int, pieces: Iterable[bytes]) -> EngineVerdict:
        """The daemon's verdict on a file. Never raises on account of daemon or file."""
        try:
            async with asyncio.timeout(self._seconds):
                reader, writer = await connect(self._address)
                try:
                    return _read(await _ask(reader, writer, pieces))
                except (OSError, asyncio.IncompleteReadError):
                    return _unscannable("the engine hung up: too large for it, or it ended")
                finally:
                    writer.close()
        except TimeoutError:
            return _unscannable("timeout")
        except OSError:
            return _unscannable("the engine is away")

    async def ping(self) -> bool:
        """Whether it answers."""
        try:
            async with asyncio.timeout(5):
                reader, writer = await connect(self._address)
                try:
                    writer.write(b"zPING\0")
                    return await reader.readuntil(b"\0") == b"PONG\0"
                finally:
                    writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return False


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pieces: Iterable[bytes]) -> bytes:
    with contextlib.suppress(ConnectionError):  # It hangs up on a file that outgrows StreamMaxLength.
        writer.write(b"zINSTREAM\0")
        for piece in pieces:
            if piece:
                writer.write(_LENGTH.pack(len(piece)))
                writer.write(piece)
                await writer.drain()
        writer.write(_LENGTH.pack(0))
        await writer.drain()
    try:
        return await reader.readuntil(b"\0")
    except asyncio.LimitOverrunError:
        return b""


def _read(answer: bytes) -> EngineVerdict:
    """`stream: OK`, `stream: NAME FOUND`, or `MESSAGE ERROR`; anything else is no verdict."""
    text = answer[:_LONGEST_ANSWER].rstrip(b"\0\n").decode("utf-8", "replace").removeprefix("stream: ")
    if text == "OK":
        return EngineVerdict(engine=ENGINE, status=VerdictStatus.CLEAN)
    if text.endswith(" FOUND"):
        threat = text.removesuffix(" FOUND")
        if threat.startswith(("Heuristics.Limits.Exceeded", "Heuristics.Encrypted")):
            return _unscannable("encrypted" if "Encrypted" in threat else "beyond the engine's limits")
        return EngineVerdict(engine=ENGINE, status=VerdictStatus.MALICIOUS, threat=threat[:200])
    if "size limit exceeded" in text:
        return _unscannable("too large for the engine")
    return _unscannable("the engine failed")


def _unscannable(why: str) -> EngineVerdict:
    return EngineVerdict(engine=ENGINE, status=VerdictStatus.UNSCANNABLE, why=why)
