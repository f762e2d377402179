"""Messages with placeholders: what a refused person reads."""

from __future__ import annotations

import re
from collections.abc import Mapping

PLACEHOLDERS: Mapping[str, str] = {
    "user": "what the person signs in with",
    "app": "the app's name",
    "file": "the file's name",
    "policy": "the policy's name",
}
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def wrong_placeholder(text: str) -> str | None:
    """The first placeholder that does not exist, or the first lone brace; None when the text is well."""
    for piece in _PIECE.finditer(text):
        if piece[0] not in ("{{", "}}") and piece[1] not in PLACEHOLDERS:
            return piece[0]
    return None


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with its placeholders filled in. Values are data: braces in them mean nothing, controls are dropped."""

    def value(piece: re.Match[str]) -> str:
        if piece[0] in ("{{", "}}"):
            return piece[0][0]
        text = values.get(piece[1] or "", "")
        return text if text.isprintable() else "".join(char for char in text if char.isprintable())

    return _PIECE.sub(value, text) if "{" in text or "}" in text else text
