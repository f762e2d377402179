"""Text as it is searched: what looks like a digit, a space or a dash is one, what cannot be seen is not there.

Full-width and other scripts' digits become ASCII, so do letters that NFKC maps to one ASCII character; every space is a
space, every dash a hyphen; invisible characters vanish. Pure ASCII passes untouched. What is no UTF-8 shows as `?`.
Each place of the result can be traced back to the bytes that were fed.
"""

from __future__ import annotations

import codecs
import functools
import re
import unicodedata
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

_PLANES = (range(0x80, 0x20000), range(0xE0000, 0xE0200))  # all that is looked like or hidden behind is in these
_FILLERS = frozenset(
    "\N{COMBINING GRAPHEME JOINER}\N{HANGUL CHOSEONG FILLER}\N{HANGUL JUNGSEONG FILLER}\N{HANGUL FILLER}"
    "\N{HALFWIDTH HANGUL FILLER}\N{KHMER VOWEL INHERENT AQ}\N{KHMER VOWEL INHERENT AA}"
)
_DOTS = frozenset("\N{MIDDLE DOT}\N{KATAKANA MIDDLE DOT}\N{BULLET}\N{ONE DOT LEADER}\N{HYPHENATION POINT}")
_MINUS = frozenset("\N{MINUS SIGN}\N{HYPHEN BULLET}\N{HEAVY MINUS SIGN}")


@functools.cache
def table() -> Mapping[str, str]:
    """Character to what it is searched as; the characters that are not in it stay."""
    found = {chr(0xDC00 + byte): "?" for byte in range(0x80, 0x100)}
    for plane in _PLANES:
        for code in plane:
            if not 0xD800 <= code < 0xE000:
                char = chr(code)
                plain = _plain(char)
                if plain is not None:
                    found[char] = plain
    return found


def _plain(char: str) -> str | None:
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.digit(char))
    if category == "Cf" or char in _FILLERS or (category == "Mn" and _is_selector(char)):
        return ""
    if category == "Zs":
        return " "
    if category in ("Zl", "Zp") or char == "\x85":
        return "\n"
    if category == "Pd" or char in _MINUS:
        return "-"
    if char in _DOTS:
        return "."
    plain = unicodedata.normalize("NFKC", char)
    return plain if len(plain) == 1 and plain.isascii() else None


def _is_selector(char: str) -> bool:
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef" or "\u180b" <= char <= "\u180d"


@dataclass(slots=True)
class _Piece:
    """A stretch of the result and where it came from; `text` is None where nothing was changed."""

    start: int
    size: int
    raw_start: int
    text: str | None
    steps: tuple[list[int], list[int]] | None = None  # made when asked for: result offsets, raw offsets


class Normaliser:
    """Push style: any chunking gives the same result and the same places."""

    def __init__(self, begin: int = 0) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._waiting = False
        self._pieces: deque[_Piece] = deque()
        self._end = begin
        self._raw_end = 0

    def feed(self, raw: bytes, *, final: bool = False) -> bytes:
        """The next bytes, of which the last may be the beginning of a character."""
        if raw.isascii() and not self._waiting:
            self._add(len(raw), len(raw), None)
            return raw
        text = self._decoder.decode(raw, final)
        self._waiting = bool(self._decoder.getstate()[0])
        known = table()
        odd = [char for char in set(text) if char in known]
        if not odd:
            plain = text.encode()
            self._add(len(plain), len(plain), None)
            return plain
        plain = _replaced(text, odd, known).encode()
        self._add(len(plain), len(text.encode("utf-8", "surrogateescape")), text)
        return plain

    def _add(self, size: int, raw_size: int, text: str | None) -> None:
        if not raw_size:
            return
        last = self._pieces[-1] if self._pieces else None
        if text is None and last is not None and last.text is None:
            last.size += size
        else:
            self._pieces.append(_Piece(self._end, size, self._raw_end, text))
        self._end += size
        self._raw_end += raw_size

    def forget(self, before: int) -> None:
        """Places of the result before this offset will not be asked for."""
        pieces = self._pieces
        while len(pieces) > 1 and pieces[1].start <= before:
            pieces.popleft()

    def raw(self, at: int) -> int:
        """Where the character at an offset of the result begins in what was fed."""
        for piece in reversed(self._pieces):
            if piece.start <= at:
                if piece.text is None:
                    return piece.raw_start + at - piece.start
                if piece.steps is None:
                    piece.steps = _steps(piece.text)
                plain, raw = piece.steps
                inside = at - piece.start
                index = bisect_right(plain, inside) - 1
                return piece.raw_start + raw[index] + inside - plain[index]
        return 0


def _replaced(text: str, odd: list[str], known: Mapping[str, str]) -> str:
    if len(odd) > 12:
        return text.translate({ord(char): known[char] for char in odd})
    for char in odd:
        text = text.replace(char, known[char])
    return text


@functools.cache
def _odd() -> re.Pattern[str]:
    return re.compile(f"[{''.join(map(re.escape, table()))}]")


def _steps(text: str) -> tuple[list[int], list[int]]:
    """Offsets from which on the distance between the two texts is the same: in the result, and in what was fed."""
    known = table()
    plain, raw, plain_at, raw_at, last = [0], [0], 0, 0, 0
    for found in _odd().finditer(text):
        between = len(text[last : found.start()].encode())
        plain_at, raw_at, last = plain_at + between, raw_at + between, found.end()
        plain.append(plain_at)
        raw.append(raw_at)
        plain_at += len(known[found[0]])
        raw_at += len(found[0].encode("utf-8", "surrogateescape"))
        plain.append(plain_at)
        raw.append(raw_at)
    return plain, raw
