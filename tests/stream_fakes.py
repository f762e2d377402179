"""A matcher for tests of streaming: card numbers of sixteen digits, each counted once. Made in workers, too."""

from __future__ import annotations

import re

from casb.inspection.spec import Span
from casb.model.file import Finding

CARD = b"4111111111111111"
_CARD = re.compile(rb"(?<!\d)4\d{15}(?!\d)")


class Cards:
    """One text on its way."""

    def __init__(self) -> None:
        self._kept = b""
        self._base = 0
        self._found: dict[bytes, None] = {}

    def feed(self, text: bytes) -> None:
        self._kept += text
        end = max(len(self._kept) - 20, 0)
        self._search(end)
        cut = max(end - 40, 0)
        self._kept, self._base = self._kept[cut:], self._base + cut

    def _search(self, end: int) -> None:
        self._found |= {each[0]: None for each in _CARD.finditer(self._kept) if each.end() <= end}

    def findings(self) -> tuple[Finding, ...]:
        return (Finding(info_type="card", count=len(self._found)),) if self._found else ()

    def finish(self) -> tuple[Finding, ...]:
        self._search(len(self._kept))
        return self.findings()

    def take_spans(self) -> tuple[Span, ...]:
        return ()

    @property
    def settled(self) -> int:
        return max(self._base + len(self._kept) - 40, 0)


class CardMatcher:
    """What makes them."""

    def begin(self, *, spans: bool = False) -> Cards:
        return Cards()


def make(data: bytes) -> CardMatcher:
    """A factory for a `Recipe`; its data says how it goes wrong."""
    if data == b"fail":
        raise ValueError("no matcher")
    return CardMatcher()
