"""Files and messages over WebSockets: what reaches the origin, and what becomes of the connection."""

# ruff: noqa: E501  # a table reads best with one row per case

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from wsproto import ConnectionType
from wsproto import events as ws
from wsproto.connection import Connection, ConnectionState

from proxy_world import BROWSER, World, world

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PROGRAM = b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + bytes(400)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(400)
HEARD: list[bytes | str] = []


def listen(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    """Keeps what it hears, and says yes to it."""
    key = (handler.headers.get("sec-websocket-key") or "").encode()
    handler.send_response(101)
    accept = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest()).decode()
    for name, value in (("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-accept", accept)):
        handler.send_header(name, value)
    handler.end_headers()
    talk = Connection(ConnectionType.SERVER)
    while data := handler.connection.recv(65536):
        talk.receive_data(data)
        for event in talk.events():
            if isinstance(event, ws.TextMessage | ws.BytesMessage):
                HEARD.append(event.data if isinstance(event, ws.TextMessage) else bytes(event.data))
                handler.connection.sendall(talk.send(ws.TextMessage("yes")))


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("sockets"), start=False) as made:
        made.write(
            "uploads.yaml",
            """\
version: 1
policies:
  - id: no-programs
    activities: upload
    when: {file: {detected_type: application/vnd.microsoft.portable-executable}}
    action: block
  - id: nothing-larger
    activities: upload
    when: {file: {size: {at_least: 700B}}}
    action: block
  - id: no-messages
    activities: send_item
    action: block
""",
        )
        made.origin.routes["/websocket/1"] = listen
        files = made.folder / "config" / "apps" / "files.yaml"
        files.write_text(files.read_text() + "product: slack\n")
        made.start()
        yield made


def say(proxy: World, *messages: str | bytes) -> tuple[list[bytes | str], bool]:
    """What the origin heard, and whether the connection is still there."""
    HEARD.clear()
    with proxy.connect(proxy.host) as sock:
        sock.settimeout(5)
        sock.sendall(
            f"GET /websocket/1 HTTP/1.1\r\nHost: {proxy.host}:{proxy.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n"
            f"User-Agent: {BROWSER}\r\nCookie: {proxy.session()}\r\nOrigin: https://{proxy.host}:{proxy.port}\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(4096)
        assert b" 101 " in head
        talk = Connection(ConnectionType.CLIENT)
        alive = True
        with contextlib.suppress(OSError):
            for each in (*messages, "last"):
                event = ws.TextMessage(each) if isinstance(each, str) else ws.BytesMessage(each)
                sock.sendall(talk.send(event))
            while alive and "last" not in HEARD:
                data = sock.recv(4096)
                if not data:
                    alive = False
                    break
                talk.receive_data(data)
                list(talk.events())
                alive = talk.state is ConnectionState.OPEN
    return [each for each in HEARD if each != "last"], "last" in HEARD


POST = json.dumps({"id": 1, "type": "message", "channel": "C7", "text": "Hi"})


@pytest.mark.parametrize(
    ("message", "heard", "open_after", "why"),
    [
        ("hello", True, True, "a text"),
        (json.dumps({"type": "typing", "channel": "C7"}), True, True, "another kind of message"),
        (b"\x00\x01binary", True, True, "bytes of no file"),
        (PNG, True, True, "a file that nothing forbids"),
        (PROGRAM, False, False, "a program"),
        (json.dumps({"data": base64.b64encode(PROGRAM).decode()}), False, True, "a program in base64"),
        ("42" + json.dumps(["file", {"data": base64.b64encode(PROGRAM).decode()}]), False, True, "in socket.io's frame"),
        (POST, False, True, "a message of the chat"),
        ("42" + json.dumps([{"x": 1}]), True, True, "an event of socket.io"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value and "{" not in value else "",
)  # fmt: skip
def test_messages(proxy: World, message: str | bytes, heard: bool, open_after: bool, why: str) -> None:
    assert say(proxy, message) == ([message] if heard else [], open_after), why


def test_a_file_in_several_messages(proxy: World) -> None:
    heard, alive = say(proxy, PNG, bytes(400))
    assert heard == [PNG]
    assert not alive


def test_what_was_refused_is_in_the_log(proxy: World) -> None:
    say(proxy, POST)
    record = proxy.records()[-1]
    assert (record["activity"], record["policy"], record["extra"]["via"]) == ("send_item", "no-messages", "websocket")
    assert record["objects"] == [{"type": "channel", "id": "C7", "name": "C7"}]
