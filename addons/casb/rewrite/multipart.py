"""`multipart/form-data` (RFC 7578) as a stream: fields have suffix hosts mapped back, files go through as they are."""

from __future__ import annotations

import re

from casb.rewrite.hosts import HostMap
from casb.rewrite.scan import BodyRewriter, names_to_origin

_MAX_HEADERS = 16 * 1024  # a longer part header ends rewriting for the rest of the body
_FILE = re.compile(rb"^content-disposition[ \t]*:[^\r\n]*;[ \t]*filename\*?[ \t]*=", re.IGNORECASE | re.MULTILINE)


class MultipartRewriter:
    """A `BodyRewriter`. Anything that is not well-formed goes through as it is."""

    __slots__ = ("_delimiter", "_field", "_held", "_hosts", "_in_headers", "_off", "_skip")

    def __init__(self, hosts: HostMap, boundary: bytes) -> None:
        self._hosts = hosts
        self._delimiter = b"\r\n--" + boundary
        self._held = b"\r\n"  # the first delimiter has none before it
        self._skip = 2  # how much of what is held is not to come out
        self._field: BodyRewriter | None = None
        self._in_headers = False
        self._off = False

    def feed(self, chunk: bytes) -> bytes:
        if self._off:
            return chunk
        data = self._held + chunk
        out: list[bytes] = []
        at = 0
        while (step := self._step(data, at, out)) != at:
            at = step
        self._held = data[at:]
        return self._emit(out)

    def finish(self) -> bytes:
        out = [self._change(self._held)]
        if self._field:
            out.append(self._field.finish())
        self._held = b""
        return self._emit(out)

    def _emit(self, out: list[bytes]) -> bytes:
        data = b"".join(out)
        cut = min(self._skip, len(data))
        self._skip -= cut
        return data[cut:]

    def _change(self, data: bytes) -> bytes:
        return self._field.feed(data) if self._field else data

    def _step(self, data: bytes, at: int, out: list[bytes]) -> int:
        if self._off:
            out.append(data[at:])
            return len(data)
        if self._in_headers:
            return self._headers(data, at, out)
        found = data.find(self._delimiter, at)
        if found < 0:
            keep = max(at, len(data) - len(self._delimiter) + 1)
            cut = data.find(b"\r", keep)
            end = len(data) if cut < 0 else cut
            if end > at:
                out.append(self._change(data[at:end]))
            return end
        out.append(self._change(data[at:found]))
        if self._field:
            out.append(self._field.finish())
            self._field = None
        out.append(self._delimiter)
        self._in_headers = True
        return found + len(self._delimiter)

    def _headers(self, data: bytes, at: int, out: list[bytes]) -> int:
        end = data.find(b"\r\n\r\n", at)
        if end < 0 or end - at > _MAX_HEADERS:
            self._off = data[at : at + 2] == b"--" or len(data) - at > _MAX_HEADERS + 4
            return self._step(data, at, out) if self._off and at < len(data) else at
        if data[at : at + 2] == b"--":
            self._off = True
            return self._step(data, at, out)
        head = data[at:end]
        out.append(data[at : end + 2])  # the second CRLF may begin the next delimiter: an empty part
        self._in_headers = False
        self._field = None if _FILE.search(head) else names_to_origin(self._hosts)
        return end + 2
