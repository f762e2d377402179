"""What reading a file must answer, as asked by the policies in force."""

from __future__ import annotations

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
