"""Bodies that mean harm: endless, deep, crowded. They pass unharmed, in bounded memory and short time."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator

import pytest

from casb.rewrite.body import BodyRewriter, rewriter_for
from casb.rewrite.context import RewriteContext
from casb.rewrite.hosts import HostMap

HOSTS = HostMap("s.test", 443, ["app.example"])
MB = 1024 * 1024
URL = b"https://app.example/"


def made(kind: str) -> BodyRewriter:
    context = RewriteContext(hosts=HOSTS, host="app.example", destination="image")
    return rewriter_for(kind, "utf-8", context) or pytest.fail()


def pieces(begin: bytes, each: bytes, size: int) -> Iterator[bytes]:
    yield begin
    piece = each * (65_536 // len(each) + 1)
    for _ in range(size // len(piece)):
        yield piece


@pytest.mark.parametrize(
    ("kind", "begin", "each", "size", "memory", "why"),
    [
        ("application/json", b'["', b"x", 100 * MB, 2, "one string on one line"),
        ("application/json", b"", b'[{"a":', 20 * MB, 2, "deep"),
        ("text/css", b"", b"a{b:url(", 20 * MB, 2, "never closed"),
        ("text/event-stream", b"data: ", b"x", 20 * MB, 2, "an event that never ends"),
        ("text/html", b"", b"<div>", 20 * MB, 4, "deep"),
        ("text/html", b"", b"<svg><foreignObject>", 1 * MB, 4, "deep in drawings"),
        ("text/html", b"", b"<noscript>", 1 * MB, 30, "deep, for those without scripts"),
        ("text/html", b"<a ", b"a=1 ", 7 * MB, 30, "a million attributes"),
        ("text/html", b"<a x='", b"y", 20 * MB, 40, "a value that never ends"),
        ("text/html", b"<!--", b"- ", 20 * MB, 4, "a comment that never ends"),
        ("text/html", b"<svg>", b"<path d='x'>", 5 * MB, 4, "a drawing that never ends"),
        ("text/html", b"", b"<", 5 * MB, 4, "nothing but angle brackets"),
        ("text/html", b"", b"='\"<a ", 5 * MB, 40, "quotes without sense"),
        ("application/xml", b"<a ", b"a='1' ", 9 * MB, 60, "a tag that never ends"),
        ("application/xml", b"", b"<a>", 5 * MB, 20, "deep"),
        ("text/javascript", b"'", b"x", 9 * MB, 60, "a string that never ends"),
    ],
)
def test_it_passes_in_bounded_memory(kind: str, begin: bytes, each: bytes, size: int, memory: int, why: str) -> None:
    rewriter = made(kind)
    given = taken = 0
    tracemalloc.start()
    began = time.process_time()
    for piece in pieces(begin, each, size):
        given += len(piece)
        taken += len(rewriter.feed(piece))
    taken += len(rewriter.finish())
    spent, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken == given, why
    assert peak < memory * MB, f"{why}: {peak / MB:.1f} MB"
    assert spent < 30, f"{why}: {spent:.1f} s"


def test_what_is_crowded_is_still_mapped() -> None:
    rewriter = made("text/html")
    tag = b"<a " + b"".join(b"a%d=1 " % number for number in range(100_000)) + b'href="' + URL + b'">'
    out = rewriter.feed(tag) + rewriter.finish()
    assert out == tag.replace(b"app.example", b"app.example.s.test")


def test_pages_in_pages_end_somewhere() -> None:
    page = b'<a href="//app.example/">'
    for _ in range(20):
        page = b'<iframe srcdoc="' + page.replace(b"&", b"&amp;").replace(b'"', b"&quot;") + b'">'
    rewriter = made("text/html")
    assert len(rewriter.feed(page) + rewriter.finish()) >= len(page)
