"""What may be shown of a finding: where it stood and what surrounded it, never the value."""

from __future__ import annotations

import re

CONTEXT = 100
"""Characters shown on either side."""

_TOKEN = re.compile(r"[^\s]*[0-9@][^\s]*|[^\s]{20,}")


def excerpt(before: bytes, value: bytes, after: bytes, *, last_four: bool) -> str:
    """One line: `X` for each character of the value, or all but its last four; around it `#` for whatever might be a
    value itself (words with digits, addresses, very long words)."""
    text = value.decode("utf-8", "replace")
    shown = text[-4:] if last_four and len(text) >= 12 else ""
    masked = "".join(char if char in " .-/" else "X" for char in text[: len(text) - len(shown)]) + shown
    head = before.decode("utf-8", "replace")[-CONTEXT:]
    tail = after.decode("utf-8", "replace")[:CONTEXT]
    return (_line(_hidden(head)) + masked + _line(_hidden(tail))).strip()


def _hidden(text: str) -> str:
    return _TOKEN.sub(lambda found: re.sub(r"[^\s.,;:!?()-]", "#", found[0]), text)


def _line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
