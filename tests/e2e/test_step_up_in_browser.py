"""A step-up as a person meets it: in Chromium, at the emulated Entra, from pages, scripts, downloads and uploads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from demo_lib.browser import find_browser
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from proxy_world import reply
from wire_world import EntraSite, entra_site

SHOTS = os.environ.get("CASB_SCREENSHOTS")
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
POLICIES = """
version: 1
policies:
  - id: secret-files-need-mfa
    kind: session
    apps: [files]
    activities: download
    when: {file: {name: {contains: secret}}}
    action: {type: step_up, context: c3}
    message: Secret files need a second look at you.
  - id: uploads-need-mfa
    kind: session
    apps: [files]
    activities: upload
    action: {type: step_up, context: c3, fresh_for: 5m}
"""
FILE = os.urandom(150_000)
UPLOAD = bytes(range(256)) * 3000
PAGE = b"""<!doctype html><html><head><title>Files</title></head><body><h1>Company files</h1>
<a id=plain href=/secret.bin>secret.bin</a>
<a id=saved href=/secret.bin download>save</a>
<button id=ask onclick="ask()">fetch</button><p id=out></p>
<form method=post action=/upload enctype=multipart/form-data><input type=file name=f>
<button id=send>Send</button></form>
<script>
async function ask() {
  const answer = await fetch("/secret.bin");
  const digest = await crypto.subtle.digest("SHA-256", await answer.arrayBuffer());
  const hex = Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, "0")).join("");
  out.textContent = answer.status + " " + hex;
}
async function put(text) {
  const body = new Uint8Array(200000).map((_, at) => at * 7);
  const headers = {"x-file-name": "x.bin"};
  const answer = await fetch(new Request("/api/upload?name=x", {method: "PUT", body, headers}));
  out.textContent = "put " + answer.status;
}
</script></body></html>"""


@dataclass
class Scene:
    """A deployment and a browser."""

    site: EntraSite
    browser: Browser

    def person(self, user: str = "ada@contoso.example") -> tuple[BrowserContext, Page]:
        """Somebody signed in, on the app's page."""
        context = self.browser.new_context(ignore_https_errors=True, accept_downloads=True)
        page = context.new_page()
        page.goto(self.site.url("/"))
        page.locator(f'button[value="{user}"]').click()
        expect(page.get_by_role("heading")).to_have_text("Company files")
        return context, page

    def approve(self, page: Page, user: str = "ada@contoso.example") -> None:
        """Entra's page with the second factor."""
        expect(page.get_by_text("The application asks for more")).to_be_visible()
        page.get_by_label("Approve the second factor").check()
        page.locator(f'button[value="{user}"]').click()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with entra_site(tmp_path_factory.mktemp("step"), policies=POLICIES) as made, sync_playwright() as playwright:

        def download(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
            kind = {"content_type": "application/octet-stream"}
            reply(handler, 200, FILE, content_disposition='attachment; filename="secret.bin"', **kind)

        origin = made.proxy.origin
        origin.page("/", PAGE, content_type="text/html")
        origin.page("/upload", b"<title>Done</title><h1>Uploaded</h1>", content_type="text/html")
        origin.page("/api/upload", b"{}", content_type="application/json")
        origin.routes["/secret.bin"] = download
        browser = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS.split())
        try:
            yield Scene(made, browser)
        finally:
            browser.close()


def shoot(page: Page, name: str) -> None:
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{SHOTS}/{name}.png")


@pytest.mark.e2e
@pytest.mark.parametrize("link", ["plain", "saved"])
def test_a_download_goes_on_after_the_second_factor(scene: Scene, link: str) -> None:
    context, page = scene.person()
    page.locator(f"#{link}").click()
    shoot(page, f"download-{link}-asked")
    with page.expect_download() as got:
        scene.approve(page)
    assert Path(got.value.path()).read_bytes() == FILE
    expect(page.get_by_role("heading")).to_have_text("Your download is starting")
    shoot(page, f"download-{link}-done")
    page.get_by_text("Back to the application").click()
    expect(page.get_by_role("heading")).to_have_text("Company files")
    context.close()


@pytest.mark.e2e
def test_a_form_with_a_file_is_sent_after_the_second_factor(scene: Scene, tmp_path: Path) -> None:
    context, page = scene.person()
    (tmp_path / "photo.bin").write_bytes(UPLOAD)
    page.locator("input[type=file]").set_input_files(tmp_path / "photo.bin")
    page.locator("#send").click()
    scene.approve(page)
    expect(page.get_by_role("heading")).to_have_text("Uploaded")
    sent = next(each for each in reversed(scene.site.proxy.origin.seen) if each.method == "POST")
    assert UPLOAD in sent.body
    context.close()


@pytest.mark.e2e
def test_a_script_waits_for_the_person_and_gets_its_answer(scene: Scene) -> None:
    context, page = scene.person()
    page.locator("#ask").click()
    page.wait_for_selector("casb-notice", state="attached")
    shoot(page, "fetch-asked")
    with context.expect_page() as popped:
        page.keyboard.press("Enter")
    window = popped.value
    with window.expect_event("close"):
        scene.approve(window)
    wanted = f"200 {hashlib.sha256(FILE).hexdigest()}"
    expect(page.locator("#out")).to_have_text(wanted)
    assert page.locator("casb-notice").count() == 0, "the dialog has gone"
    context.close()


@pytest.mark.e2e
def test_an_upload_by_a_script_is_repeated_byte_for_byte(scene: Scene) -> None:
    context, page = scene.person()
    page.evaluate("void put()")
    page.wait_for_selector("casb-notice", state="attached")
    with context.expect_page() as popped:
        page.keyboard.press("Enter")
    scene.approve(popped.value)
    expect(page.locator("#out")).to_have_text("put 200")
    sent = next(each for each in reversed(scene.site.proxy.origin.seen) if each.method == "PUT")
    assert sent.body == bytes(at * 7 % 256 for at in range(200_000))
    assert "__casb" not in sent.path
    context.close()


@pytest.mark.e2e
def test_whoever_does_not_want_to_goes_on_without(scene: Scene) -> None:
    context, page = scene.person()
    page.locator("#ask").click()
    page.wait_for_selector("casb-notice", state="attached")
    page.keyboard.press("Escape")
    expect(page.locator("#out")).to_contain_text("401")
    context.close()
