"""One text against one compiled set: cheap marks first, then exact verification of the few places they name.

A *marker* (`markers.py`) says in which blocks of the text an expression ends or a keyword stands. It may say too much,
never too little. Everything else is decided here from the text of a block and its surroundings, so that neither the
marker nor the way the text was cut into pieces makes a difference. Memory is bounded: a few kilobytes of text, digests
of the values that were found, the first places of each type.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import re2  # type: ignore[import-untyped]  # google-re2 ships no types

from casb.errors import ContentError
from casb.inspection.info_types import checks, masking
from casb.inspection.info_types.exact import Rows
from casb.inspection.info_types.markers import BLOCK, EDGE, WORD_EDGE, Mark, Marker, Marks, make
from casb.inspection.info_types.shape import REACH, Confidence, InfoType, Pattern, Spec
from casb.inspection.info_types.shingles import Shingles
from casb.inspection.normal import Normaliser, table
from casb.inspection.spec import Span
from casb.model.file import Finding

PLACES = 10
"""Places that are kept of each type."""

MOST_VALUES = 100_000
"""Different values that are told apart per type; beyond, the count stands still."""

_SIZE = 1 << BLOCK
_EDGE_BYTES = 8  # room for what stands around a value, which may be several bytes
_WORD_BYTES = 96  # room for a keyword
_SLICE = 64 * 1024
_SENTINEL = b"\n"  # before the first and behind the last byte, so that every value has an edge

type Search = Callable[[bytes, int, int], re.Match[bytes] | None]


@dataclass(frozen=True, slots=True)
class _Use:
    """One pattern of one type. `index` is unique; `check` None: every match counts."""

    index: int
    kind: _Kind
    pattern: Pattern
    search: Search
    check: checks.Check | None


@dataclass(eq=False, slots=True)
class _Kind:
    """A type, compiled. `gated`: nothing counts without a keyword."""

    about: InfoType
    near: Search | None
    rows: Rows | None
    gated: bool


def compile_types(spec: Spec, engine: str = "") -> Matcher:
    """The matcher of a set; `engine` forces one of the markers. Belongs to one thread.

    ContentError F201, F202 (validators), F203 (expressions).
    """
    compiler = _Compiler()
    for about in spec.types:
        compiler.add(about)
    return Matcher(spec, compiler, make(compiler.marks, engine))


class _Compiler:
    """Types to marks, each expression and keyword once, whoever asks for it."""

    def __init__(self) -> None:
        self.marks: list[Mark] = []
        self.index: dict[Mark, int] = {}
        self.uses: defaultdict[int, list[_Use]] = defaultdict(list)
        self.gates: defaultdict[int, list[_Kind]] = defaultdict(list)
        self.kinds: list[_Kind] = []
        self._count = 0

    def add(self, about: InfoType) -> None:
        patterns = about.patterns
        if not patterns and about.keywords:
            patterns = (Pattern(expression="|".join(map(_spelled, about.keywords)), any_case=True),)
        dictionary = not about.patterns
        near = None if dictionary or not about.keywords else _compiled(_any_of(about.keywords), any_case=True)
        gated = near is not None and all(each.alone is None for each in patterns)
        kind = _Kind(about, near, Rows(about.exact) if about.exact else None, gated)
        self.kinds.append(kind)
        if gated:
            for word in about.keywords:
                self.gates[self._mark(_keyword(word))].append(kind)
        for pattern in patterns:
            before, after = _edges(pattern)
            search = _compiled(f"{before}({pattern.expression}){after}", any_case=pattern.any_case)
            check = checks.find(pattern.check) if pattern.check else None
            use = _Use(self._count, kind, pattern, search, check)
            self._count += 1
            for mark in self._marks_of(about, pattern, dictionary):
                self.uses[self._mark(mark)].append(use)

    def _marks_of(self, about: InfoType, pattern: Pattern, dictionary: bool) -> Iterator[Mark]:
        if dictionary:  # a word each: literals are what the automaton is best at
            yield from map(_keyword, about.keywords)
            return
        literal = literal_prefix(pattern.expression)
        if pattern.hint:
            yield Mark(pattern.hint, pattern.any_case, literal, part=True)
            return
        before, after = _edges(pattern)
        if literal:
            yield Mark(before + re.escape(literal), pattern.any_case, literal, part=True)
        else:
            yield Mark(f"{before}(?:{pattern.expression}){after}", pattern.any_case)

    def _mark(self, mark: Mark) -> int:
        found = self.index.setdefault(mark, len(self.marks))
        if found == len(self.marks):
            self.marks.append(mark)
        return found


def _edges(pattern: Pattern) -> tuple[str, str]:
    return "" if pattern.inside else EDGE, "" if pattern.inside or pattern.open else EDGE


def _keyword(word: str) -> Mark:
    edge = EDGE if word.isascii() else ""
    return Mark(f"{edge}(?:{_spelled(word)}){edge}", True, _ascii_part(word), part=True)


def _compiled(expression: str, *, any_case: bool) -> Search:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not any_case
    options.max_mem = 64 << 20
    try:
        search: Search = re2.compile(expression.encode(), options).search
    except re2.error as error:
        why = error.args[0] if error.args else ""
        told = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
        raise ContentError("F203", f"an expression cannot be compiled: {told.replace(EDGE, '')}") from None
    return search


def matches_empty(pattern: Pattern) -> bool:
    """Whether a pattern finds nothing at all everywhere."""
    return _compiled(rf"\A(?:{pattern.expression})\z", any_case=pattern.any_case)(b"", 0, 0) is not None


def _any_of(words: Sequence[str]) -> str:
    return f"{WORD_EDGE}({'|'.join(map(_spelled, words))}){WORD_EDGE}"


def _spelled(word: str) -> str:
    """A keyword as an expression: what is between its words may be a space, a hyphen, an underscore, a line's end."""
    plain = word.translate({ord(char): shown for char, shown in table().items()})
    return r"[\s_-]{1,3}".join(re.escape(part) for part in plain.split())


