"""Files made to break their reader: each gets its verdict in time, and the pool serves the next one."""

from __future__ import annotations

import asyncio
import bz2
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

import hostile_files as hostile
from casb.inspection.spec import Recipe
from casb.model.file import FileFacts
from casb.proxy.scanning import Scanner


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scanner() -> AsyncIterator[Scanner]:
    pool = Scanner(workers=1, seconds=10)
    await pool.start()
    yield pool
    await pool.close()


def outcome(facts: FileFacts) -> tuple[str, str]:
    assert facts.verdict is not None
    return facts.verdict.status.value, facts.verdict.why


# What each would take of a reader without limits: 16 GB of text; 6 GB of one string; 17 milliard cells; and so on.
FILES: list[tuple[str, Callable[[], bytes], tuple[str, str]]] = [
    ("a part of 270 MB", lambda: hostile.huge_part(270), ("unscannable", "bomb")),
    ("a milliard laughs", hostile.billion_laughs, ("unscannable", "corrupt")),
    ("a milliard laughs in plain XML", lambda: hostile.billion_laughs(office=False), ("unscannable", "bomb")),
    ("an outside entity", hostile.external_entity, ("unscannable", "corrupt")),
    ("the last cell of a sheet", hostile.last_cell, ("clean", "")),
    ("one string in 200,000 cells", lambda: hostile.shared_string(200_000), ("unscannable", "bomb")),
    ("a page of 300 MB", lambda: hostile.flate_pdf(300), ("unscannable", "bomb")),
    ("half a million objects", lambda: hostile.pdf_of_objects(520_000), ("unscannable", "bomb")),
    ("a hundred thousand files in files", lambda: hostile.many_files(320), ("unscannable", "bomb")),
    ("gz in gz, 200 times", lambda: hostile.deep(200), ("unscannable", "bomb")),
    ("zip in zip, 10,000 levels deep in 16", lambda: hostile.deep_zip(100), ("unscannable", "bomb")),
    ("300 MB of nothing in gz", lambda: hostile.gz_of(300), ("unscannable", "bomb")),
    ("300 MB of nothing in bz2", lambda: hostile.gz_of(300, bz2.compress), ("unscannable", "bomb")),
    ("300,000 elements deep", lambda: hostile.nested_div(300_000), ("clean", "")),
    ("a mail of parts of parts", lambda: hostile.nested_mail(3000), ("unscannable", "bomb")),
    ("members that share their bytes", hostile.quine_like_overlap, ("unscannable", "bomb")),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("make", "expected"), [each[1:] for each in FILES], ids=[each[0] for each in FILES])
async def test_it_is_judged_and_the_pool_lives(
    make: Callable[[], bytes], expected: tuple[str, str], scanner: Scanner
) -> None:
    before = scanner.pids
    facts = await scanner.scan(make(), "a.bin", text=True)
    assert outcome(facts) == expected
    assert facts.verdict is not None and facts.verdict.findings == ()
    assert outcome(await scanner.scan(b"next", "b.txt", text=True)) == ("clean", "")
    assert scanner.pids == before, "the same worker goes on"


# A matcher whose factory lies in a module that only the worker under test has: the policies' own stand elsewhere.
BOOT = """
import sys, types
from casb.model.file import Finding
made = []

class Search:
    def __init__(self, word): self.word, self.text = word, b""
    def feed(self, text): self.text += text
    def findings(self): return ()
    def finish(self):
        at = self.text.find(self.word)
        if b"spin" in self.text:
            while True: pass
        if b"eat" in self.text: self.text = [bytes(1 << 24) for _ in range(1 << 12)]
        if b"die" in self.text: import os; os.kill(os.getpid(), 11)
        return () if at < 0 else (Finding(info_type=f"word-{len(made)}", count=1, places=((at, "gehe**"),)),)

class Matcher:
    def __init__(self, word): self.word = word
    def begin(self): return Search(self.word)

def make(data):
    if data == b"broken": raise ValueError
    made.append(data)
    return Matcher(data)

def opened(data):
    import io
    return io.BytesIO(bytes(byte ^ 1 for byte in data))

module = types.ModuleType("casb.inspection.of_this_test")
module.make, module.opened = make, opened
sys.modules["casb.inspection.of_this_test"] = module
from casb.proxy.scan_worker import main
sys.exit(main(int(sys.argv[-1])))
"""
FACTORY = "casb.inspection.of_this_test:make"
WORD = Recipe(factory=FACTORY, data=b"geheim", digest="1")


