"""Where in a request's body an upload tells its file name, and how to read it from there.

The head of a request does not say whether its form holds a file. These readers keep nothing of a body but names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from casb.catalog.filenames import clean_name, parse_disposition
from casb.catalog.recognise import hides_upload, signature_of
from casb.errors import ContentError
from casb.model.activity import ActivityType, RequestFacts
from casb.model.app import App

LONGEST_JSON = 1024 * 1024
"""A body with a file name in a field is a message about a file, not the file."""
_MOST_PARTS = 10_000


class NameSource(Enum):
    """Where the file name of an upload is."""

    FORM = "form"  # in the heads of multipart parts, anywhere in the body
    JSON = "json"  # in a field of a JSON body


def name_source(app: App | None, request: RequestFacts) -> NameSource | None:
    """Where the body holds the name of the file, when only the body does; None when reading it would tell nothing."""
    if request.upload_name is not None:
        return None
    form = request.content_type == "multipart/form-data"
    signature = signature_of(app, request)
    if signature is None or hides_upload(signature, request):
        return NameSource.FORM if form else None
    if signature.activity != ActivityType.UPLOAD:
        return None
    if signature.name_field:
        return NameSource.JSON
    # What the signature calls an upload is one, with or without a file in a form: unless it speaks of forms.
    return NameSource.FORM if form and request.content_type in signature.content_types else None


def json_name(app: App | None, request: RequestFacts, body: bytes) -> str:
    """The file name in the field that the app's signature names; "" when there is none.

    Raises `ContentError` (U001) when the body is too long or not the JSON object that the signature promises.
    """
    signature = signature_of(app, request)
    field = signature.name_field if signature else ""
    if len(body) > LONGEST_JSON:
        raise ContentError("U001", f"the body with the file name is longer than {LONGEST_JSON} bytes")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ContentError("U001", "the body with the file name is not JSON") from None
    if not isinstance(document, dict):
        raise ContentError("U001", "the body with the file name is not a JSON object")
    name = document.get(field)
    return clean_name(name) if isinstance(name, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """A part of a form that holds a file. `content_type` is what the sender claims, "" when it claims none."""

    name: str
    content_type: str = ""


class FormFiles:
    """Reads `multipart/form-data` (RFC 7578) as it passes and gives its files, each as soon as its head is complete.

    A file input left empty (`filename=""` and no byte of content) is no file, but its content may follow later: so an
    empty name is reported when the first byte of it comes.
    """

    def __init__(self, content_type: str) -> None:
        """`content_type` is the whole header. Raises `ContentError` (U002) when it names no boundary."""
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= 256:
            raise ContentError("U002", "the form names no boundary between its parts")
        self._found: list[FilePart] = []
        self._parts = 0
        self._field = bytearray()
        self._value = bytearray()
        self._disposition = ""
        self._type = ""
        self._nameless = False
        self.finished = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._header,
                "on_headers_finished": self._headers,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> list[FilePart]:
        """The files whose heads ended in this piece.

        Raises `ContentError` (U002) when the body is no form: what cannot be read by us might still be by the app.
        """
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise ContentError("U002", f"the form cannot be read: {type(error).__name__}") from None
        found, self._found = self._found, []
        return found

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise ContentError("U002", f"the form has more than {_MOST_PARTS} parts")
        self._disposition = self._type = ""
        self._nameless = False

    def _header(self) -> None:
        field = bytes(self._field).strip().lower()
        value = bytes(self._value).decode("utf-8", "surrogateescape").strip()
        self._field.clear()
        self._value.clear()
        if field == b"content-disposition":
            if self._disposition:  # The app might go by the other one.
                raise ContentError("U002", "a part of the form has two dispositions")
            self._disposition = value
        elif field == b"content-type":
            self._type = value.partition(";")[0].strip().lower()

    def _headers(self) -> None:
        name = parse_disposition(self._disposition).filename
        if name:
            self._found.append(FilePart(name=name, content_type=self._type))
        else:
            self._nameless = name is not None

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._nameless and end > start:
            self._nameless = False
            self._found.append(FilePart(name="", content_type=self._type))

    def _end(self) -> None:
        self.finished = True
