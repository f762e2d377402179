"""The shipper: every record arrives once, whatever the sidecar does meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from casb.settings import Secret
from casb.store.shipper import Shipper
from casb.store.spool import Spool, segments


class Sidecar(ThreadingHTTPServer):
    """Answers as told: `plan` holds what to do with the next requests, then it behaves."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.kept: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []
        self.plan: list[Any] = []
        self.batches: list[int] = []
        self.status: dict[str, Any] = {}
        self.tokens: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Sidecar

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.tokens.add(self.headers["Authorization"])
        if self.path == "/v1/proxy-status":
            self.server.status = json.loads(body)
            return self.answer(200, {"ok": True})
        lines = body.splitlines()
        self.server.batches.append(len(lines))
        told = self.server.plan.pop(0) if self.server.plan else None
        if told == "keep, then drop the connection":
            self.keep(lines)
            return None
        if isinstance(told, tuple):
            return self.answer(*told)
        if any(b"poison" in line for line in lines):
            return self.answer(400, {"ok": False, "error": "poisoned"})
        return self.answer(200, self.keep(lines))

    def keep(self, lines: list[bytes]) -> dict[str, Any]:
        accepted, rejected = 0, []
        for index, line in enumerate(lines):
            record = json.loads(line)
            if "bad" in record:
                rejected.append({"index": index, "error": "S031 bad"})
            elif record["id"] not in self.server.kept:
                self.server.kept[record["id"]] = record
                self.server.order.append(record["id"])
                accepted += 1
        duplicates = len(lines) - accepted - len(rejected)
        return {"ok": True, "accepted": accepted, "duplicates": duplicates, "rejected": rejected}

    def answer(self, status: int, content: Any) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def sidecar() -> Iterator[Sidecar]:
    server = Sidecar()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ship(sidecar: Sidecar, tmp_path: Path) -> Iterator[Shipper]:
    shipper = Shipper(tmp_path, sidecar.url, Secret("t" * 40), poll=0.01, batch_records=10, heartbeat=0)
    yield shipper
    shipper._http.close()


def line(record_id: str, **more: Any) -> bytes:
    return json.dumps({"id": record_id, **more}).encode()


def names(count: int) -> list[str]:
    return [f"r{number:03d}" for number in range(count)]


def test_everything_arrives_in_order_and_the_segment_goes(sidecar: Sidecar, ship: Shipper, tmp_path: Path) -> None:
    spool = Spool(tmp_path, "w")
    for name in names(25):
        spool.append(line(name))
    ship.step()
    assert sidecar.order == names(25)
    assert sidecar.batches == [10, 10, 5]
    assert len(segments(tmp_path)) == 1  # its writer may go on
    spool.append(line("later"))
    spool.close()
    ship.step()
    assert sidecar.order[-1] == "later"
    assert segments(tmp_path) == []
    assert (ship.state.accepted, ship.state.pending_bytes, ship.state.lag) == (26, 0, 0.0)
    assert sidecar.tokens == {"Bearer " + "t" * 40}


def test_segments_of_several_writers_share_a_batch(sidecar: Sidecar, ship: Shipper, tmp_path: Path) -> None:
    spools = [Spool(tmp_path, f"w{number}") for number in range(3)]
    for number, spool in enumerate(spools):
        spool.append(line(f"{number}"))
    ship.step()
    assert sidecar.order == ["0", "1", "2"]
    assert sidecar.batches == [3]
    for spool in spools:
        spool.close()


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param((503, {"ok": False, "error": "away"}), id="the store is away"),
        pytest.param((500, b"Internal Server Error"), id="a bug in the sidecar"),
        pytest.param((401, {"ok": False, "error": "token"}), id="a wrong token costs no record"),
        pytest.param((421, {"ok": False, "error": "host"}), id="a wrong host neither"),
        pytest.param((400, b"<html>nginx</html>"), id="nor does somebody else's server"),
        pytest.param((200, b"<html>welcome</html>"), id="even one that says yes"),
        pytest.param((200, {"ok": True}), id="no receipt"),
        pytest.param((200, {"ok": True, "accepted": 3, "duplicates": 0, "rejected": []}), id="a receipt for fewer"),
        pytest.param(
            (200, {"ok": True, "accepted": 4, "duplicates": 0, "rejected": [{"index": 9, "error": ""}]}),
            id="a receipt for other lines",
        ),
        pytest.param((302, b""), id="a redirect is not followed"),
        pytest.param("keep, then drop the connection", id="kept, but the answer was lost"),
    ],
)
def test_trouble_only_delays(sidecar: Sidecar, ship: Shipper, tmp_path: Path, trouble: Any) -> None:
    sidecar.plan = [trouble]
    spool = Spool(tmp_path, "w")
    for name in names(5):
        spool.append(line(name))
    spool.close()
    assert ship.step() > 0.01
    assert (ship.state.failures, ship.state.pending_segments) == (1, 1)
    assert ship.state.error
    ship.step()
    assert sidecar.order == names(5)
    assert (ship.state.failures, ship.state.error, segments(tmp_path)) == (0, "", [])
    assert not (tmp_path / "rejected").exists()


def test_pauses_grow_up_to_a_limit(tmp_path: Path) -> None:
    ship = Shipper(tmp_path, "http://127.0.0.1:1", Secret("t" * 40), poll=1, longest_pause=20)
    spool = Spool(tmp_path, "w")
    spool.append(line("a"))
    assert [ship.step() for _ in range(7)] == [2, 4, 8, 16, 20, 20, 20]
    assert ship.state.lag > 0
    spool.close()
    ship._http.close()


