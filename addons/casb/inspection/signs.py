"""What is odd about a file's name and about the types that are claimed for it; the words are `model.signs.Sign`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

from casb.inspection.media_types import EMPTY, OCTETS, OLE, TEXT, ZIP
from casb.model.signs import Sign

NAME_BYTES = 255
"""The longest name that file systems take."""

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_OPENXML = "application/vnd.openxmlformats-officedocument."
_EXECUTABLE = (
    "application/vnd.microsoft.portable-executable",
    "application/x-msdos-program",
    "application/x-executable",
    "application/x-mach-binary",
    "application/java-archive",
    "application/java-vm",
    "application/vnd.android.",
    "application/x-msi",
    "application/x-ms-shortcut",
    "application/x-powershell",
    "application/x-bat",
    "application/hta",
    "application/wasm",
    "application/x-rpm",
    "application/vnd.debian.binary-package",
    "application/x-apple-diskimage",
    "text/x-shellscript",
    "text/vbscript",
    "application/x-wsf",
)
EXECUTABLE_EXTENSIONS = frozenset(
    "exe com scr pif dll sys cpl msi msp mst bat cmd ps1 psm1 vbs vbe js jse wsf wsh hta lnk jar apk sh run bin "
    "command app reg inf scf url chm gadget appx msix ocx drv vb ws application elf deb rpm dmg pkg py pl rb xll "
    "appref-ms iso img vhd vhdx".split()
)
_DOCUMENT_EXTENSIONS = frozenset(
    "pdf doc docx docm xls xlsx xlsm ppt pptx pptm odt ods odp rtf txt csv jpg jpeg png gif bmp tif tiff mp3 mp4 avi "
    "mov zip rar 7z html htm xml json eml msg log md".split()
)

# Extension to the media types that files of that name may have; beginnings of them. Extensions of texts are not here:
# any text may have them.
_TYPES: Mapping[str, tuple[str, ...]] = {
    "pdf": ("application/pdf",),
    "doc": ("application/msword", "application/rtf", "text/html", "application/encrypted", "application/xml"),
    "dot": ("application/msword", TEXT),
    "docx": (f"{_OPENXML}wordprocessingml.document", "application/encrypted"),
    "dotx": (f"{_OPENXML}wordprocessingml.template", "application/encrypted"),
    "docm": ("application/vnd.ms-word.document.macroenabled.12", "application/encrypted"),
    "dotm": ("application/vnd.ms-word.template.macroenabled.12", "application/encrypted"),
    "xls": ("application/vnd.ms-excel", "text/html", "application/encrypted", "application/xml", TEXT),
    "xlsx": (f"{_OPENXML}spreadsheetml.sheet", "application/encrypted"),
    "xlsm": ("application/vnd.ms-excel.sheet.macroenabled.12", "application/encrypted"),
    "xlsb": ("application/vnd.ms-excel.sheet.binary.macroenabled.12", "application/encrypted"),
    "xltx": (f"{_OPENXML}spreadsheetml.template", "application/encrypted"),
    "xltm": ("application/vnd.ms-excel.template.macroenabled.12", "application/encrypted"),
    "ppt": ("application/vnd.ms-powerpoint", "application/encrypted"),
    "pptx": (f"{_OPENXML}presentationml.presentation", "application/encrypted"),
    "pptm": ("application/vnd.ms-powerpoint.presentation.macroenabled.12", "application/encrypted"),
    "potx": (f"{_OPENXML}presentationml.template", "application/encrypted"),
    "ppsx": (f"{_OPENXML}presentationml.slideshow", "application/encrypted"),
    "ppsm": ("application/vnd.ms-powerpoint.slideshow.macroenabled.12", "application/encrypted"),
    "odt": ("application/vnd.oasis.opendocument.text",),
    "ods": ("application/vnd.oasis.opendocument.spreadsheet",),
    "odp": ("application/vnd.oasis.opendocument.presentation",),
    "odg": ("application/vnd.oasis.opendocument.graphics",),
    "rtf": ("application/rtf",),
    "msg": ("application/vnd.ms-outlook",),
    "vsd": ("application/vnd.visio",),
    "vsdx": ("application/vnd.ms-visio.",),
    "epub": ("application/epub+zip",),
    "zip": ("application/zip", "application/epub", "application/java-archive"),
    "jar": ("application/java-archive", "application/zip"),
    "apk": ("application/vnd.android.package-archive",),
    "gz": ("application/gzip",),
    "tgz": ("application/gzip",),
    "bz2": ("application/x-bzip2",),
    "xz": ("application/x-xz",),
    "zst": ("application/zstd",),
    "7z": ("application/x-7z-compressed",),
    "rar": ("application/vnd.rar",),
    "cab": ("application/vnd.ms-cab-compressed",),
    "tar": ("application/x-tar",),
    "iso": ("application/x-iso9660-image",),
    "exe": ("application/vnd.microsoft.portable-executable", "application/x-msdos-program"),
    "dll": ("application/vnd.microsoft.portable-executable",),
    "msi": ("application/x-msi",),
    "lnk": ("application/x-ms-shortcut",),
    "class": ("application/java-vm",),
    "png": ("image/png",),
    "jpg": ("image/jpeg",),
    "jpeg": ("image/jpeg",),
    "gif": ("image/gif",),
    "bmp": ("image/bmp",),
    "webp": ("image/webp",),
    "tif": ("image/tiff",),
    "tiff": ("image/tiff",),
    "ico": ("image/vnd.microsoft.icon",),
    "heic": ("image/hei",),
    "psd": ("image/vnd.adobe.photoshop",),
    "svg": ("image/svg+xml", "application/gzip"),
    "wav": ("audio/wav",),
    "flac": ("audio/flac",),
    "ogg": ("application/ogg",),
    "avi": ("video/x-msvideo",),
    "mkv": ("video/x-matroska",),
    "webm": ("video/x-matroska",),
    "mov": ("video/",),
    "mp4": ("video/", "audio/mp4"),
    "sqlite": ("application/vnd.sqlite3",),
    "eml": ("message/rfc822", TEXT),
}
_TEXT_EXTENSIONS = frozenset(
    "txt csv tsv md log json yaml yml xml html htm ini conf cfg py java c h cpp cs go rs rb php sql css ts tex rst srt "
    "ics vcf".split()
)
_TEXTS = ("text/", "application/json", "application/xml", "image/svg+xml", "message/rfc822", "application/x-powershell",
          "application/javascript", "application/x-bat", "application/hta", "application/x-wsf")  # fmt: skip
# Declared types that claim nothing, and those that are other words for one another.
_EMPTY_CLAIMS = frozenset(
    {"", OCTETS, "binary/octet-stream", "application/x-download", "application/force-download", "application/download",
     "application/x-zip-compressed", "application/x-msdownload", "multipart/form-data", "application/unknown",
     "application/x-www-form-urlencoded"}
)  # fmt: skip
_NAMELESS = ("application/x-executable", "application/x-mach-binary", "application/wasm")
_OFFICE = ("application/msword", "application/vnd.ms-", _OPENXML)
_EQUAL = {
    "application/x-zip-compressed": ZIP,
    "application/x-gzip": "application/gzip",
    "application/x-pdf": "application/pdf",
    "text/rtf": "application/rtf",
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/x-icon": "image/vnd.microsoft.icon",
    "application/x-rar-compressed": "application/vnd.rar",
    "application/x-rar": "application/vnd.rar",
    "application/x-tgz": "application/gzip",
    "image/x-ms-bmp": "image/bmp",
    "application/vnd.ms-excel": "spreadsheet",
}


def of_name(name: str) -> Iterator[Sign]:
    """What is odd about a file's name by itself."""
    if any(char in _BIDI for char in name):
        yield Sign.RTLO
    if any(char not in _BIDI and _unseen(char) for char in name):
        yield Sign.INVISIBLE_CHARACTERS
    if _leads_away(name):
        yield Sign.PATH_IN_NAME
    if len(name.encode("utf-8", "replace")) > NAME_BYTES:
        yield Sign.LONG_NAME
    if _doubled(name):
        yield Sign.DOUBLE_EXTENSION


