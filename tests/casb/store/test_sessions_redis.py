"""The store on a server: several nodes, encryption and its keys, rights, outages."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client

from casb.errors import ConfigError, StoreError
from casb.settings import Secret, SessionStoreSettings
from casb.store import sessions_redis
from casb.store.session_keys import FollowedRing, KeyRing, rotate
from casb.store.sessions_redis import RedisSessions
from loopback_tls import files
from redis_server import RedisServer

KEY, OTHER = b"k" * 32, b"o" * 32
RULES = (
    ">s3cret ~casb* ~{casb}* &casb:dropped -@all +@read +@write +eval +evalsha +script|load "
    "+publish +subscribe +unsubscribe +ping"
)

type Open = Callable[..., RedisSessions]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer.running(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def node(server: RedisServer) -> AsyncIterator[Open]:
    opened: list[RedisSessions] = []
    prefix = f"p{secrets.token_hex(6)}"
    ring = KeyRing([("k1", b"1" * 32)])

    def make(**changes: Any) -> RedisSessions:
        settings = SessionStoreSettings(sessions=changes.pop("url", server.url), prefix=prefix)
        opened.append(RedisSessions(settings, changes.pop("ring", ring), **changes))
        return opened[-1]

    yield make
    for each in opened:
        await each.aclose()


async def until(condition: Callable[[], bool], what: str, seconds: float = 3) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


async def test_a_drop_on_one_node_is_heard_on_the_others(node: Open) -> None:
    here, there = node(), node()
    await here.put("login", KEY, b"1", ttl=60, indexes=["user:a"])
    assert await there.get("login", KEY) == b"1"
    before = there.epoch()
    began = time.monotonic()
    assert await here.drop_index("user:a") == 1
    await until(lambda: there.epoch() > before, "the other node to hear of it")
    assert time.monotonic() - began < 0.5
    assert await there.get("login", KEY) is None


async def test_one_of_two_nodes_gets_a_code(node: Open) -> None:
    nodes = [node(), node()]
    for number in range(20):
        await nodes[0].put("code", bytes([number]) * 32, b"c", ttl=60)
    got = await asyncio.gather(*(each.take("code", bytes([n]) * 32) for n in range(20) for each in nodes))
    assert len([each for each in got if each]) == 20


async def test_what_the_server_holds_tells_nothing(node: Open, server: RedisServer) -> None:
    here = node()
    await here.put("login", KEY, b"ada@contoso.example", ttl=60, indexes=["user:ada@contoso.example"])
    raw = redis_client.Redis(port=server.port)
    held = b"".join(
        name + (raw.get(name) or b"" if raw.type(name) == b"string" else b"".join(raw.smembers(name)))  # type: ignore[arg-type]
        for name in raw.scan_iter("*")
    )
    raw.close()
    assert b"ada" not in held
    assert KEY.hex().encode() in held, "keys are digests"


@pytest.mark.parametrize("how", ["moved", "cut", "flipped", "renamed index", "text"])
async def test_an_altered_record_is_not_believed(node: Open, server: RedisServer, how: str) -> None:
    here = node()
    await here.put("login", KEY, b"value", ttl=60, indexes=["user:a"])
    raw = redis_client.Redis(port=server.port)
    name, elsewhere = here._entry("login", KEY), here._entry("login", OTHER)
    data = raw.get(name)
    assert isinstance(data, bytes)
    asked = KEY
    match how:
        case "moved":
            raw.set(elsewhere, data)
            asked = OTHER
        case "cut":
            raw.set(name, data[:-1])
        case "flipped":
            raw.set(name, data[:-1] + bytes([data[-1] ^ 1]))
        case "renamed index":
            raw.set(name, data[:10] + bytes(16) + data[26:])
        case _:
            raw.set(name, b"x")
    raw.close()
    with pytest.raises(StoreError) as caught:
        await here.get("login", asked)
    assert caught.value.code == "S053"


async def test_the_key_ring_changes_in_the_middle_of_a_session(node: Open, tmp_path: Path) -> None:
    path = tmp_path / "sessions.keys"
    now = [0.0]
    here = node(ring=FollowedRing(path, clock=lambda: now[0]))
    there = node(ring=FollowedRing(path, clock=lambda: now[0]))
    await here.put("login", KEY, b"old", ttl=60)
    fresh = rotate(path)
    now[0] += 5
    assert await there.get("login", KEY) == b"old", "what was written with the old key is read"
    await here.put("login", OTHER, b"new", ttl=60)
    assert await there.get("login", OTHER) == b"new"
    raw = await here._client.get(here._entry("login", OTHER))
    assert f"v1.{fresh}.".encode() in raw, "new values use the new key"


async def test_an_index_lives_as_long_as_what_it_names(node: Open, server: RedisServer) -> None:
    here = node()
    await here.put("login", KEY, b"1", ttl=1, indexes=["user:a"])
    await here.put("child", KEY, b"2", ttl=0.5, indexes=["user:a"])
    await here.touch("login", KEY, ttl=60)
    raw = redis_client.Redis(port=server.port)
    left = raw.pttl(here._index(sessions_redis._digest("user:a")))
    raw.close()
    assert isinstance(left, int)
    assert left > 50_000
    assert await here.drop_index("user:a") == 2


async def test_an_index_does_not_grow_without_end(node: Open) -> None:
    here = node()
    for number in range(400):
        await here.put("code", number.to_bytes(32, "big"), b"1", ttl=60, indexes=["user:a"])
        await here.take("code", number.to_bytes(32, "big"))
    assert len(await here._client.smembers(here._index(sessions_redis._digest("user:a")))) < 150


async def test_a_server_that_is_away_refuses_and_comes_back(tmp_path: Path) -> None:
    with RedisServer.running(tmp_path) as own:
        store = RedisSessions(SessionStoreSettings(sessions=own.url), KeyRing([("k1", b"1" * 32)]))
        await store.put("login", KEY, b"1", ttl=60)
        own.stop()
        before, began = store.epoch(), time.monotonic()
        for work in (store.get("login", KEY), store.take("login", KEY), store.drop_index("user:a")):
            with pytest.raises(StoreError) as caught:
                await work
            assert caught.value.code == "S051"
        assert time.monotonic() - began < 4
        await until(lambda: store.epoch() > before, "nothing to be remembered while drops cannot be heard")
        own.start()
        await store.put("login", KEY, b"2", ttl=60)
        assert await store.get("login", KEY) == b"2"
        await store.aclose()


async def test_a_silent_server_is_not_waited_for() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    settings = SessionStoreSettings(sessions=Secret(f"redis://127.0.0.1:{port}"))
    store = RedisSessions(settings, KeyRing([("k1", b"1" * 32)]))
    began = time.monotonic()
    with pytest.raises(StoreError):
        await store.get("login", KEY)
    assert time.monotonic() - began < 6
    await store.aclose()
    silent.close()


async def test_tls_and_a_user_with_few_rights(tmp_path: Path) -> None:
    pem, key = files(tmp_path)
    with RedisServer.running(tmp_path, tls=(pem, key), rules=RULES) as own:
        good = SessionStoreSettings(sessions=own.url, password=Secret("s3cret"), ca=pem)
        ring = KeyRing([("k1", b"1" * 32)])
        store = RedisSessions(good, ring)
        await store.put("login", KEY, b"1", ttl=60, indexes=["user:a"])
        await store.touch("login", KEY, ttl=60)
        assert await store.add("jti", KEY, b"1", ttl=60)
        assert await store.take("jti", KEY) == b"1"
        assert await store.drop_index("user:a") == 1
        await store.drop("login", KEY)
        await store.aclose()
        for bad in (
            SessionStoreSettings(sessions=own.url, password=Secret("s3cret")),
            SessionStoreSettings(sessions=own.url, password=Secret("wrong"), ca=pem),
            SessionStoreSettings(sessions=own.url, ca=pem),
        ):
            refused = RedisSessions(bad, ring)
            with pytest.raises(StoreError) as caught:
                await refused.ping()
            assert "s3cret" not in str(caught.value)
            await refused.aclose()


def test_without_the_extra_it_is_said_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match=r"casb\[redis\]") as caught:
        RedisSessions(SessionStoreSettings(sessions=Secret("redis://127.0.0.1")), KeyRing([("k1", b"1" * 32)]))
    assert caught.value.code == "C150"
