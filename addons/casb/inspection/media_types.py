"""The media types that `filetype` gives, where they need a name; policies know their groups (`policy.filetypes`)."""

from __future__ import annotations

from collections.abc import Mapping

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
