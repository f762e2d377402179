"""Tokens of HTML: which tags count as plain links, where attributes and raw text end."""

from __future__ import annotations

import pytest

from casb.rewrite.markup import DRAWING, NAMED, ORIGIN, QUIET, TAG, RawText, attributes


@pytest.mark.parametrize(
    ("text", "rest", "why"),
    [
        (b"a &lt; b<p class=x title='y' hidden>text</p x=\"y\"><b>", b"", "text and tags without surprises"),
        (b"<p>a < b<<p>", b"", "not a tag"),
        (b"<p><!-- -->", b"<!-- -->", "a comment"),
        (b"<p><a title='>'>", b"<a title='>'>", "an angle bracket in a value"),
        (b'<p><a x = "y">', b'<a x = "y">', "white space around the sign"),
        (b'<p><a x=y="z b="c">', b'<a x=y="z b="c">', "a quote inside a value without quotes"),
        (b'<p><a "x">', b'<a "x">', "a quote in a name"),
        (b'<p><a x= y="z w=" q>', b'<a x= y="z w=" q>', "the value is y=..."),
        (b'<p><a b="c', b'<a b="c', "not yet whole"),
    ],
)
def test_quiet_markup(text: bytes, rest: bytes, why: str) -> None:
    found = QUIET.match(text)
    assert found is not None and text[found.end() :] == rest, why


@pytest.mark.parametrize(
    ("text", "whole", "why"),
    [
        (b'<svg class="i" viewBox=\'0 0 1 1\'><g><path d="M0 0"/></g> <use href="#a"/></svg>', True, "shapes"),
        (b"<SVG><Circle r=1 /></SVG>", True, "in any case"),
        (b"<svg/>", False, "closed at once"),
        (b"<svg><style>a{}</style></svg>", False, "text that looks raw and is not"),
        (b"<svg><foreignObject><p></foreignObject></svg>", False, "HTML in it"),
        (b"<svg><p></svg>", False, "it ends the drawing"),
        (b"<svg><!-- --></svg>", False, "a comment"),
        (b"<svgx></svgx>", False, "another element"),
    ],
)
def test_drawings(text: bytes, whole: bool, why: str) -> None:
    found = DRAWING.match(text)
    assert (found is not None and found.end() == len(text)) is whole, why


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        (b"https://app.example", b"https://app.example"),
        (b"//app.example:8444/x", b"//app.example:8444"),
        (b"https://app.example/a\tb", b"https://app.example"),
        (b"https://app.exam\tple/", None),
        (b"https://app.example:x/", None),
        (b"https://app.example@evil.test/", None),
        (b"ftp://app.example/", None),
        (b"/x", None),
    ],
)
def test_origins(url: bytes, origin: bytes | None) -> None:
    found = ORIGIN.match(url)
    assert (found and found[0]) == origin


def test_a_tag_and_its_attributes() -> None:
    tag = TAG.match(b"<a B=1 c='>' d=\"\" b=2 e>text")
    assert tag is not None and (tag[1], tag[2]) == (b"", b"a")
    assert attributes(tag[0], 2) == {b"b": b"1", b"c": b">", b"d": b"", b"e": b""}, "of duplicates the first counts"
    values = [found[found.lastindex or 0] if found.lastindex != 1 else None for found in NAMED.finditer(tag[0], 2)]
    assert values == [b"1", b">", b"", b"2", None]


@pytest.mark.parametrize(
    ("name", "text", "expected", "why"),
    [
        (b"style", b"a{}</p></STYLE >", (7, True), "only its own end tag, in any case"),
        (b"style", b"a{}</styles>", (12, False), "a longer name"),
        (b"style", b"a{}</sty", (3, False), "it may still become one"),
        (b"script", b"<!--</script>", (4, True), "escaped"),
        (b"script", b"<!--<script></script></script>", (21, True), "double escaped"),
        (b"script", b"<!--<script>--></script>", (15, True), "the comment's end ends both"),
        (b"script", b"<!--><script></script>", (13, True), "an empty comment"),
        (b"script", b"x<!--", (1, False), "it may become an empty comment"),
    ],
)
def test_raw_text_ends(name: bytes, text: bytes, expected: tuple[int, bool], why: str) -> None:
    assert RawText(name).find_end(text, 0) == expected, why
