"""What the readers of all formats share: where they are, what they may still use, and what they found out."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from casb.errors import ContentError
from casb.inspection.limits import Limits, Why
from casb.model.signs import Sign

type Texts = Iterator[tuple[str, str]]
"""`(part, text)`: what readers yield. Texts of one part follow one another without a gap."""

PROPERTIES = 64
PROPERTY = 512
_RANK = tuple(Why)
BLOCK = 64 * 1024


WHY = {"F101": Why.CORRUPT, "F102": Why.BOMB, "F103": Why.ENCRYPTED, "F104": Why.CORRUPT, "F106": Why.UNSUPPORTED}
"""Codes of `ContentError` as reasons."""


class Refused(Exception):
    """A part cannot be read, for a reason; the parts beside it can."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.value)
        self.why = why


class Exhausted(Refused):
    """The limits of the whole file are used up."""

    def __init__(self) -> None:
        super().__init__(Why.BOMB)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text, in UTF-8, and the part it comes from: `word/comments.xml`, `inner.zip!/a.txt`, or "" for the file
    itself. A piece may end within a word; never within a character."""

    part: str
    text: bytes


@dataclass(slots=True, kw_only=True)
class Report:
    """What is known when the pieces have come to an end. `problems` tells each part that could not be read, and why:
    when there are any, the file as a whole is unscannable, whatever was found in it."""

    problems: list[tuple[Why, str]] = field(default_factory=list)
    signs: set[Sign] = field(default_factory=set)
    properties: dict[tuple[str, str], None] = field(default_factory=dict)

    @property
    def why(self) -> Why | None:
        """The gravest reason, if any."""
        return min((why for why, _ in self.problems), key=_RANK.index, default=None)

    def problem(self, why: Why, part: str) -> None:
        if why is Why.ENCRYPTED:
            self.signs.add(Sign.ENCRYPTED)
        if len(self.problems) < PROPERTIES:
            self.problems.append((why, part))

    def property(self, name: str, value: str) -> None:
        value = " ".join(value.split())[:PROPERTY]
        if value and len(self.properties) < PROPERTIES:
            self.properties[name, value] = None


@dataclass(slots=True)
class Item:
    """One file: the one given, or one in it. `declared` is a media type that somebody claims, `charset` likewise."""

    part: str
    name: str
    file: BinaryIO
    size: int
    depth: int = 0
    declared: str | None = None
    charset: str | None = None

    def inside(self, name: str) -> str:
        """The part name of something in here."""
        return f"{self.part}!/{name}" if self.part else name

    def blocks(self) -> Iterator[bytes]:
        self.file.seek(0)
        while block := self.file.read(BLOCK):
            yield block

    def body(self, most: int) -> bytes:
        """All of it, in memory. Raises `Refused` when it is longer than `most`."""
        if self.size > most:
            raise Refused(Why.TOO_LARGE)
        self.file.seek(0)
        return self.file.read()


class Context:
    """One reading of one file. `texts` False: only what the structure tells is wanted. `walk` reads an item of any
    kind, `stream` one that is too large to be kept."""

    def __init__(
        self,
        limits: Limits,
        size: int,
        report: Report,
        walk: Callable[[Context, Item], Texts],
        stream: Callable[[Context, Item, list[bytes], Iterator[bytes]], Texts],
        *,
        texts: bool,
    ) -> None:
        self.limits = limits
        self.report = report
        self.texts = texts
        self._walk = walk
        self._stream = stream
        self._members = limits.members
        self._inflated = limits.allowed(size, limits.inflated)
        self._text = limits.allowed(size, limits.text)
        self._held = limits.held

    def sign(self, sign: Sign) -> None:
        self.report.signs.add(sign)

    def member(self) -> None:
        """One more file in the file. Raises `Exhausted`."""
        self._members -= 1
        if self._members < 0:
            raise Exhausted

    def inflated(self, size: int) -> None:
        """So many bytes were unpacked. Raises `Exhausted`."""
        self._inflated -= size
        if self._inflated < 0:
            raise Exhausted

    def read(self, size: int) -> None:
        """So many bytes of text were read. Raises `Exhausted`."""
        self._text -= size
        if self._text < 0:
            raise Exhausted

    @property
    def left(self) -> int:
        """How many bytes may still be unpacked."""
        return self._inflated

    @property
    def held(self) -> int:
        """How many bytes may still be kept in memory."""
        return self._held

    def counted(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.inflated(len(block))
            yield block

    def nested(
        self, item: Item, name: str, blocks: Iterable[bytes], declared: str | None = None, charset: str | None = None
    ) -> Texts:
        """Reads a file in `item`, given as what it unpacks to (not yet counted). Raises only `Exhausted`."""
        self.member()
        part = item.inside(name)
        if item.depth + 1 > self.limits.depth:
            raise Exhausted
        counted = self.counted(blocks)
        kept: list[bytes] = []
        size = 0
        try:
            for block in counted:
                kept.append(block)
                size += len(block)
                if size > self._held:
                    break
            else:
                self._held -= size
                try:
                    body = io.BytesIO(b"".join(kept))
                    kept.clear()
                    yield from self._walk(self, Item(part, name, body, size, item.depth + 1, declared, charset))
                finally:
                    self._held += size
                return
            large = Item(part, name, io.BytesIO(), -1, item.depth + 1, declared, charset)
            yield from self._stream(self, large, kept, counted)
        except Exhausted:
            raise
        except Refused as refused:
            self.report.problem(refused.why, part)
        except ContentError as error:
            self.report.problem(WHY.get(error.code, Why.CORRUPT), part)
