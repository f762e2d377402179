from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from casb.connectors.keys import KeyCache, parse_keys
from casb.errors import ConnectorError

URL = "https://idp.test/keys"
HOUR = 3600.0


@pytest.fixture
def jwk(rsa_key: rsa.RSAPrivateKey) -> Callable[..., dict[str, Any]]:
    public = RSAAlgorithm.to_jwk(rsa_key.public_key(), as_dict=True)

    def make(kid: str = "a", **changes: Any) -> dict[str, Any]:
        return public | {"kid": kid, "use": "sig"} | changes

    return make


class Endpoint:
    """Answers with `keys`, or what `answer` says; counts."""

    def __init__(self, keys: list[Any]) -> None:
        self.keys = keys
        self.down = False
        self.count = 0
        self.gate: asyncio.Event | None = None

    async def __call__(self, url: str) -> bytes:
        assert url == URL
        self.count += 1
        if self.gate:
            await self.gate.wait()
        if self.down:
            raise ConnectorError("I001", "away")
        return json.dumps({"keys": self.keys}).encode()


def kids(found: Any) -> set[str]:
    return {each["kid"] for each in found["keys"]}


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# --- what a set must be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>sign in</html>",
        b"{}",
        b"[]",
        b"null",
        b'{"keys":"x"}',
        b'{"keys":{}}',
        b'{"keys":[]}',
        b'{"keys":[1,null,"a",[]]}',
        b'{"keys":[{}]}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"keys":' + b"[" * 50_000,
    ],
)
def test_what_is_no_key_set(data: bytes) -> None:
    with pytest.raises(ConnectorError) as caught:
        parse_keys(data)
    assert caught.value.code == "I005"


@given(st.binary(max_size=100) | st.text(max_size=50).map(lambda text: json.dumps({"keys": [text]}).encode()))
@settings(max_examples=80, deadline=None)
def test_any_bytes_are_keys_or_refused(data: bytes) -> None:
    with pytest.raises(ConnectorError):
        parse_keys(data)


def test_unusable_keys_are_left_out(jwk: Any, rsa_key: rsa.RSAPrivateKey) -> None:
    private = RSAAlgorithm.to_jwk(rsa_key, as_dict=True) | {"kid": "private"}
    keys = [
        jwk("good"),
        jwk("enc", use="enc"),
        jwk("small-e", e="AQ"),
        jwk("short", n="AQAB"),
        {"kty": "oct", "kid": "oct", "k": "AAAA"},
        private,
        jwk("twice"),
        jwk("twice"),
        jwk("mixed"),
        {"kty": "oct", "kid": "mixed", "k": "AAAA"},
        jwk(kid=7),
        {name: value for name, value in jwk().items() if name != "kid"},
    ]
    assert set(parse_keys(json.dumps({"keys": keys}).encode())) == {"good"}
    with pytest.raises(ConnectorError, match="no usable key"):
        parse_keys(json.dumps({"keys": keys[1:]}).encode())


def test_a_hundred_keys_at_most(jwk: Any) -> None:
    keys = [jwk(f"k{n}") for n in range(101)]
    assert len(parse_keys(json.dumps({"keys": keys[:100]}).encode())) == 100
    for many in (keys, keys * 50):
        with pytest.raises(ConnectorError, match="too large"):
            parse_keys(json.dumps({"keys": many}).encode())


# --- keeping them -----------------------------------------------------------------------------------------------------


async def test_fresh_for_an_hour(jwk: Any, now: Any) -> None:
    endpoint = Endpoint([jwk("a")])
    cache = KeyCache(endpoint, monotonic=now.monotonic)
    for _ in range(5):
        assert kids(await cache.keys(URL, "a")) == {"a"}
        now.forward(HOUR / 6)
    assert endpoint.count == 1


async def test_then_refreshed_behind_the_scenes(jwk: Any, now: Any) -> None:
    endpoint = Endpoint([jwk("a")])
    cache = KeyCache(endpoint, monotonic=now.monotonic)
    await cache.keys(URL, "a")
    endpoint.keys = [jwk("a"), jwk("b")]
    now.forward(HOUR)
    endpoint.gate = asyncio.Event()
    assert kids(await cache.keys(URL, "a")) == {"a"}, "nobody waits"
    assert kids(await cache.keys(URL, "a")) == {"a"}
    await settle()
    endpoint.gate.set()
    await settle()
    assert kids(await cache.keys(URL, "a")) == {"a", "b"}
    assert endpoint.count == 2, "one refresh for all"


