"""Copying, cutting, pasting, dragging and printing in real pages, with real keys, menus, clipboards and prints.

Four applications: `block` (everything refused), `words` (refused where the text says so), `inside` (what may not leave
can be pasted inside) and `free` (no policy at all). What the system's clipboard holds is read in a page of no
application of ours.
"""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

from proxy_world import SUFFIX, Origin, World, wait_for, world

pytestmark = pytest.mark.e2e

APPS = ("block", "words", "inside", "other", "free", "fierce", "watch")
SECRET = "the secret figures of the third quarter"
HARMLESS = "nothing to see here at all"
POLICIES = """\
version: 1
policies:
  - id: nothing-leaves
    name: Nothing leaves
    apps: [block, fierce]
    activities: [copy, cut, paste, print]
    action: block
    message: Company figures stay in {app}.
  - id: no-secrets
    apps: words
    activities: [copy, cut, paste, print]
    when: {text: {contains: secret}}
    action: block
  - id: watched
    apps: watch
    activities: [copy, cut, paste, print]
    action: audit
  - id: stays-inside
    apps: [inside, other]
    activities: [copy, cut]
    action: block
"""
CONTROLS = {
    "inside": "{clipboard: inside, watermark: controlled}",
    "other": "{clipboard: inside, without_script: refuse}",
    "fierce": "{on_tamper: block}",
}
PAGE = """<!doctype html><html lang=en><head><title>Figures</title></head><body>
<h1>Quarterly figures</h1>
<p id=text>@SECRET@</p><p id=plain>@HARMLESS@</p>
<textarea id=area>@SECRET@</textarea><input id=field value="@SECRET@">
<div id=rich contenteditable>@SECRET@</div>
<a id=link href="/x">@SECRET@</a> <img id=image alt=@ src="/dot.svg" width=40 height=40>
<div id=card draggable=true>card</div><div id=lane style="width:200px;height:60px;background:#eee">lane</div>
<div id=host></div><button id=button>Button</button>
<iframe id=frame src="/frame.html" width=500 height=120></iframe><iframe id=blank width=300 height=80></iframe>
<script nonce=r4nd0m>
const root = document.getElementById("host").attachShadow({mode: "open"});
root.innerHTML = "<p id=deep>@SECRET@</p><textarea id=area>@SECRET@</textarea>";
const inner = document.getElementById("blank").contentDocument;
inner.body.innerHTML = "<p id=text>@SECRET@</p><textarea id=area>@SECRET@</textarea>";
window.seen = [];
for (const type of ["copy", "cut", "paste", "drop", "dragover", "beforeprint"]) addEventListener(type, () => window.seen.push(type));
document.getElementById("lane").addEventListener("dragover", (event) => event.preventDefault());
document.getElementById("card").addEventListener("dragstart", (event) => event.dataTransfer.setData("text/plain", "card 7"));
document.getElementById("lane").addEventListener("drop", (event) => { window.dropped = event.dataTransfer.getData("text/plain"); event.preventDefault(); });
</script></body></html>"""
FRAME = "<!doctype html><title>f</title><p id=text>@SECRET@</p><textarea id=area>@SECRET@</textarea>"
STRICT = "default-src 'self'; script-src 'nonce-r4nd0m'; style-src 'none'; require-trusted-types-for 'script'; trusted-types none"


