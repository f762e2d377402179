"""A large log cut into pieces that processes read side by side, and a stream that counts how far it was read.

Only plain text with a record a line is cut. What names the fields of later lines (`#Fields`, a CSV header) is put in
front of every piece, so that a reader never knows that it has a piece.
"""

from __future__ import annotations

import io
import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

HEAD = 256 * 1024
"""Bytes at the start that tell how a file is made."""
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes from `start` up to `end` of a file; `end` None is its end. `preamble` is read first."""

    path: str  # "-" is the standard input
    start: int = 0
    end: int | None = None
    preamble: bytes = b""
    preamble_lines: int = 0

    @property
    def whole(self) -> bool:
        return self.start == 0 and self.end is None


def pieces(path: Path, size: int, first_record: Callable[[bytes], int]) -> list[Piece]:
    """The file in pieces of about `size` bytes, or as one when it cannot be cut.

    `first_record` tells, of the first bytes, the 1-based number of the line that the first record or skipped line is
    on (0 when there is none): the lines above it are the header.
    """
    length = path.stat().st_size
    whole = [Piece(path=str(path))]
    if length < 2 * size:
        return whole
    with open(path, "rb") as file:
        head = file.read(HEAD)
        if not _is_lines(head):
            return whole
        first = first_record(head)
        if first == 0:
            return whole
        header = b"".join(head.splitlines(keepends=True)[: first - 1])
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            found, start = [], 0
            while start < length:
                end = _line_end(mapped, min(start + size, length), length)
                preamble = _preamble(mapped, header, start) if start else b""
                found.append(
                    Piece(
                        path=str(path),
                        start=start,
                        end=end,
                        preamble=preamble,
                        preamble_lines=preamble.count(b"\n"),
                    )
                )
                start = end
    return found


def _is_lines(head: bytes) -> bool:
    if head.startswith(_PACKED) or b"\0" in head:
        return False
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith((b"[", b"<")):
        # A JSON array or XML has no record a line; a syslog priority such as <134> has.
        return text[:1] == b"<" and text[1:4].rstrip(b">0123456789") == b""
    first = text.split(b"\n", 1)[0].rstrip()
    return not first.startswith(b"{") or first.endswith(b"}")


def _line_end(mapped: mmap.mmap, at: int, length: int) -> int:
    found = mapped.find(b"\n", at)
    return length if found < 0 else found + 1


def _preamble(mapped: mmap.mmap, header: bytes, start: int) -> bytes:
    """The header, and the last `#Fields` above the cut, which may have changed since."""
    at = mapped.rfind(b"\n#Fields", 0, start)
    if at < 0 or at + 1 < len(header):
        return header
    return header + mapped[at + 1 : _line_end(mapped, at + 1, len(mapped))]


class Counted(io.RawIOBase):
    """A binary stream over a piece that tells how many bytes of it were read."""

    def __init__(self, file: BinaryIO, piece: Piece, told: Callable[[int], None] = lambda count: None) -> None:
        self._file = file
        self._preamble = memoryview(piece.preamble)
        self._left = None if piece.end is None else piece.end - piece.start
        self._told = told
        if piece.start:
            file.seek(piece.start)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._preamble:
            count = min(len(buffer), len(self._preamble))
            buffer[:count] = self._preamble[:count]
            self._preamble = self._preamble[count:]
            return count
        wanted = len(buffer) if self._left is None else min(len(buffer), self._left)
        data = self._file.read(wanted) if wanted else b""
        buffer[: len(data)] = data
        if self._left is not None:
            self._left -= len(data)
        self._told(len(data))
        return len(data)


def opened(piece: Piece, told: Callable[[int], None] = lambda count: None) -> io.BufferedReader:
    """A stream over the piece, to be closed. Raises `OSError`."""
    file: BinaryIO = os.fdopen(os.dup(0), "rb", 0) if piece.path == "-" else open(piece.path, "rb", 0)
    raw = Counted(file, piece, told)
    return _Reader(raw, file)


class _Reader(io.BufferedReader):
    """Closes the file below as well."""

    def __init__(self, raw: Counted, file: BinaryIO) -> None:
        super().__init__(raw, 256 * 1024)
        self._below = file

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._below.close()
