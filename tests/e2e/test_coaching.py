"""Saying why, being told, and asking for access, in a real browser: pages without script, dialogs, and what goes on."""

# ruff: noqa: E501  # markup reads best in one line
from __future__ import annotations

import contextlib
import os
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from casb.sidecar import requests
from casb.store import exceptions
from proxy_world import APP_HOST, SUFFIX, World, reply, wait_for, world

pytestmark = pytest.mark.e2e

POLICIES = """\
version: 1
policies:
  - id: say-why
    name: Plans are asked about
    activities: [download, upload, send_item]
    when: {file: 'plan*'}
    action: {type: coach, reasons: [A customer asked for it, It is for my work], text: required, lasts: 1h}
    message: {en: "{file} is confidential. Why do you need it?", de: "{file} ist vertraulich. Wozu brauchen Sie es?"}
  - id: say-why-sending
    activities: send_item
    action: coach
  - id: told
    activities: download
    when: {file: 'note*'}
    action: notify
    message: Downloads of {file} are counted.
  - id: never
    activities: download
    when: {file: 'payroll*'}
    action: block
    message: <b>{file}</b> stays here.
  - id: cards-are-masked
    activities: view
    action: {type: redact, types: [credit-card]}
  - id: copies-need-a-reason
    activities: copy
    action: {type: coach, text: required}
"""
PEOPLE = (
    "ada",
    "bruno",
    "carol",
    "dora",
    "dana",
    "erin",
    "fay",
    "finn",
    "gus",
    "hugo",
    "ivan",
    "judy",
    "kim",
    "leo",
    "mia",
)
CARDS = b"""<!doctype html><html lang=en><head><title>Cards</title></head><body><h1>Customers</h1>
<table border=1 cellpadding=6><tr><th>Name</th><th>Card</th></tr><tr><td>Ada</td><td id=card><b>4111</b> 1111 1111 1111</td></tr></table>
<p>Loaded: <span id=loaded></span></p><input id=field value="4111 1111 1111 1111" aria-label=card>
<script>fetch("/cards.json").then((r) => r.json()).then((v) => { document.getElementById("loaded").textContent = `${v.card}, ${v.n}`; });</script>
</body></html>"""
OPEN = """const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function (options) { return attach.call(this, { ...options, mode: "open" }); };"""
# The dialog lies in a closed shadow tree, which tests cannot look into.
HOME = b"""<!doctype html><html lang=en><head><title>Files</title></head><body><h1>Files</h1>
<p><a id=plan href="/plan.bin">plan</a> <a id=saved href="/plan-saved.bin" download>saved</a> <a id=note href="/note.bin">note</a> <a id=payroll href="/payroll.bin">payroll</a></p>
<p id=text>figures of the quarter</p>
<form id=send action="/send" method=post><input name=text value="h&eacute;llo &amp; b"><button>send</button></form>
<form id=up action="/up" method=post enctype="multipart/form-data"><input type=file name=file><button>upload</button></form>
</body></html>"""


@dataclass
class Scene:
    """The worker, a browser, and what its origin has received."""

    proxy: World
    browser: Browser
    received: list[tuple[str, str, bytes]]
    cookies: dict[str, str]  # Playwright's event loop is in the way of making sessions later

    @contextlib.contextmanager
    def person(self, name: str, **options: Any) -> Iterator[BrowserContext]:
        """A browser of somebody who is signed in."""
        context = self.browser.new_context(ignore_https_errors=True, viewport={"width": 1000, "height": 800}, **options)
        cookie, _, value = self.cookies[name].partition("=")
        context.add_cookies([{"name": cookie, "value": value, "url": self.url("/"), "secure": True, "httpOnly": True, "sameSite": "None"}])  # fmt: skip
        context.add_init_script(OPEN)
        context.set_default_timeout(10_000)
        try:
            yield context
        finally:
            context.close()

    def url(self, path: str) -> str:
        return f"https://{self.proxy.host}:{self.proxy.port}{path}"

    def home(self, context: BrowserContext) -> Page:
        page = context.new_page()
        page.goto(self.url("/"))
        return page

    def actions(self, user: str) -> list[tuple[str, str, str]]:
        """Activity, file and action of what is in the log of a person."""
        return [
            (each["activity"], (each["file"] or {}).get("name", ""), each["action"])
            for each in self.proxy.records()
            if (each["user"] or {}).get("name", "").startswith(user) and each["activity"] != "view"
        ]


