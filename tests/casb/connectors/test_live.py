from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from casb.connectors.live import CACHE_SIZE, CACHED, LiveSessions, Login
from casb.errors import StoreError
from casb.identity.sessions import ChildRecord, LoginRecord, dump, key_of
from casb.model.identity import Device, User
from casb.settings import SessionLimits
from casb.store.sessions_memory import MemorySessions

HOST, LOGIN_HOST = "files.casb.test", "login.casb.test"


class Counting(MemorySessions):
    """Says what it was asked."""

    def __init__(self, now: Any) -> None:
        super().__init__(clock=now.monotonic)
        self.asked: list[str] = []

    async def get(self, kind: str, key: bytes) -> bytes | None:
        self.asked.append(f"get {kind}")
        return await super().get(kind, key)

    async def touch(self, kind: str, key: bytes, *, ttl: float) -> None:
        self.asked.append(f"touch {kind} {ttl:.0f}")
        await super().touch(kind, key, ttl=ttl)


@pytest.fixture
def store(now: Any) -> Counting:
    return Counting(now)


@pytest.fixture
def live(store: Counting, now: Any) -> LiveSessions:
    limits = SessionLimits(idle=3600, absolute=7200)
    return LiveSessions(store=store, login_host=LOGIN_HOST, clock=now, limits=limits, monotonic=now.monotonic)


@pytest.fixture
def login(now: Any) -> Login:
    record = LoginRecord(
        id="log-id",
        provider="entra",
        user=User(id="t/o", name="ada"),
        device=Device(),
        started=now(),
        expires=now() + timedelta(seconds=7200),
        issuer="https://op.example",
        subject="sub",
    )
    return Login(key=key_of(secrets.token_urlsafe(32)), record=record)


async def test_two_reads_then_none(live: LiveSessions, store: Counting, login: Login) -> None:
    await live.save(login)
    cookie = await live.open(login, HOST)
    assert await live.session_for(HOST, cookie) == login.record.session()
    assert store.asked == ["get child", "get login", "touch child 3600", "touch login 3600"]
    store.asked.clear()
    for _ in range(100):
        assert live.cached(HOST, cookie)
        assert await live.session_for(HOST, cookie)
    assert store.asked == []


async def test_prolonged_every_half_minute_at_most(live: LiveSessions, store: Counting, login: Login, now: Any) -> None:
    await live.save(login)
    cookie = await live.open(login, HOST)
    for _ in range(13):
        await live.session_for(HOST, cookie)
        now.forward(5.5)
    assert store.asked.count("get child") == 13
    assert sum(each.startswith("touch child") for each in store.asked) == 3


async def test_looking_does_not_prolong(live: LiveSessions, store: Counting, login: Login, now: Any) -> None:
    await live.save(login)
    cookie = await live.open(login, HOST)
    for _ in range(3):
        assert await live.session_for(HOST, cookie, touch=False)
        now.forward(1200)
    assert await live.session_for(HOST, cookie, touch=False) is None
    assert not any(each.startswith("touch") for each in store.asked)


async def test_never_prolonged_beyond_the_absolute_end(
    live: LiveSessions, store: Counting, login: Login, now: Any
) -> None:
    await live.save(login)
    cookie = await live.open(login, HOST)
    for _ in range(2):
        now.forward(3000)
        assert await live.session_for(HOST, cookie)
    assert store.asked[-1] == "touch login 1200"


async def test_a_share_without_its_login_is_nothing(live: LiveSessions, store: Counting, login: Login) -> None:
    cookie = await live.open(login, HOST)
    assert await live.session_for(HOST, cookie) is None


async def test_records_that_were_altered(live: LiveSessions, store: Counting, login: Login) -> None:
    await live.save(login)
    cookie = await live.open(login, HOST)
    await store.put("child", key_of(cookie), b"{}", ttl=60)
    with pytest.raises(StoreError):
        await live.session_for(HOST, cookie)
    await store.put("child", key_of(cookie), dump(ChildRecord(login="zz", host=HOST)), ttl=60)
    with pytest.raises(StoreError):
        await live.session_for(HOST, cookie)


async def test_ends_by_name(live: LiveSessions, login: Login) -> None:
    ways: list[Callable[[], Awaitable[int]]] = [
        lambda: live.revoke_subject("entra", "https://op.example", "sub"),
        lambda: live.revoke_session("log-id"),
        lambda: live.revoke_user("t/o"),
    ]
    for number, end in enumerate(ways):
        await live.save(login)
        cookie = await live.open(login, HOST)
        assert await live.session_for(HOST, cookie), number
        assert await live.revoke_subject("entra", "https://op.example/", "sub") == 0
        assert await live.revoke_subject("entra:https", "//op.example", "sub") == 0
        assert await end() == 2
        assert live.cached(HOST, cookie) is None
        assert await live.session_for(HOST, cookie) is None
    await live.save(login)
    await live.end(login)
    assert await live.revoke_session("log-id") == 0


async def test_the_local_cache_is_bounded(
    live: LiveSessions, login: Login, now: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert live._touched.maxsize == CACHE_SIZE
    monkeypatch.setattr("casb.connectors.live.CACHE_SIZE", 5)
    await live.save(login)
    for _ in range(3):
        assert await live.session_for(HOST, await live.open(login, HOST))
    now.forward(CACHED - 1)
    for _ in range(2):
        assert await live.session_for(HOST, await live.open(login, HOST))
    now.forward(1)
    for size in (3, 4, 5, 1):
        cookie = await live.open(login, HOST)
        assert await live.session_for(HOST, cookie)
        assert len(live._sessions) == size, "first what is over goes, then all"
        assert live.cached(HOST, cookie)
