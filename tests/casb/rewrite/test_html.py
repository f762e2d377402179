"""HTML: what in a page is changed, what is not, and where the guard's tag goes."""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

from dataclasses import replace

import pytest

from casb.rewrite import html
from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.hosts import HostMap
from casb.rewrite.html import HtmlRewriter

HOSTS = HostMap("casb.test", 8443, ["app.example", "*.wild.example"])
APP = RewriteContext(hosts=HOSTS, host="app.example")
TO = "https://app.example.casb.test:8443"
GUARD = '<script src="/.casb/guard.js"></script>'


def page(text: str, *, guard: bool = False, policy: PagePolicy | None = None, context: RewriteContext = APP) -> str:
    rewriter = HtmlRewriter(context, policy or PagePolicy(), guard=guard)
    data = text.encode("utf-8", "surrogateescape")
    whole = rewriter.feed(data) + rewriter.finish()
    drops = HtmlRewriter(context, policy or PagePolicy(), guard=guard)
    dropped = b"".join([drops.feed(data[at : at + 1]) for at in range(len(data))] + [drops.finish()])
    assert dropped == whole, "any chunking gives the same bytes"
    return whole.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("text", "expected", "why"),
    [
        ('<a href="https://app.example/">', f'<a href="{TO}/">', "double quotes"),
        ("<a href='https://app.example/'>", f"<a href='{TO}/'>", "single quotes"),
        ("<A HREF=https://app.example/>", f"<A HREF={TO}/>", "no quotes"),
        ("<a\nhref\t=\n'//app.example/'/>", "<a\nhref\t=\n'//app.example.casb.test:8443/'/>", "white space"),
        ("<a/href='https://app.example/'>", f"<a/href='{TO}/'>", "a slash between attributes"),
        ("<a x'href='https://app.example/'>", None, "an attribute called x'href"),
        ("<a title='>' href='https://app.example/'>", f"<a title='>' href='{TO}/'>", "> in a value"),
        ("<a href='https:&#47;&sol;app.example&#x2f;?a=1&amp;b'>", f"<a href='{TO}&#x2f;?a=1&amp;b'>", "character references"),
        ("<a href='https://app.example/?a&copy=1&amp;b'>", f"<a href='{TO}/?a&copy=1&amp;b'>", "the rest stays as it was"),
        ("<a href='https://other/?u=https://app.example/'>", None, "another host's query"),
        ("<form action=https://app.example/><button formaction=//app.example/>", f"<form action={TO}/><button formaction=//app.example.casb.test:8443/>", "forms"),
        ("<img srcset='//app.example/1 1x, https://x.wild.example/2 2x'>", "<img srcset='//app.example.casb.test:8443/1 1x, https://x.wild.example.casb.test:8443/2 2x'>", "candidates"),
        ("<video poster=https://app.example/>", f"<video poster={TO}/>", "posters"),
        ("<object data=https://app.example/>", f"<object data={TO}/>", "objects"),
        ("<a ping='https://app.example/p /q'>", f"<a ping='{TO}/p /q'>", "pings"),
        ("<base href=http://app.example/x/>", f"<base href={TO}/x/>", "base"),
        ("<use xlink:href='https://app.example/#i'>", f"<use xlink:href='{TO}/#i'>", "drawings"),
        ("<p style=\"background:url('https://app.example/i')\">", f"<p style=\"background:url('{TO}/i')\">", "inline style"),
        ("<p onclick=\"go('app.example')\">", "<p onclick=\"go('app.example.casb.test:8443')\">", "handlers"),
        ("<a href=\"javascript:go('https://app.example/')\">", f"<a href=\"javascript:go('{TO}/')\">", "script URLs"),
        ("<p data-u='{&quot;u&quot;:&quot;https://app.example/&quot;}'>", f"<p data-u='{{&quot;u&quot;:&quot;{TO}/&quot;}}'>", "data for scripts"),
        ("<meta http-equiv=Refresh content='0;url=https://app.example/'>", f"<meta http-equiv=Refresh content='0;url={TO}/'>", "refresh"),
        ("<meta property=og:url content=https://app.example/>", None, "nobody acts on it"),
        ("<meta http-equiv=Content-Security-Policy content=\"img-src app.example 'self'\">", '<meta http-equiv=Content-Security-Policy content="img-src app.example.casb.test:8443 &#x27;self&#x27;">', "policy"),
        ("<iframe srcdoc='&lt;a href=&quot;https://app.example/&quot;&gt;'>", f"<iframe srcdoc='&lt;a href=&quot;{TO}/&quot;&gt;'>", "a page in an attribute"),
        ("<input value=https://app.example/>", None, "what people edit"),
        ("<img alt=https://app.example/>", None, "what people read"),
        ("<p>https://app.example/ is nice</p>", None, "what people read"),
        ("<textarea><a href=https://app.example/></textarea>", None, "what people edit"),
        ("<title>https://app.example/</title>", None, "what people read"),
        ("<!-- <a href=https://app.example/> -->", None, "a comment"),
        ("<!--><a href=https://app.example/>", f"<!--><a href={TO}/>", "an empty comment"),
        ("<!--a--!><a href=https://app.example/>", f"<!--a--!><a href={TO}/>", "an odd end of a comment"),
        ("<?x <a href=https://app.example/>", None, "a bogus comment ends at the first >"),
        ("<plaintext><a href=https://app.example/>", None, "text to the end"),
        ("<script>f('https://app.example/')</script>", f"<script>f('{TO}/')</script>", "inline script"),
        ("<script>'<a href=\"x\">'</SCRIPT ><a href=//app.example/>", "<script>'<a href=\"x\">'</SCRIPT ><a href=//app.example.casb.test:8443/>", "markup in script"),
        ("<script><!--<script></script>'app.example'</script>", "<script><!--<script></script>'app.example.casb.test:8443'</script>", "double escaped"),
        ("<script><!--></script><p>'app.example'", None, "an empty comment in script"),
        ('<script type="application/ld+json">"https://app.example/"</script>', f'<script type="application/ld+json">"{TO}/"</script>', "data blocks"),
        ("<script>self.__next_f.push([1,\"2:T16,see https://app.example/\"])</script>", None, "server components: rows of a length"),
        ("<script>(self.__next_f=self.__next_f||[]).push([1,\"['https://app.example/']\"])</script>", None, "server components"),
        ("<script>(self.__FLIGHT_DATA||=[]).push(\"['https://app.example/']\")</script>", None, "server components elsewhere"),
        ("<script>self.__next_fetch('https://app.example/')</script>", f"<script>self.__next_fetch('{TO}/')</script>", "another name"),
        ("<script type=text/x-unknown>'https://app.example/'</script>", None, "unknown blocks"),
        ("<style>@import '//app.example/'</style>", "<style>@import '//app.example.casb.test:8443/'</style>", "inline style"),
        ("<a href=https://app.example/", None, "a tag that never ends is none"),
        ("<a href='https://app.example/>", None, "a value that never ends"),
        ("a < b <3 </ <a href=//app.example/>", "a < b <3 </ <a href=//app.example/>", "the bogus end tag swallows the link"),
        ("\udcff<a href='//app.example/\udcff'>", "\udcff<a href='//app.example.casb.test:8443/\udcff'>", "bytes survive"),
    ],
)  # fmt: skip
def test_changes(text: str, expected: str | None, why: str) -> None:
    assert page(text) == (text if expected is None else expected), why


