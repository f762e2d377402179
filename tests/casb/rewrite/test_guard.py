"""The guard script: its template, and what it does in a real browser on small pages served over TLS on loopback."""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import base64
import datetime as dt
import hashlib
import http.server
import itertools
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from casb.model.app import View
from casb.rewrite.context import RewriteContext
from casb.rewrite.csp import page_policy, to_suffix
from casb.rewrite.guard import guard_digest, guard_script
from casb.rewrite.hosts import HostMap
from casb.rewrite.html import HtmlRewriter

NAMES = ["app.example", "*.wild.example", "app.example:8444"]
NOTICE = {
    "title": "Download blocked",
    "message": "Payroll stays inside.\n<img src=x onerror=alert(1)>",
    "file": "payroll.xlsx",
    "policy": "block-payroll",
    "activity": "a1",
    "kind": "block",
    "help_url": "https://help.test/why",
}
PAGES = {
    "/": '<!doctype html><title>t</title><button id=b>b</button><a id=d href=/file.txt download>file</a><a id=n href="/file.txt">nav</a>',
    "/plain": "<!doctype html><title>no guard</title><p>x",
    "/frame": "<!doctype html><title>f</title><iframe name=inner src=/ style='width:80px;height:60px'></iframe>",
}  # fmt: skip


def config_of(script: bytes) -> dict[str, Any]:
    """What the script is called with."""
    found: dict[str, Any] = json.loads(script.decode().rstrip().rpartition("})(")[2].removesuffix(");"))
    return found


def test_the_configuration_is_put_in() -> None:
    hosts = HostMap("casb.test", 8443, [*NAMES, "a.co.uk"], plain=["app.example"])
    assert config_of(guard_script(hosts, login="login.example", view=View.ORIGIN)) == {
        "suffix": "casb.test",
        "port": "8443",
        "flat": False,
        "login": "login.example",
        "view": "origin",
        "exact": ["a.co.uk", "app.example", "app.example:8444"],
        "parents": ["wild.example"],
        "plain": ["app.example"],
        "plain_parents": [],
        "public": ["co.uk"],
    }


def test_without_a_suffix_the_script_maps_nothing() -> None:
    found = config_of(guard_script(HostMap("", 443, ["a.example"])))
    assert (found["suffix"], found["port"], found["exact"], found["parents"]) == ("", "", [], [])


def test_the_digest_is_that_of_the_script() -> None:
    script = guard_script(HostMap("casb.test", 443, []))
    assert guard_digest(script) == "sha256-" + base64.b64encode(hashlib.sha256(script).digest()).decode()


