"""Bodies at the wire: caches and ranges, pinned resources, long and encoded uploads, streams, and answers that lie."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import time
import zlib
from http.server import BaseHTTPRequestHandler

import pytest

from proxy_world import APP_HOST, FETCH, NAVIGATE, SUFFIX, World, reply

PLAYER = {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "video"}
SCRIPT = {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"}
URL = f"https://{APP_HOST}/x"


def serve(proxy: World, path: str, body: bytes, **headers: str) -> None:
    """A resource with a strong tag that answers conditions and ranges as static servers do."""

    def answer(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        given = handler.headers
        tag = headers.get("etag", "")
        if tag and given.get("if-none-match") == tag:
            handler.send_response(304)
            handler.send_header("etag", tag)
            handler.send_header("cache-control", "public, max-age=99999")
            handler.end_headers()
        elif given.get("range"):
            first = int(given["range"].removeprefix("bytes=").partition("-")[0])
            span = f"bytes {first}-{len(body) - 1}/{len(body)}"
            reply(handler, 206, body[first:], **headers, content_range=span)
        else:
            reply(handler, 200, body, **headers)

    proxy.origin.routes[path] = answer


def suffixed(proxy: World) -> str:
    return f"https://{APP_HOST}.{SUFFIX}:{proxy.port}/x"


def test_a_rewritten_body_is_asked_for_again_by_its_own_tag(proxy: World) -> None:
    serve(proxy, "/a.js", f"go('{URL}')".encode(), content_type="text/javascript", etag='"v1"', cache_control="public")
    cookie = proxy.session()
    first = proxy.ask("/a.js", cookie=cookie, headers=SCRIPT)
    assert suffixed(proxy) in first.text
    tag = first.headers["etag"]
    assert tag.startswith('W/"v1.casb-s') and first.headers["cache-control"] == "private"
    again = proxy.ask("/a.js", cookie=cookie, headers={**SCRIPT, "if-none-match": tag})
    assert (again.status, again.headers["etag"]) == (304, tag)
    assert again.headers["cache-control"] == "private, max-age=3600"
    assert proxy.origin.seen[-1].headers["if-none-match"] == '"v1"'
    other = tag[:-9] + "00000000" + tag[-1:]
    anew = proxy.ask("/a.js", cookie=cookie, headers={**SCRIPT, "if-none-match": other})
    assert anew.status == 200, "rewritten under another map"
    assert "if-none-match" not in proxy.origin.seen[-1].headers
    proxy.ask("/a.js", method="PUT", cookie=cookie, headers={**FETCH, "if-match": tag}, body=b"")
    assert proxy.origin.seen[-1].headers["if-match"] == '"v1"', "a write names the origin's own version"


def test_what_is_not_rewritten_keeps_its_tag_and_its_ranges(proxy: World) -> None:
    kind = {"content_type": "video/mp4", "etag": '"v1"', "cache_control": "public, max-age=60"}
    serve(proxy, "/film", b"0123456789", **kind)
    part, cookie = {"range": "bytes=4-", "if-range": '"v1"'}, proxy.session()
    got = proxy.ask("/film", cookie=cookie, headers={**PLAYER, **part})
    assert (got.status, got.body, got.headers["etag"]) == (206, b"456789", '"v1"')
    assert got.headers["cache-control"] == "private, max-age=60", "for this browser alone"
    got = proxy.ask("/film", cookie=cookie, headers={**FETCH, **part})
    assert (got.status, got.body) == (200, b"0123456789"), "a script gets all of it where policies read files"


def test_a_part_is_never_joined_to_a_rewritten_body(proxy: World) -> None:
    body = f"go('{URL}')".encode() * 9
    serve(proxy, "/b.js", body, content_type="text/javascript", etag='"v1"')
    cookie = proxy.session()
    tag = proxy.ask("/b.js", cookie=cookie, headers=SCRIPT).headers["etag"]
    for headers in ({**SCRIPT, "range": "bytes=5-"}, {**FETCH, "range": "bytes=5-", "if-range": tag}):
        got = proxy.ask("/b.js", cookie=cookie, headers=headers)
        assert got.status == 200 and got.text.count(suffixed(proxy)) == 9
        assert "accept-ranges" not in got.headers


def test_a_head_says_what_the_body_would(proxy: World) -> None:
    serve(proxy, "/c.css", f"a{{b:url({URL})}}".encode(), content_type="text/css", etag='"v1"', accept_ranges="bytes")
    cookie = proxy.session()
    head = proxy.ask("/c.css", method="HEAD", cookie=cookie, headers=FETCH)
    body = proxy.ask("/c.css", cookie=cookie, headers=FETCH)
    assert head.headers["etag"] == body.headers["etag"]
    assert "content-length" not in head.headers and "accept-ranges" not in head.headers


def test_a_pinned_script_is_served_as_the_origin_sent_it(proxy: World) -> None:
    pinned, free = f"go('{URL}', 1)".encode(), f"go('{URL}', 2)".encode()
    digest = "sha384-" + base64.b64encode(hashlib.sha384(pinned).digest()).decode()
    serve(proxy, "/pinned.js", pinned, content_type="text/javascript")
    serve(proxy, "/free.js", free, content_type="text/javascript")
    page = f'<script src="https://{APP_HOST}/pinned.js" integrity="{digest}"></script>'.encode()
    serve(proxy, "/page", page, content_type="text/html")
    cookie = proxy.session()
    assert digest in proxy.ask("/page", cookie=cookie, headers=NAVIGATE).text, "it is the browser that checks it"
    assert proxy.ask("/pinned.js", cookie=cookie, headers=SCRIPT).body == pinned
    assert suffixed(proxy) in proxy.ask("/free.js", cookie=cookie, headers=SCRIPT).text


@pytest.mark.parametrize("size", [100, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("coding", ["", "gzip", "deflate"])
def test_nothing_that_is_stored_names_the_suffix(proxy: World, size: int, chunked: bool, coding: str) -> None:
    proxy.origin.routes["/store"] = lambda handler, _body: reply(handler, 200, b"{}", content_type="application/json")
    plain = json.dumps({"u": suffixed(proxy), "fill": "x" * size, "v": suffixed(proxy)}).encode()
    body = {"gzip": gzip.compress(plain), "deflate": zlib.compress(plain)}.get(coding, plain)
    headers = {**FETCH, "content-type": "application/json"} | ({"content-encoding": coding} if coding else {})
    if chunked:
        headers["transfer-encoding"] = "chunked"
        pieces = [body[at : at + 50_000] for at in range(0, len(body), 50_000)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in pieces) + b"0\r\n\r\n"
    got = proxy.ask("/store", method="POST", cookie=proxy.session(), headers=headers, body=body)
    assert got.status == 200
    seen = proxy.origin.seen[-1].body
    stored = zlib.decompress(seen, 47) if coding else seen
    assert json.loads(stored) == {"u": URL, "fill": "x" * size, "v": URL}


@pytest.mark.parametrize(
    ("coding", "body", "why"),
    [
        ("gzip", b"<p>not gzip at all", "a lie"),
        ("br", b"<p>not br at all", "a lie"),
        ("gzip", gzip.compress(b"<p>" + b"x" * 9999)[:-40], "torn"),
        ("x-unknown", b"<p>x", "a coding that nobody knows"),
        ("gzip", gzip.compress(b"\0" * 60_000_000), "a bomb"),
    ],
)
def test_an_answer_that_lies_is_refused_and_told(proxy: World, coding: str, body: bytes, why: str) -> None:
    serve(proxy, "/lie", body, content_type="text/html", content_encoding=coding)
    got = proxy.ask("/lie", cookie=proxy.session(), headers=NAVIGATE)
    assert got.status == 502, why
    assert "cannot be read" in got.text
    assert proxy.record(got.headers["x-casb-activity"])["default_behaviour"] is True


@pytest.mark.parametrize("kind", ["text/event-stream", "application/x-ndjson", "text/html; charset=utf-8"])
def test_streams_are_not_held(proxy: World, kind: str) -> None:
    pieces = [b'data: {"u": "%s"}\n\n' % URL.encode(), b"data: 2\n\n"]

    def drip(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-type", kind)
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for piece in pieces:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            handler.wfile.flush()
            time.sleep(1.0)
        handler.wfile.write(b"0\r\n\r\n")

    proxy.origin.routes["/drip"] = drip
    connection = proxy.connect(proxy.host)
    head = f"GET /drip HTTP/1.1\r\nhost: {proxy.host}:{proxy.port}\r\ncookie: {proxy.session()}\r\n"
    connection.sendall((head + "sec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\n\r\n").encode())
    began, got = time.monotonic(), b""
    while b"data: " not in got:
        got += connection.recv(65_536)
    first = time.monotonic() - began
    while b"data: 2" not in got:
        got += connection.recv(65_536)
    connection.close()
    assert first < 0.9, "the first event is there before the second is sent"
    if "html" not in kind:
        assert suffixed(proxy).encode() in got


def test_a_download_is_byte_exact(proxy: World) -> None:
    body = f'<a href="{URL}">'.encode()
    kind = {"content_type": "text/html", "etag": '"v1"', "content_disposition": 'attachment; filename="a.html"'}
    serve(proxy, "/a.html", body, **kind)
    got = proxy.ask("/a.html", cookie=proxy.session(), headers=NAVIGATE)
    assert (got.body, got.headers["etag"]) == (body, '"v1"')
