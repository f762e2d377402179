"""Multipart request bodies (RFC 7578, RFC 2046, RFC 2387), read the one way that every application reads them.

Two parsers that disagree on one body see different files in it: whoever wants to pass a policy by sends what we read
one way and the app another. So this reader knows no leniency. A body has a meaning here only when it is written as
browsers and the usual libraries write it; whatever a careless parser could read in another way is refused (U002).
"""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from casb.catalog.filenames import parse_disposition
from casb.catalog.media import Kind, kind_of
from casb.errors import ContentError

MOST_PARTS = 10_000
LONGEST_HEAD = 16 * 1024
"""Bytes of a part's header section: room for a name of 4 KB in percent escapes."""

_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=?-]{1,200}\Z")
_PARAMETER = re.compile(rb";[ \t]*([!#$&+.^_`|~0-9A-Za-z*'%-]+)=(\"(?:[^\"\\]|\\.)*\"|[^\s;\"\\]+)[ \t]*", re.DOTALL)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LIKE_A_PARAMETER = re.compile(rb"[;\s]\s*(?:file)?name\*?\d*\s*=", re.IGNORECASE)
_PLAIN_ENCODINGS = frozenset((b"", b"7bit", b"8bit", b"binary"))
_FILES = frozenset((Kind.FILE, Kind.PICTURE, Kind.PAGE, Kind.ASSET))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part. `start` and `end` bound it with its delimiter; `at` is where its content begins, `end` where it ends.

    `filename` is cleaned; None: it names no file. `content_type` is what the sender claims, "" when it claims none.
    """

    field: str
    filename: str | None
    content_type: str
    encoding: bytes
    start: int
    at: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Multipart:
    """A body and its parts, in order."""

    body: bytes
    parts: tuple[Part, ...]
    tail: int  # where the closing delimiter begins

    def content(self, part: Part) -> bytes:
        """The bytes of a part, a transfer encoding undone. Raises `ContentError` (U002) when it cannot be."""
        raw = self.body[part.at : part.end]
        if part.encoding in _PLAIN_ENCODINGS:
            return raw
        try:
            return base64.b64decode(raw.translate(None, b"\r\n"), validate=True)
        except binascii.Error:
            raise _refused("a part is not the base64 that it says it is") from None

    def files(self) -> list[Part]:
        """The parts that hold a file: named ones, and nameless ones of a type that only files have.

        A file input left empty (`filename=""` and no byte of content) is none.
        """
        return [each for each in self.parts if _is_file(each)]

    def fields(self) -> dict[str, str]:
        """The parts that are no file, as text; of a field that comes twice, the first."""
        found: dict[str, str] = {}
        for each in self.parts:
            if each.filename is None and each.end - each.at <= 65_536:
                found.setdefault(each.field, self.body[each.at : each.end].decode("utf-8", "replace"))
        return found

    def without(self, parts: Collection[Part]) -> bytes:
        """The body without these parts; all other bytes are as they were."""
        gone = {each.start for each in parts}
        kept = [self.body[each.start : each.end + 2] for each in self.parts if each.start not in gone]
        return b"".join(kept) + self.body[self.tail :]


def _is_file(part: Part) -> bool:
    if part.filename is not None:
        return part.filename != "" or part.end > part.at
    return part.end > part.at and bool(part.content_type) and kind_of(part.content_type) in _FILES


def read_form(content_type: bytes, body: bytes) -> Multipart:
    """A `multipart/form-data` body. `content_type` is the whole header.

    Raises `ContentError` (U002) when it is malformed, or could be read in more than one way.
    """
    return _read(content_type, body, form=True)


def read_multipart(content_type: bytes, body: bytes) -> Multipart:
    """Any other multipart body (`multipart/related`, `multipart/mixed`). Raises `ContentError` (U002), see above."""
    return _read(content_type, body, form=False)


def boundary_of(content_type: bytes) -> bytes:
    """The boundary that a `Content-Type` names, by RFC 2046 section 5.1.1, quoted or not. Raises U002."""
    _, semicolon, rest = content_type.partition(b";")
    found = [value for name, value in _parameters(semicolon + rest) if name == b"boundary"]
    if len(found) != 1 or b"boundary*" in content_type.lower():
        raise _refused("it names no boundary between its parts, or more than one")
    if not _BOUNDARY.match(found[0]):
        raise _refused("its boundary is none by RFC 2046")
    return found[0]


def _refused(why: str) -> ContentError:
    return ContentError("U002", f"the form cannot be read: {why}")


def _read(content_type: bytes, body: bytes, *, form: bool) -> Multipart:
    delimiter = b"--" + boundary_of(content_type)
    places = _places(delimiter, body)
    parts = []
    for start, end in itertools.pairwise(places):
        parts.append(_part(body, start, start + len(delimiter) + 2, end - 2, form=form))
    return Multipart(body=body, parts=tuple(parts), tail=places[-1])


def _places(delimiter: bytes, body: bytes) -> list[int]:
    """Where the delimiters are. They occur nowhere else: some parsers would split there."""
    at = 2 if body.startswith(b"\r\n" + delimiter) else 0
    if not body.startswith(delimiter, at):
        raise _refused("it does not begin with its boundary")
    places: list[int] = []
    width = len(delimiter)
    while True:
        if places and body[at - 2 : at] != b"\r\n":
            raise _refused("its boundary is also inside a part")
        places.append(at)
        if len(places) > MOST_PARTS + 1:
            raise _refused(f"it has more than {MOST_PARTS} parts")
        after = body[at + width : at + width + 2]
        if after == b"--":
            if body[at + width + 2 :] not in (b"", b"\r\n"):
                raise _refused("something follows its end")
            return places
        if after != b"\r\n":
            raise _refused("a line begins with its boundary and goes on")
        at = body.find(delimiter, at + width)
        if at < 0:
            raise _refused("it has no end")


def _part(body: bytes, start: int, head: int, end: int, *, form: bool) -> Part:
    blank = body.find(b"\r\n\r\n", head - 2, max(end, head) + 2)
    if blank < 0 or blank + 4 > end:
        raise _refused("a part has no end of its header")
    if blank - head > LONGEST_HEAD:
        raise _refused("a part's header is too long")
    headers = _headers(body[head:blank] if blank > head else b"")
    kind = headers.get(b"content-type", b"")
    media_type = kind.partition(b";")[0].strip().lower().decode("latin-1")
    if media_type.startswith("multipart/"):
        raise _refused("a part is a form of its own")
    encoding = headers.get(b"content-transfer-encoding", b"").strip().lower()
    if encoding not in _PLAIN_ENCODINGS and (form or encoding != b"base64"):
        raise _refused("a part is in an encoding that forms do not have")
    disposition = headers.get(b"content-disposition")
    if disposition is None and form:
        raise _refused("a part does not say what it is")
    field, filename = _disposition(disposition or b"", form=form)
    return Part(
        field=field,
        filename=filename,
        content_type=media_type,
        encoding=encoding,
        start=start,
        at=blank + 4,
        end=end,
    )


def _headers(block: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for line in block.split(b"\r\n") if block else ():
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.match(name):
            raise _refused("a part's header is malformed")
        if _CONTROL.search(value):
            raise _refused("a part's header has control characters in it")
        name = name.lower()
        if name in found:
            raise _refused("a part's header says the same twice")
        found[name] = value.strip(b" \t")
    return found


def _parameters(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The parameters of a header's value by RFC 9110 section 5.6.6, names in lower case, values without quotes."""
    at = 0
    while at < len(text):
        found = _PARAMETER.match(text, at)
        if found is None:
            if not text[at:].strip(b"; \t"):
                return
            raise _refused("a header's parameters are malformed")
        name, value = found.group(1).lower(), found.group(2)
        if value.startswith(b'"'):
            value = value[1:-1]
            # Some undo the escape, some end the value there, some keep the backslash of `C:\\a.txt`.
            if b'\\"' in value or value.endswith(b"\\"):
                raise _refused("a name ends in more than one way")
        yield name, value
        at = found.end()


