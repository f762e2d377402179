"""The three modes in a real browser: the same sign-in, policies and log, and nothing opened that is not controlled."""

from __future__ import annotations

import http.server
import json
import os
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from demo_lib.browser import Browsers, browsers
from demo_lib.pki import DemoAuthority
from demo_lib.processes import Child, listening
from playwright.sync_api import BrowserContext, Page

from proxy_world import ADDONS, APP_HOST, reply, wait_for
from wire_world import EntraSite, entra_site, nothing_leaked

pytestmark = pytest.mark.e2e

POLICIES = """\
version: 1
policies:
  - id: block-payroll
    kind: session
    activities: [download]
    when: {device: {tag: unmanaged}, file: {name: "payroll*"}}
    action: block
    message: Payroll stays on managed devices.
"""
FILE = b"salary,name\n" + b"90000,ada\n" * 20_000
PAGE = b"""<!doctype html><html><head><title>Company Files</title></head><body><h1>Company Files</h1>
<p><a href="/payroll">payroll.xlsx</a> <a href="/plan">plan.xlsx</a></p></body></html>"""
OTHERS = "Somebody else's authority"


class Elsewhere:
    """A site that is nobody's business here, with a certificate of its own."""

    def __init__(self, folder: Path) -> None:
        self.authority = DemoAuthority(folder, OTHERS)
        leaf = self.authority.leaf("elsewhere", ["localhost"])

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                reply(self, 200, b"<h1>Somewhere else</h1>", content_type="text/html")

            def log_message(self, *arguments: Any) -> None:
                """Quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(leaf.certificate, leaf.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://localhost:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@dataclass
class Scene:
    """The deployment, its sidecar, somewhere else, and the people at their browsers."""

    at: EntraSite
    sidecar: int
    elsewhere: Elsewhere
    crowd: Browsers
    pictures: Path

    def picture(self, page: Page, name: str) -> None:
        self.pictures.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=self.pictures / f"{name}.png")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("modes")
    pictures = Path(os.environ.get("CASB_PICTURES", folder / "pictures"))
    with entra_site(folder, policies=POLICIES) as at, closing(Elsewhere(folder / "elsewhere")) as elsewhere:
        proxy = at.proxy
        proxy.origin.page("/", PAGE, content_type="text/html")
        proxy.origin.routes["/payroll"] = lambda handler, _body: attachment(handler, "payroll.xlsx")
        proxy.origin.routes["/plan"] = lambda handler, _body: attachment(handler, "plan.xlsx")
        settings = yaml.safe_load((proxy.config / "casb.yaml").read_text())
        port = int(settings["listeners"]["sidecar"].rpartition(":")[2])
        command = [sys.executable, "-m", "casb.cli", "serve", "--config", str(proxy.config)]
        environment = {"PYTHONPATH": str(ADDONS), **proxy.environment}
        sidecar = Child("casb serve", command, folder / "sidecar.log", environment=environment)
        try:
            sidecar.wait_until(lambda: listening(port), 40)
            trusted = {
                "casb": proxy.folder / "certs" / "casb-ca.pem",
                "entra": at.entra.ca,
                "elsewhere": elsewhere.authority.certificate_path,
            }
            with browsers(folder / "home", trusted) as crowd:
                yield Scene(at=at, sidecar=port, elsewhere=elsewhere, crowd=crowd, pictures=pictures)
        finally:
            sidecar.stop()


def attachment(handler: BaseHTTPRequestHandler, name: str) -> None:
    disposition = f'attachment; filename="{name}"'
    reply(handler, 200, FILE, content_type="application/octet-stream", content_disposition=disposition)


def our_issuer(scene: Scene) -> str:
    """The name of our authority, as a browser shows it."""
    pem = scene.at.proxy.folder / "certs" / "casb-ca.pem"
    told = subprocess.run(
        ["openssl", "x509", "-in", str(pem), "-noout", "-subject", "-nameopt", "multiline"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"commonName\s*=\s*(.+)", told)
    assert found is not None
    return found[1].strip()


def sign_in(scene: Scene, context: BrowserContext, address: str, user: str) -> Page:
    page = context.new_page()
    page.goto(address)
    assert page.url.startswith(scene.at.entra.base), page.url
    page.locator(f'button[value="{user}"]').click()
    page.get_by_role("heading", name="Company Files").wait_for()
    return page


def walk(scene: Scene, context: BrowserContext, base: str, mode: str) -> None:
    """A deep link, a sign-in, a file that may leave and one that may not; then the log."""
    before = len(scene.at.proxy.records())
    page = sign_in(scene, context, f"{base}/?deep=link#part", "ben@contoso.example")
    assert page.url == f"{base}/?deep=link#part"
    scene.picture(page, f"{mode}-1-signed-in")
    again = page.reload()
    assert again is not None
    details = again.security_details()
    assert details is not None
    assert details.get("issuer") == our_issuer(scene)

    with page.expect_download() as free:
        page.get_by_role("link", name="plan.xlsx").click()
    assert Path(free.value.path()).read_bytes() == FILE
    with page.expect_download() as stopped:
        page.get_by_role("link", name="payroll.xlsx").click()
    told = Path(stopped.value.path()).read_bytes()
    assert b"90000" not in told
    assert b"Payroll stays on managed devices." in told
    found = re.search(rb"Activity:\s+(\S+)", told)
    assert found is not None
    page.locator("casb-notice").wait_for(state="attached")
    page.wait_for_timeout(300)
    scene.picture(page, f"{mode}-2-blocked")

    record = scene.at.proxy.record(found[1].decode())
    assert (record["action"], record["policy"], record["mode"]) == ("block", "block-payroll", mode)
    assert (record["user"]["name"], record["app"]["id"]) == ("ben@contoso.example", "files")
    kinds = [(each["activity"], each["action"], each["mode"]) for each in scene.at.proxy.records()[before:]]
    assert ("logon", "allow", mode) in kinds
    assert ("download", "allow", mode) in kinds
    nothing_leaked(scene.at.proxy, *(each["value"] for each in context.cookies() if len(each.get("value", "")) > 20))


def tunnels(scene: Scene) -> int:
    """How many connections the worker has passed on unopened."""
    paths = list((scene.at.proxy.data / "workers").glob("*.json"))
    return sum(json.loads(path.read_text())["counters"].get("tunnels", 0) for path in paths)


def test_forward_mode_with_the_pac_file(scene: Scene) -> None:
    address = f"http://127.0.0.1:{scene.sidecar}/proxy.pac"
    pac = requests.get(address, timeout=10)
    assert pac.headers["content-type"].startswith("application/x-ns-proxy-autoconfig")
    assert f"PROXY 127.0.0.1:{scene.at.proxy.forward}" in pac.text
    ben = scene.crowd.person("forward", f"--proxy-pac-url={address}")
    walk(scene, ben, f"https://{APP_HOST}", "forward")
    page = ben.new_page()
    answer = page.goto(scene.elsewhere.url)
    assert answer is not None
    details = answer.security_details()
    assert details is not None
    assert details.get("issuer") == OTHERS


def test_a_host_that_is_not_controlled_is_never_decrypted(scene: Scene) -> None:
    """Everything through the forward proxy, as where a firewall allows nothing else."""
    options = (f"--proxy-server=http://127.0.0.1:{scene.at.proxy.forward}", "--proxy-bypass-list=<-loopback>")
    cleo = scene.crowd.person("tunnel", *options)
    before = tunnels(scene)
    page = cleo.new_page()
    answer = page.goto(scene.elsewhere.url)
    assert answer is not None
    details = answer.security_details()
    assert details is not None
    assert details.get("issuer") == OTHERS, "its own certificate"
    assert page.get_by_role("heading", name="Somewhere else").is_visible()
    scene.picture(page, "tunnel-somewhere-else")
    wait_for(lambda: tunnels(scene) > before, "the worker to have counted the tunnel", 5)
    assert not any("localhost" in json.dumps(each["request"]) for each in scene.at.proxy.records())


def test_host_preserving_mode(scene: Scene) -> None:
    port = scene.at.proxy.port
    dns = f"--host-resolver-rules=MAP {APP_HOST} 127.0.0.1:{port}"
    walk(scene, scene.crowd.person("host", dns), f"https://{APP_HOST}:{port}", "host")


def test_suffix_mode(scene: Scene) -> None:
    walk(scene, scene.crowd.person("suffix"), scene.at.url("").rstrip("/"), "suffix")
