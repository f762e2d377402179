"""Bytes as they arrive to plain bytes: gzip, zip, zstd, bzip2, xz and tar, also nested, also lying or cut off.

What can be read is given; where it ends early comes a `Damage` with the reason. Output is bounded by its ratio to the
input, so no archive can occupy the reader for ever. Memory is bounded; a zip that cannot be sought is spooled to disk.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, Protocol, cast

import zstandard

CHUNK = 256 * 1024
MAX_DEPTH = 4
MAX_MEMBERS = 10_000
MAX_RATIO = 500  # Logs compress to a tenth or a fiftieth; deflate's limit is 1,032.
FREE_BYTES = 64 * 1024 * 1024  # Output below this is never too much.
_MAX_WINDOW = 128 * 1024 * 1024
_SPOOL = 32 * 1024 * 1024
_LOCAL = struct.Struct("<4sHHHHHIIIHH")  # APPNOTE.TXT 4.3.7


@dataclass(frozen=True, slots=True)
class Damage:
    """Why an archive, or a member of it, was not read to its end."""

    why: str


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive, or the stream itself. Its chunks must be read before the next member is asked for."""

    name: str
    chunks: Iterator[bytes | Damage]


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Budget:
    """How much may come out for what went in."""

    def __init__(self) -> None:
        self.taken = 0
        self.given = 0

    def exceeded(self) -> bool:
        return self.given > FREE_BYTES and self.given > self.taken * MAX_RATIO


def members(stream: BinaryIO, name: str = "") -> Iterator[Member | Damage]:
    """The plain files in `stream`, whatever they are packed in."""
    budget = _Budget()
    yield from _members(_counted(stream, budget), name, budget, 0, stream)


def _counted(stream: _Readable, budget: _Budget) -> Iterator[bytes | Damage]:
    while True:
        try:
            data = stream.read(CHUNK)
        except (OSError, EOFError, ValueError) as error:
            yield Damage(f"the input cannot be read on: {type(error).__name__}")
            return
        if not data:
            return
        budget.taken += len(data)
        yield data


def _members(
    chunks: Iterator[bytes | Damage], name: str, budget: _Budget, depth: int, seekable: BinaryIO | None = None
) -> Iterator[Member | Damage]:
    head, chunks = _peeked(chunks)
    kind = _kind(head)
    if kind == "" or depth >= MAX_DEPTH:
        if kind:
            yield Damage(f"archives nested more than {MAX_DEPTH} deep are not opened")
        else:
            yield Member(name, chunks)
    elif kind == "zip":
        yield from _zip(chunks, name, budget, depth, seekable)
    elif kind == "tar":
        yield from _tar(chunks, name, budget, depth)
    else:
        inner = _inflated(chunks, _DECODERS[kind], kind, budget)
        yield from _members(inner, _inner_name(name), budget, depth + 1)


def _inner_name(name: str) -> str:
    for ending in (".gz", ".zst", ".bz2", ".xz", ".gzip", ".zstd"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _peeked(chunks: Iterator[bytes | Damage]) -> tuple[bytes, Iterator[bytes | Damage]]:
    kept: list[bytes | Damage] = []
    head = b""
    for chunk in chunks:
        kept.append(chunk)
        if isinstance(chunk, Damage):
            break
        head += chunk
        if len(head) >= 512:
            break

    def again() -> Iterator[bytes | Damage]:
        yield from kept
        yield from chunks

    return head[:512], again()


def _kind(head: bytes) -> str:
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd") or (
        len(head) > 8 and head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F
    ):
        return "zstd"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08PK")):
        return "zip"
    if head.startswith(b"BZh") and head[4:10] in (b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90"):
        return "bzip2"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head[257:262] == b"ustar":
        return "tar"
    return ""


# --- streams


class _Zstd:
    """A zstd frame, taken in small bites: a bite of 512 bytes can be 16 MB of zeroes."""

    _BITE = 512

    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj()
        self.eof = False
        self.unused_data = b""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), self._BITE):
            out = self._inner.decompress(data[at : at + self._BITE])
            if out:
                yield out
            if self._inner.eof:
                self.eof = True
                self.unused_data = self._inner.unused_data + data[at + self._BITE :]
                return


_DECODERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "zstd": _Zstd,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(memlimit=_MAX_WINDOW),
}


def _inflated(
    chunks: Iterator[bytes | Damage], new: Callable[[], Any], kind: str, budget: _Budget
) -> Iterator[bytes | Damage]:
    """The plain bytes of a stream that may hold several frames one after the other."""
    decoder = new()
    begun = False
    for chunk in chunks:
        if isinstance(chunk, Damage):
            yield chunk
            return
        data = chunk
        while data:
            if not begun and not data.strip(b"\0"):
                break  # Padding between or behind frames.
            begun = True
            try:
                for out in _pieces(decoder, data):
                    budget.given += len(out)
                    yield out
                    if budget.exceeded():
                        yield Damage(f"the {kind} data unpacks to more than {MAX_RATIO} times its size: not read on")
                        return
            except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError, MemoryError, zstandard.ZstdError):
                yield Damage(f"the {kind} data is damaged: not read on")
                return
            if not decoder.eof:
                break
            data = decoder.unused_data
            decoder, begun = new(), False
    if begun:
        yield Damage(f"the {kind} data ends early")


