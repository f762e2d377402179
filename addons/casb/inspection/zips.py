"""The directory of a ZIP file, and single members of it, within fixed bounds (PKWARE APPNOTE 6.3).

Reads the central directory only, as office programs do, and inflates nothing beyond the size asked for: a bomb costs
what its directory costs. Any bytes give a `Directory` or `ContentError` (F101 corrupt, F102 bomb, F103 encrypted).
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import zstandard

from casb.errors import ContentError

BLOCK = 64 * 1024
UNPACKED = 1024 * 1024
"""At most so many bytes are unpacked at a time."""
MEMBERS = 100_000
"""More members than this is a bomb."""
RATIO = 100
INFLATED = 256 * 1024 * 1024
"""Declared contents of more than this many bytes, at more than `RATIO` times the file's size, are a bomb."""

_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
END = _END.size + 0xFFFF
"""Within so many bytes of the end of a file its directory is announced."""

_LOCATOR_64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 0x1 | 0x40  # traditional and strong encryption
_UTF8 = 0x800
_STORED, _DEFLATED = 0, 8


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of the directory; sizes in bytes, as declared."""

    name: str
    flags: int
    method: int
    compressed: int
    size: int
    offset: int
    crc: int = 0

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & _ENCRYPTED)


class Directory:
    """The members of one ZIP file. `members` is keyed by name in lower case: office part names ignore case; of several
    members with one name it has the last, `all` has every one."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self.shift, self.end, entries = _find(file, size)
        self.all = tuple(_entries(entries))
        self.members: Mapping[str, Member] = {each.name.lower(): each for each in self.all}

    @property
    def encrypted(self) -> bool:
        """Whether any member is."""
        return any(each.encrypted for each in self.all)

    def require_harmless(self) -> None:
        """Raises `ContentError` F102 for contents out of all proportion, or members that share their bytes."""
        total = sum(each.size for each in self.all)
        packed = sum(each.compressed for each in self.all)
        if total > INFLATED and total > RATIO * self._size:
            raise ContentError("F102", "the archive unpacks to more than a hundred times its size")
        # Overlapping members (Fifield's non-recursive bomb) add up to more than there is.
        if packed > self._size:
            raise ContentError("F102", "members of the archive share their bytes")

    def read(self, name: str, limit: int) -> bytes | None:
        """The contents of a member, or None when there is none of that name. Raises `ContentError` F101 to F103;
        F102 when it is longer than `limit` bytes."""
        member = self.members.get(name.lower())
        if member is None:
            return None
        if member.size > limit:
            raise ContentError("F102", "a member is too long")
        self._file.seek(self._start(member))
        packed = self._file.read(min(member.compressed, self._size))
        if len(packed) != member.compressed:
            raise ContentError("F101", "a member is cut short")
        if member.method == _STORED:
            return packed[: limit + 1]
        if member.method != _DEFLATED:
            raise ContentError("F101", "a member is packed in an unknown way")
        try:
            inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            plain = inflate.decompress(packed, limit + 1)
        except zlib.error:
            raise ContentError("F101", "a member cannot be unpacked") from None
        if len(plain) > limit:
            raise ContentError("F102", "a member is longer than it says")
        if not inflate.eof:
            raise ContentError("F101", "a member is cut short")
        return plain

    def open(self, member: Member) -> Iterator[bytes]:
        """What a member unpacks to, block by block; its checksum is compared at the end. Other members may be read
        in between. Raises `ContentError` F101, F103, and F106 when it is packed in a way that is not known here."""
        at, left = self._start(member), min(member.compressed, self._size)
        unpack = _unpacker(member.method, member.size)
        crc = 0
        while left:
            self._file.seek(at)
            packed = self._file.read(min(BLOCK, left))
            if not packed:
                raise ContentError("F101", "a member is cut short")
            at, left = at + len(packed), left - len(packed)
            try:
                for plain in unpack.blocks(packed):
                    crc = zlib.crc32(plain, crc)
                    yield plain
            except _UNPACK_ERRORS:
                raise ContentError("F101", "a member cannot be unpacked") from None
        if not unpack.eof:
            raise ContentError("F101", "a member is cut short")
        if crc != member.crc:
            raise ContentError("F101", "a member does not have the checksum that the directory says")

    def _start(self, member: Member) -> int:
        """Where the packed bytes of a member begin."""
        if member.encrypted:
            raise ContentError("F103", "a member is encrypted")
        if member.offset + self.shift > self._size:
            raise ContentError("F101", "a member is not where the directory says")
        self._file.seek(member.offset + self.shift)
        head = self._file.read(_LOCAL.size)
        if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
            raise ContentError("F101", "a member is not where the directory says")
        *_, name_length, extra_length = _LOCAL.unpack(head)
        return member.offset + self.shift + _LOCAL.size + int(name_length) + int(extra_length)


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...

    def blocks(self, packed: bytes) -> Iterator[bytes]: ...


class _Stored:
    eof = True

    def blocks(self, packed: bytes) -> Iterator[bytes]:
        yield packed


