"""Our sign-in against the emulated Entra: MSAL, our own validation, step-up, rotation, revocation, over real TLS."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests
from demo_lib.idp import ClientRegistration, EmulatedEntra
from demo_lib.pki import DemoAuthority

from casb.connectors.oidc import OidcProvider
from casb.connectors.signin import LoginResult, SignIn, Started, parse_answer
from casb.errors import CasbError, ConnectorError, TokenError
from casb.model.identity import DeviceTag
from casb.settings import DeviceRules, Provider, Secret
from casb.store.sessions_sqlite import SqliteSessions

HOST, LOGIN_HOST = "files.casb.test", "login.casb.test"
CALLBACK = f"https://{LOGIN_HOST}/.casb/oidc/callback"
SIGNED_OUT = f"https://{LOGIN_HOST}/.casb/signed-out"
CLIENT_ID = "11111111-2222-4333-8444-555555555555"
SECRET = "a secret that only this test knows"

type Make = Callable[..., SignIn]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> DemoAuthority:
    return DemoAuthority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def running(authority: DemoAuthority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedEntra]:
    client = ClientRegistration(
        id=CLIENT_ID, secret=SECRET, redirect_uris=[CALLBACK], post_logout_redirect_uris=[SIGNED_OUT]
    )
    with EmulatedEntra.start(authority, [client], tmp_path_factory.mktemp("log") / "idp.log") as entra:
        yield entra


@pytest.fixture
def entra(running: EmulatedEntra) -> Iterator[EmulatedEntra]:
    yield running
    running.recover()
    running.set_user("ada@contoso.example", device="compliant")


@pytest.fixture
async def make(entra: EmulatedEntra, tmp_path: Path) -> AsyncIterator[Make]:
    providers: list[OidcProvider] = []
    stores: list[SqliteSessions] = []

    def sign_in(**changes: Any) -> SignIn:
        settings: dict[str, Any] = {
            "id": "entra",
            "kind": "entra",
            "authority": entra.issuer,
            "client_id": CLIENT_ID,
            "client_secret": Secret(SECRET),
            "ca": str(entra.ca),
            "domains": ("contoso.example",),
            "device": DeviceRules(compliant=("c1",), hybrid_joined=("c2",)),
        }
        provider = Provider(**(settings | changes))
        providers.append(OidcProvider(provider, redirect_uri=CALLBACK, clock=lambda: datetime.now(UTC)))
        stores.append(SqliteSessions(tmp_path / "data"))
        return SignIn(
            store=stores[-1], providers=providers[-1:], login_host=LOGIN_HOST, clock=lambda: datetime.now(UTC)
        )

    yield sign_in
    for provider in providers:
        await provider.close()
    for store in stores:
        store.close()


class Browser:
    """Follows redirects at the provider and fills in its page."""

    def __init__(self, entra: EmulatedEntra) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(entra.ca)

    def go(self, url: str, user: str, mfa: bool) -> dict[str, str]:
        answer = self.session.get(url, allow_redirects=False)
        for _ in range(12):
            if answer.is_redirect:
                location = urljoin(answer.url, answer.headers["Location"])
                if location.startswith(CALLBACK):
                    return parse_answer(urlsplit(location).query)
                answer = self.session.get(location, allow_redirects=False)
                continue
            action = re.search(r'<form method="post" action="([^"]+)"', answer.text)
            assert action is not None, answer.text
            fields = {"user": user, "mfa": "yes" if mfa else ""}
            answer = self.session.post(urljoin(answer.url, action[1]), data=fields, allow_redirects=False)
        raise AssertionError("too many redirects")


async def sign_in(
    signin: SignIn,
    browser: Browser,
    user: str = "ada@contoso.example",
    *,
    mfa: bool = False,
    cookie: str | None = None,
    **request: Any,
) -> tuple[LoginResult, Started]:
    started = await signin.start_pending(host=HOST, path="/x?y=1", **request)
    begun = await signin.begin(started.id)
    params = await asyncio.to_thread(browser.go, begun.url, user, mfa)
    return await signin.callback(begun.cookie, params, login_cookie=cookie), started


async def test_a_whole_sign_in(make: Make, entra: EmulatedEntra) -> None:
    signin = make()
    result, started = await sign_in(signin, Browser(entra))
    handed = await signin.hand_off(result.login, started.id)
    entered = await signin.redeem(HOST, handed.code, started.bind)
    session = await signin.session_for(HOST, entered.cookie)
    assert session is not None
    tenant = entra.tenants[0]["id"]
    assert re.fullmatch(rf"{tenant}/[0-9a-f-]{{36}}", session.user.id)
    assert (session.user.name, session.user.is_guest, len(session.user.groups)) == ("ada@contoso.example", False, 2)
    assert session.device.sources == {"compliant": "acrs:c1"}
    assert session.device.id

    record = await signin.sign_out(HOST, entered.cookie)
    assert record is not None
    url = await signin.end_session_url(record, SIGNED_OUT)
    assert url is not None
    assert parse_qs(urlsplit(url).query)["post_logout_redirect_uri"] == [SIGNED_OUT]
    assert await signin.session_for(HOST, entered.cookie) is None


@pytest.mark.parametrize(
    ("device", "tags"),
    [("compliant", {DeviceTag.COMPLIANT}), ("hybrid", {DeviceTag.HYBRID_JOINED}), ("unmanaged", set())],
)
async def test_devices(make: Make, entra: EmulatedEntra, device: str, tags: set[DeviceTag]) -> None:
    entra.set_user("ada@contoso.example", device=device)
    result, _ = await sign_in(make(), Browser(entra))
    assert result.login.record.device.tags == tags
    assert result.login.record.device.managed is bool(tags)


async def test_step_up(make: Make, entra: EmulatedEntra) -> None:
    signin, browser = make(), Browser(entra)
    result, _ = await sign_in(signin, browser)
    assert "c3" not in result.login.record.contexts
    stepped, started = await sign_in(signin, browser, mfa=True, cookie=result.cookie, contexts=["c3"])
    assert stepped.login.key == result.login.key
    assert {"c1", "c3"} <= stepped.login.record.contexts
    assert await signin.hand_off(stepped.login, started.id)


async def test_organizations_with_a_tenant_list(make: Make, entra: EmulatedEntra) -> None:
    contoso, fabrikam = (tenant["id"] for tenant in entra.tenants[:2])
    signin = make(authority=entra.organizations, tenants=(contoso,))
    result, _ = await sign_in(signin, Browser(entra))
    assert result.login.record.user.tenant == contoso
    with pytest.raises(TokenError) as caught:
        await sign_in(signin, Browser(entra), "finn@fabrikam.example")
    assert caught.value.code == "T012", "a tenant that is not on the list"
    both = make(authority=entra.organizations, tenants=(contoso, fabrikam))
    finn, _ = await sign_in(both, Browser(entra), "finn@fabrikam.example")
    assert (finn.login.record.user.tenant, finn.login.record.user.is_guest) == (fabrikam, True)


async def test_a_replayed_code(make: Make, entra: EmulatedEntra) -> None:
    signin = make()
    begun = await signin.begin()
    params = await asyncio.to_thread(Browser(entra).go, begun.url, "ada@contoso.example", False)
    assert await signin.callback(begun.cookie, params)
    again = await signin.begin()
    state = parse_qs(urlsplit(again.url).query)["state"][0]
    with pytest.raises(ConnectorError, match="invalid_grant"):
        await signin.callback(again.cookie, params | {"state": state})


async def test_rotated_keys(make: Make, entra: EmulatedEntra) -> None:
    await sign_in(make(), Browser(entra))
    entra.rotate_keys()
    assert (await sign_in(make(), Browser(entra)))[0].login.record.key


@pytest.mark.parametrize("path", ["openid-configuration", "/keys", "/token"])
@pytest.mark.parametrize("how", [{"status": 503}, {"bytes": 5_000_000}])
async def test_a_provider_in_trouble(make: Make, entra: EmulatedEntra, path: str, how: dict[str, int]) -> None:
    signin, browser = make(), Browser(entra)
    entra.fail(path, **how)
    with pytest.raises(CasbError) as caught:
        await sign_in(signin, browser)
    assert isinstance(caught.value, ConnectorError)
    assert SECRET not in str(caught.value)
