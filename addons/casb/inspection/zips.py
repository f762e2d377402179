"""The directory of a ZIP file, and single members of it, within fixed bounds (PKWARE APPNOTE 6.3).

Reads the central directory only, as office programs do, and inflates nothing beyond the size asked for: a bomb costs
what its directory costs. Any bytes give a `Directory` or `ContentError` (F101 corrupt, F102 bomb, F103 encrypted).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from casb.errors import ContentError

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

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & _ENCRYPTED)


class Directory:
    """The members of one ZIP file. `members` is keyed by name in lower case: office part names ignore case; of several
    members with one name it has the last, `all` has every one."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._shift, entries = _find(file, size)
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
        if member.encrypted:
            raise ContentError("F103", "a member is encrypted")
        if member.size > limit:
            raise ContentError("F102", "a member is too long")
        if member.offset + self._shift > self._size:
            raise ContentError("F101", "a member is not where the directory says")
        self._file.seek(member.offset + self._shift)
        head = self._file.read(_LOCAL.size)
        if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
            raise ContentError("F101", "a member is not where the directory says")
        *_, name_length, extra_length = _LOCAL.unpack(head)
        self._file.seek(name_length + extra_length, 1)
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


def _find(file: BinaryIO, size: int) -> tuple[int, bytes]:
    """By how much all offsets are off (bytes put in front), and the directory's bytes."""
    length = min(size, END)
    file.seek(size - length)
    tail = file.read(length)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise ContentError("F101", "the archive has no directory")
    _, disk, _, _, count, directory, offset, _ = _END.unpack_from(tail, at)
    end = size - length + at
    if 0xFFFFFFFF in (directory, offset) or count == 0xFFFF:
        end, count, directory, offset = _find_64(file, end, count, directory, offset)
    start = end - directory
    shift = start - offset
    if disk not in (0, 0xFFFF) or start < 0 or shift < 0:
        raise ContentError("F101", "the directory of the archive is damaged")
    if count > MEMBERS or directory > MEMBERS * 1024:
        raise ContentError("F102", "the archive has too many members")
    file.seek(start)
    return shift, file.read(directory)


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
        compressed, size, name_length, extra_length, comment_length = fields[8:13]
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
        yield Member(name, flags, method, compressed, size, offset)


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
