"""WebSocket messages through a real worker: names, compression, fragments, binary, close codes, and a limit."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy.proxy.layers import websocket
from mitmproxy.test import tflow
from wsproto import ConnectionType, WSConnection
from wsproto import events as ws
from wsproto.connection import Connection
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import LocalProtocolError

from casb.proxy import messages
from proxy_world import APP_HOST, BROWSER, SUFFIX, World, world

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

HEARD: list[str] = []


def echo(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    """Says what it heard as JSON; binary as it came; the close code it got."""
    key = (handler.headers.get("sec-websocket-key") or "").encode()
    handler.send_response(101)
    accept = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest()).decode()
    for name, value in (("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-accept", accept)):
        handler.send_header(name, value)
    deflate = PerMessageDeflate()
    offered = handler.headers.get("sec-websocket-extensions")
    if offered:
        handler.send_header("sec-websocket-extensions", f"permessage-deflate; {deflate.accept(offered)}")
    handler.end_headers()
    talk, sock = Connection(ConnectionType.SERVER, [deflate] if offered else None), handler.connection
    whole = ""
    while data := sock.recv(65536):
        talk.receive_data(data)
        for event in talk.events():
            if isinstance(event, ws.TextMessage):
                whole += event.data
                if event.message_finished:
                    HEARD.append(whole)
                    told = json.dumps({"url": f"https://{APP_HOST}/x", "text": f"at {APP_HOST}"})
                    sock.sendall(talk.send(ws.TextMessage(told)))
                    whole = ""
            elif isinstance(event, ws.BytesMessage):
                sock.sendall(talk.send(ws.BytesMessage(bytes(event.data), message_finished=event.message_finished)))
            elif isinstance(event, ws.CloseConnection):
                sock.sendall(talk.send(event.response()))
                return


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("messages")) as made:
        made.origin.routes["/socket"] = echo
        yield made


class Talk:
    """A browser's end."""

    def __init__(self, proxy: World, *, deflate: bool = False) -> None:
        self.sock = proxy.connect(proxy.host)
        self.talk = WSConnection(ConnectionType.CLIENT)
        host = f"{proxy.host}:{proxy.port}"
        name, _, value = proxy.session().partition("=")
        headers = [
            (b"origin", f"https://{host}".encode()),
            (b"user-agent", BROWSER.encode()),
            (b"sec-fetch-mode", b"websocket"),
            (b"cookie", f"{name}={value}".encode()),
        ]
        extensions = [PerMessageDeflate()] if deflate else []
        asked = ws.Request(host=host, target="/socket", extra_headers=headers, extensions=list(extensions))
        self.sock.sendall(self.talk.send(asked))
        self.waiting: list[Any] = []
        self.accepted = self.next()
        assert isinstance(self.accepted, ws.AcceptConnection)

    def next(self) -> Any:
        while not self.waiting:
            data = self.sock.recv(65536)
            self.talk.receive_data(data or None)
            self.waiting += list(self.talk.events())
        return self.waiting.pop(0)

    def text(self) -> Any:
        whole = ""
        while True:
            event = self.next()
            whole += event.data
            if event.message_finished:
                return json.loads(whole)

    def send(self, event: ws.Event) -> None:
        self.sock.sendall(self.talk.send(event))


@pytest.mark.parametrize("deflate", [False, True], ids=["plain", "compressed"])
def test_text_is_mapped_both_ways(proxy: World, deflate: bool) -> None:
    talk = Talk(proxy, deflate=deflate)
    assert bool(talk.accepted.extensions) is deflate, "compression is agreed between the two ends"
    address = f"https://{proxy.host}:{proxy.port}/page"
    talk.send(ws.TextMessage(data=f'42["say","{address} é"]'))
    told = talk.text()
    assert HEARD.pop() == f'42["say","https://{APP_HOST}/page é"]'
    assert told["url"] == f"https://{proxy.host}:{proxy.port}/x"
    assert told["text"] == f"at {APP_HOST}", "what people read stays"
    talk.send(ws.TextMessage(data=f"{address[:20]}", message_finished=False))
    talk.send(ws.TextMessage(data=f"{address[20:]}"))
    talk.text()
    assert HEARD.pop() == f"https://{APP_HOST}/page", "in fragments"
    talk.send(ws.CloseConnection(code=4001, reason="enough"))
    closed = talk.next()
    assert (closed.code, closed.reason) == (4001, "enough")
    talk.sock.close()


def test_binary_is_untouched_unless_it_is_a_message_of_fields(proxy: World) -> None:
    talk = Talk(proxy)
    data = f"https://{APP_HOST}.{SUFFIX}:{proxy.port}/".encode() + bytes(range(256))
    talk.send(ws.BytesMessage(data=data))
    assert bytes(talk.next().data) == data
    ours, theirs = (f"https://{host}/".encode() for host in (f"{APP_HOST}.{SUFFIX}:{proxy.port}", APP_HOST))
    talk.send(ws.BytesMessage(data=b"\x08\x01\x12" + bytes([len(ours)]) + ours))
    assert bytes(talk.next().data) == b"\x08\x01\x12" + bytes([len(theirs)]) + theirs
    talk.send(ws.CloseConnection(code=1000))
    talk.sock.close()


def test_a_message_of_any_length_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(messages, "MAX_MESSAGE", 200_000)
    monkeypatch.setenv("CASB_TEST_SECRET", "x" * 32)
    with world(tmp_path, start=False) as made, made.inside():
        made.origin.routes["/socket"] = echo
        talk = Talk(made)
        talk.sock.settimeout(10)
        with contextlib.suppress(OSError):  # the connection ends while we still talk
            for _ in range(50):
                talk.send(ws.BytesMessage(data=b"x" * 20_000, message_finished=False))
        with contextlib.suppress(OSError):
            closing = talk.next()
            while not isinstance(closing, ws.CloseConnection):
                closing = talk.next()
            assert closing.code == 1009
        with pytest.raises((OSError, LocalProtocolError)):
            while True:
                talk.send(ws.BytesMessage(data=b"x" * 20_000, message_finished=False))
                talk.next()
        talk.sock.close()


def test_a_failure_of_ours_drops_the_message() -> None:
    flow = tflow.twebsocketflow()
    runtime: Any = SimpleNamespace(counters={})
    assert flow.websocket is not None
    messages.Messages(runtime, runtime).websocket_message(flow)  # it never passed the gateway
    assert [each.dropped for each in flow.websocket.messages] == [True], "and those before it are forgotten"


def test_the_layer_is_the_one_that_mitmproxy_uses() -> None:
    messages.install()
    assert websocket.WebsocketLayer is messages.BoundedWebsocket
