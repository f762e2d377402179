"""Text read while it passes: plain text of any character set, text in gzip, text in zip and tar archives.

Push style and pure: bytes in, findings out, never more than one piece of the file in memory. What turns out to be
something else in the middle (binary bytes in a text, an encrypted or foreign member in an archive, bytes between the
members of one) raises `ContentError`: then nothing is known of the file, and the policy's `unscannable` holds.

Archives are read by their local headers, as they come. Their directory, which other readers go by, must tell the same
members at the same places, and nothing may follow it: so no reader finds a file in it that was not seen here.
"""

from __future__ import annotations

import codecs
import hashlib
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from casb.errors import ContentError
from casb.inspection import charsets, filetype
from casb.inspection.media_types import EMPTY, TEXT, ZIP
from casb.inspection.spec import TextMatcher
from casb.model.file import Finding

GZIP, TAR = "application/gzip", "application/x-tar"
DEPTH = 4
"""Archives within archives, at most."""
MEMBERS = 100_000
"""Members of one archive, at most."""
GROWTH = 200
"""What grows more than so many times when it is unpacked is no file that people exchange."""
_FREE = 8 * 1024 * 1024  # no growth is judged below this size
_STEP = 256 * 1024
_TEXT_TYPES = frozenset({TEXT, "application/json", "application/xml", "text/html", "message/rfc822", "image/svg+xml"})
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END_64, _LOCATOR_64, _DESCRIPTOR = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
_WIDE = 0xFFFFFFFF


