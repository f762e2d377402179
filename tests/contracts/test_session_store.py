"""What every `SessionStore` does, over each of them."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casb.ports import SessionStore
from casb.settings import SessionStoreSettings
from casb.store.session_keys import KeyRing
from casb.store.sessions_memory import MemorySessions
from casb.store.sessions_redis import RedisSessions
from casb.store.sessions_sqlite import SqliteSessions
from redis_server import RedisServer

KEY, OTHER = b"k" * 32, b"o" * 32


@dataclass
class Ticking:
    """Seconds that pass when told to."""

    server: RedisServer
    seconds: float = 1_000_000.0
    opened: list[SqliteSessions] = field(default_factory=list)
    joined: list[RedisSessions] = field(default_factory=list)

    def __call__(self) -> float:
        return self.seconds

    def memory(self, _: Path) -> SessionStore:
        return MemorySessions(clock=self)

    def sqlite(self, folder: Path) -> SessionStore:
        self.opened.append(SqliteSessions(folder, clock=self))
        return self.opened[-1]

    def redis(self, _: Path) -> SessionStore:
        settings = SessionStoreSettings(sessions=self.server.url, prefix=secrets.token_hex(8))
        self.joined.append(RedisSessions(settings, KeyRing([("k1", b"1" * 32)]), clock=self))
        return self.joined[-1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer.running(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def clock(server: RedisServer) -> AsyncIterator[Ticking]:
    ticking = Ticking(server)
    yield ticking
    for each in ticking.opened:
        each.close()
    for one in ticking.joined:
        await one.aclose()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, clock: Ticking, tmp_path: Path) -> SessionStore:
    make: Callable[[Path], SessionStore] = getattr(clock, request.param)
    return make(tmp_path)


async def test_put_get_and_expiry(store: SessionStore, clock: Ticking) -> None:
    await store.put("login", KEY, b"value", ttl=10)
    assert await store.get("login", KEY) == b"value"
    assert await store.get("child", KEY) is None, "kinds are separate"
    assert await store.get("login", OTHER) is None
    clock.seconds += 9.9
    assert await store.get("login", KEY) == b"value"
    clock.seconds += 0.1
    assert await store.get("login", KEY) is None


async def test_put_replaces_value_lifetime_and_indexes(store: SessionStore, clock: Ticking) -> None:
    await store.put("login", KEY, b"old", ttl=10, indexes=["user:a"])
    await store.put("login", KEY, b"new", ttl=20, indexes=["user:b"])
    clock.seconds += 15
    assert await store.drop_index("user:a") == 0
    assert await store.get("login", KEY) == b"new"
    assert await store.drop_index("user:b") == 1
    assert await store.get("login", KEY) is None


async def test_add_is_once_until_it_expires(store: SessionStore, clock: Ticking) -> None:
    assert await store.add("jti", KEY, b"1", ttl=10)
    assert not await store.add("jti", KEY, b"2", ttl=10)
    assert await store.get("jti", KEY) == b"1"
    clock.seconds += 10
    assert await store.add("jti", KEY, b"3", ttl=10)


async def test_which_of_many_are_there(store: SessionStore, clock: Ticking) -> None:
    keys = [bytes([number % 256, number // 256]) * 16 for number in range(700)]
    for number, key in enumerate(keys[:600]):
        await store.put("child", key, b"v", ttl=10 if number % 2 else 20, indexes=[f"n:{number % 3}"])
    assert await store.present("child", keys) == set(keys[:600])
    assert await store.present("login", keys) == set()
    assert await store.present("child", []) == set()
    await store.drop_index("n:0")
    clock.seconds += 10
    left = {key for number, key in enumerate(keys[:600]) if number % 3 and not number % 2}
    assert await store.present("child", keys) == left


async def test_take_removes(store: SessionStore, clock: Ticking) -> None:
    await store.put("code", KEY, b"value", ttl=60)
    assert await store.take("code", KEY) == b"value"
    assert await store.take("code", KEY) is None
    await store.put("code", KEY, b"late", ttl=60)
    clock.seconds += 60
    assert await store.take("code", KEY) is None


async def test_take_gives_to_one_of_many(store: SessionStore) -> None:
    await store.put("code", KEY, b"value", ttl=60)
    taken = await asyncio.gather(*(store.take("code", KEY) for _ in range(20)))
    assert sorted(filter(None, taken)) == [b"value"]


async def test_add_succeeds_for_one_of_many(store: SessionStore) -> None:
    assert sum(await asyncio.gather(*(store.add("jti", KEY, b"1", ttl=60) for _ in range(20)))) == 1


async def test_touch_prolongs_the_living_only(store: SessionStore, clock: Ticking) -> None:
    await store.put("login", KEY, b"value", ttl=10)
    clock.seconds += 9
    await store.touch("login", KEY, ttl=10)
    await store.touch("login", OTHER, ttl=10)
    clock.seconds += 9
    assert await store.get("login", KEY) == b"value"
    assert await store.get("login", OTHER) is None
    clock.seconds += 1
    await store.touch("login", KEY, ttl=10)
    assert await store.get("login", KEY) is None, "what has expired stays so"


async def test_drop_index_takes_all_kinds_and_spares_the_rest(store: SessionStore) -> None:
    await store.put("login", KEY, b"1", ttl=60, indexes=["user:a", "sid:1"])
    await store.put("child", KEY, b"2", ttl=60, indexes=["user:a"])
    await store.put("child", OTHER, b"3", ttl=60, indexes=["user:b"])
    assert await store.drop_index("user:a") == 2
    assert await store.drop_index("user:a") == 0
    assert await store.drop_index("sid:1") == 0
    assert await store.get("child", OTHER) == b"3"


async def test_epoch_grows_with_drops_only(store: SessionStore) -> None:
    before = store.epoch()
    await store.put("login", KEY, b"1", ttl=60, indexes=["user:a"])
    await store.get("login", KEY)
    await store.touch("login", KEY, ttl=60)
    await store.put("code", KEY, b"1", ttl=60)
    await store.take("code", KEY)
    await store.drop("login", OTHER)
    await store.drop_index("user:none")
    assert store.epoch() == before
    await store.drop("login", KEY)
    dropped = store.epoch()
    assert dropped > before
    await store.put("login", KEY, b"1", ttl=60, indexes=["user:a"])
    await store.drop_index("user:a")
    assert store.epoch() > dropped


async def test_purge_removes_only_what_has_expired(store: SessionStore, clock: Ticking) -> None:
    await store.put("login", KEY, b"short", ttl=10, indexes=["user:a"])
    await store.put("login", OTHER, b"long", ttl=20, indexes=["user:a"])
    clock.seconds += 10
    purged = await store.purge()
    assert purged == (0 if isinstance(store, RedisSessions) else 1), "a server removes what has expired by itself"
    assert await store.purge() == 0
    assert await store.get("login", KEY) is None
    assert await store.get("login", OTHER) == b"long"
    assert await store.drop_index("user:a") == 1


@given(value=st.binary(max_size=200), key=st.binary(min_size=32, max_size=32), index=st.text(max_size=20))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_any_bytes_come_back(store: SessionStore, value: bytes, key: bytes, index: str) -> None:
    index = index.encode("utf-8", "ignore").decode()
    await store.put("flow", key, value, ttl=60, indexes=[index])
    assert await store.get("flow", key) == value
    assert await store.take("flow", key) == value


TAKER = """
import asyncio, sys
from casb.store.sessions_sqlite import SqliteSessions
store = SqliteSessions(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
async def main():
    got = 0
    for n in range(50):
        got += await store.take("code", n.to_bytes(32, "big")) is not None
    return got
print(asyncio.run(main()), store.epoch(), flush=True)
store.close()
"""


async def test_two_processes_share_a_sqlite_store(tmp_path: Path) -> None:
    store = SqliteSessions(tmp_path)
    for number in range(50):
        await store.put("code", number.to_bytes(32, "big"), b"value", ttl=60)
    await store.put("login", KEY, b"1", ttl=60, indexes=["user:a"])
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", TAKER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": "addons"},
            cwd=Path(__file__).parents[2],
        )
        for _ in range(2)
    ]
    for taker in takers:
        assert taker.stdout is not None
        assert taker.stdout.readline() == "ready\n"
    await store.drop_index("user:a")
    for taker in takers:
        assert taker.stdin is not None
        taker.stdin.write("go\n")
        taker.stdin.flush()
    answers = [taker.communicate(timeout=60)[0].split() for taker in takers]
    assert sum(int(got) for got, _ in answers) == 50, "each code went to one process"
    assert {int(epoch) for _, epoch in answers} == {store.epoch()}, "a drop here is seen there"
    store.close()
