"""Files that are judged: held on disk, replayed byte for byte, and never more than a little of them in memory."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import re
import socket
import ssl
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from casb.proxy import taking
from proxy_world import FETCH, NAVIGATE, Reply, World, reply, wait_for, world

POLICIES = """\
version: 1
policies:
  - id: no-programs-down
    kind: session
    activities: [download]
    when: {file: {detected_type: application/vnd.microsoft.portable-executable}}
    action: block
    unscannable: block
  - id: protect-reports
    kind: session
    activities: [download]
    when: {file: {name: "report*"}}
    action: protect
  - id: no-programs-up
    kind: session
    activities: [upload]
    when: {file: {detected_type: application/vnd.microsoft.portable-executable}}
    action: block
    unscannable: block
"""
NOISE = hashlib.shake_256(b"noise").digest(1_300_000)
PROGRAM = b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + NOISE
UP = "PUT /up HTTP/1.1\r\ncontent-type: application/octet-stream\r\nx-file-name: a.bin"
ATTACHED: dict[str, Any] = {
    "content_type": "application/octet-stream",
    "content_disposition": "attachment; filename=a.bin",
}


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("bodies")
    with world(
        folder,
        start=False,
        limits="{hold: 3MB, spool_file: 20MB, spool_total: 48MB, spool_free: 1MB, upstream_idle: 2s}",
    ) as made:
        made.write("policies.yaml", POLICIES)
        made.start()
        made.origin.page("/noise", NOISE, **ATTACHED)
        made.origin.page("/program", PROGRAM, **ATTACHED)
        made.origin.routes["/up"] = lambda handler, body: reply(
            handler, 200, hashlib.sha256(body).hexdigest().encode(), content_type="text/plain"
        )
        yield made


def held(proxy: World) -> list[Path]:
    return list((proxy.data / "held").iterdir())


def test_a_held_download_arrives_byte_for_byte(proxy: World) -> None:
    cookie = proxy.session()
    answer = proxy.ask("/noise", cookie=cookie, headers=NAVIGATE)
    assert answer.status == 200
    assert answer.headers["content-length"] == str(len(NOISE))
    assert answer.body == NOISE
    nothing_held(proxy)


def test_a_refused_one_is_answered_by_a_page(proxy: World) -> None:
    answer = proxy.ask("/program", cookie=proxy.session(), headers=FETCH)
    assert answer.status == 403
    assert answer.json["policy"] == "no-programs-down"
    nothing_held(proxy)


def test_an_upload_reaches_the_origin_whole_or_not_at_all(proxy: World) -> None:
    cookie = proxy.session()
    sent = {**FETCH, "content-type": "application/octet-stream", "content-disposition": "attachment; filename=a.bin"}
    answer = proxy.ask("/up", method="PUT", cookie=cookie, headers=sent, body=NOISE)
    assert answer.text == hashlib.sha256(NOISE).hexdigest()
    before = len(proxy.origin.seen)
    answer = proxy.ask("/up", method="PUT", cookie=cookie, headers=sent, body=PROGRAM)
    assert answer.status == 403
    assert len(proxy.origin.seen) == before
    nothing_held(proxy)


def wire(proxy: World, head: str, cookie: str, body: bytes = b"") -> Any:
    """A connection on which a request has been written by hand."""
    connection = proxy.connect(proxy.host)
    connection.sendall(
        (head + f"\r\nhost: {proxy.host}:{proxy.port}\r\ncookie: {cookie}\r\nsec-fetch-mode: cors\r\n").encode()
    )
    connection.sendall(b"sec-fetch-dest: empty\r\naccept-encoding: identity\r\n\r\n" + body)
    return connection


def nothing_held(proxy: World) -> None:
    wait_for(lambda: not held(proxy), "held files to go")


def serve(proxy: World, path: str, give: Any, length: int | None = None, **headers: str) -> None:
    """A download whose body is written by `give(handler)`."""

    def route(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(200)
        for name, value in {**ATTACHED, **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        if length is not None:
            handler.send_header("content-length", str(length))
        handler.end_headers()
        give(handler)
        handler.close_connection = True

    proxy.origin.routes[path] = route


# ---------------------------------------------------------------- framings


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_coded_download_is_read_plain_and_passed_as_it_came(proxy: World, coding: str) -> None:
    from casb.rewrite.codings import request_encoder_for

    encoder = request_encoder_for(coding)
    packed = encoder.feed(PROGRAM) + encoder.finish()
    proxy.origin.page("/packed", packed, content_encoding=coding, **ATTACHED)
    assert proxy.ask("/packed", cookie=proxy.session(), headers=FETCH).status == 403
    encoder = request_encoder_for(coding)
    packed = encoder.feed(NOISE) + encoder.finish()
    proxy.origin.page("/packed", packed, content_encoding=coding, **ATTACHED)
    assert proxy.ask("/packed", cookie=proxy.session(), headers=FETCH).body == packed


def test_chunked_bodies_keep_their_framing(proxy: World) -> None:
    def chunks(handler: BaseHTTPRequestHandler) -> None:
        for at in range(0, len(NOISE), 100_000):
            piece = NOISE[at : at + 100_000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    serve(proxy, "/chunks", chunks, transfer_encoding="chunked")
    cookie = proxy.session()
    assert proxy.ask("/chunks", cookie=cookie, headers=FETCH).body == NOISE
    body = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (NOISE[:700_000], NOISE[700_000:])) + b"0\r\n\r\n"
    head = f"{UP}\r\ntransfer-encoding: chunked"
    with wire(proxy, head, cookie, body) as connection:
        assert hashlib.sha256(NOISE).hexdigest().encode() in connection.recv(4096)
    assert proxy.origin.seen[-1].headers.get("transfer-encoding") == "chunked"


class OnlyHttp2(ssl.SSLContext):
    """Offers nothing else, as the proxy takes what is offered first."""

    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        super().set_alpn_protocols(["h2"])


def test_over_http2(proxy: World) -> None:
    authority = str(proxy.folder / "certs" / "casb-ca.pem")
    headers = {"host": f"{proxy.host}:{proxy.port}", "cookie": proxy.session(), **FETCH, "accept-encoding": "identity"}
    context = OnlyHttp2(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority)
    with httpx.Client(http2=True, verify=context) as client:
        base, more = f"https://127.0.0.1:{proxy.port}", {"sni_hostname": proxy.host}
        answer = client.get(base + "/noise", headers=headers, extensions=more)
        assert (answer.http_version, answer.content) == ("HTTP/2", NOISE)
        assert client.get(base + "/program", headers=headers, extensions=more).status_code == 403
        up = {**headers, "content-type": "application/octet-stream", "x-file-name": "a.bin"}
        answer = client.put(base + "/up", content=NOISE, headers=up, extensions=more)
        assert answer.text == hashlib.sha256(NOISE).hexdigest()
        answer = client.put(base + "/up", content=iter([NOISE]), headers=up, extensions=more)
        assert answer.text == hashlib.sha256(NOISE).hexdigest()
        before = len(proxy.origin.seen)
        assert client.put(base + "/up", content=PROGRAM, headers=up, extensions=more).status_code == 403
        assert len(proxy.origin.seen) == before
    nothing_held(proxy)


def test_a_head_request_holds_nothing(proxy: World) -> None:
    answer = proxy.ask("/noise", method="HEAD", cookie=proxy.session(), headers=FETCH)
    assert (answer.status, answer.headers["content-length"]) == (200, str(len(NOISE)))


def test_an_event_stream_is_never_held(proxy: World) -> None:
    go = threading.Event()

    def events(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"data: first\n\n")
        handler.wfile.flush()
        go.wait(10)
        handler.wfile.write(b"data: second\n\n")

    serve(proxy, "/events", events, content_type="text/event-stream", content_disposition="inline")
    with wire(proxy, "GET /events HTTP/1.1", proxy.session()) as connection:
        got = b""
        while b"first" not in got:
            got += connection.recv(4096)
        go.set()
        while b"second" not in got:
            got += connection.recv(4096)


def test_a_range_is_asked_for_as_a_whole(proxy: World) -> None:
    answer = proxy.ask("/noise", cookie=proxy.session(), headers={**FETCH, "range": "bytes=5-9", "if-range": '"x"'})
    assert (answer.status, answer.body) == (200, NOISE)
    assert not {"range", "if-range"} & set(proxy.origin.seen[-1].headers)


# ---------------------------------------------------------------- what goes wrong


def test_an_origin_that_dies_in_the_middle_is_explained(proxy: World) -> None:
    serve(proxy, "/dies", lambda handler: handler.wfile.write(NOISE[:600_000]), length=len(NOISE))
    answer = proxy.ask("/dies", cookie=proxy.session(), headers=FETCH)
    assert answer.status == 502
    nothing_held(proxy)


@pytest.mark.parametrize("claimed", [len(NOISE) - 7, len(NOISE) + 7], ids=["more than it said", "less than it said"])
def test_a_length_that_lies(proxy: World, claimed: int) -> None:
    serve(proxy, "/lies", lambda handler: handler.wfile.write(NOISE), length=claimed)
    answer = proxy.ask("/lies", cookie=proxy.session(), headers=FETCH)
    assert (answer.status, answer.body) == (200, NOISE[:claimed]) if claimed < len(NOISE) else answer.status == 502
    nothing_held(proxy)


def test_a_client_that_leaves_takes_its_file_along(proxy: World) -> None:
    go = threading.Event()

    def slowly(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(NOISE[:900_000])
        handler.wfile.flush()
        go.wait(10)
        with contextlib.suppress(OSError):
            handler.wfile.write(NOISE[900_000:])

    serve(proxy, "/slow", slowly, length=len(NOISE))
    with wire(proxy, "GET /slow HTTP/1.1", proxy.session()):
        wait_for(lambda: held(proxy), "a held file")
    nothing_held(proxy)
    go.set()
    head = f"{UP}\r\ncontent-length: {len(NOISE)}"
    before = len(proxy.origin.seen)
    with wire(proxy, head, proxy.session(), NOISE[:900_000]):
        wait_for(lambda: held(proxy), "a held file")
    nothing_held(proxy)
    assert len(proxy.origin.seen) == before


def test_more_than_may_be_held_takes_unscannable(proxy: World) -> None:
    block = bytes(range(256)) * 4096

    def much(handler: BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(OSError):
            for _ in range(24):
                handler.wfile.write(block)

    for path, length in (("/told", 24 << 20), ("/untold", None)):
        serve(proxy, path, much, length=length)
        answer = proxy.ask(path, cookie=proxy.session(), headers=FETCH)
        assert answer.status == 403
        record = proxy.records()[-1]
        assert "file.unscannable" in [each["code"] for each in record["reasons"]]
    nothing_held(proxy)


def test_a_full_disk_takes_unscannable(proxy: World) -> None:
    filler = proxy.data / "held" / "other.held"
    with filler.open("wb") as file:
        file.truncate(48 << 20)  # the budget counts what others hold
    try:
        assert proxy.ask("/noise", cookie=proxy.session(), headers=FETCH).status == 403
        up = {**FETCH, "content-type": "application/octet-stream", "x-file-name": "a.bin"}
        before = len(proxy.origin.seen)
        assert proxy.ask("/up", method="PUT", cookie=proxy.session(), headers=up, body=NOISE).status == 403
        assert len(proxy.origin.seen) == before
    finally:
        filler.unlink()
    assert proxy.ask("/noise", cookie=proxy.session(), headers=FETCH).body == NOISE


def test_a_bomb_is_not_unpacked_to_the_end(proxy: World) -> None:
    proxy.origin.page("/bomb", gzip.compress(bytes(60 << 20), 1), content_encoding="gzip", **ATTACHED)
    assert proxy.ask("/bomb", cookie=proxy.session(), headers=FETCH).status == 403
    nothing_held(proxy)


def test_a_reader_that_stops_holds_up_nobody(proxy: World) -> None:
    cookie = proxy.session()
    with wire(proxy, "GET /noise HTTP/1.1", cookie) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        time.sleep(0.3)
        begun = time.monotonic()
        assert proxy.ask("/noise", cookie=cookie, headers=FETCH).body == NOISE
        assert time.monotonic() - begun < 5
    nothing_held(proxy)


# ---------------------------------------------------------------- a page meanwhile

LARGE = bytes(range(256)) * 66_000  # 17 MB
PAGE = {**NAVIGATE, "sec-fetch-user": "?1"}


def waited_for(proxy: World, path: str, cookie: str) -> tuple[Reply, Reply]:
    """The first page, and what its address gives in the end, on connections that stay open as a browser's do."""
    with proxy.connect(proxy.host) as kept:
        lines = "".join(f"{name}: {value}\r\n" for name, value in PAGE.items())
        host = f"{proxy.host}:{proxy.port}"
        kept.sendall(f"GET {path} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\n{lines}\r\n".encode())
        got = b""
        while b"</html>" not in got:
            got += kept.recv(65_536)
        head, _, body = got.partition(b"\r\n\r\n")
        names = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
        first = Reply(status=int(head.split()[1]), headers=names, cookies=[], body=body)
        found = re.search(rb"refresh: \d+; url=(/\S+)", head)
        assert found is not None
        target = found[1].decode()

        def asked() -> Reply | None:
            answer = proxy.ask(target, cookie=cookie, headers=PAGE)
            return None if "refresh" in answer.headers else answer

        return first, wait_for(asked, "the file", 20)


