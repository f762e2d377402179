"""Plain bytes to numbered lines of text: encodings, line ends, frames, lines too long to be one.

Knows nothing of what a line says.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from casb.discovery.unpack import Damage
from casb.model.discovery import Skipped

MAX_LINE = 256 * 1024  # bytes
_HEAD = 64 * 1024

_FRAME = re.compile(rb"(\d{1,6}) (?=<\d{1,3}>)")


def numbered(chunks: Iterator[bytes | Damage], first: int = 1) -> Iterator[tuple[int, str] | Skipped]:
    """Every non-empty line with its 1-based number, decoded; a `Skipped` for each that cannot be given."""
    head, rest = _head(chunks)
    encoding, drop = _encoding(head)
    data = _utf8(rest, encoding, drop)
    plain, data = _head(data)
    if _framed(plain):
        yield from _frames(data, first)
        return
    end = b"\r" if b"\r" in plain and b"\n" not in plain else b"\n"
    yield from _split(data, end, first)


def _head(chunks: Iterator[bytes | Damage]) -> tuple[bytes, Iterator[bytes | Damage]]:
    kept: list[bytes | Damage] = []
    size = 0
    for chunk in chunks:
        kept.append(chunk)
        if isinstance(chunk, Damage):
            break
        size += len(chunk)
        if size >= _HEAD:
            break

    def again() -> Iterator[bytes | Damage]:
        yield from kept
        yield from chunks

    return b"".join(each for each in kept if isinstance(each, bytes))[:_HEAD], again()


def _encoding(head: bytes) -> tuple[str, int]:
    """The encoding by its mark or by the look of the first bytes, and the length of the mark."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if head.startswith(mark):
            return name, len(mark)
    sample = head[:2048]
    if len(sample) >= 8:
        even, odd = sample[0::2].count(0), sample[1::2].count(0)
        if odd * 10 >= len(sample) * 4 and even * 20 < len(sample):
            return "utf-16-le", 0
        if even * 10 >= len(sample) * 4 and odd * 20 < len(sample):
            return "utf-16-be", 0
    return "utf-8", 0


def _utf8(chunks: Iterator[bytes | Damage], encoding: str, drop: int) -> Iterator[bytes | Damage]:
    """The chunks as UTF-8 (or, line by line, whatever they are), without a byte order mark."""
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)("replace")
    for chunk in chunks:
        if isinstance(chunk, Damage):
            yield chunk
            continue
        if drop:
            chunk, drop = chunk[drop:], max(0, drop - len(chunk))
        if decoder is not None:
            chunk = decoder.decode(chunk).encode("utf-8", "replace")
        if chunk:
            yield chunk


def _text(line: bytes) -> str:
    """UTF-8, or Latin-1 where it is not: every byte keeps its meaning or at least its place."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _split(chunks: Iterator[bytes | Damage], end: bytes, number: int) -> Iterator[tuple[int, str] | Skipped]:
    kept: list[bytes] = []
    size = 0
    for chunk in chunks:
        if isinstance(chunk, Damage):
            yield Skipped(line=number, why=chunk.why)
            continue
        at = chunk.rfind(end)
        if at < 0:
            size += len(chunk)
            if size <= MAX_LINE:
                kept.append(chunk)
            else:
                kept.clear()
            continue
        block = chunk[:at] if not size else (b"".join(kept) + chunk[:at] if size <= MAX_LINE else b"\0" + chunk[:at])
        over = size > MAX_LINE
        kept, size = [chunk[at + 1 :]], len(chunk) - at - 1
        for line in _decoded(block, end):
            if not line and not over:
                number += 1
                continue
            if over or len(line) > MAX_LINE:
                over = False
                yield Skipped(line=number, why="longer than a log line can be")
            else:
                stripped = line.strip("\x00\r\n")
                if "\x00" in stripped:
                    yield Skipped(line=number, why="NUL inside the line")
                elif stripped and not stripped.isspace():
                    yield number, stripped
                elif line and not line.isspace():
                    yield Skipped(line=number, why="nothing but NUL")
            number += 1
    yield from _last(kept, size, number)


def _last(kept: list[bytes], size: int, number: int) -> Iterator[tuple[int, str] | Skipped]:
    if size > MAX_LINE:
        yield Skipped(line=number, why="longer than a log line can be")
    line = _text(b"".join(kept)) if size <= MAX_LINE else ""
    stripped = line.strip("\x00\r\n")
    if "\x00" in stripped:
        yield Skipped(line=number, why="NUL inside the line")
    elif stripped and not stripped.isspace():
        yield number, stripped
    elif line and not line.isspace():
        yield Skipped(line=number, why="nothing but NUL")


def _decoded(block: bytes, end: bytes) -> list[str]:
    try:
        return block.decode().split(end.decode())
    except UnicodeDecodeError:
        return [_text(line) for line in block.split(end)]


def _framed(head: bytes) -> bool:
    """True for RFC 6587 octet-counted frames that follow each other without line ends."""
    match = _FRAME.match(head)
    if match is None:
        return False
    following = match.end() + int(match[1])
    return (
        following < len(head) and _FRAME.match(head, following) is not None and head[following - 1 : following] != b"\n"
    )


def _frames(chunks: Iterator[bytes | Damage], number: int) -> Iterator[tuple[int, str] | Skipped]:
    """RFC 6587 section 3.4.1; where the counting breaks, on from the next line."""
    kept = b""
    over = 0  # bytes of a frame too long that are still to come
    for chunk in chunks:
        if isinstance(chunk, Damage):
            yield Skipped(line=number, why=chunk.why)
            continue
        kept += chunk
        while kept:
            if over:
                kept, over = kept[over:], max(0, over - len(kept))
                continue
            match = _FRAME.match(kept)
            if match is None:
                line, found, rest = kept.partition(b"\n")
                if not found and len(kept) < MAX_LINE:
                    break
                kept = rest
                if line.strip(b"\r\0 "):
                    yield number, _text(line.strip(b"\r\0"))
                    number += 1
                continue
            length = int(match[1])
            if length > MAX_LINE:
                yield Skipped(line=number, why="longer than a log line can be")
                number += 1
                over, kept = length, kept[match.end() :]
                continue
            if len(kept) < match.end() + length:
                break
            frame = kept[match.end() : match.end() + length]
            kept = kept[match.end() + length :].lstrip(b"\n")
            yield number, _text(frame.strip(b"\r\n\0")).replace("\x00", " ").replace("\n", " ")
            number += 1
    if kept.strip(b"\r\n\0 "):
        yield number, _text(kept.strip(b"\r\n\0")).replace("\x00", " ").replace("\n", " ")
