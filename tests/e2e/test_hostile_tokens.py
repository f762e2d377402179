"""Tokens and codes that must not make a session, through a whole sign-in at a real worker."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy_world import APP_HOST, FETCH, SUFFIX
from wire_world import LOGIN, SECRET, WIKI, Browser, HostileProvider, Site, nothing_leaked, onward, refused, site

OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
type Mint = Callable[[HostileProvider, dict[str, Any]], str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("tokens")) as made:
        made.proxy.origin.page("/", b"<html><head></head>the app</html>", content_type="text/html")
        yield made


@pytest.fixture
def here(world: Site) -> Iterator[Site]:
    yield world
    world.idp.reset()


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def forged(idp: HostileProvider, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, OTHER_KEY, "RS256", headers={"kid": "key-1"})


def altered(idp: HostileProvider, claims: dict[str, Any]) -> str:
    head, _, signature = idp.sign(claims).split(".")
    return f"{head}.{part({**claims, 'oid': 'oid-admin'})}.{signature}"


def unsigned(idp: HostileProvider, claims: dict[str, Any], alg: str = "none") -> str:
    return f"{part({'alg': alg, 'typ': 'JWT', 'kid': 'key-1'})}.{part(claims)}."


def symmetric(idp: HostileProvider, claims: dict[str, Any]) -> str:
    """HS256 with the public key as the secret."""
    shape = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = idp.key.public_key().public_bytes(serialization.Encoding.PEM, shape)
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'key-1'})}.{part(claims)}"
    mac = hmac.new(pem, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def bent(**changes: Any) -> Mint:
    return lambda idp, claims: idp.sign({**claims, **changes})


def moved(seconds: int) -> Mint:
    def mint(idp: HostileProvider, claims: dict[str, Any]) -> str:
        return idp.sign({**claims, **{name: claims[name] + seconds for name in ("iat", "nbf", "exp")}})

    return mint


@pytest.mark.parametrize(
    ("mint", "code"),
    [
        pytest.param(forged, "T010", id="signed with another key"),
        pytest.param(altered, "T010", id="payload exchanged after signing"),
        pytest.param(unsigned, "T002", id="alg none without a signature"),
        pytest.param(lambda idp, claims: unsigned(idp, claims) + "AAAA", "T005", id="alg none"),
        pytest.param(lambda idp, claims: unsigned(idp, claims, "nOnE") + "AAAA", "T005", id="alg nOnE"),
        pytest.param(symmetric, "T005", id="HS256 with the public key as secret"),
        pytest.param(moved(-7200), "T014", id="expired"),
        pytest.param(moved(7200), "T014", id="from the future"),
        pytest.param(bent(exp=int(time.time()) + 10**9), "T014", id="lives for decades"),
        pytest.param(bent(aud="somebody-else"), "T013", id="wrong audience"),
        pytest.param(bent(aud=["somebody-else", "and-more"]), "T011", id="several audiences"),
        pytest.param(bent(iss="https://evil.example/v2.0"), "T012", id="wrong issuer"),
        pytest.param(bent(tid="99999999-0000-4000-8000-000000000000"), "T012", id="another tenant"),
        pytest.param(bent(nonce="0" * 64), "T015", id="of another sign-in"),
        pytest.param(lambda idp, claims: idp.sign(claims, kid="key-2"), "T008", id="wrong kid"),
        pytest.param(lambda idp, claims: idp.sign(claims, kid="../../dev/null"), "T007", id="kid as a path"),
        pytest.param(lambda idp, claims: idp.sign(claims, typ="at+jwt"), "T006", id="an access token"),
        pytest.param(lambda idp, claims: idp.sign(claims, jku=f"{idp.base}/evil"), "T004", id="brings its own keys"),
        pytest.param(lambda idp, claims: "x" * 20_000, "T001", id="far too long"),
        pytest.param(lambda idp, claims: "not a token", "T002", id="no token at all"),
    ],
)
def test_a_bad_token_makes_no_session(here: Site, mint: Mint, code: str) -> None:
    here.idp.mint = lambda claims: mint(here.idp, claims)
    browser = here.browser()
    asked = len(here.proxy.origin.seen)
    answer = browser.open(here.url("/?secret=value-of-the-query"))
    record = refused(here.proxy, answer, 400, code)
    assert (record["activity"], record["source"]) == ("logon", "access control")
    assert record["client"]["ip"] == "127.0.0.1"
    assert code in answer.text, "the help desk gets the code as well"
    assert not any(each.domain == LOGIN and each.name == "__Host-casb_l" for each in browser.session.cookies)
    assert len(here.proxy.origin.seen) == asked, "the application was never asked"
    assert not any(each.path == "/evil" for each in here.idp.server.seen)
    token = here.idp.tokens[-2]
    pieces = [piece for piece in token.split(".") if len(piece) > 8]
    nothing_leaked(here.proxy, *pieces, SECRET, "value-of-the-query", *browser.secrets(), pages=(answer.text,))
    assert not any(piece in answer.text for piece in pieces)


def signed_in(here: Site, host: str = APP_HOST) -> Browser:
    browser = here.browser()
    answer = browser.open(here.url("/", host))
    assert answer.status_code == 200, answer.text
    return browser


def test_an_honest_token_does(here: Site) -> None:
    browser = signed_in(here)
    assert "the app" in browser.trail[-1].text
    here_codes = [grant for grant in here.idp.grants]
    nothing_leaked(here.proxy, *here.idp.tokens, *browser.secrets(), *here_codes, SECRET)


def callback_of(browser: Browser) -> str:
    return next(each.url for each in browser.trail if "/.casb/oidc/callback?" in each.url)


def test_a_callback_that_was_answered_before(here: Site) -> None:
    browser = signed_in(here)
    again = browser.send(callback_of(browser))
    refused(here.proxy, again, 400, "I012")
    assert "set-cookie" not in again.headers


def test_a_callback_carried_into_another_browser(here: Site) -> None:
    """Login CSRF: a victim's browser is sent the attacker's own answer."""
    attacker = here.browser()
    stopped = attacker.follow(attacker.send(here.url("/")), until="/.casb/oidc/callback")
    victim = here.browser()
    answer = victim.send(onward(stopped))
    refused(here.proxy, answer, 400, "I013")
    assert not list(victim.session.cookies)
    refused(here.proxy, attacker.follow(stopped), 400, "I012")


def test_the_providers_code_is_replayed_into_a_fresh_sign_in(here: Site) -> None:
    browser = signed_in(here)
    code = parse_qs(urlsplit(callback_of(browser)).query)["code"][0]
    other = here.browser()
    stopped = other.follow(other.send(here.url("/")), until="/.casb/oidc/callback")
    state = parse_qs(urlsplit(onward(stopped)).query)["state"][0]
    answer = other.send(f"{here.login}/.casb/oidc/callback?{urlencode({'code': code, 'state': state})}")
    refused(here.proxy, answer, 502, "I004")
    nothing_leaked(here.proxy, code, state, pages=(answer.text,))
    assert code not in answer.text


def test_a_code_replayed_at_a_provider_that_allows_it_brings_the_wrong_nonce(here: Site) -> None:
    browser = signed_in(here)
    code = parse_qs(urlsplit(callback_of(browser)).query)["code"][0]
    here.idp.generous = True
    other = here.browser()
    stopped = other.follow(other.send(here.url("/")), until="/.casb/oidc/callback")
    state = parse_qs(urlsplit(onward(stopped)).query)["state"][0]
    answer = other.send(f"{here.login}/.casb/oidc/callback?{urlencode({'code': code, 'state': state})}")
    refused(here.proxy, answer, 400, "T015")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "I018"),
        ("code=a&state=b", 400, "I012"),
        ("code=a&state=b&state=c", 400, "I018"),
        ("code=a&code=b&state=c", 400, "I018"),
        ("&".join(f"a{number}=1" for number in range(100)), 400, "I018"),
        ("state=%ff%fe&code=x", 400, "I018"),
        ("error=access_denied&error_description=<script>alert(1)</script>&state=b", 400, "I012"),
        ("x" * 20_000, 400, "I018"),
    ],
    ids=["nothing", "unknown", "two states", "two codes", "too many", "not UTF-8", "markup", "too long"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_malformed_callback(here: Site, method: str, query: str, status: int, code: str) -> None:
    browser = here.browser()
    if method == "GET":
        answer = browser.send(f"{here.login}/.casb/oidc/callback?{query}")
    else:
        headers = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-mode": "navigate"}
        headers |= {"sec-fetch-site": "same-origin", "origin": here.login, "accept": "text/html"}
        answer = browser.send(f"{here.login}/.casb/oidc/return", method="POST", headers=headers, data=query)
    refused(here.proxy, answer, status, code)
    assert "<script>alert" not in answer.text


def test_a_refusal_of_the_provider_is_told_without_its_words(here: Site) -> None:
    browser = here.browser()
    stopped = browser.follow(browser.send(here.url("/")), until="/.casb/oidc/callback")
    state = parse_qs(urlsplit(onward(stopped)).query)["state"][0]
    told = {"error": "access_denied", "error_description": "AADSTS53003: call +1 555 0100 <b>now</b>", "state": state}
    answer = browser.send(f"{here.login}/.casb/oidc/callback?{urlencode(told)}")
    refused(here.proxy, answer, 502, "I004")
    assert "AADSTS53003" in answer.text
    assert "555" not in answer.text


# ------------------------------------------------------------ our own hand-off code


def handed_off(here: Site, host: str = APP_HOST) -> tuple[Browser, str]:
    """A browser on its way back to the app, with the code still unused."""
    browser = here.browser()
    stopped = browser.follow(browser.send(here.url("/", host)), until="/.casb/session?code=")
    return browser, onward(stopped)


def test_our_code_is_worth_one_try(here: Site) -> None:
    browser, url = handed_off(here)
    assert browser.send(url).status_code == 303
    again = browser.send(url)
    refused(here.proxy, again, 400, "I014")
    assert "set-cookie" not in again.headers
    nothing_leaked(here.proxy, parse_qs(urlsplit(url).query)["code"][0])


def test_our_code_in_another_browser_is_worth_nothing_and_burnt(here: Site) -> None:
    browser, url = handed_off(here)
    thief = here.browser()
    refused(here.proxy, thief.send(url), 400, "I015")
    refused(here.proxy, browser.send(url), 400, "I014")


def test_our_code_on_another_host(here: Site) -> None:
    browser, url = handed_off(here)
    moved = url.replace(f"{APP_HOST}.", f"{WIKI}.")
    browser.send(here.url("/", WIKI))  # A binding cookie of that host's own does not help.
    refused(here.proxy, browser.send(moved), 400, "I015")
    assert browser.send(here.url("/", WIKI), headers=FETCH).status_code == 401


@pytest.mark.parametrize("code", ["x", "A" * 43, "A" * 5000, "..%2f..%2fetc", "%00", "A" * 42 + "%0d%0aSet-Cookie:a=b"])
def test_a_code_that_was_never_given_out(here: Site, code: str) -> None:
    answer = here.browser().send(here.url(f"/.casb/session?code={code}"))
    refused(here.proxy, answer, 400, "I014")
    assert "set-cookie" not in answer.headers
    assert SUFFIX in here.url()
