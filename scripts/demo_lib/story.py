"""The story that `scripts/demo --check` walks: each scene is something a person does, sees, and could not do before."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, Download, Page

from demo_lib.browser import Browsers
from demo_lib.documents import PAYROLL_MARK, sha256
from demo_lib.looking import NAVIGATION, Answer, ask, dialog_text, eventually
from demo_lib.relay import Relay
from demo_lib.stack import RISKY, SUFFIX, Stack, casb

SEALED = b"age-encryption.org/v1"
"""How every file begins that was handed over encrypted."""


class StoryFailed(AssertionError):
    """Something was not as promised. The text is a sentence."""


def must(condition: object, sentence: str) -> None:
    """Raises `StoryFailed` with the sentence unless the condition holds."""
    if not condition:
        raise StoryFailed(sentence)


class Stage:
    """The stack, the browsers and the pictures taken."""

    def __init__(self, stack: Stack, browsers: Browsers, pictures: Path | None, say: Callable[[str], None]) -> None:
        self.stack, self.browsers, self.pictures, self.say = stack, browsers, pictures, say
        self.downloads = stack.folder / "downloads"
        shutil.rmtree(self.downloads, ignore_errors=True)
        self.downloads.mkdir(parents=True)
        self.originals = {path.name: sha256(path) for path in stack.files.folder.iterdir() if path.is_file()}
        self._count = 0

    def picture(self, page: Page, name: str) -> None:
        """Keeps what is seen now, numbered in order."""
        self._count += 1
        if self.pictures:
            self.pictures.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=self.pictures / f"{self._count:02d}-{name}.png")

    @contextmanager
    def scene(self, sentence: str) -> Iterator[None]:
        """Says what was shown, and how long it took."""
        begun = time.monotonic()
        try:
            yield
        except StoryFailed as failure:
            raise StoryFailed(f"{sentence}: {failure}") from failure
        except Exception as error:
            raise StoryFailed(f"{sentence}: {type(error).__name__}: {str(error).splitlines()[0]}") from error
        self.say(f"✓ {sentence} ({time.monotonic() - begun:.1f} s)")

    def wait_for[T](self, what: Callable[[], T], seconds: float = 10) -> T:
        """The first true value of `what()`; records, for one, arrive a moment after the answer."""
        return eventually(what, seconds)

    def address(self, path: str = "/") -> str:
        """A page of the file application through the proxy."""
        return self.stack.url(self.stack.files, path)

    def sign_in(self, context: BrowserContext, user: str, address: str, picture: str = "") -> Page:
        """Opens the address as somebody who must sign in first; the page they land on."""
        page = context.new_page()
        page.goto(address)
        must(page.url.startswith(self.stack.entra.base), f"nobody asked who {user} is; the browser is at {page.url}")
        if picture:
            self.picture(page, picture)
        page.locator(f'button[value="{user}"]').click()
        page.wait_for_url(lambda url: not url.startswith(self.stack.entra.base) and "/.casb/" not in url)
        return page

    def click_download(self, page: Page, name: str) -> tuple[Download, Path]:
        """Clicks on a file in the application's list and keeps what the browser saves."""
        with page.expect_download() as expected:
            page.get_by_role("link", name=name, exact=True).first.click()
        download = expected.value
        path = self.downloads / f"{time.monotonic_ns()}-{download.suggested_filename}"
        download.save_as(path)
        return download, path


def managed_user(stage: Stage) -> None:
    """Scenes of a user on a compliant device: nothing is in the way."""
    ada = stage.browsers.person("ada")
    with stage.scene("Ada, on a compliant device, signs in once and reaches the deep link she asked for"):
        pages: list[str] = []  # As served: the application's own script shortens the address afterwards.
        ada.on("response", lambda response: pages.append(response.url) if response.status == 200 else None)
        ada.add_init_script("if (location.pathname === '/inbox/') window.askedFor = location.href")
        page = stage.sign_in(ada, "ada@contoso.example", stage.address("/inbox/?deep=link#part"), "sign-in")
        must(stage.address("/inbox/?deep=link") in pages, f"the deep link became {page.url}")
        arrived = page.evaluate("window.askedFor")
        must(arrived == stage.address("/inbox/?deep=link#part"), f"the deep link arrived as {arrived}")
        page.wait_for_load_state("networkidle")
        stage.picture(page, "deep-link")
    with stage.scene("the second application opens without another sign-in, and its WebSocket speaks"):
        _second_application(stage, ada)
    with stage.scene("a 20 MB download and payroll.xlsx arrive byte for byte"):
        page.goto(stage.address("/"))
        page.wait_for_load_state("networkidle")
        for name in ("archive.bin", "payroll.xlsx"):
            _, path = stage.click_download(page, name)
            must(sha256(path) == stage.originals[name], f"{name} arrived changed")
        stage.picture(page, "files")
    with stage.scene("an upload reaches the application unchanged"):
        _upload(stage, page)
    with stage.scene("after signing out the session is dead on every host"):
        _sign_out(stage, ada, page)


