"""What a file is, by its bytes: a name and a declared type are only claims.

Leading bytes first, then a look into containers (ZIP directory, OLE streams), then text. Pure Python over tables. Any
bytes give a media type; a container too damaged to look into keeps its outer type.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Mapping
from typing import Any, BinaryIO

import olefile  # type: ignore[import-untyped]  # ships no types
import re2  # type: ignore[import-untyped]  # ships no types

from casb.errors import ContentError
from casb.inspection import charsets, xmlparts
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
ISO_9660 = 0x8001

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
    (b"070701", "application/x-cpio"),
    (b"070702", "application/x-cpio"),
    (b"070707", "application/x-cpio"),
    (b"\xc7\x71", "application/x-cpio"),
    (b"xar!", "application/x-xar"),
    (b"!<arch>\ndebian-binary", "application/vnd.debian.binary-package"),
    (b"!<arch>\n", "application/x-archive"),
    (b"\xed\xab\xee\xdb", "application/x-rpm"),
    (b"\x04\x22\x4d\x18", "application/x-lz4"),
    (b"\x1f\x9d", "application/x-compress"),
    (b"LZIP", "application/x-lzip"),
    (b"\x89LZO\x00\r\n\x1a\n", "application/x-lzop"),
    (b"]\x00\x00", "application/x-lzma"),
    (b"!BDN", "application/x-pst"),
    (b"\x00\x01\x00\x00Standard Jet DB", "application/x-access"),
    (b"\x00\x01\x00\x00Standard ACE DB", "application/x-access"),
    (b"\x78\x9f\x3e\x22", "application/vnd.ms-tnef"),
    (b"\xffWPC", "application/x-wordperfect"),
    (b"AT&TFORM", "image/vnd.djvu"),
    (b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", "application/x-onenote"),
    (b"ITSF\x03\x00\x00\x00", "application/x-windows-help"),
    (b"LUKS\xba\xbe", "application/x-luks"),
    (b"PAR1", "application/x-parquet"),
    (b"conectix", "application/x-vhd"),
    (b"vhdxfile", "application/x-vhd"),
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
    ("xl/workbook.bin", "application/vnd.ms-excel.sheet.binary.macroenabled.12"),
    ("xl/workbook.xml", XLSX),
    ("ppt/presentation.xml", PPTX),
    ("fixeddocseq.fdseq", "application/vnd.ms-xpsdocument"),
    ("index/document.iwa", "application/vnd.apple.iwork"),
    ("index.zip", "application/vnd.apple.iwork"),
    ("appxmanifest.xml", "application/msix"),
    ("androidmanifest.xml", "application/vnd.android.package-archive"),
    ("meta-inf/manifest.mf", "application/java-archive"),
)
TEXTS = frozenset(
    {
        "application/json",
        "application/xml",
        "application/javascript",
        "application/x-powershell",
        "application/x-bat",
        "application/x-wsf",
        "application/mbox",
    }
)
"""Media types of texts that do not begin with `text/`."""
# Signatures of so few bytes that text may begin with them.
_WEAK = frozenset(
    {b"ID3", b"BM", b"PAR1", b"LZIP", b"xar!", b"070701", b"070702", b"070707", b"]\x00\x00", b"conectix"}
)
_ZIP_BEHIND = ("application/vnd.microsoft.portable-executable", "application/x-msdos-program",
               "application/x-executable",
               "text/x-shellscript", "image/", "audio/", "video/", PDF, "application/rtf", "text/html")  # fmt: skip
_PACKAGES = ("application/vnd.openxmlformats-officedocument.", "application/vnd.oasis.opendocument.",
             "application/epub",
             "application/java-archive", "application/vnd.android.package-archive", "application/vnd.ms-word.",
             "application/vnd.ms-excel.", "application/vnd.ms-powerpoint.", "application/vnd.ms-visio.",
             "application/vnd.apple.iwork", "application/vnd.ms-xpsdocument", "application/msix")  # fmt: skip


# Words that scripts of a kind have and prose has not: two different ones are taken for proof.
def _words(pattern: str, *, case: bool = True) -> Any:
    """By RE2: a text of eight thousand characters takes it a fraction of a millisecond, `re` seven."""
    return re2.compile(("(?m)" if case else "(?im)") + pattern)


_SCRIPTS: tuple[tuple[str, Any], ...] = (
    (
        "application/x-bat",
        _words(r"^\s*(@?echo off|@?setlocal|@?rem\b|goto :?\w+|:\w+|@?set \w+=|if (?:not )?exist|call )|"
                   r"%~\w?\d|%\w+%", case=False),
    ),
    (
        "application/x-powershell",
        _words(r"(\$env:\w|\bWrite-(?:Host|Output)|\bInvoke-\w+|\bNew-Object|\bSet-\w+|\bGet-\w+|^\s*param\s*\(|"
                   r"\[System\.|\bStart-Process|-ExecutionPolicy|\bImport-Module|\$PSScriptRoot|"
                   r"\|\s*ForEach-Object)", case=False),
    ),
    (
        "text/vbscript",
        _words(r"^\s*(dim \w+|set \w+ ?= ?\w+|end (?:sub|function|if)|option explicit|sub \w+|"
                   r"on error resume next)|(\bCreateObject\s*\(|\bWScript\.|\bMsgBox\b)", case=False),
    ),
    (
        "application/javascript",
        _words(r"(^\s*(?:var|let|const) [\w$]+ ?=|\bfunction\s*[\w$]*\s*\(|=>\s*[{(]|\bdocument\.\w|\bwindow\.\w|"
                   r"\brequire\(|^\s*import .* from |^\s*export (?:default|const|function)|\bnew ActiveXObject|"
                   r"\bWScript\.|===|[\"']use strict[\"'])"),
    ),
)  # fmt: skip
_SCRIPT_NAMES = {
    "bat": "application/x-bat", "cmd": "application/x-bat", "ps1": "application/x-powershell",
    "psm1": "application/x-powershell", "vbs": "text/vbscript", "vbe": "text/vbscript", "js": "application/javascript",
    "mjs": "application/javascript", "jse": "application/javascript", "wsf": "application/x-wsf",
    "hta": "application/hta",
    "sh": "text/x-shellscript", "eml": "message/rfc822", "mbox": "application/mbox",
}  # fmt: skip
_HTML = re.compile(r"<(?:!doctype\s+html|html|head|body|script|iframe|table|title|meta|div)\b", re.IGNORECASE)
_XML = re.compile(r"<\?xml\b|<(?P<root>[A-Za-z_][\w.:-]*)(?:\s[^<>]*)?/?>")
_MAIL = re.compile(
    r"(?:received|from|to|cc|subject|date|mime-version|message-id|return-path|delivered-to|content-type|x-[\w-]+): ?",
    re.IGNORECASE,
)


def detect(file: BinaryIO, size: int, name: str = "") -> str:
    """The media type of a seekable file of `size` bytes; `application/octet-stream` when nothing is recognised.

    `name` counts for texts only, which may be scripts and say so nowhere: there it can make the file more dangerous,
    never less.
    """
    if size == 0:
        return EMPTY
    file.seek(0)
    head = file.read(HEAD)
    found = detect_head(head, whole=len(head) == size)
    if is_zip(file, size, found):
        return _in_zip(file, size)
    if found == OLE:
        return _in_ole(file)
    if found == OCTETS and size > ISO_9660 + 5:
        file.seek(ISO_9660)
        if file.read(5) == b"CD001":
            return "application/x-iso9660-image"
    if found == OCTETS and size > 512:
        file.seek(size - 512)
        return "application/x-apple-diskimage" if file.read(4) == b"koly" else OCTETS
    return _SCRIPT_NAMES.get(name.rpartition(".")[2].strip().lower(), found) if found == TEXT else found


def is_package(file: BinaryIO, size: int, kind: str) -> bool:
    """Whether a file of the type that `detect` gave is a ZIP file, as documents are."""
    return kind == ZIP or kind.startswith(_PACKAGES) or (kind not in (OLE, PDF, EMPTY) and _starts_as_zip(file))


def zip_behind(file: BinaryIO, size: int, kind: str) -> bool:
    """Whether a file of another type is a ZIP file, too: self-extracting, or two kinds at once."""
    return kind.startswith(_ZIP_BEHIND) and _has_directory(file, size)


def detect_bytes(body: bytes) -> str:
    """As `detect`, for a body in memory."""
    return detect(io.BytesIO(body), len(body))


def detect_head(head: bytes, *, whole: bool = False) -> str:
    """The outer type by the leading bytes alone: a document in a ZIP or OLE container is only that container."""
    for signature, media_type in _SIGNATURES:
        if head.startswith(signature) and not (signature in _WEAK and charsets.of_text(head, whole=whole)):
            return media_type
    if found := _structured(head):
        return found
    return _text(head, whole=whole)


def is_zip(file: BinaryIO, size: int, outer: str) -> bool:
    """Whether to read the file as a ZIP: by its beginning or, behind bytes that say nothing, by its end.

    ZIP readers look for the directory at the end, so bytes put in front do not hide a document from them.
    """
    return outer == ZIP or (outer in (OCTETS, TEXT) and _has_directory(file, size))


def _starts_as_zip(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")


def _has_directory(file: BinaryIO, size: int) -> bool:
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
    if head[2:5] == b"-lh" and head[6:7] == b"-":
        return "application/x-lzh-compressed"
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
    start = text.lstrip("\ufeff \t\r\n\x0b\x0c")
    if start.startswith(("{", "[")) and _is_json(start, whole=whole):
        return "application/json"
    if (marked := _XML.match(start)) or start.startswith("<!"):
        if re.search(r"<hta:application\b", start[:8192], re.IGNORECASE):
            return "application/hta"
        root = (marked["root"] if marked and marked["root"] else "") or _first_element(start)
        if root.lower().rpartition(":")[2] == "svg":
            return "image/svg+xml"
        if root.lower() in ("job", "package") and re.search(r"<script\b", start[:8192], re.IGNORECASE):
            return "application/x-wsf"
        return "text/html" if _HTML.search(start[:2048]) and root.lower() != "feed" else "application/xml"
    if _HTML.match(start):
        return "text/html"
    lines = start.splitlines()[:6]
    if start.startswith("From ") and len(lines) > 2 and sum(bool(_MAIL.match(line)) for line in lines[1:]) >= 2:
        return "application/mbox"
    if len(lines) > 1 and sum(bool(_MAIL.match(line)) for line in lines) >= 3:
        return "message/rfc822"
    return _script(start) or TEXT


def _script(text: str) -> str | None:
    """Scripts by two different words of theirs in the beginning, unless as many lines are clearly prose."""
    head = text[:8192]
    for media_type, pattern in _SCRIPTS:
        if len({found[0].strip().lower() for found in pattern.finditer(head)}) >= 2:
            return media_type
    return None


def _decoded(head: bytes, *, whole: bool) -> str | None:
    """The text, or None for what is none. A character cut by the end of `head` does not count."""
    codec = charsets.of_text(head, whole=whole)
    return None if codec is None else codecs.getincrementaldecoder(codec)("replace").decode(head)


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