class Site(http.server.BaseHTTPRequestHandler):
    """One origin of a controlled app as the browser sees it through the proxy."""

    protocol_version = "HTTP/1.1"
    hosts: HostMap
    policy = ""
    posted: list[str]

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if origin := self.headers.get("Origin"):  # as the proxy answers for the hosts of one app
            self.send_header("Access-Control-Allow-Origin", origin)
            self.send_header("Access-Control-Allow-Credentials", "true")
            self.send_header("Access-Control-Allow-Headers", "x-casb-anonymous")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_OPTIONS(self) -> None:
        self.answer(204, b"")

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        type(self).posted.append(f"{self.headers['Host']}{self.path}")
        context = RewriteContext(
            hosts=self.hosts, host="app.example", guard_digest=guard_digest(guard_script(self.hosts))
        )
        if path == "/.casb/guard.js":
            self.answer(200, guard_script(self.hosts), Content_Type="text/javascript; charset=utf-8")
        elif path == "/.casb/notice/a1":
            self.answer(200, json.dumps(NOTICE).encode(), Content_Type="application/json")
        elif path == "/file.txt":
            self.answer(
                200,
                b"blocked",
                Content_Type="text/plain",
                Content_Disposition='attachment; filename="blocked.txt"',
                Set_Cookie="casb_notice=a1; Path=/; Secure; SameSite=Lax; Max-Age=60",
            )
        elif path == "/blocked":
            answer = {"casb": "blocked", "activity": "a2", "message": "No uploads here."}
            self.answer(403, json.dumps(answer).encode(), Content_Type="application/json")
        elif path in ("/sign-in", "/evil-sign-in"):
            host = f"login.casb.test:{self.hosts.port}" if path == "/sign-in" else "evil.test"
            answer = {"casb": "sign-in", "url": f"https://{host}/.casb/login?p=1"}
            self.answer(401, json.dumps(answer).encode(), Content_Type="application/json")
        elif path in PAGES:
            rewriter = HtmlRewriter(context, page_policy([self.policy], context), guard=path != "/plain")
            body = rewriter.feed(PAGES[path].encode()) + rewriter.finish()
            headers = {"Content_Type": "text/html; charset=utf-8"}
            if self.policy:
                page = page_policy([self.policy], context)
                headers["Content_Security_Policy"] = to_suffix(self.policy, context, nonce=page.nonce)
            self.answer(200, body, **headers)
        else:
            self.answer(200, b"ok", Content_Type="text/plain")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Site]]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "casb.test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + dt.timedelta(days=1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("*.casb.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = Path(tmp_path_factory.mktemp("tls")) / "server.pem"
    pem = serialization.Encoding.PEM
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    Site.hosts = HostMap("casb.test", server.server_address[1], NAMES)
    Site.posted = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Site
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[
                "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * 127.0.0.1",
                "--ignore-certificate-errors",
            ],
        )  # fmt: skip
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(ignore_https_errors=True, viewport={"width": 800, "height": 600})
    yield made
    made.close()


def base(site: type[Site]) -> str:
    return f"https://app.example.casb.test:{site.hosts.port}"


@pytest.fixture
def page(context: BrowserContext, site: type[Site]) -> Page:
    site.policy = ""
    opened = context.new_page()
    opened.goto(base(site) + "/")
    return opened


# The shadow root is closed; a test opens it by remembering it, before the page begins.
REMEMBER = """
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function (options) { return attach.call(this, { ...options, mode: "open" }); };
"""


@pytest.fixture
def seen(context: BrowserContext, site: type[Site]) -> Page:
    """A page whose dialog can be looked into."""
    site.policy = ""
    opened = context.new_page()
    opened.add_init_script(REMEMBER)
    opened.goto(base(site) + "/")
    return opened


def test_a_blocked_download_is_explained(seen: Page) -> None:
    seen.locator("#d").focus()
    with seen.expect_download():
        seen.keyboard.press("Enter")
    dialog = seen.get_by_role("dialog", name="Download blocked")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("Payroll stays inside.")
    expect(dialog).to_contain_text("<img src=x onerror=alert(1)>")
    for fact in ("payroll.xlsx", "block-payroll", "a1"):
        expect(dialog.locator("dd", has_text=fact).first).to_be_visible()
    assert dialog.locator("img").count() == 0, "text, never markup"
    link = dialog.get_by_role("link", name="Get help")
    assert link.get_attribute("href") == "https://help.test/why"
    assert "casb_notice" not in str(seen.evaluate("document.cookie")), "told once"
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    seen.keyboard.press("Escape")
    expect(seen.locator("casb-notice")).to_have_count(0)
    assert seen.evaluate("document.activeElement.id") == "d", "focus returns"


def test_a_navigation_that_became_a_download_is_explained(seen: Page) -> None:
    with seen.expect_download():
        seen.locator("#n").click()
    expect(seen.get_by_role("dialog", name="Download blocked")).to_be_visible()
    assert seen.get_by_role("dialog").evaluate("d => getComputedStyle(d).borderRadius") == "10px", "its own style"


def test_the_shadow_is_closed_to_the_page(page: Page) -> None:
    with page.expect_download():
        page.locator("#n").click()
    page.wait_for_selector("casb-notice", state="attached")
    assert page.evaluate("document.querySelector('casb-notice').shadowRoot") is None


