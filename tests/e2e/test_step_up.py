"""Proving more in the middle of a session: what was interrupted goes on, byte for byte, and nobody goes in circles."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from proxy_world import FETCH, NAVIGATE, SUFFIX, Origin, reply
from wire_world import WIKI, Browser, Site, onward, refused, site

POLICIES = """
version: 1
policies:
  - id: prove-before-download
    kind: session
    apps: [files]
    activities: download
    when: {file: {name: {contains: secret}}}
    action: {type: step_up, context: c3}
    message: Secret files need a second look at you.
  - id: prove-often-before-upload
    kind: session
    apps: [files]
    activities: upload
    action: {type: step_up, context: c4, fresh_for: 1m}
  - id: prove-for-content
    kind: session
    apps: [files]
    activities: download
    when: {file: {name: {contains: note}, detected_type: application/pdf}}
    action: {type: step_up, context: c5}
  - id: prove-for-what-is-in-it
    kind: session
    apps: [wiki]
    activities: upload
    when: {file: {name: {contains: held}, detected_type: application/pdf}}
    action: {type: step_up, context: c7}
  - id: prove-for-wiki
    kind: access
    apps: [wiki]
    action: {type: step_up, context: c6}
"""
KEPT = 7 * 1024 * 1024
"""Bytes of a body that are kept across a step-up here."""
READ = 12 * 1024 * 1024
"""Bytes of a form that are read here."""
FILE = os.urandom(200_000)
BINARY = bytes(range(256)) * 4000 + b"\r\n--x2-not--\r\n" + os.urandom(900_000)
OWN_PAGE = {"sec-fetch-site": "same-origin"}


def serve(origin: Origin) -> None:
    """A page, files to download, and places to upload to."""

    def download(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        reply(handler, 200, FILE, content_type="application/octet-stream",
              content_disposition='attachment; filename="secret.bin"')  # fmt: skip

    def found(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        reply(handler, 200, b"%PDF-1.7\n%a needle", content_type="text/plain",
              content_disposition='attachment; filename="note.txt"')  # fmt: skip

    origin.page("/", b"<html><head></head>the app</html>", content_type="text/html")
    origin.page("/save", b"<html><head></head>saved</html>", content_type="text/html")
    origin.page("/upload", b"<html><head></head>uploaded</html>", content_type="text/html")
    origin.routes["/secret.bin"] = download
    origin.routes["/note.txt"] = found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    limits: dict[str, Any] = {"limits": "{hold: 12MB}", "session": "{step_up_body: 7MB}"}
    with site(tmp_path_factory.mktemp("step"), policies=POLICIES, **limits) as made:
        serve(made.proxy.origin)
        serve(made.wiki)
        yield made


@pytest.fixture
def here(running: Site) -> Iterator[Site]:
    running.idp.reset()
    yield running
    running.idp.reset()


@pytest.fixture
def browser(here: Site) -> Browser:
    made = here.browser()
    assert "the app" in made.open(here.url("/")).text
    here.idp.asked.clear()
    return made


def multipart(content: bytes, name: str = "photo.bin") -> tuple[dict[str, str], bytes]:
    head = f'--x1\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n'
    body = head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--x1--\r\n"
    return {**NAVIGATE, **OWN_PAGE, "content-type": "multipart/form-data; boundary=x1"}, body


def posts(origin: Origin) -> list[Any]:
    return [each for each in origin.seen if each.method == "POST"]


def test_a_download_goes_on_after_the_proof(here: Site, browser: Browser) -> None:
    first = browser.send(here.url("/secret.bin?v=2"), headers={**NAVIGATE, "referer": here.url("/?page=1")})
    assert first.status_code == 303
    record = here.proxy.record(first.headers["x-casb-activity"])
    assert (record["action"], record["policy"]) == ("step_up", "prove-before-download")
    page = browser.follow(first)
    assert "Your download is starting" in page.text
    assert 'href="/?page=1"' in page.text, "and the way back to where the person was"
    assert [each["prompt"] for each in here.idp.asked if "prompt" in each] == []
    assert '"c3"' in here.idp.asked[-1]["claims"]
    got = browser.send(here.url("/secret.bin?v=2"))
    assert got.content == FILE
    assert browser.send(here.url("/secret.bin"), headers=FETCH).content == FILE, "once in this session is enough"


def test_content_found_in_the_middle_of_a_transfer_asks_too(here: Site, browser: Browser) -> None:
    first = browser.send(here.url("/note.txt"))
    assert first.status_code == 303
    assert b"needle" not in first.content
    assert "Your download is starting" in browser.follow(first).text
    assert browser.send(here.url("/note.txt")).content == b"%PDF-1.7\n%a needle"


@pytest.mark.parametrize("large", [False, True])
def test_an_upload_is_sent_byte_for_byte(here: Site, browser: Browser, large: bool) -> None:
    content = BINARY * 3 if large else BINARY[:5000]
    headers, body = multipart(content)
    headers["origin"] = here.url("")
    before = len(posts(here.proxy.origin))
    first = browser.send(here.url("/upload?to=a%2Fb"), method="POST", headers=headers, data=body)
    assert first.status_code == 303
    assert len(posts(here.proxy.origin)) == before, "nothing has reached the application"
    answer = browser.follow(first)
    while ".submit()" in answer.text:
        answer = browser.follow(browser.submit(answer))
    assert "uploaded" in answer.text
    sent = posts(here.proxy.origin)[-1]
    assert (sent.path, sent.headers["content-type"]) == ("/upload?to=a%2Fb", "multipart/form-data; boundary=x1")
    assert hashlib.sha256(sent.body).digest() == hashlib.sha256(body).digest(), "byte for byte"
    assert "__casb" not in sent.path
    again = browser.send(here.url("/upload"), method="POST", headers=headers, data=body)
    assert "uploaded" in again.text, "the proof counts for its minute"


def test_an_upload_that_was_held_and_read_is_sent_byte_for_byte(here: Site, browser: Browser) -> None:
    browser.open(here.url("/", WIKI))
    headers, body = multipart(b"%PDF-1.7\n" + BINARY * 3, "held.pdf")
    headers["origin"] = here.url("", WIKI)
    before = len(posts(here.wiki))
    first = browser.send(here.url("/upload", WIKI), method="POST", headers=headers, data=body)
    assert (first.status_code, len(posts(here.wiki))) == (303, before)
    answer = browser.follow(first)
    while ".submit()" in answer.text:
        answer = browser.follow(browser.submit(answer))
    assert "uploaded" in answer.text
    assert posts(here.wiki)[-1].body == body


def test_a_script_is_told_where_to_send_the_person(here: Site, browser: Browser) -> None:
    answer = browser.send(here.url("/secret.bin"), headers={**FETCH, "referer": here.url("/board")})
    told = answer.json()
    assert (answer.status_code, told["casb"]) == (401, "step-up")
    assert told["message"] == "Secret files need a second look at you."
    assert told["activity"] == answer.headers["x-casb-activity"]
    same = browser.send(here.url("/secret.bin"), headers=FETCH).json()
    assert same["url"] == told["url"], "requests of one page lead to one window"
    end = browser.open(told["url"])
    assert "You can close this window" in end.text
    assert 'href="/board"' in end.text
    assert "frame-ancestors 'none'" in end.headers["content-security-policy"]
    assert browser.send(here.url("/secret.bin"), headers=FETCH).content == FILE


def test_access_asks_before_the_first_page(here: Site, browser: Browser) -> None:
    page = browser.open(here.url("/", WIKI))
    assert "the app" in page.text
    assert [each for each in here.idp.asked if '"c6"' in each.get("claims", "")]


def test_a_person_who_cannot_prove_it_is_told_and_goes_back(here: Site, browser: Browser) -> None:
    here.idp.refuses = "access_denied"
    pages = [browser.open(here.url("/secret.bin"), headers={**NAVIGATE, "referer": here.url("/in")}) for _ in range(2)]
    for page in pages:
        record = refused(here.proxy, page, 403, "I004")
        assert record["id"] in page.text
        assert here.url("/in") in page.text, "the way back"
    asked = len(here.idp.asked)
    page = browser.open(here.url("/secret.bin"))
    refused(here.proxy, page, 403, "I021")
    assert len(here.idp.asked) == asked, "the provider is not bothered a third time"
    assert browser.send(here.url("/"), headers=FETCH).status_code == 200, "the session goes on"
    here.idp.refuses = ""
    assert browser.open(here.url("/secret.bin")).status_code == 403, "not for five minutes"


def test_a_provider_that_proves_nothing_is_not_believed(here: Site, browser: Browser) -> None:
    here.idp.proves = False
    page = browser.open(here.url("/secret.bin"))
    refused(here.proxy, page, 403, "T016")
    assert FILE not in browser.send(here.url("/secret.bin"), headers=FETCH).content


def test_the_proof_of_one_context_is_none_of_another(here: Site, browser: Browser) -> None:
    browser.open(here.url("/secret.bin"))
    headers, body = multipart(b"x")
    told = browser.send(here.url("/upload"), method="POST", headers={**FETCH, **{
        "content-type": headers["content-type"]}}, data=body)  # fmt: skip
    assert (told.status_code, told.json()["casb"]) == (401, "step-up")


def test_what_waits_is_its_own_sessions(here: Site, browser: Browser) -> None:
    mine = browser.send(here.url("/secret.bin"), headers=FETCH).json()["url"]
    here.idp.claims = {"oid": "oid-eve", "sub": "eve", "preferred_username": "eve@contoso.example", "sid": "s2"}
    eve = here.browser()
    eve.open(here.url("/"))
    refused(here.proxy, eve.send(mine), 400, "I015")
    stranger = here.browser()
    assert onward(stranger.send(mine)).startswith(here.login), "who has no session signs in, and gets nothing of it"


def test_parallel_step_ups_in_several_tabs(here: Site, browser: Browser) -> None:
    asked = [browser.send(here.url(f"/secret.bin?tab={n}")) for n in range(3)]
    half = [browser.follow(each, until="/.casb/oidc/callback") for each in asked[:2]]
    for each in (*half, asked[2]):
        assert "Your download is starting" in browser.follow(each).text
    assert browser.send(here.url("/secret.bin"), headers=FETCH).content == FILE


@pytest.mark.parametrize("size", [KEPT + 1, READ + 1])
def test_an_upload_too_large_to_keep_is_said_to_be_lost(here: Site, browser: Browser, size: int) -> None:
    """Larger than what is kept, and larger than what is read."""
    headers, body = multipart(b"x" * size)
    headers["origin"] = here.url("")
    before = len(posts(here.proxy.origin))
    answer = browser.open(here.url("/upload"), method="POST", headers=headers, data=body)
    assert "send it again" in answer.text
    assert len(posts(here.proxy.origin)) == before


def test_an_upload_that_outgrows_what_is_read_waits_for_the_proof_all_the_same(here: Site, browser: Browser) -> None:
    """Its length is not known beforehand: the question comes in the middle of it, and none of it goes on."""
    headers, body = multipart(b"x" * (READ + 1))
    headers["origin"] = here.url("")
    before = len(here.proxy.origin.seen)
    pieces = (body[at : at + 1_000_000] for at in range(0, len(body), 1_000_000))
    first = browser.send(here.url("/upload"), method="POST", headers=headers, data=pieces)
    assert first.status_code == 303
    assert here.proxy.record(first.headers["x-casb-activity"])["action"] == "step_up"
    assert "send it again" in browser.follow(first).text
    assert [each.path for each in here.proxy.origin.seen[before:]] == []


def test_a_hidden_field_of_the_wrong_session_sends_nothing(here: Site, browser: Browser) -> None:
    headers, body = multipart(b"payload")
    headers["origin"] = here.url("")
    page = browser.follow(browser.send(here.url("/upload"), method="POST", headers=headers, data=body))
    action = page.text.partition('action="')[2].partition('"')[0]
    thief = here.browser()
    here.idp.claims = {"oid": "oid-eve", "sub": "eve", "preferred_username": "eve@contoso.example", "sid": "s2"}
    thief.open(here.url("/"))
    refused(here.proxy, thief.send(here.url(action), method="POST", headers=headers, data=b""), 409, "I016")
    assert browser.cookie("__Host-casb_s", f"files.example.{SUFFIX}")
