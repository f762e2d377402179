"""Convert workers: their death, slowness or lies never let a file pass, and the pool lives on."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import openpyxl
import pytest

from casb.errors import ContentError
from casb.protection.office import decrypt_ooxml
from casb.proxy import converting
from casb.proxy.converting import Converter
from casb.store.held import Held, HeldBody

PASSWORD = "k7qfd-2mnpq"


def xlsx() -> bytes:
    target = io.BytesIO()
    openpyxl.Workbook().save(target)
    return target.getvalue()


@pytest.fixture
async def converter() -> AsyncIterator[Converter]:
    pool = Converter(workers=1, seconds=20)
    yield pool
    await pool.close()


async def code(pool: Converter, data: bytes) -> str:
    try:
        await pool.convert(data, PASSWORD, None)
    except ContentError as error:
        return error.code
    return ""


async def test_a_worker_killed_in_the_middle(converter: Converter) -> None:
    assert await code(converter, xlsx()) == ""
    (pid,) = converter.pids
    task = asyncio.ensure_future(code(converter, xlsx()))
    await asyncio.sleep(0.02)
    os.killpg(pid, signal.SIGKILL)  # it and the fork that has the file
    assert await task == "F011"
    assert await code(converter, xlsx()) == "", "the next file gets a fresh worker"
    assert converter.pids != [pid]


async def test_a_file_on_disk_comes_back_on_disk(converter: Converter, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for _row in range(200):
        book.active.append([os.urandom(700).hex() for _ in range(2)])
    target = io.BytesIO()
    book.save(target)
    plain = target.getvalue()
    held = Held(tmp_path, budget=10**9, floor=0)
    body = held.begin()
    body.write(plain)
    body.finish()
    assert body.on_disk
    done = await converter.convert(body, PASSWORD, None, into=held.begin)
    assert isinstance(done.data, HeldBody)
    assert done.data.on_disk
    sealed = b"".join(done.data.pieces())
    assert (done.head, done.sha256) == (sealed[:16], hashlib.sha256(sealed).hexdigest())
    assert decrypt_ooxml(sealed, PASSWORD) == plain


async def test_no_room_for_the_result(converter: Converter, tmp_path: Path) -> None:
    full = Held(tmp_path, budget=0, floor=0)
    done = await converter.convert(xlsx(), PASSWORD, None, into=full.begin)
    assert isinstance(done.data, HeldBody), "a small one needs no room"


async def test_a_worker_that_is_dead_already(converter: Converter) -> None:
    assert await code(converter, xlsx()) == ""
    os.kill(converter.pids[0], signal.SIGKILL)
    await asyncio.sleep(0.2)
    assert await code(converter, xlsx()) == ""


async def test_too_little_time() -> None:
    pool = Converter(workers=1, seconds=0.01)
    assert await code(pool, xlsx()) == "F011"
    assert pool.pids == []
    await pool.close()


@pytest.mark.parametrize(
    "answer", [b"{}", b"[]", b"x", b'{"code": "", "size": 0}', b'{"code": "", "size": -1}', b'{"size": 1e9}']
)
async def test_an_answer_of_another_shape(answer: bytes, converter: Converter, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lies(*_: object) -> tuple[bytes, bytes]:
        return answer, b""

    monkeypatch.setattr(converting._Worker, "ask", lies)
    assert await code(converter, xlsx()) == "F011"


async def test_what_is_no_document(converter: Converter) -> None:
    assert await code(converter, b"just text") == "F015"
    assert await code(converter, b"") == "F015"