def test_a_frame_speaks_through_its_outermost_window(context: BrowserContext, site: type[Site]) -> None:
    site.policy = ""
    page = context.new_page()
    page.add_init_script(REMEMBER)
    page.goto(base(site) + "/frame")
    frame = page.frame("inner")
    assert frame
    with page.expect_download():
        frame.locator("#n").dispatch_event("click")
    expect(page.locator("html > casb-notice")).to_have_count(1)
    assert frame.locator("casb-notice").count() == 0


REQUESTS = {
    "fetch": "async (path) => { const r = await fetch(path); return [r.status, (await r.json()).casb]; }",
    "post": "async (path) => { const r = await fetch(new Request(path, {method: 'POST', body: 'x'})); return [r.status, (await r.json()).casb]; }",
    "xhr": """path => new Promise(done => { const x = new XMLHttpRequest(); x.open('POST', path);
        x.onload = () => done([x.status, JSON.parse(x.responseText).casb]); x.send('x'); })""",
    "xhr json": """path => new Promise(done => { const x = new XMLHttpRequest(); x.open('GET', path); x.responseType = 'json';
        x.onload = () => done([x.status, x.response.casb]); x.send(); })""",
    "xhr blob": """path => new Promise(done => { const x = new XMLHttpRequest(); x.open('GET', path); x.responseType = 'blob';
        x.onload = async () => done([x.status, JSON.parse(await x.response.text()).casb]); x.send(); })""",
}  # fmt: skip


@pytest.mark.parametrize("way", REQUESTS)
def test_a_blocked_request_is_explained_and_the_page_still_gets_it(seen: Page, way: str) -> None:
    assert seen.evaluate(REQUESTS[way], "/blocked") == [403, "blocked"]
    dialog = seen.get_by_role("dialog", name="Blocked by your organisation")
    expect(dialog).to_contain_text("No uploads here.")
    expect(dialog).to_contain_text("a2")


def test_the_same_block_is_shown_once(seen: Page) -> None:
    seen.evaluate("() => Promise.all([1, 2, 3].map(() => fetch('/blocked')))")
    expect(seen.get_by_role("dialog")).to_be_visible()
    seen.keyboard.press("Escape")
    expect(seen.locator("casb-notice")).to_have_count(0)


@pytest.mark.parametrize("way", ["fetch", "xhr"])
def test_the_way_back_to_sign_in(seen: Page, site: type[Site], way: str) -> None:
    assert seen.evaluate(REQUESTS[way], "/sign-in") == [401, "sign-in"]
    dialog = seen.get_by_role("dialog", name="Your session has ended")
    expect(dialog.get_by_role("button", name="Not now")).to_be_visible()
    dialog.get_by_role("button", name="Sign in").click()
    seen.wait_for_url(f"https://login.casb.test:{site.hosts.port}/.casb/login?p=1")


def test_nobody_else_is_a_sign_in(seen: Page) -> None:
    assert seen.evaluate(REQUESTS["fetch"], "/evil-sign-in") == [401, "sign-in"]
    seen.wait_for_timeout(300)
    assert seen.locator("casb-notice").count() == 0


@pytest.mark.parametrize(
    ("call", "asked", "why"),
    [
        ("fetch('https://app.example/api?x#y')", "app.example.casb.test/api?x", "an absolute URL"),
        ("fetch(new URL('http://a.wild.example/w'))", "a.wild.example.casb.test/w", "a URL object, http, below a wildcard"),
        ("fetch(new Request('https://app.example/r'))", "app.example.casb.test/r", "a Request"),
        ("fetch('//app.example:8444/p')", "app.example--p8444.casb.test/p", "a port of its own"),
        ("fetch('https://' + location.hostname + '/h')", "app.example.casb.test/h", "without our port"),
        ("new Promise(d => { const x = new XMLHttpRequest(); x.open('GET', 'https://app.example/x'); x.onload = d; x.send(); })", "app.example.casb.test/x", "XMLHttpRequest"),
        ("new Promise(d => { const e = new EventSource('https://app.example/e'); e.onerror = () => { e.close(); d(); }; })", "app.example.casb.test/e", "EventSource"),
        ("navigator.sendBeacon('https://app.example/b', 'x')", "app.example.casb.test/b", "a beacon"),
    ],
)  # fmt: skip
def test_urls_made_at_run_time_stay_in_the_session(
    page: Page, site: type[Site], call: str, asked: str, why: str
) -> None:
    site.posted.clear()
    page.evaluate(f"async () => {{ await {call}; }}")
    page.wait_for_timeout(100)
    host, slash, path = asked.partition("/")
    assert f"{host}:{site.hosts.port}{slash}{path}" in site.posted, why


