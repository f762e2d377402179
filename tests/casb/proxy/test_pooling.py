"""Connections to an app that outlive the browser's: who gets one, and who must not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.proxy.layers import tls

from casb.proxy import pooling
from casb.proxy.pooling import Idle, Pool, signs_in_connection
from proxy_world import World, reply, world


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("pooling")) as made:

        def whoami(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
            reply(handler, 200, str(handler.client_address[1]).encode(), content_type="text/plain")

        def asks(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
            headers = {"content_type": "text/plain", "www_authenticate": "Negotiate"}
            reply(handler, 401, str(handler.client_address[1]).encode(), **headers)

        def closes(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
            handler.close_connection = True
            reply(handler, 200, str(handler.client_address[1]).encode(), content_type="text/plain", connection="close")

        def babbles(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
            port = str(handler.client_address[1]).encode()
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(port)
            handler.wfile.write(head + port + b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nyours")

        def short(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 99\r\n\r\nhalf")
            handler.wfile.flush()
            handler.close_connection = True

        made.origin.routes |= {
            "/who": whoami, "/asks": asks, "/closes": closes, "/babbles": babbles, "/short": short,
        }  # fmt: skip
        yield made


def told(running: World, path: str = "/who", **more: Any) -> str:
    """The port of the connection on which the origin was asked."""
    return running.ask(path, **more).text


def test_the_next_browser_gets_the_same_connection(running: World) -> None:
    ada, bob = running.session(), running.session("bob@contoso.example")
    assert told(running, cookie=ada) == told(running, cookie=bob) == told(running, cookie=ada)
    assert "bob" not in str(running.origin.seen[-1].headers)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        pytest.param("/asks", {}, id="the origin asks to sign in the connection"),
        pytest.param("/who", {"authorization": "NTLM TlRMTVNTUAAB"}, id="the browser signs in the connection"),
        pytest.param("/closes", {}, id="the origin ends it"),
        pytest.param("/babbles", {}, id="more came than was asked for"),
        pytest.param("/short", {}, id="the answer was cut off"),
        pytest.param("/who", {"connection": "close"}, id="the browser ends its own"),
    ],
)
def test_a_connection_is_not_kept(running: World, path: str, headers: dict[str, str]) -> None:
    cookie = running.session()
    ended = told(running, path, cookie=cookie, headers=headers)
    following = running.ask("/who", cookie=cookie)
    assert following.status == 200
    assert following.text.isdigit()
    if "connection" not in headers:  # what a browser says of its own connection is not said to the origin
        assert following.text != ended[:5]


def test_one_that_the_origin_has_left_is_not_used(running: World) -> None:
    cookie = running.session()
    for _ in range(3):
        first = told(running, cookie=cookie)
        assert first.isdigit()
    time.sleep(4.5)  # longer than `limits.upstream_pool`
    assert told(running, cookie=cookie) != first


def test_the_switch_of_an_app(tmp_path: Path) -> None:
    with world(tmp_path, start=False) as made:

        def whoami(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
            reply(handler, 200, str(handler.client_address[1]).encode(), content_type="text/plain")

        made.origin.routes["/who"] = whoami
        path = made.config / "apps" / "files.yaml"
        text = path.read_text()
        assert "upstream: {" in text
        path.write_text(text.replace("upstream: {", "upstream: {pool: false, "))
        made.start()
        cookie = made.session()
        assert len({told(made, cookie=cookie) for _ in range(3)}) == 3


class Writer:
    def __init__(self) -> None:
        self.closed = False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def idle(reader: asyncio.StreamReader) -> Idle:
    return Idle(reader=reader, writer=Writer(), tls=None, since=time.monotonic())  # type: ignore[arg-type]


async def test_bounds_and_soundness() -> None:
    pool = Pool(lambda: 5.0)
    kept = [idle(asyncio.StreamReader()) for _ in range(pooling.PER_KEY + 1)]
    for each in kept:
        pool.put("a", each)
    assert len(pool) == pooling.PER_KEY
    assert kept[-1].writer.is_closing(), "one too many is closed"
    kept[-2].reader.feed_data(b"unasked")
    kept[-3].reader.feed_eof()
    kept[-4].since -= 6
    assert pool.take("a") is kept[-5]
    assert [each.writer.is_closing() for each in kept[-4:-1]] == [True] * 3
    assert pool.take("b") is None
    pool.close()
    assert len(pool) == 0
    assert all(each.writer.is_closing() for each in kept[:-5])


async def test_nothing_is_kept_when_it_is_switched_off() -> None:
    pool, one = Pool(lambda: 0.0), idle(asyncio.StreamReader())
    pool.put("a", one)
    assert one.writer.is_closing() and not pool.has("a")


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        (b"NTLM TlRMTVNTUAAB", True),
        (b"negotiate YII", True),
        (b"Negotiate", True),
        (b"Bearer abc", False),
        (b"Basic bnRsbQ==", False),
    ],
)
def test_schemes_that_sign_in_a_connection(value: bytes, bound: bool) -> None:
    assert signs_in_connection(http.Headers([(b"Authorization", value)]), b"authorization") is bound


def test_what_is_overridden_is_there() -> None:
    assert callable(tls.ServerTLSLayer.start_handshake)
    loop = asyncio.new_event_loop()
    assert hasattr(asyncio.StreamReader(loop=loop), "_buffer")
    loop.close()