async def test_outage_of_a_day(jwk: Any, now: Any) -> None:
    endpoint = Endpoint([jwk("a")])
    cache = KeyCache(endpoint, monotonic=now.monotonic)
    await cache.keys(URL, "a")
    endpoint.down = True
    now.forward(23 * HOUR)
    assert kids(await cache.keys(URL, "a")) == {"a"}
    await settle()
    now.forward(2 * HOUR)
    with pytest.raises(ConnectorError, match="cannot be had"):
        await cache.keys(URL, "a")
    endpoint.down = False
    now.forward(11)
    assert kids(await cache.keys(URL, "a")) == {"a"}


async def test_a_bad_set_never_replaces_a_good_one(jwk: Any, now: Any) -> None:
    endpoint = Endpoint([jwk("a")])
    cache = KeyCache(endpoint, monotonic=now.monotonic)
    await cache.keys(URL, "a")
    for bad in ([], [jwk("a", use="enc")], [jwk(f"k{n}") for n in range(5000)]):
        endpoint.keys = bad
        now.forward(HOUR)
        await cache.keys(URL, "a")
        await settle()
        assert kids(await cache.keys(URL, "a")) == {"a"}
    assert endpoint.count == 4


async def test_rotation(jwk: Any, now: Any) -> None:
    endpoint = Endpoint([jwk("a")])
    cache = KeyCache(endpoint, monotonic=now.monotonic)
    await cache.keys(URL, "a")
    endpoint.keys = [jwk("b")]
    now.forward(299)
    assert kids(await cache.keys(URL, "b")) == {"a"}, "asked too short a while ago"
    now.forward(1)
    assert kids(await cache.keys(URL, "b")) == {"b"}, "a retired key is gone"
    assert endpoint.count == 2


async def test_a_thousand_unknown_kids_ask_once(jwk: Any, now: Any) -> None:
    endpoint = Endpoint([jwk("a")])
    cache = KeyCache(endpoint, monotonic=now.monotonic)
    await cache.keys(URL, "a")
    now.forward(301)
    for n in range(500):
        assert kids(await cache.keys(URL, f"x{n}")) == {"a"}
    await asyncio.gather(*(cache.keys(URL, f"y{n}") for n in range(500)))
    assert endpoint.count == 2
    now.forward(299)
    await cache.keys(URL, "x0")
    assert endpoint.count == 2
    now.forward(2)
    await asyncio.gather(*(cache.keys(URL, f"z{n}") for n in range(500)))
    assert endpoint.count == 3


async def test_unknown_kids_do_not_hammer_an_endpoint_that_fails(jwk: Any, now: Any) -> None:
    endpoint = Endpoint([jwk("a")])
    cache = KeyCache(endpoint, monotonic=now.monotonic)
    await cache.keys(URL, "a")
    endpoint.down = True
    now.forward(301)
    for n in range(100):
        await cache.keys(URL, f"x{n}")
    assert endpoint.count == 2, "an attempt counts, not a success"


async def test_first_fetch_is_shared_and_its_failure_remembered(jwk: Any, now: Any) -> None:
    endpoint = Endpoint([jwk("a")])
    endpoint.down = True
    cache = KeyCache(endpoint, monotonic=now.monotonic)
    answers = await asyncio.gather(*(cache.keys(URL, "a") for _ in range(50)), return_exceptions=True)
    assert all(isinstance(each, ConnectorError) for each in answers)
    assert endpoint.count == 1
    now.forward(9)
    with pytest.raises(ConnectorError):
        await cache.keys(URL, "a")
    assert endpoint.count == 1
    endpoint.down = False
    now.forward(2)
    assert kids(await cache.keys(URL, "a")) == {"a"}


async def test_one_caller_giving_up_does_not_end_it_for_others(jwk: Any, now: Any) -> None:
    endpoint = Endpoint([jwk("a")])
    endpoint.gate = asyncio.Event()
    cache = KeyCache(endpoint, monotonic=now.monotonic)
    first, second = (asyncio.create_task(cache.keys(URL, "a")) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    endpoint.gate.set()
    assert kids(await second) == {"a"}


async def test_close_ends_what_is_under_way(jwk: Any, now: Any) -> None:
    endpoint = Endpoint([jwk("a")])
    endpoint.gate = asyncio.Event()
    cache = KeyCache(endpoint, monotonic=now.monotonic)
    waiting = asyncio.create_task(cache.keys(URL, "a"))
    await settle()
    await cache.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