def test_a_navigation_waits_with_a_page_and_gets_the_file(proxy: World) -> None:
    proxy.origin.page("/large", LARGE, **ATTACHED)
    first, answer = waited_for(proxy, "/large", proxy.session())
    assert (first.status, first.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "a.bin" in first.text
    assert answer.body == LARGE
    assert answer.headers["content-disposition"] == "attachment; filename=a.bin"
    assert answer.headers["content-length"] == str(len(LARGE))
    assert proxy.records()[-1]["action"] in ("allow", "audit")


def test_or_the_reason_why_not(proxy: World) -> None:
    proxy.origin.page("/large-program", PROGRAM[:1000] + LARGE, **ATTACHED)
    _, answer = waited_for(proxy, "/large-program", proxy.session())
    assert answer.status == 403
    assert "Download blocked" in answer.text
    assert proxy.records()[-1]["action"] == "block"


def test_or_what_the_origin_failed_at(proxy: World) -> None:
    serve(proxy, "/large-dies", lambda handler: handler.wfile.write(LARGE[:1_000_000]), length=len(LARGE))
    _, answer = waited_for(proxy, "/large-dies", proxy.session())
    assert (answer.status, "did not arrive" in answer.text) == (502, True)


def test_a_ticket_is_of_one_session(proxy: World) -> None:
    proxy.origin.page("/large", LARGE, **ATTACHED)
    answer = proxy.ask("/large", cookie=proxy.session(), headers=PAGE)
    target = answer.headers["refresh"].partition("url=")[2]
    assert proxy.ask(target, cookie=proxy.session("mallory2@contoso.example"), headers=PAGE).status == 404
    assert proxy.ask(target, headers=PAGE).status in (302, 303, 401)
    assert proxy.ask("/.casb/wait/unknown/a.bin", cookie=proxy.session(), headers=PAGE).status == 404


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (FETCH, "a script wants the file itself"),
        ({**NAVIGATE, "sec-fetch-dest": "empty"}, "a link is saved"),
        ({**NAVIGATE, "sec-fetch-dest": "iframe"}, "a frame shows nothing to anybody"),
        ({"accept": "text/html"}, "this may be no browser"),
    ],
)
def test_others_wait_for_the_file_itself(proxy: World, sent: dict[str, str], why: str) -> None:
    proxy.origin.page("/large", LARGE, **ATTACHED)
    assert proxy.ask("/large", cookie=proxy.session(), headers=sent).body == LARGE, why


