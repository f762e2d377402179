"""What a sensitive information type is, as a value: shipped ones, those of an admin, a choice of them to search for.

Plain data: it can be sent to another process and has a digest, so that a worker compiles a set once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum

REACH = 512
"""The longest value that is found, in bytes of UTF-8."""

PROXIMITY = 300
"""How far from a value a keyword counts, unless a type says otherwise: bytes before its beginning and after its end."""

LATENCY = 4096
"""A value is among the findings at the latest when so many bytes behind its end have been fed (or with `finish`). What
withholds this much of a stream can stop before the last byte of a value has left. Invisible characters are not counted:
they are taken out before."""


class Confidence(IntEnum):
    """How sure a finding is, in percent, with the levels of Microsoft Purview."""

    LOW = 65
    MEDIUM = 75
    HIGH = 85


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One way a type looks.

    `expression` is RE2 syntax without anchors; it finds a value that is no part of a longer word. `check` names a
    validator of `checks`. `alone` is the confidence without a keyword nearby (None: it does not count then), `near` the
    confidence with one. `open` values go on beyond what is looked at: nothing is asked of what follows.
    `hint` is a part that every value has, cheaper to look for than the whole. `inside` values may be parts of longer
    words.
    """

    expression: str
    check: str = ""
    alone: Confidence | None = Confidence.HIGH
    near: Confidence = Confidence.HIGH
    any_case: bool = False
    open: bool = False
    hint: str = ""
    inside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactList:
    """Rows of a table that must not leave, as keyed digests: `records` are sorted and of equal size, a digest for the
    primary value and one for each of the supporting `columns`. `needed` is how many of those must stand nearby,
    `longest` how many words the longest of them has."""

    key: bytes = field(repr=False)
    records: bytes = field(repr=False)
    columns: int = 0
    needed: int = 0
    longest: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What a document is recognised by: digests of its runs of words. `share` is the percentage that must be there."""

    digests: frozenset[bytes] = field(repr=False)
    share: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoType:
    """A sensitive information type.

    `keywords` are looked for in any case as whole words within `proximity` bytes. Without `patterns` each keyword is
    itself what is found (a dictionary). `matches` and `misses` are examples, for tests and the manual.
    """

    id: str
    name: str
    category: str = "custom"
    region: str = ""
    doc: str = ""
    patterns: tuple[Pattern, ...] = ()
    keywords: tuple[str, ...] = ()
    proximity: int = PROXIMITY
    exact: ExactList | None = None
    fingerprint: Fingerprint | None = None
    matches: tuple[str, ...] = ()
    misses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a text is searched for. `last_four` shows the end of a value in excerpts."""

    types: tuple[InfoType, ...] = ()
    last_four: bool = False

    @property
    def digest(self) -> str:
        """Changes with everything that changes what is found or shown."""
        said = hashlib.sha256(f"casb info types 1 {self.last_four}".encode())
        for each in sorted(self.types, key=lambda kind: kind.id):
            shown = (each.id, each.patterns, each.keywords, each.proximity)
            said.update(repr(shown).encode("utf-8", "surrogatepass"))
            if each.exact is not None:
                exact = each.exact
                said.update(repr((exact.key, exact.columns, exact.needed, exact.longest)).encode() + exact.records)
            if each.fingerprint is not None:
                said.update(repr((each.fingerprint.share, sorted(each.fingerprint.digests))).encode())
        return said.hexdigest()[:32]


__all__ = [
    "LATENCY",
    "PROXIMITY",
    "REACH",
    "Confidence",
    "ExactList",
    "Fingerprint",
    "InfoType",
    "Pattern",
    "Spec",
]
