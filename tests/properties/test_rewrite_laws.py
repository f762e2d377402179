"""Laws of rewriting: host names map both ways exactly, nothing is mapped twice, cutting a body changes nothing, and no
bytes from outside raise anything but the one documented error."""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from casb.errors import ContentError
from casb.rewrite import csp
from casb.rewrite.body import BodyRewriter, request_rewriter_for, rewriter_for
from casb.rewrite.codings import choose, decoder_for, encoder_for
from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.cookies import cookie, set_cookie
from casb.rewrite.headers import page_policy_of, request_headers, response_headers, target_to_origin
from casb.rewrite.hosts import HostMap
from casb.rewrite.html import HtmlRewriter
from casb.rewrite.scan import names_to_origin, names_to_suffix, once, urls_to_suffix
from casb.spelling import read, reserved, spell

HOSTS = HostMap(
    "casb.test",
    8443,
    ["app.example", "*.wild.example", "app.example:8444", "deep.app.example", "plain.example", "xn--bcher-kva.example"],
    plain=["plain.example"],
)
ON_443 = HostMap("casb.test", 443, HOSTS.names)
FLAT = HostMap("casb.test", 8443, HOSTS.names, plain=["plain.example"], flat=True)
CONTEXT = RewriteContext(hosts=HOSTS, host="app.example")

label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
known = st.sampled_from(["app.example", "app.example:8444", "deep.app.example", "xn--bcher-kva.example"]) | label.map(
    lambda left: f"{left}.wild.example"
)
maps = st.sampled_from([HOSTS, ON_443, FLAT])
tails = st.from_regex(r"(/[a-zA-Z0-9%._~-]{0,8}){0,3}(\?[a-z=&%]{0,8})?(#[a-z]{0,4})?", fullmatch=True)

# Pieces that make the state machines work; hypothesis joins and breaks them.
WORDS = [
    b"app.example", b"https://app.example", b"http://app.example/x", b"//app.example:8444/", b"x.wild.example", b".wild.example",
    b"https:\\/\\/app.example", b"http:\\u002f\\u002fapp.example\\u002f", b"https:&#47;&sol;app.example", b"app.example.casb.test",
    b"https%3A%2F%2Fapp.example.casb.test%3A8443%2F", b"app.example.casb.test:8443", b"notapp.example", b"app.example.evil", b"@app.example",
    b"http://plain.example", b"plain.example.casb.test", b"b\xc3\xbccher.example", b"https://b\xc3\xbccher.example/",
    b'"', b"'", b"`", b"\\", b"\\n", b"/", b":", b":443", b":8443", b".", b"-", b"%", b"&", b";", b"#", b" ", b"\n", b"=", b"<", b">", b"!", b"?",
    b"<!--", b"-->", b"--!>", b"--", b"<!", b"<!doctype html>", b"</", b"<script>", b"</script>", b"<script type=module src=", b"<style>",
    b"</style>", b"<title>", b"</title>", b"<textarea>", b"</textarea>", b"<head>", b"<html>", b"<base href=", b"<a href=", b"<a href='",
    b'<img srcset="', b" integrity=x", b"<meta http-equiv=refresh content='0;url=", b"<iframe srcdoc='", b"<meta http-equiv=content-security-policy content=\"",
    b"script-src 'none'", b"<plaintext>", b"onclick=", b"style=", b"data-x=", b"url(", b"@import ", b"\xef\xbb\xbf", b"\xff", b"\x00", b"a" * 300,
    b"--B", b"\r\n--B", b"\r\n", b"\r\n\r\n", b'Content-Disposition: form-data; name="a"', b'; filename="f"',
]  # fmt: skip
texts = st.lists(st.sampled_from(WORDS) | st.binary(max_size=3), max_size=24).map(b"".join)
cuts = st.lists(st.integers(min_value=0, max_value=2000), max_size=12)


def run(rewriter: BodyRewriter, data: bytes, at: list[int]) -> bytes:
    edges = sorted({0, len(data), *(cut for cut in at if cut < len(data))})
    return b"".join([rewriter.feed(data[low:high]) for low, high in pairwise(edges)] + [rewriter.finish()])


