"""Media types and the groups that policies speak of (MDCA file types, plus archive and executable)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

OCTETS = "application/octet-stream"
EMPTY = "application/x-empty"
ZIP = "application/zip"
OLE = "application/x-ole-storage"
ENCRYPTED_OFFICE = "application/encrypted"
"""An OOXML document inside an OLE envelope (MS-OFFCRYPTO); which kind cannot be told from outside."""
PDF = "application/pdf"
TEXT = "text/plain"
AGE = "application/x-age-encryption"

_OPENXML = "application/vnd.openxmlformats-officedocument."
DOCX = _OPENXML + "wordprocessingml.document"
XLSX = _OPENXML + "spreadsheetml.sheet"
PPTX = _OPENXML + "presentationml.presentation"


class Group(StrEnum):
    """MDCA 'File type', with two more."""

    DOCUMENT = "document"
    SPREADSHEET = "spreadsheet"
    PRESENTATION = "presentation"
    TEXT = "text"
    IMAGE = "image"
    ARCHIVE = "archive"
    EXECUTABLE = "executable"
    OTHER = "other"


# OOXML: content type of the main part (ECMA-376 part 1, MS-OFFMACRO2) to that of the file.
OOXML_MAIN: Mapping[str, str] = {
    f"{_OPENXML}wordprocessingml.document.main+xml": DOCX,
    f"{_OPENXML}wordprocessingml.template.main+xml": f"{_OPENXML}wordprocessingml.template",
    f"{_OPENXML}spreadsheetml.sheet.main+xml": XLSX,
    f"{_OPENXML}spreadsheetml.template.main+xml": f"{_OPENXML}spreadsheetml.template",
    f"{_OPENXML}presentationml.presentation.main+xml": PPTX,
    f"{_OPENXML}presentationml.template.main+xml": f"{_OPENXML}presentationml.template",
    f"{_OPENXML}presentationml.slideshow.main+xml": f"{_OPENXML}presentationml.slideshow",
    "application/vnd.ms-word.document.macroenabled.main+xml": "application/vnd.ms-word.document.macroenabled.12",
    "application/vnd.ms-word.template.macroenabledtemplate.main+xml": (
        "application/vnd.ms-word.template.macroenabled.12"
    ),
    "application/vnd.ms-excel.sheet.macroenabled.main+xml": "application/vnd.ms-excel.sheet.macroenabled.12",
    "application/vnd.ms-excel.template.macroenabled.main+xml": "application/vnd.ms-excel.template.macroenabled.12",
    "application/vnd.ms-excel.addin.macroenabled.main+xml": "application/vnd.ms-excel.addin.macroenabled.12",
    "application/vnd.ms-excel.sheet.binary.macroenabled.main": "application/vnd.ms-excel.sheet.binary.macroenabled.12",
    "application/vnd.ms-powerpoint.presentation.macroenabled.main+xml": (
        "application/vnd.ms-powerpoint.presentation.macroenabled.12"
    ),
    "application/vnd.ms-powerpoint.template.macroenabled.main+xml": (
        "application/vnd.ms-powerpoint.template.macroenabled.12"
    ),
    "application/vnd.ms-powerpoint.slideshow.macroenabled.main+xml": (
        "application/vnd.ms-powerpoint.slideshow.macroenabled.12"
    ),
    "application/vnd.ms-visio.drawing.main+xml": "application/vnd.ms-visio.drawing",
}

# Whole types first, then the beginnings of families; the longest beginning wins.
_EXACT: Mapping[str, Group] = {
    PDF: Group.DOCUMENT,
    "application/rtf": Group.DOCUMENT,
    "text/rtf": Group.DOCUMENT,
    "application/msword": Group.DOCUMENT,
    "application/vnd.ms-excel": Group.SPREADSHEET,
    "application/vnd.ms-powerpoint": Group.PRESENTATION,
    "application/vnd.visio": Group.DOCUMENT,
    "application/vnd.ms-outlook": Group.DOCUMENT,
    "application/epub+zip": Group.DOCUMENT,
    "application/vnd.google-apps.document": Group.DOCUMENT,
    "application/vnd.google-apps.spreadsheet": Group.SPREADSHEET,
    "application/vnd.google-apps.presentation": Group.PRESENTATION,
    ENCRYPTED_OFFICE: Group.DOCUMENT,
    "application/json": Group.TEXT,
    "application/xml": Group.TEXT,
    "application/yaml": Group.TEXT,
    "application/sql": Group.TEXT,
    "application/javascript": Group.TEXT,
    "message/rfc822": Group.TEXT,
    "text/x-shellscript": Group.EXECUTABLE,
    ZIP: Group.ARCHIVE,
    "application/gzip": Group.ARCHIVE,
    "application/zstd": Group.ARCHIVE,
    "application/x-7z-compressed": Group.ARCHIVE,
    "application/vnd.rar": Group.ARCHIVE,
    "application/x-tar": Group.ARCHIVE,
    "application/x-bzip2": Group.ARCHIVE,
    "application/x-xz": Group.ARCHIVE,
    "application/vnd.ms-cab-compressed": Group.ARCHIVE,
    "application/x-iso9660-image": Group.ARCHIVE,
    "application/vnd.microsoft.portable-executable": Group.EXECUTABLE,
    "application/x-msdos-program": Group.EXECUTABLE,
    "application/x-msi": Group.EXECUTABLE,
    "application/x-ms-shortcut": Group.EXECUTABLE,
    "application/x-executable": Group.EXECUTABLE,
    "application/x-mach-binary": Group.EXECUTABLE,
    "application/java-archive": Group.EXECUTABLE,
    "application/java-vm": Group.EXECUTABLE,
    "application/vnd.android.package-archive": Group.EXECUTABLE,
    "application/vnd.android.dex": Group.EXECUTABLE,
    "application/wasm": Group.EXECUTABLE,
}
_FAMILIES: Mapping[str, Group] = {
    f"{_OPENXML}wordprocessingml.": Group.DOCUMENT,
    f"{_OPENXML}spreadsheetml.": Group.SPREADSHEET,
    f"{_OPENXML}presentationml.": Group.PRESENTATION,
    "application/vnd.ms-word.": Group.DOCUMENT,
    "application/vnd.ms-excel.": Group.SPREADSHEET,
    "application/vnd.ms-powerpoint.": Group.PRESENTATION,
    "application/vnd.ms-visio.": Group.DOCUMENT,
    "application/vnd.oasis.opendocument.text": Group.DOCUMENT,
    "application/vnd.oasis.opendocument.spreadsheet": Group.SPREADSHEET,
    "application/vnd.oasis.opendocument.presentation": Group.PRESENTATION,
    "application/vnd.oasis.opendocument.graphics": Group.IMAGE,
    "image/": Group.IMAGE,
    "text/": Group.TEXT,
}


def group(media_type: str | None) -> Group:
    """The group of a media type; `OTHER` for what is unknown or nothing. Parameters and case do not matter."""
    bare = (media_type or "").partition(";")[0].strip().lower()
    if bare in _EXACT:
        return _EXACT[bare]
    return next((found for start, found in _FAMILIES.items() if bare.startswith(start)), Group.OTHER)
