"""Sign-in end to end: a store, a clock that stands, a provider inside the process."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.connectors.live import RETIRED
from casb.connectors.signin import LoginResult, Redeemed, SignIn, Started, parse_answer
from casb.errors import CasbError, ConfigError, ConnectorError, StoreError, TokenError
from casb.identity.tokens import LOGOUT_EVENT
from casb.model.identity import DeviceTag
from casb.settings import SessionLimits
from casb.store.sessions_memory import MemorySessions
from casb.store.sessions_sqlite import SqliteSessions

A, B, LOGIN = "files.casb.test", "wiki.casb.test", "login.casb.test"
TENANT = "11111111-2222-4333-8444-555555555555"
BASE = f"https://idp.test/{TENANT}/v2.0"
ADA = f"{TENANT}/oid-ada"

type NewSignIn = Callable[[], SignIn]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, now: Any, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield MemorySessions(clock=now.monotonic)
    else:
        sqlite = SqliteSessions(tmp_path, clock=now.epoch_seconds)
        yield sqlite
        sqlite.close()


@pytest.fixture
def new_signin(now: Any, store: Any, make_provider: Callable[..., Any]) -> NewSignIn:
    """Another process of the same deployment."""

    def make() -> SignIn:
        return SignIn(store=store, providers=[make_provider()], login_host=LOGIN, clock=now, monotonic=now.monotonic)

    return make


@pytest.fixture
def signin(new_signin: NewSignIn) -> SignIn:
    return new_signin()


async def arrive(signin: SignIn, idp: Any, started: Started | None = None, cookie: str | None = None) -> LoginResult:
    begun = await signin.begin(started.id if started else "")
    return await signin.callback(begun.cookie, idp.arrive(begun.url), login_cookie=cookie, ip="192.0.2.7")


async def enter(signin: SignIn, result: LoginResult, started: Started, previous: str | None = None) -> Redeemed:
    handed = await signin.hand_off(result.login, started.id)
    return await signin.redeem(handed.host, handed.code, started.bind, previous=previous)


async def sign_in(signin: SignIn, idp: Any, host: str = A, **request: Any) -> tuple[LoginResult, Redeemed]:
    started = await signin.start_pending(host=host, **({"path": "/"} | request))
    result = await arrive(signin, idp, started)
    return result, await enter(signin, result, started)


async def refusal(awaitable: Any) -> str:
    with pytest.raises(CasbError) as caught:
        await awaitable
    return caught.value.code


# --- the way in -------------------------------------------------------------------------------------------------------


async def test_first_sign_in_then_a_second_app_without_the_provider(signin: SignIn, idp: Any) -> None:
    result, redeemed = await sign_in(signin, idp, path="/deep/link?q=1", app="files")
    assert redeemed.pending.target == "/deep/link?q=1"
    session = await signin.session_for(A, redeemed.cookie)
    assert session is not None
    assert session == redeemed.session == signin.cached(A, redeemed.cookie)
    assert (session.user.id, session.user.name) == (ADA, "ada@contoso.example")
    assert session.device.tags == {DeviceTag.COMPLIANT}
    assert session.device.sources == {"compliant": "acrs:c1"}
    assert (session.auth_contexts, session.ip) == (frozenset({"c1"}), "192.0.2.7")

    asked = len(idp.seen)
    started = await signin.start_pending(host=B, path="/")
    login = await signin.login_for(result.cookie)
    assert login is not None
    handed = await signin.hand_off(login, started.id)
    assert handed.host == B
    second = await signin.redeem(B, handed.code, started.bind)
    assert second.session.id == session.id
    assert second.cookie != redeemed.cookie
    assert len(idp.seen) == asked


async def test_ids_to_log_are_not_the_cookies(signin: SignIn, idp: Any) -> None:
    result, redeemed = await sign_in(signin, idp)
    assert redeemed.session.id not in (redeemed.cookie, result.cookie)
    assert redeemed.cookie not in repr(redeemed.session)
    assert await signin.session_for(A, redeemed.session.id) is None


async def test_a_code_is_worth_one_try(signin: SignIn, idp: Any) -> None:
    started = await signin.start_pending(host=A, path="/")
    result = await arrive(signin, idp, started)
    handed = await signin.hand_off(result.login, started.id)
    assert await signin.redeem(A, handed.code, started.bind)
    assert await refusal(signin.redeem(A, handed.code, started.bind)) == "I014"


@pytest.mark.parametrize("code", ["", "x", "a" * 43, "a" * 5000, "é" * 43, "\0"])
async def test_codes_never_given_out(signin: SignIn, code: str) -> None:
    assert await refusal(signin.redeem(A, code, "b" * 43)) == "I014"


async def test_a_code_for_another_host_is_burnt(signin: SignIn, idp: Any) -> None:
    started = await signin.start_pending(host=A, path="/")
    result = await arrive(signin, idp, started)
    handed = await signin.hand_off(result.login, started.id)
    assert await refusal(signin.redeem(B, handed.code, started.bind)) == "I015"
    assert await refusal(signin.redeem(A, handed.code, started.bind)) == "I014"


async def test_a_code_in_another_browser(signin: SignIn, idp: Any) -> None:
    for bind in (None, "", "x" * 43, (await signin.start_pending(host=A, path="/")).bind):
        started = await signin.start_pending(host=A, path="/")
        result = await arrive(signin, idp, started)
        handed = await signin.hand_off(result.login, started.id)
        assert await refusal(signin.redeem(A, handed.code, bind)) == "I015"


async def test_somebody_elses_waiting_request(signin: SignIn, idp: Any) -> None:
    """The victim is lured to the login host with the attacker's pending id: the victim's browser lacks its cookie."""
    attackers = await signin.start_pending(host=A, path="/attackers-page")
    victims = await signin.start_pending(host=A, path="/")
    result = await arrive(signin, idp, victims)
    handed = await signin.hand_off(result.login, attackers.id)
    assert await refusal(signin.redeem(A, handed.code, victims.bind)) == "I015"


async def test_a_code_lives_a_minute(signin: SignIn, idp: Any, now: Any) -> None:
    started = await signin.start_pending(host=A, path="/")
    result = await arrive(signin, idp, started)
    early, late = [await signin.hand_off(result.login, started.id) for _ in range(2)]
    now.forward(59)
    assert await signin.redeem(A, early.code, started.bind)
    now.forward(1)
    assert await refusal(signin.redeem(A, late.code, started.bind)) == "I014"


async def test_a_waiting_request_lives_ten_minutes(signin: SignIn, idp: Any, now: Any) -> None:
    started = await signin.start_pending(host=A, path="/", method="POST", body=b"x")
    result = await arrive(signin, idp, started)
    now.forward(600)
    assert await refusal(signin.hand_off(result.login, started.id)) == "I011"
    assert await refusal(signin.begin(started.id)) == "I011"
    for unknown in ("x", "a" * 43):
        assert await refusal(signin.begin(unknown)) == "I011"


async def test_a_waiting_request_is_answered_once(signin: SignIn, idp: Any) -> None:
    started = await signin.start_pending(host=A, path="/", method="POST", body=b"x")
    result = await arrive(signin, idp, started)
    first, second = [await signin.hand_off(result.login, started.id) for _ in range(2)]
    assert await signin.redeem(A, first.code, started.bind)
    assert await refusal(signin.redeem(A, second.code, started.bind)) == "I011"


OPEN_REDIRECTS = [
    "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "https:evil",
    "//evil.example/%2f..", "/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "/\x0b/evil.example",
    " //evil.example", "javascript:alert(1)", "data:text/html,x", "evil.example", "", "@evil.example", "//@evil.test",
    "/\u3000/evil.example", "/a\r\nSet-Cookie: a=b", "/\\/evil.example", "//evil%E3%80%82example", "/é", "/ a",
]  # fmt: skip


@pytest.mark.parametrize("path", OPEN_REDIRECTS)
async def test_addresses_elsewhere_are_not_returned_to(signin: SignIn, path: str) -> None:
    assert await refusal(signin.start_pending(host=A, path=path)) == "I010"


async def test_a_fragment_comes_back(signin: SignIn, idp: Any) -> None:
    started = await signin.start_pending(host=A, path="/wiki?x")
    await signin.remember_fragment(started.id, "section/2")
    await signin.remember_fragment(started.id, "bad\r\nfragment")
    await signin.remember_fragment("unknown", "x")
    result = await arrive(signin, idp, started)
    assert (await enter(signin, result, started)).pending.target == "/wiki?x#section/2"


# --- what the provider sends back -------------------------------------------------------------------------------------


async def test_an_answer_counts_once(signin: SignIn, idp: Any) -> None:
    begun = await signin.begin()
    params = idp.arrive(begun.url)
    assert await signin.callback(begun.cookie, params)
    assert await refusal(signin.callback(begun.cookie, params)) == "I012"


async def test_an_answer_that_fails_counts_too(signin: SignIn, idp: Any) -> None:
    begun = await signin.begin()
    params = idp.arrive(begun.url)
    idp.claims = {"exp": 1}
    assert await refusal(signin.callback(begun.cookie, params)) == "T014"
    idp.claims = {}
    assert await refusal(signin.callback(begun.cookie, params)) == "I012"


async def test_an_answer_in_another_browser(signin: SignIn, idp: Any) -> None:
    """Login CSRF: the attacker's answer is put into the victim's browser."""
    for cookie in (None, "", "y" * 43):
        begun = await signin.begin()
        assert await refusal(signin.callback(cookie, idp.arrive(begun.url))) == "I013"
    assert not any(path.endswith("token") for path in idp.seen)


@pytest.mark.parametrize("params", [{}, {"code": "c"}, {"state": ""}, {"state": "unknown", "code": "c"}])
async def test_answers_to_nothing(signin: SignIn, params: dict[str, str]) -> None:
    assert await refusal(signin.callback("x" * 43, params)) == "I012"


async def test_an_answer_after_ten_minutes(signin: SignIn, idp: Any, now: Any) -> None:
    begun = await signin.begin()
    now.forward(600)
    assert await refusal(signin.callback(begun.cookie, idp.arrive(begun.url))) == "I012"


async def test_two_tabs_at_once(signin: SignIn, idp: Any) -> None:
    one = await signin.start_pending(host=A, path="/one")
    two = await signin.start_pending(host=A, path="/two", bind=one.bind)
    assert two.bind == one.bind, "one pending cookie serves both"
    first = await signin.begin(one.id)
    second = await signin.begin(two.id, flow_cookie=first.cookie)
    assert second.cookie == first.cookie, "one flow cookie serves both"
    second_params, second_nonce = idp.arrive(second.url), idp.nonce
    first_params = idp.arrive(first.url)
    done = await signin.callback(first.cookie, first_params)
    idp.nonce = second_nonce
    again = await signin.callback(first.cookie, second_params, login_cookie=done.cookie)
    assert again.login.key == done.login.key
    entered = await enter(signin, done, one)
    other = await enter(signin, again, two, previous=entered.cookie)
    assert (entered.pending.path, other.pending.path) == ("/one", "/two")
    assert await signin.session_for(A, other.cookie)
    assert await signin.session_for(A, entered.cookie), "what is under way in the first tab goes on"


async def test_malformed_cookies_are_not_shared(signin: SignIn) -> None:
    for bad in ("", "x", "a; b", "\r\n"):
        assert (await signin.start_pending(host=A, path="/", bind=bad)).bind != bad
        assert (await signin.begin(flow_cookie=bad)).cookie != bad


async def test_fixation(signin: SignIn, idp: Any, now: Any) -> None:
    """Whatever the browser came with, it leaves with new ids, and the old login cookie is dead."""
    result, redeemed = await sign_in(signin, idp)
    again = await arrive(signin, idp, cookie=result.cookie)
    assert again.cookie != result.cookie
    assert await signin.login_for(result.cookie) is None
    assert await signin.login_for(again.cookie)
    planted = await arrive(signin, idp, cookie="p" * 43)
    assert planted.cookie != "p" * 43
    assert await signin.login_for("p" * 43) is None
    started = await signin.start_pending(host=A, path="/")
    fresh = await enter(signin, again, started, previous=redeemed.cookie)
    assert fresh.cookie != redeemed.cookie
    now.forward(RETIRED)
    assert await signin.session_for(A, redeemed.cookie) is None
    assert await signin.session_for(A, fresh.cookie)


async def test_a_retired_cookie_is_not_prolonged_by_use(signin: SignIn, idp: Any, now: Any) -> None:
    result, old = await sign_in(signin, idp)
    now.forward(40)
    started = await signin.start_pending(host=A, path="/")
    await enter(signin, result, started, previous=old.cookie)
    for _ in range(5):
        assert await signin.session_for(A, old.cookie)
        now.forward(RETIRED / 5)
    assert await signin.session_for(A, old.cookie) is None


async def test_another_person_ends_the_login_before(signin: SignIn, idp: Any) -> None:
    result, redeemed = await sign_in(signin, idp)
    assert await signin.session_for(A, redeemed.cookie)
    idp.claims = {"oid": "oid-eve", "sub": "pairwise-eve"}
    eve = await arrive(signin, idp, cookie=result.cookie)
    assert eve.login.record.user.id.endswith("oid-eve")
    assert signin.cached(A, redeemed.cookie) is None
    assert await signin.session_for(A, redeemed.cookie) is None
    started = await signin.start_pending(host=A, path="/")
    assert await signin.session_for(A, (await enter(signin, eve, started, previous=redeemed.cookie)).cookie)


async def test_another_persons_session_on_a_host_ends_when_replaced(signin: SignIn, idp: Any) -> None:
    _, ada = await sign_in(signin, idp)
    idp.claims = {"oid": "oid-eve", "sub": "pairwise-eve"}
    started = await signin.start_pending(host=A, path="/")
    result = await arrive(signin, idp, started)
    await enter(signin, result, started, previous=ada.cookie)
    assert await signin.session_for(A, ada.cookie) is None


# --- step-up ----------------------------------------------------------------------------------------------------------


async def test_step_up(signin: SignIn, idp: Any) -> None:
    result, redeemed = await sign_in(signin, idp)
    _, elsewhere = await sign_in(signin, idp, host=B)
    started = await signin.start_pending(host=A, path="/secret", contexts=["c2"])
    login = await signin.login_for(result.cookie)
    pending = await signin.pending(started.id)
    assert login is not None and pending is not None
    assert not signin.suffices(login, pending)
    assert await refusal(signin.hand_off(login, started.id)) == "T016"

    begun = await signin.begin(started.id)
    assert '"essential":true,"value":"c2"' in parse_qs(urlsplit(begun.url).query)["claims"][0]
    assert await refusal(signin.callback(begun.cookie, idp.arrive(begun.url), login_cookie=result.cookie)) == "T016"
    assert await signin.session_for(A, redeemed.cookie), "a refused step-up leaves the session as it was"
    assert await signin.session_for(B, elsewhere.cookie)

    idp.claims = {"acrs": ["c2"], "groups": ["other"]}
    stepped = await arrive(signin, idp, started, cookie=result.cookie)
    assert stepped.login.key == login.key
    assert signin.cached(A, redeemed.cookie) is None, "caches are void"
    session = await signin.session_for(A, redeemed.cookie)
    assert session is not None
    assert (set(session.auth_contexts), set(session.user.groups)) == ({"c2"}, {"other"}), "replaced, not merged"
    assert session.device.tags == frozenset()
    assert session.expires == redeemed.session.expires, "the end stays where it was"
    assert (await enter(signin, stepped, started)).pending.path == "/secret"


async def test_parallel_step_ups(signin: SignIn, idp: Any) -> None:
    result, _ = await sign_in(signin, idp)
    idp.claims = {"acrs": ["c2", "c3"]}
    one = await signin.start_pending(host=A, path="/1", contexts=["c2"])
    two = await signin.start_pending(host=A, path="/2", contexts=["c3"], bind=one.bind)
    first = await arrive(signin, idp, one, cookie=result.cookie)
    second = await arrive(signin, idp, two, cookie=first.cookie)
    assert first.login.key == second.login.key
    assert (await enter(signin, second, two)).pending.path == "/2"
    assert (await enter(signin, first, one)).pending.path == "/1"


async def test_an_app_with_a_provider_of_its_own(signin: SignIn, idp: Any) -> None:
    result, _ = await sign_in(signin, idp)
    started = await signin.start_pending(host=B, path="/", provider="other")
    assert await refusal(signin.hand_off(result.login, started.id)) == "T016"
    assert await refusal(signin.begin(started.id)) == "I017"
    assert await refusal(signin.begin("", "unknown")) == "I017"


async def test_without_providers(store: Any, now: Any) -> None:
    empty = SignIn(store=store, providers=[], login_host=LOGIN, clock=now)
    with pytest.raises(ConfigError):
        await empty.begin()


# --- bodies -----------------------------------------------------------------------------------------------------------

BODY = b'--x\r\nContent-Disposition: form-data; name="f"\r\n\r\n\x00\xff\r\n--x--\r\n'


async def test_a_body_survives_byte_for_byte(signin: SignIn, idp: Any) -> None:
    kind = 'multipart/form-data; boundary="x"'
    _, redeemed = await sign_in(signin, idp, path="/up?d=1", method="POST", body=BODY, content_type=kind)
    session, pending = redeemed.session, redeemed.pending
    assert not pending.body_lost
    token = await signin.keep_body(session, pending)
    assert token is not None
    resumed = await signin.resume(session, A, "/up?d=1", token)
    assert (resumed.method, resumed.content_type, resumed.body) == ("POST", kind, BODY)
    assert await refusal(signin.resume(session, A, "/up?d=1", token)) == "I016"


@pytest.mark.parametrize("wrong", ["host", "path", "session", "late", "token"])
async def test_a_body_goes_where_it_was_meant_to(signin: SignIn, idp: Any, now: Any, wrong: str) -> None:
    _, redeemed = await sign_in(signin, idp, path="/up", method="POST", body=BODY)
    _, other = await sign_in(signin, idp)
    token = await signin.keep_body(redeemed.session, redeemed.pending)
    assert token is not None
    if wrong == "late":
        now.forward(60)
    attempt = signin.resume(
        other.session if wrong == "session" else redeemed.session,
        B if wrong == "host" else A,
        "/other" if wrong == "path" else "/up",
        "x" * 43 if wrong == "token" else token,
    )
    assert await refusal(attempt) == "I016"


async def test_no_body_no_token(signin: SignIn, idp: Any) -> None:
    _, redeemed = await sign_in(signin, idp)
    assert await signin.keep_body(redeemed.session, redeemed.pending) is None


async def test_bodies_that_are_too_large_are_left_out(signin: SignIn, idp: Any) -> None:
    limit = SessionLimits().resume_body
    for size, lost in ((limit, False), (limit + 1, True)):
        started = await signin.start_pending(host=A, path="/", method="POST", body=b"x" * size)
        pending = await signin.pending(started.id)
        assert pending is not None
        assert (pending.body_lost, pending.body is None) == (lost, lost)


async def test_strangers_cannot_fill_the_store(
    store: Any, now: Any, make_provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casb.connectors.signin.BODIES", 10)
    signin = SignIn(store=store, providers=[make_provider()], login_host=LOGIN, clock=now, monotonic=now.monotonic)
    kept = []
    for _ in range(4):
        pending = await signin.pending((await signin.start_pending(host=A, path="/", body=b"12345")).id)
        assert pending is not None
        kept.append(pending.body is not None)
        now.forward(1)
    assert kept == [True, True, False, False]
    now.forward(598)
    pending = await signin.pending((await signin.start_pending(host=A, path="/", body=b"12345")).id)
    assert pending is not None
    assert pending.body == b"12345", "there is room again"


# --- sessions ---------------------------------------------------------------------------------------------------------


async def test_cookies_are_good_on_their_host_alone(signin: SignIn, idp: Any) -> None:
    result, redeemed = await sign_in(signin, idp)
    assert await signin.session_for(A, redeemed.cookie)
    for host in (B, LOGIN, "", A.upper(), f"{A}.", f"{A}:443"):
        assert signin.cached(host, redeemed.cookie) is None
        assert await signin.session_for(host, redeemed.cookie) is None
    assert await signin.session_for(A, result.cookie) is None, "a login cookie is no app cookie"
    assert await signin.login_for(redeemed.cookie) is None, "and the other way round"


async def test_tampered_cookies(signin: SignIn, idp: Any) -> None:
    _, redeemed = await sign_in(signin, idp)
    good = redeemed.cookie
    other = "A" if good[0] != "A" else "B"
    for bad in (
        None,
        "",
        other + good[1:],
        good[:-1],
        good + "=",
        good + "A",
        good.swapcase(),
        "\ud800" * 43,
        "x" * 9999,
    ):
        assert await signin.session_for(A, bad) is None
        assert signin.cached(A, bad or "") is None
        assert await signin.sign_out(A, bad) is None
    assert await signin.session_for(A, good)


async def test_idle_end(signin: SignIn, idp: Any, now: Any) -> None:
    _, redeemed = await sign_in(signin, idp)
    for _ in range(3):
        now.forward(3599)
        assert await signin.session_for(A, redeemed.cookie), "use keeps it alive"
    now.forward(3600)
    assert await signin.session_for(A, redeemed.cookie) is None


async def test_use_of_one_app_keeps_the_login(signin: SignIn, idp: Any, now: Any) -> None:
    result, redeemed = await sign_in(signin, idp)
    now.forward(3000)
    assert await signin.session_for(A, redeemed.cookie)
    now.forward(3000)
    assert await signin.session_for(A, redeemed.cookie)
    started = await signin.start_pending(host=B, path="/")
    assert await signin.login_for(result.cookie) is None, "the login host's own cookie idled out"
    assert (await signin.session_for(A, redeemed.cookie)) is not None
    assert await signin.pending(started.id)


async def test_absolute_end(signin: SignIn, idp: Any, now: Any) -> None:
    result, redeemed = await sign_in(signin, idp)
    for _ in range(19):
        now.forward(1800)
        assert await signin.session_for(A, redeemed.cookie)
        assert await signin.login_for(result.cookie)
    now.forward(1799)
    assert await signin.session_for(A, redeemed.cookie)
    now.forward(1)
    assert signin.cached(A, redeemed.cookie) is None
    assert await signin.session_for(A, redeemed.cookie) is None
    assert await signin.login_for(result.cookie) is None


async def test_a_clock_that_jumps(signin: SignIn, idp: Any, now: Any) -> None:
    _, redeemed = await sign_in(signin, idp)
    assert await signin.session_for(A, redeemed.cookie)
    now.present = redeemed.session.expires
    assert signin.cached(A, redeemed.cookie) is None, "believed by the wall clock at once"
    assert await signin.session_for(A, redeemed.cookie) is None


async def test_cache(signin: SignIn, new_signin: NewSignIn, idp: Any, now: Any, store: Any) -> None:
    _, redeemed = await sign_in(signin, idp)
    assert signin.cached(A, redeemed.cookie) is None
    await signin.session_for(A, redeemed.cookie)
    assert signin.cached(A, redeemed.cookie)
    now.forward(5)
    assert signin.cached(A, redeemed.cookie) is None, "five seconds at most"
    elsewhere = new_signin()
    assert await elsewhere.session_for(A, redeemed.cookie)
    await signin.session_for(A, redeemed.cookie)
    await store.drop("child", b"other")
    assert signin.cached(A, redeemed.cookie), "dropping nothing changes nothing"
    assert await elsewhere.revoke_user(ADA)
    assert signin.cached(A, redeemed.cookie) is None, "another process revoked: void at once"
    assert await signin.session_for(A, redeemed.cookie) is None


async def test_a_revocation_during_a_look_up_is_not_forgotten(
    signin: SignIn, idp: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, redeemed = await sign_in(signin, idp)
    get = type(store).get

    async def slow(self: Any, kind: str, key: bytes) -> bytes | None:
        value: bytes | None = await get(self, kind, key)
        if kind == "login":
            await signin.revoke_user(ADA)
        return value

    monkeypatch.setattr(type(store), "get", slow)
    await signin.session_for(A, redeemed.cookie)
    assert signin.cached(A, redeemed.cookie) is None


async def test_sign_out_ends_every_host(signin: SignIn, new_signin: NewSignIn, idp: Any) -> None:
    result, on_a = await sign_in(signin, idp)
    started = await signin.start_pending(host=B, path="/")
    on_b = await enter(signin, result, started)
    other_browser, on_a_too = await sign_in(signin, idp)
    elsewhere = new_signin()
    for each in (signin, elsewhere):
        assert await each.session_for(A, on_a.cookie)
        assert await each.session_for(B, on_b.cookie)
    record = await signin.sign_out(A, on_a.cookie)
    assert record is not None
    assert record.user.id == ADA
    for each in (signin, elsewhere):
        for host, cookie in ((A, on_a.cookie), (B, on_b.cookie)):
            assert each.cached(host, cookie) is None
            assert await each.session_for(host, cookie) is None
        assert await each.login_for(result.cookie) is None
        assert await each.session_for(A, on_a_too.cookie), "another browser goes on"
    assert await signin.sign_out(A, on_a.cookie) is None
    late = await signin.start_pending(host=B, path="/")
    handed = await signin.hand_off(result.login, late.id)
    assert await refusal(signin.redeem(B, handed.code, late.bind)) == "I011", "a login that ended opens nothing"
    url = await signin.end_session_url(record, "https://login.casb.test/.casb/signed-out")
    assert url is not None
    assert url.startswith("https://idp.test/logout?client_id=client-1&")
    assert other_browser.login.key != result.login.key


@pytest.mark.parametrize("how", ["user", "session", "sid"])
async def test_revocation(signin: SignIn, idp: Any, how: str) -> None:
    result, redeemed = await sign_in(signin, idp)
    assert await signin.session_for(A, redeemed.cookie)
    for nothing in (signin.revoke_user("x"), signin.revoke_session("x"), signin.revoke_sid("entra", "")):
        assert await nothing == 0
    assert await signin.revoke_sid("other", "idp-session-1") == 0, "another provider's session"
    assert signin.cached(A, redeemed.cookie)
    ways: dict[str, Callable[[], Any]] = {
        "user": lambda: signin.revoke_user(ADA),
        "session": lambda: signin.revoke_session(redeemed.session.id),
        "sid": lambda: signin.revoke_sid("entra", "idp-session-1"),
    }
    assert await ways[how]() == 3, "the login, its own cookie, the app's"
    assert await signin.session_for(A, redeemed.cookie) is None
    assert await signin.login_for(result.cookie) is None


def logout_token(idp: Any, header: dict[str, Any] | None = None, **changes: Any) -> str:
    present = int(idp.now.present.timestamp())
    members = {"iss": BASE, "aud": "client-1", "tid": TENANT, "iat": present, "exp": present + 120, "jti": "j1"}
    members |= {"sid": "idp-session-1", "events": {LOGOUT_EVENT: {}}} | changes
    token: str = idp.sign(
        {name: value for name, value in members.items() if value is not None},
        **({"typ": "logout+jwt"} | (header or {})),
    )
    return token


@pytest.mark.parametrize("changes", [{}, {"sid": None, "sub": "pairwise-ada"}])
async def test_backchannel_logout(signin: SignIn, idp: Any, changes: dict[str, Any]) -> None:
    _, redeemed = await sign_in(signin, idp)
    token = logout_token(idp, **changes)
    assert await signin.backchannel_logout("entra", token) == 3
    assert await signin.session_for(A, redeemed.cookie) is None
    _, again = await sign_in(signin, idp)
    assert await refusal(signin.backchannel_logout("entra", token)) == "T018", "a replay"
    assert await signin.session_for(A, again.cookie)


@pytest.mark.parametrize(
    ("changes", "header", "code"),
    [
        ({"aud": "client-2"}, {}, "T013"),
        ({"nonce": "n"}, {}, "T018"),
        ({}, {"alg": "none"}, "T005"),
        ({}, {"typ": "JWT"}, "T006"),
        ({"iss": "https://evil.example"}, {}, "T012"),
    ],
)
async def test_bad_logout_tokens(
    signin: SignIn, idp: Any, changes: dict[str, Any], header: dict[str, Any], code: str
) -> None:
    _, redeemed = await sign_in(signin, idp)
    token = logout_token(idp, {name: value for name, value in header.items() if name != "alg"}, **changes)
    if header.get("alg") == "none":
        head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"logout+jwt","kid":"key-1"}').rstrip(b"=").decode()
        token = f"{head}.{token.split('.')[1]}.AAAA"
    assert await refusal(signin.backchannel_logout("entra", token)) == code
    assert await refusal(signin.backchannel_logout("nobody", token)) == "I017"
    assert await signin.session_for(A, redeemed.cookie)


async def test_a_logout_token_finds_its_provider(store: Any, now: Any, make_provider: Any, idp: Any) -> None:
    stranger = make_provider(id="other", client_id="client-2")
    providers = [stranger, make_provider()]
    signin = SignIn(store=store, providers=providers, login_host=LOGIN, clock=now, monotonic=now.monotonic)
    begun = await signin.begin("", "entra")
    assert await signin.callback(begun.cookie, idp.arrive(begun.url))
    assert await refusal(signin.backchannel_logout("", logout_token(idp, aud="client-3"))) == "T013"
    assert await signin.backchannel_logout("", logout_token(idp)) == 2
    signin.providers = {}
    assert await refusal(signin.backchannel_logout("", logout_token(idp))) == "I017"


# --- when things are away ---------------------------------------------------------------------------------------------


async def test_the_provider_is_away_while_sessions_live(signin: SignIn, idp: Any, now: Any) -> None:
    result, redeemed = await sign_in(signin, idp)
    idp.down = True
    now.forward(3000)
    assert await signin.session_for(A, redeemed.cookie)
    started = await signin.start_pending(host=B, path="/")
    login = await signin.login_for(result.cookie)
    assert login is not None
    assert await signin.hand_off(login, started.id), "a second app needs no provider"
    with pytest.raises(ConnectorError):
        await arrive(signin, idp, started)


async def test_sign_out_works_without_the_provider(signin: SignIn, idp: Any, now: Any) -> None:
    _, redeemed = await sign_in(signin, idp)
    idp.down = True
    now.forward(3599)
    record = await signin.sign_out(A, redeemed.cookie)
    assert record is not None
    assert await signin.session_for(A, redeemed.cookie) is None


class Away:
    """A store that does not answer."""

    def epoch(self) -> int:
        return 1

    def __getattr__(self, name: str) -> Any:
        async def fail(*_: Any, **__: Any) -> None:
            raise StoreError("S051", "away")

        return fail


async def test_the_store_is_away(now: Any, make_provider: Any) -> None:
    store: Any = Away()
    signin = SignIn(store=store, providers=[make_provider()], login_host=LOGIN, clock=now)
    assert signin.cached(A, "x" * 43) is None
    for attempt in (
        signin.session_for(A, "x" * 43),
        signin.login_for("x" * 43),
        signin.start_pending(host=A, path="/"),
        signin.begin(),
        signin.callback("x" * 43, {"state": "s", "code": "c"}),
        signin.redeem(A, "x" * 43, "x" * 43),
        signin.sign_out(A, "x" * 43),
        signin.revoke_user("x"),
    ):
        with pytest.raises(StoreError):
            await attempt


async def test_many_sign_ins_at_once(signin: SignIn, idp: Any) -> None:
    started = [await signin.start_pending(host=A, path=f"/{n}") for n in range(20)]
    result = await arrive(signin, idp, started[0])
    entered = await asyncio.gather(*(enter(signin, result, each) for each in started))
    assert [each.pending.path for each in entered] == [f"/{n}" for n in range(20)]
    assert len({each.cookie for each in entered}) == 20
    assert await signin.revoke_user(ADA) == 22


# --- parsing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("code=a&state=b", {"code": "a", "state": "b"}),
        ("code=a%2Bb+c&state=", {"code": "a+b c", "state": ""}),
        ("error=access_denied", {"error": "access_denied"}),
        ("", None),
        ("code=a&code=b&state=c", None),
        ("state=a&state=a", None),
        ("code=%ff", None),
        ("&".join(f"a{n}=1" for n in range(30)), None),
        ("code=" + "a" * 20_000, None),
    ],
)
def test_answers(text: str, params: dict[str, str] | None) -> None:
    if params is not None:
        assert parse_answer(text) == params
        return
    with pytest.raises(TokenError) as caught:
        parse_answer(text)
    assert caught.value.code == "I018"


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_text_is_an_answer_or_refused(text: str) -> None:
    try:
        assert parse_answer(text)
    except TokenError as error:
        assert error.code == "I018"


# --- further hosts of an app ------------------------------------------------------------------------------------------


async def test_an_invitation_opens_one_host_once_for_its_inviter(signin: SignIn, idp: Any) -> None:
    result, redeemed = await sign_in(signin, idp)
    codes = await signin.invite(A, redeemed.cookie, [B, "api.casb.test"])
    assert set(codes) == {B, "api.casb.test"}
    cookie = await signin.join(B, codes[B], A, "files")
    session = await signin.session_for(B, cookie)
    assert session is not None and session.id == redeemed.session.id
    assert await signin.session_for(A, cookie) is None
    assert await refusal(signin.join(B, codes[B], A, "files")) == "I015"
    await signin.end(result.login)
    assert await signin.session_for(B, cookie) is None


@pytest.mark.parametrize(("host", "inviter"), [(A, A), (B, B), (B, "evil.test"), (B, "")])
async def test_an_invitation_is_of_no_use_elsewhere(signin: SignIn, idp: Any, host: str, inviter: str) -> None:
    _, redeemed = await sign_in(signin, idp)
    codes = await signin.invite(A, redeemed.cookie, [B])
    assert await refusal(signin.join(host, codes[B], inviter, "files")) == "I015"
    assert await refusal(signin.join(B, codes[B], A, "files")) == "I015", "one try"


async def test_an_invitation_is_no_hand_off_and_needs_a_session(signin: SignIn, idp: Any) -> None:
    _, redeemed = await sign_in(signin, idp)
    codes = await signin.invite(A, redeemed.cookie, [B])
    started = await signin.start_pending(host=B, path="/")
    assert await refusal(signin.redeem(B, codes[B], started.bind)) == "I014"
    assert await signin.invite(B, redeemed.cookie, [B]) == {}
    assert await signin.invite(A, "x" * 43, [B]) == {}


async def test_who_has_a_page_open_is_known_until_the_login_ends(signin: SignIn, idp: Any, now: Any) -> None:
    result, redeemed = await sign_in(signin, idp)
    key = b"k" * 32
    assert await signin.vouched(key) is None
    await signin.vouch(A, redeemed.cookie, key, ttl=60)
    session = await signin.vouched(key)
    assert session is not None and session.id == redeemed.session.id
    await signin.vouch(B, redeemed.cookie, b"o" * 32, ttl=60)
    assert await signin.vouched(b"o" * 32) is None
    await signin.end(result.login)
    assert await signin.vouched(key) is None
