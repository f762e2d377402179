"""Downloads judged while they pass: what is blocked never leaves whole, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from casb.inspection.spec import Recipe
from casb.proxy.streaming import WINDOW, StreamWorkers, Unjudged
from proxy_world import FETCH, NAVIGATE, World, wait_for, world
from stream_fakes import CARD

TESTS = str(Path(__file__).resolve().parents[2])
RECIPE = Recipe(factory="stream_fakes:make", data=b"", digest="cards")
LINE = b"An ordinary line of an ordinary log, with nothing in it.\n"
CLEAN = LINE * 60_000  # 3.4 MB
LETTERS = bytes.maketrans(b"0123456789", b"ghijklmnop")
SECRET = CLEAN + b"credit card number " + CARD + b" expires 12/29\n" + LINE * 3
POLICIES = """\
version: 1
policies:
  - id: no-cards
    kind: session
    activities: [download]
    when: {file: {findings: credit-card}}
    action: block
    unscannable: block
    message: Card numbers stay here.
"""


def workers(**more: Any) -> StreamWorkers:
    return StreamWorkers(modules=("stream_fakes",), path=TESTS, **more)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("streaming")
    with world(folder, start=False, limits="{hold: 1MB, spool_file: 8MB, spool_total: 64MB, spool_free: 1MB}") as made:
        made.write("policies.yaml", POLICIES)
        made.start()
        yield made


def stream_workers(proxy: World) -> list[int]:
    """The processes that read streams for a world's worker."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, IndexError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if proxy.process and parent == proxy.process.pid and b"stream_worker" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def attach(proxy: World, path: str, body: bytes, *, chunked: bool = False, **headers: str) -> None:
    """Serve a file, with its length or in chunks."""

    def serve(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-type", headers.pop("content_type", "text/plain"))
        handler.send_header("content-disposition", f'attachment; filename="{path.strip("/")}.txt"')
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header(*(("transfer-encoding", "chunked") if chunked else ("content-length", str(len(body)))))
        handler.end_headers()
        for at in range(0, len(body), 50_000):
            piece = body[at : at + 50_000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            handler.wfile.write(b"0\r\n\r\n")

    proxy.origin.routes[path] = serve


def last_record(proxy: World) -> dict[str, Any]:
    return proxy.records()[-1]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_a_clean_text_passes_byte_for_byte(proxy: World, chunked: bool, coding: str) -> None:
    body = gzip.compress(os.urandom(1_200_000).hex().encode().translate(LETTERS)) if coding else CLEAN
    attach(proxy, "/clean", body, chunked=chunked, **({"content_encoding": coding} if coding else {}))
    answer = proxy.ask("/clean", cookie=proxy.session(), headers={**FETCH, "accept-encoding": "gzip"})
    assert answer.status == 200
    assert answer.body == body
    assert last_record(proxy)["action"] in ("allow", "audit")
    wait_for(lambda: not list((proxy.data / "held").iterdir()), "held files to go")


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_card_number_at_the_end_is_cut_off_before(proxy: World, chunked: bool) -> None:
    attach(proxy, "/secret", SECRET, chunked=chunked)
    with proxy.connect(proxy.host) as wire:
        request = f"GET /secret HTTP/1.1\r\nhost: {proxy.host}:{proxy.port}\r\ncookie: {proxy.session()}\r\n"
        wire.sendall((request + "".join(f"{k}: {v}\r\n" for k, v in NAVIGATE.items()) + "\r\n").encode())
        got = bytearray()
        while piece := wire.recv(65_536):
            got += piece
    head, _, body = bytes(got).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert CARD not in body
    assert not body.endswith(b"0\r\n\r\n")
    assert len(body) < len(SECRET)
    assert SECRET.startswith(body) or chunked
    record = last_record(proxy)
    assert (record["action"], record["policy"]) == ("block", "no-cards")


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_one_that_shows_at_once_is_answered_by_a_page(proxy: World, chunked: bool) -> None:
    attach(proxy, "/early", b"credit card number " + CARD + b" expires 12/29\n" + CLEAN, chunked=chunked)
    answer = proxy.ask("/early", cookie=proxy.session(), headers=FETCH)
    assert answer.status == 403
    assert answer.json["policy"] == "no-cards"


def test_the_page_learns_why_a_download_was_cut(proxy: World) -> None:
    attach(proxy, "/secret", SECRET)
    cookie = proxy.session()
    answer = proxy.ask("/secret", cookie=cookie, headers=NAVIGATE)
    assert len(answer.body) < len(SECRET)
    left = next(each for each in answer.cookies if each.startswith("casb_notice="))
    activity = left.partition("=")[2].partition(";")[0]
    notice = proxy.ask(f"/.casb/notice/{activity}", cookie=cookie, headers=FETCH)
    assert notice.json["message"] == "Card numbers stay here."
    assert proxy.record(activity)["action"] == "block"


def test_a_clean_one_leaves_nothing_to_tell(proxy: World) -> None:
    attach(proxy, "/clean", CLEAN)
    cookie = proxy.session()
    answer = proxy.ask("/clean", cookie=cookie, headers=NAVIGATE)
    left = next(each for each in answer.cookies if each.startswith("casb_notice="))
    notice = proxy.ask(f"/.casb/notice/{left.partition('=')[2].partition(';')[0]}", cookie=cookie, headers=FETCH)
    assert notice.json == {"casb": "fine"}


def test_a_large_one_that_turns_out_binary_takes_unscannable(proxy: World) -> None:
    attach(proxy, "/odd", CLEAN + b"\0\1\2\3" * 200_000)
    answer = proxy.ask("/odd", cookie=proxy.session(), headers=FETCH)
    assert len(answer.body) < len(CLEAN) + 800_000
    assert b"\0\1\2\3" not in answer.body
    record = last_record(proxy)
    assert record["action"] == "block"
    assert "file.unscannable" in [each["code"] for each in record["reasons"]]


def test_a_worker_that_dies_takes_unscannable(proxy: World) -> None:
    release = threading.Event()

    def serve(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/plain")
        handler.send_header("content-disposition", "attachment; filename=slow.txt")
        handler.send_header("content-length", str(2 * len(CLEAN)))
        handler.end_headers()
        handler.wfile.write(CLEAN)
        release.wait(10)
        handler.wfile.write(CLEAN)

    proxy.origin.routes["/slow"] = serve
    got: list[Any] = []
    cookie = proxy.session()
    asking = threading.Thread(target=lambda: got.append(proxy.ask("/slow", cookie=cookie, headers=FETCH)))
    asking.start()
    pids = wait_for(lambda: stream_workers(proxy), "a stream worker")
    time.sleep(0.3)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    release.set()
    asking.join(20)
    assert len(got[0].body) < 2 * len(CLEAN)
    record = last_record(proxy)
    assert record["action"] == "block"
    attach(proxy, "/clean", CLEAN)
    assert proxy.ask("/clean", cookie=cookie, headers=FETCH).body == CLEAN  # and the next one has a new worker


def test_a_slow_reader_costs_no_memory_here(proxy: World) -> None:
    """The origin is asked for no more than the reader takes, give or take the window and the sockets."""
    sent = [0]

    def serve(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/plain")
        handler.send_header("content-disposition", "attachment; filename=long.txt")
        handler.send_header("content-length", str(len(LINE) * 1_000_000))
        handler.end_headers()
        while True:
            handler.wfile.write(LINE * 1000)
            sent[0] += len(LINE) * 1000

    proxy.origin.routes["/long"] = serve
    with proxy.connect(proxy.host) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        request = f"GET /long HTTP/1.1\r\nhost: {proxy.host}:{proxy.port}\r\ncookie: {proxy.session()}\r\n"
        wire.sendall((request + "".join(f"{k}: {v}\r\n" for k, v in FETCH.items()) + "\r\n").encode())
        wire.recv(1000)
        time.sleep(1.5)
        first = sent[0]
        time.sleep(0.7)
        assert sent[0] == first
        assert first < 24 * 1024 * 1024


# ---------------------------------------------------------------- the pool


def test_streams_share_a_worker_and_end_apart() -> None:
    async def run() -> None:
        pool = workers(workers=1)
        about = {"charset": "", "coding": "", "name": ""}
        scans = [await pool.begin(RECIPE, **about) for _ in range(5)]
        for _ in range(3):
            await asyncio.gather(*(each.ask("feed", CLEAN[:100_000]) for each in scans))
        for number, each in enumerate(scans):
            seen = await each.ask("finish", b" " + CARD + b" " if number == 3 else b"")
            assert bool(seen.findings) == (number == 3)
            each.drop()
        assert len(pool.pids) == 1
        await pool.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("recipe", "coding"),
    [
        (Recipe(factory="stream_fakes:make", data=b"fail", digest="fails"), ""),
        (Recipe(factory="os:getcwd", data=b"", digest="foreign"), ""),
        (RECIPE, "compress"),
    ],
    ids=["a matcher that cannot be made", "a factory of somebody else", "a coding that cannot be undone"],
)
def test_what_cannot_be_begun_is_not_judged(recipe: Recipe, coding: str) -> None:
    async def run() -> None:
        pool = workers(workers=1)
        with pytest.raises(Unjudged):
            await pool.begin(recipe, charset="", coding=coding, name="")
        scan = await pool.begin(RECIPE, charset="", coding="", name="")  # and the worker lives on
        assert (await scan.ask("finish", b"hello")).size == 5
        await pool.close()

    asyncio.run(run())


def test_the_window_is_wider_than_what_a_matcher_looks_ahead() -> None:
    from casb.inspection.info_types import LATENCY

    assert WINDOW > 16 * LATENCY
