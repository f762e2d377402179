"""Into the portal and out again: first run, local accounts, the identity provider, and who is kept out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from asgi_client import Client
from casb.errors import ConnectorError, TokenError
from casb.settings import Admins, Settings, Sidecar
from casb.sidecar.app import build_app
from casb.sidecar.services import Services
from casb.sidecar.signin import CODE_FILE, first_run_code
from portal_user import PASSWORD, csrf_in, set_up, sign_in
from sidecar_parts import Hands


def with_admins(services: Services, admins: Admins, public_url: str | None = None) -> Services:
    settings = replace(services.settings, sidecar=Sidecar(admins=admins, public_url=public_url))
    return replace(services, settings=settings)


def said(services: Services) -> list[tuple[str, str]]:
    return [(each.who, each.what) for each in services.portal.audit()]


def code_of(services: Services) -> str:
    code = first_run_code(services.settings, services.portal)
    assert code
    return code


# First run


def test_without_an_account_everything_leads_to_the_set_up(client: Client) -> None:
    assert client.get("/activities?user=ada").headers["location"] == "/sign-in?next=%2Factivities%3Fuser%3Dada"
    assert client.get("/sign-in").headers["location"] == "/set-up"


def test_the_code_makes_one_admin_and_then_nothing(client: Client, services: Services, tmp_path: Path) -> None:
    code = code_of(services)
    assert (tmp_path / CODE_FILE).stat().st_mode & 0o777 == 0o600
    assert code_of(services) == code  # a restart keeps it
    assert set_up(client, code).headers["location"] == "/"
    assert client.get("/").status_code == 200
    assert not (tmp_path / CODE_FILE).exists()
    assert first_run_code(services.settings, services.portal) is None
    stranger = Client(build_app(services), client.base_url)
    assert stranger.get("/set-up").headers["location"] == "/sign-in"
    stranger.close()
    assert said(services) == [("grace", "signed in"), ("grace", "first admin made")]


@pytest.mark.parametrize(
    ("changed", "status", "told"),
    [
        ({"code": "wrong"}, 401, "not the set-up code"),
        ({"code": ""}, 401, "not the set-up code"),
        ({"password": "short", "again": "short"}, 422, "at least 12"),
        ({"again": "something else entirely"}, 422, "differ"),
        ({"password": "aaaaaaaaaaaaaa", "again": "aaaaaaaaaaaaaa"}, 422, "repeats"),
        ({"password": "grace hopper 1906", "again": "grace hopper 1906"}, 422, "name"),
        ({"name": "a b"}, 422, "A name has"),
        ({"name": "<script>"}, 422, "A name has"),
        ({"csrf": "0" * 64}, 403, "expired"),
    ],
)
def test_a_set_up_that_does_not_work(
    client: Client, services: Services, changed: dict[str, str], status: int, told: str
) -> None:
    form = {"code": code_of(services), "name": "grace", "password": PASSWORD, "again": PASSWORD}
    form["csrf"] = csrf_in(client.get("/set-up"))
    response = client.post("/set-up", data={**form, **changed}, headers={"accept": "text/html"})
    assert response.status_code == status
    assert told in response.text
    assert services.portal.accounts() == []


def test_guessing_the_code_is_slowed_down(client: Client, services: Services, clock: Hands) -> None:
    for _ in range(5):
        assert set_up(client, "wrong").status_code == 401
    right = set_up(client, code_of(services))
    assert (right.status_code, right.headers["retry-after"]) == (429, "30")
    clock.now += timedelta(seconds=31)
    assert set_up(client, code_of(services)).status_code == 303


def test_an_emptied_code_file_lets_nobody_in(client: Client, services: Services, tmp_path: Path) -> None:
    page = client.get("/set-up")
    (tmp_path / CODE_FILE).write_text("\n")
    form = {"csrf": csrf_in(page), "code": "", "name": "eve", "password": PASSWORD, "again": PASSWORD}
    assert client.post("/set-up", data=form).status_code == 503
    assert services.portal.accounts() == []


# Local accounts


def test_in_and_out(grace: Client, services: Services) -> None:
    page = grace.get("/")
    cookie = next(each for each in grace.cookies.jar if each.name == "casb_admin")
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "strict"
    kept = cookie.value
    out = grace.post("/sign-out", data={"csrf": csrf_in(page)})
    assert out.headers["location"] == "/sign-in"
    assert "casb_admin" not in grace.cookies
    grace.cookies.set("casb_admin", kept or "", domain="127.0.0.1")
    assert grace.get("/").status_code == 303  # the session is dead, not only the cookie
    assert ("grace", "signed out") in said(services)


def test_signing_in_goes_on_to_the_page_and_changes_the_session(grace: Client) -> None:
    first = grace.cookies["casb_admin"]
    other = Client(grace._http._transport.app, grace.base_url)  # type: ignore[attr-defined] # the same application
    other.cookies.set("casb_admin", first, domain="127.0.0.1")
    assert other.get("/").status_code == 200
    other.cookies.clear()
    other.cookies.set("casb_admin", "f" * 43, domain="127.0.0.1")  # a fixed session id is never taken over
    response = sign_in(other, path="/activities?user=ada")
    assert response.headers["location"] == "/activities?user=ada"
    assert other.cookies["casb_admin"] not in (first, "f" * 43)
    other.close()


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/a\nb",
        "/ b",
        "",
        "a",
        "/\t/evil.example",
    ],
)
def test_nobody_is_sent_elsewhere(grace: Client, target: str) -> None:
    grace.cookies.clear()
    assert sign_in(grace, path=target).headers["location"] == "/"


def test_wrong_passwords_are_told_and_then_locked_out(grace: Client, services: Services, clock: Hands) -> None:
    grace.cookies.clear()
    for number in range(5):
        response = sign_in(grace, "grace" if number % 2 else "nobody", "wrong password 1")
        assert response.status_code == 401
        assert "Name or password is wrong" in response.text  # the same for both: names are not given away
    assert sign_in(grace).status_code == 429
    clock.now += timedelta(seconds=31)
    assert sign_in(grace, password="wrong password 1").status_code == 401
    clock.now += timedelta(seconds=31)
    assert sign_in(grace).status_code == 429
    clock.now += timedelta(seconds=60)
    assert sign_in(grace).status_code == 303
    failed = [who for who, what in said(services) if what == "sign-in failed"]
    assert sorted(set(failed)) == ["", "grace"]  # what is no name may be a password


def test_sessions_end_when_idle(grace: Client, clock: Hands) -> None:
    clock.now += timedelta(minutes=59)
    assert grace.get("/").status_code == 200
    clock.now += timedelta(minutes=61)
    assert grace.get("/").status_code == 303


def test_a_way_in_that_is_closed_closes_its_sessions(grace: Client, services: Services) -> None:
    cookie = grace.cookies["casb_admin"]
    closed = Client(build_app(with_admins(services, Admins(local=False))), grace.base_url)
    closed.cookies.set("casb_admin", cookie, domain="127.0.0.1")
    assert closed.get("/").status_code == 303
    page = closed.get("/sign-in")
    assert "No way to sign in is configured" in page.text
    assert (
        first_run_code(replace(services.settings, sidecar=Sidecar(admins=Admins(local=False))), services.portal) is None
    )
    closed.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 303, id="from our own page"),
        pytest.param({"origin": "http://127.0.0.1:8090"}, 303, id="that says so"),
        pytest.param({"origin": "http://evil.example"}, 403, id="from elsewhere"),
        pytest.param({"origin": "null"}, 403, id="from a sandbox"),
        pytest.param({"origin": "http://127.0.0.1:9999"}, 403, id="from another port"),
        pytest.param({"sec-fetch-site": "cross-site"}, 403, id="cross-site"),
        pytest.param({"sec-fetch-site": "same-site"}, 403, id="from a sibling"),
    ],
)
def test_forms_come_from_our_own_pages(grace: Client, headers: dict[str, str], status: int) -> None:
    csrf = csrf_in(grace.get("/"))
    assert grace.post("/sign-out", data={"csrf": csrf}, headers=headers).status_code == status


@pytest.mark.parametrize("csrf", ["", "0" * 64, "é"])
def test_forms_carry_their_token(grace: Client, csrf: str) -> None:
    assert grace.post("/sign-out", data={"csrf": csrf}).status_code == 403
    assert grace.get("/").status_code == 200


def test_other_content_types_are_no_forms(grace: Client) -> None:
    csrf = csrf_in(grace.get("/"))
    assert grace.post("/sign-out", content=f"csrf={csrf}", headers={"content-type": "text/plain"}).status_code == 415
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert grace.post("/sign-out", content=b"csrf=\xff&&&=", headers=form).status_code == 400


def test_led_here_from_elsewhere_one_reload_finds_the_strict_cookie(grace: Client) -> None:
    cookie = grace.cookies["casb_admin"]
    grace.cookies.clear()  # as the browser sends the request: without it
    page = grace.get("/activities/01JQ?a=b", headers={"sec-fetch-site": "cross-site"})
    assert page.status_code == 200
    assert '<meta http-equiv="refresh" content="0; url=/activities/01JQ?a=b">' in page.text
    assert grace.get("/", headers={"sec-fetch-site": "same-origin"}).headers["location"].startswith("/sign-in")
    grace.cookies.set("casb_admin", cookie, domain="127.0.0.1")
    assert grace.get("/", headers={"sec-fetch-site": "same-origin"}).status_code == 200


# The identity provider


@dataclass(frozen=True)
class Claims:
    username: str = "ada@contoso.example"
    subject: str = "subject"
    groups: tuple[str, ...] = ("casb-admins",)
    groups_known: bool = True


@dataclass
class Provider:
    """An identity provider that lets in whom tests say."""

    claims: Claims = field(default_factory=Claims)
    failure: Exception | None = None
    flows: list[Mapping[str, Any]] = field(default_factory=list)

    async def begin(self) -> tuple[str, dict[str, Any]]:
        if self.failure:
            raise self.failure
        return "https://idp.example/authorize?state=s", {"state": "s", "nonce": "n"}

    async def finish(self, flow: Mapping[str, Any], params: Mapping[str, str]) -> Claims:
        self.flows.append({**flow, "params": dict(params)})
        if params.get("state") != flow["state"]:
            raise TokenError("T015", "the answer belongs to another sign-in request")
        return self.claims


ENTRA = Admins(local=False, provider="entra", group="casb-admins")


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def browser(services: Services, provider: Provider) -> Iterator[Client]:
    app = build_app(with_admins(services, ENTRA, "https://portal.example"), provider)
    opened = Client(app, "https://portal.example")
    yield opened
    opened.close()


def test_with_the_provider(browser: Client, provider: Provider, services: Services) -> None:
    start = browser.get("/auth/start?next=/policies")
    assert start.headers["location"] == "https://idp.example/authorize?state=s"
    flow_cookie = next(each for each in browser.cookies.jar if each.name == "__Host-casb_flow")
    assert (flow_cookie.get_nonstandard_attr("SameSite"), flow_cookie.secure) == ("lax", True)
    back = browser.get("/auth/callback?code=c&state=s")
    assert back.status_code == 200  # not a redirect: the strict cookie would stay behind
    assert 'content="0; url=/policies"' in back.text
    cookie = next(each for each in browser.cookies.jar if each.name == "__Host-casb_admin")
    assert (cookie.get_nonstandard_attr("SameSite"), cookie.secure, cookie.path) == ("strict", True, "/")
    assert not cookie.domain_specified
    assert browser.get("/policies").status_code == 200
    assert provider.flows == [{"state": "s", "nonce": "n", "params": {"code": "c", "state": "s"}}]
    assert said(services) == [("ada@contoso.example", "signed in")]


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param(Claims(groups=()), id="in no group"),
        pytest.param(Claims(groups=("casb-admins-old", "CASB-ADMINS")), id="in groups of like names"),
        pytest.param(Claims(groups_known=False), id="groups that could not be found out"),
    ],
)
def test_only_the_admins_group_comes_in(
    browser: Client, provider: Provider, services: Services, claims: Claims
) -> None:
    provider.claims = claims
    browser.get("/auth/start")
    assert browser.get("/auth/callback?code=c&state=s").status_code == 403
    assert "__Host-casb_admin" not in browser.cookies
    assert said(services) == [("ada@contoso.example", "sign-in refused")]


def test_a_callback_belongs_to_the_browser_that_began_and_works_once(browser: Client) -> None:
    assert browser.get("/auth/callback?code=c&state=s").status_code == 400
    browser.get("/auth/start")
    flow = browser.cookies["__Host-casb_flow"]
    assert browser.get("/auth/callback?code=c&state=s").status_code == 200
    browser.cookies.clear()
    browser.cookies.set("__Host-casb_flow", flow, domain="portal.example")
    assert browser.get("/auth/callback?code=c&state=s").status_code == 400


def test_another_answer_is_refused(browser: Client, services: Services) -> None:
    browser.get("/auth/start")
    assert browser.get("/auth/callback?code=c&state=other").status_code == 403
    assert said(services) == [("", "sign-in failed")]


def test_a_provider_that_is_away(browser: Client, provider: Provider) -> None:
    provider.failure = ConnectorError("I001", "the identity provider does not answer in time")
    response = browser.get("/auth/start", headers={"accept": "text/html"})
    assert response.status_code == 502
    assert "does not answer in time" in response.text


def test_without_a_provider_there_is_no_such_path(client: Client) -> None:
    assert client.get("/auth/start").status_code == 404
    assert client.get("/auth/callback").status_code == 404


def test_settings_are_what_decides_about_the_first_run(tmp_path: Path, services: Services) -> None:
    settings = Settings(suffix="x.example", data=str(tmp_path), sidecar=Sidecar(admins=ENTRA))
    assert first_run_code(settings, services.portal) is None