class Reader(Protocol):
    """One kind of content, fed piece by piece."""

    def feed(self, data: bytes) -> None: ...

    def finish(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFacts:
    """What a stream turned out to be."""

    size: int
    sha256: str
    detected_type: str
    findings: tuple[Finding, ...]


def unreadable(why: str) -> ContentError:
    """The content cannot be judged as it passes."""
    return ContentError("F150", why)


class StreamInspector:
    """One file on its way. `charset` is what its head declares, `name` is searched as well."""

    def __init__(self, matcher: TextMatcher, *, charset: str = "", name: str = "") -> None:
        self._sum = _Sum(matcher)
        self._name = name
        self._charset = charset
        self._digest = hashlib.sha256()
        self._size = 0
        self._head = bytearray()
        self._reader: Reader | None = None
        self.detected_type = ""
        """Empty until enough of the file has been seen."""

    @property
    def text(self) -> bool:
        """Whether it is one text, perhaps in gzip; False for archives, and as long as that is not known."""
        reader = self._reader
        return isinstance(reader, _Text) or (isinstance(reader, _Gzip) and isinstance(reader.inner.reader, _Text))

    def feed(self, data: bytes) -> None:
        """The next piece. Raises `ContentError` F102 (a bomb) and F150 (cannot be judged as it passes)."""
        self._digest.update(data)
        self._size += len(data)
        if self._reader is None:
            self._head += data
            if len(self._head) < filetype.HEAD:
                return
            self._begin()
        else:
            self._reader.feed(data)

    def _begin(self, *, whole: bool = False) -> None:
        head = bytes(self._head)
        self._head.clear()
        self._reader, self.detected_type = _reader_for(head, self._sum, self._charset, DEPTH, whole=whole)
        self._reader.feed(head)

    def findings(self) -> tuple[Finding, ...]:
        """What is certain so far: grows only."""
        return self._sum.findings()

    @property
    def behind(self) -> int:
        """Bytes of text in which a value that is yet to be found may begin."""
        return self._sum.behind

    def finish(self) -> StreamFacts:
        """The file has ended. Raises as `feed`."""
        if self._reader is None:
            self._begin(whole=True)
        if self._reader is not None:
            self._reader.finish()
        return StreamFacts(
            size=self._size,
            sha256=self._digest.hexdigest(),
            detected_type=self.detected_type,
            findings=self._sum.finish(self._name),
        )


class _Sum:
    """All texts of one file through one matcher, a line break between them, so that a value counts once."""

    def __init__(self, matcher: TextMatcher) -> None:
        self._scan = matcher.begin()
        self._fed = 0
        self.findings = self._scan.findings

    def feed(self, text: bytes) -> None:
        self._fed += len(text)
        self._scan.feed(text)

    def finish(self, name: str) -> tuple[Finding, ...]:
        self.feed(b"\n" + name.encode("utf-8", "replace") + b"\n")
        return self._scan.finish()

    @property
    def behind(self) -> int:
        return self._fed - min(self._scan.settled, self._fed)


def _reader_for(head: bytes, into: _Sum, charset: str, depth: int, *, whole: bool) -> tuple[Reader, str]:
    """What reads content that begins so, and its type. Raises `ContentError` F150 for what is not read as it passes."""
    kind = filetype.detect_head(head[: filetype.HEAD], whole=whole) if head else EMPTY
    if kind in _TEXT_TYPES or kind == EMPTY:
        return _Text(into, charsets.of_text(head, whole=whole, declared=charset or None) or "utf-8"), kind
    if depth == 0:
        raise unreadable("archives within archives, too deep")
    if kind == GZIP:
        return _Gzip(into, charset, depth - 1), kind
    if kind == ZIP:
        return _Zip(into, depth - 1), kind
    if kind == TAR:
        return _Tar(into, depth - 1), kind
    raise unreadable(f"{kind} cannot be read as it passes")


class _Text:
    """Text to UTF-8, in whatever it was written."""

    def __init__(self, into: _Sum, charset: str) -> None:
        self._into = into
        into.feed(b"\n")
        self._name = charset
        self._strict = charset.startswith(("utf-16", "utf-32", "utf_16", "utf_32"))
        self._decoder = codecs.getincrementaldecoder(charset)("strict")

    def feed(self, data: bytes) -> None:
        if not self._strict and _CONTROLS.search(data):
            raise unreadable("the text turns into something else")
        before = self._decoder.getstate()[0]
        if self._name == "utf-8" and data.isascii() and not before:
            self._into.feed(data)
            return
        try:
            text = self._decoder.decode(data)
        except UnicodeDecodeError:
            if self._strict:
                raise unreadable("the text turns into something else") from None
            # It was not what it was taken for: some 8-bit character set, of which this one reads all bytes.
            self._name, self._decoder = "latin-1", codecs.getincrementaldecoder("latin-1")("replace")
            text = self._decoder.decode(before + data)
        if self._strict and "\0" in text:
            raise unreadable("the text turns into something else")
        self._into.feed(text.encode("utf-8", "replace"))

    def finish(self) -> None:
        if self._strict and self._decoder.getstate()[0]:
            raise unreadable("the text ends within a character")


class _Inner:
    """Content within other content, whose kind shows with its first bytes."""

    def __init__(self, into: _Sum, charset: str, depth: int) -> None:
        self._into, self._charset, self._depth = into, charset, depth
        self._head = bytearray()
        self.reader: Reader | None = None

    def feed(self, data: bytes) -> None:
        if self.reader is not None:
            self.reader.feed(data)
            return
        self._head += data
        if len(self._head) >= filetype.HEAD:
            self._begin(whole=False)

    def _begin(self, *, whole: bool) -> None:
        head = bytes(self._head)
        self._head.clear()
        self.reader, _ = _reader_for(head, self._into, self._charset, self._depth, whole=whole)
        self.reader.feed(head)

    def finish(self) -> None:
        if self.reader is None:
            self._begin(whole=True)
        if self.reader is not None:
            self.reader.finish()


class _Growth:
    """Counts what goes in and comes out of something packed."""

    def __init__(self) -> None:
        self._in = self._out = 0

    def seen(self, taken: int, given: int) -> None:
        self._in += taken
        self._out += given
        if self._out > _FREE and self._out > GROWTH * max(self._in, 1):
            raise ContentError("F102", "it grows too much when it is unpacked")


def _inflated(inflate: zlib._Decompress, data: bytes, growth: _Growth, give: Callable[[bytes], None]) -> bytes:
    """Unpack a piece in steps; the bytes behind the end of the packed data, when that was reached."""
    growth.seen(len(data), 0)
    try:
        while True:
            out = inflate.decompress(data, _STEP)
            growth.seen(0, len(out))
            if out:
                give(out)
            if inflate.eof:
                return inflate.unused_data
            data = inflate.unconsumed_tail
            if not data and len(out) < _STEP:
                return b""
    except zlib.error as error:
        raise unreadable("packed data is damaged") from error


class _Gzip:
    """gzip of any number of members (RFC 1952), which are one content."""

    def __init__(self, into: _Sum, charset: str, depth: int) -> None:
        self.inner = _Inner(into, charset, depth)
        self._growth = _Growth()
        self._inflate: zlib._Decompress | None = None
        self._wait = b""  # less than the beginning of a member

    def feed(self, data: bytes) -> None:
        data, self._wait = self._wait + data, b""
        while data:
            if self._inflate is None:
                if len(data) < 2:
                    self._wait = data
                    return
                if data[:2] != b"\x1f\x8b":
                    raise unreadable("something follows the packed data")
                self._inflate = zlib.decompressobj(31)
            data = _inflated(self._inflate, data, self._growth, self.inner.feed)
            if self._inflate.eof:
                self._inflate = None

    def finish(self) -> None:
        if self._inflate is not None or self._wait:
            raise unreadable("the packed data is cut short")
        self.inner.finish()


class _Blocks:
    """Bytes that are asked for in known amounts: `_next` is called when there are `_need` of them."""

    _need = 0

    def __init__(self) -> None:
        self._bytes = bytearray()

    def _room(self, size: int) -> bytes | None:
        """So many bytes from the front, or None while they are not all there."""
        if len(self._bytes) < size:
            return None
        out = bytes(self._bytes[:size])
        del self._bytes[:size]
        return out


class _Tar(_Blocks):
    """POSIX tar, pax and GNU (IEEE 1003.1-2017 pax; GNU tar manual appendix)."""

    def __init__(self, into: _Sum, depth: int) -> None:
        super().__init__()
        self._into, self._depth = into, depth
        self._member: _Inner | None = None
        self._extra: bytearray | None = None  # content of an extended header
        self._left = self._pad = 0
        self._size: int | None = None  # told by an extended header, for the next member
        self._zeros = self._count = 0

    def feed(self, data: bytes) -> None:
        self._bytes += data
        while self._bytes:
            if self._left:
                piece = bytes(self._bytes[: self._left])
                del self._bytes[: len(piece)]
                self._left -= len(piece)
                self._content(piece)
                if not self._left:
                    self._ended()
            elif self._pad:
                cut = min(self._pad, len(self._bytes))
                del self._bytes[:cut]
                self._pad -= cut
            else:
                block = self._room(512)
                if block is None:
                    return
                self._header(block)

    def _content(self, piece: bytes) -> None:
        if self._member is not None:
            self._member.feed(piece)
        elif self._extra is not None:
            self._extra += piece

    def _ended(self) -> None:
        if self._member is not None:
            self._member.finish()
            self._member = None
        elif self._extra is not None:
            self._size = _pax_size(bytes(self._extra), self._size)
            self._extra = None

    def _header(self, block: bytes) -> None:
        if not any(block):
            self._zeros += 1
            return
        if self._zeros >= 2:
            raise unreadable("something follows the end of the archive")
        self._zeros = 0
        self._count += 1
        if self._count > MEMBERS:
            raise ContentError("F102", "an archive of too many members")
        plain = sum(block[:148]) + 8 * 32 + sum(block[156:])
        if _number(block[148:156]) != plain:
            raise unreadable("a damaged archive")
        kind, size = block[156:157], _number(block[124:136])
        if kind in (b"x", b"g", b"L", b"K"):
            if size > 1024 * 1024:
                raise unreadable("a damaged archive")
            self._extra = bytearray()
        elif kind in (b"0", b"\0", b"7"):
            size, self._size = self._size if self._size is not None else size, None
            self._member = _Inner(self._into, "", self._depth)
        elif kind in (b"1", b"2", b"3", b"4", b"5", b"6"):
            size, self._size = 0, None
        else:
            raise unreadable("a member of an unknown kind")
        self._left, self._pad = size, -size % 512
        if not size:
            self._ended()

    def finish(self) -> None:
        if self._left or self._pad or self._bytes or self._member is not None:
            raise unreadable("the archive is cut short")


def _number(field: bytes) -> int:
    """Octal digits, or base 256 when the first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    try:
        return int(field.split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError:
        raise unreadable("a damaged archive") from None


def _pax_size(records: bytes, before: int | None) -> int | None:
    found = re.search(rb"(?:^|\n)\d{1,4} size=(\d{1,18})\n", records)
    if b"GNU.sparse" in records:
        raise unreadable("a sparse member")
    return int(found[1]) if found else before


class _Zip(_Blocks):
    """ZIP by its local headers (APPNOTE 6.3.10), checked against its directory when that comes."""

    def __init__(self, into: _Sum, depth: int) -> None:
        super().__init__()
        self._into, self._depth = into, depth
        self._at = 0  # where the bytes that wait begin
        self._places: set[int] = set()  # of the members seen
        self._listed = 0
        self._step: Callable[[], bool] = self._record
        self._member: _Inner | None = None
        self._inflate: zlib._Decompress | None = None
        self._growth = _Growth()
        self._left = 0
        self._described = self._wide = False
        self._crc = self._wanted = 0
        self._over = False

    def feed(self, data: bytes) -> None:
        if self._over:
            raise unreadable("something follows the end of the archive")
        self._bytes += data
        while self._bytes and self._step():
            pass
        if self._over and self._bytes:
            raise unreadable("something follows the end of the archive")

    def _take(self, size: int) -> bytes:
        out = bytes(self._bytes[:size])
        del self._bytes[:size]
        self._at += size
        return out

    def _record(self) -> bool:
        """The record that begins here; False while more of it is needed."""
        waiting = self._bytes
        if len(waiting) < 4:
            return False
        mark = bytes(waiting[:4])
        if mark == _LOCAL and not self._listed:
            return self._local()
        size = _record_size(mark, waiting)
        if size is None or len(waiting) < size:
            return False
        record = self._take(size)
        if mark == _CENTRAL:
            self._entry(record)
        elif mark == _END:
            if self._listed != len(self._places):
                raise unreadable("the archive's directory tells of other members")
            self._over = True
            return False
        return True

    def _entry(self, record: bytes) -> None:
        place = int.from_bytes(record[42:46], "little")
        name = int.from_bytes(record[28:30], "little")
        if place == _WIDE:
            extra = record[46 + name : 46 + name + int.from_bytes(record[30:32], "little")]
            narrow = [int.from_bytes(record[at : at + 4], "little") for at in (24, 20)]
            place = _wide_place(extra, sum(each == _WIDE for each in narrow))
        if place not in self._places:
            raise unreadable("the archive's directory tells of other members")
        self._listed += 1

    def _local(self) -> bool:
        waiting = self._bytes
        if len(waiting) < 30:
            return False
        name, more = (int.from_bytes(waiting[at : at + 2], "little") for at in (26, 28))
        if len(waiting) < 30 + name + more:
            return False
        if len(self._places) >= MEMBERS:
            raise ContentError("F102", "an archive of too many members")
        self._places.add(self._at)
        head = self._take(30 + name + more)
        flags, method = (int.from_bytes(head[at : at + 2], "little") for at in (6, 8))
        self._wanted, packed, plain = (int.from_bytes(head[at : at + 4], "little") for at in (14, 18, 22))
        extra = head[30 + name :]
        self._wide = packed == _WIDE or plain == _WIDE
        if self._wide:
            packed = _wide_size(extra, first=plain == _WIDE)
        self._wide = self._wide or extra[:2] == b"\x01\x00"
        self._described = bool(flags & 8)
        if flags & 0x2041:
            raise ContentError("F103", "an encrypted archive")
        if method not in (0, 8) or (
            method == 0 and self._described and not packed and not _folder(head[30 : 30 + name])
        ):
            raise unreadable("a member that is packed in an unknown way")
        self._member, self._growth, self._crc = _Inner(self._into, "", self._depth), _Growth(), 0
        self._inflate = zlib.decompressobj(-15) if method == 8 else None
        self._left = packed
        self._step = self._packed if self._inflate is not None else self._stored
        if self._inflate is None and not packed:
            self._ended()
        return True

    def _packed(self) -> bool:
        inflate = self._inflate
        if inflate is None:
            raise unreadable("a damaged archive")
        data = bytes(self._bytes)
        rest = _inflated(inflate, data, self._growth, self._give)
        self._take(len(data) - len(rest))
        if inflate.eof:
            self._ended()
        return bool(self._bytes)

    def _stored(self) -> bool:
        data = self._take(min(self._left, len(self._bytes)))
        self._left -= len(data)
        self._give(data)
        if not self._left:
            self._ended()
        return bool(self._bytes)

    def _give(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)
        if self._member is not None:
            self._member.feed(data)

    def _ended(self) -> None:
        if self._member is not None:
            self._member.finish()
            self._member = None
        self._inflate = None
        if not self._described and self._crc != self._wanted:
            raise unreadable("a damaged archive")
        self._step = self._descriptor if self._described else self._record

    def _descriptor(self) -> bool:
        """What a writer that could not go back tells after a member: with or without its mark, narrow or wide."""
        crc = self._crc.to_bytes(4, "little")
        if len(self._bytes) < 28:
            return False
        for mark in (_DESCRIPTOR, b""):
            if not self._bytes.startswith(mark + crc):
                continue
            for size in (16, 8) if self._wide else (8, 16):
                end = len(mark) + 4 + size
                if self._bytes[end : end + 2] == b"PK":
                    self._take(end)
                    self._step = self._record
                    return True
        raise unreadable("a damaged archive")

    def finish(self) -> None:
        if not self._over:
            raise unreadable("the archive is cut short")


_RECORDS = {_CENTRAL: 46, _END: 22, _END_64: 56, _LOCATOR_64: 20}


def _record_size(mark: bytes, waiting: bytearray) -> int | None:
    """How long a record of the directory is; None while too little of it is there."""
    size = _RECORDS.get(mark)
    if size is None:
        raise unreadable("a damaged archive")
    if len(waiting) < size:
        return None
    if mark == _CENTRAL:
        return size + sum(int.from_bytes(waiting[at : at + 2], "little") for at in (28, 30, 32))
    if mark == _END:
        return size + int.from_bytes(waiting[20:22], "little")
    if mark == _END_64:
        size = 12 + int.from_bytes(waiting[4:12], "little")
        if size > 1024 * 1024:
            raise unreadable("a damaged archive")
    return size


def _folder(name: bytes) -> bool:
    return name.endswith(b"/")


def _extra_64(extra: bytes) -> bytes:
    at = 0
    while at + 4 <= len(extra):
        size = int.from_bytes(extra[at + 2 : at + 4], "little")
        if extra[at : at + 2] == b"\x01\x00":
            return extra[at + 4 : at + 4 + size]
        at += 4 + size
    raise unreadable("a damaged archive")


def _wide_size(extra: bytes, *, first: bool) -> int:
    """The packed size of a local header's ZIP64 field, behind the plain one when that is there."""
    field = _extra_64(extra)
    value = field[8:16] if first else field[:8]
    if len(value) < 8:
        raise unreadable("a damaged archive")
    return int.from_bytes(value, "little")


def _wide_place(extra: bytes, before: int) -> int:
    value = _extra_64(extra)[8 * before : 8 * before + 8]
    if len(value) < 8:
        raise unreadable("a damaged archive")
    return int.from_bytes(value, "little")
