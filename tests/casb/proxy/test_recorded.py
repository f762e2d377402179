"""Recordings: what is kept of a flow, and a HAR that a real browser wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Route, sync_playwright

from casb.cli import main
from casb.model.activity import ActivityType
from casb.model.app import App, Signature
from casb.proxy.recorded import _path

CONFIG = {
    "casb.yaml": "version: 1\nsuffix: casb.example\n",
    "apps/files.yaml": "{id: files, name: Files, domains: [files.example]}\n",
    "p.yaml": (
        "version: 1\npolicies:\n"
        "  - {id: no-payroll, activities: download, when: {file: 'payroll*', device: unmanaged}, action: block}\n"
        "  - {id: no-uploads, activities: upload, when: {file: '*.xlsx'}, action: block}\n"
    ),
}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PAGE = """<script>
const form = new FormData(); form.append("f", new Blob(["a"]), "plan.xlsx");
fetch("/up", {method: "POST", body: form}).then(() => document.title = "done");
</script>"""


def test_of_a_query_only_what_signatures_name_is_kept() -> None:
    signature = Signature(id="d", activity=ActivityType.DOWNLOAD, query=frozenset({"download", "op=get"}))
    app = App(id="a", name="A", domains=("a.example",), signatures=(signature,))
    for path, kept in (
        ("/x?download=secret&op=get&key=secret", "/x?download&op=get"),
        ("/x?op=put&key=secret", "/x"),
        ("/x", "/x"),
    ):
        assert _path(path, app) == kept
    assert _path("/x?download=1", None) == "/x"


@pytest.fixture(scope="module")
def har(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Chromium saw of an application: a page, an upload and a download."""
    path = tmp_path_factory.mktemp("har") / "session.har"

    def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        disposition = {"content-disposition": 'attachment; filename="payroll.xlsx"'} if name == "payroll" else {}
        route.fulfill(body=PAGE, headers={"content-type": "text/html", **disposition})

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        context = browser.new_context(record_har_path=path)
        context.route("**/*", answer)
        page = context.new_page()
        page.goto("https://files.example/home")
        page.wait_for_function("document.title === 'done'")
        page.evaluate("fetch('/payroll').then(each => each.text())")
        context.close()
        browser.close()
    return path


def test_a_har_of_a_real_browser(har: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in CONFIG.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    told = ["replay", str(har), "--config", str(tmp_path), "--user", "ada@contoso.example", "--format", "json"]
    assert main(told) == 0
    found = {each["url"]: each for each in map(json.loads, capsys.readouterr().out.splitlines())}
    assert found["https://files.example/payroll"]["action"] == "block"
    assert found["https://files.example/payroll"]["policy"] == "no-payroll"
    assert found["https://files.example/up"]["activity"] == "upload"
    assert found["https://files.example/up"]["policy"] == "no-uploads"
    assert found["https://files.example/home"]["action"] == "allow"
    assert {each["user"] for each in found.values()} == {"ada@contoso.example"}
    assert main([*told, "--device", "compliant"]) == 0
    managed = {each["url"]: each for each in map(json.loads, capsys.readouterr().out.splitlines())}
    assert managed["https://files.example/payroll"]["action"] == "allow"
