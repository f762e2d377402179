"""An application of several hosts, a neighbour, and hosts that nobody owns, in a real browser through the suffix."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from casb.lab.browser import View, playwright, view
from casb.lab.relay import Target
from casb.lab.stage import Application, Stage, stage
from casb.store.attach import attach
from casb.store.learned_sqlite import LearnedHosts
from proxy_world import Origin, reply, wait_for

pytestmark = pytest.mark.e2e

MAIN, API, STATIC, WILD = "app.several.example", "api.several.example", "static.several.example", "t7.cdn.several.example"
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
    with playwright() as running, view(running, at, "through", tmp_path / "profile", through=True, offline=True) as here:
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
    origin.page("/links", page(f'<a id="a" href="https://{NEXT}/deep/page?x=1&y=2#part">docs</a>'), content_type="text/html")
    origin.page("/deep/page", page("<h1>Deep</h1>"), content_type="text/html")
    origin.page("/dot.gif", GIF, content_type="image/gif")
    origin.page("/part.js", b"window.part = 'loaded';", content_type="text/javascript")
    origin.page("/look.css", b"body { color: rgb(1, 2, 3) }", content_type="text/css")
    origin.page("/frame", page("<p>framed</p>"), content_type="text/html")

    def api(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        asked = handler.headers.get("origin") or ""
        allowed = {"access_control_allow_origin": asked, "access_control_allow_credentials": "true", "vary": "Origin"}
        if handler.command == "OPTIONS":
            allowed |= {"access_control_allow_methods": "PUT, POST", "access_control_allow_headers": "x-token, content-type"}
        reply(handler, 200, b'{"from": "%s"}' % asked.encode(), content_type="application/json", **allowed)

    def public(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        reply(handler, 200, b'"public"', content_type="application/json", access_control_allow_origin="*")

    def font(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        reply(handler, 200, FONT, content_type="font/otf", access_control_allow_origin="*")

    origin.routes |= {"/api": api, "/public": public, "/font.otf": font}


def fetched(here: View, url: str, **options: object) -> str:
    return str(
        here.page.evaluate(
            "([url, options]) => fetch(url, options).then(async (r) => r.status + ' ' + await r.text(), (e) => String(e))",
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


@pytest.mark.parametrize("credentials", ["include", "same-origin", "omit"])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_fetch_to_a_second_host_never_visited(scene: Scene, credentials: str, method: str) -> None:
    here = scene.here
    here.page.goto(here.url(f"https://{MAIN}/"))
    options: dict[str, object] = {"credentials": credentials, "method": method}
    if method == "PUT":
        options |= {"headers": {"x-token": "t"}, "body": "{}"}
    assert fetched(here, here.url(f"https://{API}/api"), **options).startswith('200 {"from": "https://app.several.')
    asked = [each for each in scene.origin.seen if each.path == "/api" and each.method == method]
    assert asked[-1].headers["origin"] == f"https://{MAIN}"
    assert "casb" not in str(asked[-1].headers)


def test_a_font_and_an_anonymous_fetch(scene: Scene) -> None:
    here = scene.here
    here.page.goto(here.url(f"https://{MAIN}/"))
    assert fetched(here, here.url(f"https://{STATIC}/public")) == '200 "public"'
    here.page.evaluate(
        "url => { new FontFace('t', `url(${url})`).load().catch(() => 0) }", here.url(f"https://{STATIC}/font.otf")
    )
    wait_for(lambda: [each for each in scene.origin.seen if each.path == "/font.otf"], "the font to be asked for")
