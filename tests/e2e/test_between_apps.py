"""Two applications under one suffix, in a real browser: as far apart as at their origins, whatever the names look like."""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

from proxy_world import Origin, Seen, World, reply, world

pytestmark = pytest.mark.e2e

FILES, WIKI, PARTS = "files.example", "wiki.example", "www.wiki.example"
POLICY = (
    "default-src 'none'; script-src 'nonce-abc' https://www.wiki.example; img-src https://*.wiki.example; "
    "connect-src 'self'"
)
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f64540"
    "0000000049454e44ae426082"
)


@dataclass
class Scene:
    proxy: World
    wiki: Origin
    context: BrowserContext
    names: dict[str, str]

    def url(self, host: str, path: str = "/") -> str:
        return f"https://{self.names[host]}:{self.proxy.port}{path}"

    def page(self) -> Page:
        return self.context.new_page()

    def last(self, path: str) -> Seen:
        return next(seen for seen in reversed(self.wiki.seen) if seen.path == path)


@pytest.fixture(scope="module", params=["dotted", "flat"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp(f"between-{request.param}")
    with world(folder, start=False, host_names=request.param) as proxy:
        (folder / "wiki").mkdir()
        wiki = Origin(folder / "wiki", WIKI)
        (folder / "parts").mkdir()
        parts = Origin(folder / "parts", PARTS)
        for name, host, origin in (("wiki", WIKI, wiki), ("parts", PARTS, parts)):
            proxy.write(
                f"apps/{name}.yaml",
                f"id: {name}\nname: {name}\ndomains: [{host}]\n"
                f'upstream: {{connect: "127.0.0.1:{origin.port}", ca: {origin.ca}}}\n',
            )
        serve(proxy, wiki, parts)
        proxy.start()
        ending = f".{proxy.host.partition('.example.')[2]}"
        flat = request.param == "flat"
        names = {host: (f"{host.replace('.', '-')}--x" if flat else host) + ending for host in (FILES, WIKI, PARTS)}
        jar = [(name, *proxy.session(host=name).split("=", 1)) for name in names.values()]
        with sync_playwright() as playwright:
            flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
            flags += ["--disable-background-networking", "--disable-component-update"]
            flags.append(f"--host-resolver-rules=MAP *{ending} 127.0.0.1")
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
            context = browser.new_context(ignore_https_errors=True)
            for name, key, value in jar:
                url = f"https://{name}:{proxy.port}/"
                context.add_cookies([{"name": key, "value": value, "url": url, "secure": True, "httpOnly": True}])
            yield Scene(proxy, wiki, context, names)
            browser.close()
        wiki.close()
        parts.close()


def serve(proxy: World, wiki: Origin, parts: Origin) -> None:
    proxy.origin.page(
        "/", b"<html><head></head><a id=w href='https://wiki.example/visit'>w</a></html>", content_type="text/html"
    )
    proxy.origin.page("/a.js", b"window.stranger = 1", content_type="text/javascript")
    parts.page("/b.js", b"window.own = 1", content_type="text/javascript")
    parts.page("/b.png", PIXEL, content_type="image/png")

    def cookies(handler: object, _body: bytes) -> None:
        handler.send_response(200)  # type: ignore[attr-defined]
        for text in (
            "lax=1; SameSite=Lax",
            "bare=1",
            "strict=1; SameSite=Strict",
            "none=1; SameSite=None",
            "wide=1; Domain=wiki.example",
        ):
            handler.send_header("set-cookie", f"{text}; Path=/; Secure")  # type: ignore[attr-defined]
        handler.send_header("content-type", "text/html")  # type: ignore[attr-defined]
        handler.send_header("content-length", "5")  # type: ignore[attr-defined]
        handler.end_headers()  # type: ignore[attr-defined]
        handler.wfile.write(b"<p>ok")  # type: ignore[attr-defined]

    wiki.routes["/set"] = cookies
    for path in ("/visit", "/api", "/home"):
        wiki.routes[path] = lambda handler, _body: reply(handler, 200, b"<p>here", content_type="text/html")
    strict = b"""<html><head></head><body><script nonce=abc>window.inline = 1; window.refused = [];
      document.addEventListener("securitypolicyviolation", (event) => refused.push(event.blockedURI));</script>
      <script src="https://www.wiki.example/b.js"></script><img src="https://www.wiki.example/b.png">
      <script src="https://files.example/a.js"></script></body></html>"""
    wiki.page("/strict", strict, content_type="text/html", content_security_policy=POLICY)


def crumbs(seen: Seen) -> set[str]:
    return set(filter(None, seen.headers.get("cookie", "").split("; ")))


ALL = {"lax=1", "bare=1", "strict=1", "none=1", "wide=1"}


def test_same_site_cookies_stay_with_their_site(scene: Scene) -> None:
    page = scene.page()
    page.goto(scene.url(WIKI, "/set"))
    page.goto(scene.url(WIKI, "/home"))
    page.evaluate("fetch('/api', {method: 'POST'})")
    assert crumbs(scene.last("/api")) == ALL, "at home"
    assert scene.last("/api").headers["sec-fetch-site"] == "same-origin"
    page.goto(scene.url(FILES))
    page.evaluate(
        "url => fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include'})", scene.url(WIKI, "/api")
    )
    assert crumbs(scene.last("/api")) == {"none=1"}, "sent by another application's page"
    assert scene.last("/api").headers["sec-fetch-site"] == "cross-site"
    page.click("#w")
    page.wait_for_url("**/visit")
    assert crumbs(scene.last("/visit")) == ALL - {"strict=1"}, "visited from another application's page"
    page.close()


def test_a_policy_admits_what_it_admitted(scene: Scene) -> None:
    page = scene.page()
    page.goto(scene.url(WIKI, "/strict"), wait_until="load")
    assert page.evaluate("[window.inline, window.own, window.stranger ?? null]") == [1, 1, None]
    refused = page.evaluate("window.refused")
    assert [each for each in refused if "a.js" in each] and not [each for each in refused if "a.js" not in each]
    assert page.evaluate("document.images[0].naturalWidth") == 1
    page.close()
