"""Signing in and out as people do it: forms under way, several tabs, other ways back, and every way to end it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from proxy_world import APP_HOST, FETCH, NAVIGATE, SUFFIX, Origin, reply, wait_for
from wire_world import (
    LOGIN,
    SECRET,
    WIKI,
    Browser,
    EntraSite,
    Site,
    entra_site,
    nothing_leaked,
    onward,
    refused,
    site,
)

BINARY = bytes(range(256)) * 40 + b"\r\n--almost-x--\r\n" + os.urandom(5000)
MULTIPART = (
    b'--x1\r\nContent-Disposition: form-data; name="note"\r\n\r\n\xc3\xa9 & = + %41\r\n'
    b'--x1\r\nContent-Disposition: form-data; name="f"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    + BINARY
    + b"\r\n--x1--\r\n"
)
FORMS = [
    pytest.param("application/x-www-form-urlencoded", b"a=1&b=%C3%A9+x&empty=&a=2&c=%00%ff", id="urlencoded"),
    pytest.param("application/x-www-form-urlencoded; charset=windows-1252", b"name=\xe9&x=~", id="another charset"),
    pytest.param("multipart/form-data; boundary=x1", MULTIPART, id="multipart with a binary file"),
    pytest.param("text/plain", b"a=1\r\nb=2\r\n", id="text"),
]
OWN_PAGE = {"sec-fetch-site": "same-origin"}


def serve(origin: Origin) -> None:
    """The application: a page, a form's target, and its own way out."""
    origin.page("/", b"<html><head></head>the app</html>", content_type="text/html")
    origin.page("/save", b"<html><head></head>saved</html>", content_type="text/html")
    origin.page("/bye", b"<html><head></head>good bye</html>", content_type="text/html")


def last_post(origin: Origin) -> Any:
    return next(each for each in reversed(origin.seen) if each.method == "POST")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("flows")) as made:
        serve(made.proxy.origin)
        serve(made.wiki)
        yield made


@pytest.fixture(scope="module")
def at_entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EntraSite]:
    with entra_site(tmp_path_factory.mktemp("entra")) as made:
        serve(made.proxy.origin)
        yield made


# ------------------------------------------------------------ what was being sent


@pytest.mark.e2e
@pytest.mark.parametrize(("kind", "body"), FORMS)
def test_a_form_survives_the_sign_in_at_entra(at_entra: EntraSite, kind: str, body: bytes) -> None:
    browser, origin = at_entra.browser(), at_entra.proxy.origin
    headers = {**NAVIGATE, **OWN_PAGE, "content-type": kind, "origin": at_entra.url("")}
    first = browser.send(at_entra.url("/save?draft=1&x=%2F"), method="POST", headers=headers, data=body)
    assert first.status_code == 303
    answer = at_entra.sign_in(browser, "ada@contoso.example", first)
    assert "saved" in answer.text
    seen = last_post(origin)
    assert (seen.path, seen.headers["content-type"], seen.headers["content-length"]) == (
        "/save?draft=1&x=%2F",
        kind,
        str(len(body)),
    )
    assert seen.body == body, "byte for byte"
    assert "__casb" not in str(seen)
    nothing_leaked(at_entra.proxy, SECRET, *browser.secrets())


@pytest.mark.parametrize(("kind", "body"), FORMS)
def test_a_form_survives_where_somebody_is_signed_in_elsewhere(here: Site, kind: str, body: bytes) -> None:
    browser = here.browser()
    browser.open(here.url("/", WIKI))
    headers = {**NAVIGATE, **OWN_PAGE, "content-type": kind, "origin": here.url("")}
    answer = browser.open(here.url("/save"), method="POST", headers=headers, data=body)
    assert "saved" in answer.text
    assert last_post(here.proxy.origin).body == body
    again = browser.send(answer.url, method="POST", headers={**headers, "content-type": "text/plain"}, data=b"other")
    refused(here.proxy, again, 409, "I016")
    assert last_post(here.proxy.origin).body == body, "the kept form is sent once"


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 1536 * 1024, 3 * 1024 * 1024])
def test_a_form_too_large_to_keep_is_said_to_be_lost(here: Site, size: int) -> None:
    """And never reaches the application in part."""
    browser = here.browser()
    asked = len(here.proxy.origin.seen)
    headers = {**NAVIGATE, **OWN_PAGE, "content-type": "text/plain", "origin": here.url("")}
    answer = browser.open(here.url("/save"), method="POST", headers=headers, data=os.urandom(size))
    assert "send it again" in answer.text
    assert len(here.proxy.origin.seen) == asked
    assert "saved" in browser.send(here.url("/save"), method="POST", headers=headers, data=b"small").text


