"""Protocol Buffers: names inside come back, lengths stay true, and what is no message keeps its bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.rewrite.hosts import HostMap
from casb.rewrite.protobuf import binary_to_origin

HOSTS = HostMap("casb.test", 8443, ["app.example"])
OURS, THEIRS = b"https://app.example.casb.test:8443/p", b"https://app.example/p"


def varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + varint(value >> 7)


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


LONG = b"x" * 120
NUMBERS = b"\x08\x96\x01" + b"\x11" + bytes(8) + b"\x1d" + bytes(4)


@pytest.mark.parametrize(
    ("data", "expected", "why"),
    [
        (field(1, OURS), field(1, THEIRS), "a string"),
        (NUMBERS + field(9, OURS) + NUMBERS, NUMBERS + field(9, THEIRS) + NUMBERS, "among numbers"),
        (field(2, field(1, OURS)), field(2, field(1, THEIRS)), "a message in the message"),
        (field(2, field(1, OURS + LONG)), field(2, field(1, THEIRS + LONG)), "lengths of two bytes"),
        (field(2, b"see " + OURS + b"\nand"), field(2, b"see " + THEIRS + b"\nand"), "what somebody typed"),
        (field(2, field(4, b"\x01" + OURS)), None, "bytes that are no text"),
        (field(2, field(4, OURS)), None, "a field that could be text as well"),
        (field(1, OURS)[:-1], None, "cut off"),
        (b"\x00" + field(1, OURS), None, "no field is number 0"),
        (b"\x0b" + field(1, OURS), None, "a group"),
        (b"\xff" * 11 + OURS, None, "an endless number"),
        (OURS, None, "text alone"),
        (field(1, b"https://other.example/"), None, "nothing of ours"),
        (b"", None, "nothing"),
    ],
)
def test_messages(data: bytes, expected: bytes | None, why: str) -> None:
    assert binary_to_origin(data, HOSTS) == (data if expected is None else expected), why


@settings(max_examples=200)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_come_through(head: bytes, tail: bytes) -> None:
    data = head + OURS + tail
    found = binary_to_origin(data, HOSTS)
    assert len(found) <= len(data)
    assert binary_to_origin(found, HOSTS) == found
    assert binary_to_origin(head, HOSTS) == head


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 300), st.text(max_size=40)), max_size=6), st.integers(0, 25))
def test_what_is_around_stays(fields: list[tuple[int, str]], depth: int) -> None:
    def wrapped(url: bytes) -> bytes:
        data = field(1, url)
        for _ in range(depth):
            data = field(3, data + field(2, b"\x01"))
        around = b"".join(field(number, text.encode()) for number, text in fields)
        return around + field(7, b"\x08\x01" + data)

    assert binary_to_origin(wrapped(OURS), HOSTS) == wrapped(THEIRS)


def test_depth_is_bounded() -> None:
    data = field(1, OURS)
    for _ in range(2000):
        data = field(1, data)
    assert binary_to_origin(data, HOSTS) == data
