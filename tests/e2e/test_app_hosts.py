"""An application of several hosts, a neighbour, and hosts that nobody owns, in a real browser through the suffix."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from playwright.sync_api import expect

from casb.lab.browser import View, playwright, view
from casb.lab.relay import Target
from casb.lab.stage import Application, Stage, stage
from casb.store.attach import attach
from casb.store.learned_sqlite import LearnedHosts
from proxy_world import Origin, reply, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
expect.set_options(timeout=30_000)

MAIN, API, STATIC, WILD = (
    "app.several.example",
    "api.several.example",
    "static.several.example",
    "t7.cdn.several.example",
)
NEXT, STRANGER = "docs.neighbour.example", "tracker.stranger.test"
GIF = bytes.fromhex("47494638396101000100800000ffffff00000021f90400000000002c00000000010001000002024401003b")
FONT = b"OTTO" + bytes(60)


@dataclass
class Scene:
    """The origin that answers for every host, and the browser."""

    at: Stage
    origin: Origin
    here: View


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Origin]]:
    folder = tmp_path_factory.mktemp("hosts")
    (folder / "origin").mkdir()
    with contextlib.closing(Origin(folder / "origin", MAIN)) as origin:
        target = Target(host="127.0.0.1", port=origin.port, verify=False)
        targets = {host: target for host in (MAIN, API, STATIC, WILD, STRANGER)}
        app = Application(
            id="several",
            name="Several",
            domains=(MAIN, API, STATIC, "*.cdn.several.example"),
            targets=targets,
            yaml="unknown_hosts: learn\n",
        )
        neighbour = Application(
            id="neighbour", name="Neighbour", domains=(NEXT,), targets={NEXT: target}, yaml="unknown_hosts: deny\n"
        )
        routes(origin)
        with stage(folder / "stage", [app, neighbour]) as at:
            yield at, origin


@pytest.fixture
def scene(base: tuple[Stage, Origin], tmp_path: Path) -> Iterator[Scene]:
    """A browser that has never been here."""
    at, origin = base
    origin.seen.clear()
    with (
        playwright() as running,
        view(running, at, "through", tmp_path / "profile", through=True, offline=True, patience=45) as here,
    ):
        yield Scene(at=at, origin=origin, here=here)


def routes(origin: Origin) -> None:
    def page(body: str, **headers: str) -> bytes:
        return f"<!doctype html><html><head><title>t</title></head><body>{body}</body></html>".encode()

    origin.page("/", page("<h1>Several</h1>"), content_type="text/html")
    origin.page(
        "/parts",
        page(
            f'<img id="i" src="https://{STATIC}/dot.gif"><img id="w" src="https://{WILD}/dot.gif">'
            f'<script src="https://{STATIC}/part.js"></script><link rel="stylesheet" href="https://{STATIC}/look.css">'
            f'<iframe id="f" src="https://{API}/frame"></iframe>'
        ),
        content_type="text/html",
    )
    origin.page("/unknown", page(f'<img src="https://{STRANGER}/dot.gif?q=secret"><p>x</p>'), content_type="text/html")
    origin.page(
        "/links", page(f'<a id="a" href="https://{NEXT}/deep/page?x=1&y=2#part">docs</a>'), content_type="text/html"
    )
    origin.page("/deep/page", page("<h1>Deep</h1>"), content_type="text/html")
    origin.page("/dot.gif", GIF, content_type="image/gif")
    origin.page("/part.js", b"window.part = 'loaded';", content_type="text/javascript")
    origin.page("/look.css", b"body { color: rgb(1, 2, 3) }", content_type="text/css")
    origin.page("/frame", page("<p>framed</p>"), content_type="text/html")

    def api(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        asked = handler.headers.get("origin") or ""
        allowed = {"access_control_allow_origin": asked, "access_control_allow_credentials": "true", "vary": "Origin"}
        if handler.command == "OPTIONS":
            allowed |= {
                "access_control_allow_methods": "PUT, POST",
                "access_control_allow_headers": "x-token, content-type",
            }
        reply(handler, 200, b'{"from": "%s"}' % asked.encode(), content_type="application/json", **allowed)

    def public(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        reply(handler, 200, b'"public"', content_type="application/json", access_control_allow_origin="*")

    def font(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        reply(handler, 200, FONT, content_type="font/otf", access_control_allow_origin="*")

    origin.routes |= {"/api": api, "/public": public, "/font.otf": font}


def fetched(here: View, url: str, **options: object) -> str:
    return str(
        here.page.evaluate(
            "([url, options]) => fetch(url, options).then(async (r) => r.status + ' ' + await r.text(), String)",
            [url, options],
        )
    )


def test_parts_of_a_page_come_from_hosts_never_visited(scene: Scene) -> None:
    here = scene.here
    here.page.goto(here.url(f"https://{MAIN}/parts"), wait_until="load")
    wait_for(lambda: here.page.evaluate("window.part || ''") == "loaded", "the script")
    assert here.page.evaluate("[i.naturalWidth, w.naturalWidth]") == [1, 1]
    assert here.page.evaluate("getComputedStyle(document.body).color") == "rgb(1, 2, 3)"
    assert here.page.frame_locator("#f").locator("p").inner_text() == "framed"
    assert here.escaped() == []


MARKED = {"x-casb-anonymous": "1"}
"""What the guard adds to a request that a page makes without credentials, and sends with credentials."""


@pytest.mark.parametrize("anonymous", [False, True])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_fetch_to_a_second_host_never_visited(scene: Scene, anonymous: bool, method: str) -> None:
    here = scene.here
    here.page.goto(here.url(f"https://{MAIN}/"))
    headers = dict(MARKED if anonymous else {})
    options: dict[str, object] = {"credentials": "include", "method": method, "headers": headers}
    if method == "PUT":
        headers["x-token"] = "t"
        options["body"] = "{}"
    assert (
        fetched(here, here.url(f"https://{API}/api"), **options) == f'200 {{"from": "{here.url(f"https://{MAIN}")}"}}'
    )
    asked = [each for each in scene.origin.seen if each.path == "/api" and each.method == method]
    assert asked[-1].headers["origin"] == f"https://{MAIN}"
    assert "casb" not in str([each.headers for each in scene.origin.seen])
    assert ("cookie" in asked[-1].headers) is False


@pytest.mark.parametrize("credentials", ["same-origin", "omit"])
def test_the_guard_marks_what_a_page_asks_without_credentials(scene: Scene, credentials: str) -> None:
    here = scene.here
    here.page.goto(here.url(f"https://{MAIN}/"))
    assert fetched(here, f"https://{API}/public", credentials=credentials) == '200 "public"'
    assert fetched(here, here.url(f"https://{API}/api"), credentials=credentials, method="PUT", body="{}").startswith(
        "200 "
    )
    by_old_way = (
        "url => new Promise((done) => { const x = new XMLHttpRequest(); x.open('GET', url); x.onloadend = () => "
        "done(x.status + ' ' + x.responseText); x.send(); })"
    )
    assert here.page.evaluate(by_old_way, f"https://{API}/public") == '200 "public"'


def test_an_anonymous_request_leaves_the_apps_cookies_behind(scene: Scene) -> None:
    here = scene.here
    here.page.goto(here.url(f"https://{API}/frame"))
    here.page.evaluate("() => { document.cookie = 'who=ada; path=/' }")
    here.page.goto(here.url(f"https://{MAIN}/"))
    url = here.url(f"https://{API}/public")
    assert fetched(here, url, credentials="include", headers=MARKED) == '200 "public"'
    assert "cookie" not in scene.origin.seen[-1].headers
    assert fetched(here, url, credentials="include") == "TypeError: Failed to fetch", "`*` admits no credentials"
    assert scene.origin.seen[-1].headers["cookie"] == "who=ada"


def test_a_font_of_a_second_host(scene: Scene) -> None:
    here = scene.here
    here.page.goto(here.url(f"https://{MAIN}/"))
    load = "url => { new FontFace('t', `url(${url})`).load().catch(() => 0) }"
    here.page.evaluate(load, here.url(f"https://{STATIC}/font.otf"))
    asked = wait_for(lambda: [each for each in scene.origin.seen if each.path == "/font.otf"], "the font")
    assert asked[0].headers["origin"] == f"https://{MAIN}"


def test_what_is_no_static_part_is_refused_to_strangers(scene: Scene) -> None:
    """The same request as the browser's, from the same address, for a page instead of a font; and from elsewhere."""
    at, here = scene.at, scene.here
    here.page.goto(here.url(f"https://{MAIN}/"))
    agent = str(here.page.evaluate("navigator.userAgent"))
    for path, changes, expected in (
        ("/font.otf", {}, 200),
        ("/frame", {}, 401),
        ("/font.otf", {"user-agent": "Somebody/1"}, 401),
        ("/font.otf", {"sec-fetch-dest": "empty"}, 401),
        ("/font.otf", {"sec-fetch-site": "cross-site"}, 401),
        ("/font.otf", {"origin": "https://evil.test"}, 401),
        ("/font.otf", {"origin": f"https://{NEXT}.{at.suffix}"}, 401),
        ("/font.otf", {"authorization": "Bearer x"}, 401),
    ):
        headers = {
            "host": f"{STATIC}.{at.suffix}",
            "user-agent": agent,
            "origin": f"https://{MAIN}.{at.suffix}",
            "sec-fetch-mode": "cors",
            "sec-fetch-site": "same-site",
            "sec-fetch-dest": "font",
            **changes,
        }
        assert raw_status(at, f"{STATIC}.{at.suffix}", path, headers) == expected, (path, changes)