def test_integrity_stays() -> None:
    text = "<script src='https://app.example/a.js' integrity='sha384-x'></script>"
    assert page(text) == text.replace("https://app.example", TO), "what a page pins is served as the origin sent it"


ASKED = ' crossorigin="use-credentials"'


@pytest.mark.parametrize(
    ("text", "expected", "why"),
    [
        ("<link rel=manifest href=/m.json>", f"<link{ASKED} rel=manifest href=/m.json>", "it is asked for with our session"),
        ("<link rel=manifest href=/m crossorigin=anonymous>", f"<link{ASKED} rel=manifest href=/m crossorigin=anonymous>", "the first counts"),
        ("<LINK HREF='m' REL='icon Manifest'/>", f"<LINK{ASKED} HREF='m' REL='icon Manifest'/>", "one of several relations"),
        ('<link href="https://app.example/m" rel="manifest">', f'<link{ASKED} href="{TO}/m" rel="manifest">', "its own host"),
        ('<link href="https://x.wild.example/m" rel="manifest">', '<link href="https://x.wild.example.casb.test:8443/m" rel="manifest">', "another host would have to allow it"),
        ('<link href="https://elsewhere.test/m" rel="manifest">', None, "nothing of ours"),
        ('<link href="//elsewhere.test/m" rel="manifest">', None, "nothing of ours"),
        ('<link href="data:application/json,{}" rel="manifest">', None, "no request at all"),
        ("<link rel=manifest>", None, "no address"),
        ("<link rel=manifests href=/m>", None, "another relation"),
        ('<a rel="manifest" href="/m">manifest</a>', None, "no link element"),
        ('<link rel="stylesheet" href="/manifest.css">', None, "a style sheet"),
    ],
)  # fmt: skip
def test_manifests(text: str, expected: str | None, why: str) -> None:
    assert page(text) == (text if expected is None else expected), why


