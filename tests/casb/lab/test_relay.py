"""Marks are found in what goes to an origin, however it is cut and coded."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.lab.relay import Finder, Unmasker, forms_of

MARK = "casb-lab"
TEXT = b"see https://files.acme.example.casb-lab.example/ for more"


@given(st.binary(max_size=60), st.integers(1, 40))
def test_a_mark_is_found_in_any_chunks(lead: bytes, size: int) -> None:
    data, finder = lead + TEXT, Finder([MARK])
    found = [mark for at in range(0, len(data), size) for mark in finder.feed(data[at : at + size])]
    assert found == [MARK]


@pytest.mark.parametrize("lead", range(3))
def test_a_mark_is_found_in_base64(lead: int) -> None:
    coded = base64.b64encode(b"x" * lead + TEXT)
    assert any(form in coded for form in forms_of(MARK))
    assert Finder([MARK]).feed(b'{"doc": "' + coded + b'"}') == [MARK]


def test_upper_case_and_nothing() -> None:
    assert Finder([MARK]).feed(TEXT.upper()) == [MARK]
    assert Finder([MARK]).feed(b"https://files.acme.example/" * 100) == []


def frame(payload: bytes, key: bytes) -> bytes:
    length = len(payload)
    head = bytes([0x81, 0x80 | length]) if length < 126 else bytes([0x81, 0xFE]) + length.to_bytes(2, "big")
    return head + key + bytes(each ^ key[at % 4] for at, each in enumerate(payload))


@given(st.lists(st.binary(max_size=300), max_size=5), st.binary(min_size=4, max_size=4), st.integers(1, 50))
def test_frames_are_unmasked_in_any_chunks(payloads: list[bytes], key: bytes, size: int) -> None:
    data, unmasker = b"".join(frame(each, key) for each in payloads), Unmasker()
    out = b"".join(unmasker.feed(data[at : at + size]) for at in range(0, len(data), size))
    assert out == b"".join(payloads)
