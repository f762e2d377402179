"""Tagging an app of the shipped catalog on the command line, and what a browser behind the forward proxy then meets."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from demo_lib.browser import find_browser
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from proxy_world import ADDONS, Origin, World, world

SHOTS = os.environ.get("CASB_SCREENSHOTS")
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@dataclass
class Scene:
    """A proxy, an origin that is somebody else's app, and a browser that uses the proxy for everything."""

    proxy: World
    other: Origin
    context: BrowserContext

    def tag(self, *words: str) -> None:
        command = [sys.executable, "-m", "casb.cli", "catalog", "tag", *words, "--config", str(self.proxy.config)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ADDONS), **self.proxy.environment})

    def page(self) -> Page:
        return self.context.new_page()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("tags")
    (folder / "other").mkdir()
    with world(folder, start=False, enforcement="{bypass: 8h}") as made:
        other = Origin(folder / "other", "localhost")
        other.page("/board", b"<title>Board</title><h1>A board of somebody else</h1>", content_type="text/html")
        made.write(
            "apps/other-board.yaml", "id: other-board\nname: Other Board\ndomains: [localhost]\ncontrolled: false\n"
        )
        made.start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS.split())
            proxy = {"server": f"http://127.0.0.1:{made.forward}", "bypass": "<-loopback>"}
            context = browser.new_context(ignore_https_errors=True, proxy=proxy)  # type: ignore[arg-type]
            try:
                yield Scene(made, other, context)
            finally:
                browser.close()
                other.close()


def test_an_unsanctioned_app_is_blocked_within_seconds(scene: Scene) -> None:
    scene.tag("sanctioned", "box", "onedrive")
    page = scene.page()
    scene.tag("unsanctioned", "dropbox")
    begun = time.monotonic()
    answer = None
    while answer is None and time.monotonic() - begun < 10:
        try:
            answer = page.goto("https://www.dropbox.com/home?token=1")
        except Exception:
            page.wait_for_timeout(100)
    assert answer is not None
    assert answer.status == 403
    assert time.monotonic() - begun < 5
    expect(page.get_by_role("heading")).to_have_text("Dropbox is blocked")
    expect(page.get_by_text("Box", exact=True)).to_be_visible()
    shoot(page, "blocked")
    record = scene.proxy.record(answer.headers["x-casb-activity"])
    assert record["request"]["url"] == "https://www.dropbox.com/home"
    script = {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
    fetched = scene.context.request.get("https://www.dropbox.com/api", headers=script)
    assert (fetched.status, fetched.json()["casb"]) == (403, "blocked")


def test_a_monitored_app_warns_and_opens_by_its_button(scene: Scene) -> None:
    scene.tag("monitored", "other-board")
    time.sleep(1)
    page = scene.page()
    address = f"https://localhost:{scene.other.port}/board"
    page.goto(address)
    expect(page.get_by_role("heading")).to_have_text("Other Board is not approved yet")
    shoot(page, "warned")
    page.get_by_role("button", name="Continue to Other Board").click()
    expect(page.get_by_role("heading")).to_have_text("A board of somebody else")
    assert page.url == address
    again = scene.page()
    again.goto(address)
    expect(again.get_by_role("heading")).to_have_text("A board of somebody else")
    scene.tag("unsanctioned", "other-board")
    time.sleep(1)
    again.goto(address)
    expect(again.get_by_role("heading")).to_have_text("Other Board is blocked")


def shoot(page: Page, name: str) -> None:
    """Keep what was seen, where somebody asks for it."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)
