"""Rich Text Format: text in every code page, properties, and the files embedded in it (RTF 1.9.1)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from casb.inspection import charsets
from casb.inspection.extraction.context import BLOCK, Context, Item, Refused, Texts
from casb.inspection.limits import Why
from casb.model.signs import Sign

_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z'])|([{}])|[\r\n]+|([^\\{}\r\n]+)"
)
_SKIPPED = frozenset(
    b"fonttbl colortbl stylesheet listtable listoverridetable rsidtbl themedata colorschememapping latentstyles "
    b"datastore pict objdata xmlnstbl filetbl generator panose falt blipuid bliptag wgrffmtfilter fontemb".split()
)
_BREAKS = {b"par": "\n", b"line": "\n", b"row": "\n", b"sect": "\n", b"page": "\n", b"cell": "\t", b"tab": "\t",
           b"nestcell": "\t", b"nestrow": "\n", b"column": "\n",
           b"emspace": " ", b"enspace": " ", b"qmspace": " "}  # fmt: skip
_SIGNS = {b"emdash": "\u2014", b"endash": "\u2013", b"bullet": "\u2022", b"lquote": "\u2018", b"rquote": "\u2019",
          b"ldblquote": "\u201c", b"rdblquote": "\u201d"}  # fmt: skip
_PROPERTIES = {b"title": "title", b"author": "author", b"subject": "subject", b"keywords": "keywords",
               b"company": "company", b"operator": "last_modified_by", b"manager": "manager", b"category": "category",
               b"doccomm": "description"}  # fmt: skip
# Font character sets (RTF 1.9.1, font table) to code pages.
_CHARSETS = {0: 1252, 77: 10000, 128: 932, 129: 949, 130: 1361, 134: 936, 136: 950, 161: 1253, 162: 1254, 163: 1258,
             177: 1255, 178: 1256, 186: 1257, 204: 1251, 222: 874, 238: 1250}  # fmt: skip
_DEPTH = 2000
_FLUSH = 4096


@dataclass(frozen=True, slots=True)
class _Group:
    codec: str
    skip: int = 1  # characters that stand for each \u, for readers without Unicode
    destination: bytes = b""
    silent: bool = False


def read(context: Context, item: Item, body: bytes) -> Texts:
    """Everything readable in an RTF document. Raises `Refused`."""
    if context.texts:
        yield from _Reader(context, item, body).texts()
    for name, data in _objects(body):
        context.sign(Sign.EMBEDDED_FILE)
        yield from context.nested(item, name, _slices(data))
    if re.search(rb"\\\*\\template\s+(?:https?|\\\\\\\\|ftp|file)", body, re.IGNORECASE):
        context.sign(Sign.REMOTE_TEMPLATE)
    if re.search(rb"\\objupdate|\\field.{0,200}?DDE(AUTO)?\s", body, re.DOTALL):
        context.sign(Sign.ACTIVE_CONTENT)


class _Reader:
    """One document: tokens to text, with a stack of groups."""

    def __init__(self, context: Context, item: Item, body: bytes) -> None:
        self._context = context
        self._item = item
        self._body = body
        self._fonts: dict[int, str] = {}
        self._out: list[str] = []
        self._bytes = bytearray()  # of a multi-byte code page, until something else comes
        self._group = _Group("cp1252")
        self._stack: list[_Group] = []
        self._left_out = 0  # characters to be ignored after \u
        self._font = 0
        self._captured: list[str] = []
        self._star = False

    def texts(self) -> Texts:
        at, end = 0, len(self._body)
        while at < end:
            match = _TOKEN.match(self._body, at)
            if match is None:  # a backslash at the very end
                break
            at = match.end()
            word, parameter, coded, symbol, brace, plain = match.groups()
            if coded is not None:
                self._byte(int(coded, 16))
                continue
            if plain is not None:
                self._plain(plain)
            elif brace is not None:
                self._flush()
                self._open() if brace == b"{" else self._close()
            elif symbol is not None:
                self._symbol(symbol)
            elif word is not None:
                if word == b"bin":
                    at += max(0, int(parameter or 0))
                self._word(word, int(parameter) if parameter else None)
            if len(self._out) > _FLUSH:
                yield self._item.part, "".join(self._out)
                self._out.clear()
        self._flush()
        yield self._item.part, "".join(self._out) + "\n"

    def _write(self, text: str) -> None:
        if self._group.silent:
            return
        (self._captured if self._group.destination in _PROPERTIES else self._out).append(text)

    def _flush(self) -> None:
        if self._bytes:
            self._write(self._bytes.decode(self._group.codec, "replace"))
            self._bytes.clear()

    def _byte(self, byte: int) -> None:
        if self._left_out:
            self._left_out -= 1
        else:
            self._bytes.append(byte)

    def _plain(self, plain: bytes) -> None:
        if self._left_out:
            skipped = min(self._left_out, len(plain))
            self._left_out -= skipped
            plain = plain[skipped:]
        self._bytes += plain
        if len(self._bytes) > BLOCK:
            self._flush()

    def _open(self) -> None:
        if len(self._stack) >= _DEPTH:
            raise Refused(Why.BOMB)
        self._stack.append(self._group)
        self._left_out = 0

    def _close(self) -> None:
        if self._group.destination in _PROPERTIES and (
            not self._stack or self._stack[-1].destination != self._group.destination
        ):
            value = "".join(self._captured)
            self._captured.clear()
            self._context.report.property(_PROPERTIES[self._group.destination], value)
            self._out.append(value + "\n")
        if self._stack:
            self._group = self._stack.pop()
        self._left_out = 0

    def _symbol(self, symbol: bytes) -> None:
        if symbol in b"\\{}":
            self._byte(symbol[0])
            return
        self._flush()
        if symbol == b"*":
            self._star = True
        elif symbol == b"~":
            self._write(" ")
        elif symbol == b"_":
            self._write("-")
        elif symbol in b"\r\n":
            self._write("\n")

    def _word(self, word: bytes, parameter: int | None) -> None:
        if word == b"u" and parameter is not None:
            self._flush()
            self._write(_character(parameter))
            self._left_out = self._group.skip
            return
        self._flush()
        if word in _BREAKS:
            self._write(_BREAKS[word])
        elif word in _SIGNS:
            self._write(_SIGNS[word])
        elif word == b"uc":
            self._group = replace(self._group, skip=max(0, min(parameter or 0, 16)))
        elif word == b"ansicpg":
            self._group = replace(self._group, codec=_codec(parameter) or self._group.codec)
        elif word == b"f":
            self._font = parameter or 0
            if not self._group.silent and self._font in self._fonts:
                self._group = replace(self._group, codec=self._fonts[self._font])
        elif word == b"fcharset":
            codec = _codec(_CHARSETS.get(parameter or 0))
            if codec and parameter:
                self._fonts[self._font] = codec
        elif word in _SKIPPED:
            self._group = replace(self._group, silent=True)
        elif word in _PROPERTIES:
            self._group = replace(self._group, destination=word)
        self._star = False


def _character(code: int) -> str:
    """A signed 16-bit unit of UTF-16; halves of pairs are joined when the text is encoded."""
    return chr(code & 0xFFFF)


def _codec(page: int | None) -> str | None:
    if page == 65001:
        return "utf-8"
    if page == 10000:
        return "mac_roman"
    return charsets.known(f"cp{page}") if page else None


_OBJECT = re.compile(rb"\\objdata\b([^{}]*)")
_BINARY = re.compile(rb"\\'[0-9a-fA-F]{2}|\\[a-zA-Z]+-?\d* ?|[^0-9a-fA-F]+")


def _objects(body: bytes) -> Iterator[tuple[str, bytes]]:
    """What is embedded: OLE 1 objects (MS-OLEDS 2.2.5), of which the native data is handed on."""
    for found in _OBJECT.finditer(body):
        digits = _BINARY.sub(b"", found[1])
        data = bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii"))
        yield "object", _native(data)


def _native(data: bytes) -> bytes:
    """The native data of an embedded object: after version, format, three strings with lengths, a length."""
    try:
        at = 8
        for _ in range(3):
            (length,) = struct.unpack_from("<I", data, at)
            at += 4 + length
        (size,) = struct.unpack_from("<I", data, at)
    except struct.error:
        return data
    return data[at + 4 : at + 4 + size] if 0 < size <= len(data) - at - 4 else data


def _slices(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), BLOCK):
        yield body[at : at + BLOCK]


# --- compressed RTF of Outlook

_DICTIONARY = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor "
    b"MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20"
    b"\\b\\i\\u\\tab\\tx"
)
_UNPACKED = 64 * 1024 * 1024


def decompressed(data: bytes) -> bytes:
    """PR_RTF_COMPRESSED as RTF (MS-OXRTFCP). Raises `Refused`."""
    if len(data) < 16:
        raise Refused(Why.CORRUPT)
    _, size, kind = struct.unpack_from("<III", data)
    if kind == 0x414C454D:
        return data[16:]
    if kind != 0x75465A4C:
        raise Refused(Why.CORRUPT)
    if size > _UNPACKED:
        raise Refused(Why.BOMB)
    window = bytearray(_DICTIONARY.ljust(4096, b"\x00"))
    write, at = len(_DICTIONARY), 16
    out = bytearray()
    while at < len(data) and len(out) < size:
        flags = data[at]
        at += 1
        for bit in range(8):
            if at >= len(data):
                break
            if flags >> bit & 1:
                if at + 2 > len(data):
                    return bytes(out)
                token = data[at] << 8 | data[at + 1]
                at += 2
                offset, length = token >> 4, (token & 15) + 2
                if offset == write:
                    return bytes(out)
                for _ in range(length):
                    byte = window[offset]
                    out.append(byte)
                    window[write] = byte
                    write, offset = (write + 1) % 4096, (offset + 1) % 4096
            else:
                out.append(data[at])
                window[write] = data[at]
                write, at = (write + 1) % 4096, at + 1
    return bytes(out)
