"""Sign-in end to end: a store, a clock that stands, a provider inside the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from casb.connectors.signin import LoginResult, Redeemed, SignIn, Started
from casb.model.identity import DeviceTag
from casb.settings import SessionLimits
from casb.store.sessions_memory import MemorySessions

A, B, LOGIN = "files.casb.test", "wiki.casb.test", "login.casb.test"


@pytest.fixture
def store(now: Any) -> MemorySessions:
    return MemorySessions(clock=now.monotonic)


@pytest.fixture
def signin(now: Any, store: MemorySessions, make_provider: Callable[..., Any]) -> SignIn:
    return SignIn(
        store=store,
        providers=[make_provider()],
        login_host=LOGIN,
        clock=now,
        limits=SessionLimits(),
        monotonic=now.monotonic,
    )


async def arrive(signin: SignIn, idp: Any, *, started: Started, cookie: str | None = None) -> LoginResult:
    begun = await signin.begin(started.id)
    return await signin.callback(begun.cookie, idp.arrive(begun.url), login_cookie=cookie, ip="192.0.2.7")


async def sign_in(signin: SignIn, idp: Any, host: str = A, path: str = "/") -> tuple[LoginResult, Redeemed]:
    started = await signin.start_pending(host=host, path=path)
    result = await arrive(signin, idp, started=started)
    handed = await signin.hand_off(result.login, result.pending)
    return result, await signin.redeem(handed.host, handed.code, started.bind)


async def test_first_sign_in_then_a_second_app_without_the_provider(signin: SignIn, idp: Any) -> None:
    result, redeemed = await sign_in(signin, idp, path="/deep/link?q=1")
    assert redeemed.pending.target == "/deep/link?q=1"
    session = await signin.session_for(A, redeemed.cookie)
    assert session is not None
    assert session.user.id == "11111111-2222-4333-8444-555555555555/oid-ada"
    assert session.user.name == "ada@contoso.example"
    assert session.device.tags == {DeviceTag.COMPLIANT}
    assert session.device.sources == {"compliant": "acrs:c1"}

    asked = len(idp.seen)
    started = await signin.start_pending(host=B, path="/")
    login = await signin.login_for(result.cookie)
    assert login is not None
    handed = await signin.hand_off(login, started.id)
    second = await signin.redeem(B, handed.code, started.bind)
    assert second.session.id == session.id
    assert len(idp.seen) == asked
