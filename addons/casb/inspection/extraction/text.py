"""Plain text in any character set, and what can be read in files of other kinds."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

import re2  # type: ignore[import-untyped]  # ships no types

from casb.inspection import charsets
from casb.inspection.extraction.context import Texts

HEAD = 64 * 1024
# RE2 reads bytes that say nothing at hundreds of MB/s, where `re` manages a dozen.
_RUNS = re2.compile(rb"[\t\x20-\x7e]{6,}|(?:[\t\x20-\x7e]\x00){6,}|(?:\x00[\t\x20-\x7e]){6,}")
_RUN = 4096


def plain(part: str, blocks: Iterable[bytes], declared: str | None = None) -> Texts:
    """A text, decoded. What is no text after all gives its readable runs."""
    blocks = iter(blocks)
    head, whole = first(blocks, HEAD)
    codec = charsets.of_text(head, whole=whole, declared=declared)
    if codec is None:
        yield from strings(part, _chain(head, blocks))
        return
    for text in decoded(_chain(head, blocks), codec):
        yield part, text


def decoded(blocks: Iterable[bytes], codec: str) -> Iterator[str]:
    """Blocks of bytes as text; what does not fit the codec is replaced."""
    decoder = codecs.getincrementaldecoder(codec)("replace")
    for block in blocks:
        yield decoder.decode(block)
    yield decoder.decode(b"", True)


def strings(part: str, blocks: Iterable[bytes]) -> Texts:
    """The readable runs in bytes of any kind, in ASCII and UTF-16, each on a line."""
    carried = b""
    for block in blocks:
        data = carried + block
        carried = b""
        found: list[str] = []
        for match in _RUNS.finditer(data):
            if match.end() >= len(data) - 1 and len(match[0]) < _RUN:
                carried = data[match.start() :]  # it may go on
                break
            found.append(_run(match[0]))
        if not carried:
            carried = data[-11:] if not found else b""
        if found:
            yield part, "\n".join(found) + "\n"
    if last := [_run(match[0]) for match in _RUNS.finditer(carried)]:
        yield part, "\n".join(last) + "\n"


def first(blocks: Iterator[bytes], size: int) -> tuple[bytes, bool]:
    """The leading bytes, at least `size` of them when there are so many, and whether they are all."""
    kept: list[bytes] = []
    length = 0
    for block in blocks:
        kept.append(block)
        length += len(block)
        if length >= size:
            return b"".join(kept), False
    return b"".join(kept), True


def _run(found: bytes) -> str:
    return found.replace(b"\x00", b"").decode("ascii")


def _chain(head: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest
