"""In which blocks of a text an expression ends or a keyword stands: all expressions in one pass.

With hyperscan, a streaming automaton; without it, Aho-Corasick for expressions that begin with a literal and for
keywords, and a mark on every block for the rest, which are then searched with RE2. A marker may mark too much, never
too little; the engine verifies. hyperscan is imported here and nowhere else.
"""

from __future__ import annotations

import importlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ahocorasick_rs import BytesAhoCorasick, MatchKind

BLOCK = 10
"""A block is `1 << BLOCK` bytes."""

type Marks = defaultdict[int, set[int]]
"""Block to the indexes of what it has."""

EDGE = "[^0-9A-Za-z]"
"""What stands around a value. A byte that is no ASCII letter or digit: scripts without spaces may touch it."""

WORD_EDGE = "[^0-9A-Za-z\u00c0-\u024f]"
"""What stands around a keyword."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something to be marked: a value with its edges, a keyword, or a `part` of a value, which ends in the same block
    or in the next."""

    expression: str
    any_case: bool = False
    literal: str = ""  # the expression begins with it; for keywords a part that is always there, in ASCII
    part: bool = False


class Marking(Protocol):
    """One text being marked."""

    def feed(self, text: bytes) -> None: ...

    def close(self) -> None: ...


class Marker(Protocol):
    """A compiled set."""

    def begin(self, marks: Marks) -> Marking: ...


def make(wanted: Sequence[Mark], engine: str = "") -> Marker:
    """The marker for a set: `engine` is `hyperscan`, `plain`, or empty for the best there is."""
    if engine != "plain":
        try:
            return _Hyperscan(importlib.import_module("hyperscan"), wanted)
        except ImportError:
            if engine:
                raise
    return _Plain(wanted)


# --- hyperscan

_WIDE = re.compile(r"\[\^|(?<!\\)\.|\\[DWSpP]|[^\x00-\x7f]")


_TOGETHER = 48
"""Expressions without a literal that share an automaton: time to compile grows faster than their number beyond."""


class _Hyperscan:
    """One automaton for all literals and a few dozen expressions, further ones for what goes beyond.

    Belongs to one thread: the scratch space of a database is not to be shared.
    """

    def __init__(self, hyperscan: Any, wanted: Sequence[Mark]) -> None:
        self._library = hyperscan
        literal = [index for index, each in enumerate(wanted) if each.part]
        other = [index for index, each in enumerate(wanted) if not each.part]
        groups = [other[at : at + _TOGETHER] for at in range(0, len(other), _TOGETHER)] or [[]]
        groups[0] = literal + groups[0]
        self.databases = [self._compiled([(index, wanted[index]) for index in group]) for group in groups if group]

    def _compiled(self, group: Sequence[tuple[int, Mark]]) -> Any:
        flags = [self._flags(each) for _, each in group]
        try:
            return self._database(group, flags)
        except self._library.HyperscanError:
            loose = [flag | self._loose(each, flag) for (_, each), flag in zip(group, flags, strict=True)]
            return self._database(group, loose)

    def _database(self, group: Sequence[tuple[int, Mark]], flags: Sequence[int]) -> Any:
        database = self._library.Database(mode=self._library.HS_MODE_STREAM)
        expressions = [each.expression.encode() for _, each in group]
        database.compile(expressions=expressions, ids=[index for index, _ in group], flags=list(flags))
        return database

    def _flags(self, each: Mark) -> int:
        inner = each.expression.removeprefix(EDGE).removesuffix(EDGE)
        wide = self._library.HS_FLAG_UTF8 if _WIDE.search(inner) else 0
        return int(wide | (self._library.HS_FLAG_CASELESS if each.any_case else 0))

    def _loose(self, each: Mark, flags: int) -> int:
        """A flag for what is too large to be matched exactly: it is then marked a little too often."""
        try:
            self._database([(0, each)], [flags])
        except self._library.HyperscanError:
            return int(self._library.HS_FLAG_PREFILTER)
        return 0

    def begin(self, marks: Marks) -> Marking:
        return _HyperscanStream(self.databases, marks)


class _HyperscanStream:
    def __init__(self, databases: Sequence[Any], marks: Marks) -> None:
        def mark(index: int, _from: int, to: int, _flags: int, _context: object) -> None:
            block = (to - 1) >> BLOCK
            marks[block].add(index)
            if (to - 5) >> BLOCK != block:  # what ends it may have four bytes
                marks[block - 1].add(index)

        self._held = (mark, databases)  # the binding keeps no references of its own and would use what has gone
        self._streams = [database.stream(match_event_handler=mark) for database in databases]
        for stream in self._streams:
            stream.__enter__()

    def feed(self, text: bytes) -> None:
        if text:
            for stream in self._streams:
                stream.scan(text)

    def close(self) -> None:
        while self._streams:
            self._streams.pop().__exit__(None, None, None)


# --- without it


class _Plain:
    def __init__(self, wanted: Sequence[Mark]) -> None:
        by_literal: dict[bytes, list[int]] = defaultdict(list)
        self.everywhere = [index for index, each in enumerate(wanted) if not each.literal]
        for index, each in enumerate(wanted):
            if each.literal:
                by_literal[each.literal.lower().encode()].append(index)
        self.literals = list(by_literal)
        self.owners = list(by_literal.values())
        self.longest = max(map(len, self.literals), default=0)
        self.automaton = BytesAhoCorasick(self.literals, matchkind=MatchKind.Standard) if self.literals else None

    def begin(self, marks: Marks) -> Marking:
        return _PlainStream(self, marks)


class _PlainStream:
    """A value that begins in a block ends in it or in the next."""

    def __init__(self, marker: _Plain, marks: Marks) -> None:
        self._marker = marker
        self._marks = marks
        self._tail = b""
        self._at = 0
        self._marked = 0

    def feed(self, text: bytes) -> None:
        marker, marks = self._marker, self._marks
        if not text:
            return
        if marker.automaton is not None:
            looked = self._tail + text.lower()
            begin = self._at - len(self._tail)
            for owner, _, end in marker.automaton.find_matches_as_indexes(looked, overlapping=True):
                block = (begin + end - 1) >> BLOCK
                marks[block].update(marker.owners[owner])
                marks[block + 1].update(marker.owners[owner])  # what begins here may end there
            self._tail = looked[-(marker.longest - 1) :] if marker.longest > 1 else b""
        self._at += len(text)
        for block in range(self._marked, (self._at >> BLOCK) + 1):
            marks[block].update(marker.everywhere)
        self._marked = self._at >> BLOCK

    def close(self) -> None:
        """Nothing is held."""