def test_a_fetch_is_told_and_its_body_is_not_kept(here: Site) -> None:
    answer = here.browser().send(here.url("/save"), method="POST", headers=FETCH, data=b'{"a":1}')
    assert answer.status_code == 401
    told = answer.json()
    assert (told["casb"], told["url"]) == ("sign-in", here.url("/.casb/sign-in"))


# ------------------------------------------------------------ several tabs, other ways back


def test_two_tabs_sign_in_at_once(here: Site) -> None:
    browser = here.browser()
    asked = {name: browser.send(here.url(f"/?tab={name}")) for name in ("one", "two", "three")}
    half = {name: browser.follow(answer, until="/.casb/oidc/callback") for name, answer in asked.items()}
    for name in ("two", "one", "three"):
        end = browser.follow(half[name])
        assert (end.status_code, end.url) == (200, here.url(f"/?tab={name}"))
    assert browser.open(here.url("/", WIKI)).status_code == 200
    assert browser.send(here.url("/"), headers=FETCH).status_code == 200


def test_two_tabs_on_two_hosts_hand_off_interleaved(here: Site) -> None:
    browser = here.browser()
    half = [
        browser.follow(browser.send(here.url("/?deep=1", host)), until="/.casb/session?code=")
        for host in (APP_HOST, WIKI, APP_HOST)
    ]
    for stopped, host in zip(reversed(half), (APP_HOST, WIKI, APP_HOST), strict=True):
        end = browser.follow(stopped)
        assert (end.status_code, end.url) == (200, here.url("/?deep=1", host))


def test_an_answer_by_form_post(here: Site) -> None:
    """A cross-site POST brings none of our cookies: one form of ours fetches them."""
    browser = here.browser()
    login = browser.send(here.url("/?deep=form"))
    begun = browser.send(login.headers["location"])
    page = browser.send(onward(begun).replace("response_mode=query", "response_mode=form_post"))
    ours = browser.submit(page)
    assert "cookie" not in {name.lower() for name in ours.request.headers}
    assert (ours.status_code, "set-cookie" in ours.headers) == (200, False)
    end = browser.follow(browser.submit(ours))
    assert (end.status_code, end.url) == (200, here.url("/?deep=form"))


@pytest.mark.e2e
def test_entra_answers_by_form_post(at_entra: EntraSite) -> None:
    browser = at_entra.browser()
    login = browser.send(at_entra.url("/?deep=form"))
    begun = browser.send(login.headers["location"])
    page = browser.follow(browser.send(onward(begun).replace("response_mode=query", "response_mode=form_post")))
    answer = browser.follow(browser.submit(page, user="ada@contoso.example", mfa=""))
    ours = browser.submit(answer)
    assert ours.url == f"{at_entra.login}/.casb/oidc/callback"
    end = browser.follow(browser.submit(ours))
    assert (end.status_code, end.url) == (200, at_entra.url("/?deep=form"))


