"""The ICAP client, with c-icap in front of a real ClamAV; and with services that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.connectors.icap import Icap, parse
from casb.connectors.streams import Address
from casb.model.file import EngineVerdict, VerdictStatus
from engine_peers import EICAR, c_icap, clamd

CLEAN, MALICIOUS, UNSCANNABLE = VerdictStatus.CLEAN, VerdictStatus.MALICIOUS, VerdictStatus.UNSCANNABLE


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("icap")
    with clamd(folder / "clamd") as daemon, c_icap(folder / "icap", daemon) as url:
        yield url


def cut(body: bytes, size: int = 65_536) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


@pytest.mark.parametrize(
    ("name", "body", "status", "threat"),
    [
        ("clean.txt", b"hello" * 1000, CLEAN, ""),
        ("empty", b"", CLEAN, ""),
        ("eicar.com", EICAR, MALICIOUS, "Eicar-Test-Signature.UNOFFICIAL"),
        ("lärm \r\n.exe", b"x" * 300_000 + b"CASB-MALWARE-MARKER", MALICIOUS, "Casb.Test.Marker.UNOFFICIAL"),
    ],
)
async def test_its_verdicts(service: str, name: str, body: bytes, status: VerdictStatus, threat: str) -> None:
    found = await Icap(parse(service), seconds=20).judge(name, len(body), cut(body))
    assert (found.status, found.threat) == (status, threat), found.why
    assert found.engine.startswith("icap 127.0.0.1:") and found.engine.endswith("/avscan")


async def test_a_service_that_sends_the_file_back(service: str) -> None:
    echo = Icap(parse(service.replace("avscan", "echo")), seconds=20)
    assert (await echo.judge("f", 5, [b"hello"])).status is CLEAN


async def test_a_service_that_is_not_there(service: str) -> None:
    found = await Icap(parse(service.replace("avscan", "nothing")), seconds=20).judge("f", 5, [b"hello"])
    assert found.status is UNSCANNABLE
    # It closes without having read the file: when that resets the connection, the answer is lost.
    assert found.why in ("the engine answered 404", "the engine is away")


ODD = "the engine's answer was not understood"
HEAD = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n"
PLACES = b"Encapsulated: res-hdr=0, res-body=%d\r\n\r\n" % len(HEAD)
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        (b"ICAP/1.0 204 No Content\r\n\r\n", CLEAN, ""),
        (b"ICAP/1.0 100 Continue\r\n\r\nICAP/1.0 204 None\r\n\r\n", CLEAN, ""),
        (b"ICAP/1.0 200 OK\r\n" + PLACES + HEAD + b"5\r\nhello\r\n0\r\n\r\n", CLEAN, ""),
        (b"ICAP/1.0 200 OK\r\n" + PLACES + HEAD + b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", CLEAN, ""),
        (b"ICAP/1.0 200 OK\r\n" + PLACES + HEAD + b"5\r\nsorry\r\n0\r\n\r\n", MALICIOUS, "blocked by the engine"),
        (
            b"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, null-body=%d\r\n\r\n" % len(FORBIDDEN) + FORBIDDEN,
            MALICIOUS,
            "blocked by the engine",
        ),
        (b"ICAP/1.0 204 OK\r\nX-Infection-Found: Type=0; Resolution=2; Threat=Evil.A;\r\n\r\n", MALICIOUS, "Evil.A"),
        (b"ICAP/1.0 204 OK\r\nX-Virus-ID: Evil.B\r\n\r\n", MALICIOUS, "Evil.B"),
        (b"ICAP/1.0 204 OK\r\nX-Error-Code: 5\r\n\r\n", UNSCANNABLE, "the engine failed"),
        (b"ICAP/1.0 500 Oh\r\n\r\n", UNSCANNABLE, "the engine answered 500"),
        (b"HTTP/1.1 204 OK\r\n\r\n", UNSCANNABLE, ODD),
        (b"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=9, res-body=3\r\n\r\n", UNSCANNABLE, ODD),
        (b"ICAP/1.0 200 OK\r\n" + PLACES + HEAD + b"zz\r\n", UNSCANNABLE, ODD),
        (b"ICAP/1.0 200 OK\r\n" + PLACES + HEAD + b"5\r\nhe", UNSCANNABLE, "the engine is away"),
        (b"ICAP/1.0 200 OK\r\n\r\n", UNSCANNABLE, "the engine answered 200"),
        (b"", UNSCANNABLE, "the engine is away"),
    ],
)  # fmt: skip
async def test_answers(answer: bytes, status: VerdictStatus, told: str) -> None:
    found = await answered(answer)
    assert (found.status, found.threat or found.why) == (status, told)


async def answered(answer: bytes) -> EngineVerdict:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await Icap(parse(f"icap://127.0.0.1:{port}/s"), seconds=5).judge("f", 5, [b"hello"])


@settings(max_examples=40)
@given(st.binary(max_size=300), st.sampled_from([b"ICAP/1.0 200 OK\r\n", b"ICAP/1.0 204 x\r\n", b""]))
def test_any_answer_is_read(rest: bytes, first: bytes) -> None:
    found = asyncio.run(answered(first + rest))
    if not first:
        assert found.status is not CLEAN or rest.startswith(b"ICAP/1.0")


async def test_a_service_that_says_nothing() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = await Icap(parse(f"icap://127.0.0.1:{port}/s"), seconds=0.3).judge("f", 5, [b"hello"])
    assert (found.status, found.why) == (UNSCANNABLE, "timeout")


@pytest.mark.parametrize(
    ("url", "address", "host"),
    [
        ("icap://scanner/avscan", Address(host="scanner", port=1344), "scanner:1344"),
        ("icap://[::1]:1345/x", Address(host="::1", port=1345), "[::1]:1345"),
    ],
)
def test_addresses(url: str, address: Address, host: str) -> None:
    assert (parse(url).address, parse(url).host) == (address, host)


@pytest.mark.parametrize("url", ["http://a/b", "icap:///b", "icap://a/b?c=d", "icap://u@a/b", ""])
def test_bad_addresses(url: str) -> None:
    with pytest.raises(ValueError, match="is not icap://host/service"):
        parse(url)
