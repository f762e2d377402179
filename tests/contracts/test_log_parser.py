"""What every log parser does, over each of them: its own sample, alone and inside whatever relays put around it.

All samples tell of one transaction: alice at 192.0.2.10 sends 815 bytes to https://box.example/up (198.51.100.7) on 6 May
2024 shortly after 07:08 UTC and gets 4,711; so what a parser reads can be checked without a file of expectations for each.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from casb.discovery import PARSERS, LogParser, Reading, read
from casb.discovery.entry import Entry
from casb.discovery.times import Clock
from casb.model.discovery import Skipped, TrafficEvent

NOW = datetime(2024, 5, 20, tzinfo=UTC)
BEGIN, END = datetime(2024, 5, 6, 7, 7, 54, tzinfo=UTC), datetime(2024, 5, 6, 7, 8, 30, tzinfo=UTC)
ALL = list(PARSERS.values())
IDS = [parser.name for parser in ALL]
each = pytest.mark.parametrize("parser", ALL, ids=IDS)

# Formats that begin below a header, or whose lines belong together, cannot have each line wrapped on its own.
LINES_ALONE = [parser for parser in ALL if "\n" not in parser.sample and not parser.sample.startswith(("<", "May"))]


def reading(text: str | bytes, source: LogParser | None = None) -> Reading:
    data = text.encode() if isinstance(text, str) else text
    return read(io.BytesIO(data), source=source, zone=UTC, now=NOW)


def events(outcomes: Reading) -> list[TrafficEvent]:
    return [outcome for outcome in outcomes if isinstance(outcome, TrafficEvent)]


def check(event: TrafficEvent, parser: LogParser) -> None:
    """The event tells of the one transaction, as far as its source tells anything."""
    assert BEGIN <= event.time <= END
    assert event.source == parser.name
    assert event.client_ip == "192.0.2.10"
    assert event.user is None or "alice" in event.user.lower()
    assert event.host in (None, "box.example")
    assert event.dest_ip in (None, "198.51.100.7")
    assert event.bytes_up in (None, 815)
    assert event.bytes_down in (None, 4711)
    assert event.bytes_total in (None, 5526, 4711, 815)
    if event.url is not None:
        assert event.url.removeprefix("https://").removeprefix("http://").startswith("box.example")


@each
def test_the_sample_parses(parser: LogParser) -> None:
    found = events(reading(parser.sample, parser))
    assert found
    for event in found:
        check(event, parser)


@each
def test_a_sample_holds_no_more_than_its_parser_says_that_it_gives(parser: LogParser) -> None:
    told = ("user", "client_ip", "host", "url", "dest_ip", "bytes_up", "bytes_down", "allowed")
    given = {
        name for event in events(reading(parser.sample, parser)) for name in told if getattr(event, name) is not None
    }
    assert given <= parser.gives
    assert given & {"host", "dest_ip"}


def test_detection_prefers_the_own_sample_to_all_others() -> None:
    confused = {}
    for parser in ALL:
        outcome = reading(parser.sample)
        list(outcome)
        if outcome.source != parser.name:
            confused[parser.name] = (outcome.source, round(outcome.confidence, 2))
    assert confused == {}


@each
def test_confidence_is_a_share(parser: LogParser) -> None:
    outcome = reading(parser.sample)
    list(outcome)
    assert 0.2 < outcome.confidence <= 1.0


@each
def test_each_alias_finds_its_parser(parser: LogParser) -> None:
    for alias in (parser.name, *parser.aliases):
        assert PARSERS.find(alias) is parser
        assert PARSERS.find(alias.lower()) is parser


@each
def test_garbage_is_skipped(parser: LogParser) -> None:
    garbage = [
        "garbage",
        "%",
        "a=b",
        "CEF:0|",
        "{",
        '"',
        ",,,,,,,,,,",
        "\t" * 40,
        "|" * 40,
        "<134>",
        "[" * 200,
        "=" * 300,
        "\\" * 50,
    ]
    for outcome in reading("\n".join(garbage), parser):
        assert isinstance(outcome, Skipped)


@each
def test_every_line_has_one_outcome_with_its_number(parser: LogParser) -> None:
    text = "\n\n".join([parser.sample, "garbage", parser.sample])
    numbers = [number for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    assert sorted(outcome.line for outcome in reading(text, parser)) == numbers


@each
def test_truncated_lines_give_an_event_or_a_reason(parser: LogParser) -> None:
    line = parser.sample.split("\n")[-1]
    head = parser.sample[: -len(line)]
    for cut in range(0, len(line), max(1, len(line) // 60)):
        outcomes = list(reading(head + line[:cut] if cut else head, parser))
        assert all(isinstance(outcome, TrafficEvent) or outcome.why for outcome in outcomes)


@each
def test_input_is_read_lazily(parser: LogParser) -> None:
    class Endless(io.RawIOBase):
        def __init__(self) -> None:
            self.given = 0
            self.line = (parser.sample.split("\n")[-1] + "\n").encode()
            self.head = (parser.sample + "\n").encode()

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            self.given += 1
            assert self.given < 40, "reads on and on before the first outcome"
            if self.given == 1:
                return self.head
            return self.line * (size // len(self.line) + 1)

    outcomes: Iterator[TrafficEvent | Skipped] = iter(read(Endless(), source=parser, zone=UTC, now=NOW))  # type: ignore[arg-type]
    assert next(outcomes) is not None


WRAPPERS = {
    "rfc 3164": "<134>May  6 07:08:09 relay {}",
    "rfc 3164 with a tag": "<134>May  6 07:08:09 relay logger: {}",
    "rfc 3164 with a tag and a process": "<134>May  6 07:08:09 relay prog[4711]: {}",
    "without a priority": "May  6 07:08:09 relay {}",
    "a year in it": "<134>May  6 2024 07:08:09 relay : {}",
    "priority alone": "<134>{}",
    "rfc 5424": "<134>1 2024-05-06T07:08:09.003Z relay app 4711 ID47 - {}",
    "rfc 5424 with structured data": '<134>1 2024-05-06T07:08:09.003Z relay app - - [origin@1 ip="192.0.2.1" x="a\\]b"] \ufeff{}',
    "rsyslog's file format": "2024-05-06T07:08:09.003+00:00 relay prog: {}",
    "doubled header": "<134>May  6 07:08:10 collector <134>May  6 07:08:09 relay {}",
    "doubled header without the second priority": "May  6 07:08:10 collector May  6 07:08:09 relay {}",
    "octet count": "{count} <134>May  6 07:08:09 relay {}",
    "kiwi": "2024-05-06 07:08:09\tLocal0.Info\t192.0.2.1\t{}",
}


@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=WRAPPERS.keys())
@pytest.mark.parametrize("parser", LINES_ALONE, ids=[parser.name for parser in LINES_ALONE])
def test_a_wrapped_line_is_read_as_the_bare_one(parser: LogParser, wrapper: str) -> None:
    wrapped = wrapper.replace("{}", parser.sample)
    wrapped = wrapped.replace("{count}", str(len(wrapped.encode()) - len("{count} ")))
    outcome = reading(wrapped)
    found = events(outcome)
    assert outcome.source == parser.name
    assert len(found) == 1
    check(found[0], parser)


@pytest.mark.parametrize("key", ["message", "_raw", "log", "MESSAGE"])
@each
def test_a_line_in_a_json_envelope_is_read_as_the_bare_one(parser: LogParser, key: str) -> None:
    lines = parser.sample.split("\n")
    text = "\n".join(json.dumps({"@timestamp": "2024-05-06T07:08:12Z", "host": "relay", key: line}) for line in lines)
    bare = [
        (event.line, event.client_ip, event.host, event.url, event.dest_ip) for event in events(reading(parser.sample))
    ]
    found = events(reading(text))
    assert [(event.line, event.client_ip, event.host, event.url, event.dest_ip) for event in found] == bare


@each
def test_windows_and_old_mac_line_ends_and_encodings_change_nothing(parser: LogParser) -> None:
    expected = list(reading(parser.sample))
    for end in ("\r\n", "\r"):
        assert list(reading(parser.sample.replace("\n", end) + end)) == expected
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
        assert list(reading(parser.sample.encode(encoding))) == expected


@each
def test_a_text_that_would_inject_passes_as_data(parser: LogParser) -> None:
    for text in ("=cmd|'/c'!A1", "<script>alert(1)</script>", "'; DROP TABLE t;--"):
        compact = text.replace(" ", "")
        outcomes = list(reading(parser.sample.replace("alice", compact), parser))
        for outcome in outcomes:
            assert isinstance(outcome, Skipped) or outcome.user is None or isinstance(outcome.user, str)


@each
def test_ipv6_addresses_are_read(parser: LogParser) -> None:
    text = parser.sample
    for four, six in (("192.0.2.10", "2001:db8::10"), ("198.51.100.7", "2001:db8::7")):
        text = text.replace(f"{four}:", f"[{six}]:").replace(four, six)
    text = text.replace(",4,0x0,,64,4711,0,DF,6,tcp,60,", ",6,0x0,0x0,64,tcp,6,60,")  # filterlog's layout differs
    found = events(reading(text, parser))
    assert found
    assert {event.client_ip for event in found} == {"2001:db8::10"}
    assert {event.dest_ip for event in found} <= {None, "2001:db8::7"}


@each
def test_a_missing_user_is_none(parser: LogParser) -> None:
    text = parser.sample.replace("CORP\\alice@AD", "-").replace("CORP\\\\alice", "-").replace("CORP\\alice", "-")
    text = text.replace("corp\\alice", "").replace("alice@corp.example", "-").replace("alice@Firebox-DB", "-")
    text = text.replace("WinNT://-", "-").replace("Alice (-)", "-").replace("Alice (alice)", "-")
    text = (
        text.replace("suser=LDAP://192.0.2.2 OU\\=Users,DC\\=corp/Alice", "suser=-")
        .replace("ldap0:alice", "-")
        .replace("alice", "-")
    )
    found = events(reading(text, parser))
    assert found
    assert {event.user for event in found} <= {None, "Networks"}


def test_a_time_in_the_future_is_kept_and_counted() -> None:
    ahead = NOW + timedelta(days=400)
    line = f"{int(ahead.timestamp())}.000 1 192.0.2.10 TCP_MISS/200 4711 GET http://box.example/ alice HIER_DIRECT/198.51.100.7 -"
    outcome = reading(line)
    assert [event.time for event in events(outcome)] == [ahead]
    assert outcome.counts.future == 1


SLOW = (
    "a", '"', "=", "k=v ", "|", "a|", ",", "()", "[", "1.", "1:", 'a="', '{"a":', "CEF:0|", "May  6 07:08:09 h ", "x: ", 'x:"a" ', "%ASA-6-302013: a:",
    "RT_FLOW_SESSION_CLOSE: session closed 1.1", "[06/May/2024:07:08:09] ", "1714979289.123 h urls a='b' ", "FWD|x|",
)  # fmt: skip


@each
def test_no_long_line_takes_long(parser: LogParser) -> None:
    begin = time.process_time()
    for pattern in SLOW:
        reader = parser.start(Clock(UTC, NOW))
        reader(Entry(1, pattern * (60_000 // len(pattern)), "May  6 07:08:09"))
    assert time.process_time() - begin < 5