def raw_status(at: Stage, host: str, path: str, headers: dict[str, str]) -> int:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", at.port, timeout=20)) as connection:
        raw = socket.create_connection(("127.0.0.1", at.port), timeout=20)
        connection.sock = context.wrap_socket(raw, server_hostname=host)
        connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status


# ---------------------------------------------------------------- hosts that nobody owns


def test_unknown_hosts_are_learned_and_attached_while_it_runs(scene: Scene) -> None:
    at, here = scene.at, scene.here
    here.page.goto(here.url(f"https://{MAIN}/unknown?q=secret"))
    learned = LearnedHosts(at.data)
    (found,) = wait_for(lambda: learned.all("several"), "the host to be learned", 15)
    assert (found.host, found.page, found.kinds, found.denied) == (STRANGER, f"{MAIN}/unknown", {"image"}, False)
    assert [each.host for each in here.escaped()] == [STRANGER]
    attach(at.config, STRANGER, "several", lambda done: None)
    here.noticed.forget()
    wait_for(lambda: mapped_image(here), "the host to be in session control", 15)
    assert [each.url for each in here.noticed.requests if each.kind == "image"][-1] == here.url(
        f"https://{STRANGER}/dot.gif?q=secret"
    )


def mapped_image(here: View) -> bool:
    here.page.goto(here.url(f"https://{MAIN}/unknown"))
    return bool(here.page.evaluate("document.images[0].naturalWidth"))


def test_unknown_hosts_are_denied_by_the_browser(scene: Scene) -> None:
    here, stranger = scene.here, "other.stranger.test"
    here.page.goto(here.url(f"https://{NEXT}/"))
    assert "Failed to fetch" in fetched(here, f"https://{stranger}/x")
    here.noticed.collect(here.page)
    assert ("connect-src", f"https://{stranger}/x", "enforce") in here.noticed.violations
    (found,) = wait_for(lambda: LearnedHosts(scene.at.data).all("neighbour"), "the host to be learned", 15)
    assert (found.host, found.denied, found.kinds) == (stranger, True, {"connect"})
    assert fetched(here, here.url(f"https://{NEXT}/frame")).startswith("200 ")


def test_a_link_to_another_app_leads_there_with_its_whole_address(scene: Scene) -> None:
    here = scene.here
    here.page.goto(here.url(f"https://{MAIN}/links"))
    here.page.locator("#a").click()
    expect(here.page.locator("h1")).to_have_text("Deep")
    assert here.page.url == here.url(f"https://{NEXT}/deep/page?x=1&y=2#part")