REWRITERS: dict[str, Callable[[], BodyRewriter]] = {
    "urls": lambda: urls_to_suffix(HOSTS),
    "names": lambda: names_to_suffix(HOSTS),
    "origin": lambda: names_to_origin(HOSTS),
    "html": lambda: HtmlRewriter(CONTEXT, PagePolicy(), guard=False),
    "html and guard": lambda: HtmlRewriter(CONTEXT, PagePolicy(nonce="abc"), guard=True),
    "hashed html": lambda: HtmlRewriter(CONTEXT, PagePolicy(hashed=True), guard=True),
    "multipart": lambda: request_rewriter_for("multipart/form-data; boundary=B", CONTEXT) or pytest.fail(),
    "utf-16": lambda: rewriter_for("text/html", "utf-16", CONTEXT) or pytest.fail(),
    "utf-16be": lambda: rewriter_for("text/css", "utf-16be", CONTEXT) or pytest.fail(),
}


@given(known, maps)
def test_a_host_comes_back(host: str, hosts: HostMap) -> None:
    mapped = hosts.to_suffix(host)
    assert mapped is not None and mapped.partition(":")[0].endswith(".casb.test")
    assert hosts.to_origin(mapped) == host
    assert hosts.to_suffix(mapped) is None, "nothing is mapped twice"


@given(known.filter(lambda host: host != "plain.example"), maps, st.sampled_from(["https:", "wss:", ""]), tails)
def test_a_url_comes_back(host: str, hosts: HostMap, scheme: str, tail: str) -> None:
    url = f"{scheme}//{host}{tail}"
    mapped = hosts.url_to_suffix(url)
    assert mapped != url
    assert hosts.url_to_origin(mapped) == url
    assert hosts.url_to_suffix(mapped) == mapped


@given(st.text(max_size=40) | st.lists(st.sampled_from([w.decode("latin-1") for w in WORDS]), max_size=6).map("".join))
def test_any_text_as_host_or_url(text: str) -> None:
    for host in (HOSTS.to_suffix(text), HOSTS.to_origin(text)):
        assert host is None or host.isascii()
    once_mapped = HOSTS.url_to_suffix(text)
    assert HOSTS.url_to_suffix(once_mapped) == once_mapped
    HOSTS.url_to_origin(text)


names_of_hosts = st.lists(
    st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True), min_size=1, max_size=5
).map(".".join)
ports = st.just("") | st.integers(min_value=1, max_value=65535).filter(lambda port: port not in (80, 443)).map(str)
hosts_of_any_kind = names_of_hosts.filter(
    lambda name: not reserved(name) and not name.rpartition(".")[2].isdigit()
) | st.ip_addresses(v=6).map(lambda address: f"[{address}]")


@given(hosts_of_any_kind, ports, st.booleans())
def test_a_spelling_comes_back(host: str, port: str, flat: bool) -> None:
    name = spell(host, port, flat=flat)
    assert read(name, flat=flat) == (host, port)
    assert not flat or ("." not in name and not name.startswith(("xn--", "-"))) or name.startswith(host)


@given(st.text(alphabet="abx-.0123456789pv", max_size=30), st.booleans())
def test_any_text_as_a_spelling(name: str, flat: bool) -> None:
    found = read(name, flat=flat)
    assert found is None or spell(*found, flat=flat) == name, "two names never stand for one origin"


@given(known, maps, st.sampled_from([b"/", rb"\/", rb"\u002f", rb"\x2F"]), st.sampled_from([b'"', b"'", b"`"]), tails)
def test_a_script_string_comes_back(host: str, hosts: HostMap, slash: bytes, quote: bytes, tail: str) -> None:
    text = b"f(" + quote + b"https:" + slash * 2 + host.encode() + tail.encode() + quote + b")"
    mapped = once(names_to_suffix(hosts), text)
    assert b".casb.test" in mapped
    assert once(names_to_suffix(hosts), mapped) == mapped
    assert once(names_to_origin(hosts), mapped) == text


def lower_hex(text: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quote(text, safe=""))


