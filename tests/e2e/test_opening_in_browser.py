"""Opening protected files in a real browser: a container is decrypted in the page, a password is shown."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import openpyxl
import pytest
from demo_lib.browser import find_browser
from playwright.sync_api import BrowserContext, expect, sync_playwright

from casb.protection.office import decrypt_ooxml
from casb.store.protected_sqlite import KIND, ProtectedFiles, row_of
from proxy_world import NAVIGATE, SUFFIX, World, world

SHOTS = os.environ.get("CASB_SCREENSHOTS")
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
LOGIN = f"login.{SUFFIX}"
POLICIES = """\
version: 1
policies:
  - {id: protect, activities: [download], action: protect}
"""
BODY = os.urandom(65_536) * 40 + b"the end"  # 2.6 MB, not a whole number of chunks


@dataclass
class Scene:
    proxy: World
    context: BrowserContext
    address: str

    def download(self, name: str, body: bytes) -> bytes:
        disposition = f'attachment; filename="{name}"'
        self.proxy.origin.page("/f", body, content_type="application/octet-stream", content_disposition=disposition)
        return self.proxy.ask("/f", cookie=self.session("ada@contoso.example", self.proxy.host), headers=NAVIGATE).body

    def session(self, name: str, host: str) -> str:
        """In a thread: Playwright has an event loop running in this one."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self.proxy.session, name, host=host).result()

    def sign_in(self, name: str) -> None:
        self.context.clear_cookies()
        value = self.session(name, LOGIN).partition("=")[2]
        self.context.add_cookies(
            [{"name": "__Host-casb_l", "value": value, "url": self.address, "secure": True, "httpOnly": True}]
        )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with world(tmp_path_factory.mktemp("opening"), start=False) as made:
        made.write("policies.yaml", POLICIES)
        made.start()
        rules = f"--host-resolver-rules=MAP *.{SUFFIX} 127.0.0.1"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_browser(), args=[*ARGUMENTS.split(), rules])
            context = browser.new_context(ignore_https_errors=True, accept_downloads=True)
            try:
                yield Scene(made, context, f"https://{LOGIN}:{made.port}")
            finally:
                browser.close()


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, len(BODY)])
def test_a_container_is_decrypted_in_the_page(scene: Scene, size: int, tmp_path: Path) -> None:
    path = tmp_path / "plan.bin.age"
    path.write_bytes(scene.download("plan.bin", BODY[:size]))
    scene.sign_in("ada@contoso.example")
    page = scene.context.new_page()
    sent: list[int] = []
    page.on("request", lambda request: sent.append(len(request.post_data_buffer or b"")))
    page.goto(f"{scene.address}/.casb/open")
    page.get_by_label("Protected file").set_input_files(path)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Open").click()
    saved = tmp_path / "saved"
    waiting.value.save_as(saved)
    assert saved.read_bytes() == BODY[:size]
    assert waiting.value.suggested_filename == "plan.bin"
    assert sum(sent) <= 16_384, "the file stays on the device"
    expect(page.get_by_role("status")).to_contain_text("plan.bin was opened and saved.")
    page.close()


@pytest.mark.parametrize(
    ("who", "change", "says"),
    [
        pytest.param("kim@contoso.example", lambda data: data, "handed over to somebody else", id="somebody else"),
        pytest.param("ada@contoso.example", lambda data: data[:-9], "changed or cut", id="cut short"),
        pytest.param(
            "ada@contoso.example", lambda data: data[:90_000] + b"!" + data[90_001:], "changed or cut", id="changed"
        ),
    ],
)
def test_what_may_not_or_cannot_be_opened(scene: Scene, who: str, change: object, says: str, tmp_path: Path) -> None:
    assert callable(change)
    path = tmp_path / "plan.bin.age"
    path.write_bytes(change(scene.download("plan.bin", BODY[:200_000])))
    scene.sign_in(who)
    page = scene.context.new_page()
    downloads: list[object] = []
    page.on("download", lambda download: downloads.append(download))
    page.goto(f"{scene.address}/.casb/open")
    page.get_by_label("Protected file").set_input_files(path)
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("status")).to_contain_text(says)
    assert not downloads, "nothing is saved of a file that is not whole"
    page.close()


def test_the_password_of_an_office_file_is_shown_and_opens_it(scene: Scene, tmp_path: Path) -> None:
    target = io.BytesIO()
    openpyxl.Workbook().save(target)
    sealed = scene.download("salaries.xlsx", target.getvalue())
    files = ProtectedFiles(scene.proxy.data)
    files.keep([row_of(each) for each in scene.proxy.spooled() if each.get("kind") == KIND])
    (tmp_path / "salaries.xlsx").write_bytes(sealed)
    scene.sign_in("ada@contoso.example")
    page = scene.context.new_page()
    page.goto(f"{scene.address}/.casb/open")
    page.get_by_label("Protected file").set_input_files(tmp_path / "salaries.xlsx")
    page.get_by_role("button", name="Open").click()
    field = page.get_by_label("Password", exact=True)
    expect(field).not_to_have_value("")
    assert decrypt_ooxml(sealed, field.input_value())
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/open-password.png", full_page=True)
    page.reload()
    expect(page.get_by_label("Password", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Show the password of salaries.xlsx").click()
    expect(field).not_to_have_value("")
    assert decrypt_ooxml(sealed, field.input_value())
    page.close()
