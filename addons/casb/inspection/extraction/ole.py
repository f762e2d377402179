"""OLE compound files: Word, PowerPoint and Excel of before 2007, Outlook messages, and objects embedded in documents.

Sources: MS-CFB, MS-DOC 2.4.1 and 2.8.35 (piece table), MS-PPT 2.9.40 to 2.9.42 (text atoms), MS-XLS, MS-OXMSG 2.1,
MS-OXRTFCP (compressed RTF), MS-OLEDS 2.3.6 (native data).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

import olefile  # type: ignore[import-untyped]  # ships no types

from casb.inspection import charsets, encrypted
from casb.inspection.extraction import rtf, sheets, text
from casb.inspection.extraction.context import BLOCK, Context, Item, Refused, Texts
from casb.inspection.limits import Why
from casb.inspection.media_types import ENCRYPTED_OFFICE
from casb.inspection.signs import of_name
from casb.model.signs import Sign

_SUBSTORAGE = re.compile(r"__substg1\.0_([0-9A-F]{4})([0-9A-F]{4})(?:-[0-9A-F]{8})?", re.IGNORECASE)
_MACRO_STORAGES = frozenset({"macros", "_vba_project_cur", "vba", "_vba_project"})
_SUMMARY = ("\x05summaryinformation", "\x05documentsummaryinformation")
_MESSAGE_PROPERTIES = {"0037": "title", "0C1A": "author"}  # PidTagSubject, PidTagSenderName
_ENTRIES = 20_000
_PPT_DEPTH = 32
_KNOWN = (
    "worddocument",
    "powerpoint document",
    "workbook",
    "book",
    "0table",
    "1table",
    "data",
    "pictures",
    "current user",
)


def read(context: Context, item: Item, detected: str) -> Texts:
    """Everything readable in a compound file. Raises `Refused`."""
    if detected == ENCRYPTED_OFFICE:
        raise Refused(Why.ENCRYPTED)
    item.file.seek(0)
    with olefile.OleFileIO(item.file) as container:
        if encrypted.legacy_office(container):
            raise Refused(Why.ENCRYPTED)
        paths = container.listdir()
        if len(paths) > _ENTRIES:
            raise Refused(Why.BOMB)
        names = {part.lower() for path in paths for part in path}
        if names & _MACRO_STORAGES:
            context.sign(Sign.MACRO)
        yield from _summary(context, item, container)
        if detected == "application/vnd.ms-outlook":
            yield from _message(context, item, container, paths)
            return
        if context.texts:
            yield from _document(context, item, container, {path[0].lower() for path in paths})
        yield from _streams(context, item, container, paths)


def _document(context: Context, item: Item, container: olefile.OleFileIO, roots: set[str]) -> Texts:
    """The text of the one document that the container is. What is missing is reported, what is there is read."""
    if "worddocument" in roots:
        yield from _guarded(context, item, _word(item, container))
    if "powerpoint document" in roots:
        yield from _guarded(context, item, _powerpoint(context, item, container))
    if roots & {"workbook", "book"}:
        stream = "Workbook" if "workbook" in roots else "Book"
        yield from _guarded(context, item, sheets.binary(item, container.openstream(stream).read()))
        yield from sheets.cells(item)
    if "visiodocument" in roots or "quill" in roots:
        context.report.problem(Why.UNSUPPORTED, item.part)
        for path in container.listdir():
            yield from text.strings(item.inside("/".join(path)), _blocks(container, path))


def _guarded(context: Context, item: Item, texts: Texts) -> Texts:
    try:
        yield from texts
    except Refused as refused:
        if refused.why is Why.BOMB:
            raise
        context.report.problem(refused.why, item.part)
    except (struct.error, IndexError, ValueError, OSError):
        context.report.problem(Why.CORRUPT, item.part)


def _summary(context: Context, item: Item, container: olefile.OleFileIO) -> Texts:
    if not (container.exists("\x05SummaryInformation") or container.exists("\x05DocumentSummaryInformation")):
        return
    try:
        known = container.get_metadata()
    except Exception:  # property sets are sloppy, and olefile raises what it stumbles over
        context.report.problem(Why.CORRUPT, item.inside("properties"))
        return
    lines = []
    for name in (
        "title",
        "subject",
        "author",
        "keywords",
        "comments",
        "last_saved_by",
        "category",
        "manager",
        "company",
    ):
        value = getattr(known, name, None)
        if isinstance(value, bytes):
            value = text_of(value)
        if isinstance(value, str) and value.strip("\x00 "):
            value = value.strip("\x00 ")
            lines.append(value)
            context.report.property(
                {"last_saved_by": "last_modified_by", "comments": "description"}.get(name, name), value
            )
    for each in _custom(container):
        lines.append(" ".join(each))
        context.report.property(*each)
    if lines:
        yield item.inside("properties"), "\n".join(lines) + "\n"


def _custom(container: olefile.OleFileIO) -> Iterator[tuple[str, str]]:
    if not container.exists("\x05DocumentSummaryInformation"):
        return
    for each in container.get_userdefined_properties("\x05DocumentSummaryInformation"):
        name, value = each.get("property_name"), each.get("value")
        value = text_of(value) if isinstance(value, bytes) else str(value if value is not None else "")
        name = text_of(name) if isinstance(name, bytes) else str(name or "")
        yield name.replace("\x00", ""), value.replace("\x00", "")


def _streams(context: Context, item: Item, container: olefile.OleFileIO, paths: list[list[str]]) -> Texts:
    """Everything but the document itself: embedded files, objects, and whatever else lies in there."""
    for path in paths:
        last = path[-1].lower()
        if (len(path) == 1 and last in _KNOWN) or last in _SUMMARY:
            if context.texts and len(path) == 1 and last in ("data", "pictures"):
                yield from text.strings(item.inside("/".join(path)), _blocks(container, path))
            continue
        name = _shown("/".join(path))
        if last == "\x01ole10native":
            yield from _native(context, item, container.openstream(path).read())
        elif last in ("package", "contents", "worddocument", "workbook", "powerpoint document", "embeddedodf"):
            context.sign(Sign.EMBEDDED_FILE)
            if last in ("worddocument", "workbook", "powerpoint document"):
                yield from _embedded(context, item, container, path)
            else:
                yield from context.nested(item, name, _blocks(container, path))
        elif context.texts:
            yield from text.strings(item.inside(name), _blocks(container, path))


def _embedded(context: Context, item: Item, container: olefile.OleFileIO, path: list[str]) -> Texts:
    """A whole legacy document as a storage in this one: read by its streams, where they are."""
    context.member()
    if not context.texts:
        return
    last = path[-1].lower()
    inner = Item(item.inside(_shown("/".join(path[:-1]))), path[-1], item.file, item.size, item.depth + 1)
    if last == "worddocument":
        yield from _guarded(context, inner, _word(inner, container, path[:-1]))
    elif last == "powerpoint document":
        yield from _guarded(context, inner, _powerpoint(context, inner, container, path[:-1]))
    else:
        data = container.openstream(path).read()
        yield from _guarded(context, inner, sheets.binary(inner, data, strings=True))


def _native(context: Context, item: Item, data: bytes) -> Texts:
    """MS-OLEDS 2.3.6 and what the object packager puts there: label, path, size, the file."""
    context.sign(Sign.EMBEDDED_FILE)
    name, body = "object", data[4:]
    try:
        at = 6
        end = data.index(b"\x00", at)
        label = data[at:end].decode("cp1252", "replace")
        at = data.index(b"\x00", end + 1) + 1
        at += 4
        (length,) = struct.unpack_from("<I", data, at)
        at = at + 4 + length
        (size,) = struct.unpack_from("<I", data, at)
        if 0 < size <= len(data) - at - 4:
            name, body = label or name, data[at + 4 : at + 4 + size]
    except (ValueError, struct.error):
        pass
    for sign in of_name(name):
        context.sign(sign)
    yield item.part, f"{name}\n"
    yield from context.nested(item, name, _slices(body))


# --- Word


def _word(item: Item, container: olefile.OleFileIO, base: list[str] | None = None) -> Texts:
    """All text of a Word 97 to 2003 document by its piece table: body, notes, headers, comments, text boxes."""
    base = base or []
    main = container.openstream([*base, "WordDocument"]).read()
    (version,) = struct.unpack_from("<H", main, 2)
    if version < 0x00C1:
        yield from text.strings(item.part, iter((main,)))
        raise Refused(Why.UNSUPPORTED)
    (flags,) = struct.unpack_from("<H", main, 0x0A)
    if flags & 0x0100:
        raise Refused(Why.ENCRYPTED)
    table = container.openstream([*base, "1Table" if flags & 0x0200 else "0Table"]).read()
    start, length = struct.unpack_from("<II", main, 0x01A2)
    pieces = table[start : start + length]
    at = 0
    while at < len(pieces) and pieces[at] == 1:  # Prc
        at += 3 + int.from_bytes(pieces[at + 1 : at + 3], "little")
    if at >= len(pieces) or pieces[at] != 2:  # Pcdt
        raise Refused(Why.CORRUPT)
    (size,) = struct.unpack_from("<I", pieces, at + 1)
    plc = pieces[at + 5 : at + 5 + size]
    count = (len(plc) - 4) // 12
    if count <= 0 or len(plc) != size:
        raise Refused(Why.CORRUPT)
    positions = struct.unpack_from(f"<{count + 1}I", plc)
    for index in range(count):
        (where,) = struct.unpack_from("<I", plc, 4 * (count + 1) + 8 * index + 2)
        characters = positions[index + 1] - positions[index]
        if characters < 0:
            raise Refused(Why.CORRUPT)
        if where & 0x40000000:
            begin = (where & 0x3FFFFFFF) // 2
            raw = main[begin : begin + characters]
            found = raw.decode("cp1252", "replace")
        else:
            begin = where & 0x3FFFFFFF
            raw = main[begin : begin + 2 * characters]
            found = raw.decode("utf-16-le", "replace")
        yield item.part, _word_marks(found)
        if len(found) < characters:
            raise Refused(Why.CORRUPT)
    yield item.part, "\n"


_MARKS = {7: "\t", 11: "\n", 12: "\n", 13: "\n", 14: "\n", 30: "-", 31: None, 160: " ", 19: " ", 20: " ", 21: " "}
_WORD_MARKS = {code: None for code in range(32) if code not in (9, 10)} | _MARKS


def _word_marks(found: str) -> str:
    """Paragraph, cell and field marks as white space."""
    return found.translate(_WORD_MARKS)


# --- PowerPoint


def _powerpoint(context: Context, item: Item, container: olefile.OleFileIO, base: list[str] | None = None) -> Texts:
    """Every text atom of the stream, in the order of the stream: slides, notes, masters, comments, older saves too."""
    data = container.openstream([*(base or []), "PowerPoint Document"]).read()
    ends: list[int] = []
    at = 0
    while at + 8 <= len(data):
        while ends and at >= ends[-1]:
            ends.pop()
        kind_version, kind, length = struct.unpack_from("<HHI", data, at)
        begin = at + 8
        if begin + length > len(data):
            raise Refused(Why.CORRUPT)
        if kind_version & 0x0F == 0x0F:
            ends.append(begin + length)
            if len(ends) > _PPT_DEPTH * 8:
                raise Refused(Why.BOMB)
            at = begin
            continue
        body = data[begin : begin + length]
        if kind in (0x0FA0, 0x0FBA):  # TextCharsAtom, CString
            yield item.part, body.decode("utf-16-le", "replace").replace("\r", "\n").replace("\x0b", "\n") + "\n"
        elif kind == 0x0FA8:  # TextBytesAtom: the low bytes of UTF-16
            yield item.part, body.decode("latin-1").replace("\r", "\n").replace("\x0b", "\n") + "\n"
        elif kind == 0x1011:  # ExOleObjStg
            context.sign(Sign.EMBEDDED_FILE)
            packed = kind_version >> 4 == 1
            yield from context.nested(item, "object", _unpacked(body[4:]) if packed else _slices(body))
        at = begin + length


def _unpacked(body: bytes) -> Iterator[bytes]:
    inflate = zlib.decompressobj()
    while body and not inflate.eof:
        try:
            yield inflate.decompress(body, 1024 * 1024)
        except zlib.error:
            raise Refused(Why.CORRUPT) from None
        body = inflate.unconsumed_tail


# --- Outlook


def _message(context: Context, item: Item, container: olefile.OleFileIO, paths: list[list[str]]) -> Texts:
    """Every string property, body and attachment of a message, and of messages attached to it."""
    names = _attachment_names(container, paths)
    for path in paths:
        found = _SUBSTORAGE.fullmatch(path[-1])
        if not found:
            continue
        tag, kind = found[1].upper(), found[2].upper()
        part = "/".join(each for each in path[:-1] if each)
        where = item.inside(part) if part else item.part
        if tag == "3701" and kind == "0102":
            context.sign(Sign.EMBEDDED_FILE)
            name = names.get("/".join(path[:-1]), "attachment")
            yield item.part, f"{name}\n"
            for sign in of_name(name):
                context.sign(sign)
            yield from context.nested(item, name, _blocks(container, path))
        elif not context.texts:
            continue
        elif kind in ("001F", "001E"):
            data = container.openstream(path).read()
            shown = data.decode("utf-16-le", "replace") if kind == "001F" else text_of(data)
            shown = shown.replace("\x00", "")
            if not part and tag in _MESSAGE_PROPERTIES:
                context.report.property(_MESSAGE_PROPERTIES[tag], shown)
            yield where, shown + "\n"
        elif tag == "1013" and kind == "0102":
            yield from context.nested(item, _joined(part, "body.html"), _blocks(container, path), "text/html")
        elif tag == "1009" and kind == "0102":
            body = rtf.decompressed(container.openstream(path).read())
            context.inflated(len(body))
            context.member()
            yield from rtf.read(
                context, Item(item.inside(_joined(part, "body.rtf")), "", item.file, 0, item.depth + 1), body
            )


def _joined(part: str, name: str) -> str:
    return f"{part}/{name}" if part else name


def _attachment_names(container: olefile.OleFileIO, paths: list[list[str]]) -> dict[str, str]:
    """Storage of an attachment to its long name (3707), or its short one (3704)."""
    names: dict[str, str] = {}
    for wanted in ("3704", "3707"):
        for path in paths:
            found = _SUBSTORAGE.fullmatch(path[-1])
            if found and found[1].upper() == wanted and container.get_size(path) < 65536:
                data = container.openstream(path).read()
                wide = found[2].upper() == "001F"
                name = data.decode("utf-16-le", "replace") if wide else text_of(data)
                names["/".join(path[:-1])] = name.strip("\x00")
    return names


# ---


def text_of(data: bytes, declared: str | None = None) -> str:
    """A string of unknown code page."""
    codec = charsets.of_text(data.rstrip(b"\x00"), whole=True, declared=declared) or "cp1252"
    return data.rstrip(b"\x00").decode(codec, "replace")


def _shown(name: str) -> str:
    return "".join(char if char >= " " else f"({ord(char)})" for char in name)


def _slices(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), BLOCK):
        yield body[at : at + BLOCK]


def _blocks(container: olefile.OleFileIO, path: list[str]) -> Iterator[bytes]:
    """A stream, block by block."""
    stream = container.openstream(path)
    while block := stream.read(BLOCK):
        yield block