def test_rejected_records_are_put_aside_with_their_reason(sidecar: Sidecar, ship: Shipper, tmp_path: Path) -> None:
    spool = Spool(tmp_path, "w")
    spool.append(line("good"))
    spool.append(line("refused", bad=True))
    for number in range(7):
        spool.append(line("poison" if number == 3 else f"n{number}"))
    spool.close()
    ship.step()
    assert set(sidecar.kept) == {"good", "n0", "n1", "n2", "n4", "n5", "n6"}
    aside = [json.loads(each) for each in (tmp_path / "rejected/rejected.ndjson").read_text().splitlines()]
    assert {(json.loads(each["record"])["id"], each["reason"]) for each in aside} == {
        ("refused", "S031 bad"),
        ("poison", "poisoned"),
    }
    assert (ship.state.rejected, segments(tmp_path)) == (2, [])


def test_a_torn_last_line_is_counted_and_kept_aside(sidecar: Sidecar, ship: Shipper, tmp_path: Path) -> None:
    spool = Spool(tmp_path, "w")
    spool.append(line("whole"))
    spool.close()
    with segments(tmp_path)[0].open("ab") as file:
        file.write(b'{"id": "to\xff')
    ship.step()
    assert sidecar.order == ["whole"]
    assert (ship.state.torn, segments(tmp_path)) == (1, [])
    assert "torn" in (tmp_path / "rejected/rejected.ndjson").read_text()


def test_half_a_line_of_a_living_writer_waits(sidecar: Sidecar, ship: Shipper, tmp_path: Path) -> None:
    spool = Spool(tmp_path, "w")
    spool.append(line("whole"))
    with segments(tmp_path)[0].open("ab") as file:
        file.write(b'{"id": "ha')
    ship.step()
    with segments(tmp_path)[0].open("ab") as file:
        file.write(b'lf"}\n')
    ship.step()
    assert sidecar.order == ["whole", "half"]
    assert ship.state.torn == 0
    spool.close()


@pytest.mark.parametrize(
    "offsets",
    [
        pytest.param(None, id="the offsets as they were written"),
        pytest.param(b"", id="an empty file"),
        pytest.param(b"[1]", id="not an object"),
        pytest.param(b'{"%s": 999999}', id="beyond the end"),
        pytest.param(b'{"%s": 7}', id="in the middle of a line"),
        pytest.param(b'{"%s": -5}', id="negative"),
        pytest.param(b'{"%s": "x"}', id="not a number"),
    ],
)
def test_a_restart_sends_no_record_twice_and_none_never(
    sidecar: Sidecar, tmp_path: Path, offsets: bytes | None
) -> None:
    spool = Spool(tmp_path, "w")
    for name in names(12):
        spool.append(line(name))
    for _ in range(2):
        ship = Shipper(tmp_path, sidecar.url, Secret("t" * 40), poll=0.01)
        ship.start()
        while len(sidecar.order) < 12:
            time.sleep(0.01)
        ship.stop()
        if offsets is not None:
            segment = segments(tmp_path)[0].name.encode()
            (tmp_path / "offsets.json").write_bytes(offsets % segment if b"%" in offsets else offsets)
    spool.close()
    final = Shipper(tmp_path, sidecar.url, Secret("t" * 40), poll=0.01)
    final.start()
    final.stop()
    assert sidecar.order == names(12)
    assert segments(tmp_path) == []


def test_stop_hands_over_what_is_there(sidecar: Sidecar, tmp_path: Path) -> None:
    ship = Shipper(tmp_path, sidecar.url, Secret("t" * 40), poll=30)
    ship.start()
    time.sleep(0.05)
    spool = Spool(tmp_path, "w")
    spool.append(line("last words"))
    spool.close()
    ship.stop()
    assert sidecar.order == ["last words"]


def test_two_shippers_of_one_folder_take_turns(sidecar: Sidecar, tmp_path: Path) -> None:
    first = Shipper(tmp_path, sidecar.url, Secret("t" * 40), poll=0.01)
    second = Shipper(tmp_path, sidecar.url, Secret("t" * 40), poll=0.01)
    first.start()
    time.sleep(0.1)
    second.start()
    spool = Spool(tmp_path, "w")
    for name in names(40):
        spool.append(line(name))
    while len(sidecar.order) < 40:
        time.sleep(0.01)
    assert second.state.accepted == 0
    second.stop()
    first.stop()
    assert first.state.duplicates == 0
    spool.close()


def test_the_heartbeat_tells_the_queue(sidecar: Sidecar, tmp_path: Path) -> None:
    ship = Shipper(
        tmp_path, sidecar.url, Secret("t" * 40), name="edge", heartbeat=0, status=lambda: {"versions": ["3f2a"]}
    )
    ship.step()
    assert sidecar.status == {
        "name": "edge",
        "versions": ["3f2a"],
        "spool": {"pending_bytes": 0, "lag": 0.0, "rejected": 0, "torn": 0},
    }
    ship._http.close()


def test_a_bug_in_the_status_does_not_end_the_thread(sidecar: Sidecar, tmp_path: Path) -> None:
    def broken() -> dict[str, Any]:
        raise RuntimeError("bug")

    ship = Shipper(tmp_path, sidecar.url, Secret("t" * 40), heartbeat=0, status=broken)
    assert ship.step() > 0.2
    assert ship.state.error == "RuntimeError"
    ship._http.close()
