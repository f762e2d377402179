from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mitmproxy.proxy import mode_specs

from casb.proxy.preamble import SIGNATURE, Gate, Peer, parse_binary, parse_text, read_preamble
from casb.settings import Listeners, Settings

V4 = bytes([198, 51, 100, 7, 192, 0, 2, 1]) + (4711).to_bytes(2, "big") + (443).to_bytes(2, "big")
V6 = bytes.fromhex("20010db8000000000000000000000007" * 2) + (4711).to_bytes(2, "big") + (443).to_bytes(2, "big")


def binary(version: int, family: int, addresses: bytes) -> bytes:
    return SIGNATURE + bytes([version, family]) + len(addresses).to_bytes(2, "big") + addresses


async def read(data: bytes) -> tuple[Peer | None, bytes]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await read_preamble(reader), await reader.read()


GOOD: list[tuple[bytes, Peer | None, str]] = [
    (b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n", ("198.51.100.7", 4711), "v1"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", ("2001:db8::7", 4711), "v1, v6"),
    (b"PROXY TCP6 ::ffff:198.51.100.7 ::1 4711 443\r\n", ("198.51.100.7", 4711), "v4 in v6"),
    (binary(0x21, 0x11, V4), ("198.51.100.7", 4711), "v2"),
    (binary(0x21, 0x21, V6), ("2001:db8::7", 4711), "v2, v6"),
    (binary(0x21, 0x11, V4 + b"\x04\x00\x02ab"), ("198.51.100.7", 4711), "TLVs are passed over"),
    (binary(0x20, 0x00, b""), None, "LOCAL: the balancer's own health check"),
    (binary(0x20, 0x11, V4), None, "LOCAL, whatever it carries"),
]


@pytest.mark.parametrize(("data", "expected", "why"), GOOD, ids=[each[2] for each in GOOD])
async def test_preambles(data: bytes, expected: Peer | None, why: str) -> None:
    assert await read(data + b"\x16\x03\x01rest") == (expected, b"\x16\x03\x01rest"), why


BAD = {
    "TLS at once": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00",
    "HTTP at once": b"CONNECT a.test:443 HTTP/1.1\r\n\r\n",
    "unknown source": b"PROXY UNKNOWN\r\n",
    "unknown with addresses": b"PROXY UNKNOWN 198.51.100.7 192.0.2.1 4711 443\r\n",
    "v6 called v4": b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 443\r\n",
    "no carriage return": b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\n",
    "two spaces": b"PROXY TCP4  198.51.100.7 192.0.2.1 4711 443\r\n",
    "port": b"PROXY TCP4 198.51.100.7 192.0.2.1 65536 443\r\n",
    "port with a zero": b"PROXY TCP4 198.51.100.7 192.0.2.1 04711 443\r\n",
    "zone": b"PROXY TCP6 fe80::1%eth0 2001:db8::1 4711 443\r\n",
    "not ASCII": "PROXY TCP4 198.51.100.\u0667 192.0.2.1 4711 443\r\n".encode(),
    "endless line": b"PROXY TCP4 " + b"1" * 500,
    "lower case": b"proxy TCP4 198.51.100.7 192.0.2.1 4711 443\r\n",
    "version 1 in binary": binary(0x11, 0x11, V4),
    "command 2": binary(0x22, 0x11, V4),
    "UDP": binary(0x21, 0x12, V4),
    "unspecified": binary(0x21, 0x00, V4),
    "unix socket": binary(0x21, 0x31, b"x" * 216),
    "too short for v4": binary(0x21, 0x11, V4[:11]),
    "too short for v6": binary(0x21, 0x21, V4),
    "too long": binary(0x21, 0x11, V4 + b"\0" * 5000),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_preamble(name: str) -> None:
    with pytest.raises((ValueError, EOFError)):
        await read(BAD[name])


@pytest.mark.parametrize("cut", range(0, 28, 3))
async def test_a_preamble_that_ends_early(cut: int) -> None:
    with pytest.raises((ValueError, EOFError)):
        await read(binary(0x21, 0x11, V4)[:cut])


@settings(max_examples=60)
@given(st.binary(max_size=120), st.integers(0, 255), st.integers(0, 255))
def test_any_bytes_are_an_address_or_refused(data: bytes, version: int, family: int) -> None:
    for text in (True, False):
        try:
            found = parse_text(data) if text else parse_binary(version, family, data)
        except ValueError:
            continue
        if found is not None:
            ip_address(found[0])
            assert 0 <= found[1] < 65536


# --- on a listener ----------------------------------------------------------------------------------------------------


async def told(data: bytes, *, trusted: Sequence[str], listeners: Sequence[Any] = ("reverse",), mode: str = "") -> str:
    """What the taker of a real connection is told of its peer and then reads; '' when it is closed before."""
    deployment = Settings(
        suffix="casb.test", trusted_proxies=tuple(trusted), listeners=Listeners(proxy_protocol=tuple(listeners))
    )
    runtime = SimpleNamespace(snapshot=SimpleNamespace(settings=deployment), counters=Counter[str]())
    seen: list[str] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(f"{writer.get_extra_info('peername')[0]} {(await reader.read(4)).decode('latin-1')}")
        assert writer.get_extra_info("socket") is not None
        writer.close()
        await writer.wait_closed()

    spec = mode_specs.ProxyMode.parse(mode or "reverse:http://casb.invalid:1@127.0.0.1:1")
    server = await asyncio.start_server(Gate(cast(Any, runtime)).before(spec, take), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(data)
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
        writer.close()
    assert bool(seen) is not bool(runtime.counters["preambles_refused"])
    return seen[0] if seen else ""


HEAD = b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n"


async def test_a_trusted_proxy_says_whose_connection_it_is() -> None:
    assert await told(HEAD + b"rest", trusted=["127.0.0.0/8"]) == "198.51.100.7 rest"
    assert await told(binary(0x20, 0, b"") + b"rest", trusted=["127.0.0.1"]) == "127.0.0.1 rest"


async def test_nobody_else_may_say_so() -> None:
    assert await told(HEAD + b"rest", trusted=["192.0.2.0/24"]) == ""
    assert await told(HEAD + b"rest", trusted=[]) == ""


async def test_a_connection_without_a_preamble_is_closed() -> None:
    assert await told(b"\x16\x03\x01" + b"\0" * 40, trusted=["127.0.0.1"]) == ""
    assert await told(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", trusted=["127.0.0.1"]) == ""


async def test_a_preamble_is_ordinary_bytes_where_none_is_expected() -> None:
    assert await told(HEAD + b"rest", trusted=["127.0.0.1"], listeners=[]) == "127.0.0.1 PROX"
    assert await told(HEAD + b"rest", trusted=["127.0.0.1"], listeners=["forward"]) == "127.0.0.1 PROX"
    assert await told(HEAD + b"rest", trusted=["127.0.0.1"], listeners=["forward"], mode="regular@1") != ""
