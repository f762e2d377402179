"""Pages without a type, by their first bytes."""

from __future__ import annotations

import pytest

from casb.rewrite.hosts import HostMap
from casb.rewrite.scan import urls_to_suffix
from casb.rewrite.sniff import Sniffed, is_plain_script, looks_like_html

HOSTS = HostMap("s.test", 443, ["app.example"])


@pytest.mark.parametrize(
    ("head", "final", "expected", "why"),
    [
        (b"<!DOCTYPE HTML>", False, True, "a page"),
        (b"\xef\xbb\xbf \n<HTML lang=en>", False, True, "behind a mark and space"),
        (b"<p>x", False, True, "a paragraph"),
        (b"<!--", False, True, "a comment"),
        (b"<htm", False, None, "perhaps"),
        (b"<htm", True, False, "not any more"),
        (b"<htmlx and more than that", False, False, "another word"),
        (b"%PDF-1.7 and more than that", False, False, "a document"),
        (b" " * 1445, False, False, "too late"),
    ],
)
def test_first_bytes(head: bytes, final: bool, expected: bool | None, why: str) -> None:
    assert looks_like_html(head, final) is expected, why


@pytest.mark.parametrize("step", [1, 100])
@pytest.mark.parametrize(
    ("start", "changed"), [(b"<!doctype html>", True), (b"%PDF-1.7 binary!!", False), (b"<b", False)]
)
def test_only_pages_are_changed(start: bytes, changed: bool, step: int) -> None:
    body = start + (b"<a href=//app.example/>" if len(start) > 5 else b"")
    rewriter = Sniffed(urls_to_suffix(HOSTS), looks_like_html)
    out = b"".join(rewriter.feed(body[at : at + step]) for at in range(0, len(body), step)) + rewriter.finish()
    assert out == (body.replace(b"app.example", b"app.example.s.test") if changed else body)


@pytest.mark.parametrize(
    ("head", "final", "expected", "why"),
    [
        (b"self.__next_f.push([1,", True, False, "server components"),
        (b"\n (self.__next_f=self.__next_f||[]).push([0])", False, False, "the first of them"),
        (b"window.__FLIGHT_DATA.push('')", True, False, "under another name"),
        (b"self.__next_f2.push([1,'']) // something else altogether", False, True, "a longer name"),
        (b"self.__ne", False, None, "too early"),
        (b"self.__ne", True, True, "that was all"),
        (b" " * 2000, False, True, "it has to begin some time"),
    ],
)
def test_scripts_that_are_data(head: bytes, final: bool, expected: bool | None, why: str) -> None:
    assert is_plain_script(head, final) is expected, why
