"""Whole logs: mixed, wrapped, packed, broken."""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import UTC, datetime, timedelta

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.discovery import PARSERS, Reading, read
from casb.discovery.parser import JOINED
from casb.discovery.reading import UNKNOWN
from casb.model.discovery import Skipped, TrafficEvent

NOW = datetime(2024, 5, 20, tzinfo=UTC)
SQUID = PARSERS["squid"].sample.split("\n")[0]
FORTI, PALO, ZSCALER = (PARSERS[name].sample for name in ("fortigate", "paloalto", "zscaler"))


def reading(text: str | bytes, source: str | None = None) -> Reading:
    data = text.encode() if isinstance(text, str) else text
    return read(io.BytesIO(data), source=source, zone=UTC, now=NOW, name="up.log")


def events(outcome: Reading) -> list[TrafficEvent]:
    return [each for each in outcome if isinstance(each, TrafficEvent)]


def test_mixed_formats_in_one_file() -> None:
    outcome = reading("\n".join([SQUID, FORTI, SQUID, f"<134>May  6 07:08:09 fw {PALO}", "rubbish", ZSCALER, SQUID]))
    assert [(event.line, event.source) for event in events(outcome)] == [
        (1, "squid"), (2, "fortigate"), (3, "squid"), (4, "paloalto"), (6, "zscaler"), (7, "squid"),
    ]  # fmt: skip
    assert outcome.source == "squid"
    assert outcome.counts.sources == {"squid": 3, "fortigate": 1, "paloalto": 1, "zscaler": 1}
    assert outcome.counts.skipped == {UNKNOWN: 1}
    assert (outcome.counts.lines, outcome.counts.events) == (7, 6)


def test_a_named_source_goes_first_and_is_certain() -> None:
    outcome = reading(SQUID, "SQUID_NATIVE")
    assert len(events(outcome)) == 1
    assert (outcome.source, outcome.confidence) == ("squid", 1.0)


@pytest.mark.parametrize("source", ["nobody", "", "9999"])
def test_a_source_that_is_not_known_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="unknown log source"):
        reading(SQUID, source)


def test_fields_that_change_in_the_middle() -> None:
    text = (
        "#Software: SGOS\n#Fields: date time c-ip cs-host sc-bytes cs-bytes s-action\n2024-05-06 07:08:09 192.0.2.10 a.example 1 2 TCP_MISS\n"
        "#Fields: date time cs-host c-ip cs-bytes s-action\n2024-05-06 07:08:10 b.example 192.0.2.11 3 TCP_DENIED\n"
    )
    found = [
        (event.host, event.client_ip, event.bytes_up, event.bytes_down, event.allowed)
        for event in events(reading(text))
    ]
    assert found == [("a.example", "192.0.2.10", 2, 1, True), ("b.example", "192.0.2.11", 3, None, False)]


def test_a_connection_is_joined_with_its_end() -> None:
    built = "<166>May 06 2024 07:08:09 fw : %ASA-6-302013: Built outbound TCP connection {n} for outside:198.51.100.7/443 (198.51.100.7/443) to inside:192.0.2.10/50000 (203.0.113.9/50000) (CORP\\alice)"
    end = "<166>May 06 2024 07:08:24 fw : %ASA-6-302014: Teardown TCP connection {n} for outside:198.51.100.7/443 to inside:192.0.2.10/50000 duration 0:00:15 bytes 5526 TCP FINs"
    outcomes = list(reading("\n".join([built.format(n=1), built.format(n=2), end.format(n=1)])))
    assert sorted(each.line for each in outcomes) == [1, 2, 3]
    by_line = {each.line: each for each in outcomes}
    assert by_line[1] == Skipped(line=1, why=JOINED)
    ended, opened = by_line[3], by_line[2]
    assert isinstance(ended, TrafficEvent)
    assert isinstance(opened, TrafficEvent)
    assert (ended.bytes_total, ended.user, ended.client_ip, ended.dest_ip) == (
        5526,
        "CORP\\alice",
        "192.0.2.10",
        "198.51.100.7",
    )
    assert (opened.bytes_total, opened.user) == (None, "CORP\\alice")


def test_an_inbound_connection_keeps_its_direction() -> None:
    text = (
        "<166>May 06 2024 07:08:09 fw : %ASA-6-302013: Built inbound TCP connection 7 for outside:198.51.100.7/50000 (198.51.100.7/50000) to dmz:192.0.2.10/8443 (203.0.113.9/8443)\n"
        "<166>May 06 2024 07:08:24 fw : %ASA-6-302014: Teardown TCP connection 7 for outside:198.51.100.7/50000 to dmz:192.0.2.10/8443 duration 0:00:15 bytes 5526 TCP FINs"
    )
    (event,) = events(reading(text))
    assert (event.client_ip, event.dest_ip) == ("198.51.100.7", "192.0.2.10")


