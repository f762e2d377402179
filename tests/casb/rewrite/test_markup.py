"""Tokens of HTML: which tags count as plain links, where attributes and raw text end."""

from __future__ import annotations

import pytest

from casb.rewrite.markup import LINK, NAMED, ORIGIN, SKIP, TAG, RawText, attributes


@pytest.mark.parametrize(
    ("tag", "origin", "why"),
    [
        (b'<a href="https://app.example/x?y=1&amp;z">', b"https://app.example", "as most links are"),
        (b"<img alt='' src='//app.example:8444' width=1 hidden/>", b"//app.example:8444", "single quotes, no path"),
        (b'<a\nclass="a\nb" title="50% & more" href="http://app.example#x" >', b"http://app.example", "others too"),
        (b'<video poster="/p.png" src="wss://app.example/">', b"wss://app.example", "a relative URL before it"),
        (b'<video src="https://app.example/" poster="p.png">', b"https://app.example", "a relative URL behind it"),
        (b'<a href="/x" data-u="https://other.test/" style="color:red">', None, "no absolute URL"),
        (b'<use href="https://app.example/" xlink:href="https://b.example/">', None, "two absolute URLs"),
        (b'<use href="https://app.example/" xlink:href="https&colon;//b.example/">', None, "perhaps two"),
        (b'<a href="https://app.example/" srcset="/a">', b"https://app.example", "candidates change only with a host"),
        (b'<a href="https://app.example/" srcdoc="&lt;p&gt;">', None, "a page in an attribute"),
        (b'<a href="https://app.example/\n">', None, "browsers drop the newline"),
        (b'<a href="https://me@app.example/">', None, "user information"),
        (b'<a href="https://app.example&sol;x">', None, "a reference where the authority ends"),
        (b'<a href="https://app%2eexample/">', None, "an escape in the host"),
        (b'<a href=" https://app.example/">', None, "a leading space"),
        (b"<a href=https://app.example/>", None, "no quotes"),
        (b'<a HREF="https://app.example/">', None, "capitals"),
        (b'<a href ="https://app.example/">', None, "white space before the sign"),
        (b'<a title="x"href="https://app.example/">', None, "no white space between attributes"),
        (b'<a href="https://app.example/"', None, "not yet whole"),
        (b'<script src="https://app.example/">', None, "raw text follows"),
        (b'<meta content="x" href="https://app.example/">', None, "may hold a policy"),
        (b'<scripts src="https://app.example/">', b"https://app.example", "not a script"),
        (b'</a href="https://app.example/">', None, "an end tag"),
    ],
)  # fmt: skip
def test_plain_links(tag: bytes, origin: bytes | None, why: str) -> None:
    found = LINK.match(tag)
    assert (found and found[2]) == origin, why
    assert found is None or found.end() == len(tag)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        (b"https://app.example", b"https://app.example"),
        (b"//app.example:8444/x", b"//app.example:8444"),
        (b"https://app.example/a\tb", None),
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
    ("text", "rest"),
    [
        (b"a < b <3 <p title='>'></p x><!-- <a> --><!doctype html><?x?><title>", b"<title>"),
        (b"<p><a href='", b"<a href='"),
        (b"<p><!--", b"<!--"),
        (b"<p></TEXTAREA ><SCRIPT>", b"<SCRIPT>"),
    ],
)
def test_what_is_skipped(text: bytes, rest: bytes) -> None:
    found = SKIP.match(text)
    assert found is not None and text[found.end() :] == rest


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
