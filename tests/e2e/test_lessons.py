"""What published advisories of comparable products teach, where no other test says it: nothing goes past the session.

`tests/house/test_advisories.py` has the whole list.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from proxy_world import APP_HOST, FETCH, NAVIGATE, World, reply, world


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("lessons"), start=False) as made:
        apps = made.config / "apps" / "files.yaml"
        apps.write_text(apps.read_text() + "logout: [/bye]\n")
        made.origin.page("/", b"the app", content_type="text/plain")
        for path in ("/bye%23x", "/bye%3Fx", "/x/bye"):
            made.origin.routes[path] = lambda handler, _body: reply(handler, 200, b"the app")
        made.start()
        yield made


def unasked(proxy: World, path: str, headers: dict[str, str]) -> None:
    """The application is not asked, and nothing of it is seen."""
    before = len(proxy.origin.seen)
    got = proxy.ask(path, headers=headers)
    assert got.status in (303, 400, 401, 404), (path, got.status)
    assert b"the app" not in got.body
    assert len(proxy.origin.seen) == before


@pytest.mark.parametrize(
    "path",
    [
        "/?next=/.casb/guard.js",
        "/?/.casb/sign-out",
        "/x?.css",
        "/#/.casb/guard.js",
        "/%23/.casb/guard.js",
        "/.casb%2fguard.js/../../",
        "/.casb/../",
        "/.casb/guard.js/../../",
        "/.casb;/../",
        "/..;/.casb/guard.js",
        "//.casb/guard.js",
        "/.CASB/../",
        "/bye",
        "/healthz",
        "/readyz",
        "/metrics",
        "/ping",
        "/robots.txt",
        "/favicon.ico",
    ],
)
@pytest.mark.parametrize("headers", [NAVIGATE, FETCH], ids=["navigation", "fetch"])
def test_no_path_or_query_goes_past_the_session(proxy: World, path: str, headers: dict[str, str]) -> None:
    unasked(proxy, path, headers)


@pytest.mark.parametrize(
    "agent", ["GoogleHC/1.0", "kube-probe/1.30", "ELB-HealthChecker/2.0", "Prometheus/3", "curl/8", "", "Mozilla/5.0"]
)
def test_no_program_goes_past_the_session(proxy: World, agent: str) -> None:
    unasked(proxy, "/", {**NAVIGATE, "user-agent": agent})


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-uri": "/.casb/guard.js"},
        {"x-original-url": "/.casb/guard.js"},
        {"x-rewrite-url": "/.casb/guard.js"},
        {"x-forwarded-host": "login.casb.test"},
        {"x-forwarded-proto": "http"},
        {"x-forwarded-user": "ada@contoso.example"},
        {"x_forwarded_user": "ada@contoso.example"},
        {"x-auth-request-email": "ada@contoso.example"},
        {"authorization": "Bearer x"},
        {"x-forwarded-for": "127.0.0.1"},
        {"x-http-method-override": "OPTIONS"},
    ],
    ids=lambda each: next(iter(each)),
)
def test_no_header_goes_past_the_session(proxy: World, headers: dict[str, str]) -> None:
    unasked(proxy, "/", {**NAVIGATE, **headers})


@pytest.mark.parametrize("path", ["/.casb/debug", "/.casb/debug/pprof/", "/.casb/", "/.casb/env", "/.casb/metrics"])
def test_there_is_nothing_else_under_the_reserved_path(proxy: World, path: str) -> None:
    got = proxy.ask(path, headers=NAVIGATE, cookie=proxy.session())
    assert got.status == 404
    assert not proxy.origin.seen or proxy.origin.seen[-1].path != path


@pytest.mark.parametrize("path", ["/bye%23x", "/bye%3Fx", "/x/bye"])
def test_an_encoded_mark_widens_no_rule(proxy: World, path: str) -> None:
    """`/bye` ends the session; an address that only begins like it does not."""
    cookie = proxy.session()
    proxy.ask(path, headers=NAVIGATE, cookie=cookie)
    assert proxy.ask("/", headers=FETCH, cookie=cookie).status == 200


def test_cookies_by_the_hundred_and_long_ones(proxy: World) -> None:
    cookie = proxy.session()
    many = "; ".join(f"c{number}={'x' * 20}" for number in range(200))
    assert proxy.ask("/", headers=FETCH, cookie=f"{many}; {cookie}").status == 200
    assert proxy.ask("/", headers=FETCH, cookie=f"long={'x' * 5000}; {cookie}").status == 200
    assert "__Host-casb" not in proxy.origin.seen[-1].headers["cookie"]


@pytest.mark.parametrize(
    "tossed",
    [
        "{good}; __Host-casb_s={other}",
        "__Host-casb_s={other}; {good}",
        "casb_s={value}",
        "__host-casb_s={value}",
        "__Secure-casb_s={value}",
        "__Host-casb_s ={value}",
        "__Host-casb_l={value}",
    ],
)
def test_a_cookie_tossed_from_a_neighbour_is_no_session(proxy: World, tossed: str) -> None:
    good = proxy.session()
    cookie = tossed.format(good=good, value=good.partition("=")[2], other=secrets.token_urlsafe(32))
    assert proxy.ask("/", headers=FETCH, cookie=cookie).status == 401


def test_an_id_in_the_address_is_none(proxy: World) -> None:
    good = proxy.session().partition("=")[2]
    for path in (f"/?__Host-casb_s={good}", f"/;__Host-casb_s={good}", f"/?session={good}"):
        assert proxy.ask(path, headers=FETCH).status == 401


def test_apps_do_not_set_our_cookies_or_those_of_the_whole_suffix(proxy: World) -> None:
    proxy.origin.page("/set", b"x", set_cookie="__Host-casb_s=" + "a" * 43 + "; Path=/; Secure")
    assert not proxy.ask("/set", headers=FETCH, cookie=proxy.session()).cookies
    proxy.origin.page("/wide", b"x", set_cookie=f"a=b; Domain={APP_HOST}; Path=/")
    for each in proxy.ask("/wide", headers=FETCH, cookie=proxy.session()).cookies:
        assert "domain=casb.test" not in each.lower().replace(" ", "")
