"""Which source wrote a log, by its first lines: each parser reads them; who reads most and is surest has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from casb.discovery.entry import Entry, LineReader, Outcome
from casb.discovery.parser import GENERIC, HEADER, HELD, NO_TRAFFIC, LogParser, Parsers
from casb.discovery.syslog import layers
from casb.discovery.times import Clock
from casb.model.discovery import Skipped, TrafficEvent

MAX_LINES = 200
_SKIPPED = 0.35  # What a line counts that a parser knows as its own but that is no traffic.


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """The likeliest source and how sure that is, 0..1; no parser when nothing was read."""

    parser: LogParser | None
    confidence: float
    scores: tuple[tuple[str, float], ...] = ()  # all parsers that read anything, the best first
    read: tuple[LogParser, ...] = ()  # the same parsers


def detect(head: Sequence[tuple[int, str]], parsers: Parsers, clock: Clock) -> Guess:
    """The source of these numbered lines."""
    found = [(text, layers(Entry(number, text))) for number, text in head[:MAX_LINES]]
    scores: list[tuple[float, LogParser]] = []
    refused = [False] * len(found)  # Known to a product's own parser as no traffic: nothing to win for generic ones.
    for parser in sorted(parsers.values(), key=lambda each: -each.certainty):
        outcomes = _outcomes(parser, found, clock)
        if parser.certainty >= GENERIC:
            for index, outcome in enumerate(outcomes):
                refused[index] |= final(parser, outcome)
        else:
            outcomes = [None if refused[index] else outcome for index, outcome in enumerate(outcomes)]
        headers = sum(1 for outcome in outcomes if isinstance(outcome, Skipped) and outcome.why == HEADER)
        score = sum(map(_worth, outcomes)) / max(1, len(found) - headers)
        if score:
            scores.append((score * parser.certainty, parser))
    if not scores:
        return Guess(parser=None, confidence=0.0)
    scores.sort(key=lambda each: -each[0])
    best, parser = scores[0]
    return Guess(
        parser=parser,
        confidence=min(1.0, best),
        scores=tuple((each.name, score) for score, each in scores),
        read=tuple(each for _, each in scores),
    )


def _outcomes(parser: LogParser, found: Sequence[tuple[str, Sequence[Entry]]], clock: Clock) -> list[Outcome]:
    reader = parser.start(clock)
    return [first_outcome(reader, entries) if parser.offered(text) else None for text, entries in found]


def final(parser: LogParser, outcome: Outcome) -> bool:
    """True where a product's own parser knows the line as no traffic: what a generic one read there would be wrong."""
    return parser.certainty >= GENERIC and isinstance(outcome, Skipped) and outcome.why == NO_TRAFFIC


def first_outcome(reader: LineReader, entries: Sequence[Entry]) -> Outcome:
    """The reader's answer, the innermost entry first; an outer one's event goes before an inner one's refusal."""
    refusal: Outcome = None
    for entry in reversed(entries):
        outcome = reader(entry)
        if outcome is None:
            continue
        if outcome is HELD or isinstance(outcome, TrafficEvent):
            return outcome
        refusal = refusal or outcome
    return refusal


def _worth(outcome: Outcome) -> float:
    if outcome is None:
        return 0.0
    if outcome is HELD or isinstance(outcome, TrafficEvent):
        return 1.0
    return _SKIPPED if outcome.why != HEADER else 0.01