def _disposition(value: bytes, *, form: bool) -> tuple[str, str | None]:
    """The field's name and the file's name."""
    kind, semicolon, rest = value.partition(b";")
    if form and kind.strip().lower() != b"form-data":
        raise _refused("a part is of another kind")
    found: dict[bytes, bytes] = {}
    for name, text in _parameters(semicolon + rest):
        if name in found:
            raise _refused("a part has two names")
        if (b"name" in name or b"*" in name) and name not in (b"name", b"filename", b"filename*"):
            raise _refused("a part's name comes in pieces")  # RFC 2231 section 3: few parsers know it
        if _LIKE_A_PARAMETER.search(text):
            raise _refused("a name looks like another parameter")
        found[name] = text
    field = found.get(b"name", b"").decode("utf-8", "replace")
    names = set()
    if b"filename*" in found:  # Not for forms (RFC 7578 section 4.2), and some libraries send it all the same.
        names.add(_told(b"filename*=" + found[b"filename*"]))
    if b"filename" in found:
        names.add(_told(b'filename="' + found[b"filename"] + b'"'))
    if len(names) > 1:
        raise _refused("a part has two names")
    return field, names.pop() if names else None


def _told(parameter: bytes) -> str:
    return parse_disposition("form-data; " + parameter.decode("utf-8", "surrogateescape")).filename or ""
