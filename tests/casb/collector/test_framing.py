"""Messages out of a byte stream, however it is cut and framed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.collector.framing import Frames, one_line


def messages(data: bytes, size: int = 7, longest: int = 1024) -> list[bytes]:
    frames = Frames(longest)
    found = [each for at in range(0, len(data), size) for each in frames.feed(data[at : at + size])]
    rest = frames.rest()
    return [*found, *([rest] if rest else [])]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"<13>one\n<13>two\n", [b"<13>one", b"<13>two"]),
        (b"<13>one\r\n\n\n<13>two", [b"<13>one", b"<13>two"]),
        (b"7 <13>one7 <13>two", [b"<13>one", b"<13>two"]),
        (b"9 <13>a\nb c<13>line\n7 <13>two", [b"<13>a\nb c", b"<13>line", b"<13>two"]),
        (b"2026-11-21 a line that begins with a digit\n", [b"2026-11-21 a line that begins with a digit"]),
        (b"1280000000.5 9 10.0.0.1 TCP_MISS/200\n", [b"1280000000.5 9 10.0.0.1 TCP_MISS/200"]),
        (b"123456789012 not a length\n", [b"123456789012 not a length"]),
        (b"", []),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_frames(data: bytes, expected: list[bytes], size: int) -> None:
    assert messages(data, size) == expected


def test_what_is_too_long_is_cut_and_the_next_message_is_whole() -> None:
    long = b"x" * 5000
    assert messages(b"5000 " + long + b"3 abc", longest=100) == [b"x" * 100, b"abc"]
    found = messages(long + b"\nnext\n", size=64, longest=100)
    assert found[0].startswith(b"x" * 100) and found[-1] == b"next"


@settings(max_examples=60)
@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_give_messages_within_bounds(data: bytes, size: int) -> None:
    for message in messages(data, size, longest=64):
        assert len(message) <= 64 + size
        assert b"\n" not in one_line(message)


@settings(max_examples=60)
@given(
    st.lists(st.binary(min_size=1, max_size=40).filter(lambda each: each.rstrip(b"\0\r\n") == each)), st.integers(1, 9)
)
def test_counted_messages_come_back(sent: list[bytes], size: int) -> None:
    data = b"".join(b"%d %b" % (len(each), each) for each in sent)
    assert messages(data, size) == sent
