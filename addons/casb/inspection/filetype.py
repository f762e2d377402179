"""What a file is, by its bytes: a name and a declared type are only claims.

Leading bytes first, then a look into containers (ZIP directory, OLE streams), then text. Pure Python over tables. Any
bytes give a media type; a container too damaged to look into keeps its outer type.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import BinaryIO

import olefile  # type: ignore[import-untyped]  # ships no types

from casb.errors import ContentError
from casb.inspection import xmlparts
from casb.inspection.media_types import (
    AGE,
    DOCX,
    EMPTY,
    ENCRYPTED_OFFICE,
    OCTETS,
    OLE,
    OOXML_MAIN,
    PDF,
    PPTX,
    TEXT,
    XLSX,
    ZIP,
)
from casb.inspection.zips import END, Directory

HEAD = 64 * 1024
"""How many leading bytes are looked at."""
PART = 1024 * 1024
"""Longest XML part that is read, bytes."""

_PDF_WITHIN = 1024  # ISO 32000-1 annex H, implementation note 13
_ISO_9660 = 0x8001

# Leading bytes, offset 0. Order matters only where one is the beginning of another.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", PDF),
    (b"{\\rtf", "application/rtf"),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),
    (b"PK\x07\x08PK", ZIP),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"MSCF\x00\x00\x00\x00", "application/vnd.ms-cab-compressed"),
    (b"age-encryption.org/v1\n", AGE),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", AGE),
    (b"-----BEGIN PGP MESSAGE-----", "application/pgp-encrypted"),
    (b"\x7fELF", "application/x-executable"),
    (b"\xfe\xed\xfa\xce", "application/x-mach-binary"),
    (b"\xfe\xed\xfa\xcf", "application/x-mach-binary"),
    (b"\xce\xfa\xed\xfe", "application/x-mach-binary"),
    (b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (b"\x00asm", "application/wasm"),
    (b"dex\n", "application/vnd.android.dex"),
    (b"\x4c\x00\x00\x00\x01\x14\x02\x00", "application/x-ms-shortcut"),
    (b"#!", "text/x-shellscript"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"\x00\x00\x01\x00", "image/vnd.microsoft.icon"),
    (b"\xd7\xcd\xc6\x9a", "image/wmf"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "application/ogg"),
    (b"fLaC", "audio/flac"),
    (b"\x1aE\xdf\xa3", "video/x-matroska"),
    (b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
)
_RIFF: Mapping[bytes, str] = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS: Mapping[bytes, str] = {  # ISO 14496-12 major brands
    b"avif": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
}
_OLE_STREAMS: tuple[tuple[str, str], ...] = (
    ("encryptedpackage", ENCRYPTED_OFFICE),
    ("worddocument", "application/msword"),
    ("workbook", "application/vnd.ms-excel"),
    ("book", "application/vnd.ms-excel"),
    ("powerpoint document", "application/vnd.ms-powerpoint"),
    ("visiodocument", "application/vnd.visio"),
    ("__properties_version1.0", "application/vnd.ms-outlook"),
)
_MSI = "000C1084-0000-0000-C000-000000000046"
_MEMBERS: tuple[tuple[str, str], ...] = (  # when the content types part does not say
    ("word/document.xml", DOCX),
    ("xl/workbook.xml", XLSX),
    ("ppt/presentation.xml", PPTX),
    ("androidmanifest.xml", "application/vnd.android.package-archive"),
    ("meta-inf/manifest.mf", "application/java-archive"),
)
_BOMS: tuple[tuple[bytes, str], ...] = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_HTML = re.compile(r"<(?:!doctype\s+html|html|head|body|script|iframe|table|title|meta|div)\b", re.IGNORECASE)
_XML = re.compile(r"<\?xml\b|<(?P<root>[A-Za-z_][\w.:-]*)(?:\s[^<>]*)?/?>")
_MAIL = re.compile(
    r"(?:received|from|to|cc|subject|date|mime-version|message-id|return-path|delivered-to|content-type|x-[\w-]+): ?",
    re.IGNORECASE,
)


def detect(file: BinaryIO, size: int) -> str:
    """The media type of a seekable file of `size` bytes; `application/octet-stream` when nothing is recognised."""
    if size == 0:
        return EMPTY
    file.seek(0)
    head = file.read(HEAD)
    found = detect_head(head, whole=len(head) == size)
    if is_zip(file, size, found):
        return _in_zip(file, size)
    if found == OLE:
        return _in_ole(file)
    if found == OCTETS and size > _ISO_9660 + 5:
        file.seek(_ISO_9660)
        return "application/x-iso9660-image" if file.read(5) == b"CD001" else OCTETS
    return found


def detect_bytes(body: bytes) -> str:
    """As `detect`, for a body in memory."""
    return detect(io.BytesIO(body), len(body))


def detect_head(head: bytes, *, whole: bool = False) -> str:
    """The outer type by the leading bytes alone: a document in a ZIP or OLE container is only that container."""
    for signature, media_type in _SIGNATURES:
        if head.startswith(signature):
            return media_type
    if found := _structured(head):
        return found
    return _text(head, whole=whole)


def is_zip(file: BinaryIO, size: int, outer: str) -> bool:
    """Whether to read the file as a ZIP: by its beginning or, behind bytes that say nothing, by its end.

    ZIP readers look for the directory at the end, so bytes put in front do not hide a document from them.
    """
    if outer not in (OCTETS, TEXT):
        return outer == ZIP
    length = min(size, END)
    file.seek(size - length)
    if b"PK\x05\x06" not in file.read(length):
        return False
    try:
        return bool(Directory(file, size).members)
    except ContentError as error:
        return error.code != "F101"


def _structured(head: bytes) -> str | None:
    """Signatures that need more than a comparison at offset 0."""
    if head[:2] == b"MZ" and len(head) >= 64:
        at = int.from_bytes(head[60:64], "little")
        portable = head[at : at + 4] == b"PE\x00\x00"
        return "application/vnd.microsoft.portable-executable" if portable else "application/x-msdos-program"
    if head[:4] == b"\xca\xfe\xba\xbe" and len(head) >= 8:
        # A fat Mach-O counts its architectures here, a Java class states a version of 45 or more.
        few = int.from_bytes(head[4:8], "big") < 45
        return "application/x-mach-binary" if few else "application/java-vm"
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[:2] == b"BM" and len(head) >= 26 and head[6:10] == b"\x00\x00\x00\x00":
        return "image/bmp"
    if head[257:262] == b"ustar":
        return "application/x-tar"
    if head[40:44] == b" EMF":
        return "image/emf"
    return PDF if b"%PDF-" in head[:_PDF_WITHIN] else None


def _in_zip(file: BinaryIO, size: int) -> str:
    """Which document a ZIP container is."""
    try:
        directory = Directory(file, size)
        plain = directory.read("mimetype", 100)
        if plain:
            # OpenDocument 1.3 part 2 section 3.3, EPUB OCF 3.3 section 4.3.
            return plain.decode("ascii", "replace").strip() if re.fullmatch(rb"[a-z]+/[\w.+-]+\s*", plain) else ZIP
        types = directory.read("[content_types].xml", PART)
        if types is not None and (main := _main_part(directory, types)):
            return main
        names = directory.members
    except ContentError:
        return ZIP
    return next((media_type for name, media_type in _MEMBERS if name in names), ZIP)


def _main_part(directory: Directory, types: bytes) -> str | None:
    """The type of an OOXML package by the content type of its main part (ECMA-376 part 2, section 10)."""
    by_name, by_extension = xmlparts.content_types(types)
    relations = directory.read("_rels/.rels", PART)
    targets = xmlparts.relations(relations) if relations else ()
    for kind, target in targets:
        if kind == "officedocument" or kind == "document":
            content_type = by_name.get(target) or by_extension.get(target.rpartition(".")[2], "")
            if content_type in OOXML_MAIN:
                return OOXML_MAIN[content_type]
    return next((OOXML_MAIN[each] for each in by_name.values() if each in OOXML_MAIN), None)


def _in_ole(file: BinaryIO) -> str:
    """Which document an OLE container is (MS-CFB)."""
    try:
        file.seek(0)
        with olefile.OleFileIO(file) as container:
            if container.root.clsid == _MSI:
                return "application/x-msi"
            names = {entry[0].lower() for entry in container.listdir(streams=True, storages=True)}
    except Exception:  # olefile raises whatever a damaged container makes it stumble over
        return OLE
    return next((media_type for name, media_type in _OLE_STREAMS if name in names), OLE)


def _text(head: bytes, *, whole: bool) -> str:
    text = _decoded(head, whole=whole)
    if text is None:
        return OCTETS
    start = text.lstrip()
    if start.startswith(("{", "[")) and _is_json(start, whole=whole):
        return "application/json"
    if (marked := _XML.match(start)) or start.startswith("<!"):
        root = (marked["root"] if marked and marked["root"] else "") or _first_element(start)
        if root.lower().rpartition(":")[2] == "svg":
            return "image/svg+xml"
        return "text/html" if _HTML.search(start[:2048]) and root.lower() != "feed" else "application/xml"
    if _HTML.match(start):
        return "text/html"
    lines = start.splitlines()[:6]
    if len(lines) > 1 and sum(bool(_MAIL.match(line)) for line in lines) >= 3:
        return "message/rfc822"
    return TEXT


def _decoded(head: bytes, *, whole: bool) -> str | None:
    """The text, or None for what is none. A character cut by the end of `head` does not count."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return head.decode(encoding, "replace")
    if _CONTROLS.search(head):
        return None
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError as error:
        if not whole and error.start >= len(head) - 4:
            return head[: error.start].decode("utf-8")
    # Some 8-bit character set: mostly letters then, where compressed bytes are spread evenly.
    high = sum(byte >= 0x80 for byte in head)
    return head.decode("latin-1") if high * 3 <= len(head) else None


def _is_json(text: str, *, whole: bool) -> bool:
    if not whole:
        return bool(re.match(r"[\[{]\s*(?:[\"\[{\d-]|true|false|null)", text))
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _first_element(text: str) -> str:
    found = re.search(r"<([A-Za-z_][\w.:-]*)", text)
    return found[1] if found else ""
