"""Header sections that are too large, cut short, folded or forged, over real sockets, and flattened names."""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from proxy_world import FETCH, NAVIGATE, World, world

PAGE = b"<html><head></head>the page</html>"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfine"


def canned(world_: World, path: str, *parts: bytes) -> None:
    """Have the origin send these very bytes, and hang up."""

    def send(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        for part in parts:
            handler.wfile.write(part)
            handler.wfile.flush()
            time.sleep(0.05)
        handler.close_connection = True

    world_.origin.routes[path] = send


def raw(here: World, head: bytes, *, host: str | None = None) -> bytes:
    """Whatever comes back for these very bytes."""
    with here.connect(host or here.host) as wire:
        wire.settimeout(15)
        got = b""
        try:
            wire.sendall(head)
            while chunk := wire.recv(65536):
                got += chunk
        except (TimeoutError, OSError):
            pass
        return got


def request(here: World, path: str, *lines: bytes, method: bytes = b"GET") -> bytes:
    """A request head of a signed-in person that ends the connection."""
    host = f"{here.host}:{here.port}".encode()
    fixed = [b"Host: " + host, b"Cookie: " + here.session().encode(), b"Connection: close", b"Sec-Fetch-Mode: cors"]
    return b"\r\n".join([method + b" " + path.encode() + b" HTTP/1.1", *fixed, *lines, b"", b""])


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n", GOOD), "hints, then the answer"),
        ((b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + GOOD,), "all at once"),
        ((b"HTTP/1.1 1", b"03 Early Hints\r\nLink: </a.css>\r", b"\n\r\nHTTP/1.1 200 OK\r\nContent-Le", b"ngth: 4\r\nConnection: close\r\n\r\nfine"), "torn"),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", GOOD), "nobody asked"),
    ],
)  # fmt: skip
def test_interim_responses_do_not_end_the_exchange(proxy: World, parts: tuple[bytes, ...], why: str) -> None:
    canned(proxy, "/hints", *parts)
    got = proxy.ask("/hints", cookie=proxy.session(), headers=FETCH)
    assert (got.status, got.body) == (200, b"fine"), why


def test_interim_responses_without_end_are_given_up(proxy: World) -> None:
    canned(proxy, "/endless", *[b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 100_000 + b"\r\n\r\n"] * 4, GOOD)
    assert proxy.ask("/endless", cookie=proxy.session(), headers=FETCH).status == 502


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"X-Big: " + b"x" * 1_000_000, "a value of a megabyte"),
        (b"\r\n".join(b"X-%d: %s" % (number, b"y" * 40) for number in range(10_000)), "half a megabyte in 10,000 fields"),
        (b"X-Nul: a\0b", "NUL"),
        (b"X-Cr: a\rSet-Cookie: b=c", "a bare CR"),
        (b"Content-Length: 4\r\nTransfer-Encoding: chunked", "two framings"),
        (b"Content-Length: 4\r\nContent-Length: 5", "two lengths"),
        (b"Content-Length: 4, 4", "a list of lengths"),
        (b"Transfer-Encoding: chunked, gzip", "a coding after chunked"),
        (b"Transfer-Encoding : chunked", "a space before the colon"),
        (b"X\x00Y: 1", "NUL in a name"),
        (b"Bad Name: 1", "a space in a name"),
    ],
)  # fmt: skip
def test_a_head_of_the_origin_that_is_refused(proxy: World, head: bytes, why: str) -> None:
    canned(proxy, "/bad", b"HTTP/1.1 200 OK\r\nContent-Type: text/css\r\n" + head + b"\r\n\r\n4\r\nfine\r\n0\r\n\r\n")
    got = proxy.ask("/bad", cookie=proxy.session(), headers=FETCH)
    assert got.status == 502, why
    assert b"fine" not in got.body and "set-cookie" not in got.headers
    assert proxy.ask("/", cookie=proxy.session(), headers=NAVIGATE).status in (200, 404), "the worker goes on"


def test_a_head_of_the_origin_that_passes_unharmed(proxy: World) -> None:
    fields = [b"X-%d: %d" % (number, number) for number in range(10_000)]
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: 4", b"X-Folded: a\r\n  b", *fields]
    cookies = [
        b"Set-Cookie: =; =",
        b"Set-Cookie: \xff\xfe; Domain=\xff",
        b"Set-Cookie: ok=1; Domain=..; Path=;;;=",
        b"Set-Cookie:",
    ]
    canned(proxy, "/many", b"\r\n".join([*lines, *cookies, b"", b"fine"]))
    got = raw(proxy, request(proxy, "/many"))
    head, _, body = got.partition(b"\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200") and body == b"fine"
    assert all(line in head.split(b"\r\n") for line in fields)
    assert b"\r\nX-Folded: a b\r\n" in head, "one line (RFC 9112 section 5.2)"
    assert b"Domain=" not in head


