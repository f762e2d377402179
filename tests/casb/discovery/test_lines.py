"""Bytes to numbered lines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.discovery.lines import MAX_LINE, numbered
from casb.discovery.unpack import Damage
from casb.model.discovery import Skipped


def read(data: bytes, size: int = 1 << 18) -> list[tuple[int, str] | Skipped]:
    def chunks() -> Iterator[bytes | Damage]:
        for at in range(0, len(data), size):
            yield data[at : at + size]

    return list(numbered(chunks()))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a\nb\n", [(1, "a"), (2, "b")]),
        (b"a\nb", [(1, "a"), (2, "b")]),
        (b"a\r\n\r\nb\r\n", [(1, "a"), (3, "b")]),
        (b"a\rb\r", [(1, "a"), (2, "b")]),
        (b"\n \n\t\nx", [(4, "x")]),
        (b"", []),
        (b"\xef\xbb\xbfa\n", [(1, "a")]),
        ("ä\nö".encode(), [(1, "ä"), (2, "ö")]),
        ("ä\n".encode() + b"caf\xe9\n", [(1, "ä"), (2, "café")]),
        ("\ufeffä\nö\n".encode("utf-16-le"), [(1, "ä"), (2, "ö")]),
        ("a line\nand more\n".encode("utf-16-be"), [(1, "a line"), (2, "and more")]),
        (b"\0\0\0a\0\n", [(1, "a")]),
        (b"\0\0\0\nb", [Skipped(line=1, why="nothing but NUL"), (2, "b")]),
        (b"a\0b\nc", [Skipped(line=1, why="NUL inside the line"), (2, "c")]),
        (b"9 <134>ab\n9 <134>cd\n", [(1, "9 <134>ab"), (2, "9 <134>cd")]),
        (b"7 <134>ab7 <134>cd7 <134>ef", [(1, "<134>ab"), (2, "<134>cd"), (3, "<134>ef")]),
    ],
)
def test_lines(data: bytes, expected: list[object]) -> None:
    assert read(data) == expected


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_chunks_change_nothing(size: int) -> None:
    data = "ä\r\nsecond\n\nfourth €\nlast".encode()
    assert read(data, size) == read(data)


def test_a_line_too_long_is_skipped_and_the_next_is_read() -> None:
    for chunk in (1 << 18, 1000):
        assert read(b"a\n" + b"x" * (MAX_LINE + 1) + b"\nb\n", chunk) == [
            (1, "a"),
            Skipped(line=2, why="longer than a log line can be"),
            (3, "b"),
        ]


def test_a_last_line_too_long_is_skipped() -> None:
    assert read(b"a\n" + b"x" * 1_000_000, 4096) == [(1, "a"), Skipped(line=2, why="longer than a log line can be")]


def test_damage_is_told_where_it_is() -> None:
    outcome = list(numbered(iter([b"a\nb", Damage("it ends")])))
    assert outcome == [(1, "a"), Skipped(line=2, why="it ends"), (2, "b")]


@settings(max_examples=300)
@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_bytes_give_numbered_lines(data: bytes, size: int) -> None:
    numbers = [each.line if isinstance(each, Skipped) else each[0] for each in read(data, size)]
    assert numbers == sorted(numbers)
    for each in read(data, size):
        assert isinstance(each, Skipped) or (each[1].strip() and "\n" not in each[1] and "\0" not in each[1])
