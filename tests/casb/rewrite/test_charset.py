"""Charsets in which bytes are not what they seem: declared, marked, said in the page, or wrongly said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.rewrite.charset import InCharset, Transcoded, is_wide
from casb.rewrite.hosts import HostMap
from casb.rewrite.scan import names_to_suffix

HOSTS = HostMap("s.test", 443, ["app.example"])
TEXT = "'https://app.example/', '\u6f22\u5b57'"
MAPPED = TEXT.replace("app.example", "app.example.s.test")


def through(data: bytes, charset: str, markup: str, step: int) -> bytes:
    rewriter = InCharset(names_to_suffix(HOSTS), charset, markup)
    return b"".join(rewriter.feed(data[at : at + step]) for at in range(0, len(data), step)) + rewriter.finish()


@pytest.mark.parametrize("step", [1, 3, 5000])
@pytest.mark.parametrize(
    ("before", "codec", "charset", "markup", "why"),
    [
        ("", "utf-8", "utf-8", "", "as said"),
        ("", "shift_jis", "shift_jis", "html", "ASCII where it matters"),
        ("", "gb18030", "gb18030", "html", "likewise"),
        ("", "utf-16-le", "utf-16", "", "as said"),
        ("\ufeff", "utf-16-be", "utf-8", "", "a mark outranks the header"),
        ("\ufeff", "utf-16-le", "", "html", "a mark"),
        ("", "iso2022_jp", "iso-2022-jp", "html", "as said"),
        ("<meta charset='ISO-2022-JP'>", "iso2022_jp", "", "html", "said in the page"),
        ("<?xml", "utf-16-le", "", "xml", "by its first bytes"),
        ("", "utf-8", "utf-7", "html", "a label that browsers do not know"),
    ],
)
def test_charsets(before: str, codec: str, charset: str, markup: str, why: str, step: int) -> None:
    assert through((before + TEXT).encode(codec), charset, markup, step) == (before + MAPPED).encode(codec), why


@given(st.binary(max_size=60), st.sampled_from(["utf-16-le", "utf-16-be", "iso2022_jp"]), st.integers(1, 9))
def test_any_bytes_in_any_charset(data: bytes, codec: str, step: int) -> None:
    rewriter = Transcoded(names_to_suffix(HOSTS), codec)
    out = b"".join(rewriter.feed(data[at : at + step]) for at in range(0, len(data), step)) + rewriter.finish()
    if codec.startswith("utf-16"):
        assert out == data


@pytest.mark.parametrize(
    ("label", "wide"), [("utf-16", True), ("utf16le", True), ("ucs-2", True), ("utf-8", False), ("", False)]
)
def test_labels(label: str, wide: bool) -> None:
    assert is_wide(label) is wide