ENCODINGS: list[tuple[Callable[[str], str], Callable[[str], str]]] = [
    (lambda text: quote(text, safe=""), unquote),
    (lower_hex, unquote),
    (lambda text: quote(quote(text, safe=""), safe=""), lambda text: unquote(unquote(text))),
    (lambda text: quote(lower_hex(text), safe=""), lambda text: unquote(unquote(text))),
]


@given(known.filter(lambda host: host != "plain.example"), maps, tails, st.sampled_from(ENCODINGS))
def test_an_encoded_url_in_a_query_comes_back(
    host: str, hosts: HostMap, tail: str, coding: tuple[Callable[[str], str], Callable[[str], str]]
) -> None:
    """What a script put together from its address, or an identity provider hands back."""
    encode, decode = coding
    url = f"https://{host}{tail}"
    context = RewriteContext(hosts=hosts, host="app.example")
    target = f"/login?next={encode(hosts.url_to_suffix(url))}&state=x"
    back = target_to_origin(target.encode(), context).decode()
    assert decode(back.removeprefix("/login?next=").removesuffix("&state=x")) == url
    (_, location), *_ = response_headers([(b"location", b"https://idp.test" + target.encode())], context)
    assert location.decode() == f"https://idp.test{back}", "on the way to a provider as well"


@pytest.mark.parametrize("name", REWRITERS)
@settings(max_examples=150, deadline=None)
@given(data=texts, at=cuts)
def test_cutting_changes_nothing(name: str, data: bytes, at: list[int]) -> None:
    make = REWRITERS[name]
    whole = run(make(), data, [])
    assert run(make(), data, at) == whole
    assert run(make(), data, list(range(len(data)))) == whole


_BREAKS = str.maketrans("", "", "\t\r\n")  # browsers drop them from URLs


def _links(page: bytes, change: Callable[[str], str]) -> list[tuple[str, dict[str, str]]]:
    tree = LexborHTMLParser(page.decode("utf-8", "replace"))
    found = []
    for node in tree.root.traverse() if tree.root else ():
        urls = {
            key: change((value or "").translate(_BREAKS))
            for key, value in node.attributes.items()
            if key in ("href", "src", "action")
        }
        if urls.get("src") != "/.casb/guard.js":
            found.append((node.tag or "", urls))
    return found


# A whole-document parser is the oracle: what our tokenizer takes for a tag is what a browser takes for one. The parser
# runs no scripts, so that <noscript> is markup to it; <plaintext> ends the page before the page's own end.
pieces = [word for word in WORDS if word not in (b"\x00", b"\xff", b"<plaintext>")]
pieces += [b'<p title="', b"<p title='", b"<div>", b"<form action=", b'">', b"'>", b"<b"]
pieces += [b"<svg>", b"</svg>", b"<math>", b"</math>", b"<foreignObject>", b"</foreignObject>", b"<desc>", b"<title>", b"<g/>",
    b"<![CDATA[", b"]]>", b"<style/>", b"<mi>", b"</mi>", b"<annotation-xml encoding='text/html'>", b"</annotation-xml>", b"<svg/>", b"</p>",
    b"<span>", b"</span>", b"</div>", b"<svg class='x'><path d='M0'/></svg>", b"<xmp>", b"</xmp>", b"<iframe>", b"</iframe>", b"<a href=//app.example/>"]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(pieces), max_size=16).map(b"".join), st.booleans())
def test_a_parser_sees_the_same_page_with_links_mapped(text: bytes, guard: bool) -> None:
    page = b"<!doctype html><html><head></head><body>" + text + b" >\"><p>'>"
    mapped = run(HtmlRewriter(CONTEXT, PagePolicy(), guard=guard), page, [])
    assert _links(mapped, str) == _links(page, HOSTS.url_to_suffix)


urls = st.tuples(
    st.sampled_from(["https://", "http://", "//", "wss://", "HTTPS://", "https:///", "/", "x/", ""]),
    st.sampled_from(["app.example", "app.example:8444", "x.wild.example", "plain.example", "other.test", "APP.example.", ""]),
    st.sampled_from(["", "/", "/a?b=1&amp;c=2", "?x", "#y", "&sol;x", "/\n", "@evil.test/", "/https://app.example/"]),
).map("".join)  # fmt: skip
plain_links = st.lists(st.tuples(st.sampled_from(["href", "src", "class", "poster"]), urls), min_size=1, max_size=3)