@pytest.mark.parametrize(
    "pack", [gzip.compress, zstandard.compress, lambda data: gzip.compress(zstandard.compress(data))]
)
def test_packed_logs(pack: object) -> None:
    assert len(events(reading(pack(f"{SQUID}\n{SQUID}\n".encode())))) == 2  # type: ignore[operator]


def test_members_of_an_archive_are_detected_one_by_one() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.log", f"{SQUID}\n{SQUID}\n")
        archive.writestr("b.log", f"{FORTI}\n")
    outcome = reading(out.getvalue())
    seen = [(outcome.member, each.line, each.source) for each in outcome if isinstance(each, TrafficEvent)]
    assert seen == [("up.log/a.log", 1, "squid"), ("up.log/a.log", 2, "squid"), ("up.log/b.log", 1, "fortigate")]


def test_a_cut_off_archive_gives_its_lines_and_the_reason() -> None:
    data = gzip.compress("\n".join(f"{SQUID}{number}" for number in range(9000)).encode())
    outcome = reading(data[:-200])
    assert len(events(outcome)) > 100
    assert outcome.counts.skipped["the gzip data ends early"] == 1


def test_lines_too_long_and_nul_are_skipped_with_their_reason() -> None:
    outcome = reading(
        b"%b\n%b\n%b\n%b\n"
        % (SQUID.encode(), b"x" * 1_000_000, SQUID.encode()[:20] + b"\0" + SQUID.encode()[20:], SQUID.encode())
    )
    assert [event.line for event in events(outcome)] == [1, 4]
    assert outcome.counts.skipped == {"longer than a log line can be": 1, "NUL inside the line": 1}


def test_the_zone_is_for_times_without_one() -> None:
    east = read(io.BytesIO(PALO.encode()), source=None, zone=datetime.strptime("+0200", "%z").tzinfo or UTC, now=NOW)
    assert [event.time for event in events(east)] == [datetime(2024, 5, 6, 5, 8, 9, tzinfo=UTC)]


def test_counts_know_the_span_and_the_future() -> None:
    late = SQUID.replace("1714979289", str(int((NOW + timedelta(days=3)).timestamp())))
    outcome = reading(f"{SQUID}\n{late}\n")
    assert len(events(outcome)) == 2
    assert outcome.counts.future == 1
    assert outcome.counts.first is not None
    assert outcome.counts.last is not None
    assert outcome.counts.first < NOW < outcome.counts.last


def test_reasons_hold_nothing_of_the_line() -> None:
    secret = "hunter2"
    outcome = reading(
        "\n".join(f"{parser.sample[: index * 7]}{secret}" for parser in PARSERS.values() for index in range(1, 9))
    )
    assert all(secret not in each.why for each in outcome if isinstance(each, Skipped))
    assert len(outcome.counts.skipped) < 20


PIECES = [line for parser in PARSERS.values() for line in parser.sample.split("\n")]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(PIECES)
        | st.text(alphabet=st.characters(blacklist_characters="\r\n\0{[]", blacklist_categories=["Cs"]), max_size=60),
        max_size=6,
    )
)
def test_every_line_has_exactly_one_outcome(lines: list[str]) -> None:
    text = "\n".join(lines)
    outcome = reading(text)
    seen = sorted(each.line for each in outcome)
    assert seen == [number for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    assert outcome.counts.lines == outcome.counts.events + outcome.counts.skipped.total()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([None, *PARSERS]))
def test_any_bytes_give_outcomes_and_end(data: bytes, source: str | None) -> None:
    for each in reading(data, source):
        assert isinstance(each, TrafficEvent | Skipped)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PIECES), st.data())
def test_a_sample_with_changed_bytes_gives_outcomes(line: str, data: st.DataObject) -> None:
    changed = bytearray(line.encode())
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    for each in reading(bytes(changed)):
        assert isinstance(each, TrafficEvent | Skipped)


def test_a_line_about_the_device_is_no_traffic_for_generic_parsers_either() -> None:
    pairs = 'time="2024-05-06T07:08:09Z" src_ip=192.0.2.10 user=alice host=box.example action=allowed'
    device = (
        "time=1714979289|hostname=mgmt|product=SmartConsole|action=Accept|loguid={0x1,0x0,0x1,0x1}|origin=192.0.2.1|"
        "administrator=admin|client_ip=192.0.2.10|machine=PC1|operation=Log In|subject=Administrator Login|"
    )
    text = "\n".join([pairs, pairs, device, pairs])
    outcomes = list(read(io.BytesIO(text.encode()), source=None, zone=UTC, now=NOW))
    assert [isinstance(outcome, Skipped) for outcome in outcomes] == [False, False, True, False]
    assert outcomes[2] == Skipped(line=3, why="a record of the device itself, no traffic")
