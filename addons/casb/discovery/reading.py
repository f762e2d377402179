"""Logs of egress traffic to events: `read` takes any bytes and gives one outcome for each line.

    from casb.discovery import PARSERS, read

    reading = read(stream, source=None, zone=UTC, now=now, name="proxy.log.gz")
    for outcome in reading:            # TrafficEvent | Skipped, lazily, in the order of the lines
        ...
    reading.source, reading.confidence # the log parser that was chosen, known after the first outcome
    reading.counts                     # lines, events, skipped by reason, events by parser, times in the future

- `stream` is any binary file object; gzip, zip, zstd, bzip2, xz and tar are opened by content, nested ones too.
- `source` is a name, alias or number out of `PARSERS`, a `LogParser` of one's own (a custom parser), or None: detected.
- `zone` is for times that name none, `now` (aware) for times without a year.
- Each line is offered to the chosen parser first, then to the others: formats may be mixed. A line that cannot be read
  is `Skipped` with the reason. Reasons are few and hold nothing of the line, so they can be counted and shown.
- `line` is the 1-based physical line (in an archive of several files: in its own file; `reading.member` names it).
  A line that is joined with a later one (connection built, torn down) has its outcome after its successors.
- Values are as logged; texts from a line may hold anything (formulas, HTML, SQL) and must be escaped where shown.
  `url` can lack its scheme when the source does not log one. Times are kept as they are, also those in the future;
  `counts.future` says how many lie more than a day ahead of `now`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from itertools import chain
from typing import BinaryIO

from casb.discovery import detect, documents, lines, unpack
from casb.discovery.detect import first_outcome
from casb.discovery.entry import Entry, LineReader, Outcome
from casb.discovery.parser import GENERIC, HELD, NO_TRAFFIC, Joining, LogParser, Parsers
from casb.discovery.syslog import along, layers
from casb.discovery.times import Clock
from casb.model.discovery import Skipped, TrafficEvent

HEAD_LINES = 200
_DAY = timedelta(days=1)
_MAX_REASONS = 200
UNKNOWN = "no known log format"


@dataclass(slots=True)
class Counts:
    """What became of the lines so far."""

    lines: int = 0  # all outcomes
    events: int = 0
    skipped: Counter[str] = field(default_factory=Counter)  # by reason
    sources: Counter[str] = field(default_factory=Counter)  # events by log parser
    future: int = 0  # events more than a day ahead of now
    first: datetime | None = None  # the earliest and the latest event
    last: datetime | None = None


class Reading:
    """One log being read. Iterate once."""

    def __init__(
        self, stream: BinaryIO, parsers: Parsers, chosen: LogParser | None, zone: tzinfo, now: datetime, name: str
    ) -> None:
        self.source: str | None = chosen.name if chosen else None
        self.confidence = 1.0 if chosen else 0.0
        self.member = name
        self.counts = Counts()
        self._parsers = parsers
        self._chosen = chosen
        self._zone = zone
        self._now = now
        self._outcomes = self._read(stream, name)

    def __iter__(self) -> Iterator[TrafficEvent | Skipped]:
        return self._outcomes

    def _read(self, stream: BinaryIO, name: str) -> Iterator[TrafficEvent | Skipped]:
        latest = self._now + _DAY
        counts = self.counts
        for outcome in self._members(stream, name):
            counts.lines += 1
            if isinstance(outcome, TrafficEvent):
                time = outcome.time
                counts.events += 1
                counts.sources[outcome.source] += 1
                if time > latest:
                    counts.future += 1
                if counts.first is None or time < counts.first:
                    counts.first = time
                if counts.last is None or time > counts.last:
                    counts.last = time
            else:
                why = outcome.why
                counts.skipped[why if why in counts.skipped or len(counts.skipped) < _MAX_REASONS else "other"] += 1
            yield outcome

    def _members(self, stream: BinaryIO, name: str) -> Iterator[TrafficEvent | Skipped]:
        for member in unpack.members(stream, name):
            if isinstance(member, unpack.Damage):
                yield Skipped(line=0, why=member.why)
                continue
            self.member = member.name
            yield from self._lines(documents.unfolded(lines.numbered(member.chunks)))

    def _lines(self, numbered: Iterator[tuple[int, str] | Skipped]) -> Iterator[TrafficEvent | Skipped]:
        head: list[tuple[int, str] | Skipped] = []
        usable = 0
        for each in numbered:
            head.append(each)
            usable += not isinstance(each, Skipped)
            if usable >= HEAD_LINES:
                break
        clock = Clock(self._zone, self._now)
        chosen = self._chosen
        surer: list[LogParser] = []
        sample = [each for each in head if not isinstance(each, Skipped)]
        if chosen is not None:
            detect.detect(sample, Parsers(chosen), clock)  # The clock learns the order of day and month from the head.
        else:
            guess = detect.detect(sample, self._parsers, clock)
            if guess.parser and (self.source is None or guess.confidence > self.confidence):
                self.source, self.confidence = guess.parser.name, guess.confidence
            chosen = guess.parser
            # A generic parser reads its format's every dialect, less well than the dialect's own.
            surer = [each for each in guess.read if chosen and each.certainty > chosen.certainty + 0.2]
        yield from _Bench(self._parsers, chosen, clock, surer).outcomes(chain(head, numbered))


class _Bench:
    """All parsers at work on one file: the chosen one first, then those that were of use before, then the rest."""

    def __init__(
        self, parsers: Parsers, chosen: LogParser | None, clock: Clock, surer: Sequence[LogParser] = ()
    ) -> None:
        self._clock = clock
        self._surer = tuple(surer)
        self._queue = sorted(
            (each for each in parsers.values() if each is not chosen), key=lambda each: -each.certainty
        )
        self._readers: dict[str, LineReader] = {}
        self._joining: list[Joining] = []
        self._first = self._reader(chosen) if chosen else None
        self._path: tuple[int, ...] | None = None  # where in its wrappers the last line proper was found

    def outcomes(self, numbered: Iterator[tuple[int, str] | Skipped]) -> Iterator[TrafficEvent | Skipped]:
        first = self._first
        for each in numbered:
            if isinstance(each, Skipped):
                yield each
                continue
            entry = Entry(*each)
            outcome = self._surest(entry) if self._surer else None
            if outcome is None and first is not None and self._path is not None:
                inner = along(entry, self._path) if self._path else entry
                outcome = first(inner) if inner is not None else None
            elif isinstance(outcome, Skipped) and outcome.why == NO_TRAFFIC:
                yield outcome
                continue
            if outcome is None or (isinstance(outcome, Skipped) and outcome is not HELD):
                outcome = self._searched(entry)  # A refusal may be due to a wrapper that other lines do not have.
            if outcome is not HELD:
                yield outcome
            for reader in self._joining:
                yield from reader.opened.released()
        for reader in self._joining:
            yield from reader.opened.rest()

    def _reader(self, parser: LogParser) -> LineReader:
        reader = self._readers.get(parser.name)
        if reader is None:
            reader = self._readers[parser.name] = parser.start(self._clock)
            if isinstance(reader, Joining):
                self._joining.append(reader)
        return reader

    def _surest(self, entry: Entry) -> Outcome:
        found = layers(entry)
        for parser in self._surer:
            if parser.offered(entry.text):
                outcome = detect.first_outcome(self._reader(parser), found)
                if outcome is not None:
                    return outcome
        return None

    def _searched(self, entry: Entry) -> TrafficEvent | Skipped:
        found = layers(entry)
        if self._first is not None:
            outcome = self._own(found, self._first)
            if outcome is not None:
                return outcome
        best: Skipped | None = None
        known = False
        for parser in self._queue:
            if not parser.offered(entry.text) or (known and parser.certainty < GENERIC):
                continue
            outcome = first_outcome(self._reader(parser), found)
            if isinstance(outcome, TrafficEvent) or outcome is HELD:
                self._queue.remove(parser)
                generic = parser.certainty < GENERIC
                at = sum(each.certainty >= GENERIC for each in self._queue) if generic else 0
                self._queue.insert(at, parser)
                return outcome
            known = known or detect.final(parser, outcome)
            best = best or outcome
        return best or entry.skip(UNKNOWN)

    def _own(self, found: list[Entry], reader: LineReader) -> Outcome:
        """The chosen parser's answer, at any depth; lines to come are looked for where this one was found."""
        refusal: Outcome = None
        for index in range(len(found) - 1, -1, -1):
            outcome = reader(found[index])
            if isinstance(outcome, TrafficEvent) or outcome is HELD:
                self._path = found[index].path
                return outcome
            refusal = refusal or outcome
        return refusal