@given(st.lists(plain_links, min_size=1, max_size=4))
def test_a_plain_link_is_mapped_like_any_other(links: list[list[tuple[str, str]]]) -> None:
    """Plain links are mapped where they stand, others taken apart: white space before the sign makes them others."""
    tags = ["<a " + " ".join(f'{name}="{value}"' for name, value in each) + ">" for each in links]
    page = "".join(tags).encode()
    odd = page.replace(b'="', b' ="')
    mapped = run(HtmlRewriter(CONTEXT, PagePolicy(), guard=False), page, [])
    apart = run(HtmlRewriter(CONTEXT, PagePolicy(), guard=False), odd, [])
    assert apart.replace(b"\n", b"") == mapped.replace(b'="', b' ="').replace(b"\n", b""), "browsers drop the newline"


@given(texts)
def test_what_is_mapped_stays_mapped(data: bytes) -> None:
    mapped = once(names_to_suffix(HOSTS), data)
    assert once(names_to_suffix(HOSTS), mapped) == mapped


@given(data=texts)
def test_without_our_hosts_nothing_changes(data: bytes) -> None:
    empty = HostMap("casb.test", 8443, [])
    context = RewriteContext(hosts=empty, host="other.test")
    for rewriter in (urls_to_suffix(empty), names_to_suffix(empty), names_to_origin(empty)):
        assert run(rewriter, data, []) == data
    assert run(HtmlRewriter(context, PagePolicy(), guard=False), data, [5]) == data


names = st.sampled_from(
    [b"Location", b"Set-Cookie", b"Content-Security-Policy", b"Content-Security-Policy-Report-Only", b"Link", b"Refresh", b"Host",
     b"Origin", b"Referer", b"Cookie", b"X_Forwarded_For", b"Accept-Encoding", b"Access-Control-Allow-Origin", b"X"]
) | st.binary(max_size=8)  # fmt: skip


@given(st.lists(st.tuples(names, texts), max_size=6))
def test_any_header_fields(fields: list[tuple[bytes, bytes]]) -> None:
    page = page_policy_of(fields, CONTEXT)
    for out in (response_headers(list(fields), CONTEXT, page), request_headers(list(fields), CONTEXT)):
        before = {pair for pair in fields}
        for pair in out:
            assert pair in before or not set(pair[1]) & set(b"\r\n\x00"), "a changed value cannot split the head"
    assert not [
        v for n, v in request_headers(fields, CONTEXT) if n.lower() == b"cookie" and b"__host-casb_" in v.lower()
    ]


@given(texts)
def test_any_cookie_value(value: bytes) -> None:
    cookie(value)
    mapped = set_cookie(value, CONTEXT)
    assert mapped is None or b"domain=casb.test" not in mapped.lower().replace(b" ", b"").replace(b"=.", b"=")
    target_to_origin(b"/?" + value, CONTEXT)
    csp.to_suffix(value.decode("latin-1"), CONTEXT)


@settings(deadline=None)
@given(st.sampled_from(["gzip", "deflate", "br", "zstd", "gzip, br"]), st.binary(max_size=400), cuts)
def test_any_bytes_as_a_coding(coding: str, data: bytes, at: list[int]) -> None:
    decoder = decoder_for(coding)
    assert decoder is not None
    try:
        run(decoder, data, at)
    except ContentError as error:
        assert error.code in ("W001", "W002", "W003")


@settings(deadline=None)
@given(st.sampled_from(["gzip", "zstd"]), st.lists(st.binary(max_size=300), max_size=5), st.booleans(), cuts)
def test_a_coding_comes_back(coding: str, chunks: list[bytes], flush: bool, at: list[int]) -> None:
    encoder, decoder = encoder_for(coding, flush=flush), decoder_for(coding)
    assert encoder and decoder
    encoded = b"".join([encoder.feed(chunk) for chunk in chunks] + [encoder.finish()])
    assert run(decoder, encoded, at) == b"".join(chunks)


@given(st.text(max_size=40))
def test_any_accept_encoding(value: str) -> None:
    assert choose(value) in ("", "gzip", "zstd")