@dataclass
class Scene:
    """The worker, a browser context with sessions, and a page of nobody for the clipboard."""

    proxy: World
    context: BrowserContext
    bystander: Page
    forward: str

    def open(self, app: str, path: str = "/") -> Page:
        page = self.context.new_page()
        page.set_default_timeout(10_000)
        answer = page.goto(f"https://{app}.example.{SUFFIX}:{self.proxy.port}{path}")
        assert answer and answer.status == 200, (page.inner_text("body"), self.proxy.log[-2000:])
        return page

    @property
    def clipboard(self) -> str:
        self.bystander.bring_to_front()
        return str(self.bystander.evaluate("navigator.clipboard.readText()"))

    @clipboard.setter
    def clipboard(self, text: str) -> None:
        self.bystander.bring_to_front()
        self.bystander.evaluate("(text) => navigator.clipboard.writeText(text)", text)

    def attempts(self, app: str) -> list[tuple[str, str, str]]:
        """Activity, action and way of what is in the log."""
        return [
            (each["activity"], each["action"], each["extra"].get("via", ""))
            for each in self.proxy.records()
            if each["app"] and each["app"]["id"] == app and each["activity"] in ("copy", "cut", "paste", "print")
        ]

    def waits(self, app: str, known: int) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = wait_for(lambda: self.attempts(app)[known:], "the attempt in the log", 8)
        return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("controls")
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(world(folder, start=False))
        for app in APPS:
            place = folder / app
            place.mkdir()
            origin = Origin(place, f"{app}.example")
            stack.callback(origin.close)
            html = "text/html; charset=utf-8"
            filled = [
                text.replace("@SECRET@", SECRET).replace("@HARMLESS@", HARMLESS).encode() for text in (PAGE, FRAME)
            ]
            origin.page("/", filled[0], content_type=html)
            origin.page("/frame.html", filled[1], content_type=html)
            origin.page(
                "/strict",
                b"<!doctype html><title>s</title><textarea id=area>" + SECRET.encode() + b"</textarea>",
                content_type=html,
                content_security_policy=STRICT,
            )
            origin.page(
                "/dot.svg",
                b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
                content_type="image/svg+xml",
            )
            extra = f"controls: {CONTROLS[app]}\n" if app in CONTROLS else ""
            proxy.write(
                f"apps/{app}.yaml",
                f"id: {app}\nname: The {app} app\ndomains: [{app}.example]\n{extra}"
                f'upstream: {{connect: "127.0.0.1:{origin.port}", ca: {origin.ca}}}\n',
            )
        proxy.write("controls.yaml", POLICIES)
        proxy.start()
        login = {f"{app}.example.{SUFFIX}": proxy.session(host=f"{app}.example.{SUFFIX}") for app in APPS}
        forward = proxy.session(authority="block.example")
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
        context = browser.new_context(ignore_https_errors=True, viewport={"width": 1000, "height": 800})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        for host, cookie in login.items():
            name, _, value = cookie.partition("=")
            context.add_cookies([{"name": name, "value": value, "url": f"https://{host}:{proxy.port}/", "secure": True, "httpOnly": True, "sameSite": "None"}])  # fmt: skip
        bystander = context.new_page()
        bystander.route("**/*", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
        bystander.goto("https://bystander.casb.test/")
        yield Scene(proxy=proxy, context=context, bystander=bystander, forward=forward)


def select(page: Page, name: str, frame: str = "") -> None:
    """Select the text of an element, in the page, in a frame or in the shadow tree."""
    script = """([id, frame]) => {
      const root = frame === "shadow" ? document.getElementById("host").shadowRoot
        : frame ? document.getElementById(frame).contentDocument : document;
      const node = root.getElementById(id);
      const view = (root.ownerDocument ?? root).defaultView;
      view.focus();
      if (node.select) { node.focus(); node.select(); return; }
      const range = (root.ownerDocument ?? root).createRange();
      range.selectNodeContents(node);
      const selection = view.getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
    }"""
    page.evaluate(script, [name, frame])


def dialog(page: Page) -> str:
    """What the dialog says, by the accessibility tree: it stands in a closed tree of its own. Empty: there is none."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    by_id = {each["nodeId"]: each for each in nodes}

    def words(node: dict[str, Any]) -> str:
        own = node.get("name", {}).get("value", "") if node.get("role", {}).get("value") == "StaticText" else ""
        return " ".join(
            filter(None, [own, *(words(by_id[each]) for each in node.get("childIds", []) if each in by_id)])
        )

    found = [each for each in nodes if each.get("role", {}).get("value") in ("dialog", "alertdialog")]
    session.detach()
    return " ".join(words(each) for each in found)


def shown(page: Page) -> str:
    return str(wait_for(lambda: dialog(page), "the dialog", 8))


PLACES = [
    ("text", ""),
    ("area", ""),
    ("field", ""),
    ("rich", ""),
    ("deep", "shadow"),
    ("area", "shadow"),
    ("text", "frame"),
    ("area", "frame"),
    ("text", "blank"),
    ("area", "blank"),
]


@pytest.mark.parametrize(("name", "frame"), PLACES, ids=[f"{name}-{frame or 'page'}" for name, frame in PLACES])
@pytest.mark.parametrize("how", ["keys", "command"])
def test_nothing_is_copied_out(scene: Scene, name: str, frame: str, how: str) -> None:
    known = len(scene.attempts("block"))
    page = scene.open("block")
    scene.clipboard = "before"
    page.bring_to_front()
    select(page, name, frame)
    if how == "keys":
        page.keyboard.press("Control+c")
    else:
        page.evaluate(
            "(frame) => (frame && frame !== 'shadow' ? document.getElementById(frame).contentDocument : document).execCommand('copy')",
            frame,
        )
    assert scene.waits("block", known) == [("copy", "block", "event")]
    assert "Company figures stay in The block app." in shown(page)
    assert SECRET not in scene.clipboard
    page.close()


def test_what_is_cut_stays(scene: Scene) -> None:
    page = scene.open("block")
    known = len(scene.attempts("block"))
    select(page, "area")
    page.keyboard.press("Control+x")
    assert scene.waits("block", known) == [("cut", "block", "event")]
    assert page.input_value("#area") == SECRET
    assert SECRET not in scene.clipboard
    page.close()


WRITES = {
    "writeText": "navigator.clipboard.writeText(text)",
    "write": "navigator.clipboard.write([new ClipboardItem({'text/plain': new Blob([text], {type: 'text/plain'})})])",
    "frame": "document.getElementById('blank').contentWindow.navigator.clipboard.writeText(text)",
    "handler": "new Promise((done, fail) => { addEventListener('copy', (event) => { event.clipboardData.setData('text/plain', text); event.preventDefault(); }); document.execCommand('copy') ? setTimeout(done, 300) : fail(new DOMException('', 'NotAllowedError')); })",
}


@pytest.mark.parametrize("name", WRITES)
def test_scripts_copy_nothing_out(scene: Scene, name: str) -> None:
    page = scene.open("block")
    known = len(scene.attempts("block"))
    scene.clipboard = "before"
    page.bring_to_front()
    page.click("#button")
    page.evaluate(f"(text) => {WRITES[name]}.then(() => '', (error) => error.name)", SECRET)
    assert scene.waits("block", known)[0][:2] == ("copy", "block")
    assert SECRET not in scene.clipboard
    page.close()


@pytest.mark.parametrize(
    ("name", "frame"),
    [("area", ""), ("field", ""), ("rich", ""), ("area", "shadow"), ("area", "frame"), ("area", "blank")],
)
def test_nothing_is_pasted_in(scene: Scene, name: str, frame: str) -> None:
    page = scene.open("block")
    known = len(scene.attempts("block"))
    scene.clipboard = "from outside"
    page.bring_to_front()
    select(page, name, frame)
    page.keyboard.press("Control+v")
    assert scene.waits("block", known) == [("paste", "block", "event")]
    assert "from outside" not in page.evaluate(
        "document.body.innerHTML + document.getElementById('area').value + document.getElementById('host').shadowRoot.innerHTML + document.getElementById('frame').contentDocument.getElementById('area').value"
    )
    assert page.evaluate("window.seen.includes('paste')") is False
    page.close()


def test_scripts_do_not_read_the_clipboard(scene: Scene) -> None:
    page = scene.open("block")
    scene.clipboard = "from outside"
    page.bring_to_front()
    page.click("#button")
    for call in ("readText", "read"):
        assert page.evaluate(f"navigator.clipboard.{call}().then(String, (error) => error.name)") == "NotAllowedError"
    page.close()


@pytest.mark.parametrize("name", ["text", "link", "image"])
def test_nothing_is_dragged_out(scene: Scene, name: str) -> None:
    page = scene.open("block")
    known = len(scene.attempts("block"))
    if name == "text":
        select(page, name)
    box = page.locator(f"#{name}").bounding_box()
    assert box
    page.evaluate("window.started = 0; document.addEventListener('dragstart', () => window.started++)")
    page.mouse.move(box["x"] + 12, box["y"] + box["height"] / 2)
    page.mouse.down()
    for step in range(1, 8):
        page.mouse.move(box["x"] + 12 + step * 12, box["y"] + step * 20)
    page.mouse.up()
    assert scene.waits("block", known) == [("copy", "block", "drag")]
    assert page.evaluate("window.started") == 0
    page.close()


DROP = """([id, text]) => {
  const transfer = new DataTransfer();
  transfer.setData("text/plain", text);
  const event = new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true, composed: true});
  document.getElementById(id).dispatchEvent(event);
  return [event.defaultPrevented, window.dropped ?? ""];
}"""


def test_what_is_dropped_from_outside_is_never_taken_for_a_drag_of_the_page(scene: Scene) -> None:
    """A drag whose end nobody heard of, for its element is gone."""
    page = scene.open("block")
    page.evaluate(
        "document.getElementById('card').addEventListener('dragstart', (event) => setTimeout(() => event.target.remove(), 0))"
    )
    page.hover("#card")
    page.mouse.down()
    page.mouse.move(300, 300, steps=4)
    page.mouse.up()
    assert page.evaluate(DROP, ["lane", "from outside"]) == [True, ""]
    page.close()


def test_what_an_application_moves_about_goes_on_moving(scene: Scene) -> None:
    page = scene.open("block")
    page.drag_and_drop("#card", "#lane")
    assert page.evaluate("window.dropped") == "card 7"
    assert dialog(page) == ""
    page.close()


def test_nothing_is_dropped_in(scene: Scene) -> None:
    page = scene.open("block")
    known = len(scene.attempts("block"))
    assert page.evaluate(DROP, ["lane", "from outside"]) == [True, ""]
    assert scene.waits("block", known) == [("paste", "block", "drop")]
    page.close()


def test_the_menu_of_a_selection_or_picture_is_closed(scene: Scene) -> None:
    page = scene.open("block")
    page.evaluate(
        "window.menus = []; addEventListener('contextmenu', (event) => window.menus.push(event.defaultPrevented))"
    )
    page.click("#image", button="right")
    page.click("#link", button="right")
    select(page, "text")
    page.click("#text", button="right")
    page.evaluate("getSelection().removeAllRanges()")
    page.click("#lane", button="right")
    assert page.evaluate("window.menus") == [True, True, True, False]
    page.close()


# --- printing


PRINT_FRAME = "document.getElementById('{}').contentWindow.print()"


@pytest.mark.parametrize("how", ["print()", "frame", "blank", "Control+p", "beforeprint"])
def test_nothing_is_printed(scene: Scene, how: str) -> None:
    page = scene.open("block")
    known = len(scene.attempts("block"))
    page.bring_to_front()
    match how:
        case "print()":
            page.evaluate("window.print()")
        case "frame" | "blank":
            page.evaluate(PRINT_FRAME.format(how))
        case "Control+p":
            page.click("#text")
            page.keyboard.press(how)
        case _:
            page.evaluate("dispatchEvent(new Event('beforeprint'))")
    found = scene.waits("block", known)
    assert [each[:2] for each in found] == [("print", "block")]
    assert "Printing is blocked" in shown(page)
    page.close()


HIDDEN = "() => [...document.documentElement.children].every((node) => getComputedStyle(node).display === 'none') && getComputedStyle(document.documentElement, '::before').content.includes('may not be printed')"


@pytest.mark.parametrize("path", ["/", "/strict"])
def test_paper_shows_the_notice_alone(scene: Scene, path: str, tmp_path: Path) -> None:
    page = scene.open("block", path)
    assert page.evaluate(HIDDEN) is False
    page.evaluate("document.adoptedStyleSheets = []")
    page.emulate_media(media="print")
    assert page.evaluate(HIDDEN) is True
    page.screenshot(path=str(tmp_path / "print.png"))
    page.emulate_media(media="screen")
    page.close()


def test_a_frame_has_the_notice_as_well(scene: Scene) -> None:
    page = scene.open("block")
    page.emulate_media(media="print")
    for frame in page.frames[1:]:
        assert frame.evaluate(HIDDEN) is True
    page.close()


# --- where the text decides


def test_the_text_decides_what_is_copied(scene: Scene) -> None:
    page = scene.open("words")
    scene.clipboard = "before"
    page.bring_to_front()
    select(page, "plain")
    page.keyboard.press("Control+c")
    wait_for(lambda: scene.clipboard == HARMLESS, "the harmless text", 8)
    page.bring_to_front()
    known = len(scene.attempts("words"))
    select(page, "text")
    page.keyboard.press("Control+c")
    assert scene.waits("words", known) == [("copy", "block", "event")]
    assert "Copying in The words app is not allowed" in shown(page)
    assert SECRET not in scene.clipboard
    page.close()


def test_the_text_decides_what_scripts_copy_and_read(scene: Scene) -> None:
    page = scene.open("words")
    page.bring_to_front()
    page.click("#button")
    write = "(text) => navigator.clipboard.writeText(text).then(() => 'done', (error) => error.name)"
    assert page.evaluate(write, HARMLESS) == "done"
    assert page.evaluate(write, SECRET) == "NotAllowedError"
    assert page.evaluate("navigator.clipboard.readText()") == HARMLESS
    scene.clipboard = SECRET
    page.bring_to_front()
    assert page.evaluate("navigator.clipboard.readText().then(String, (error) => error.name)") == "NotAllowedError"
    page.close()


@pytest.mark.parametrize(
    ("name", "text", "after"),
    [
        ("area", "harmless", "harmless"),
        ("area", "a secret", SECRET),
        ("field", "harmless", "harmless"),
        ("rich", "harmless", "harmless"),
    ],
)
def test_the_text_decides_what_is_pasted(scene: Scene, name: str, text: str, after: str) -> None:
    page = scene.open("words")
    scene.clipboard = text
    page.bring_to_front()
    known = len(scene.attempts("words"))
    select(page, name)
    if name == "rich":
        page.focus("#rich")
        select(page, name)
    page.keyboard.press("Control+v")
    ask = f"() => document.getElementById('{name}').value ?? document.getElementById('{name}').innerText"
    if after == SECRET:
        assert scene.waits("words", known) == [("paste", "block", "event")]
    else:
        wait_for(lambda: page.evaluate(ask) == after, "the text in the field", 8)
    assert page.evaluate(ask) == after
    page.close()


def test_a_cut_that_is_granted_takes_the_text_away(scene: Scene) -> None:
    page = scene.open("words")
    page.bring_to_front()
    page.fill("#area", HARMLESS)
    select(page, "area")
    page.keyboard.press("Control+x")
    wait_for(lambda: page.input_value("#area") == "", "the text to be cut", 8)
    assert scene.clipboard == HARMLESS
    page.close()


def test_a_print_that_is_granted_takes_place(scene: Scene) -> None:
    page = scene.open("words", "/strict")
    page.evaluate("document.body.innerText = 'harmless'")
    page.evaluate("addEventListener('beforeprint', () => { window.printed = true; })")
    page.evaluate("window.print()")
    wait_for(lambda: page.evaluate("window.printed === true"), "the print", 20)
    assert page.evaluate(HIDDEN) is False
    page.close()


def test_the_text_is_not_in_the_log(scene: Scene) -> None:
    page = scene.open("words")
    page.bring_to_front()
    known = len(scene.attempts("words"))
    select(page, "text")
    page.keyboard.press("Control+c")
    scene.waits("words", known)
    record = [each for each in scene.proxy.records() if each["activity"] == "copy"][-1]
    assert record["text"] == {"length": len(SECRET)}
    assert SECRET not in json.dumps(scene.proxy.records())
    assert SECRET not in scene.proxy.log
    page.close()


# --- inside


def test_what_may_not_leave_can_be_pasted_inside(scene: Scene) -> None:
    page = scene.open("inside")
    page.bring_to_front()
    select(page, "text")
    page.keyboard.press("Control+c")
    page.fill("#area", "")
    page.focus("#area")
    page.wait_for_timeout(500)
    page.keyboard.press("Control+v")
    wait_for(lambda: page.input_value("#area") == SECRET, "the text inside", 8)
    assert dialog(page) == ""
    outside = scene.clipboard
    assert SECRET not in outside
    assert re.search(r"\[casb:[0-9a-f]{32}\]", outside)
    page.close()


@pytest.mark.parametrize(("app", "gets"), [("inside", True), ("other", True), ("words", False), ("free", False)])
def test_inside_reaches_as_far_as_the_option(scene: Scene, app: str, gets: bool) -> None:
    page = scene.open("inside")
    page.bring_to_front()
    page.click("#button")
    page.evaluate("(text) => navigator.clipboard.writeText(text)", SECRET)
    target = scene.open(app)
    target.bring_to_front()
    target.fill("#area", "")
    target.focus("#area")
    target.keyboard.press("Control+v")
    wait_for(lambda: target.input_value("#area") != "", "something pasted", 8)
    assert (target.input_value("#area") == SECRET) is gets
    page.close()
    target.close()


# --- watched, and nothing where no policy is


def test_what_is_only_watched_goes_on_and_is_written_down(scene: Scene) -> None:
    page = scene.open("watch")
    page.bring_to_front()
    select(page, "text")
    page.keyboard.press("Control+c")
    select(page, "area")
    page.keyboard.press("Control+x")
    page.keyboard.press("Control+v")
    page.evaluate("print()")
    wait_for(lambda: len(scene.attempts("watch")) >= 4, "four records", 20)
    assert sorted(scene.attempts("watch")) == [
        ("copy", "audit", "event"), ("cut", "audit", "event"), ("paste", "audit", "event"), ("print", "audit", "print()")
    ]  # fmt: skip
    assert page.input_value("#area") == SECRET
    assert scene.clipboard == SECRET
    assert dialog(page) == ""
    page.close()


def test_a_page_without_such_a_policy_has_nothing_of_it(scene: Scene) -> None:
    page = scene.open("free")
    tags: list[str] = []
    page.on("request", lambda request: tags.append(request.url))
    page.reload()
    page.bring_to_front()
    select(page, "text")
    page.keyboard.press("Control+c")
    assert scene.clipboard == SECRET
    assert scene.attempts("free") == []
    assert not [url for url in tags if "/.casb/alive" in url or "/.casb/activity" in url]
    page.close()


def test_forward_mode_controls_pages_and_frames_alike(scene: Scene) -> None:
    """No name is mapped there, so nothing else of the guard is at work."""
    browser = scene.context.browser
    assert browser
    context = browser.new_context(
        ignore_https_errors=True, proxy={"server": f"http://127.0.0.1:{scene.proxy.forward}", "bypass": "<-loopback>"}
    )
    name, _, value = scene.forward.partition("=")
    context.add_cookies([{"name": name, "value": value, "url": "https://block.example/", "secure": True, "httpOnly": True, "sameSite": "None"}])  # fmt: skip
    page = context.new_page()
    answer = page.goto("https://block.example/")
    assert answer and answer.status == 200, page.inner_text("body")
    for frame in ("", "frame", "blank"):
        known = len(scene.attempts("block"))
        select(page, "area", frame)
        page.keyboard.press("Control+c")
        assert scene.waits("block", known) == [("copy", "block", "event")], frame
        assert "Company figures" in shown(page)
        page.keyboard.press("Escape")
        page.wait_for_timeout(1100)
    page.emulate_media(media="print")
    assert [frame.evaluate(HIDDEN) for frame in page.frames] == [True, True, True]
    context.close()


# --- the dialog


def test_the_dialog_is_for_keyboards_and_screen_readers(scene: Scene) -> None:
    page = scene.open("block")
    page.bring_to_front()
    page.focus("#field")
    page.keyboard.press("Control+a")
    page.keyboard.press("Control+c")
    shown(page)
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    (found,) = [each for each in nodes if each["role"]["value"] in ("dialog", "alertdialog")]
    assert found["name"]["value"] == "Copying is blocked"
    assert found["description"]["value"] == "Company figures stay in The block app."
    properties = {each["name"]: each["value"].get("value") for each in found["properties"]}
    assert properties["modal"] is True

    def focused() -> str:
        for each in session.send("Accessibility.getFullAXTree")["nodes"]:
            told = {one["name"]: one["value"].get("value") for one in each.get("properties", [])}
            if told.get("focused") and each["role"]["value"] not in ("RootWebArea", "dialog"):
                return str(each["name"]["value"])
        return ""

    assert focused() == "Close"
    reached = set()
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.add(focused())
        assert page.evaluate("document.activeElement.localName") in ("casb-notice", "body")
    assert reached == {"Close", "Ask for access", ""}  # "" is the browser's own bar, never the page below
    page.keyboard.press("Escape")
    wait_for(lambda: dialog(page) == "", "the dialog to close", 5)
    assert page.evaluate("document.activeElement.id") == "field"
    page.close()


def test_the_dialog_of_a_frame_is_the_page_s_and_works_under_a_strict_policy(scene: Scene) -> None:
    page = scene.open("block")
    select(page, "area", "frame")
    page.keyboard.press("Control+c")
    shown(page)
    assert page.locator("casb-notice").count() == 1
    page.goto(page.url + "strict")
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    select(page, "area")
    page.keyboard.press("Control+c")
    assert "Company figures" in shown(page)
    assert said == []
    page.close()


# --- the watermark


def test_the_watermark_stays(scene: Scene) -> None:
    page = scene.open("inside")
    marks = page.locator("html > casb-watermark")
    assert marks.count() == 1
    page.evaluate("document.querySelector('casb-watermark').remove()")
    wait_for(lambda: marks.count() == 1, "the watermark again", 5)
    page.evaluate("document.querySelector('casb-watermark').style.setProperty('display', 'none', 'important')")
    assert page.evaluate("getComputedStyle(document.querySelector('casb-watermark')).display") == "block"
    assert page.evaluate("document.querySelector('casb-watermark').shadowRoot") is None
    page.click("#button")  # nothing lies in its way
    assert scene.open("other").locator("casb-watermark").count() == 0
    page.close()


# --- kept up to date, and taken out


def test_an_open_page_learns_of_changed_policies(scene: Scene) -> None:
    page = scene.context.new_page()
    page.clock.install()
    page.goto(f"https://other.example.{SUFFIX}:{scene.proxy.port}/")
    page.bring_to_front()
    scene.proxy.write("controls.yaml", POLICIES.replace("[inside, other]", "[inside]"))

    def copied() -> bool:
        page.bring_to_front()
        page.clock.fast_forward(61_000)
        page.wait_for_timeout(500)
        select(page, "text")
        page.keyboard.press("Control+c")
        return scene.clipboard == SECRET

    try:
        scene.clipboard = "before"
        wait_for(copied, "the new rules", 20)
    finally:
        scene.proxy.write("controls.yaml", POLICIES)
        page.close()


def test_a_guard_without_its_listeners_says_so(scene: Scene) -> None:
    """As somebody with developer tools would take them away."""
    page = scene.context.new_page()
    page.clock.install()
    page.goto(f"https://block.example.{SUFFIX}:{scene.proxy.port}/")
    page.bring_to_front()
    session = page.context.new_cdp_session(page)
    remove = "for (const type of ['copy', 'dragstart']) for (const each of getEventListeners(window)[type]) window.removeEventListener(type, each.listener, each.useCapture)"
    session.send("Runtime.evaluate", {"expression": remove, "includeCommandLineAPI": True})
    page.clock.fast_forward(61_000)

    def found() -> list[str]:
        every = [reason for each in scene.proxy.records() if each["app"]["id"] == "block" for reason in each["reasons"]]
        return [each["fact"] for each in every if each["code"] == "controls.tampered"]

    wait_for(lambda: "the guard found itself changed: copy, drag" in found(), "the guard's report", 8)
    page.close()


def test_a_page_without_its_guard_is_noticed_and_the_next_is_refused(scene: Scene) -> None:
    page = scene.context.new_page()
    page.route("**/.casb/guard.js*", lambda route: route.fulfill(body="", content_type="text/javascript"))
    url = f"https://fierce.example.{SUFFIX}:{scene.proxy.port}/"
    page.goto(url)
    assert "Quarterly" in page.inner_text("h1")

    def tampered() -> list[str]:
        return [
            each["action"]
            for each in scene.proxy.records()
            if each["app"]["id"] == "fierce"
            and any(reason["code"] == "controls.tampered" for reason in each["reasons"])
        ]

    wait_for(lambda: tampered() == ["audit"], "the missing report", 40)
    answer = page.goto(url)
    assert answer and answer.status == 403
    assert "without its security controls" in page.inner_text("main")
    assert tampered() == ["audit", "block"]
    page.close()


def test_without_scripts_there_is_a_refusal(scene: Scene) -> None:
    state = scene.context.storage_state()
    browser = scene.context.browser
    assert browser
    context = browser.new_context(ignore_https_errors=True, java_script_enabled=False, storage_state=state)
    page = context.new_page()
    page.goto(f"https://other.example.{SUFFIX}:{scene.proxy.port}/")
    page.wait_for_url("**/.casb/scripts-off", timeout=8000)
    assert "JavaScript is needed here" in page.content()
    context.close()
