"""Masking over the wire: what the browser gets of pages, answers, files and streams, and the app of prompts."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from proxy_world import APP_HOST, World, reply, world

CARD = "4111 1111 1111 1111"
PLAIN = "4111111111111111"
MASKED = "XXXX XXXX XXXX XXXX"
POLICIES = """\
version: 1
policies:
  - id: mask-cards
    activities: [view, download, upload, send_item]
    when: {device: unmanaged}
    action: {type: redact, types: [credit-card]}
  - id: mask-or-encrypt
    activities: download
    when: {file: 'report*'}
    action: {type: redact, types: [credit-card], otherwise: block}
"""
NAVIGATE = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept": "text/html"}
FETCH = {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
received: list[bytes] = []


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("redaction"), start=False) as made:
        made.write("policies.yaml", POLICIES)
        made.write(
            "apps/files.yaml",
            f"id: files\nname: Company Files\ndomains: [{APP_HOST}]\n"
            "signatures:\n  - {activity: send_item, methods: [POST], path: /say}\n"
            f'upstream: {{connect: "127.0.0.1:{made.origin.port}", ca: {made.origin.ca}}}\n',
        )
        made.start()
        yield made


def test_a_page_comes_masked_and_keeps_its_structure(proxy: World) -> None:
    page = f"<!doctype html><title>t</title><p>card <b>4111</b> 1111 1111 1111</p><input value='{PLAIN}' name=card>"
    proxy.origin.page("/page", page.encode(), content_type="text/html", etag='"x"', digest="sha-256=abc")
    got = proxy.ask("/page", cookie=proxy.session(), headers=NAVIGATE)
    assert got.status == 200
    assert b"<p>card <b>XXXX</b> XXXX XXXX XXXX</p><input value='XXXXXXXXXXXXXXXX' name=card>" in got.body
    assert int(got.headers["content-length"]) == len(got.body)
    assert "digest" not in got.headers
    assert got.headers.get("etag") != '"x"'
    record = next(each for each in proxy.records() if "masked" in each["extra"])
    assert (record["activity"], record["action"], record["extra"]["masked"]) == ("view", "redact", 2)
    assert proxy.record(record["extra"]["of"])["action"] == "redact"
    assert record["file"]["findings"] == {"credit-card": 1}


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_an_answer_in_json_stays_json(proxy: World, coding: str) -> None:
    told = {"card": CARD, "number": int(PLAIN), "list": [1, "é", None], "note": f"x\n{PLAIN}"}
    body = json.dumps(told).encode()
    sent = gzip.compress(body) if coding else body
    proxy.origin.page("/api", sent, content_type="application/json", content_encoding=coding or "identity")
    got = proxy.ask("/api", cookie=proxy.session(), headers=FETCH)
    masked = {"card": MASKED, "number": 0, "list": [1, "é", None], "note": "x\nXXXXXXXXXXXXXXXX"}
    assert json.loads(got.body) == masked


def test_a_managed_device_gets_everything(proxy: World) -> None:
    from casb.model.identity import DeviceTag

    proxy.origin.page("/plain", f"card {CARD}".encode(), content_type="text/plain")
    cookie = proxy.session(tags=(DeviceTag.COMPLIANT,))
    assert proxy.ask("/plain", cookie=cookie, headers=NAVIGATE).body == f"card {CARD}".encode()


def test_a_csv_file_is_masked_and_a_large_one_streams(proxy: World) -> None:
    row = f"Ada;{CARD};visa\n"
    body = (row + "x" * 4000 + "\n").encode() * 500
    proxy.origin.page("/list", body, content_type="text/csv", content_disposition='attachment; filename="list.csv"')
    got = proxy.ask("/list", cookie=proxy.session(), headers=NAVIGATE)
    assert got.body == body.replace(CARD.encode(), MASKED.encode())


def test_what_cannot_be_masked_meets_the_stricter_action(proxy: World) -> None:
    proxy.origin.page(
        "/report",
        b"PK\x03\x04 whatever",
        content_type="application/octet-stream",
        content_disposition='attachment; filename="report.bin"',
    )
    got = proxy.ask("/report", cookie=proxy.session(), headers=FETCH)
    assert (got.status, got.json["policy"]) == (403, "mask-cards")
    record = proxy.record(got.json["activity"])
    assert (record["action"], record["reasons"][-1]["code"]) == ("block", "redact.impossible")


def test_an_answer_that_comes_in_events_is_masked_across_them(proxy: World) -> None:
    def answer(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        for part in ("my card ", "4111", " 1111 1111", " 1111", " ok"):
            event = json.dumps({"choices": [{"delta": {"content": part}}], "card": PLAIN})
            handler.wfile.write(f"data: {event}\n\n".encode())
            handler.wfile.flush()
        handler.wfile.write(b"data: [DONE]\n\n")
        handler.close_connection = True

    proxy.origin.routes["/events"] = answer
    got = proxy.ask("/events", cookie=proxy.session(), headers=FETCH)
    events = [json.loads(line[6:]) for line in got.body.decode().splitlines() if line.startswith("data: {")]
    assert "".join(each["choices"][0]["delta"]["content"] for each in events) == f"my card {MASKED} ok"
    assert {each["card"] for each in events} == {"X" * 16}
    assert got.body.endswith(b"data: [DONE]\n\n")


def test_what_is_sent_reaches_the_app_masked(proxy: World) -> None:
    def take(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        received.append(body)
        reply(handler, 200, b"{}", content_type="application/json")

    proxy.origin.routes["/say"] = take
    body = json.dumps({"messages": [{"role": "user", "content": f"pay with {CARD}"}]}).encode()
    headers = FETCH | {"content-type": "application/json"}
    assert proxy.ask("/say", method="POST", cookie=proxy.session(), headers=headers, body=body).status == 200
    assert json.loads(received[-1]) == {"messages": [{"role": "user", "content": f"pay with {MASKED}"}]}
    record = next(each for each in proxy.records() if each["activity"] == "send_item")
    assert record["action"] == "redact"