class _Deflated:
    """Inflates at most so much at a time: a block may unpack to a thousand times its size."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    def blocks(self, packed: bytes) -> Iterator[bytes]:
        while packed and not self._inflate.eof:
            if plain := self._inflate.decompress(packed, UNPACKED):
                yield plain
            packed = self._inflate.unconsumed_tail


class _Bounded:
    """bzip2 and xz, by decompressors of the standard library."""

    def __init__(self, decompressor: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._decompressor = decompressor

    @property
    def eof(self) -> bool:
        return self._decompressor.eof

    def blocks(self, packed: bytes) -> Iterator[bytes]:
        while not self._decompressor.eof:
            if plain := self._decompressor.decompress(packed, UNPACKED):
                yield plain
            packed = b""
            if self._decompressor.needs_input:
                return


class _Lzma:
    """APPNOTE 5.8.8: two bytes of version, two of length, then the properties of a raw stream."""

    def __init__(self, size: int) -> None:
        self._head = b""
        self._left = size
        self._inner: lzma.LZMADecompressor | None = None

    @property
    def eof(self) -> bool:
        return self._left <= 0 or (self._inner is not None and self._inner.eof)

    def blocks(self, packed: bytes) -> Iterator[bytes]:
        if self._inner is None:
            self._head += packed
            if len(self._head) < 9:
                return
            packed = self._head[9:]
            at, dictionary = self._head[4], min(int.from_bytes(self._head[5:9], "little"), 1 << 26)
            if at >= 225:
                raise lzma.LZMAError
            spec = {"id": lzma.FILTER_LZMA1, "lc": at % 9, "lp": at // 9 % 5, "pb": at // 45, "dict_size": dictionary}
            self._inner = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[spec])
        while not self.eof:
            if plain := self._inner.decompress(packed, UNPACKED)[: self._left]:
                self._left -= len(plain)
                yield plain
            packed = b""
            if self._inner.needs_input:
                return


class _Zstandard:
    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()

    @property
    def eof(self) -> bool:
        return self._inner.eof

    def blocks(self, packed: bytes) -> Iterator[bytes]:
        for at in range(0, len(packed), 1024):  # the library does not bound what comes out: bound what goes in
            if self._inner.eof:
                return
            if plain := self._inner.decompress(packed[at : at + 1024]):
                yield plain


_UNPACK_ERRORS = (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError, zstandard.ZstdError)


def _unpacker(method: int, size: int) -> _Unpacker:
    match method:
        case 0:
            return _Stored()
        case 8:
            return _Deflated()
        case 12:
            return _Bounded(bz2.BZ2Decompressor())
        case 14:
            return _Lzma(size)
        case 20 | 93:
            return _Zstandard()
        case 95:
            return _Bounded(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 28))
        case _:
            raise ContentError("F106", "a member is packed in a way that cannot be read here")


def _find(file: BinaryIO, size: int) -> tuple[int, int, bytes]:
    """By how much all offsets are off (bytes put in front), where the archive ends, and the directory's bytes."""
    length = min(size, END)
    file.seek(size - length)
    tail = file.read(length)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise ContentError("F101", "the archive has no directory")
    _, disk, _, _, count, directory, offset, comment = _END.unpack_from(tail, at)
    end = size - length + at
    after = end + _END.size + comment
    if 0xFFFFFFFF in (directory, offset) or count == 0xFFFF:
        end, count, directory, offset = _find_64(file, end, count, directory, offset)
    start = end - directory
    shift = start - offset
    if disk not in (0, 0xFFFF) or start < 0 or shift < 0:
        raise ContentError("F101", "the directory of the archive is damaged")
    if count > MEMBERS or directory > MEMBERS * 1024:
        raise ContentError("F102", "the archive has too many members")
    file.seek(start)
    return shift, after, file.read(directory)


def _find_64(file: BinaryIO, end: int, count: int, directory: int, offset: int) -> tuple[int, int, int, int]:
    """The same from the ZIP64 records, when they are there."""
    at = end - _LOCATOR_64.size
    if at < 0:
        return end, count, directory, offset
    file.seek(at)
    locator = file.read(_LOCATOR_64.size)
    if locator[:4] != b"PK\x06\x07":
        return end, count, directory, offset
    place = at - _END_64.size
    file.seek(max(0, place))
    record = file.read(_END_64.size)
    if place < 0 or len(record) < _END_64.size or record[:4] != b"PK\x06\x06":
        raise ContentError("F101", "the directory of the archive is damaged")
    *_, count, directory, offset = _END_64.unpack(record)
    return place, count, directory, offset


def _entries(data: bytes) -> Iterator[Member]:
    at = 0
    number = 0
    while at + _ENTRY.size <= len(data):
        fields = _ENTRY.unpack_from(data, at)
        signature, flags, method = fields[0], fields[3], fields[4]
        crc, compressed, size, name_length, extra_length, comment_length = fields[7:13]
        offset = fields[16]
        number += 1
        if signature != b"PK\x01\x02":
            break
        if number > MEMBERS:
            raise ContentError("F102", "the archive has too many members")
        at += _ENTRY.size
        raw = data[at : at + name_length]
        extra = data[at + name_length : at + name_length + extra_length]
        at += name_length + extra_length + comment_length
        size, compressed, offset = _wide(extra, size, compressed, offset)
        name = raw.decode("utf-8" if flags & _UTF8 else "cp437", "replace").replace("\\", "/")
        yield Member(name, flags, method, compressed, size, offset, crc)


def _wide(extra: bytes, size: int, compressed: int, offset: int) -> tuple[int, int, int]:
    """ZIP64 sizes and offset, where the narrow fields say so (APPNOTE 4.5.3)."""
    values = [size, compressed, offset]
    if 0xFFFFFFFF not in values:
        return size, compressed, offset
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            wide = [value for (value,) in struct.iter_unpack("<Q", extra[at + 4 : at + 4 + min(length, 24) // 8 * 8])]
            for index, value in enumerate(values):
                if value == 0xFFFFFFFF and wide:
                    values[index] = wide.pop(0)
            break
        at += 4 + length
    return values[0], values[1], values[2]
