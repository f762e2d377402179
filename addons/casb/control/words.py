"""What our pages and dialogs say, in the reader's language: one file of `texts/` per language.

A further language is a further file with the same names, complete: a house rule of the tests. Values that are put in
are data; whoever writes a page encodes the whole sentence for where it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from casb.model.decision import Decision
from casb.policy.message import FALLBACK, choose, fallback, fill


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One language. `tag` and `direction` go onto the page (`lang`, `dir`)."""

    tag: str
    direction: str
    texts: Mapping[str, str]

    def __call__(self, name: str, **values: str) -> str:
        """A text with its values put in. Raises KeyError for a name that does not exist."""
        return fill(self.texts[name], values)


@cache
def languages() -> Mapping[str, Words]:
    """Every language there is, by tag."""
    found = {}
    for entry in sorted(files("casb.control").joinpath("texts").iterdir(), key=lambda each: each.name):
        if entry.name.endswith(".yaml"):
            data = yaml.safe_load(entry.read_text("utf-8"))
            tag = entry.name.removesuffix(".yaml")
            found[tag] = Words(tag=tag, direction=data["direction"], texts=data["texts"])
    return found


def words_for(accepted: str) -> Words:
    """For an `Accept-Language` header; English when it names none of ours."""
    offered = languages()
    return offered[choose(accepted, {tag: tag for tag in offered}, FALLBACK)]


def said(decision: Decision, accepted: str) -> tuple[str, str]:
    """The policy's own message and its language ("" when it has but one); ("", "") when it has none."""
    if not decision.messages:
        return decision.message, ""
    tag = choose(accepted, decision.messages)
    return (decision.messages[tag], tag) if tag else (fallback(decision.messages), "")
