"""Files that pages make themselves, and every way in which they hand them to the browser; judged before they are saved."""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Download, Page, sync_playwright

from proxy_world import APP_HOST, SUFFIX, World, wait_for, world

pytestmark = pytest.mark.e2e

PROGRAM = [77, 90, *[0] * 58, 64, 0, 0, 0, 80, 69, 0, 0, *[1] * 400]
NOTES = [*b"just some notes\n" * 10]
PAGE = b"""<!doctype html><title>Maker</title><h1>Maker</h1><a id=link>save</a><script>
window.bytes = (list) => new Uint8Array(list);
window.blobUrl = (list, type = "application/octet-stream") => URL.createObjectURL(new Blob([bytes(list)], {type}));
window.dataUrl = (list) => "data:application/octet-stream;base64," + btoa(String.fromCharCode(...list));
window.anchor = (url, name) => Object.assign(document.createElement("a"), {href: url, download: name});
</script>"""
# Before the guard: a picker without a window of the system, over the origin's private files.
PICKER = """window.showSaveFilePicker = async (options) =>
  (await navigator.storage.getDirectory()).getFileHandle(options.suggestedName, {create: true});"""

WAYS = {
    "a link in the page": "const a = anchor(blobUrl(list), name); document.body.append(a); a.click()",
    "a link in no document": "anchor(blobUrl(list), name).click()",
    "an event on a link": "anchor(blobUrl(list), name).dispatchEvent(new MouseEvent('click'))",
    "a link taken back at once": "const u = blobUrl(list); anchor(u, name).click(); URL.revokeObjectURL(u)",
    "a data URL": "anchor(dataUrl(list), name).click()",
    "a link in a frame of its own": "const f = document.createElement('iframe'); document.body.append(f); const a = f.contentDocument.createElement('a'); a.href = blobUrl(list); a.download = name; f.contentDocument.body.append(a); a.click()",
    "location": "location.href = blobUrl(list)",
    "a frame": "const f = document.createElement('iframe'); document.body.append(f); f.src = blobUrl(list)",
    "a window": "window.open(blobUrl(list))",
}
TYPED = {"by hand": "const a = document.getElementById('link'); a.href = blobUrl(list); a.download = name"}


@dataclass
class Scene:
    proxy: World
    page: Page
    downloads: list[Download]
    cookie: str

    def fresh(self) -> None:
        self.page.goto(f"https://{self.proxy.host}:{self.proxy.port}/maker")
        self.downloads.clear()

    def waits(self) -> None:
        """Until a file has come down."""
        wait_for(lambda: (self.page.evaluate("0"), self.downloads)[1], "the download", 8)

    def shown(self) -> str:
        return str(wait_for(lambda: dialog(self.page), "the dialog", 8))