def _second_application(stage: Stage, context: BrowserContext) -> None:
    page = context.new_page()
    received: list[str] = []
    sockets: list[str] = []

    def on_socket(socket: object) -> None:
        sockets.append(socket.url)  # type: ignore[attr-defined]
        socket.on("framereceived", lambda payload: received.append(str(payload)))  # type: ignore[attr-defined]

    page.on("websocket", on_socket)
    page.goto(stage.stack.url(stage.stack.flows))
    must(page.url == stage.stack.url(stage.stack.flows), f"a second sign-in was asked for: {page.url}")
    page.locator("#red-ui-tab-debug-link-button").click()
    page.get_by_text("the line is open").first.wait_for()
    stage.picture(page, "second-application")
    expected = stage.stack.url(stage.stack.flows, "/comms").replace("https:", "wss:")
    must(sockets == [expected], f"the WebSocket went to {sockets}, not to {expected}")
    must(any("the line is open" in each for each in received), "nothing came over the WebSocket")
    page.close()


def _upload(stage: Stage, page: Page) -> None:
    source = stage.downloads / "expenses.csv"
    source.write_text("day,amount\n" + "2026-11-21,17.50\n" * 5000)
    page.goto(stage.address("/inbox/"))
    page.wait_for_load_state("networkidle")
    page.set_input_files("input#file1", str(source))
    page.locator("#modal-ok").click()
    arrived = stage.stack.files.folder / "inbox" / "expenses.csv"
    eventually(lambda: arrived.exists() and sha256(arrived) == sha256(source), 20)
    stage.picture(page, "upload")
    must(arrived.exists(), "the upload never arrived")
    must(sha256(arrived) == sha256(source), "the upload arrived changed")


def _sign_out(stage: Stage, context: BrowserContext, page: Page) -> None:
    stack = stage.stack
    kept = {app.id: context.cookies(stack.url(app)) for app in (stack.files, stack.flows)}
    must(all(kept.values()), "there was no session cookie to begin with")
    page.goto(stage.address("/.casb/sign-out"))
    stage.picture(page, "sign-out")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{stack.login}/.casb/signed-out")
    stage.picture(page, "signed-out")
    for app in (stack.files, stack.flows):
        cookie = "; ".join(f"{each['name']}={each['value']}" for each in kept[app.id])
        answer = ask(stack, stack.url(app), headers={"Cookie": cookie, "Sec-Fetch-Mode": "cors"})
        must(answer.status == 401, f"{app.name} still answers the old cookie with {answer.status}")
    page.goto(stage.address("/"))
    must(page.url.startswith(stack.entra.base), f"nobody asked who comes back; the browser is at {page.url}")


def unmanaged_user(stage: Stage) -> str:
    """Scenes of a user on an unmanaged device. Gives the activity id of the block."""
    ben = stage.browsers.person("ben")
    with stage.scene("Ben, on an unmanaged device, reads in the application"):
        page = stage.sign_in(ben, "ben@contoso.example", stage.address("/"))
        page.wait_for_load_state("networkidle")
    with stage.scene("his download of payroll.xlsx is blocked: no byte of it arrives, and he is told why"):
        activity = _blocked_download(stage, ben, page)
    with stage.scene("another file is handed over encrypted and opens for him and for nobody else"):
        _protected_download(stage, ben, page)
    with stage.scene("a third file is only monitored"):
        answer = ask(stage.stack, stage.address("/handbook.pdf"), cookies_of=ben, headers=NAVIGATION)
        must(answer.status == 200, f"the handbook was answered with {answer.status}")
        must(answer.body == (stage.stack.files.folder / "handbook.pdf").read_bytes(), "the handbook arrived changed")
    return activity


def _blocked_download(stage: Stage, context: BrowserContext, page: Page) -> str:
    original = (stage.stack.files.folder / "payroll.xlsx").read_bytes()
    answer = ask(stage.stack, stage.address("/payroll.xlsx"), cookies_of=context, headers=NAVIGATION)
    must_be_blocked(answer, original)
    download, path = stage.click_download(page, "payroll.xlsx")
    saved = path.read_bytes()
    must(not leaks(saved, original), "bytes of the file reached the browser")
    found = re.search(rb"Activity:\s+(\S+)", saved)
    must(found is not None, "the text in place of the file names no activity")
    activity = found[1].decode() if found else ""
    must(download.suggested_filename.endswith(".txt"), f"a text file was promised, not {download.suggested_filename}")
    page.locator("casb-notice").wait_for(state="attached")
    words = eventually(lambda: dialog_text(page), 5)
    stage.picture(page, "blocked")
    must(activity in words, f"the dialog does not name the activity {activity}: {words!r}")
    must("payroll.xlsx" in words, f"the dialog does not name the file: {words!r}")
    page.keyboard.press("Escape")
    return activity


