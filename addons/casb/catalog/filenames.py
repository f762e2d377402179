"""File names as headers and addresses tell them, made safe to show, to compare and to save.

Sources: RFC 6266 and RFC 8187 (`Content-Disposition`), RFC 5023 section 9.7 (`Slug`), tus 1.0 (`Upload-Metadata`),
and what browsers do beyond them. A name is a claim: what a file is, its bytes say.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from email.header import decode_header
from urllib.parse import unquote, unquote_to_bytes

MAX_NAME = 255
_LONGEST_HEADER = 8192
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"?|[^;]*)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_NAMING_HEADERS = ("x-file-name", "x-filename", "x-upload-filename", "slug")


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposition:
    """A `Content-Disposition`. A type that is not `inline`, `form-data` or absent means attachment (RFC 6266, 4.2)."""

    attachment: bool = False
    name: str | None = None  # the field's name in form data
    filename: str | None = None  # cleaned; "" when it is given and empty


def parse_disposition(value: str) -> Disposition:
    """Reads the header's value. Any text gives a `Disposition`; what cannot be read is left out.

    `filename*` wins over `filename`, as in RFC 6266 section 4.3; of repeated parameters the first counts.
    """
    value = value[:_LONGEST_HEADER]
    kind, semicolon, _ = value.partition(";")
    kind = kind.strip().lower()
    if "=" in kind:  # `filename=x` without a type: browsers take that for inline, and the name is still one.
        value, kind = f";{value}", ""
    parameters: dict[str, str] = {}
    for name, raw in _PARAMETER.findall(value if semicolon or not kind else ""):
        parameters.setdefault(name.lower(), raw)
    filename = _extended(parameters.get("filename*", ""))
    if filename is None and "filename" in parameters:
        filename = _plain(parameters["filename"])
    if filename is None and any(name.startswith("filename") for name in parameters):
        filename = ""  # Split or spoilt (RFC 2231 `filename*0`): there is a file, its name is not known.
    return Disposition(
        attachment=kind not in ("", "inline", "form-data"),
        name=_unquoted(parameters["name"]) if "name" in parameters else None,
        filename=None if filename is None else clean_name(filename),
    )


def upload_name(headers: Mapping[str, str]) -> str | None:
    """The file name that an upload's request headers tell, or None. `headers` has lower-case keys.

    >>> upload_name({"x-file-name": "Zahlen%202024.xlsx"})
    'Zahlen 2024.xlsx'
    """
    disposition = headers.get("content-disposition")
    if disposition:
        name = parse_disposition(disposition).filename
        if name:
            return name
    for header in _NAMING_HEADERS:
        value = headers.get(header)
        if value:
            name = clean_name(unquote(_readable(value[:_LONGEST_HEADER])))
            if name:
                return name
    metadata = headers.get("upload-metadata")
    return _tus_name(metadata[:_LONGEST_HEADER]) if metadata else None


def name_in_path(path: str) -> str:
    """The last segment of an address's path, decoded and cleaned; "" when the path ends in a slash."""
    return clean_name(unquote(path[path.rfind("/") + 1 :]))


def clean_name(name: str) -> str:
    """`name` without folders, control characters and invisible formatting, at most 255 characters long.

    Formatting characters (Unicode category Cf) go because U+202E makes `fdp.exe` look like `exe.pdf`.
    """
    name = name.replace("\\", "/")
    name = name[name.rfind("/") + 1 :]
    if not (name.isascii() and name.isprintable()):
        name = unicodedata.normalize("NFC", _readable(name))
        name = "".join(each for each in name if each.isprintable() or unicodedata.category(each) == "Zs")
        name = "".join(each if each.isprintable() else " " for each in name)
    name = name.strip()
    if len(name) > MAX_NAME:
        stem, dot, extension = name.rpartition(".")
        tail = dot + extension if dot and len(extension) <= 16 else ""
        name = (stem if tail else name)[: MAX_NAME - len(tail)] + tail
    return "" if name in (".", "..") else name


def extension_of(name: str) -> str:
    """The text after the last dot in lower case; "" without one.

    Trailing dots and blanks do not count, and neither does an NTFS stream (`a.exe::$DATA`): Windows drops them.
    """
    _, dot, extension = name.rstrip(". ").rpartition(".")
    return extension.partition(":")[0].strip().lower() if dot else ""


def _extended(raw: str) -> str | None:
    """RFC 8187 `charset'language'percent-encoded`."""
    charset, quote, rest = raw.strip().strip('"').partition("'")
    _, second, encoded = rest.partition("'")
    if not quote or not second:
        return None
    try:
        return unquote_to_bytes(encoded).decode(charset.strip() or "utf-8", "replace")
    except (LookupError, UnicodeError):
        return None


def _plain(raw: str) -> str:
    text = _readable(_unquoted(raw))
    if text.startswith("=?"):  # RFC 2047 is not for HTTP, but servers send it and Chromium reads it.
        try:
            return "".join(
                part if isinstance(part, str) else part.decode(charset or "latin-1", "replace")
                for part, charset in decode_header(text)
            )
        except (LookupError, ValueError, binascii.Error):
            return text
    return unquote(text) if "%" in text else text  # Chromium decodes percents here, and so must the policy's view.


def _unquoted(raw: str) -> str:
    raw = raw.strip()
    if not raw.startswith('"'):
        return raw
    inner = raw[1:-1] if len(raw) > 1 and raw.endswith('"') else raw[1:]
    return _ESCAPED.sub(r"\1", inner) if re.search(r'\\["\\]', inner) else inner


def _readable(text: str) -> str:
    """Undoes surrogate escapes, in which bytes that are no UTF-8 travel in `str`: such bytes are Latin-1."""
    if text.isascii():
        return text
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeError:
        raw = text.encode("utf-8", "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeError:
        return raw.decode("latin-1")


def _tus_name(metadata: str) -> str | None:
    for pair in metadata.split(","):
        key, _, encoded = pair.strip().partition(" ")
        if key.lower() in ("filename", "name"):
            try:
                name = clean_name(base64.b64decode(encoded, validate=True).decode("utf-8", "replace"))
            except (binascii.Error, ValueError):
                continue
            if name:
                return name
    return None
