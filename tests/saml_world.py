"""A deployment between a SAML identity provider and SAML applications, all real, on loopback."""

from __future__ import annotations

import contextlib
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from proxy_world import SUFFIX, Origin, World, free_port, wait_for
from saml_support import signer
from simplesaml import PASSWORD, SimpleSaml, TlsFront, relying_party

LOGIN = f"login.{SUFFIX}"
APP = "intranet.example"
APP_ENTITY = f"https://{APP}/sp"
WELCOME = "/module.php/core/authenticate.php?as=default-sp"


@dataclass
class SamlWorld:
    """The provider, the application, the proxy."""

    proxy: World
    idp: SimpleSaml
    app: SimpleSaml
    pictures: Path
    more: list[Any] = field(default_factory=list)

    @property
    def login(self) -> str:
        return f"https://{LOGIN}:{self.proxy.port}"

    @property
    def site(self) -> str:
        return f"https://{APP}.{SUFFIX}:{self.proxy.port}"

    @property
    def acs(self) -> str:
        return f"{self.login}/.casb/saml/acs"

    def write_app(self, more: str = "", id: str = "intranet") -> None:
        """The application's file; `more` are lines of its `saml`."""
        lines = textwrap.indent(textwrap.dedent(more).strip(), "  ")
        self.proxy.write(
            f"apps/{id}.yaml",
            f"id: {id}\nname: Company Intranet\ndomains: [{APP}]\nstart: {WELCOME!r}\n"
            f'upstream: {{connect: "http://127.0.0.1:{self.app.port}", scheme: https}}\n'
            f"saml:\n  metadata: app.xml\n{lines}\n",
        )

    def meet(self) -> None:
        """Everybody learns the others' metadata, as admins would carry it."""
        metadata = self.proxy.ask("/.casb/saml/metadata", host=LOGIN)
        assert metadata.status == 200, metadata.text
        self.idp.know({f"{self.login}/.casb/saml/metadata": self.relying()})
        self.app.trust(self.proxy.ask("/saml/intranet/metadata", host=LOGIN).body)

    def relying(self, **more: Any) -> dict[str, Any]:
        keys = json.loads((self.proxy.data / "saml-keys.json").read_text())["keys"]
        pem = next(iter(keys.values()))["certificate"]
        der = "".join(pem.splitlines()[1:-1])
        return relying_party(
            self.acs,
            certData=der,
            SingleLogoutService=f"{self.login}/.casb/saml/slo",
            **{"validate.authnrequest": True, "redirect.validate": True, **more},
        )  # fmt: skip


@contextlib.contextmanager
def saml_world(
    folder: Path, *, pictures: Path | None = None, policies: str = "", saml: str = ""
) -> Iterator[SamlWorld]:
    """Started, and introduced to each other."""
    port, forward, sidecar, health = (free_port() for _ in range(4))
    (folder / "tls").mkdir(parents=True)
    idp_port = free_port()
    front = TlsFront(folder / "tls", idp_port)
    idp = SimpleSaml(folder / "idp", base=f"https://127.0.0.1:{front.port}/", port=idp_port)
    app = SimpleSaml(folder / "app", base=f"https://{APP}/", key=signer("app"))
    idp.become_provider()
    made = World(folder=folder, port=port, forward=forward, origin=None)  # type: ignore[arg-type]
    login = f"https://{LOGIN}:{port}"
    app.become_app(APP_ENTITY, idp=f"{login}/saml/intranet")
    world = SamlWorld(made, idp, app, pictures or folder)
    try:
        idp.start()
        app.start()
        made.write(
            "casb.yaml",
            f"""\
version: 1
suffix: {SUFFIX}
data: ../data
authority: ../certs
listeners:
  reverse: 127.0.0.1:{port}
  forward: 127.0.0.1:{forward}
  sidecar: 127.0.0.1:{sidecar}
  health: 127.0.0.1:{health}
providers:
  - id: contoso
    kind: saml
    saml: {{metadata: idp.xml}}
    domains: [contoso.example]
    device: {{adfs: true}}
""",
        )
        (made.config / "idp.xml").write_bytes(idp.metadata())
        (made.config / "app.xml").write_bytes(app_metadata(app))
        world.write_app(saml)
        if policies:
            made.write("policies.yaml", policies)
        made.start()
        world.meet()
        yield world
    finally:
        made.stop()
        app.stop()
        idp.stop()
        front.stop()
        for each in world.more:
            each.stop()


def app_metadata(app: SimpleSaml) -> bytes:
    """What the application says of itself."""
    import requests

    found = requests.get(
        f"http://127.0.0.1:{app.port}/module.php/saml/sp/metadata.php/default-sp", headers={"host": APP}, timeout=20
    )
    assert found.status_code == 200, found.text
    return found.content


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that finds every name of the world here."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[
                "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync",
                f"--host-resolver-rules=MAP *.{SUFFIX} 127.0.0.1, MAP *.example ~NOTFOUND",
            ],
        )  # fmt: skip
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def person(browser: Browser) -> Iterator[Page]:
    """A person's own browser profile."""
    context: BrowserContext = browser.new_context(ignore_https_errors=True, accept_downloads=True)
    context.set_default_timeout(20_000)
    page = context.new_page()
    try:
        yield page
    finally:
        context.close()


def sign_in(page: Page, name: str = "ada") -> None:
    """At the identity provider's own page."""
    page.locator("input[name=username]").fill(name)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("input[name=password]").press("Enter")


__all__ = ["Origin", "wait_for"]
