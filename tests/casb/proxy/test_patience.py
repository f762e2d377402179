"""Clients that take their time, against a real worker: who is cut off, and who is not."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

import h2.connection
import h2.errors
import h2.events
import pytest

from casb.proxy import patience
from casb.settings import Limits
from proxy_world import World, reply, world


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    limits = "{client_head: 3s, client_rate: 100B}"
    with world(tmp_path_factory.mktemp("patience"), limits=limits) as made:

        def slow(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
            time.sleep(8)
            reply(handler, 200, b"late", content_type="text/plain")

        made.origin.routes["/slow"] = slow
        made.origin.page("/a", b"hello", content_type="text/plain")
        yield made


def ended_after(line: socket.socket, drip: bytes = b"") -> float:
    """Seconds until the other side hangs up, while something drips."""
    begun = time.monotonic()
    line.settimeout(0.5)
    while time.monotonic() - begun < 15:
        try:
            if drip:
                line.sendall(drip)
            if not line.recv(4096):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - begun


def test_slow_heads_and_silent_connections_end(running: World) -> None:
    with socket.create_connection(("127.0.0.1", running.port)) as silent, running.connect(running.host) as dripping:
        dripping.sendall(f"GET / HTTP/1.1\r\nhost: {running.host}:{running.port}\r\n".encode())
        assert 2 < ended_after(dripping, b"x-a: b\r\n") < 12
        assert ended_after(silent) < 5


def test_who_waits_for_the_application_is_not_cut_off(running: World) -> None:
    answer = running.ask("/slow", cookie=running.session())
    assert (answer.status, answer.body) == (200, b"late")


def test_an_idle_connection_between_requests_stays(running: World) -> None:
    cookie = running.session()
    head = f"GET /a HTTP/1.1\r\nhost: {running.host}:{running.port}\r\ncookie: {cookie}\r\n\r\n".encode()
    with running.connect(running.host) as line:
        for _ in range(2):
            line.sendall(head)
            assert line.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(6)


def test_streams_that_are_opened_to_be_reset_end_the_connection(running: World) -> None:
    line: ssl.SSLSocket = running.connect(running.host, alpn=("h2",))
    client = h2.connection.H2Connection()
    client.initiate_connection()
    headers = [
        (":method", "GET"),
        (":path", "/a"),
        (":scheme", "https"),
        (":authority", f"{running.host}:{running.port}"),
    ]
    told: list[h2.events.Event] = []
    with line:
        for number in range(patience.RESETS + 50):
            stream = 2 * number + 1
            client.send_headers(stream, headers, end_stream=True)
            client.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
            try:
                line.sendall(client.data_to_send())
            except OSError:
                break
        line.settimeout(10)
        while not any(isinstance(each, h2.events.ConnectionTerminated) for each in told):
            data = line.recv(65536)
            if not data:
                break
            told += client.receive_data(data)
    ends = [each for each in told if isinstance(each, h2.events.ConnectionTerminated)]
    assert [each.error_code for each in ends] == [h2.errors.ErrorCodes.ENHANCE_YOUR_CALM]
    assert running.ask("/a", cookie=running.session()).status == 200, "others are served"


@pytest.mark.parametrize(
    ("at", "seconds", "moved", "expected"),
    [
        pytest.param("head", 19, 0, "", id="a head in time"),
        pytest.param("head", 21, 5000, "head", id="a head that never ends, however much comes"),
        pytest.param("body", 19, 0, "", id="within the window"),
        pytest.param("body", 21, 2000, "body", id="a body that drips"),
        pytest.param("body", 21, 2100, "", id="a body at the least rate"),
        pytest.param("reading", 21, 21, "reading", id="one byte a second of an answer"),
        pytest.param("reading", 21, 2100, "", id="a slow line"),
        pytest.param("nothing", 3600, 0, "", id="who is owed an answer"),
    ],
)
def test_who_is_too_slow(monkeypatch: pytest.MonkeyPatch, at: str, seconds: float, moved: int, expected: str) -> None:
    handler: Any = SimpleNamespace(
        received=moved, sent=moved, client=None, transports={None: SimpleNamespace(writer=None)}
    )
    monkeypatch.setattr(patience, "doing", lambda _: (at, 1))
    before = patience.Course((at, 1), 100.0, 0)
    assert patience.too_slow(handler, before, 100.0 + seconds, Limits())[1] == expected
    other = patience.Course((at, 3), 100.0, 0)
    assert patience.too_slow(handler, other, 100.0 + seconds, Limits())[1] == "", "another request: it begins anew"
