"""A device certificate as a person's browser presents it: Chromium, its own certificate store, the emulated Entra."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from cryptography.hazmat.primitives.serialization import Encoding
from demo_lib.browser import find_browser, trust
from playwright.sync_api import Page, Playwright, expect, sync_playwright

from device_pki import SERVER, Held, authority, device, revocations
from proxy_world import wait_for
from wire_world import Browser as Person
from wire_world import EntraSite, entra_site

SHOTS = os.environ.get("CASB_SCREENSHOTS")
ARGUMENTS = (
    "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --no-sandbox"
)
POLICIES = """
version: 1
policies:
  - id: managed-only
    kind: session
    apps: [files]
    activities: download
    when: {device: unmanaged}
    action: block
"""
PAGE = b"<!doctype html><title>Files</title><h1>Company files</h1><a href=/x.bin>x</a>"


@dataclass
class Scene:
    """A deployment, a PKI for devices and a way to start browsers."""

    site: EntraSite
    playwright: Playwright
    folder: Path
    root: Held
    issuing: Held
    revoked: Held

    @contextmanager
    def browser(self, name: str, held: Held | None) -> Iterator[Page]:
        """A browser of its own, with a certificate in its store that it presents without asking."""
        home = self.folder / name
        home.mkdir()
        trust(home, {})
        if held is not None:
            bundle = held.p12(home / "device.p12", self.issuing)
            store = f"sql:{home}/.pki/nssdb"
            command = [shutil.which("pk12util") or "pk12util", "-i", str(bundle), "-d", store, "-W", "", "-K", ""]
            subprocess.run(command, check=True, capture_output=True)
        profile = home / "profile" / "Default"
        profile.mkdir(parents=True)
        pattern = f"https://device.{self.site.suffix}:{self.site.proxy.port},*"
        chosen = {pattern: {"setting": {"filters": [{"ISSUER": {"CN": "Device issuing CA"}}, {}]}}}
        kept = {"profile": {"content_settings": {"exceptions": {"auto_select_certificate": chosen}}}}
        (profile / "Preferences").write_text(json.dumps(kept))
        context = self.playwright.chromium.launch_persistent_context(
            str(home / "profile"),
            executable_path=find_browser(),
            args=ARGUMENTS.split(),
            env={**os.environ, "HOME": str(home)},
            ignore_https_errors=True,
        )
        context.set_default_timeout(20_000)
        try:
            yield context.pages[0]
        finally:
            context.close()

    def sign_in(self, page: Page, path: str = "/", user: str = "ben@contoso.example") -> None:
        """Ben's device proves nothing at Entra."""
        page.goto(self.site.url(path))
        page.locator(f'button[value="{user}"]').click()
        expect(page.get_by_role("heading")).to_have_text("Company files")

    def shown(self, page: Page, name: str) -> str:
        """What the session page says."""
        page.goto(f"{self.site.login}/.casb/session")
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/device-{name}.png")
        return page.inner_text("body")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("device")
    root = authority("Device root")
    issuing = authority("Device issuing CA", root)
    revoked = device(issuing, "stolen-1")
    pki = folder / "proxy" / "config" / "device"
    certificates = (
        "{anchors: [device/root.pem], intermediates: [device/issuing.pem], crls: [device/root.crl, device/issuing.crl]}"
    )
    files = {
        "root.pem": root.pem,
        "issuing.pem": issuing.pem,
        "root.crl": revocations(root).public_bytes(Encoding.DER),
        "issuing.crl": revocations(issuing, revoked).public_bytes(Encoding.PEM),
    }
    pki.mkdir(parents=True)
    for name, data in files.items():
        (pki / name).write_bytes(data)
    lines = {"client_certificates": certificates}
    with entra_site(folder, policies=POLICIES, **lines) as made, sync_playwright() as playwright:
        made.proxy.origin.page("/", PAGE, content_type="text/html")
        made.proxy.origin.page(
            "/x.bin", b"x" * 10, content_type="application/octet-stream", content_disposition="attachment"
        )
        yield Scene(made, playwright, folder, root, issuing, revoked)


@pytest.mark.e2e
def test_a_browser_with_a_certificate_is_a_managed_device(scene: Scene) -> None:
    with scene.browser("valid", device(scene.issuing, "laptop-7")) as page:
        scene.sign_in(page, "/#part")
        assert page.url == scene.site.url("/#part")
        text = scene.shown(page, "valid")
        assert "Has a valid client certificate" in text
        assert "issued by Device issuing CA" in text
        assert "laptop-7" in text
        page.goto(scene.site.url("/"))
        with page.expect_download():
            page.get_by_text("x", exact=True).click()
        (record,) = [each for each in scene.site.proxy.records() if each["activity"] == "download"][-1:]
        assert record["device"]["sources"]["client-certificate"].startswith("certificate:")