def _ascii_part(word: str) -> str:
    """A part of a keyword that is there in any spelling; empty when there is none."""
    parts: list[str] = re.findall(r"[0-9A-Za-z]+", word.split()[0]) if word.isascii() and word.split() else []
    return max(parts, key=len, default="")


_LITERAL = re.compile(r"(?:[0-9A-Za-z_:,@/=-]|\\[-.$/_])+")


def literal_prefix(expression: str) -> str:
    """What every match begins with, three characters at least; empty when that is not plain to see.

    >>> literal_prefix("AKIA[0-9A-Z]{16}"), literal_prefix("AB?C|X"), literal_prefix("abcd{2}e")
    ('AKIA', '', 'abc')
    """
    depth, at = 0, 0
    while at < len(expression):
        char = expression[at]
        if char == "\\":
            at += 1
        elif char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == "|" and depth <= 0:
            return ""
        at += 1
    found = _LITERAL.match(expression)
    if found is None:
        return ""
    parts = re.findall(r"\\?.", found[0])
    if expression[found.end() : found.end() + 1] in ("?", "*", "{", "+"):
        parts.pop()
    literal = "".join(part[-1] for part in parts)
    return literal if len(literal) >= 3 else ""


class Matcher:
    """A compiled set (`casb.inspection.spec.TextMatcher`)."""

    def __init__(self, spec: Spec, compiler: _Compiler, marker: Marker) -> None:
        self.spec = spec
        self.marker = marker
        self.marks = tuple(compiler.marks)
        self.uses = {index: tuple(uses) for index, uses in compiler.uses.items()}
        self.gates = {index: tuple(kinds) for index, kinds in compiler.gates.items()}
        self.kinds = tuple(compiler.kinds)
        proximity = max((each.proximity for each in spec.types), default=0)
        self.ahead = max(REACH + _EDGE_BYTES, proximity + _WORD_BYTES, masking.CONTEXT * 4)
        self.behind = _SIZE + REACH + _EDGE_BYTES + max(proximity + _WORD_BYTES, masking.CONTEXT * 4)
        self.fingerprints = {each.id: each.fingerprint for each in spec.types if each.fingerprint is not None}

    def begin(self, *, spans: bool = False) -> Scan:
        """Start one text. With `spans` the places of all values are kept until `take_spans` is called."""
        return Scan(self, spans=spans)