@pytest.mark.parametrize(
    ("lines", "answers", "why"),
    [
        (
            [b"X-Big: " + b"x" * 1_000_000],
            (b"431", b""),
            "a value of a megabyte: the answer may be lost when we hang up on what is still coming",
        ),
        ([b"X-Nul: a\0b"], (b"400",), "NUL"),
        ([b"X-Cr: a\rX-Forged: 1"], (b"400",), "a bare CR"),
        ([b"Bad Name: 1"], (b"400",), "a space in a name"),
        ([b"Transfer-Encoding : chunked"], (b"400",), "a space before the colon"),
        ([b"Content-Length: 5", b"Transfer-Encoding: chunked"], (b"400",), "two framings"),
        ([b"Content-Length: 5", b"Content-Length: 6"], (b"400",), "two lengths"),
        ([b"Content-Length: +5"], (b"400",), "no length"),
        ([b"Transfer-Encoding: xchunked"], (b"400",), "a framing that nobody knows"),
        ([b"Host: other.example"], (b"400",), "two hosts"),
    ],
)
def test_a_head_of_the_browser_that_is_refused(
    proxy: World, lines: list[bytes], answers: tuple[bytes, ...], why: str
) -> None:
    proxy.origin.page("/asked", PAGE)
    before = len(proxy.origin.seen)
    got = raw(proxy, request(proxy, "/asked", *lines))
    assert got[9:12] in answers, (why, got[:200])
    assert len(proxy.origin.seen) == before, why


def test_a_head_of_the_browser_that_passes_unharmed(proxy: World) -> None:
    proxy.origin.page("/asked", PAGE)
    got = raw(proxy, request(proxy, "/asked", b"X-Folded: a\r\n\tb", *[b"X-%d: 1" % number for number in range(50)]))
    assert got.startswith(b"HTTP/1.1 200")
    seen = proxy.origin.seen[-1].headers
    assert seen["x-folded"] == "a b" and seen["x-49"] == "1"


def test_ten_thousand_headers_of_the_browser(proxy: World) -> None:
    """The origin of these tests takes a hundred; what matters is that they reach it, or are refused, and no crash."""
    proxy.origin.page("/asked", PAGE)
    got = raw(proxy, request(proxy, "/asked", *[b"X-%d: 1" % number for number in range(10_000)]))
    assert got[9:12] in (b"200", b"431", b"502")
    assert proxy.ask("/asked", cookie=proxy.session(), headers=NAVIGATE).status == 200


@pytest.mark.parametrize(
    "forged",
    [
        (b"x-forged", b"a\r\nX-Smuggled: 1"),
        (b"x-forged", b"a\0b"),
        (b":path", b"/asked HTTP/1.1\r\nX-Smuggled: 1\r\nX: "),
        (b":method", b"GET /asked HTTP/1.1\r\nX-Smuggled: 1\r\n\r\nGET"),
        (b"x-for\r\nged", b"1"),
        (b"transfer-encoding", b"chunked"),
    ],
    ids=["value", "nul", "path", "method", "name", "framing"],
)
def test_nothing_is_smuggled_from_http2(proxy: World, forged: tuple[bytes, bytes]) -> None:
    proxy.origin.page("/asked", PAGE)
    before = len(proxy.origin.seen)
    config = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
    client = h2.connection.H2Connection(config)
    client.initiate_connection()
    fields = {
        b":method": b"GET",
        b":path": b"/asked",
        b":scheme": b"https",
        b":authority": f"{proxy.host}:{proxy.port}".encode(),
    }
    fields |= {forged[0]: forged[1], b"cookie": proxy.session().encode(), b"sec-fetch-mode": b"cors"}
    client.send_headers(1, list(fields.items()), end_stream=True)
    status = b""
    with proxy.connect(proxy.host, alpn=("h2",)) as wire:
        wire.settimeout(10)
        wire.sendall(client.data_to_send())
        try:
            while not status and (chunk := wire.recv(65536)):
                for event in client.receive_data(chunk):
                    if isinstance(event, h2.events.ResponseReceived):
                        status = dict(event.headers or [])[b":status"]
                    elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                        status = b"reset"
                wire.sendall(client.data_to_send())
        except OSError:
            status = status or b"gone"
    assert status != b"200"
    assert not [seen for seen in proxy.origin.seen[before:] if "x-smuggled" in seen.headers]
    assert len(proxy.origin.seen) == before


# ------------------------------------------------------------ flattened names


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("flat")
    with world(folder, host_names="flat") as made:
        yield made


def test_an_app_under_one_label(flat: World) -> None:
    flat.origin.page("/", b'<html><head></head><a href="https://files.example/x">x</a></html>', content_type="text/html",
                     set_cookie="a=b; Domain=files.example; Path=/")  # fmt: skip
    name = "files-example--x.casb.test"
    got = flat.ask("/", host=name, cookie=flat.session(host=name), headers=NAVIGATE)
    assert got.status == 200
    assert f'href="https://{name}:{flat.port}/x"' in got.text
    assert got.cookies[0] == "a=b; Path=/", "its own"
    assert got.cookies[1].startswith("casb_d.") and got.cookies[1].endswith(
        "; Path=/; Secure; HttpOnly; Domain=casb.test"
    )
    sealed = got.cookies[1].partition(";")[0]
    jar = f"{flat.session(host=name)}; {sealed}"
    assert flat.ask("/", host=name, cookie=jar, headers=NAVIGATE).status == 200
    assert flat.origin.seen[-1].headers["cookie"] == "a=b", "opened for a host of its domain"
    jar = f"{flat.session('eve@contoso.example', host=name)}; {sealed}"
    assert flat.ask("/", host=name, cookie=jar, headers=NAVIGATE).status == 200
    assert "cookie" not in flat.origin.seen[-1].headers, "sealed for one person"
    assert flat.origin.seen[-1].headers["host"] == "files.example"


def test_the_dotted_form_does_not_exist_there(flat: World) -> None:
    with pytest.raises((OSError, socket.error)):
        flat.connect("files.example.casb.test")