def dialog(page: Page) -> str:
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    open_now = any(each.get("role", {}).get("value") == "dialog" for each in nodes)
    texts = [
        each.get("name", {}).get("value", "") for each in nodes if each.get("role", {}).get("value") == "StaticText"
    ]
    return " ".join(texts) if open_now else ""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(world(tmp_path_factory.mktemp("saves"), start=False))
        proxy.write(
            "saves.yaml",
            """\
version: 1
policies:
  - id: no-programs
    activities: download
    when: {file: {detected_type: application/vnd.microsoft.portable-executable}}
    action: block
    message: Programs stay here.
  - id: no-plans
    activities: download
    when: {file: {name: "plan*"}}
    action: block
    message: Plans stay here.
""",
        )
        proxy.origin.page("/maker", PAGE, content_type="text/html; charset=utf-8")
        proxy.start()
        name, _, value = proxy.session().partition("=")
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[
                "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync",
                f"--host-resolver-rules=MAP *.{SUFFIX} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )  # fmt: skip
        stack.callback(browser.close)
        context = browser.new_context(ignore_https_errors=True)
        context.add_cookies(
            [
                {
                    "name": name,
                    "value": value,
                    "url": f"https://{APP_HOST}.{SUFFIX}:{proxy.port}/",
                    "secure": True,
                    "httpOnly": True,
                    "sameSite": "None",
                }
            ]
        )
        context.add_init_script(PICKER)
        page = context.new_page()
        downloads: list[Download] = []

        def kept(download: Download) -> None:
            downloads.append(download)

        context.on("page", lambda other: other.on("download", kept))
        page.on("download", kept)
        yield Scene(proxy, page, downloads, f"{name}={value}")


def run(scene: Scene, script: str, content: list[int], name: str) -> None:
    scene.page.evaluate(f"([list, name]) => {{ {script} }}", [content, name])


@pytest.mark.parametrize("way", WAYS)
def test_what_may_be_saved_is_saved(scene: Scene, way: str) -> None:
    scene.fresh()
    run(scene, WAYS[way], NOTES, "notes.txt")
    scene.waits()
    assert Path(scene.downloads[0].path()).read_bytes() == bytes(NOTES)
    assert "blocked" not in dialog(scene.page)


@pytest.mark.parametrize("way", WAYS)
def test_what_its_content_forbids_is_not_saved(scene: Scene, way: str) -> None:
    scene.fresh()
    run(scene, WAYS[way], PROGRAM, "tool.bin")
    assert "Programs stay here." in scene.shown()
    assert scene.downloads == []


def test_a_press_of_the_mouse(scene: Scene) -> None:
    for content, name, saved in ((NOTES, "notes.txt", 1), (NOTES, "plan.txt", 0), (PROGRAM, "a.bin", 0)):
        scene.fresh()
        run(scene, TYPED["by hand"], content, name)
        scene.page.click("#link")
        if saved:
            scene.waits()
            assert scene.downloads[0].suggested_filename == name
        else:
            assert "stay here." in scene.shown()
            assert scene.downloads == []


def test_the_record_says_what_it_was(scene: Scene) -> None:
    scene.fresh()
    run(scene, WAYS["a link in no document"], PROGRAM, "../../a\u202egpj.exe")
    scene.shown()
    record: dict[str, Any] = scene.proxy.records()[-1]
    assert (record["activity"], record["action"], record["policy"]) == ("download", "block", "no-programs")
    assert (record["file"]["name"], record["extra"]["via"]) == ("agpj.exe", "page")
    assert record["file"]["size"] == len(PROGRAM)


WRITE = """async ([list, name]) => {
  const handle = await showSaveFilePicker({suggestedName: name});
  let result = "written";
  try {
    const stream = await handle.createWritable();
    await stream.write(bytes(list.slice(0, 100)));
    await stream.seek(100);
    await new Blob([bytes(list.slice(100))]).stream().pipeTo(stream);
  } catch (error) { result = error.name; }
  return [result, (await handle.getFile()).size];
}"""


def test_the_file_system(scene: Scene) -> None:
    scene.fresh()
    assert scene.page.evaluate(WRITE, [NOTES, "notes.txt"]) == ["written", len(NOTES)]
    assert scene.page.evaluate(WRITE, [PROGRAM, "tool.bin"]) == ["NotAllowedError", 0]
    assert "Programs stay here." in scene.shown()


def test_the_origins_private_files_are_its_own(scene: Scene) -> None:
    scene.fresh()
    script = """async (list) => {
      const handle = await (await navigator.storage.getDirectory()).getFileHandle("own", {create: true});
      const stream = await handle.createWritable();
      await stream.write(bytes(list));
      await stream.close();
      return (await handle.getFile()).size;
    }"""
    assert scene.page.evaluate(script, PROGRAM) == len(PROGRAM)


@pytest.mark.parametrize(
    "told", ["", "x", json.dumps({"name": 1}), json.dumps({"name": "a", "type": "b", "content": "all"})]
)
def test_a_question_that_is_none(scene: Scene, told: str) -> None:
    import base64

    origin = f"https://{scene.proxy.host}:{scene.proxy.port}"
    answer = scene.proxy.ask(
        "/.casb/save",
        method="POST",
        cookie=scene.cookie,
        headers={
            "origin": origin,
            "sec-fetch-site": "same-origin",
            "casb-save": base64.b64encode(told.encode()).decode(),
        },
        body=b"",
    )
    assert answer.status == 400
