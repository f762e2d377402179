"""Document fingerprints: a form or template is known again by its runs of words, however it is filled in.

A fingerprint is a choice of the digests of all runs of five words (winnowing: the least of each eight neighbours). A
text contains the document to the share of them that are among its own runs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections import deque
from collections.abc import Iterator, Mapping

from casb.errors import ContentError
from casb.inspection.info_types.shape import Fingerprint

RUN = 5
LEAST = 4
"""Digests that a document must have to be known by them."""

_MAGIC = b"casb fingerprint 1\n"
_SIZE = 8
_WINDOW = 8
_MOST = 200_000
_WORD = re.compile(r"[^\W\d_]+")
_LONGEST = 200  # of a word that is cut by the end of a piece


def packed(text: str) -> bytes:
    """A document's text as the file that is kept of it. ContentError F207 when it has too few words to be known by."""
    digests = list(_runs(_WORD.findall(text), deque(maxlen=RUN)))
    windows = (digests[at : at + _WINDOW] for at in range(max(len(digests) - _WINDOW, 0) + 1))
    chosen = sorted({min(window) for window in windows if window})[:_MOST]
    if len(chosen) < LEAST:
        raise ContentError("F207", "the document has too few words to be known by them")
    return _MAGIC + base64.b64encode(b"".join(chosen)) + b"\n"


def unpacked(data: bytes, share: int) -> Fingerprint:
    """The fingerprint that a file holds; `share` in percent. ContentError F205 when it is no such file."""
    try:
        body = base64.b64decode(data.removeprefix(_MAGIC).strip(), validate=True)
    except (ValueError, binascii.Error):
        body = b""
    if not data.startswith(_MAGIC) or len(body) % _SIZE or not body:
        raise ContentError("F205", "no fingerprint of a document")
    return Fingerprint(digests=frozenset(body[at : at + _SIZE] for at in range(0, len(body), _SIZE)), share=share)


def _runs(words: list[str], recent: deque[str]) -> Iterator[bytes]:
    for word in words:
        recent.append(word.casefold())
        if len(recent) == RUN:
            yield hashlib.blake2b(" ".join(recent).encode(), digest_size=_SIZE).digest()


class Shingles:
    """One text on its way past some fingerprints. Any chunking gives the same shares."""

    def __init__(self, known: Mapping[str, Fingerprint]) -> None:
        self._known = known
        self._all: frozenset[bytes] = frozenset().union(*(each.digests for each in known.values()))
        self._met: set[bytes] = set()
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
        self._met.update(run for run in _runs(_WORD.findall(text[:end]), self._recent) if run in self._all)

    def shares(self) -> dict[str, int]:
        """The percentage of each fingerprint that has been met so far."""
        return {name: 100 * len(each.digests & self._met) // len(each.digests) for name, each in self._known.items()}
