"""A real browser in the laboratory: how it is started, and everything it noticed while it walked."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from casb.errors import ConnectorError
from casb.lab.stage import Stage

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Playwright, Request, Response, WebSocket

QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=DialMediaRouteProvider,OptimizationHints,Translate,HttpsUpgrades",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VIOLATIONS = """(() => {
  const seen = [];
  Object.defineProperty(window, Symbol.for("casb.lab"), { value: seen });
  addEventListener("securitypolicyviolation", (event) => {
    if (seen.length < 500) seen.push([event.effectiveDirective, event.blockedURI, event.disposition]);
  }, true);
})();"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request of the browser. `status` is 0 while there is no answer; `failure` says why there is none."""

    method: str
    url: str
    kind: str  # document, script, xhr, fetch, image, font, websocket …
    page: str
    status: int = 0
    failure: str = ""

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""


@dataclass
class Noticed:
    """What one browser context did and said, in order."""

    asked: dict[int, Asked] = field(default_factory=dict)
    console: list[str] = field(default_factory=list)
    violations: list[tuple[str, str, str]] = field(default_factory=list)
    headers: dict[str, dict[str, list[str]]] = field(default_factory=dict)  # URL of a document → its headers
    _kept: list[object] = field(default_factory=list)  # an id must not be given to another meanwhile

    def forget(self) -> None:
        """Begin anew."""
        for each in (self.asked, self.console, self.violations, self.headers, self._kept):
            each.clear()

    def watch(self, context: BrowserContext) -> None:
        """Listen to a context and all its pages."""
        context.on("request", self._on_request)
        context.on("requestfailed", self._on_failed)
        context.on("response", self._on_response)
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self.console.append(f"uncaught: {error.error}"))
        context.on("page", self._on_page)
        context.add_init_script(VIOLATIONS)

    def _on_page(self, page: Page) -> None:
        page.on("websocket", self._on_socket)

    def _on_request(self, request: Request) -> None:
        page = ""
        with contextlib.suppress(Exception):  # a service worker's request has no frame
            page = request.frame.url
        self.asked[id(request)] = Asked(method=request.method, url=request.url, kind=request.resource_type, page=page)
        self._kept.append(request)  # or its id would be given to another

    def _on_failed(self, request: Request) -> None:
        self._change(request, failure=request.failure or "failed")

    def _on_response(self, response: Response) -> None:
        self._change(response.request, status=response.status)
        if response.request.resource_type == "document" and len(self.headers) < 200:
            with contextlib.suppress(Exception):
                found: dict[str, list[str]] = {}
                for each in response.headers_array():
                    found.setdefault(each["name"].lower(), []).append(each["value"])
                self.headers[response.url] = found

    def _change(self, request: Request, **changes: Any) -> None:
        known = self.asked.get(id(request))
        if known is not None:
            values = {name: getattr(known, name) for name in Asked.__slots__}
            self.asked[id(request)] = Asked(**{**values, **changes})

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and len(self.console) < 2000:
            self.console.append(f"{message.type}: {message.text}")

    def _on_socket(self, socket: WebSocket) -> None:
        self.asked[id(socket)] = Asked(method="GET", url=socket.url, kind="websocket", page="", status=101)
        self._kept.append(socket)
        socket.on("socketerror", lambda text: self._socket_failed(socket, text))

    def _socket_failed(self, socket: WebSocket, text: str) -> None:
        known = self.asked[id(socket)]
        self.asked[id(socket)] = Asked(method="GET", url=known.url, kind="websocket", page="", failure=text or "failed")

    def collect(self, page: Page) -> None:
        """Fetch what the page's own listener noted."""
        for frame in page.frames:
            with contextlib.suppress(Exception):  # a frame of another origin, or gone
                for entry in frame.evaluate("(window[Symbol.for('casb.lab')] || []).splice(0)"):
                    self.violations.append((str(entry[0]), str(entry[1]), str(entry[2])))

    @property
    def requests(self) -> list[Asked]:
        return list(self.asked.values())