@pytest.fixture
async def matching(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Scanner]:
    (tmp_path / "boot.py").write_text(BOOT)
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -B {tmp_path}/boot.py "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))
    pool = Scanner(workers=1, seconds=1)
    yield pool
    await pool.close()


async def test_findings_come_back_with_masked_places_only(matching: Scanner) -> None:
    facts = await matching.scan(hostile.docx("streng geheim"), "a.docx", matcher=WORD)
    assert outcome(facts) == ("sensitive", "")
    assert facts.verdict is not None
    (finding,) = facts.verdict.findings
    assert (finding.count, finding.places[0][1]) == (1, "gehe**")


async def test_a_name_is_searched_too(matching: Scanner) -> None:
    assert outcome(await matching.scan(b"x", "geheim.txt", matcher=WORD)) == ("sensitive", "")


async def test_what_was_found_beside_something_unreadable_is_told(matching: Scanner) -> None:
    body = hostile.zipped({"a.txt": "geheim", "b.age": "age-encryption.org/v1\n-> x\n"})
    facts = await matching.scan(body, "a.zip", matcher=WORD)
    assert outcome(facts) == ("unscannable", "encrypted")
    assert facts.verdict is not None and len(facts.verdict.findings) == 1
    assert "encrypted" in facts.signs


async def test_a_matcher_is_made_once_per_worker_and_policy(matching: Scanner) -> None:
    async def made(recipe: Recipe) -> str:
        facts = await matching.scan(recipe.data, "a.txt", matcher=recipe)
        assert facts.verdict is not None
        return facts.verdict.findings[0].info_type

    other = Recipe(factory=FACTORY, data=b"intern", digest="2")
    assert [await made(each) for each in (WORD, WORD, other, WORD)] == ["word-1", "word-1", "word-2", "word-2"]


async def test_a_matcher_that_cannot_be_made_judges_nothing(matching: Scanner) -> None:
    for factory, data in ((FACTORY, b"broken"), ("os:system", b"true"), ("casb.inspection.nothing:x", b"")):
        recipe = Recipe(factory=factory, data=data, digest=factory)
        for _ in range(2):
            assert outcome(await matching.scan(b"x", "a.txt", matcher=recipe)) == ("unscannable", "failed")
    assert outcome(await matching.scan(b"geheim", "a.txt", matcher=WORD)) == ("sensitive", "")


async def test_a_file_that_is_not_plain_on_disk_is_opened_in_the_worker(matching: Scanner) -> None:
    hidden = bytes(byte ^ 1 for byte in b"geheim")
    body = Recipe(factory="casb.inspection.of_this_test:opened", data=hidden)
    facts = await matching.scan(body, "a.txt", matcher=WORD, size=len(hidden))
    assert (outcome(facts), facts.size) == (("sensitive", ""), 6)


@pytest.mark.parametrize(("what", "why"), [("spin", "timeout"), ("eat", "bomb"), ("die", "crashed")])
async def test_a_reader_that_hangs_swells_or_dies(what: str, why: str, matching: Scanner) -> None:
    assert outcome(await matching.scan(b"x", "a.txt", matcher=WORD)) == ("clean", "")
    before = matching.pids
    assert outcome(await matching.scan(what.encode(), "a.txt", matcher=WORD)) == ("unscannable", why)
    assert outcome(await matching.scan(b"geheim", "a.txt", matcher=WORD)) == ("sensitive", "")
    assert matching.pids == before


async def test_a_worker_killed_in_the_middle(matching: Scanner) -> None:
    await matching.scan(b"x", "a.txt", matcher=WORD)
    (pid,) = matching.pids
    reading = asyncio.create_task(matching.scan(b"spin", "a.txt", matcher=WORD))
    await asyncio.sleep(0.2)
    os.killpg(pid, signal.SIGKILL)
    assert outcome(await reading) == ("unscannable", "crashed")
    assert outcome(await matching.scan(b"geheim", "a.txt", matcher=WORD)) == ("sensitive", "")


async def test_a_queue_that_is_full_turns_away_at_once(tmp_path: Path) -> None:
    fifo = tmp_path / "never-ending"
    os.mkfifo(fifo)
    pool = Scanner(workers=1, seconds=1, wait=30, queue=1)
    await pool.start()
    first = asyncio.create_task(pool.scan(fifo, "a"))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(pool.scan(b"x", "b"))
    await asyncio.sleep(0.1)
    assert outcome(await pool.scan(b"y", "c")) == ("unscannable", "busy")
    assert outcome(await first) == ("unscannable", "timeout")
    assert outcome(await second) == ("clean", "")
    await pool.close()
