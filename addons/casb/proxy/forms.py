"""The files of a held request body: form parts one by one, or a JSON message about a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from casb.catalog.bodies import FormFiles, NameSource, json_name, name_source
from casb.catalog.filenames import parse_disposition
from casb.errors import ContentError
from casb.model.activity import RequestFacts
from casb.model.app import App


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedFile:
    """One file of a form and its bytes; none for a message about a file."""

    name: str
    content_type: str
    content: bytes


def files(app: App, request: RequestFacts, content_type: bytes, body: bytes) -> list[UploadedFile]:
    """The files of the body. Raises `ContentError` when it is not what its type says."""
    source = name_source(app, request)
    if source is NameSource.JSON:
        name = json_name(app, request, body)
        return [UploadedFile(name=name, content_type="", content=b"")] if name else []
    return form_files(content_type.decode("latin-1"), body) if source is NameSource.FORM else []


def form_files(content_type: str, body: bytes) -> list[UploadedFile]:
    """The parts of `multipart/form-data` (RFC 7578) that hold a file, in order.

    Raises `ContentError` U002 when the body is no whole form.
    """
    reader = FormFiles(content_type)
    reader.feed(body)
    if not reader.finished:
        raise ContentError("U002", "the form has no end")
    _, options = parse_options_header(content_type)
    collector = _Collector()
    try:
        parser = MultipartParser(options[b"boundary"], collector.callbacks())
        parser.write(body)
    except (MultipartParseError, KeyError) as error:
        raise ContentError("U002", f"the form cannot be read: {type(error).__name__}") from None
    return collector.files


class _Collector:
    """Keeps the parts with a file name."""

    def __init__(self) -> None:
        self.files: list[UploadedFile] = []
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._content = bytearray()

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_part_data": lambda data, start, end: self._content.extend(data[start:end]),
            "on_part_end": self._end,
        }

    def _begin(self) -> None:
        self._headers = {}
        self._content = bytearray()

    def _header_end(self) -> None:
        self._headers[bytes(self._header).strip().lower()] = bytes(self._value).strip()
        self._header.clear()
        self._value.clear()

    def _end(self) -> None:
        told = parse_disposition(self._headers.get(b"content-disposition", b"").decode("utf-8", "surrogateescape"))
        if told.filename is None or (not told.filename and not self._content):
            return
        kind = self._headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
        self.files.append(UploadedFile(name=told.filename, content_type=kind, content=bytes(self._content)))
