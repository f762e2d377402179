"""Files that travel inside of text: `data:` URLs and base64 in the fields of JSON, forms and messages.

Pasted pictures, attachments of web mail, the contents API of a code host: none of them is a body of its own. Base64
that is a token, a cursor or a picture's hash is no file. So a bare text counts only when something says that it is one:
the field's own name, a file name beside it, or bytes that begin like a file's (`looks_like_file`, from the caller).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from casb.catalog.filenames import clean_name, extension_of

SHORTEST = 256
"""Characters of bare base64 that are looked at; what is shorter is a token. `data:` URLs count from the first byte."""
MOST_FILES = 1000
DEEPEST = 64

type LooksLikeFile = Callable[[bytes], bool]
"""Whether bytes begin as those of a known file type do."""

_RUN = re.compile(rb"(?:[A-Za-z0-9+/_-]|\\/|%2[BbFf]){256}")  # SHORTEST
_BARE = re.compile(r"[A-Za-z0-9+/_-]+={0,2}\Z")
_DATA_URL = re.compile(r"data:([^,;\s]{0,127})((?:;[^,;\s]{1,127})*),", re.IGNORECASE)
_NAMES = ("filename", "file_name", "fileName", "name", "title", "path", "key", "originalName", "displayName")
_TYPES = ("contentType", "content_type", "mimeType", "mime_type", "mimetype", "type", "media_type", "mediaType")
_FIELDS = frozenset(
    "content contentbytes content_bytes contents file filedata file_data data bytes body blob attachment attachments "
    "document base64 b64 b64content base64content raw payload image media binary versiondata".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """A file found in a text. `name` is "" when nothing beside it tells one."""

    name: str
    content_type: str
    content: bytes


def may_hold_files(text: bytes) -> bool:
    """Whether it is worth while to read the text: a cheap look at its bytes."""
    return b"data:" in text or b"base64" in text or b"DATA:" in text or _RUN.search(text) is not None


def files_in(document: Any, looks_like_file: LooksLikeFile) -> Iterator[Embedded]:
    """The files in a JSON document: in any field of any depth up to `DEEPEST`, at most `MOST_FILES`.

    What lies deeper is not looked at; the readers of JSON in use refuse it before.
    """
    left = MOST_FILES
    stack: list[tuple[Any, str, Mapping[str, Any], int]] = [(document, "", {}, 0)]
    while stack and left > 0:
        value, field, beside, depth = stack.pop()
        if isinstance(value, str):
            found = _file(value, field, beside, looks_like_file)
            if found is not None:
                left -= 1
                yield found
        elif depth < DEEPEST and isinstance(value, dict):
            near = value if any(isinstance(each, str) and len(each) < 1024 for each in value.values()) else beside
            stack.extend((each, str(key), near, depth + 1) for key, each in reversed(value.items()))
        elif depth < DEEPEST and isinstance(value, list):
            stack.extend((each, field, beside, depth + 1) for each in reversed(value))


def files_in_text(text: str, looks_like_file: LooksLikeFile) -> Iterator[Embedded]:
    """The `data:` URLs anywhere in a text (markup that was pasted), or the file that the text is."""
    at = 0
    for _ in range(MOST_FILES):
        found = _DATA_URL.search(text, at)
        if found is None:
            break
        end = _end_of_url(text, found.end())
        one = _from_url(found, text[found.end() : end], {})
        if one is not None:
            yield one
        at = max(end, found.end())
    if at == 0:
        whole = _file(text, "", {}, looks_like_file)
        if whole is not None:
            yield whole


def _end_of_url(text: str, at: int) -> int:
    for end in range(at, len(text)):
        if text[end] in "\"'<>) \t\r\n\\":
            return end
    return len(text)


def _file(text: str, field: str, beside: Mapping[str, Any], looks_like_file: LooksLikeFile) -> Embedded | None:
    start = text[:256]
    told = _DATA_URL.match(start.lstrip())
    if told is not None:
        return _from_url(told, text.lstrip()[told.end() :], beside)
    if "data:" in text and len(text) > SHORTEST:
        inside = _DATA_URL.search(text)
        if inside is not None:
            return _from_url(inside, text[inside.end() : _end_of_url(text, inside.end())], beside)
    if len(text) < SHORTEST:
        return None
    compact = text if "\n" not in text and "\r" not in text else text.replace("\r", "").replace("\n", "")
    if not _BARE.match(compact):
        return None
    content = _decoded(compact)
    if content is None:
        return None
    name = _name(beside)
    if not (looks_like_file(content) or field.lower() in _FIELDS or extension_of(name)):
        return None
    return Embedded(name=name, content_type=_type(beside), content=content)


def _from_url(told: re.Match[str], rest: str, beside: Mapping[str, Any]) -> Embedded | None:
    options = told.group(2).lower()
    raw = unquote_to_bytes(rest)
    if ";base64" in options:
        decoded = _decoded(raw.decode("latin-1").translate({9: None, 10: None, 13: None, 32: None}))
        if decoded is None:
            decoded = raw  # Not what it says: judged as it stands, for the app may read more than we do.
    else:
        decoded = raw
    if not decoded:
        return None
    return Embedded(name=_name(beside), content_type=told.group(1).lower(), content=decoded)


def _decoded(text: str) -> bytes | None:
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _name(beside: Mapping[str, Any]) -> str:
    named = ""
    for key in _NAMES:
        value = beside.get(key)
        if isinstance(value, str) and 0 < len(value) < 4096:
            name = clean_name(value)
            if extension_of(name):
                return name
            named = named or name
    return named


def _type(beside: Mapping[str, Any]) -> str:
    for key in _TYPES:
        value = beside.get(key)
        if isinstance(value, str) and "/" in value and len(value) < 128:
            return value.partition(";")[0].strip().lower()
    return ""
