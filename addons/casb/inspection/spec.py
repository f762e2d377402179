"""What reading a file must answer, as asked by the policies in force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from casb.model.file import Finding


class TextScan(Protocol):
    """One text on its way through a matcher: push style, any chunking gives the same findings."""

    def feed(self, text: bytes) -> None:
        """The next piece, in UTF-8; a character may be cut in two by the end of a piece."""

    def findings(self) -> tuple[Finding, ...]:
        """What is certain so far: grows only. For a stream that may be stopped in the middle."""

    def finish(self) -> tuple[Finding, ...]:
        """All findings. Nothing may be fed afterwards."""


class TextMatcher(Protocol):
    """Sensitive information types, compiled: made once per set of policies, used for many texts."""

    def begin(self) -> TextScan:
        """Start one text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How another process makes an object that cannot be sent: `factory` is `module:function`, called with `data`.

    For a `TextMatcher`, and for a file that is not plain on disk (its factory gives a seekable binary file). `digest`
    names what comes of it: objects of one digest are made once per process and kept. A factory must be one of ours.
    """

    factory: str
    data: bytes
    digest: str = ""
