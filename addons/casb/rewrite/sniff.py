"""What a body or a script is by its first bytes.

Bodies without a type are taken as browsers take them: HTML, else not ours (MIME Sniffing, section 7.1). Inline scripts
that hand over React Server Components ("Flight") are data in a format of their own: rows whose length may stand in
front of them, and the texts that hydration compares with the page's, where they are not changed either.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from casb.rewrite.scan import BodyRewriter

_HEAD = 1445
"""As many bytes as browsers look at."""
_SIGNATURE = re.compile(
    rb"(?:\xef\xbb\xbf)?[\t\n\f\r ]*"
    rb"(?:<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p)[ >]|<!--)",
    re.IGNORECASE,
)
_LONGEST = 16


def looks_like_html(head: bytes, final: bool) -> bool | None:
    """Is this the beginning of a page? None while it is too early to say."""
    if _SIGNATURE.match(head):
        return True
    if final or len(head) >= _HEAD or len(head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\t\n\f\r ")) > _LONGEST:
        return False
    return None


_FLIGHT = re.compile(rb"[\t\n\r ]*\(?(?:self|window|globalThis)\.__(?:next_f|FLIGHT_DATA)(?![A-Za-z0-9_$])")
_FLIGHT_HEAD = 40


def is_plain_script(head: bytes, final: bool) -> bool | None:
    """Is this the beginning of a script that hands over no server components? None while it is too early to say."""
    if len(head.lstrip(b"\t\n\r ")) < _FLIGHT_HEAD and len(head) < _HEAD and not final:
        return None
    return _FLIGHT.match(head) is None


class Sniffed:
    """A `BodyRewriter` that goes to work only when the first bytes say so."""

    __slots__ = ("_held", "_inner", "_is", "_known")

    def __init__(self, inner: BodyRewriter, is_it: Callable[[bytes, bool], bool | None]) -> None:
        self._inner, self._is = inner, is_it
        self._known: bool | None = None
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        if self._known is None:
            self._held += chunk
            self._known = self._is(self._held, False)
            if self._known is None:
                return b""
            chunk, self._held = self._held, b""
        return self._inner.feed(chunk) if self._known else chunk

    def finish(self) -> bytes:
        if self._known is None:
            return self._inner.feed(self._held) + self._inner.finish() if self._is(self._held, True) else self._held
        return self._inner.finish() if self._known else b""
