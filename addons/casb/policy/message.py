"""Messages with placeholders, in one language or several: what a person who is stopped or told reads.

A message is plain text. Whoever shows it encodes it for where it is shown; nothing here is markup.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from casb.model.activity import Activity

PLACEHOLDERS: Mapping[str, str] = {
    "user": "what the person signs in with",
    "app": "the app's name",
    "file": "the file's name",
    "policy": "the policy's name",
    "label": "the file's sensitivity label",
    "findings": "which sensitive information types were found, and how many of each",
    "activity": "the activity, such as download",
}
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
FALLBACK = "en"


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


def values_of(activity: Activity, policy: str) -> Mapping[str, str]:
    """What the placeholders stand for. Never what was matched: types and counts alone."""
    file = activity.file
    label = (file.label or (file.verdict.label if file.verdict else None)) if file else None
    verdict = file.verdict if file else None
    found = sorted((each.info_type, each.count) for each in verdict.findings) if verdict else ()
    return {
        "user": activity.user.name if activity.user else "you",
        "app": activity.app.name if activity.app else "this app",
        "file": file.name if file and file.name else "this file",
        "policy": policy,
        "label": label or "no label",
        "findings": ", ".join(f"{name} ({count})" for name, count in found) or "nothing",
        "activity": activity.type.value,
    }


def is_language(tag: str) -> bool:
    """Whether it has the form of a language tag (BCP 47, RFC 5646)."""
    return _TAG.fullmatch(tag) is not None


def fallback(texts: Mapping[str, str]) -> str:
    """The text for people whose language is not there: English where there is one, else the first."""
    return texts.get(FALLBACK) or next(iter(texts.values()), "")


def choose(accepted: str, offered: Mapping[str, str], default: str = "") -> str:
    """The key of `offered` for an `Accept-Language` header (RFC 9110 section 12.5.4; lookup of RFC 4647 section 3.4).

    `de-AT` finds `de-AT`, then `de`; then `de-CH`, which is better than another language. Never raises.
    """
    known = {each.lower(): each for each in offered}
    for tag in _preferred(accepted[:1000]):
        wanted = tag
        while wanted:
            if wanted in known:
                return known[wanted]
            wanted = wanted.rpartition("-")[0]
        base = tag.partition("-")[0]
        for low in known:
            if low.partition("-")[0] == base:
                return known[low]
    return default


def _preferred(accepted: str) -> list[str]:
    ranked: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted.lower().split(",")):
        tag, _, parameter = part.partition(";")
        name, _, value = parameter.strip().partition("=")
        try:
            quality = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            continue
        if 0 < quality <= 1 and is_language(tag.strip()):
            ranked.append((-quality, place, tag.strip()))
    return [tag for _, _, tag in sorted(ranked)]