def test_a_posted_answer_from_elsewhere_is_not_believed_at_the_second_step(here: Site) -> None:
    browser = here.browser()
    stopped = browser.follow(browser.send(here.url("/")), until="/.casb/oidc/callback")
    fields = urlsplit(onward(stopped)).query
    headers = {**NAVIGATE, "sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    headers["content-type"] = "application/x-www-form-urlencoded"
    answer = browser.send(f"{here.login}/.casb/oidc/return", method="POST", headers=headers, data=fields)
    refused(here.proxy, answer, 403, "I020")


# ------------------------------------------------------------ every way to end it


def everywhere(here: Site) -> tuple[Browser, dict[str, str]]:
    """Signed in on both hosts; the cookies as they were."""
    browser = here.browser()
    assert browser.open(here.url("/")).status_code == 200
    assert browser.open(here.url("/", WIKI)).status_code == 200
    hosts = (f"{APP_HOST}.{SUFFIX}", f"{WIKI}.{SUFFIX}")
    return browser, {host: f"__Host-casb_s={browser.cookie('__Host-casb_s', host)}" for host in hosts}


def alive(here: Site, cookies: dict[str, str]) -> set[int]:
    return {here.proxy.ask("/", host=host, cookie=cookie, headers=FETCH).status for host, cookie in cookies.items()}


def test_signing_out_ends_it_on_every_host_and_at_the_provider(here: Site) -> None:
    browser, cookies = everywhere(here)
    login = browser.cookie("__Host-casb_l", LOGIN)
    assert alive(here, cookies) == {200}
    before = here.idp.signed_out
    answer = browser.submit(browser.send(here.url("/.casb/sign-out")))
    assert answer.headers["location"].startswith(f"{here.idp.base}/logout?")
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["post_logout_redirect_uri"] == [f"{here.login}/.casb/signed-out"]
    assert "clear-site-data" in answer.headers
    end = browser.follow(answer)
    assert "You are signed out" in end.text
    assert here.idp.signed_out == before + 1
    assert alive(here, cookies) == {401}
    page = here.proxy.ask("/", host=LOGIN, cookie=f"__Host-casb_l={login}", headers=NAVIGATE)
    assert "Signed in as" not in page.text
    assert not [each for each in browser.session.cookies if each.name in ("__Host-casb_l",)]
    nothing_leaked(here.proxy, login, *(cookie.partition("=")[2] for cookie in cookies.values()))


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
        {"sec-fetch-site": "same-site", "origin": f"https://{WIKI}.{SUFFIX}"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {},
    ],
)
def test_nobody_else_signs_a_person_out(here: Site, headers: dict[str, str]) -> None:
    browser, cookies = everywhere(here)
    for url in (here.url("/.casb/sign-out"), f"{here.login}/.casb/sign-out"):
        assert browser.send(url).status_code == 200, "a link asks only"
        answer = browser.send(url, method="POST", headers={**NAVIGATE, **headers})
        refused(here.proxy, answer, 403, "I020")
    assert alive(here, cookies) == {200}


@pytest.mark.e2e
def test_signing_out_at_entra(at_entra: EntraSite) -> None:
    browser = at_entra.browser()
    at_entra.sign_in(browser, "ada@contoso.example", browser.send(at_entra.url("/")))
    cookie = f"__Host-casb_s={browser.cookie('__Host-casb_s', at_entra.host)}"
    page = browser.follow(browser.submit(browser.send(at_entra.url("/.casb/sign-out"))))
    if page.url.startswith(at_entra.entra.base):
        page = browser.follow(browser.submit(page, logout="yes"))
    assert page.url == f"{at_entra.login}/.casb/signed-out"
    assert at_entra.proxy.ask("/", host=at_entra.host, cookie=cookie, headers=FETCH).status == 401
    again = browser.follow(browser.send(at_entra.url("/")))
    assert again.url.startswith(at_entra.entra.base), "Entra asks again who it is"


@pytest.mark.e2e
def test_entra_ends_sessions_through_the_back_channel(at_entra: EntraSite) -> None:
    browser, other = at_entra.browser(), at_entra.browser()
    at_entra.sign_in(browser, "ada@contoso.example", browser.send(at_entra.url("/")))
    at_entra.sign_in(other, "ben@contoso.example", other.send(at_entra.url("/")))
    assert browser.send(at_entra.url("/"), headers=FETCH).status_code == 200
    at_entra.entra.call("POST", "/sessions/revoke", {"user": "ada@contoso.example"})
    wait_for(lambda: browser.send(at_entra.url("/"), headers=FETCH).status_code == 401, "the session to end", 2)
    assert other.send(at_entra.url("/"), headers=FETCH).status_code == 200, "others go on"


