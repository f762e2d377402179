from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.inspection.normal import Normaliser, table


def plain(text: str) -> str:
    normaliser = Normaliser()
    raw = text.encode("utf-8", "surrogateescape")
    return (normaliser.feed(raw) + normaliser.feed(b"", final=True)).decode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("abc 123", "abc 123"),
        ("\uff11\uff12 \u0661\u06f2\u0967", "12 121"),
        ("a\u00a0b\u2003c\u3000d", "a b c d"),
        ("1\u20132\u20143\u22124\u20115\uff0d6", "1-2-3-4-5-6"),
        ("1\u200b2\u200d3\ufeff4\u00ad5\u20606\ufe0f7\u034f8\U000e01019", "123456789"),
        ("\u202e12\u202c", "12"),
        ("\uff21\U0001d400\U0001d7d8\u2460", "AA01"),
        ("Stra\u00dfe \u4e2d\u6587 \u043f\u0440\u0438", "Stra\u00dfe \u4e2d\u6587 \u043f\u0440\u0438"),
        ("a\u00b7b\u30fbc", "a.b.c"),
        ("x\udcff\udc80y", "x??y"),
        ("a\u2028b\u0085c", "a\nb\nc"),
    ],
)
def test_what_looks_alike_is_alike(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.lists(st.one_of(st.binary(max_size=12), st.text("1\u200b\uff11é \u4e2d", max_size=6).map(str.encode))))
@settings(max_examples=150)
def test_any_chunking_gives_the_same_text_and_the_same_places(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    whole, cut = Normaliser(), Normaliser()
    text = whole.feed(raw) + whole.feed(b"", final=True)
    assert b"".join(cut.feed(piece) for piece in pieces) + cut.feed(b"", final=True) == text
    text.decode()
    begins = [at for at, byte in enumerate(text) if byte & 0xC0 != 0x80]
    places = [whole.raw(at) for at in begins]
    assert places == [cut.raw(at) for at in begins]
    assert places == sorted(places)


def test_a_place_is_traced_back() -> None:
    raw = "é\u200b4\uff11 x".encode()
    normaliser = Normaliser()
    text = normaliser.feed(raw)
    assert text == "é41 x".encode()
    assert [raw[normaliser.raw(at) :][:3] for at in (2, 3, 4)] == [b"4\xef\xbc", "\uff11".encode(), b" x"]


def test_every_replacement_is_a_character_or_nothing() -> None:
    assert all(len(shown) <= 1 and shown.isascii() for shown in table().values())
    assert not any(char.isascii() for char in table())