@dataclass
class View:
    """One way of opening the application: `base` is the origin's address as this browser writes it."""

    name: str
    context: BrowserContext
    page: Page
    noticed: Noticed
    suffix: str = ""  # empty: direct

    def url(self, url: str) -> str:
        """A URL of the application (`https://app.example/…`) as this view opens it."""
        if not self.suffix:
            return url
        parts = urlsplit(url)
        return parts._replace(netloc=f"{parts.netloc}.{self.suffix}").geturl()

    def plain(self, text: str) -> str:
        """Any text with the suffix taken off its host names."""
        return text.replace(f".{self.suffix}", "") if self.suffix else text

    def escaped(self) -> list[Asked]:
        """Requests of the suffix view that left the mapping."""
        if not self.suffix:
            return []
        return [
            each
            for each in self.noticed.requests
            if each.url.startswith(("http", "ws")) and not each.host.endswith(f".{self.suffix}")
        ]

    def foreign_cookies(self) -> list[str]:
        """Cookies that stand for a host outside the suffix, or for all of it."""
        if not self.suffix:
            return []
        found = []
        for each in self.context.cookies():
            domain = str(each.get("domain", "")).lstrip(".")
            if not domain.endswith(f".{self.suffix}"):
                found.append(f"{each.get('name')} for {domain}")
        return found


@contextlib.contextmanager
def playwright() -> Iterator[Playwright]:
    """Playwright. Raises `ConnectorError` L002 when it is not installed."""
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - an extra that only the laboratory needs
    except ImportError:
        raise ConnectorError(
            "L002",
            "Playwright is not installed",
            hint="pip install 'casb[lab]', and a Chromium: apt-get install chromium",
        ) from None
    with sync_playwright() as running:
        yield running


def find_browser() -> str:
    """The installed Chromium or Chrome. Raises `ConnectorError` L002."""
    named = os.environ.get("CASB_BROWSER", "")
    for name in (named, *BROWSERS):
        found = name and shutil.which(name)
        if found:
            return found
    raise ConnectorError(
        "L002", "no Chromium was found", hint="apt-get install chromium, or set CASB_BROWSER to its path"
    )


@contextlib.contextmanager
def view(
    running: Playwright,
    at: Stage,
    name: str,
    profile: Path,
    *,
    through: bool,
    hosts: tuple[str, ...] = (),
    offline: bool = False,
    patience: float = 15,
    width: int = 1280,
    height: int = 800,
) -> Iterator[View]:
    """A fresh browser. `through`: the suffix; else `hosts` (patterns) are looked for at the relay.

    `offline`: no other name is found. `patience`: seconds for one action.
    """
    rules = [f"MAP *.{at.suffix} 127.0.0.1:{at.port}"] if through else []
    rules += [f"MAP {host} 127.0.0.1:{at.relay.port}" for host in hosts] if not through else []
    rules += ["MAP * ~NOTFOUND"] if offline else []
    arguments = [*QUIET, f"--host-resolver-rules={','.join(rules)}"]
    arguments.append(f"--ignore-certificate-errors-spki-list={at.issuer},{at.relay.front.spki}")
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    context = running.chromium.launch_persistent_context(
        str(profile),
        executable_path=find_browser(),
        args=arguments,
        headless=True,
        accept_downloads=True,
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    try:
        context.set_default_timeout(patience * 1000)
        noticed = Noticed()
        noticed.watch(context)
        if through:
            cookie_name, _, value = at.cookie.partition("=")
            context.add_cookies(
                [
                    {
                        "name": cookie_name,
                        "value": value,
                        "url": f"https://{at.login_host}/",
                        "secure": True,
                        "httpOnly": True,
                        "sameSite": "Lax",
                    }
                ]
            )
        page = context.new_page()
        yield View(name=name, context=context, page=page, noticed=noticed, suffix=at.suffix if through else "")
    finally:
        context.close()


_SPACES = re.compile(r"\s+")


def settled(page: Page, seconds: float = 5.0, quiet: float = 0.4) -> None:
    """Wait until the page's markup has been the same for `quiet` seconds, at most `seconds`."""
    with contextlib.suppress(Exception):
        page.wait_for_load_state("load", timeout=seconds * 1000)
    deadline, before, since = time.monotonic() + seconds, -1, time.monotonic()
    while time.monotonic() < deadline:
        size = -2
        with contextlib.suppress(Exception):  # it may be navigating
            size = page.evaluate("document.documentElement ? document.documentElement.innerHTML.length : 0")
        if size != before:
            before, since = size, time.monotonic()
        elif time.monotonic() - since >= quiet:
            return
        page.wait_for_timeout(100)