def backchannel(here: Site, token: str) -> Any:
    """As a provider calls us: no cookies, no fetch metadata."""
    body = f"logout_token={token}".encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    path = "/.casb/oidc/backchannel-logout"
    return here.proxy.ask(path, method="POST", host=LOGIN, headers=headers, body=body)


def test_a_logout_token_ends_the_session_once_and_for_all_hosts(here: Site) -> None:
    _, cookies = everywhere(here)
    assert alive(here, cookies) == {200}
    token = here.idp.logout_token()
    assert backchannel(here, token).status == 200
    assert alive(here, cookies) == {401}
    again, fresh = everywhere(here)
    got = backchannel(here, token)
    assert (got.status, here.proxy.record(got.headers["x-casb-activity"])["reasons"][0]["code"]) == (400, "T018")
    assert alive(here, fresh) == {200}, "a replayed token ends nothing"
    nothing_leaked(here.proxy, *token.split("."), *again.secrets())


def test_bad_logout_tokens_end_nothing(here: Site) -> None:
    _, cookies = everywhere(here)
    idp = here.idp
    claims = idp.id_claims("n")
    good = idp.logout_token()
    bad = {
        "": "T002",
        "nonsense": "T002",
        idp.sign(claims): "T006",
        idp.sign(claims, typ="logout+jwt"): "T018",
        idp.logout_token(aud="another"): "T013",
        idp.logout_token(iss="https://evil.example"): "T012",
        idp.logout_token(exp=int(time.time()) - 3600, iat=int(time.time()) - 7200): "T014",
        idp.logout_token(events={}): "T018",
        idp.logout_token(nonce="x"): "T018",
        idp.logout_token(sid=None, sub=None): "T018",
        f"{good.rpartition('.')[0]}.{'A' * 342}": "T010",
    }
    for token, code in bad.items():
        got = backchannel(here, token)
        record = here.proxy.record(got.headers["x-casb-activity"])
        assert (got.status, record["reasons"][0]["code"]) == (400, code), (code, record["reasons"])
        assert got.json["activity"] == record["id"]
    assert alive(here, cookies) == {200}


@pytest.mark.parametrize("how", ["small", "streamed", "redirect"])
def test_the_apps_own_sign_out_ends_ours_without_a_loop(here: Site, how: str) -> None:
    """S49: `logout: [/bye]` in apps/files.yaml."""
    browser, cookies = everywhere(here)

    def bye(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        if how == "redirect":
            reply(handler, 302, b"", location=f"https://{APP_HOST}/after", set_cookie="app=; Max-Age=0")
        elif how == "streamed":
            reply(handler, 200, b"<p>good bye</p>" * 60_000, content_type="text/html")
        else:
            reply(handler, 200, b"<p>good bye</p>", content_type="text/html")

    here.proxy.origin.routes["/bye"] = bye
    here.proxy.origin.page("/after", b"<p>you have left</p>", content_type="text/html")
    answer = browser.send(here.url("/bye"))
    assert answer.status_code == (302 if how == "redirect" else 200)
    if how != "redirect":
        assert answer.text.count("good bye") == (1 if how == "small" else 60_000), "the app's own page arrives whole"
    assert alive(here, cookies) == {401}, "on every host"
    steps = len(browser.trail)
    end = browser.follow(answer) if how == "redirect" else browser.open(here.url("/after"))
    assert (end.status_code, "you have left" in end.text) == (200, True), "one sign-in, no loop"
    assert len(browser.trail) - steps < 8
    assert browser.send(here.url("/"), headers=FETCH).status_code == 200, "and the new session stays"


def test_a_stranger_on_the_way_out_does_not_loop(here: Site) -> None:
    here.proxy.origin.page("/bye", b"<p>good bye</p>", content_type="text/html")
    browser = here.browser()
    assert "good bye" in browser.open(here.url("/bye")).text
    assert browser.send(here.url("/"), headers=FETCH).status_code == 401
