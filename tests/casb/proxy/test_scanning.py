"""Scan workers: what they find, and that their death, slowness or lies never let a file pass."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import signal
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.model.file import FileFacts, VerdictStatus
from casb.proxy.scanning import Scanner, _facts


@pytest.fixture
async def scanner() -> AsyncIterator[Scanner]:
    pool = Scanner(workers=2, seconds=20)
    yield pool
    await pool.close()


def a_zip(content: bytes = b"x") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", content)
    return target.getvalue()


def outcome(facts: FileFacts) -> tuple[str, str]:
    assert facts.verdict is not None
    assert facts.inspected
    return facts.verdict.status.value, facts.verdict.why


async def test_bytes_and_paths(scanner: Scanner, tmp_path: Path) -> None:
    body = a_zip(os.urandom(1_000_000))
    (tmp_path / "spooled").write_bytes(body)
    for each in (body, tmp_path / "spooled"):
        facts = await scanner.scan(each, "Report.ZIP", "text/plain")
        assert outcome(facts) == ("clean", "")
        assert (facts.name, facts.extension, facts.declared_type) == ("Report.ZIP", "zip", "text/plain")
        assert (facts.size, facts.detected_type) == (len(body), "application/zip")
        assert facts.sha256 == hashlib.sha256(body).hexdigest()


async def test_workers_are_used_again(scanner: Scanner) -> None:
    await scanner.scan(b"one", "a")
    before = scanner.pids
    await scanner.scan(b"two", "b")
    assert scanner.pids == before


async def test_many_at_once(scanner: Scanner) -> None:
    found = await asyncio.gather(*(scanner.scan(b"%d" % number * 1000, f"{number}.txt") for number in range(20)))
    assert [facts.name for facts in found] == [f"{number}.txt" for number in range(20)]
    assert {outcome(facts) for facts in found} == {("clean", "")}
    assert len(scanner.pids) <= 2


async def test_an_idle_worker_killed_is_replaced(scanner: Scanner) -> None:
    await scanner.scan(b"one", "a")
    os.kill(scanner.pids[0], signal.SIGKILL)
    results = {outcome(await scanner.scan(b"two", "b")) for _ in range(2)}
    # Whether the death is noticed before or after the file was sent, no file passes unread, and the pool heals.
    assert results <= {("clean", ""), ("unscannable", "crashed")}
    assert outcome(await scanner.scan(b"three", "c")) == ("clean", "")


async def test_a_worker_killed_while_reading_makes_the_file_unscannable(scanner: Scanner, tmp_path: Path) -> None:
    fifo = tmp_path / "never-ending"
    os.mkfifo(fifo)
    await scanner.start()
    pid = scanner.pids[0]
    reading = asyncio.create_task(scanner.scan(fifo, "payroll.xlsx"))
    await asyncio.sleep(0.5)
    assert not reading.done()
    os.killpg(pid, signal.SIGKILL)
    assert outcome(await reading) == ("unscannable", "crashed")
    assert outcome(await scanner.scan(b"next", "a")) == ("clean", "")


async def test_a_reader_killed_alone_makes_the_file_unscannable(scanner: Scanner, tmp_path: Path) -> None:
    fifo = tmp_path / "never-ending"
    os.mkfifo(fifo)
    await scanner.start()
    pid = scanner.pids[0]
    reading = asyncio.create_task(scanner.scan(fifo, "payroll.xlsx"))
    killed = 0
    while not reading.done() and killed < 100:
        await asyncio.sleep(0.05)
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
                killed += 1
    assert killed
    assert outcome(await reading) == ("unscannable", "crashed")
    assert outcome(await scanner.scan(b"next", "a")) == ("clean", "")


async def test_a_file_that_takes_too_long(tmp_path: Path) -> None:
    fifo = tmp_path / "never-ending"
    os.mkfifo(fifo)
    scanner = Scanner(workers=1, seconds=1)
    await scanner.start()
    pids = scanner.pids
    assert outcome(await scanner.scan(fifo, "a")) == ("unscannable", "timeout")
    assert scanner.pids == pids, "the reader is ended, the worker lives on"
    assert outcome(await scanner.scan(b"next", "a")) == ("clean", "")
    await scanner.close()


async def test_a_file_that_waits_too_long(tmp_path: Path) -> None:
    fifo = tmp_path / "never-ending"
    os.mkfifo(fifo)
    scanner = Scanner(workers=1, seconds=3, wait=0.2)
    reading = asyncio.create_task(scanner.scan(fifo, "a"))
    await asyncio.sleep(0.05)
    assert outcome(await scanner.scan(b"next", "b")) == ("unscannable", "busy")
    assert outcome(await reading) == ("unscannable", "timeout")
    await scanner.close()


async def test_a_caller_that_goes_away_takes_its_worker_with_it(scanner: Scanner, tmp_path: Path) -> None:
    fifo = tmp_path / "never-ending"
    os.mkfifo(fifo)
    await scanner.start()
    pid = scanner.pids[0]
    reading = asyncio.create_task(scanner.scan(fifo, "a"))
    await asyncio.sleep(0.2)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            break
        await asyncio.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
    assert outcome(await scanner.scan(b"next", "a")) == ("clean", "")


async def test_memory_is_limited(tmp_path: Path) -> None:
    # Less than the file itself: the worker cannot even hold it, and says or dies so.
    scanner = Scanner(workers=1, memory=400 * 1024 * 1024)
    status, why = outcome(await scanner.scan(bytes(420 * 1024 * 1024), "a"))
    assert (status, why in {"crashed", "bomb"}) == ("unscannable", True)
    assert outcome(await scanner.scan(b"next", "a")) == ("clean", "")
    await scanner.close()


async def test_a_worker_that_cannot_start_lets_nothing_pass(scanner: Scanner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    assert outcome(await scanner.scan(b"x", "a")) == ("unscannable", "crashed")
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert outcome(await scanner.scan(b"x", "a")) == ("unscannable", "crashed")


async def test_a_worker_sees_no_secret_of_ours(scanner: Scanner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASB_CLIENT_SECRET", "hunter2")
    await scanner.start()
    assert b"hunter2" not in Path(f"/proc/{scanner.pids[0]}/environ").read_bytes()


async def test_workers_are_replaced_after_so_many_files() -> None:
    scanner = Scanner(workers=1, files=2)
    pids = []
    for _ in range(3):
        await scanner.scan(b"x", "a")
        pids += scanner.pids
    assert len(pids) == 2
    assert len(set(pids)) == 2
    await scanner.close()


GOOD = {
    "size": 1,
    "detected_type": "text/plain",
    "sha256": "00",
    "label": None,
    "label_id": None,
    "signs": ["macro"],
    "engines": [],
    "properties": [["author", "Ada"]],
    "verdict": {"status": "clean", "inspector": "structure", "why": "", "findings": [], "threat": ""},
}


def test_a_good_answer_is_understood() -> None:
    facts = _facts(json.dumps({"facts": GOOD}).encode(), "a.txt", None)
    assert facts.verdict is not None
    assert facts.verdict.status is VerdictStatus.CLEAN


@given(
    st.binary(max_size=60)
    | st.dictionaries(
        st.sampled_from([*GOOD, "more"]),
        st.none() | st.integers() | st.text(max_size=5) | st.lists(st.none()),
        max_size=7,
    ).map(lambda change: json.dumps({"facts": GOOD | {"verdict": 1} | change}).encode())
)
def test_any_other_answer_is_refused(answer: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, RecursionError)):
        _facts(answer, "a.txt", None)
