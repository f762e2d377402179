"""Six applications written by others, used directly and through the suffix, must behave the same.

Five things hold for each on top: no request left the mapping, no cookie is foreign, the origin never saw the suffix,
nothing that it stored names the suffix, and no security policy was violated that is not violated directly.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from applications import Running, send_mail, start_all
from casb.lab.browser import View, playwright, view
from casb.lab.relay import forms_of
from casb.lab.stage import Stage, stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
expect.set_options(timeout=30_000)

type Outcome = list[object]


@dataclass
class Bed:
    """The applications, the stage before them, and the two browsers."""

    at: Stage
    apps: dict[str, Running]
    direct: View
    through: View
    pictures: Path
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("applications")
    pictures = Path(os.environ.get("CASB_PICTURES", folder / "pictures"))
    pictures.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        started = start_all(folder / "apps")
        for each in started:
            stack.callback(each.stop)
        at = stack.enter_context(stage(folder / "stage", [each.application() for each in started], label="casbsuffix"))
        running = stack.enter_context(playwright())
        hosts = tuple(each.host for each in started)
        direct = stack.enter_context(
            view(running, at, "direct", folder / "direct", through=False, hosts=hosts, offline=True, patience=45)
        )
        through = stack.enter_context(
            view(running, at, "through", folder / "through", through=True, offline=True, patience=45)
        )
        for page in (direct.page, through.page):
            page.on("dialog", lambda dialog: dialog.accept())
        yield Bed(at=at, apps={each.id: each for each in started}, direct=direct, through=through, pictures=pictures)


# ---------------------------------------------------------------- what people do


def files(here: View, app: Running) -> Outcome:
    """Upload by the resumable way, list, download, take everything as an archive."""
    page, name = here.page, f"report-{here.name}.txt"
    body = f"See {app.url}/welcome.txt and https://files.acme.example.evil.test/\n".encode() * 500
    page.goto(here.url(app.url + "/"))
    expect(page.locator("#files")).to_contain_text("welcome.txt")
    page.locator("#u2btn, #file1").first.wait_for(state="attached")
    page.evaluate("goto('up2k')")
    page.locator("#file1").set_input_files({"name": name, "mimeType": "text/plain", "buffer": body})
    page.locator("#modal-ok").click()
    expect(page.locator("#u2tabw")).to_contain_text(name)
    expect(page.locator("#u2tabw")).to_contain_text(re.compile("done", re.IGNORECASE))
    page.goto(here.url(app.url + "/"))
    expect(page.locator("#files")).to_contain_text(name)
    with page.expect_download() as waiting:
        page.evaluate(
            "name => { const a = document.createElement('a'); a.href = '/' + name + '?dl'; a.click(); }", name
        )
    downloaded = Path(waiting.value.path()).read_bytes()
    with page.expect_download() as waiting:
        page.evaluate("() => { const a = document.createElement('a'); a.href = '/?tar'; a.click(); }")
    archive = Path(waiting.value.path()).read_bytes()
    stored = (app.folder / name).read_bytes()
    ranged = page.evaluate(
        "name => fetch('/' + name, {headers: {range: 'bytes=4-30'}}).then(async r => [r.status, await r.text()])", name
    )
    return [stored == body, downloaded == body, body in archive, ranged[0], here.plain(ranged[1])]


def flows(here: View, app: Running) -> Outcome:
    """Import a flow as JSON, deploy it, and see its message come back over the WebSocket."""
    page, mark = here.page, f"greeting {here.name}"
    page.goto(here.url(app.url + "/"))
    page.locator("#red-ui-workspace-chart").wait_for()
    tab = "1111" if here.suffix else "2222"
    flow = [
        {"id": f"t{tab}", "type": "tab", "label": mark},
        {"id": f"i{tab}", "type": "inject", "z": f"t{tab}", "name": "go", "props": [{"p": "payload"}], "repeat": "1",
         "once": True, "payload": f"{mark} from {app.url}/flow", "payloadType": "str", "x": 180, "y": 120,
         "wires": [[f"d{tab}"]]},
        {"id": f"d{tab}", "type": "debug", "z": f"t{tab}", "name": "seen", "active": True, "tosidebar": True,
         "complete": "payload", "targetType": "msg", "x": 420, "y": 120, "wires": []},
    ]  # fmt: skip
    page.evaluate("flow => RED.view.importNodes ? RED.view.importNodes(flow, {generateIds: false}) : null", flow)
    page.evaluate("() => RED.actions.invoke('core:show-debug-tab')")
    page.locator("#red-ui-header-button-deploy").click()
    message = page.locator(".red-ui-debug-msg", has_text=mark).first
    expect(message).to_be_visible(timeout=45_000)
    text = here.plain(message.locator(".red-ui-debug-msg-payload").inner_text())
    stored = (app.folder / "flows.json").read_text()
    page.evaluate("id => { RED.workspaces.show(id); }", f"t{tab}")
    return [text.replace(here.name, ""), f"{mark} from {app.url}/flow" in stored]


def wiki(here: View, app: Running) -> Outcome:
    """Write a page with links to the wiki itself; it is saved by itself."""
    page, title = here.page, f"Notes {here.name}"
    page.goto(here.url(app.url + "/"))
    page.locator("button[aria-label='new tiddler']").click()
    editor = page.locator(".tc-tiddler-edit-frame").last
    editor.locator("input.tc-titlebar").fill(title)
    text = f"Read [[the wiki|{app.url}/#Here]] and {app.url}/recipes/ or https://wiki.acme.example.evil.test/"
    editor.frame_locator("iframe").locator("textarea").fill(text)
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "Notes" in answer.url) as saved:
        editor.locator("button[aria-label^='Confirm changes']").click()
    shown = page.locator(f".tc-tiddler-frame[data-tiddler-title='{title}']")
    links = shown.locator("a.tc-tiddlylink-external").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    stored = next((app.folder / "tiddlers").glob(f"*{title}*")).read_text()
    page.reload()
    page.goto(here.url(app.url + f"/#{title.replace(' ', '%20')}"))
    expect(page.locator(f"[data-tiddler-title='{title}']").first).to_be_visible()
    return [saved.value.status, [here.plain(each) for each in links], text in stored]


def mail(here: View, app: Running) -> Outcome:
    """A message arrives while the page is open; it is read, with its links, and deleted."""
    page, subject = here.page, f"Invoice {here.name}"
    page.goto(here.url(app.url + "/"))
    page.locator(".sidebar").first.wait_for()
    link = f'<p>Open <a href="{app.url}/#/pay">{app.url}/#/pay</a> or <a href="https://elsewhere.test/">this</a></p>'
    send_mail(app.mail, subject, link)
    entry = page.locator(".email-list a", has_text=subject).first
    entry.click(timeout=45_000)
    body = page.frame_locator("iframe").first
    expect(body.locator("a").first).to_be_visible()
    links = body.locator("a").evaluate_all("all => all.map(one => [one.href, one.textContent])")
    count = page.locator(".email-list a", has_text=subject).count()
    page.evaluate(
        "() => fetch('/email').then(r => r.json()).then(all => fetch('/email/' + all[0].id, {method: 'DELETE'}))"
    )
    expect(page.locator(".email-list a", has_text=subject)).to_have_count(0)
    return [[[here.plain(each) for each in link] for link in links], count]


def notebooks(here: View, app: Running) -> Outcome:
    """A text file is written and saved; a kernel answers over its WebSocket."""
    page, name = here.page, f"notes-{here.name}.md"
    (app.folder / name).write_text("# Notes\n")
    page.goto(here.url(f"{app.url}/lab/tree/{name}?reset"))
    editor = page.locator(".cm-content[contenteditable=true]").first
    editor.click()
    page.keyboard.press("Control+End")
    page.keyboard.type(f"Look at {app.url}/lab and https://notebooks.acme.example.evil.test/ today")
    with page.expect_response(lambda answer: answer.request.method == "PUT" and name in answer.url) as saved:
        page.keyboard.press("Control+s")
    text = (app.folder / name).read_text()
    answer = page.evaluate(KERNEL)
    return [saved.value.status, text.strip().splitlines()[-1], answer]


KERNEL = """async () => {
  const token = (document.cookie.match(/_xsrf=([^;]+)/) || [])[1] || '';
  const made = await fetch('/api/kernels', {method: 'POST', headers: {'X-XSRFToken': token}, body: '{}'});
  const kernel = await made.json();
  const socket = new WebSocket(`wss://${location.host}/api/kernels/${kernel.id}/channels?session_id=a1`);
  const answer = await new Promise((resolve, reject) => {
    socket.onopen = () => socket.send(JSON.stringify({
      header: {msg_id: 'm1', msg_type: 'execute_request', session: 'a1', username: '', version: '5.3', date: ''},
      parent_header: {}, metadata: {}, channel: 'shell', buffers: [],
      content: {code: 'print(6 * 7)', silent: false, store_history: false, user_expressions: {}, allow_stdin: false},
    }));
    socket.onmessage = ({data}) => {
      const message = JSON.parse(data);
      if (message.msg_type === 'stream') resolve(message.content.text);
    };
    socket.onerror = () => reject(new Error('socket'));
    setTimeout(() => reject(new Error('late')), 15000);
  });
  socket.close();
  await fetch('/api/kernels/' + kernel.id, {method: 'DELETE', headers: {'X-XSRFToken': token}});
  return [made.status, answer];
}"""


def budget(here: View, app: Running) -> Outcome:
    """A budget is begun in the browser's own database, in shared memory; it is there again after a reload."""
    page = here.page
    page.goto(here.url(app.url + "/"))
    page.get_by_role("button", name="Start budgeting").click()
    expect(page.get_by_text("To Budget:").first).to_be_visible(timeout=45_000)
    isolated = page.evaluate("() => [crossOriginIsolated, typeof SharedArrayBuffer]")
    worker = page.evaluate("() => navigator.serviceWorker.ready.then(ready => new URL(ready.scope).pathname)")
    page.reload()
    expect(page.get_by_text("To Budget:").first).to_be_visible(timeout=45_000)
    kept = page.evaluate("() => indexedDB.databases().then(all => all.length)")
    return [isolated, worker, kept]


