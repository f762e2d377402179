"""ZIP files and the documents that are ZIP files: OOXML, OpenDocument, EPUB, programs.

Read by their directory, as the programs that open them do. What lies outside of it is read as bytes, so that a second
file in front of or behind the archive does not stay unseen.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from casb.errors import ContentError
from casb.inspection import xmlparts
from casb.inspection.extraction import markup, text
from casb.inspection.extraction.context import BLOCK, WHY, Context, Exhausted, Item, Refused, Texts
from casb.inspection.limits import Why
from casb.inspection.media_types import ZIP
from casb.inspection.signs import external, of_name
from casb.inspection.zips import Directory, Member
from casb.model.signs import Sign

_XML = (".xml", ".rels", ".vml")
_MACROS = ("vbaproject.bin", "vbadata.xml", "macrosheets/", "basic/script-lc.xml", "xlmacro")
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml", re.IGNORECASE)
_SHARED = "xl/sharedstrings.xml"
_TEMPLATE = ("attachedtemplate",)
_HARMLESS = frozenset({"hyperlink"})
_PROPERTIES = frozenset(
    "title subject creator keywords description lastModifiedBy category contentStatus company manager application "
    "initial-creator keyword language generator printed-by".split()
)
_DYNAMIC = ("ddeLink", "dde-source", "dde-connection-decl")
_WATCHED = (*_DYNAMIC, "event-listener", "fldSimple")
_PARTS = ("docprops/core.xml", "docprops/app.xml", "docprops/custom.xml", "meta.xml")
# Office packages hold nothing but their own parts here: an unread format is none of them.
_IWORK = (".iwa",)


def read(context: Context, item: Item, detected: str) -> Texts:
    """Every member of a ZIP file of any kind. Raises `Refused`, `ContentError`."""
    directory = Directory(item.file, item.size)
    directory.require_harmless()
    yield from _outside(context, item, directory)
    office = detected != ZIP and detected.startswith("application/vnd.")
    members = [each for each in directory.all if not each.name.endswith("/")]
    if office:
        _signs(context, directory)
        if _odf_encrypted(directory):
            raise Refused(Why.ENCRYPTED)
    shared: list[str] = []
    if office and context.texts and _SHARED in directory.members:
        shared = _shared_strings(context, item, directory)
    used = bytearray(len(shared))
    for member in members:
        try:
            yield from _member(context, item, directory, member, shared, used, office=office)
        except Exhausted:
            raise
        except ContentError as error:
            context.report.problem(WHY.get(error.code, Why.CORRUPT), item.inside(member.name))
        except Refused as refused:
            context.report.problem(refused.why, item.inside(member.name))
    if unused := [string for string, seen in zip(shared, used, strict=True) if not seen]:
        for at in range(0, len(unused), 1000):
            yield item.inside("xl/sharedStrings.xml"), "\n".join(unused[at : at + 1000]) + "\n"


def _member(
    context: Context,
    item: Item,
    directory: Directory,
    member: Member,
    shared: list[str],
    used: bytearray,
    *,
    office: bool,
) -> Texts:
    name = member.name
    if not office:
        for sign in of_name(name):
            context.sign(sign)
        yield item.part, f"{name}\n"
    if member.encrypted:
        raise Refused(Why.ENCRYPTED)
    blocks = directory.open(member)
    low = name.lower()
    if not office or not low.endswith(_XML):
        if low.endswith(_IWORK):
            raise Refused(Why.UNSUPPORTED)
        if office and not _own_part(low):
            context.sign(Sign.EMBEDDED_FILE)
        yield from context.nested(item, name, blocks)
        return
    yield from _xml_part(context, item, member, blocks, shared, used)


def _xml_part(
    context: Context, item: Item, member: Member, blocks: Iterator[bytes], shared: list[str], used: bytearray
) -> Texts:
    low = member.name.lower()
    context.member()
    part = item.inside(member.name)
    if not member.size:  # LibreOffice leaves such parts behind
        return
    if low == _SHARED and context.texts:
        return
    if not context.texts and not (low.endswith(".rels") or low in _PARTS or low == "content.xml"):
        return
    counted = context.counted(blocks)
    if low == "meta-inf/manifest.xml":  # a list of names, which old programs wrote carelessly
        yield from text.plain(part, counted)
    elif _SHEET.fullmatch(low):
        yield from markup.sheet(part, counted, shared, used)
    elif low.endswith(".rels"):
        yield from markup.xml(part, counted, on_element={"Relationship": functools.partial(_relation, context)})
    elif low in _PARTS:
        yield from _properties(context, part, counted)
    else:
        yield from markup.xml(part, counted, on_element=dict.fromkeys(_WATCHED, functools.partial(_element, context)))


def _own_part(low: str) -> bool:
    """Whether a member that is not XML is of a kind that office programs write without being asked to embed a file."""
    return low.endswith(
        (".png", ".jpg", ".jpeg", ".gif", ".emf", ".wmf", ".bmp", ".tif", ".tiff", ".svg", ".odttf", ".fntdata", ".bin",
         ".wdp", "mimetype", ".rdf", ".ttf", ".otf", ".mp4", ".mp3", ".wav", ".data", ".xbin", ".glb")
    ) and not low.startswith(("word/embeddings/", "xl/embeddings/", "ppt/embeddings/"))  # fmt: skip


def _signs(context: Context, directory: Directory) -> None:
    for name in directory.members:
        if any(each in name for each in _MACROS):
            context.sign(Sign.MACRO)
        if "/embeddings/" in name or name.startswith("objectreplacements/"):
            context.sign(Sign.EMBEDDED_FILE)
        if name.startswith("basic/") and not name.endswith("script-lc.xml"):
            context.sign(Sign.MACRO)


def _relation(context: Context, local: str, attributes: dict[str, str]) -> None:
    if local != "Relationship" or not external(attributes):
        return
    kind = attributes.get("Type", "").rpartition("/")[2].lower()
    target = attributes.get("Target", "").strip().lower()
    if kind in _TEMPLATE and re.match(r"(https?|ftp|mhtml|\\\\|//|file:)", target):
        context.sign(Sign.REMOTE_TEMPLATE)
    if kind not in _HARMLESS:
        context.sign(Sign.EXTERNAL_LINK)


def _element(context: Context, local: str, attributes: dict[str, str]) -> None:
    """Dynamic data exchange in fields and cells, and what OpenDocument runs by itself."""
    if local in _DYNAMIC:
        context.sign(Sign.ACTIVE_CONTENT)
    elif local == "event-listener":
        context.sign(Sign.MACRO)
    elif local == "fldSimple" and any(
        key.rpartition(" ")[2] == "instr" and re.match(r"\s*DDE(AUTO)?\b", value, re.IGNORECASE)
        for key, value in attributes.items()
    ):
        context.sign(Sign.ACTIVE_CONTENT)


def _properties(context: Context, part: str, blocks: Iterator[bytes]) -> Texts:
    """Document properties, as text and by name. They are short: kept whole."""
    data = b"".join(blocks)
    found: list[tuple[str, str]] = []
    custom: list[str] = []

    def element(local: str, attributes: dict[str, str]) -> None:
        if local in ("property", "user-defined"):
            custom.append(next((value for key, value in attributes.items() if key.rpartition(" ")[2] == "name"), ""))

    def ended(local: str, _: object, value: str) -> None:
        if local.lower() in {each.lower() for each in _PROPERTIES}:
            found.append((_plain(local), value))
        elif custom and value:
            found.append((custom.pop(), value))

    xmlparts.walk(data, on_start=lambda local, attributes: element(local, dict(attributes)), on_text=ended)

    for name, value in found:
        context.report.property(name, value)
    yield from markup.xml(part, iter((data,)))


def _plain(local: str) -> str:
    """One name for what OOXML, OpenDocument and PDF call differently."""
    low = local.lower()
    return {
        "creator": "author",
        "initial-creator": "author",
        "lastmodifiedby": "last_modified_by",
        "contentstatus": "status",
        "keyword": "keywords",
        "generator": "application",
    }.get(low, low)


def _shared_strings(context: Context, item: Item, directory: Directory) -> list[str]:
    """The shared strings of a workbook. They must fit into memory. Raises `Refused`."""
    member = directory.members[_SHARED]
    if member.encrypted:
        raise Refused(Why.ENCRYPTED)
    if member.size > context.held // 4:
        raise Refused(Why.TOO_LARGE)
    context.member()
    return markup.shared_strings(context.counted(directory.open(member)))


def _odf_encrypted(directory: Directory) -> bool:
    """OpenDocument 1.3 part 2, 4.5: the manifest tells; the members do not."""
    manifest = directory.members.get("meta-inf/manifest.xml")
    if manifest is None or manifest.encrypted:
        return False
    data = directory.read("meta-inf/manifest.xml", 4 * 1024 * 1024)
    return data is not None and b"encryption-data" in data


def _outside(context: Context, item: Item, directory: Directory) -> Texts:
    """What stands in front of the first member and behind the directory."""
    begin = min((each.offset for each in directory.all), default=0) + directory.shift
    spans = [(0, begin, "(before)"), (directory.end, item.size, "(after)")]
    for start, end, where in spans:
        if 0 <= start < end <= item.size:
            item.file.seek(start)
            head = item.file.read(min(64, end - start))
            if head.strip(b"\x00"):
                context.sign(Sign.SELF_EXTRACTING if head[:2] in (b"MZ", b"\x7fE", b"#!") else Sign.POLYGLOT)
                if head[:2] in (b"MZ", b"\x7fE") and item.depth:
                    context.sign(Sign.EMBEDDED_EXECUTABLE)
                if context.texts:
                    yield from text.strings(item.inside(where), _span(item, start, end))


def _span(item: Item, start: int, end: int) -> Iterator[bytes]:
    at = start
    while at < end:
        item.file.seek(at)
        block = item.file.read(min(BLOCK, end - at))
        if not block:
            return
        at += len(block)
        yield block
