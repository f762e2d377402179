"""Archives and compressed files by libarchive: tar, 7z, RAR, cabinets, ISO images, gzip and its like."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from casb.inspection.extraction.context import BLOCK, Context, Exhausted, Item, Refused, Texts
from casb.inspection.limits import Why
from casb.inspection.signs import of_name

COMPRESSED = {
    "application/gzip": "gzip",
    "application/x-bzip2": "bzip2",
    "application/x-xz": "xz",
    "application/zstd": "zstd",
    "application/x-lz4": "lz4",
    "application/x-compress": "compress",
    "application/x-lzip": "lzip",
    "application/x-lzop": "lzop",
    "application/x-lzma": "lzma",
}
"""Media type to libarchive's filter: one file, compressed."""
ARCHIVES = frozenset(
    {
        "application/x-tar",
        "application/x-7z-compressed",
        "application/vnd.rar",
        "application/vnd.ms-cab-compressed",
        "application/x-iso9660-image",
        "application/x-cpio",
        "application/vnd.debian.binary-package",
        "application/x-archive",
        "application/x-xar",
        "application/x-lzh-compressed",
        "application/x-rpm",
    }
)
"""Media types of archives of several files."""
STREAMED = frozenset({"application/x-tar", "application/x-cpio", *COMPRESSED})
"""Those that can be read from front to back without being kept."""

_INDEXES = ("/", "//", "/SYM64/")
_UNPACKED = 1024 * 1024
_ENCRYPTED = re.compile(r"encrypt|passphrase|password", re.IGNORECASE)
_UNKNOWN = re.compile(r"unsupported|not supported|unknown (compression|method|codec)|unrecognized", re.IGNORECASE)
_SHORTER = (
    (".tgz", ".tar"),
    (".tbz2", ".tar"),
    (".tbz", ".tar"),
    (".txz", ".tar"),
    (".tzst", ".tar"),
    (".svgz", ".svg"),
)


class Feed(io.RawIOBase):
    """Blocks as a file to read from; an exception of theirs is kept, for it cannot pass through the library."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._rest = b""
        self.error: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            while not self._rest:
                self._rest = next(self._blocks)
        except StopIteration:
            return 0
        except Exception as error:  # handed on by `check`
            self.error = error
            return 0
        piece = self._rest[: len(buffer)]
        self._rest = self._rest[len(piece) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def check(self) -> None:
        if self.error is not None:
            raise self.error


def read(context: Context, item: Item, source: BinaryIO | Feed, *, single: str | None = None) -> Texts:
    """Every file in an archive; `single` is the compression of one that holds a single file. Raises `Refused`."""
    import libarchive  # noqa: PLC0415  # an extra

    if source.seekable():
        source.seek(0)
    if single == "gzip":
        yield from context.nested(item, _inner_name(item.name), gunzipped(iter(lambda: source.read(BLOCK) or b"", b"")))
        return
    kind = ("raw", single) if single else ("all", "all")
    try:
        with libarchive.stream_reader(source, *kind, block_size=BLOCK) as archive:
            for entry in archive:
                if isinstance(source, Feed):
                    source.check()
                yield from _entry(context, item, entry, single=single)
        if isinstance(source, Feed):
            source.check()
    except libarchive.ArchiveError as error:
        if isinstance(source, Feed):
            source.check()
        raise Refused(_why(str(error))) from None


def gunzipped(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Gzip, with its checksums, which libarchive leaves alone; several members behind one another are one (RFC 1952,
    2.2). What stands behind the last is not of it. Raises `Refused` CORRUPT."""
    inflate = zlib.decompressobj(wbits=31)
    began = False
    for block in blocks:
        packed = block
        while packed:
            if inflate.eof:
                packed = packed.lstrip(b"\x00")
                if not packed.startswith(b"\x1f"):
                    return
                inflate, began = zlib.decompressobj(wbits=31), False
            try:
                plain = inflate.decompress(packed, _UNPACKED)
            except zlib.error:
                raise Refused(Why.CORRUPT) from None
            began = True
            if plain:
                yield plain
            packed = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
    if began and not inflate.eof:
        raise Refused(Why.CORRUPT)


def _entry(context: Context, item: Item, entry: Any, *, single: str | None) -> Texts:
    import libarchive  # noqa: PLC0415  # an extra

    name = _inner_name(item.name) if single else _name(entry)
    if name in _INDEXES:  # of a library
        return
    if not single:
        yield item.part, f"{name}\n"
        for sign in of_name(name):
            context.sign(sign)
        if not entry.isfile:
            if entry.issym or entry.islnk:
                for sign in of_name(str(entry.linkpath or "")):
                    context.sign(sign)
            context.member()
            return
    try:
        yield from context.nested(item, name, entry.get_blocks(BLOCK))
    except libarchive.ArchiveError as error:
        context.report.problem(_why(str(error)), item.inside(name))
    except Exhausted:
        raise


def _name(entry: Any) -> str:
    try:
        name = entry.pathname
    except (UnicodeError, ValueError):
        name = None
    if isinstance(name, bytes):
        return name.decode("utf-8", "replace")
    return str(name) if name else "(unnamed)"


def _inner_name(name: str) -> str:
    low = name.lower()
    for ending, shorter in _SHORTER:
        if low.endswith(ending):
            return name[: -len(ending)] + shorter
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem else "(content)"


def _why(message: str) -> Why:
    if "too many filters" in message:
        return Why.BOMB
    if _ENCRYPTED.search(message):
        return Why.ENCRYPTED
    return Why.UNSUPPORTED if _UNKNOWN.search(message) else Why.CORRUPT
