"""The table of parsers, and connections that wait for their end."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from casb.discovery import PARSERS
from casb.discovery.parser import HELD, JOINED, Opened, Parsers
from casb.model.discovery import Skipped, TrafficEvent


def opened(line: int) -> TrafficEvent:
    return TrafficEvent(line=line, time=datetime(2024, 5, 6, tzinfo=UTC), source="s", dest_ip="198.51.100.7")


def test_numbers_and_type_names_of_the_reference_find_their_parser() -> None:
    for name, parser in (
        ("ZSCALER_QRADAR", "zscaler"),
        ("120", "zscaler"),
        ("143", "zscaler"),
        ("Squid_Native", "squid"),
        ("216", "ironport"),
        ("167", None),
    ):
        found = PARSERS.find(name)
        assert (found.name if found else None) == parser
    assert PARSERS.find(108) is PARSERS["fortigate"]


def test_every_number_of_the_matrix_is_known() -> None:
    native = {167, 176}  # the custom parser and our own proxy's stream are no log formats
    gaps = {100, 105, 107, 109, 110, 115, 117, 122, 123, 127, 128, 131, 132, 134, 137}  # not to be chosen there either
    unknown = [number for number in range(101, 227) if number not in native | gaps and PARSERS.find(number) is None]
    assert unknown == []


def test_names_and_aliases_are_unique() -> None:
    with pytest.raises(ValueError, match="squid"):
        Parsers(PARSERS["squid"], PARSERS["squid"])


def test_an_open_connection_is_told_once() -> None:
    waiting = Opened(most=2)
    assert waiting.hold("a", opened(1)) is HELD
    assert waiting.hold("b", opened(2)) is HELD
    assert waiting.close("a") == opened(1)
    assert waiting.close("a") is None
    assert list(waiting.released()) == [Skipped(line=1, why=JOINED)]
    assert list(waiting.rest()) == [opened(2)]


def test_too_many_open_connections_push_out_the_oldest() -> None:
    waiting = Opened(most=2)
    for line in (1, 2, 3):
        waiting.hold(line, opened(line))
    assert list(waiting.released()) == [opened(1)]


def test_a_number_used_again_gives_up_the_first() -> None:
    waiting = Opened()
    waiting.hold("a", opened(1))
    waiting.hold("a", opened(2))
    assert list(waiting.rest()) == [opened(1), opened(2)]
