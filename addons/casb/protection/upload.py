"""The file in a posted form (RFC 7578), push style: parts of the body in, the file's bytes out.

For the page on which a person opens a protected file again: the file streams from the form into an `Opener`, and is
at no time held as a whole.
"""

from __future__ import annotations

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from casb.errors import ContentError

_HEADERS = 16 * 1024
_OTHER = 64 * 1024


class FormFile:
    """The first part that has a file name. Other parts may be small form fields; they are skipped."""

    def __init__(self, content_type: str) -> None:
        """`content_type` is the request's header. Raises `ContentError` F010 when it is not that of such a form."""
        kind, options = parse_options_header(content_type if content_type.isascii() else None)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 0 < len(boundary) <= 70:
            raise ContentError("F010", "the request is not a form with a file")
        self.name: str | None = None
        self.complete = False  # whether the file has been read to its end
        self._ready: list[bytes] = []
        self._field = self._value = b""
        self._in_file = False
        self._skipped = 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header_end,
                "on_part_data": self._data,
                "on_part_end": self._end,
            },
        )

    def update(self, chunk: bytes) -> bytes:
        """Bytes of the file that are ready; may be empty. Raises `ContentError` F010."""
        try:
            self._parser.write(chunk)
        except MultipartParseError:
            raise ContentError("F010", "the form is malformed") from None
        ready = b"".join(self._ready)
        self._ready.clear()
        return ready

    def finish(self) -> None:
        """To be called at the end of the body. Raises `ContentError` F010 unless there was a whole file."""
        if not self.complete:
            raise ContentError("F010", "the form holds no whole file")

    def _begin(self) -> None:
        self._field = self._value = b""
        self._in_file = False

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]
        self._limit(len(self._field))

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._limit(len(self._value))

    def _on_header_end(self) -> None:
        if self._field.lower() == b"content-disposition" and self.name is None:
            name = parse_options_header(self._value)[1].get(b"filename")
            if name is not None:
                self.name = name.decode("utf-8", "replace")
                self._in_file = True
        self._field = self._value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._ready.append(data[start:end])
            return
        self._skipped += end - start
        if self._skipped > _OTHER:
            raise ContentError("F010", "the form holds more than a file")

    def _end(self) -> None:
        self.complete |= self._in_file
        self._in_file = False

    def _limit(self, length: int) -> None:
        if length > _HEADERS:
            raise ContentError("F010", "a header in the form is too long")