def of_types(extension: str, declared: str | None, detected: str) -> Iterator[Sign]:
    """Whether what is claimed of a file's type fits what it is."""
    if detected == EMPTY:
        return
    claims = (declared or "").partition(";")[0].strip().lower()
    if not _fits_extension(extension, detected) or not _fits_claim(claims, detected):
        yield Sign.TYPE_MISMATCH


def executable(media_type: str) -> bool:
    """Whether opening such a file runs it."""
    return media_type.startswith(_EXECUTABLE)


def external(attributes: Mapping[str, str]) -> bool:
    """Whether a relationship of an OOXML part leads out of the file (ECMA-376 part 2, 6.5.3.4)."""
    return attributes.get("TargetMode", "").lower() == "external"


def _unseen(char: str) -> bool:
    return (char < " " or char > "~") and (
        unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Co", "Cn", "Cs")
        or char in "\u115f\u1160\u3164\uffa0\u2800"
    )


def _leads_away(name: str) -> bool:
    parts = re.split(r"[/\\]", name)
    return (
        ".." in parts or (len(parts) > 1 and not parts[0]) or bool(re.match(r"[A-Za-z]:[/\\]", name)) or "\x00" in name
    )


def _doubled(name: str) -> bool:
    """A program behind the name of a document; or an extension pushed out of sight by spaces."""
    base = re.split(r"[/\\]", name)[-1]
    base = "".join(char for char in base if not _unseen(char)).rstrip(". ")
    stem, dot, last = base.rpartition(".")
    if not dot:
        return False
    if re.search(r"\s{4,}$|_{10,}$", stem):
        return True
    before = stem.rstrip().rpartition(".")[2].strip().lower() if "." in stem else ""
    return before in _DOCUMENT_EXTENSIONS and last.strip().lower() in EXECUTABLE_EXTENSIONS