SCENARIOS: dict[str, Callable[[View, Running], Outcome]] = {
    each.__name__: each for each in (files, flows, wiki, mail, notebooks, budget)
}


# ---------------------------------------------------------------- what must hold


def played(bed: Bed, name: str) -> tuple[Outcome, Outcome, Running]:
    app = bed.apps[name]
    found = []
    for here in (bed.direct, bed.through):
        here.noticed.forget()
        try:
            found.append(SCENARIOS[name](here, app))
        except BaseException:
            picture(bed, here.page, f"failed-{name}-{here.name}")
            raise
        picture(bed, here.page, f"{name}-{here.name}")
        here.noticed.collect(here.page)
        here.page.goto("about:blank")
    return found[0], found[1], app


def picture(bed: Bed, page: Page, name: str) -> None:
    with contextlib.suppress(Exception):
        page.screenshot(path=bed.pictures / f"{name}.png")


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_outcome(bed: Bed, name: str) -> None:
    directly, through, app = played(bed, name)
    assert through == directly
    elsewhere = {each.host for each in bed.direct.noticed.requests} - {each.host for each in bed.apps.values()}
    left = [each.url for each in bed.through.escaped() if each.host not in elsewhere]
    assert left == [], "a request left the mapping"
    assert bed.through.foreign_cookies() == []
    assert [each for each in bed.at.relay.told if each.host == app.host] == [], "the origin saw the suffix"
    assert stored_marks(app.folder, bed.at.marks) == []
    assert violations(bed.through) == violations(bed.direct)


def violations(here: View) -> set[tuple[str, str, str]]:
    return {(directive, here.plain(blocked), how) for directive, blocked, how in here.noticed.violations}


def stored_marks(folder: Path, marks: tuple[str, ...]) -> list[str]:
    """Files of an application in which a mark stands, plain or in base64."""
    forms = [form for mark in marks for form in forms_of(mark)]
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and any(form in path.read_bytes() for form in forms)
    ]
