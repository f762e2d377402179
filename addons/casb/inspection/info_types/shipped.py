"""The types that come with casb: `data/*.yaml`, one file per category.

In the files an expression is RE2 with one addition: `~` stands for an optional space, dot or hyphen (`\\~` for itself).
`alone: none`, and nothing said where a type has keywords, means that a value counts with a keyword nearby only. In
examples `<x36>` stands for 36 characters drawn by lot, so that no text in this repository looks like a credential.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from casb.inspection.info_types.shape import Confidence, InfoType, Pattern
from casb.model.info_types import CATEGORIES

_DATA = Path(__file__).parent / "data"
_TILDE = re.compile(r"(?<!\\)~")
_LEVELS = {"low": Confidence.LOW, "medium": Confidence.MEDIUM, "high": Confidence.HIGH}


@functools.cache
def shipped() -> Mapping[str, InfoType]:
    """Every type that comes with casb, by id."""
    found: dict[str, InfoType] = {}
    for category in CATEGORIES:
        text = (_DATA / f"{category}.yaml").read_text(encoding="utf-8")
        for each in yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # noqa: S506 - a safe loader
            found[each["id"]] = _type(category, each)
    return found


def chosen(wanted: Iterable[str], types: Mapping[str, InfoType]) -> tuple[InfoType, ...]:
    """The types that some names stand for, categories included; unknown names stand for nothing."""
    names = frozenset(wanted)
    return tuple(each for name, each in sorted(types.items()) if name in names or each.category in names)


def _type(category: str, told: Mapping[str, Any]) -> InfoType:
    keywords = tuple(told.get("keywords", ()))
    return InfoType(
        id=told["id"],
        name=told["name"],
        category=category,
        region=told.get("region", ""),
        doc=told.get("doc", ""),
        keywords=keywords,
        patterns=tuple(_pattern(each, bool(keywords)) for each in told.get("patterns", ())),
        proximity=told.get("proximity", 300),
        matches=tuple(told["matches"]),
        misses=tuple(told["misses"]),
    )


def _pattern(told: Mapping[str, Any], keyed: bool) -> Pattern:
    alone = told.get("alone", "none" if keyed else "high")
    return Pattern(
        expression=_TILDE.sub("[ .-]?", told["expr"]),
        check=told.get("check", ""),
        alone=_LEVELS.get(alone),
        near=_LEVELS[told.get("near", "high")],
        any_case=told.get("any_case", False),
        open=told.get("open", False),
        hint=_TILDE.sub("[ .-]?", told.get("hint", "")),
    )


_CLASSES = {
    "d": "0123456789",
    "h": "0123456789abcdef",
    "H": "0123456789ABCDEF",
    "a": "abcdefghijklmnopqrstuvwxyz",
    "A": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "l": "abcdefghijklmnopqrstuvwxyz0123456789",
    "U": "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "x": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
}


def spelled_out(example: str) -> str:
    """An example with its lots drawn, the same each time."""

    def draw(found: re.Match[str]) -> str:
        letters, count = _CLASSES[found[1]], int(found[2])
        lots = hashlib.shake_128(f"{example}{found.start()}".encode()).digest(count)
        return "".join(letters[lot % len(letters)] for lot in lots)

    return re.sub(r"<([a-zA-Z])([0-9]{1,3})>", draw, example)
