"""One file to pieces of text: which reader reads what, and what becomes of their errors.

`extract` is total: any bytes give pieces and a report. What could not be read stands in the report, never nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import BinaryIO

from casb.errors import ContentError
from casb.inspection import encrypted, filetype, zips
from casb.inspection.extraction import archives, images, mail, markup, ole, packages, pdf, rtf, sheets, text
from casb.inspection.extraction.context import WHY, Context, Exhausted, Item, Piece, Refused, Report, Texts
from casb.inspection.limits import LIMITS, Limits, Why
from casb.inspection.media_types import AGE, EMPTY, ENCRYPTED_OFFICE, OCTETS, OLE, PDF, TEXT, ZIP
from casb.inspection.signs import executable
from casb.model.signs import Sign

PIECE = 64 * 1024

ENCRYPTED = frozenset({AGE, "application/pgp-encrypted", "application/vnd.ms-rpmsg", "application/x-luks"})
UNREAD = frozenset(
    {"application/vnd.ms-tnef", "application/x-pst", "application/x-access", "application/x-wordperfect",
     "application/vnd.apple.iwork", "application/x-onenote", "application/vnd.visio", "image/vnd.djvu",
     "application/x-windows-help", "application/x-apple-diskimage", "application/x-vhd", "application/x-parquet"}
)  # fmt: skip
"""Formats that hold text or files which nobody here can read."""
_XLSB = "application/vnd.ms-excel.sheet.binary.macroenabled.12"
_INNER = ("application/java-vm", "application/vnd.android.dex")  # what programs consist of
_PICTURES = ("image/",)


def extract(
    file: BinaryIO,
    size: int,
    name: str,
    report: Report,
    *,
    declared_type: str | None = None,
    charset: str | None = None,
    limits: Limits = LIMITS,
    detected: str | None = None,
    texts: bool = True,
) -> Iterator[Piece]:
    """The text of a seekable file of `size` bytes and of everything in it, in bounded memory. Never raises on account
    of the bytes. `report` is complete when the pieces have come to an end. Without `texts`, only what the structure
    tells is found out: the report, and hardly any piece."""
    context = Context(limits, size, report, _walk, _stream, texts=texts)
    item = Item("", name, file, size, 0, declared_type, charset)
    try:
        yield from _pieces(context, _walk(context, item, detected))
    except Exhausted:
        report.problem(Why.BOMB, "")


def _pieces(context: Context, texts: Texts) -> Iterator[Piece]:
    """Texts put together, or cut, to pieces of a handy size."""
    part = ""
    kept: list[str] = []
    length = 0
    for where, found in texts:
        if not found:
            continue
        if where != part or length > PIECE:
            if kept:
                yield from _encoded(context, part, "".join(kept))
            kept, length, part = [], 0, where
        kept.append(found)
        length += len(found)
    if kept:
        yield from _encoded(context, part, "".join(kept))


def _encoded(context: Context, part: str, found: str) -> Iterator[Piece]:
    for at in range(0, len(found), PIECE * 4):
        piece = found[at : at + PIECE * 4]
        try:
            data = piece.encode("utf-8")
        except UnicodeEncodeError:  # halves of surrogate pairs: joined where they meet
            data = piece.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode("utf-8")
        context.read(len(data))
        yield Piece(part, data)


def _walk(context: Context, item: Item, detected: str | None = None) -> Texts:
    """One item by its type. Raises only `Exhausted`."""
    try:
        kind = detected or filetype.detect(item.file, item.size, item.name)
        if item.depth:
            _nested_signs(context, kind, item)
        yield from _read(context, item, kind)
    except Exhausted:
        raise
    except Refused as refused:
        context.report.problem(refused.why, item.part)
    except ContentError as error:
        context.report.problem(WHY.get(error.code, Why.CORRUPT), item.part)
    except ImportError:
        context.report.problem(Why.UNSUPPORTED, item.part)
    except (MemoryError, RecursionError):
        raise Exhausted from None
    except Exception:  # libraries raise whatever a damaged file makes them stumble over
        context.report.problem(Why.CORRUPT, item.part)


def _nested_signs(context: Context, kind: str, item: Item) -> None:
    if executable(kind) and kind not in _INNER:
        context.sign(Sign.EMBEDDED_EXECUTABLE)
    if item.depth and (kind == ZIP or kind in archives.ARCHIVES) and _in_archive(item):
        context.sign(Sign.NESTED_ARCHIVE)


def _in_archive(item: Item) -> bool:
    """An archive in an archive. The one tar file of a tar.gz is none."""
    return not (item.depth == 1 and item.name.lower().endswith(".tar") and "/" not in item.name)


def _read(context: Context, item: Item, kind: str) -> Texts:
    if kind == EMPTY:
        return
    if kind in ENCRYPTED or encrypted.archive(item.file, item.size, kind):
        raise Refused(Why.ENCRYPTED)
    if kind in UNREAD:
        context.report.problem(Why.UNSUPPORTED, item.part)
    if filetype.zip_behind(item.file, item.size, kind):
        # Two kinds of file at once. Whichever a program takes it for, both are read.
        yield from _second(context, item)
    if filetype.is_package(item.file, item.size, kind):
        yield from packages.read(context, item, kind)
        if kind == _XLSB and context.texts:
            yield from sheets.cells(item)
    elif kind in archives.COMPRESSED or kind in archives.ARCHIVES:
        yield from archives.read(context, item, item.file, single=archives.COMPRESSED.get(kind))
    elif kind in _READERS:
        yield from _READERS[kind](context, item, kind)
    elif context.texts:
        yield from _flat(context, item, kind)


def _second(context: Context, item: Item) -> Texts:
    """The ZIP file in a file of another type."""
    try:
        yield from packages.read(context, item, ZIP)
    except Exhausted:
        raise
    except Refused as refused:
        context.report.problem(refused.why, item.part)
    except ContentError as error:
        context.report.problem(WHY.get(error.code, Why.CORRUPT), item.part)


def _html(context: Context, item: Item, _: str) -> Texts:
    smuggled = False
    tail = ""

    def watched() -> Iterator[str]:
        nonlocal smuggled, tail
        for _, found in text.plain("", item.blocks(), item.charset or _charset(item.declared)):
            low = tail + found.lower()
            smuggled = smuggled or any(each in low for each in markup.SMUGGLING)
            tail = low[-64:]
            yield found

    if context.texts:
        yield from markup.html(item.part, watched())
    else:
        for _ in watched():
            pass
    if smuggled:
        context.sign(Sign.ACTIVE_CONTENT)


def _flat(context: Context, item: Item, kind: str) -> Texts:
    """Files that hold no other files."""
    charset = item.charset or _charset(item.declared)
    if kind in ("application/xml", "image/svg+xml"):
        yield from _xml(item, charset)
    elif kind.startswith(_PICTURES):
        yield from images.read(context, item, kind)
    elif kind.startswith("text/") or kind in filetype.TEXTS:
        yield from text.plain(item.part, item.blocks(), charset)
    else:
        yield from text.strings(item.part, item.blocks())


def _xml(item: Item, charset: str | None) -> Texts:
    """An XML document; one that is not well-formed is still a text."""
    try:
        yield from markup.xml(item.part, item.blocks(), entities=True, all_attributes=True)
    except Refused as refused:
        if refused.why is Why.BOMB:
            raise
        yield from text.plain(item.part, item.blocks(), charset)


def _stream(context: Context, item: Item, kept: list[bytes], rest: Iterator[bytes]) -> Texts:
    """A file in a file that does not fit into memory, read from front to back. Raises `Refused` TOO_LARGE for kinds
    that cannot be read so."""
    kind = filetype.detect_head(kept[0] if len(kept) == 1 else b"".join(kept[:4]))
    blocks = _blocks(kept, rest)
    if kind in archives.STREAMED:
        feed = archives.Feed(blocks)
        yield from archives.read(context, item, feed, single=archives.COMPRESSED.get(kind))
    elif kind in (TEXT, "application/json") or kind.startswith("text/"):
        if context.texts:
            yield from text.plain(item.part, blocks, item.charset)
        else:
            for _ in blocks:
                pass
    elif kind == OCTETS or kind.startswith((*_PICTURES, "audio/", "video/")) or executable(kind):
        yield from _unstructured(context, item, blocks)
    else:
        raise Refused(Why.TOO_LARGE)


def _unstructured(context: Context, item: Item, blocks: Iterator[bytes]) -> Texts:
    """The readable runs of something large. Raises `Refused` when its end tells that it is an archive."""
    tail = b""
    at = 0

    def watched() -> Iterator[bytes]:
        nonlocal tail, at
        for block in blocks:
            if at <= filetype.ISO_9660 < at + len(block) and block[filetype.ISO_9660 - at :].startswith(b"CD001"):
                raise Refused(Why.TOO_LARGE)
            at += len(block)
            tail = (tail + block)[-zips.END :] if len(block) < zips.END else block[-zips.END :]
            yield block

    if context.texts:
        yield from text.strings(item.part, watched())
    else:
        for _ in watched():
            pass
    if b"PK\x05\x06" in tail:
        raise Refused(Why.TOO_LARGE)


def _blocks(kept: list[bytes], rest: Iterable[bytes]) -> Iterator[bytes]:
    while kept:
        yield kept.pop(0)
    yield from rest


def _charset(declared: str | None) -> str | None:
    """The charset parameter of a media type."""
    for parameter in (declared or "").split(";")[1:]:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "charset":
            return value.strip().strip("\"'")
    return None


_READERS: Mapping[str, Callable[[Context, Item, str], Texts]] = {
    **dict.fromkeys(
        (OLE, ENCRYPTED_OFFICE, "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint",
         "application/vnd.visio", "application/vnd.ms-outlook", "application/x-msi"),
        ole.read,
    ),
    **dict.fromkeys(("text/html", "application/hta"), _html),
    PDF: lambda context, item, _: pdf.read(context, item),
    "application/rtf": lambda context, item, _: rtf.read(context, item, item.body(context.limits.held)),
    "message/rfc822": lambda context, item, _: mail.read(context, item),
    "application/mbox": lambda context, item, _: mail.mbox(context, item),
}  # fmt: skip
