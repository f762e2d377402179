"""What pictures say in words: EXIF, XMP, IPTC, PNG text, comments. Nothing is recognised in the picture itself."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from casb.inspection.extraction import markup, text
from casb.inspection.extraction.context import Context, Item, Refused, Texts

_WORDS = {
    0x010E: "title",
    0x013B: "author",
    0x8298: "copyright",
    0x010F: "maker",
    0x0110: "model",
    0x0131: "application",
}
_CHUNK = 16 * 1024 * 1024
_EXIF = b"Exif\x00\x00"
_TAGS = 20_000


def read(context: Context, item: Item, detected: str) -> Texts:
    """The texts in a picture. What is damaged is read as far as it goes."""
    item.file.seek(0)
    if detected == "image/png":
        yield from _png(context, item)
    elif detected == "image/jpeg":
        yield from _jpeg(context, item)
    elif detected == "image/tiff":
        yield from _exif(context, item, item.body(context.held))
    elif detected == "image/webp":
        yield from _riff(context, item)
    else:
        yield from text.strings(item.part, item.blocks())


def _png(context: Context, item: Item) -> Texts:
    """PNG specification, 11.3.3 and 11.3.2.5: tEXt, zTXt, iTXt, eXIf; and what stands behind IEND."""
    item.file.seek(8)
    while True:
        head = item.file.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf") and length <= _CHUNK:
            yield from _png_text(context, item, kind, item.file.read(length))
            item.file.seek(4, 1)
        else:
            item.file.seek(length + 4, 1)
        if kind == b"IEND":
            yield from text.strings(item.part, iter(lambda: item.file.read(65536), b""))
            return


def _png_text(context: Context, item: Item, kind: bytes, data: bytes) -> Texts:
    if kind == b"eXIf":
        yield from _exif(context, item, data)
        return
    key, _, rest = data.partition(b"\x00")
    codec = "latin-1"
    if kind == b"iTXt":
        packed, rest = rest[:1] == b"\x01", rest[2:]
        rest = rest.partition(b"\x00")[2].partition(b"\x00")[2]
        codec = "utf-8"
    else:
        packed = kind == b"zTXt"
        rest = rest[1:] if packed else rest
    if packed:
        rest = b"".join(_inflated(context, rest))
    name, value = key.decode("latin-1"), rest.decode(codec, "replace")
    if name == "XML:com.adobe.xmp":
        yield from _xmp(item, rest)
        return
    context.report.property(name.lower(), value)
    yield item.part, f"{name}: {value}\n"


def _inflated(context: Context, data: bytes) -> Iterator[bytes]:
    inflate = zlib.decompressobj()
    while data and not inflate.eof:
        try:
            plain = inflate.decompress(data, 1024 * 1024)
        except zlib.error:
            return
        context.inflated(len(plain))
        yield plain
        data = inflate.unconsumed_tail


def _jpeg(context: Context, item: Item) -> Texts:
    """Segments up to the picture (ITU T.81 annex B), and what stands behind its end."""
    item.file.seek(2)
    while True:
        head = item.file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0xDA, 0xD9):
            break
        (length,) = struct.unpack_from(">H", head, 2)
        if length < 2:
            break
        data = item.file.read(length - 2)
        if head[1] == 0xE1 and data.startswith(_EXIF):
            yield from _exif(context, item, data[6:])
        elif head[1] == 0xE1 and data.startswith(b"http://ns.adobe.com/xap/1.0/\x00"):
            yield from _xmp(item, data[29:])
        elif head[1] == 0xFE:
            yield item.part, data.decode("utf-8", "replace") + "\n"
        elif head[1] == 0xED:  # Photoshop, with IPTC
            yield from text.strings(item.part, iter((data,)))
    yield from _behind(item, b"\xff\xd9")


def _behind(item: Item, mark: bytes) -> Texts:
    """Readable runs in what follows the last end mark within the last megabyte."""
    start = max(0, item.size - 1024 * 1024)
    item.file.seek(start)
    tail = item.file.read(1024 * 1024)
    at = tail.rfind(mark)
    if 0 <= at < len(tail) - 8:
        yield from text.strings(item.part, iter((tail[at + 2 :],)))


def _riff(context: Context, item: Item) -> Texts:
    item.file.seek(12)
    while len(head := item.file.read(8)) == 8:
        kind, length = struct.unpack("<4sI", head)
        if kind in (b"EXIF", b"XMP ") and length <= _CHUNK:
            data = item.file.read(length)
            yield from (_xmp(item, data) if kind == b"XMP " else _exif(context, item, data.removeprefix(_EXIF)))
            item.file.seek(length & 1, 1)
        else:
            item.file.seek(length + (length & 1), 1)


def _xmp(item: Item, data: bytes) -> Texts:
    try:
        yield from markup.xml(item.part, iter((data,)), all_attributes=True)
    except Refused:
        yield from text.strings(item.part, iter((data,)))


def _exif(context: Context, item: Item, data: bytes) -> Texts:
    """TIFF 6.0 section 2, EXIF 2.32: the text values of all directories."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return
    waiting = [struct.unpack_from(order + "I", data, 4)[0]]
    seen: set[int] = set()
    lines: list[str] = []
    while waiting and len(seen) < 64:
        at = waiting.pop()
        if at in seen or at + 2 > len(data) or not at:
            continue
        seen.add(at)
        (count,) = struct.unpack_from(order + "H", data, at)
        for number in range(min(count, _TAGS)):
            entry = at + 2 + 12 * number
            if entry + 12 > len(data):
                break
            tag, kind, length = struct.unpack_from(order + "HHI", data, entry)
            (value,) = struct.unpack_from(order + "I", data, entry + 8)
            if tag in (0x8769, 0x8825, 0xA005):
                waiting.append(value)
            elif kind in (1, 2, 7) and 4 < length < _CHUNK and value + length <= len(data):
                lines += _value(context, tag, data[value : value + length])
        if at + 2 + 12 * count + 4 <= len(data):
            waiting.append(struct.unpack_from(order + "I", data, at + 2 + 12 * count)[0])
    if lines:
        yield item.part, "\n".join(lines) + "\n"


def _value(context: Context, tag: int, raw: bytes) -> list[str]:
    if 0x9C9B <= tag <= 0x9C9F:  # XPTitle, XPComment, XPAuthor, XPKeywords, XPSubject
        shown = raw.decode("utf-16-le", "replace")
    elif tag == 0x9286:  # UserComment: 8 bytes name its code
        shown = raw[8:].decode("utf-16-be" if raw.startswith(b"UNICODE") else "utf-8", "replace")
    elif tag in (0x02BC, 0x83BB, 0x8649):  # XMP, IPTC, Photoshop in TIFF
        return [part for _, part in text.strings("", iter((raw,)))]
    else:
        shown = raw.decode("utf-8", "replace")
        if sum(char < " " or char == "\N{REPLACEMENT CHARACTER}" for char in shown.rstrip("\x00")) * 4 > len(shown):
            return []
    shown = shown.strip("\x00 ")
    if tag in _WORDS:
        context.report.property(_WORDS[tag], shown)
    return [shown] if shown else []