@dataclass(slots=True)
class _Tally:
    """What was found of one type."""

    values: dict[int, int] = field(default_factory=dict)  # digest of a value to its best confidence
    total: int = 0
    best: int = 0
    places: list[tuple[int, str]] = field(default_factory=list)
    last_end: int = 0


class Scan:
    """One text on its way (`casb.inspection.spec.TextScan`)."""

    def __init__(self, matcher: Matcher, *, spans: bool = False) -> None:
        self._matcher = matcher
        self._with_spans = spans
        self._marks: Marks = defaultdict(set)
        self._marking = matcher.marker.begin(self._marks)
        self._normaliser = Normaliser(len(_SENTINEL))
        self._text = b""
        self._base = 0  # where the kept text begins
        self._end = 0
        self._next = 0  # the first block that is not decided
        self._resume: dict[int, int] = {}  # by use: where its last value ended
        self._tallies: dict[str, _Tally] = {}
        self._spans: list[Span] = []
        self._shingles = Shingles(matcher.fingerprints) if matcher.fingerprints else None
        self._done = False
        self._take(_SENTINEL)

    def feed(self, text: bytes) -> None:
        """The next piece, in UTF-8; a character may be cut in two by the end of a piece."""
        if self._done:
            raise RuntimeError("the text is finished")
        for at in range(0, len(text), _SLICE):
            self._take(self._normaliser.feed(text[at : at + _SLICE]))
            self._decide(self._end - self._matcher.ahead)

    def findings(self) -> tuple[Finding, ...]:
        """What is certain so far: grows only. A value is there once `LATENCY` bytes behind it have been fed."""
        found = [self._finding(name, tally) for name, tally in sorted(self._tallies.items())]
        shares = self._shingles.shares() if self._shingles is not None else {}
        for name, share in sorted(shares.items()):
            if share >= self._matcher.fingerprints[name].share:
                level = Confidence.HIGH
                found.append(Finding(info_type=name, count=1, total=1, confidence=level, levels=((level.value, 1),)))
        return tuple(found)

    def finish(self) -> tuple[Finding, ...]:
        """All findings. Nothing may be fed afterwards."""
        if not self._done:
            self._take(self._normaliser.feed(b"", final=True))
            self._take(_SENTINEL)
            if self._shingles is not None:
                self._shingles.feed("", final=True)
            self._decide(self._end + _SIZE)
            self._marking.close()
            self._done = True
        return self.findings()

    def take_spans(self) -> tuple[Span, ...]:
        """The places found since this was last asked, in bytes of what was fed; for those who change the text."""
        spans, self._spans = self._spans, []
        return tuple(spans)

    @property
    def settled(self) -> int:
        """No value that is yet to be found begins before this offset of what was fed."""
        return self._normaliser.raw(max(self._next * _SIZE - REACH - _EDGE_BYTES, self._base, len(_SENTINEL)))

    def _take(self, plain: bytes) -> None:
        if plain:
            self._text += plain
            self._end += len(plain)
            self._marking.feed(plain)
            if self._shingles is not None:
                self._shingles.feed(plain.decode("utf-8", "replace"))

    def _decide(self, until: int) -> None:
        """Decide the blocks that end at `until` or before."""
        while (self._next + 1) * _SIZE <= until:
            if self._next * _SIZE > self._end:
                break
            if self._next in self._marks or self._next - 1 in self._marks:
                self._block(self._next)
            self._next += 1
        for block in [block for block in self._marks if block < self._next - 3]:
            del self._marks[block]
        keep = self._next * _SIZE - self._matcher.behind
        if keep - self._base > _SIZE:
            self._text = self._text[keep - self._base :]
            self._base = keep
            self._normaliser.forget(keep)

    def _block(self, block: int) -> None:
        marks, matcher = self._marks, self._matcher
        near: set[_Kind] = set()
        for beside in range(block - 2, block + 3):
            for index in marks.get(beside, ()):
                near.update(matcher.gates.get(index, ()))
        uses: dict[int, _Use] = {}
        marked = marks[block] | {index for index in marks.get(block - 1, ()) if matcher.marks[index].part}
        for index in marked:
            for use in matcher.uses.get(index, ()):
                if not use.kind.gated or use.kind in near:
                    uses[use.index] = use
        found: dict[str, list[tuple[int, int, Confidence]]] = {}
        for _, use in sorted(uses.items()):
            for start, end, level in self._values(use, block):
                found.setdefault(use.kind.about.id, []).append((start, end, level))
        for name, values in found.items():
            self._count(name, values)

    def _values(self, use: _Use, block: int) -> Iterator[tuple[int, int, Confidence]]:
        """The values of a pattern that end in a block, verified, in order."""
        begin, text, base = block * _SIZE, self._text, self._base
        at = max(self._resume.get(use.index, 0), begin - REACH - 2 * _EDGE_BYTES, base) - base
        limit = min(begin + _SIZE + REACH + _EDGE_BYTES - base, len(text))
        while (found := use.search(text, at, limit)) is not None:
            start, end = found.span(1)
            if (start + base) >> BLOCK > block:
                return
            at = max(start, at + 1)
            if (end + base - 1) >> BLOCK == block and end - start <= REACH:
                level = self._level(use, start, end)
                if level is not None:
                    at = end
                    self._resume[use.index] = end + base
                    yield start, end, level

    def _level(self, use: _Use, start: int, end: int) -> Confidence | None:
        pattern, kind, text = use.pattern, use.kind, self._text
        if pattern.alone is None and not self._near(kind, start, end):
            return None
        value = text[start:end].decode("utf-8", "replace")
        if use.check is not None and not use.check(value):
            return None
        if kind.rows is not None:
            span = kind.about.proximity
            before = text[max(start - span, 0) : start].decode("utf-8", "ignore")
            if not kind.rows.match(value, before, text[end : end + span].decode("utf-8", "ignore")):
                return None
        if pattern.alone is None or pattern.alone is pattern.near:
            return pattern.near
        return pattern.near if self._near(kind, start, end) else pattern.alone

    def _near(self, kind: _Kind, start: int, end: int) -> bool:
        if kind.near is None:
            return False
        span = kind.about.proximity
        at, limit = max(start - span - _WORD_BYTES, 0), min(end + span + _WORD_BYTES, len(self._text))
        while (found := kind.near(self._text, at, limit)) is not None:
            first, last = found.span(1)
            if last >= start - span and first <= end + span:
                return True
            if first > end + span:
                return False
            at = last
        return False

    def _count(self, name: str, values: list[tuple[int, int, Confidence]]) -> None:
        tally = self._tallies.get(name)
        for start, end, level in sorted(values, key=lambda each: (each[0], -each[2], -each[1])):
            if tally is None:
                tally = self._tallies.setdefault(name, _Tally())
            if start + self._base < tally.last_end:
                continue  # another pattern of the type has it
            tally.last_end = end + self._base
            value = self._text[start:end]
            tally.total += 1
            tally.best = max(tally.best, level)
            digest = hash(value.translate(None, b" .-/"))
            if digest in tally.values or len(tally.values) < MOST_VALUES:
                tally.values[digest] = max(tally.values.get(digest, 0), level)
            raw = self._normaliser.raw(start + self._base)
            if len(tally.places) < PLACES:
                tally.places.append((raw, self._excerpt(start, end)))
            if self._with_spans:
                raw_end = self._normaliser.raw(end + self._base)
                self._spans.append(Span(start=raw, end=raw_end, info_type=name, confidence=level))

    def _excerpt(self, start: int, end: int) -> str:
        text, room = self._text, masking.CONTEXT * 4
        before, after = text[max(start - room, 0) : start], text[end : end + room]
        return masking.excerpt(before, text[start:end], after, last_four=self._matcher.spec.last_four)

    def _finding(self, name: str, tally: _Tally) -> Finding:
        levels = tuple(
            (int(level), count)
            for level in Confidence
            if (count := sum(1 for best in tally.values.values() if best >= level))
        )
        return Finding(
            info_type=name,
            count=len(tally.values),
            total=tally.total,
            confidence=tally.best,
            levels=levels,
            places=tuple(tally.places),
        )
