"""Custom log parsers: described in YAML, learned from lines."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.discovery import PARSERS, LogParser, custom, read
from casb.errors import Problems
from casb.model.discovery import Skipped, TrafficEvent

NOW = datetime(2024, 5, 20, tzinfo=UTC)

CSV = b"""\
name: acme
title: ACME proxy
format: csv
delimiter: semicolon
columns: [stamp, src, who, page, up, down, verdict]
time: {column: stamp, format: "%d/%m/%Y %H:%M:%S", zone: Europe/Berlin}
fields: {client_ip: src, user: who, url: page, bytes_up: up, bytes_down: down, action: verdict}
denied: [nope]
"""
LINE = "06/05/2024 09:08:09;192.0.2.10;CORP\\alice;https://box.example/up;815;4711;"


def events(text: str, parser: LogParser) -> list[TrafficEvent]:
    outcomes = read(io.BytesIO(text.encode()), source=parser, zone=UTC, now=NOW)
    return [outcome for outcome in outcomes if isinstance(outcome, TrafficEvent)]


def check(event: TrafficEvent, source: str) -> None:
    assert event.source == source
    assert event.time == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert (event.user, event.client_ip, event.host) == ("CORP\\alice", "192.0.2.10", "box.example")
    assert (event.bytes_up, event.bytes_down) == (815, 4711)


def test_a_described_csv_without_header() -> None:
    parser = custom.load(CSV, "acme.yaml")
    first, second = events(f"{LINE}fine\n<134>May  6 07:08:09 relay {LINE}nope\n", parser)
    check(first, "acme")
    check(second, "acme")
    assert (first.allowed, second.allowed) == (True, False)


def test_a_header_in_the_file_names_the_columns_whatever_their_order() -> None:
    shape = b"name: acme\nformat: csv\ntime: {date: Day, time: Clock}\nfields: {client_ip: Src, host: Dst}\n"
    text = "Dst,Extra,Clock,Src,Day\nbox.example,x,07:08:09,192.0.2.10,2024-05-06\nSrc,Dst,Day,Clock\n192.0.2.11,a.example,2024-05-06,07:08:10\n"
    found = events(text, custom.load(shape, "acme.yaml"))
    assert [(event.client_ip, event.host, event.time.second) for event in found] == [
        ("192.0.2.10", "box.example", 9),
        ("192.0.2.11", "a.example", 10),
    ]


def test_described_pairs() -> None:
    shape = b"name: acme\nformat: pairs\ntime: {column: when, format: epoch}\nfields: {client_ip: from, dest_ip: to, bytes_total: size, action: did}\ndenied: [stop]\n"
    found = events("when=1714979289 from=192.0.2.10 to=198.51.100.7 size=99 did=stop x=y", custom.load(shape, "a.yaml"))
    assert [(event.dest_ip, event.bytes_total, event.allowed) for event in found] == [("198.51.100.7", 99, False)]


def test_a_custom_parser_joins_the_table() -> None:
    parser = custom.load(CSV, "acme.yaml")
    table = PARSERS.extended(parser)
    assert table.find("ACME") is parser
    outcome = read(io.BytesIO(f"{LINE}fine\n".encode()), source=None, zone=UTC, now=NOW, parsers=table)
    assert [isinstance(each, TrafficEvent) for each in outcome] == [True]
    assert outcome.source == "acme"
    with pytest.raises(ValueError, match="squid"):
        PARSERS.extended(custom.load(CSV.replace(b"acme", b"squid"), "x.yaml"))


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        ((b"name: acme", b"name: Acme Proxy"), "a.yaml:1:7", "no name"),
        ((b"semicolon", b"sausage"), "a.yaml:4:12", "no delimiter"),
        ((b"column: stamp", b"column: stmp"), "a.yaml:6:16", "did you mean 'stamp'"),
        ((b"Europe/Berlin", b"Europe/Atlantis"), "a.yaml:6:58", "no time zone"),
        ((b"%d/%m/%Y %H:%M:%S", b"dd/mm/yyyy"), "a.yaml:6:31", "no time format"),
        ((b"url: page, ", b""), "a.yaml:7:9", "destination"),
        ((b"url: page", b"ulr: page"), "a.yaml:7:", "url"),
        ((b"format: csv", b"format: xml"), "a.yaml:3:9", "csv"),
        ((b"time: {column: stamp, format", b"time: {format"), "a.yaml:6:7", "no column with the time"),
    ],
)
def test_errors_have_their_place(change: tuple[bytes, bytes], place: str, words: str) -> None:
    with pytest.raises(Problems) as problems:
        custom.load(CSV.replace(*change), "a.yaml")
    assert any(str(error).startswith(place) and words in str(error) for error in problems.value.errors), str(
        problems.value
    )


LEARNED = {
    "comma": ["2024-05-06 07:08:09,192.0.2.10,CORP\\alice,https://box.example/up,815,4711,allowed"] * 3,
    "comma with a header": [
        "time,user,src,url,sent,received,action",
        "2024-05-06 07:08:09,CORP\\alice,192.0.2.10,https://box.example/up,815,4711,allowed",
        "2024-05-06 07:08:09,CORP\\alice,192.0.2.10,https://box.example/up,815,4711,allowed",
    ],
    "tab": ["2024-05-06\t07:08:09\t192.0.2.10\tCORP\\alice\tbox.example\t815\t4711"] * 3,
    "bar": ["1714979289|CORP\\alice|192.0.2.10|https://box.example/up|GET|200|815|4711|OK"] * 3,
    "pairs": [
        'ts=1714979289 who="x" user="CORP\\alice" src=192.0.2.10 url="https://box.example/up" sent=815 received=4711'
    ]
    * 3,
}


@pytest.mark.parametrize("lines", LEARNED.values(), ids=LEARNED.keys())
def test_three_lines_are_enough(lines: list[str]) -> None:
    text = custom.learn(lines, name="acme")
    found = events("\n".join(lines), custom.load(text.encode(), "acme.yaml"))
    assert len(found) >= 2
    for event in found:
        check(event, "acme")


def test_a_header_of_its_own() -> None:
    lines = ["2024-05-06 07:08:09;1;CORP\\alice;192.0.2.10;box.example;815;4711"] * 3
    text = custom.learn(lines, name="acme", header="stamp;n;login;client_ip;host;uploaded;downloaded")
    for event in events("\n".join(lines), custom.load(text.encode(), "acme.yaml")):
        check(event, "acme")


def test_the_day_first_is_learned() -> None:
    lines = [
        "06/05/2024 07:08:09,192.0.2.10,box.example,1",
        "25/05/2024 07:08:09,192.0.2.10,box.example,1",
        "26/05/2024 07:08:09,192.0.2.10,box.example,1",
    ]
    assert '"%d/%m/%Y %H:%M:%S"' in custom.learn(lines)


@pytest.mark.parametrize("lines", [[], ["one line"], ["a,b,c", "d,e"], ["1,2,3,4"] * 3, ["x,y,z,box.example"] * 3])
def test_what_cannot_be_learned_is_said(lines: list[str]) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        custom.learn(lines)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(max_size=60) | st.from_regex(r"[0-9a-z.,;|= :/-]{5,50}"), max_size=4))
def test_any_lines_give_a_description_that_loads_or_a_sentence(lines: list[str]) -> None:
    try:
        text = custom.learn(lines)
    except ValueError:
        return
    try:
        parser = custom.load(text.encode(), "x.yaml")
    except Problems:
        return  # Column names that YAML texts cannot hold.
    for outcome in read(io.BytesIO("\n".join(lines).encode()), source=parser, zone=UTC, now=NOW):
        assert isinstance(outcome, TrafficEvent | Skipped)