def test_a_slow_reader_over_http2_holds_the_origin_back(proxy: World) -> None:
    """What is not even judged: mitmproxy would keep all of it."""
    sent = [0]

    def endless(handler: BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(OSError):
            while sent[0] < 200 << 20:
                handler.wfile.write(bytes(1 << 20))
                sent[0] += 1 << 20

    serve(proxy, "/video", endless, length=200 << 20, content_type="video/mp4", content_disposition="inline")
    context = OnlyHttp2(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(str(proxy.folder / "certs" / "casb-ca.pem"))
    headers = {"host": f"{proxy.host}:{proxy.port}", "cookie": proxy.session(), **FETCH}
    more = {"sni_hostname": proxy.host}
    with (
        httpx.Client(http2=True, verify=context) as client,
        client.stream("GET", f"https://127.0.0.1:{proxy.port}/video", headers=headers, extensions=more) as answer,
    ):
        next(answer.iter_raw(10))
        before = wait_for(lambda: sent[0] > 0 and sent[0], "the origin to begin")
        for _ in range(40):
            time.sleep(0.25)
            if sent[0] == before:
                break
            before = sent[0]
        assert before < 100 << 20


def test_holding_may_be_left_to_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    assert taking.wanted()
    monkeypatch.setenv(taking.IN_MEMORY, "1")
    assert not taking.wanted()


@pytest.mark.parametrize("name", ["report.bin", "report.docx"])
def test_a_held_download_that_is_protected_never_leaves_as_it_was(proxy: World, name: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/noise.bin", NOISE)
    body = packed.getvalue()
    proxy.origin.page(f"/{name}", body, **{**ATTACHED, "content_disposition": f"attachment; filename={name}"})
    waited_for_by_others = set(held(proxy))
    answer = proxy.ask(f"/{name}", cookie=proxy.session(), headers=FETCH)
    assert NOISE[:1000] not in answer.body
    wait_for(lambda: set(held(proxy)) <= waited_for_by_others, "held files to go")