OTHERS: dict[str, tuple[Callable[[Scene], Held | None], str]] = {
    "none": (lambda scene: None, "I030"),
    "expired": (lambda scene: device(scene.issuing, "old-1", days=2), "I030"),  # nor this one
    "foreign": (lambda scene: device(authority("Foreign CA"), "foreign-1"), "I030"),  # never offered by the browser
    "revoked": (lambda scene: scene.revoked, "I035"),
}


@pytest.mark.e2e
@pytest.mark.parametrize("case", OTHERS)
def test_any_other_browser_signs_in_as_an_unmanaged_device(scene: Scene, case: str) -> None:
    make, code = OTHERS[case]
    before = len(scene.site.proxy.records())
    with scene.browser(case, make(scene)) as page:
        scene.sign_in(page)
        assert "Unmanaged." in scene.shown(page, case)
        page.goto(scene.site.url("/"))
        page.get_by_text("x", exact=True).click()
        proxy = scene.site.proxy
        done = wait_for(lambda: [each for each in proxy.records()[before:] if each["activity"] == "download"], "it")
    assert done[0]["action"] == "block"
    told = [reason["code"] for each in proxy.records()[before:] for reason in each["reasons"]]
    assert (code in told) is (code != "I030")  # a browser without a certificate of ours is no news


# --- programs that present whatever they have, and people who send each other links


PRESENTED: dict[str, tuple[Callable[[Scene], Held], str]] = {
    "expired": (lambda scene: device(scene.issuing, "old-1", days=2), "I032"),
    "foreign": (lambda scene: device(authority("Device root"), "foreign-1"), "I033"),
    "of a server": (lambda scene: device(scene.issuing, "server-1", uses=(SERVER,)), "I033"),
    "revoked": (lambda scene: scene.revoked, "I035"),
}


def person(scene: Scene, name: str, held: Held | None, user: str = "ben@contoso.example") -> Person:
    """Somebody at a program that presents this certificate to whoever asks, not yet signed in."""
    folder = scene.folder / f"program-{name}"
    folder.mkdir()
    made = Person(folder, scene.site.proxy.folder / "certs" / "casb-ca.pem", scene.site.entra.ca)
    if held is not None:
        (folder / "device.pem").write_bytes(held.both() + scene.issuing.pem)
        made.session.cert = str(folder / "device.pem")
    return made


def tags(scene: Scene, someone: Person) -> str:
    return someone.send(f"{scene.site.login}/.casb/session").text


@pytest.mark.parametrize("case", PRESENTED)
def test_what_a_program_presents_is_checked_here(scene: Scene, case: str) -> None:
    make, code = PRESENTED[case]
    before = len(scene.site.proxy.records())
    someone = person(scene, case, make(scene))
    answer = scene.site.sign_in(someone, "ben@contoso.example", someone.send(scene.site.url("/")))
    assert answer.status_code == 200
    assert "Unmanaged." in tags(scene, someone)
    told = [reason["code"] for each in scene.site.proxy.records()[before:] for reason in each["reasons"]]
    assert code in told


def until(someone: Person, answer: requests.Response, what: str) -> requests.Response:
    """Follow redirects until one leads to an address with `what` in it."""
    for _ in range(12):
        place = answer.headers.get("location", "")
        if what in place:
            return answer
        answer = someone.send(urljoin(answer.url, place))
    raise AssertionError(what)


def test_a_link_sent_to_somebody_with_a_managed_device_manages_nobody(scene: Scene) -> None:
    attacker = person(scene, "attacker", None)
    victim = person(scene, "victim", device(scene.issuing, "laptop-9"))
    page = attacker.follow(attacker.send(scene.site.url("/")))
    asked = until(attacker, attacker.submit(page, user="ben@contoso.example", mfa=""), "/.casb/device?t=")
    link = asked.headers["location"]
    shown = victim.send(link)
    result = shown.headers["location"]
    assert "/.casb/device?r=" in result
    assert victim.send(result).status_code == 400  # the victim's browser has no such login
    assert attacker.send(result).status_code == 400  # and the outcome can be fetched once
    assert attacker.send(link).status_code == 400
    assert "Unmanaged." in tags(scene, attacker)


def test_the_hosts_of_apps_ask_nobody_for_a_certificate(scene: Scene) -> None:
    someone = person(scene, "asked", device(scene.issuing, "laptop-7"))
    answer = scene.site.sign_in(someone, "ben@contoso.example", someone.send(scene.site.url("/")))
    assert answer.status_code == 200
    assert "Has a valid client certificate" in tags(scene, someone)
    asking = {host: asks(scene, host) for host in (scene.site.host, f"login.{scene.site.suffix}")}
    assert asking == dict.fromkeys(asking, False)
    assert asks(scene, f"device.{scene.site.suffix}") is True


def asks(scene: Scene, host: str) -> bool:
    """Whether a server asks for a certificate; it names the authorities it believes."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{scene.site.proxy.port}", "-servername", host, "-tls1_2"]
    done = subprocess.run(command, input=b"", capture_output=True, check=False, timeout=20)
    return b"CN = Device issuing CA" in done.stdout or b"CN=Device issuing CA" in done.stdout
