"""Every action that is stricter than `notify`, on every way that something reaches an application: it never arrives
as it was sent."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from urllib.parse import quote

import pytest
from wsproto import ConnectionType
from wsproto import events as ws
from wsproto.connection import Connection

from proxy_world import APP_HOST, BROWSER, FETCH, World, reply, world

VALUES = {
    "redact": "card 4111 1111 1111 1111",
    "coach": "iban DE89 3704 0044 0532 0130 00",
    "step_up": "ssn: 787-78-9328",
    "block": "sin: 909 073 637",
    "notify": "itin: 967-92-9081",
}
_TYPES = {
    "redact": "credit-card",
    "coach": "iban",
    "step_up": "us-ssn",
    "block": "ca-sin",
    "notify": "us-itin",
}
_ACTIONS = {"step_up": "{type: step_up, context: c3}"}
POLICIES = "version: 1\npolicies:\n" + "".join(
    f"  - {{id: {action.replace('_', '-')}-{kind.replace('_', '-')}, activities: {kind}, "
    f"when: {{{about}: {{findings: {_TYPES[action]}}}}}, action: {_ACTIONS.get(action, action)}}}\n"
    for kind, about in (("upload", "file"), ("send_item", "text"))
    for action in VALUES
)
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
FORM = "multipart/form-data; boundary=b0"
ARRIVED: list[bytes] = []


def listen(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
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
                ARRIVED.append(event.data.encode() if isinstance(event, ws.TextMessage) else bytes(event.data))
                handler.connection.sendall(talk.send(ws.TextMessage("yes")))


def take(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    ARRIVED.append(body)
    reply(handler, 200, b"{}", content_type="application/json")


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("control"), start=False, limits="{hold: 1MB}") as made:
        made.write("policies.yaml", POLICIES)
        made.write(
            "apps/files.yaml",
            f"id: files\nname: Company Files\ndomains: [{APP_HOST}]\nproduct: microsoft-365\n"
            "signatures:\n  - {activity: send_item, methods: [POST], path: /say}\n"
            f'upstream: {{connect: "127.0.0.1:{made.origin.port}", ca: {made.origin.ca}}}\n',
        )
        for path in ("/up", "/say", "/v1.0/$batch", "/v1/chat/completions", "/notes.txt"):
            made.origin.routes[path] = take
        for path in ("/c/api/chat", "/socket"):
            made.origin.routes[path] = listen
        made.start()
        yield made


type Way = Callable[[World, bytes], None]


def post(path: str, kind: str, body: Callable[[bytes], bytes], method: str = "POST", **headers: str) -> Way:
    def send(proxy: World, text: bytes) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        proxy.ask(
            path,
            method=method,
            cookie=proxy.session(),
            headers={**FETCH, "content-type": kind, **named},
            body=body(text),
        )

    return send


def part(content: bytes, head: str) -> bytes:
    return f"--b0\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"


def one(text: bytes) -> bytes:
    return part(text, 'name="f"; filename="a.txt"') + b"--b0--\r\n"


def two(text: bytes) -> bytes:
    return part(b"nothing", 'name="g"; filename="b.txt"') + one(text)


def data_url(text: bytes) -> bytes:
    return b"data:text/plain;base64," + base64.b64encode(text)


def in_json(text: bytes) -> str:
    return json.dumps({"a": data_url(text).decode()})


def pieces(proxy: World, text: bytes) -> None:
    """By `Content-Range`: the value lies across the border of the pieces."""
    cut = len(text) // 2
    address = f"/up?upload_id={hashlib.sha256(text).hexdigest()[:12]}"
    at = 0
    cookie = proxy.session()
    for piece in (text[:cut], text[cut:]):
        told = f"bytes {at}-{at + len(piece) - 1}/{len(text)}"
        headers = {**FETCH, "content-type": "text/plain", "content-range": told}
        at += len(piece)
        proxy.ask(address, method="PUT", cookie=cookie, headers=headers, body=piece)


def early(proxy: World, text: bytes) -> None:
    """The first piece has all of it, the last one nothing."""
    cookie = proxy.session()
    whole = text + b"." * 100
    address = f"/up?upload_id={hashlib.sha256(whole).hexdigest()[:12]}"
    for at, piece in ((0, text), (len(text), whole[len(text) :])):
        told = f"bytes {at}-{at + len(piece) - 1}/{len(whole)}"
        headers = {**FETCH, "content-type": "text/plain", "content-range": told}
        proxy.ask(address, method="PUT", cookie=cookie, headers=headers, body=piece)


def socket(path: str, message: Callable[[bytes], str]) -> Way:
    def say(proxy: World, text: bytes) -> None:
        with proxy.connect(proxy.host) as sock:
            sock.settimeout(10)
            place = f"{proxy.host}:{proxy.port}"
            key = base64.b64encode(bytes(16)).decode()
            sock.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {place}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-Fetch-Mode: websocket\r\n"
                f"User-Agent: {BROWSER}\r\nCookie: {proxy.session()}\r\nOrigin: https://{place}\r\n\r\n".encode()
            )
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(4096)
            talk = Connection(ConnectionType.CLIENT)
            sock.sendall(talk.send(ws.TextMessage(message(text))))
            sock.sendall(talk.send(ws.TextMessage("the last")))
            answered = 0
            while not (answered and b"the last" in ARRIVED):
                got = sock.recv(4096)
                if not got:
                    return
                answered += 1

    return say


def prompt(text: bytes) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text.decode()}]}).encode()


def batch(text: bytes) -> bytes:
    mail = {"message": {"subject": "x", "body": {"content": text.decode()}}}
    return json.dumps({"requests": [{"id": "1", "method": "POST", "url": "/me/sendMail", "body": mail}]}).encode()


def batched_put(text: bytes) -> bytes:
    return (
        b"--b0\r\nContent-Type: application/http\r\n\r\nPUT /me/drive/root:/a.txt:/content HTTP/1.1\r\n"
        b"Content-Type: text/plain\r\n\r\n" + text + b"\r\n--b0--\r\n"
    )


WAYS: dict[str, Way] = {
    "a form": post("/up", FORM, one),
    "one of two files": post("/up", FORM, two),
    "a raw body": post("/notes.txt", "text/plain", lambda text: text, "PUT"),
    "a named raw body": post(
        "/up", "application/octet-stream", lambda text: text, content_disposition='attachment; filename="a.txt"'
    ),
    "a data URL in JSON": post("/up", "application/json", lambda text: in_json(text).encode()),
    "a data URL in a field": post("/up", FORM, lambda text: part(data_url(text), 'name="x"') + b"--b0--\r\n"),
    "a data URL in a form of text": post(
        "/up", "application/x-www-form-urlencoded", lambda text: b"a=" + quote(data_url(text), safe="").encode()
    ),
    "pieces": pieces,
    "the first of the pieces": early,
    "a prompt": post("/v1/chat/completions", "application/json", prompt),
    "a prompt to an app's own address": post("/say", "application/json", prompt),
    "a prompt in a form": post("/say", FORM, lambda text: part(text, 'name="message"') + b"--b0--\r\n"),
    "a prompt with a file": post(
        "/say", FORM, lambda text: part(b"hello", 'name="message"') + one(text)
    ),
    "a batch": post("/v1.0/$batch", "application/json", batch),
    "a batch of files": post("/v1.0/$batch", "multipart/mixed; boundary=b0", batched_put),
    "a socket": socket("/socket", in_json),
    "a prompt on a socket": socket("/c/api/chat", lambda text: json.dumps({"text": text.decode()})),
}  # fmt: skip


def arrived(text: bytes, *, whole: bool = False) -> bool:
    """Whether the origin has it, in any form in which it was sent."""
    got = ARRIVED if not whole else [b"".join(ARRIVED)]
    forms = (text, data_url(text)[23:], json.dumps(text.decode())[1:-1].encode())
    return any(form in each for form in forms for each in got)


@pytest.mark.parametrize("action", [each for each in VALUES if each != "notify"])
@pytest.mark.parametrize("way", WAYS)
def test_nothing_arrives_that_policy_does_not_let_pass(proxy: World, way: str, action: str) -> None:
    ARRIVED.clear()
    text = f"A note. {VALUES[action]} and no more.".encode()
    WAYS[way](proxy, text)
    assert not arrived(VALUES[action].encode()), ARRIVED
    assert not arrived(VALUES[action].encode(), whole=True)
    assert not arrived(text)


@pytest.mark.parametrize("way", [each for each in WAYS if "batch" not in each])
def test_what_is_only_told_arrives_as_it_was_sent(proxy: World, way: str) -> None:
    ARRIVED.clear()
    text = f"A note. {VALUES['notify']} and no more.".encode()
    WAYS[way](proxy, text)
    assert arrived(text) or arrived(text, whole=True) or quote(data_url(text), safe="").encode() in b"".join(ARRIVED)