def leaks(seen: bytes, original: bytes) -> bool:
    """True when any 32 bytes of the original, at any of its blocks, are in what was seen."""
    return PAYROLL_MARK.encode() in seen or any(
        original[start : start + 32] in seen for start in range(0, len(original) - 32, 32)
    )


def must_be_blocked(answer: Answer, original: bytes) -> None:
    """The wire shows a refusal with its activity id, and nothing of the file."""
    must(not leaks(answer.body, original), "bytes of the file were on the wire")
    must(answer.headers.get("x-casb-activity"), "the answer carries no X-Casb-Activity")
    must("blocked.txt" in answer.headers.get("content-disposition", ""), "no text stands in place of the file")


def _protected_download(stage: Stage, context: BrowserContext, page: Page) -> None:
    original = (stage.stack.files.folder / "quarterly-report.docx").read_bytes()
    download, sealed = stage.click_download(page, "quarterly-report.docx")
    must(sealed.read_bytes().startswith(SEALED), f"{download.suggested_filename} is not encrypted")
    must(not leaks(sealed.read_bytes(), original), "the encrypted file shows its content")
    page.locator("casb-notice").wait_for(state="attached")
    words = eventually(lambda: dialog_text(page), 5)
    stage.picture(page, "protected")
    must("encrypted" in words and "quarterly-report.docx" in words, f"the dialog does not say so: {words!r}")
    page.keyboard.press("Escape")
    opened = _open(stage, context, sealed, "opened")
    must(opened == original, "the file did not open again as it was")
    dan = stage.browsers.person("dan")
    stage.sign_in(dan, "dan@contoso.example", stage.address("/inbox/"))
    must(_open(stage, dan, sealed, "not-opened") is None, "somebody else opened the file")
    _open_as_operator(stage, sealed, original)


def _open_as_operator(stage: Stage, sealed: Path, original: bytes) -> None:
    """The same rule on the command line, where the key ring is."""
    ids = {user["upn"]: f"{user['tid']}/{user['oid']}" for user in stage.stack.entra.call("GET", "/state")["users"]}
    opened = stage.downloads / "opened-by-operator.docx"
    common = ("open", str(sealed), "--config", str(stage.stack.config), "-o", str(opened))
    status, _, errors = casb(stage.stack, *common, "--as", ids["dan@contoso.example"])
    must(status == 1 and not opened.exists(), f"casb open gave it to somebody else: {errors}")
    status, _, errors = casb(stage.stack, *common, "--as", ids["ben@contoso.example"])
    must(status == 0 and opened.read_bytes() == original, f"casb open did not give it to Ben: {errors}")


def _open(stage: Stage, context: BrowserContext, sealed: Path, picture: str) -> bytes | None:
    """What a person gets who brings a protected file to the opening page; None: refused."""
    page = context.new_page()
    page.goto(f"{stage.stack.login}/.casb/open")
    page.set_input_files("input[type=file]", str(sealed))
    if picture == "opened":
        stage.picture(page, "open")
        with page.expect_download() as expected:
            page.get_by_role("button", name="Open").click()
        return Path(expected.value.path()).read_bytes()
    page.get_by_role("button", name="Open").click()
    page.locator("#said.bad").wait_for()
    stage.picture(page, picture)
    told = page.locator("#said").inner_text()
    must("somebody else" in told, f"somebody else was told {told!r}")
    return None


def risky_network(stage: Stage) -> None:
    """A sign-in from an address that `ranges.yaml` calls risky."""
    stack = stage.stack
    with Relay(stack.ports.reverse, RISKY) as relay:
        mapping = f"--host-resolver-rules=MAP *.{SUFFIX}:{stack.ports.reverse} 127.0.0.1:{relay.port}"
        with stage.scene("Dan, unmanaged and on a risky network, is refused before any content of the application"):
            dan = stage.browsers.person("dan-away", mapping)
            before = len(stack.files.access_log())
            page = stage.sign_in(dan, "dan@contoso.example", stage.address("/"))
            stage.picture(page, "risky-network")
            text = page.locator("body").inner_text()
            must("payroll.xlsx" not in text, "the application's list of files was shown")
            must("refused" in text.lower(), f"no refusal is shown: {text[:200]!r}")
            must(len(stack.files.access_log()) == before, "the application was asked all the same")
        with stage.scene("Ada, on her compliant device, works from the same network"):
            ada = stage.browsers.person("ada-away", mapping)
            page = stage.sign_in(ada, "ada@contoso.example", stage.address("/"))
            page.get_by_role("link", name="payroll.xlsx", exact=True).first.wait_for()
