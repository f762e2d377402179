"""A refused upload in a real browser: the person is told that it is kept, sees it, and fetches it once released."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from demo_lib.browser import find_browser
from playwright.sync_api import Page, expect, sync_playwright

from casb.settings import Settings
from casb.store.quarantine_desk import Desk
from casb.store.quarantine_sqlite import KIND, row_of
from proxy_world import SUFFIX, World, world

SHOTS = os.environ.get("CASB_SCREENSHOTS")
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
POLICIES = """\
version: 1
policies:
  - {id: keep, activities: [upload], when: {file: {name: "secret*"}}, action: {type: block, quarantine: true}}
"""
FORM = (
    b"<!doctype html><title>Files</title><form method=post action=/up enctype=multipart/form-data>"
    b"<input type=file name=f><button>Send</button></form>"
)
BODY = os.urandom(65_536) * 20 + b"the end"


def session(proxy: World, host: str) -> str:
    """In a thread: Playwright has an event loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(proxy.session, host=host).result().partition("=")[2]


def test_a_person_fetches_what_was_released(tmp_path: Path) -> None:
    with world(tmp_path / "w", start=False) as proxy, sync_playwright() as playwright:
        proxy.write("policies.yaml", POLICIES)
        proxy.origin.page("/", FORM, content_type="text/html")
        proxy.start()
        rules = f"MAP *.{SUFFIX} 127.0.0.1"
        browser = playwright.chromium.launch(
            executable_path=find_browser(), args=[*ARGUMENTS.split(), f"--host-resolver-rules={rules}"]
        )
        context = browser.new_context(ignore_https_errors=True)
        app, login = (f"https://{host}:{proxy.port}" for host in (proxy.host, f"login.{SUFFIX}"))
        for name, host, url in (("s", proxy.host, app), ("l", f"login.{SUFFIX}", login)):
            value = session(proxy, host)
            cookie = {"name": f"__Host-casb_{name}", "value": value, "url": url, "secure": True, "httpOnly": True}
            context.add_cookies([cookie])  # type: ignore[list-item]
        page = context.new_page()
        page.goto(app + "/")
        page.set_input_files("input", {"name": "secret plan.bin", "mimeType": "application/x-x", "buffer": BODY})
        page.click("button")
        expect(page.get_by_text("The file is kept by your organisation")).to_be_visible()
        shot(page, "refused")
        page.get_by_role("link", name="See your kept files").click()
        expect(page.get_by_text("No file of yours is kept.")).to_be_visible()  # the line was not shipped yet
        desk = Desk(Settings(suffix=SUFFIX), proxy.data)
        lines = [each for each in proxy.spooled() if each.get("kind") == KIND]
        desk.rows.keep([row_of(each) for each in lines])
        page.reload()
        expect(page.get_by_text("Kept; not released")).to_be_visible()
        assert desk.release(lines[0]["id"], "grace", "false alarm", datetime.now(UTC)) == "released"
        page.reload()
        shot(page, "released")
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download secret plan.bin").click()
        assert waiting.value.suggested_filename == "secret plan.bin"
        assert Path(waiting.value.path()).read_bytes() == BODY
        browser.close()


def shot(page: Page, name: str) -> None:
    """For people to look at, when asked for."""
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png")
