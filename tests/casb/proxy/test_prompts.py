"""What is said to chat applications, over the wire: requests, forms and WebSocket messages."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto import events as ws
from wsproto.connection import Connection

from proxy_world import World, reply, world

POLICIES = """\
version: 1
policies:
  - id: no-apollo
    activities: send_item
    when: {text: {contains: project apollo}}
    action: block
    message: Say nothing of Apollo to {app}.
  - id: mask
    activities: send_item
    when: {text: {findings: credit-card}}
    action: redact
  - id: no-secrets
    activities: send_item
    when: {text: {findings: iban}}
    action: block
"""
FETCH = {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty", "content-type": "application/json"}
received: list[bytes] = []
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("prompts"), start=False) as made:

        def take(handler: BaseHTTPRequestHandler, body: bytes) -> None:
            received.append(body)
            reply(handler, 200, b"{}", content_type="application/json")

        for path in (CHAT, "/v1beta/models/gemini:generateContent", "/other", "/backend-api/conversation"):
            made.origin.routes[path] = take
        made.write("policies.yaml", POLICIES)
        made.start()
        yield made


def send(proxy: World, path: str, body: bytes, kind: str = "application/json") -> tuple[int, bytes]:
    received.clear()
    headers = FETCH | {"content-type": kind}
    got = proxy.ask(path, method="POST", cookie=proxy.session(), headers=headers, body=body)
    assert len(received) <= 1
    return got.status, received[0] if received else b""


SAID = {
    "openai": (CHAT, {"model": "x", "messages": [{"role": "user", "content": "the Project Apollo plan xyzzy"}]}),
    "parts": (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "PROJECT apollo xyzzy"}]}]}),
    "gemini": (
        "/v1beta/models/gemini:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "about project apollo xyzzy"}]}]},
    ),
    "web": (
        "/backend-api/conversation",
        {"messages": [{"author": {"role": "user"}, "content": {"parts": ["my project apollo xyzzy"]}}]},
    ),
}


@pytest.mark.parametrize("name", sorted(SAID))
def test_what_must_not_be_said_does_not_reach_the_application(proxy: World, name: str) -> None:
    path, value = SAID[name]
    assert send(proxy, path, json.dumps(value).encode()) == (403, b"")
    told = next(each for each in reversed(proxy.records()) if each["action"] == "block")
    assert (told["activity"], told["policy"], told["message"]) == (
        "send_item",
        "no-apollo",
        "Say nothing of Apollo to Company Files.",
    )
    assert "xyzzy" not in json.dumps(told), "what was said is never logged"


def test_the_rest_is_masked_and_goes_on(proxy: World) -> None:
    value = {"messages": [{"role": "user", "content": "my card 4111 1111 1111 1111"}], "temperature": 0.5}
    status, got = send(proxy, CHAT, json.dumps(value).encode())
    value["messages"] = [{"role": "user", "content": "my card XXXX XXXX XXXX XXXX"}]
    assert (status, json.loads(got)) == (200, value)


def test_what_is_found_in_it_decides(proxy: World) -> None:
    value = {"messages": [{"role": "user", "content": "send it to DE89 3704 0044 0532 0130 00 please"}]}
    assert send(proxy, CHAT, json.dumps(value).encode()) == (403, b"")
    told = next(each for each in reversed(proxy.records()) if each["action"] == "block")
    assert told["policy"] == "no-secrets" and "3704" not in json.dumps(told)
    value = {
        "messages": [{"role": "assistant", "content": "DE89 3704 0044 0532 0130 00"}, {"role": "user", "content": "ok"}]
    }
    assert send(proxy, CHAT, json.dumps(value).encode())[0] == 200, "what the application said itself"


def test_a_body_that_cannot_be_read_meets_the_policy(proxy: World) -> None:
    assert send(proxy, CHAT, b"{broken")[0] == 403


def test_forms_are_read(proxy: World) -> None:
    form = urllib.parse.urlencode({"f.req": json.dumps([None, json.dumps([["tell me of project apollo"]])])}).encode()
    assert send(proxy, CHAT, form, "application/x-www-form-urlencoded") == (403, b"")


class Talk:
    """A browser's end of a WebSocket."""

    def __init__(self, proxy: World, target: str) -> None:
        self.sock = proxy.connect(proxy.host)
        self.talk = WSConnection(ConnectionType.CLIENT)
        host = f"{proxy.host}:{proxy.port}"
        headers = [
            (b"origin", f"https://{host}".encode()),
            (b"sec-fetch-mode", b"websocket"),
            (b"cookie", proxy.session().encode()),
        ]
        self.sock.sendall(self.talk.send(ws.Request(host=host, target=target, extra_headers=headers)))
        self.events = self.read()
        assert isinstance(next(self.events), ws.AcceptConnection)

    def read(self) -> Iterator[Any]:
        while True:
            self.talk.receive_data(self.sock.recv(65536) or None)
            yield from self.talk.events()

    def say(self, text: str) -> None:
        self.sock.sendall(self.talk.send(ws.TextMessage(data=text)))


def echo(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    key = (handler.headers.get("sec-websocket-key") or "").encode()
    handler.send_response(101)
    accept = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest()).decode()
    for name, value in (("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-accept", accept)):
        handler.send_header(name, value)
    handler.end_headers()
    talk, sock = Connection(ConnectionType.SERVER), handler.connection
    while data := sock.recv(65536):
        talk.receive_data(data)
        for event in talk.events():
            if isinstance(event, ws.TextMessage):
                received.append(event.data.encode())
                sock.sendall(talk.send(ws.TextMessage(data=event.data)))
            elif isinstance(event, ws.CloseConnection):
                sock.sendall(talk.send(event.response()))
                return


def test_messages_of_an_open_connection_are_read_one_by_one(proxy: World) -> None:
    proxy.origin.routes["/c/api/chat"] = echo
    received.clear()
    talk = Talk(proxy, "/c/api/chat")
    talk.say(json.dumps({"text": "hello to you"}))
    assert json.loads(next(talk.events).data) == {"text": "hello to you"}
    talk.say(json.dumps({"text": "now of project apollo"}))
    talk.say(json.dumps({"text": "card 4111 1111 1111 1111"}))
    assert json.loads(next(talk.events).data) == {"text": "card XXXX XXXX XXXX XXXX"}
    assert [json.loads(each)["text"] for each in received] == ["hello to you", "card XXXX XXXX XXXX XXXX"]
    actions = [each["action"] for each in proxy.records() if each["request"]["url"].endswith("/c/api/chat")]
    assert actions[-3:] == ["allow", "block", "redact"]
    talk.sock.close()


def test_what_is_no_chat_is_nobodys_business(proxy: World) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "project apollo"}]}).encode()
    assert send(proxy, "/other", body) == (200, body)
