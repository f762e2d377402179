"""What reading a file must answer, as asked by the policies in force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from casb.model.file import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where a value stands: byte offsets of the UTF-8 text that was fed. What is masked is masked by these."""

    start: int
    end: int
    info_type: str
    confidence: int


class TextScan(Protocol):
    """One text on its way through a matcher: push style, any chunking gives the same findings."""

    def feed(self, text: bytes) -> None:
        """The next piece, in UTF-8; a character may be cut in two by the end of a piece."""

    def findings(self) -> tuple[Finding, ...]:
        """What is certain so far: grows only. For a stream that may be stopped in the middle."""

    def finish(self) -> tuple[Finding, ...]:
        """All findings. Nothing may be fed afterwards."""

    def take_spans(self) -> tuple[Span, ...]:
        """The places found since this was last asked, for those who change the text and began with `spans`."""

    @property
    def settled(self) -> int:
        """No value that is yet to be found begins before this offset."""


class TextMatcher(Protocol):
    """Sensitive information types, compiled: made once per set of policies, used for many texts."""

    def begin(self, *, spans: bool = False) -> TextScan:
        """Start one text. With `spans` the places of all values are kept until `take_spans` is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How another process makes an object that cannot be sent: `factory` is `module:function`, called with `data`.

    For a `TextMatcher`, and for a file that is not plain on disk (its factory gives a seekable binary file). `digest`
    names what comes of it: objects of one digest are made once per process and kept. A factory must be one of ours.
    """

    factory: str
    data: bytes
    digest: str = ""