def _pieces(decoder: Any, data: bytes) -> Iterator[bytes]:
    """Output in bounded pieces where the decoder can bound it."""
    if hasattr(decoder, "unconsumed_tail"):
        while data:
            out = decoder.decompress(data, CHUNK)
            if out:
                yield out
            data = decoder.unconsumed_tail
            if decoder.eof:
                return
    elif hasattr(decoder, "needs_input"):
        out = decoder.decompress(data, CHUNK)
        if out:
            yield out
        while not decoder.eof and not decoder.needs_input:
            out = decoder.decompress(b"", CHUNK)
            if not out:
                return
            yield out
    else:
        yield from decoder.pieces(data)


# --- archives


def _zip(
    chunks: Iterator[bytes | Damage], name: str, budget: _Budget, depth: int, seekable: BinaryIO | None
) -> Iterator[Member | Damage]:
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as spool:
        for chunk in chunks:
            if isinstance(chunk, Damage):
                yield chunk
                break
            spool.write(chunk)
        spool.seek(0)
        try:
            with zipfile.ZipFile(cast(IO[bytes], spool)) as archive:
                yield from _zip_members(archive, name, budget, depth)
        except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error):
            yield Damage("the zip archive is damaged: its members are read as far as they go")
            spool.seek(0)
            yield from _zip_scan(cast(IO[bytes], spool), name, budget, depth)


def _zip_members(archive: zipfile.ZipFile, name: str, budget: _Budget, depth: int) -> Iterator[Member | Damage]:
    for index, info in enumerate(archive.infolist()):
        if index >= MAX_MEMBERS:
            yield Damage(f"the zip archive has more than {MAX_MEMBERS} members: not read on")
            return
        if info.is_dir() or info.filename.startswith("__MACOSX/"):
            continue
        label = f"{name}/{info.filename}" if name else info.filename
        if info.flag_bits & 1:
            yield Damage("a member of the zip archive is encrypted")
            continue
        try:
            handle = archive.open(info)
        except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, RuntimeError):
            yield Damage("a member of the zip archive cannot be opened")
            continue
        with handle:
            yield from _members(_guarded(handle, "zip", budget), label, budget, depth + 1)


def _guarded(handle: _Readable, kind: str, budget: _Budget) -> Iterator[bytes | Damage]:
    while True:
        try:
            data = handle.read(CHUNK)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, lzma.LZMAError, tarfile.TarError):
            yield Damage(f"a member of the {kind} archive is damaged or ends early")
            return
        if not data:
            return
        budget.given += len(data)
        yield data
        if budget.exceeded():
            yield Damage(f"the {kind} archive unpacks to more than {MAX_RATIO} times its size: not read on")
            return


def _zip_scan(spool: IO[bytes], name: str, budget: _Budget, depth: int) -> Iterator[Member | Damage]:
    """Members by their local headers, for an archive without its directory: the first deflated one to its end."""
    for _ in range(MAX_MEMBERS):
        head = spool.read(_LOCAL.size)
        if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
            return
        _, _, flags, method, *_, packed, _, name_length, extra_length = _LOCAL.unpack(head)
        label = spool.read(name_length).decode("utf-8", "replace")
        spool.seek(extra_length, 1)
        if method != zipfile.ZIP_DEFLATED or flags & 1:
            yield Damage("a member of the zip archive cannot be opened")
            return
        begin = spool.tell()
        data = _counted(spool, _Budget())
        inner = _inflated(data, lambda: zlib.decompressobj(-15), "zip", budget)
        yield from _members(inner, f"{name}/{label}" if name else label, budget, depth + 1)
        if not packed:
            return
        spool.seek(begin + packed)


def _tar(chunks: Iterator[bytes | Damage], name: str, budget: _Budget, depth: int) -> Iterator[Member | Damage]:
    source = _Joined(chunks)
    try:
        with tarfile.open(fileobj=cast(BinaryIO, source), mode="r|", bufsize=tarfile.BLOCKSIZE) as archive:
            for index, info in enumerate(archive):
                if index >= MAX_MEMBERS:
                    yield Damage(f"the tar archive has more than {MAX_MEMBERS} members: not read on")
                    return
                handle = archive.extractfile(info) if info.isreg() else None
                if handle is not None:
                    label = f"{name}/{info.name}" if name else info.name
                    yield from _members(_guarded(handle, "tar", budget), label, budget, depth + 1)
    except (tarfile.TarError, OSError, ValueError, EOFError):
        yield Damage("the tar archive is damaged or ends early")
    if source.damage:
        yield source.damage


class _Joined:
    """Chunks as something to read from."""

    def __init__(self, chunks: Iterator[bytes | Damage]) -> None:
        self._chunks = chunks
        self._kept = b""
        self.damage: Damage | None = None

    def read(self, size: int) -> bytes:
        while len(self._kept) < size and self.damage is None:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            if isinstance(chunk, Damage):
                self.damage = chunk
            else:
                self._kept += chunk
        taken, self._kept = self._kept[:size], self._kept[size:]
        return taken