def _fits_extension(extension: str, detected: str) -> bool:
    if extension in _TYPES:
        return detected.startswith(_TYPES[extension])
    if extension in _TEXT_EXTENSIONS:
        return detected.startswith(_TEXTS)
    # A program under a name of no known kind is odd, except where names do not matter.
    disguised = executable(detected) and extension.isalpha() and extension not in EXECUTABLE_EXTENSIONS
    return not (disguised and _is_binary(detected) and detected not in _NAMELESS)


def _is_binary(detected: str) -> bool:
    return not detected.startswith(_TEXTS)


def _fits_claim(claim: str, detected: str) -> bool:
    """Only families that cannot be meant the same way: a picture that is a program, a text that is an archive."""
    claim = _EQUAL.get(claim, claim)
    if claim in _EMPTY_CLAIMS or claim == detected or "/" not in claim:
        return True
    family = claim.partition("/")[0]
    if family in ("image", "audio", "video", "font"):
        return detected.partition("/")[0] == family or {family, detected.partition("/")[0]} == {"audio", "video"} or (
            detected in ("application/ogg",) and family != "image"
        ) or (claim == "image/svg+xml" and detected == "application/xml")  # fmt: skip
    if family == "text" or claim in ("application/json", "application/xml", "application/javascript"):
        return detected.startswith(_TEXTS)
    if claim.startswith(_OFFICE) and detected.startswith(_OFFICE):
        return True  # servers name the new formats like the old
    if claim in (each for types in _TYPES.values() for each in types):
        return detected.startswith(claim) or detected in (OLE, "application/encrypted") or (
            claim == ZIP and not executable(detected) and detected.startswith("application/")
        )  # fmt: skip
    return not executable(detected)