@pytest.mark.parametrize(
    ("text", "expected", "why"),
    [
        (
            "<!doctype html><html lang=en><head class=x><title>",
            f"<!doctype html><html lang=en><head class=x>{GUARD}<title>",
            "first in head",
        ),
        ("<!doctype html>\n<!-- c -->\n<title>", f"<!doctype html>\n<!-- c -->\n{GUARD}<title>", "an implied head"),
        ("<script>x</script>", f"{GUARD}<script>x</script>", "before any script"),
        ("<body>", f"{GUARD}<body>", "an implied head"),
        ("text", f"{GUARD}text", "text alone"),
        ("\ufeff<!doctype html><p>", f"\ufeff<!doctype html>{GUARD}<p>", "behind the byte order mark"),
        ("<header><head>", f"{GUARD}<header><head>", "not a head"),
        (" \n", f" \n{GUARD}", "nothing but space"),
        ("", "", "nothing at all"),
        ("<!-- <head> --><head>", f"<!-- <head> --><head>{GUARD}", "not in a comment"),
        ("<html><a href=//app.example/>", f"<html>{GUARD}<a href=//app.example.casb.test:8443/>", "links behind it"),
    ],
)
def test_the_guards_place(text: str, expected: str, why: str) -> None:
    assert page(text, guard=True) == expected, why


def test_inline_code_pinned_by_hashes_stays() -> None:
    text = "<script>'app.example'</script><style>url(//app.example)</style><p onclick=\"'app.example'\"><a href=//app.example/>"
    assert page(text, policy=PagePolicy(hashed=True)) == text.replace(
        "href=//app.example", "href=//app.example.casb.test:8443"
    )


def test_an_endless_tag_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "_MAX_TAG", 1000)
    monkeypatch.setattr(html, "_PIECE", 100)
    rewriter = HtmlRewriter(APP, PagePolicy(), guard=False)
    out = b"".join(rewriter.feed(piece) for piece in [b"<a x='" + b"y" * 3000, b"'><a href=https://app.example/>"])
    assert out + rewriter.finish() == b"<a x='" + b"y" * 3000 + b"'><a href=https://app.example/>"


def test_a_long_value_is_held_and_mapped() -> None:
    rewriter = HtmlRewriter(APP, PagePolicy(), guard=False)
    data = b"<img src='data:image/png;base64," + b"A" * 300_000 + b"'><a href=//app.example/>"
    out = b"".join(rewriter.feed(data[at : at + 4096]) for at in range(0, len(data), 4096)) + rewriter.finish()
    assert out == data.replace(b"//app.example", b"//app.example.casb.test:8443")


def test_pages_stream() -> None:
    rewriter = HtmlRewriter(APP, PagePolicy(), guard=True)
    assert rewriter.feed(b"<!doctype html><head>").endswith(b"</script>")
    assert rewriter.feed(b"<p>one</p><p>tw") == b"<p>one</p><p>tw"
    assert rewriter.feed(b"o</p><a hr") == b"o</p>"


@pytest.mark.parametrize(
    ("destination", "needs", "expected", "why"),
    [
        ("document", True, '<noscript><meta http-equiv="refresh" content="0;url=/.casb/scripts-off"></noscript>', "a page"),
        ("document", False, "", "not asked for"),
        ("iframe", True, "", "a frame may be a sandbox of its parent's making"),
    ],
)  # fmt: skip
def test_a_controlled_page_brings_its_rules(destination: str, needs: bool, expected: str, why: str) -> None:
    context = replace(APP, controls=b"e30=", needs_script=needs, destination=destination)
    tag = '<script src="/.casb/guard.js" data-casb="e30="></script>'
    assert page("<head></head>", guard=True, context=context) == f"<head>{tag}{expected}</head>", why