def shot(page: Page, name: str) -> None:
    """A picture for people, where `CASB_SHOTS` names a folder."""
    if folder := os.environ.get("CASB_SHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    received: list[tuple[str, str, bytes]] = []
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(world(tmp_path_factory.mktemp("coaching"), start=False))

        def take(handler: BaseHTTPRequestHandler, body: bytes) -> None:
            received.append((handler.path, handler.headers.get("content-type", ""), body))
            reply(handler, 200, b"<!doctype html><title>done</title><p id=done>done", content_type="text/html")

        proxy.origin.page("/", HOME, content_type="text/html; charset=utf-8")
        for name in ("plan", "plan-saved", "plan-fetched", "note", "payroll"):
            proxy.origin.page(
                f"/{name}.bin",
                name.encode() * 20,
                content_type="application/octet-stream",
                content_disposition=f'attachment; filename="{name}.bin"',
            )
        proxy.origin.page("/cards", CARDS, content_type="text/html; charset=utf-8")
        proxy.origin.page(
            "/cards.json", b'{"card": "4111 1111 1111 1111", "n": 4111111111111111}', content_type="application/json"
        )
        for path in ("/send", "/up"):
            proxy.origin.routes[path] = take
        proxy.write(
            "apps/files.yaml",
            f"id: files\nname: Company Files\ndomains: [{APP_HOST}]\n"
            "signatures:\n  - {activity: send_item, methods: [POST], path: /send}\n"
            f'upstream: {{connect: "127.0.0.1:{proxy.origin.port}", ca: {proxy.origin.ca}}}\n',
        )
        proxy.write("policies.yaml", POLICIES)
        proxy.start()
        cookies = {name: proxy.session(f"{name}@contoso.example") for name in PEOPLE}
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[
                "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--ignore-certificate-errors",
                f"--host-resolver-rules=MAP *.{SUFFIX} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )  # fmt: skip
        stack.callback(browser.close)
        yield Scene(proxy=proxy, browser=browser, received=received, cookies=cookies)


def justify(page: Page, text: str = "The board wants it.") -> None:
    """Fill in the page's form and send it."""
    if page.get_by_label("Reason").count():
        page.get_by_label("Reason").select_option("It is for my work")
    page.get_by_label("Justification").fill(text)
    page.get_by_role("button", name="Send and go on").click()


def test_a_download_goes_on_without_any_script(scene: Scene) -> None:
    with scene.person("ada", java_script_enabled=False) as context:
        page = scene.home(context)
        page.click("#plan")
        expect(page.get_by_role("heading")).to_have_text("Please say why")
        expect(page.locator("main")).to_contain_text("plan.bin is confidential. Why do you need it?")
        shot(page, "coach-page")
        with page.expect_download() as got:
            justify(page)
        assert got.value.path().read_bytes() == b"plan" * 20
        shot(page, "coach-thanks")
        with page.expect_download() as again:
            page.goto(scene.url("/"))
            page.click("#plan")
        assert again.value.path().read_bytes() == b"plan" * 20
    assert scene.actions("ada") == [("download", "plan.bin", "coach"), *[("download", "plan.bin", "audit")] * 2]
    passed = next(each for each in scene.proxy.records() if each["action"] == "audit")
    assert passed["extra"]["justification"]["reason"] == "It is for my work"
    assert passed["extra"]["justification"]["text"] == "The board wants it."
    assert passed["justified"] == ["say-why"]


def test_the_page_speaks_german_and_insists_on_a_sentence(scene: Scene) -> None:
    with scene.person("bruno", locale="de-AT", java_script_enabled=False) as context:
        page = scene.home(context)
        page.click("#plan")
        expect(page.get_by_role("heading")).to_have_text("Bitte geben Sie einen Grund an")
        expect(page.locator("main")).to_contain_text("plan.bin ist vertraulich.")
        assert page.locator("html").get_attribute("lang") == "de"
        page.get_by_label("Grund", exact=True).select_option("A customer asked for it")
        page.get_by_label("Begründung").fill("   ")
        page.get_by_role("button", name="Senden und fortfahren").click()
        expect(page.get_by_role("alert")).to_contain_text("Wählen Sie einen Grund")
        shot(page, "coach-german")
    assert scene.actions("bruno") == [("download", "plan.bin", "coach")]


def test_a_saved_file_is_asked_about_in_a_dialog(scene: Scene) -> None:
    with scene.person("carol") as context:
        page = scene.home(context)
        with page.expect_download() as got:
            page.click("#saved")
        assert "justify?c=" in got.value.path().read_text()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("plan-saved.bin is confidential.")
        shot(page, "coach-dialog")
        with page.expect_download() as again:
            justify(page)
        assert again.value.path().read_bytes() == b"plan-saved" * 20
        expect(dialog).to_have_count(0)


@pytest.mark.parametrize(
    ("name", "script"),
    [("dora", "fetch('/plan-fetched.bin')"), ("dana", "fetch(new Request('/plan-fetched.bin'))")],
    ids=["address", "request"],
)
def test_a_request_of_the_page_waits_and_goes_on(scene: Scene, name: str, script: str) -> None:
    with scene.person(name) as context:
        page = scene.home(context)
        page.evaluate(f"() => {{ window.got = {script}.then((r) => r.text()); }}")
        expect(page.get_by_role("dialog")).to_contain_text("plan-fetched.bin is confidential.")
        justify(page)
        assert page.evaluate("() => window.got") == "plan-fetched" * 20


def test_a_request_of_the_page_that_is_given_up_gets_the_refusal(scene: Scene) -> None:
    with scene.person("erin") as context:
        page = scene.home(context)
        page.evaluate(
            "() => { window.got = fetch('/plan-fetched.bin').then(async (r) => [r.status, await r.json()]); }"
        )
        page.get_by_role("button", name="Not now").click()
        status, told = page.evaluate("() => window.got")
        assert (status, told["casb"], told["url"]) == (403, "coach", f"/.casb/justify?c={told['coach']['id']}")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_a_form_is_sent_byte_for_byte(scene: Scene, script: bool) -> None:
    with scene.person("fay" if script else "finn", java_script_enabled=script) as context:
        page = scene.home(context)
        scene.received.clear()
        page.click("#send button")
        expect(page.get_by_role("heading")).to_have_text("Please say why")
        assert not scene.received
        page.get_by_label("Justification (optional)").fill("because")
        page.get_by_role("button", name="Send and go on").click()
        if not script:
            page.get_by_role("button", name="Go on").click()
        page.wait_for_selector("#done")
        assert scene.received == [("/send", "application/x-www-form-urlencoded", b"text=h%C3%A9llo+%26+b")]


def test_an_uploaded_file_is_sent_byte_for_byte(scene: Scene) -> None:
    content = bytes(range(256)) * 9
    with scene.person("gus") as context:
        page = scene.home(context)
        scene.received.clear()
        page.set_input_files("#up input", {"name": "plan-b.dat", "mimeType": "application/octet-stream", "buffer": content})  # fmt: skip
        page.click("#up button")
        expect(page.locator("main")).to_contain_text("plan-b.dat is confidential.")
        assert not scene.received
        justify(page)
        page.wait_for_selector("#done")
        assert [path for path, _, _ in scene.received] == ["/up"]
        assert content in scene.received[0][2]
        assert re.search(rb'name="file"; filename="plan-b.dat"', scene.received[0][2])


def test_notify_hands_over_and_tells(scene: Scene) -> None:
    with scene.person("hugo") as context:
        page = scene.home(context)
        with page.expect_download() as got:
            page.click("#note")
        assert got.value.path().read_bytes() == b"note" * 20
        expect(page.get_by_role("dialog")).to_contain_text("Downloads of note.bin are counted.")
        shot(page, "notify-dialog")
    assert scene.actions("hugo") == [("download", "note.bin", "notify")]


def test_copying_is_allowed_once_justified(scene: Scene) -> None:
    with scene.person("ivan") as context:
        page = scene.home(context)
        page.locator("#text").select_text()
        page.keyboard.press("Control+c")
        expect(page.get_by_role("dialog")).to_contain_text("Please say why")
        shot(page, "coach-copy")
        page.get_by_label("Justification").fill("for my report")
        page.get_by_role("button", name="Send and go on").click()
        expect(page.get_by_role("dialog")).to_contain_text("Please do again what you were doing")
        page.get_by_role("button", name="Close").click()
        page.locator("#text").select_text()
        page.keyboard.press("Control+c")
        wait_for(lambda: ("copy", "", "audit") in scene.actions("ivan"), "the copy in the log")


def test_access_is_asked_for_on_the_page_and_its_answer_is_seen(scene: Scene) -> None:
    with scene.person("judy") as context:
        page = scene.home(context)
        with page.expect_download() as got:
            page.click("#payroll")
        text = got.value.path().read_text()
        assert "<b>payroll.bin</b> stays here." in text
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("<b>payroll.bin</b> stays here.")
        shot(page, "block-dialog")
        with context.expect_page() as opened:
            dialog.get_by_role("link", name="Ask for access").click()
        form = opened.value
        form.get_by_label("Justification").fill("The auditor needs it until Friday.")
        form.get_by_label("For how long").select_option("1 week")
        shot(form, "ask-page")
        form.get_by_role("button", name="Ask for access").click()
        form.get_by_role("link", name="See the answer").click()
        expect(form.locator("main")).to_contain_text("Not decided yet")
        shot(form, "requests-page")
    asked = [each for each in scene.proxy.records() if each["source"] == "access request"]
    assert [(each["policy"], each["extra"]["request"]["text"], each["extra"]["request"]["hours"]) for each in asked] == [("never", "The auditor needs it until Friday.", 168)]  # fmt: skip


def test_a_question_belongs_to_its_session_and_leads_nowhere_else(scene: Scene) -> None:
    proxy = scene.proxy
    navigate = {
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "document",
        "sec-fetch-site": "none",
        "accept": "text/html",
    }
    mine, other = scene.cookies["kim"], scene.cookies["leo"]
    page = proxy.ask("/plan.bin", cookie=mine, headers=navigate)
    found = re.search(rb'name=c value="([A-Za-z0-9_-]{43})"', page.body)
    assert found is not None and page.status == 403
    form = urllib.parse.urlencode({"c": found[1].decode(), "reason": "It is for my work", "text": "x", "url": "https://evil.example/"}).encode()  # fmt: skip
    typed = {"content-type": "application/x-www-form-urlencoded", "origin": f"https://{proxy.host}:{proxy.port}"}
    same = navigate | typed | {"sec-fetch-site": "same-origin"}
    assert proxy.ask("/.casb/justify", method="POST", cookie=other, headers=same, body=form).status == 410
    cross = same | {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    assert proxy.ask("/.casb/justify", method="POST", cookie=mine, headers=cross, body=form).status == 403
    assert proxy.ask("/plan.bin", cookie=mine, headers=navigate).status == 403, "nothing was justified yet"
    done = proxy.ask("/.casb/justify", method="POST", cookie=mine, headers=same, body=form)
    assert done.status == 200 and b"url=/plan.bin" in done.body and b"evil" not in done.body
    assert proxy.ask("/plan.bin", cookie=mine, headers=navigate).body == b"plan" * 20
    assert proxy.ask("/plan-saved.bin", cookie=mine, headers=navigate).status == 403, "another file is another question"


def test_findings_are_masked_in_a_page_and_in_what_it_loads(scene: Scene) -> None:
    with scene.person("mia") as context:
        page = context.new_page()
        page.goto(scene.url("/cards"))
        expect(page.locator("#card")).to_have_text("XXXX XXXX XXXX XXXX")
        expect(page.locator("#field")).to_have_value("XXXX XXXX XXXX XXXX")
        expect(page.locator("#loaded")).to_have_text("XXXX XXXX XXXX XXXX, 0")
        shot(page, "redacted")


def test_what_was_allowed_is_seen_by_the_person_and_holds(scene: Scene) -> None:
    """After the request above: it is answered as the portal would."""
    proxy, now = scene.proxy, datetime.now(UTC)
    request = requests.read(next(each for each in proxy.records() if each["source"] == "access request"))
    assert request is not None
    document = requests.document_of(request, by="grace", now=now, hours=4, file=request.file, app=request.app)
    exceptions.grant(proxy.config, proxy.data, document, now)
    with scene.person("judy") as context:
        page = context.new_page()
        wait_for(lambda: page.goto(scene.url("/.casb/requests")) and "Allowed" in page.inner_text("main"), "the answer")
        shot(page, "requests-allowed")
        page.goto(scene.url("/"))
        with page.expect_download() as got:
            page.click("#payroll")
        assert got.value.path().read_bytes() == b"payroll" * 20