def test_sockets_and_windows_stay_in_the_session(page: Page, context: BrowserContext, site: type[Site]) -> None:
    port = site.hosts.port
    with page.expect_websocket() as socket:
        page.evaluate("() => { window.s = new WebSocket('ws://app.example/ws', ['p']); }")
    assert socket.value.url == f"wss://app.example.casb.test:{port}/ws"
    assert page.evaluate("s instanceof WebSocket && s.constructor === WebSocket && WebSocket.OPEN === 1")
    with context.expect_page() as opened:
        page.evaluate("() => { window.open('https://app.example/plain'); }")
    opened.value.wait_for_url(f"{base(site)}/plain")


@pytest.mark.parametrize(
    ("written", "kept", "why"),
    [
        ("c=1; domain=app.example; Path=/", True, "its own name"),
        ("c=1;Domain=.APP.example", True, "dot and case mean nothing"),
        ("c=1", True, "host-only"),
        ("c=1; domain=other.example", False, "not its own"),
        ("c=1; domain=pp.example", False, "a domain begins at a dot"),
    ],
)
def test_cookies_that_scripts_set(page: Page, written: str, kept: bool, why: str) -> None:
    page.evaluate("text => { document.cookie = text; }", written)
    assert ("c=1" in page.evaluate("document.cookie")) is kept, why


def test_foreign_urls_are_not_touched(page: Page) -> None:
    urls = [
        "https://other.test/x",
        "https://notapp.example/",
        "https://app.example.evil/",
        "https://app.example:8445/",
        "data:,x",
    ]
    assert page.evaluate("urls => urls.map(url => new Request(url).url)", urls) == urls
    own = page.evaluate("['/x', 'x', '?q', ''].map(url => new Request(url).url)")
    assert own == [page.url + "x", page.url + "x", page.url + "?q", page.url]
    assert (
        page.evaluate("(() => { try { new Request('https://['); } catch (error) { return error.name; } })()")
        == "TypeError"
    )


SURFACE = """() => {
  const of = (f) => [f.name, f.length, String(f).includes("[native code]")];
  return {
    keys: Object.keys(window).sort(), names: Object.getOwnPropertyNames(window).filter(n => !/^\\d+$/.test(n)).sort(),
    functions: [fetch, Request, WebSocket, EventSource, open, XMLHttpRequest.prototype.open, navigator.sendBeacon].map(of),
    same: new Request("/").constructor === Request && new Request("/") instanceof Request,
    thrown: (() => { try { new WebSocket("x:y"); } catch (e) { return e.name; } })(),
    called: (() => { try { WebSocket("wss://x"); } catch (e) { return e.name; } })(),
    scripts: document.scripts.length,
  };
}"""


def test_the_page_cannot_tell(page: Page, site: type[Site]) -> None:
    with_guard: dict[str, Any] = page.evaluate(SURFACE)
    page.goto(base(site) + "/plain")
    without: dict[str, Any] = page.evaluate(SURFACE)
    for surface in (with_guard, without):
        for function in surface["functions"]:
            assert function[2]
    assert with_guard == without


def test_a_failed_fetch_is_told_to_the_page_once(page: Page) -> None:
    count = page.evaluate("""async () => {
        let count = 0;
        window.addEventListener("unhandledrejection", (event) => { count++; event.preventDefault(); });
        fetch("https://other.invalid:1/");
        try { await fetch("https://other.invalid:1/"); } catch {}
        await new Promise((done) => setTimeout(done, 300));
        return count;
    }""")
    assert count == 1


