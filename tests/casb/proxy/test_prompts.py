"""What is said to chat applications, over the wire: requests, forms and WebSocket messages."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

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


def test_what_is_no_chat_is_nobodys_business(proxy: World) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "project apollo"}]}).encode()
    assert send(proxy, "/other", body) == (200, body)
