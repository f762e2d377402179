"""What a log parser is: a name, a sample and a way to start reading. Knows no format."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from casb.discovery.entry import Entry, LineReader, Outcome
from casb.discovery.times import Clock
from casb.model.discovery import Skipped, TrafficEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class LogParser:
    """One source of logs, with all the layouts that it writes.

    `start` begins a reading: the `LineReader` that it returns is offered one entry after the other and answers with an
    event, with a `Skipped` (its own line, but no traffic, or broken), or with None: not a line of this source. It may
    keep state, of bounded size. A reader that holds lines back (`Joining`) says so by the type it returns.

    `certainty`, 0..1, is how sure it is that a line it reads is of this source and no other: near 1 for lines that
    carry the product's name or a shape of their own, near 0.3 for a generic one. `marks` are texts of which each line
    of the source holds at least one; empty where there is no such text. `gives` are the attributes it can tell.
    """

    name: str
    title: str
    sample: str  # one or several lines, from the product's documented layout
    start: Callable[[Clock], LineReader]
    gives: frozenset[str]
    aliases: tuple[str, ...] = ()  # the reference's type names and numbers among them
    certainty: float = 0.9
    marks: tuple[str, ...] = ()

    def offered(self, text: str) -> bool:
        """False for a line that this source cannot have written."""
        marks = self.marks
        return not marks or any(mark in text for mark in marks)


HEADER: Final = "a header"

NO_TRAFFIC: Final = "a record of the device itself, no traffic"
"""Final when a source's own parser says so: a generic one would make the device's own name a destination."""

GENERIC = 0.7
"""Parsers less certain than this read a shape that many products write, the others a product's own lines."""

JOINED: Final = "joined with the line that ends the connection"

HELD: Final = Skipped(line=0, why="held back")
"""The answer of a `Joining` reader for a line whose outcome comes later."""


class Joining:
    """A line reader that joins lines: it answers `HELD` for one whose outcome comes later, out of `opened`."""

    opened: Opened

    def __call__(self, entry: Entry) -> Outcome:
        raise NotImplementedError


class Parsers(Mapping[str, LogParser]):
    """Log parsers by name; `find` knows their aliases, too."""

    def __init__(self, *parsers: LogParser) -> None:
        self._by_name: dict[str, LogParser] = {}
        for parser in parsers:
            if parser.name in self._by_name:
                raise ValueError(f"two log parsers have the name {parser.name!r}")
            self._by_name[parser.name] = parser
        self._by_alias: dict[str, str] = {}
        for parser in parsers:
            for alias in (parser.name, *parser.aliases):
                owner = self._by_alias.setdefault(_folded(alias), parser.name)
                if owner != parser.name:
                    raise ValueError(f"the alias {alias!r} is {owner}'s and {parser.name}'s")

    def __getitem__(self, name: str) -> LogParser:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def extended(self, *more: LogParser) -> Parsers:
        """These and more. ValueError when a name or an alias is taken."""
        return Parsers(*self._by_name.values(), *more)

    def find(self, name: str | int) -> LogParser | None:
        """The parser of this name, of this type name of the reference, or of this number; case does not matter."""
        own = self._by_alias.get(_folded(str(name)))
        return self._by_name[own] if own else None


def _folded(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")


class Opened:
    """Events of connections that are open: each waits for the line that ends it, up to `most` at a time."""

    def __init__(self, most: int = 50_000) -> None:
        self._most = most
        self._held: OrderedDict[Hashable, TrafficEvent] = OrderedDict()
        self._done: deque[TrafficEvent | Skipped] = deque()

    def hold(self, key: Hashable, event: TrafficEvent) -> Skipped:
        """Keeps the event of an opening line back; the answer is what the reader has to answer."""
        earlier = self._held.pop(key, None)
        if earlier is not None:  # The number is used again, its end was never told.
            self._done.append(earlier)
        self._held[key] = event
        if len(self._held) > self._most:
            self._done.append(self._held.popitem(last=False)[1])
        return HELD

    def close(self, key: Hashable) -> TrafficEvent | None:
        """The event of the opening line, which now counts as joined; None when there was none."""
        event = self._held.pop(key, None)
        if event is not None:
            self._done.append(Skipped(line=event.line, why=JOINED))
        return event

    def released(self) -> Iterator[TrafficEvent | Skipped]:
        """Outcomes of lines held before, as far as they are known."""
        while self._done:
            yield self._done.popleft()

    def rest(self) -> Iterator[TrafficEvent | Skipped]:
        """At the end: an outcome for each line still held."""
        yield from self.released()
        while self._held:
            yield self._held.popitem(last=False)[1]
