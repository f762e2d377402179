"""Large files in a real browser: a page while one is checked, the file from there, and why a download broke off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from proxy_world import World, wait_for, world
from stream_fakes import CARD

pytestmark = pytest.mark.e2e

POLICIES = """\
version: 1
policies:
  - id: no-cards
    kind: session
    activities: [download]
    when: {file: {findings: credit-card}}
    action: block
    message: Card numbers stay here.
"""
CALM = b"An ordinary line of an ordinary log, with nothing in it.\n" * 60_000
SECRET = CALM + b"credit card number " + CARD + b" expires 12/29\n" + CALM[:1000]
LARGE = bytes(range(256)) * 70_000  # 18 MB, nothing that could be read


@dataclass
class Scene:
    proxy: World
    context: BrowserContext

    def url(self, path: str) -> str:
        return f"https://{self.proxy.host}:{self.proxy.port}{path}"


def attach(proxy: World, path: str, body: bytes, content_type: str) -> None:
    def serve(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-type", content_type)
        handler.send_header("content-disposition", f'attachment; filename="{path.strip("/")}"')
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    proxy.origin.routes[path] = serve


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("large")
    with world(folder, start=False, limits="{hold: 1MB, spool_free: 1MB}") as proxy:
        proxy.write("policies.yaml", POLICIES)
        links = "".join(f'<p><a href="/{name}">{name}</a></p>' for name in ("backup.dat", "cards.log", "leak.dat"))
        page = f"<!doctype html><html><head><title>Files</title></head><body>{links}</body></html>".encode()
        proxy.origin.page("/files", page, content_type="text/html")
        attach(proxy, "/backup.dat", LARGE, "application/octet-stream")
        attach(proxy, "/cards.log", SECRET, "text/plain")
        proxy.start()
        key, value = proxy.session().split("=", 1)
        with sync_playwright() as playwright:
            flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
            flags += ["--disable-background-networking", "--disable-component-update"]
            flags.append(f"--host-resolver-rules=MAP {proxy.host} 127.0.0.1")
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
            context = browser.new_context(ignore_https_errors=True, accept_downloads=True)
            url = f"https://{proxy.host}:{proxy.port}/"
            context.add_cookies([{"name": key, "value": value, "url": url, "secure": True, "httpOnly": True}])
            yield Scene(proxy, context)
            browser.close()


def dialog(page: Page) -> str:
    """What the dialog says, by the accessibility tree: it stands in a closed tree of its own. Empty: there is none."""
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    by_id = {each["nodeId"]: each for each in tree}
    found = [each for each in tree if each.get("role", {}).get("value") in ("dialog", "alertdialog")]

    def said(node: dict[str, Any]) -> str:
        own = str(node.get("name", {}).get("value", ""))
        return " ".join([own, *(said(by_id[each]) for each in node.get("childIds", []) if each in by_id)])

    return " ".join(map(said, found))


def picture(page: Page, name: str) -> None:
    """For whoever wants to look: `CASB_TEST_PICTURES` names a folder."""
    folder = os.environ.get("CASB_TEST_PICTURES")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_a_large_file_comes_from_the_page_that_waits(scene: Scene) -> None:
    page = scene.context.new_page()
    page.goto(scene.url("/files"))
    with page.expect_download(timeout=30_000) as coming:
        page.get_by_text("backup.dat").click()
        expect(page.get_by_role("heading")).to_have_text("Your file is being checked")
        expect(page.locator("strong")).to_have_text("backup.dat")
        picture(page, "waiting")
    download = coming.value
    assert download.suggested_filename == "backup.dat"
    assert Path(download.path()).read_bytes() == LARGE
    page.close()


def test_a_download_that_breaks_off_is_explained_where_it_began(scene: Scene) -> None:
    page = scene.context.new_page()
    page.goto(scene.url("/files"))
    with page.expect_download(timeout=30_000) as coming:
        page.get_by_text("cards.log").click()
    assert coming.value.failure()
    assert "Card numbers stay here." in wait_for(lambda: dialog(page), "the dialog", 20)
    picture(page, "cut")
    page.close()
