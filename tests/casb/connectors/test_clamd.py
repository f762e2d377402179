"""The client of ClamAV's daemon, with the real daemon; and with servers that misbehave."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.connectors.clamd import Clamd, _read
from casb.connectors.streams import Address, parse
from casb.model.file import VerdictStatus
from engine_peers import EICAR, LARGEST, clamd

CLEAN, MALICIOUS, UNSCANNABLE = VerdictStatus.CLEAN, VerdictStatus.MALICIOUS, VerdictStatus.UNSCANNABLE


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with clamd(tmp_path_factory.mktemp("clamd")) as path:
        yield path


def cut(body: bytes, size: int = 65_536) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def zipped(body: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.com", body)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "body", "status", "threat"),
    [
        ("clean", b"hello" * 1000, CLEAN, ""),
        ("empty", b"", CLEAN, ""),
        ("eicar", EICAR, MALICIOUS, "Eicar-Test-Signature.UNOFFICIAL"),
        ("in a zip in a zip", zipped(zipped(EICAR)), MALICIOUS, "Eicar-Test-Signature.UNOFFICIAL"),
        ("behind much else", b"x" * 500_000 + b"CASB-MALWARE-MARKER", MALICIOUS, "Casb.Test.Marker.UNOFFICIAL"),
        ("larger than it takes", b"a" * (LARGEST + 1), UNSCANNABLE, ""),
    ],
)
async def test_its_verdicts(daemon: Path, name: str, body: bytes, status: VerdictStatus, threat: str) -> None:
    found = await Clamd(parse(f"unix:{daemon}"), seconds=20).judge(name, len(body), cut(body))
    assert (found.engine, found.status, found.threat) == ("clamav", status, threat), found.why


async def test_many_at_once(daemon: Path) -> None:
    engine = Clamd(parse(f"unix:{daemon}"), seconds=20)
    asked = [engine.judge("f", 0, cut(EICAR if number % 2 else b"clean" * number)) for number in range(20)]
    assert [each.status for each in await asyncio.gather(*asked)] == [CLEAN, MALICIOUS] * 10


async def test_it_answers(daemon: Path) -> None:
    assert await Clamd(parse(f"unix:{daemon}"), seconds=20).ping()
    assert not await Clamd(Address(path=f"{daemon}.gone"), seconds=20).ping()


async def test_it_is_away(tmp_path: Path) -> None:
    found = await Clamd(Address(path=str(tmp_path / "none")), seconds=5).judge("f", 1, [b"x"])
    assert (found.status, found.why) == (UNSCANNABLE, "the engine is away")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "the engine hung up: too large for it, or it ended"),
        (b"stream: O", "the engine hung up: too large for it, or it ended"),
        (b"nonsense\0", "the engine failed"),
        (None, "timeout"),
    ],
)
async def test_it_misbehaves(tmp_path: Path, answer: bytes | None, why: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        if answer is None:
            await asyncio.sleep(2)
        else:
            writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / "s"):
        found = await Clamd(Address(path=str(tmp_path / "s")), seconds=0.5).judge("f", 1, [b"x"])
    assert (found.status, found.why) == (UNSCANNABLE, why)


@pytest.mark.parametrize(
    ("answer", "status", "why"),
    [
        (b"stream: OK\0", CLEAN, ""),
        (b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0", UNSCANNABLE, "beyond the engine's limits"),
        (b"stream: Heuristics.Encrypted.Zip FOUND\0", UNSCANNABLE, "encrypted"),
        (b"INSTREAM size limit exceeded. ERROR\0", UNSCANNABLE, "too large for the engine"),
        (b"stream: OK ERROR\0", UNSCANNABLE, "the engine failed"),
    ],
)
def test_answers(answer: bytes, status: VerdictStatus, why: str) -> None:
    assert (_read(answer).status, _read(answer).why) == (status, why)


@given(st.binary())
def test_only_its_own_word_is_clean(answer: bytes) -> None:
    clean = answer.rstrip(b"\0\n").removeprefix(b"stream: ") == b"OK"
    assert (_read(answer).status is CLEAN) == clean