POLICIES = [
    "default-src 'none'",
    "default-src 'self'",
    "script-src 'nonce-r4nd0m' 'strict-dynamic'; style-src 'none'; require-trusted-types-for 'script'",
    "script-src 'strict-dynamic' 'sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='; connect-src 'none'",
    "script-src https://cdn.test; connect-src https://api.test; style-src 'none'; trusted-types 'none'",
    "default-src 'none', script-src 'self'",
]


@pytest.mark.parametrize("policy", POLICIES)
def test_it_runs_under_the_sites_own_policy(context: BrowserContext, site: type[Site], policy: str) -> None:
    site.policy = policy
    page = context.new_page()
    page.add_init_script(REMEMBER)
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.goto(base(site) + "/")
    with page.expect_download():
        page.locator("#n").click()
    expect(page.get_by_role("dialog", name="Download blocked")).to_be_visible()
    assert page.get_by_role("dialog").evaluate("d => getComputedStyle(d).borderRadius") == "10px"
    assert [text for text in messages if "Content Security Policy" in text and "favicon" not in text] == []


# --- the same laws as hosts.py: the script's own mapping, run over the same addresses ------------------------------------

SHAPES = {
    "dotted": HostMap("casb.test", 8443, [*NAMES, "xn--bcher-kva.example", "[2001:db8::1]:8444", "a-b.example"], plain=["app.example"]),
    "on 443": HostMap("casb.test", 443, [*NAMES, "192.0.2.7"]),
    "flat": HostMap("casb.test", 443, [*NAMES, "my-app.example:8444", "xn--bcher-kva.example"], flat=True),
}  # fmt: skip
HOSTS = [
    "app.example", "APP.Example", "app.example.", "notapp.example", "app.example.evil", "a.b.wild.example", "wild.example",
    "bücher.example", "a-b.example", "my-app.example", "192.0.2.7", "0xc0000207", "[2001:db8:0::1]", "app%2eexample", "other.test",
    "app.example.casb.test", "app.example--p8444.casb.test", "app-example--x.casb.test", "my--app-example--x8444.casb.test",
    "evil.casb.test", "casb.test", "app.example--p443.casb.test", "2001-db8-0-0-0-0-0-1--v6--p8444.casb.test",
]  # fmt: skip
PARTS = (
    ["https://", "http://", "HTTPS:\\\\", "//", "wss://", "ws://", " https://", "ht\ttps://", "https:", "ftp://", "/"],
    ["", "user@", "u:p@"],
    HOSTS,
    ["", ":443", ":80", ":8443", ":8444", ":08444", ":8445"],
    ["", "/p?q=https://app.example/#f", "?x", "\\z"],
)  # fmt: skip
RUNNER = """
const guard = globalThis[Symbol.for("casb.guard")];
const href = (text) => { try { return new URL(text, "https://base.invalid/d/").href } catch { return null } };
console.log(JSON.stringify(JSON.parse(require("fs").readFileSync(0, "utf8")).map((text) => {
  const plain = href(text);
  return plain && [plain, guard.url(plain), casb$.back(plain), href(guard.url(text)), casb$.back(guard.url(plain))];
})));
"""


@pytest.mark.parametrize("shape", SHAPES)
def test_addresses_are_mapped_as_the_proxy_maps_them(shape: str) -> None:
    texts = ["".join(parts) for parts in itertools.product(*PARTS)]
    hosts = SHAPES[shape]
    script = "delete globalThis.navigator;" + guard_script(hosts, view=View.ORIGIN).decode() + RUNNER
    node = shutil.which("node") or "node"
    done = subprocess.run([node, "-e", script], input=json.dumps(texts), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for found in filter(None, json.loads(done.stdout)):
        plain, out, home, raw, again = found
        expected = hosts.url_to_suffix(plain)
        if out != expected and hosts.port_tail:
            # The proxy leaves a suffix host without our port alone; a page may have put it together so.
            assert hosts.url_to_origin(plain) != plain and out.startswith(("https://", "wss://")), found
            expected = out
        assert out == expected, found
        assert home == hosts.url_to_origin(plain), found
        assert raw == out, "however it is spelt"
        if expected != plain:
            assert again == hosts.url_to_origin(expected), found
