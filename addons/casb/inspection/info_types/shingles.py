"""Document fingerprints: a form or template is known again by its runs of words, however it is filled in.

A fingerprint is a choice of the digests of all runs of five words (winnowing: the least of each eight neighbours); a text
contains the document to the share of them that are among its own runs.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Iterator

from casb.inspection.info_types.shape import Fingerprint

RUN = 5
_WINDOW = 8
_WORD = re.compile(r"[^\W\d_]+")
_LONGEST = 200  # of a word that is cut by the end of a piece


def fingerprint(text: str, share: int = 50) -> Fingerprint:
    """The fingerprint of a document's text; without digests when it has too few words to be known by."""
    digests = list(_runs(_words(text)))
    windows = (digests[at : at + _WINDOW] for at in range(max(len(digests) - _WINDOW, 0) + 1))
    return Fingerprint(digests=frozenset(min(window) for window in windows if window), share=share)


def _words(text: str) -> Iterator[str]:
    return (found[0].casefold() for found in _WORD.finditer(text))


def _runs(words: Iterator[str], last: deque[str] | None = None) -> Iterator[int]:
    recent: deque[str] = deque(maxlen=RUN) if last is None else last
    for word in words:
        recent.append(word)
        if len(recent) == RUN:
            yield int.from_bytes(hashlib.blake2b(" ".join(recent).encode(), digest_size=8).digest())


class Shingles:
    """One text on its way past some fingerprints. Any chunking gives the same shares."""

    def __init__(self, known: dict[str, Fingerprint]) -> None:
        self._known = known
        self._all: frozenset[int] = frozenset().union(*(each.digests for each in known.values()))
        self._met: set[int] = set()
        self._recent: deque[str] = deque(maxlen=RUN)
        self._rest = ""

    def feed(self, text: str, *, final: bool = False) -> None:
        """The next characters."""
        text = self._rest + text
        end = len(text)
        if not final:
            while end and len(text) - end < _LONGEST and text[end - 1].isalpha():
                end -= 1
        self._rest = text[end:]
        self._met.update(run for run in _runs(_words(text[:end]), self._recent) if run in self._all)

    def shares(self) -> dict[str, int]:
        """The percentage of each fingerprint that has been met so far."""
        return {
            name: 100 * len(each.digests & self._met) // len(each.digests)
            for name, each in self._known.items()
            if each.digests
        }
