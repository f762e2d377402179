"""Node-RED with passport-saml: an editor and a library that others wrote, signed in to through the bridge.

It knows us by single values, as a person types them in, and is strict: both signatures wanted, requests signed, answers
accepted for its own requests only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_lib.processes import Child, free_port, listening
from playwright.sync_api import expect

from applications import NPM
from proxy_world import SUFFIX, wait_for
from saml_support import signer
from saml_world import LOGIN, SamlWorld, chromium, person, saml_world, sign_in

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
expect.set_options(timeout=30_000)

HOST = "flows.example"
SETTINGS = """
const {{ Strategy }} = require({library});
class Saml extends Strategy {{
  constructor(options, verify) {{ super(options, verify, (profile, done) => done(null, profile)); }}
}}
module.exports = {{
  ...{plain},
  logging: {{ console: {{ level: "info", metrics: false, audit: true }} }},
  adminAuth: {{
    type: "strategy",
    strategy: {{
      name: "saml", label: "Sign in with SAML", icon: "", strategy: Saml,
      options: {{
        entryPoint: {entry}, issuer: {issuer}, callbackUrl: {callback}, callbackMethod: "POST",
        idpCert: {certificate}, audience: {issuer}, privateKey: {key}, signatureAlgorithm: "sha256",
        wantAssertionsSigned: true, wantAuthnResponseSigned: true, validateInResponseTo: "always",
        identifierFormat: "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
        verify: (profile, done) => done(null, {{ ...profile, username: profile.nameID + " of " + profile.unit }}),
      }},
    }},
    users: (name) => Promise.resolve({{ username: name, permissions: "*" }}),
  }},
}};
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SamlWorld]:
    folder = tmp_path_factory.mktemp("node-red")
    port = free_port()
    with saml_world(folder, pictures=Path(os.environ.get("CASB_PICTURES", folder))) as made:
        (made.proxy.config / "app.pem").write_text(signer("flows").pem)
        made.proxy.write(
            "apps/flows.yaml",
            f"""\
id: flows
name: Flows
domains: [{HOST}]
upstream: {{connect: "http://127.0.0.1:{port}", scheme: https}}
saml:
  entity_id: urn:flows
  acs: ["https://{HOST}/auth/strategy/callback"]
  certificates: [app.pem]
  requests: signed
  attributes: {{unit: department}}
""",
        )
        wait_for(lambda: made.proxy.ask("/saml/flows/metadata", host=LOGIN).status == 200, "the app to be known")
        made.more.append(node_red(folder, port, made))
        yield made


def node_red(folder: Path, port: int, world: SamlWorld) -> Child:
    home = folder / "flows"
    home.mkdir()
    metadata = world.proxy.ask("/saml/flows/metadata", host=LOGIN).text
    found = re.search(r"<ds:X509Certificate>([^<]*)<", metadata)
    assert found
    plain = {
        "uiHost": "127.0.0.1",
        "uiPort": port,
        "userDir": str(home),
        "flowFile": "flows.json",
        "credentialSecret": False,
        "telemetry": {"enabled": False, "updateNotification": False},
        "editorTheme": {"tours": False},
        "externalModules": {"autoInstall": False, "palette": {"allowInstall": False, "allowUpload": False}},
    }
    (home / "flows.json").write_text("[]")
    (home / "settings.js").write_text(
        SETTINGS.format(
            plain=json.dumps(plain),
            library=json.dumps(str(NPM / "@node-saml/passport-saml")),
            entry=json.dumps(f"{world.login}/saml/flows/sso"),
            issuer=json.dumps("urn:flows"),
            callback=json.dumps(f"https://{HOST}/auth/strategy/callback"),
            certificate=json.dumps(found[1]),
            key=json.dumps(signer("flows").key_pem),
        )
    )
    command = [shutil.which("node") or "node", str(NPM / "node-red/red.js"), "--settings", str(home / "settings.js")]
    environment = {"HOME": str(home), "NODE_ENV": "production", "NODE_RED_HOME": str(home)}
    child = Child("node-red", command, folder / "node-red.log", environment=environment, folder=home)
    child.wait_until(lambda: listening(port), 60)
    return child


def test_a_person_works_in_the_editor_after_a_sign_in_through_the_bridge(world: SamlWorld) -> None:
    site = f"https://{HOST}.{SUFFIX}:{world.proxy.port}"
    with chromium() as browser, person(browser) as page:
        page.goto(f"{site}/auth/strategy")
        sign_in(page)
        page.locator(".red-ui-palette-node").first.wait_for()
        assert page.url.startswith(site), page.url
        page.locator("#red-ui-header-button-user").click()
        expect(page.locator("body")).to_contain_text("ada@contoso.example of Research")
        page.screenshot(path=world.pictures / "node-red.png")
    told = [each for each in world.proxy.records() if each["app"] and each["app"]["id"] == "flows"]
    assert {each["user"]["name"] for each in told} == {"ada@contoso.example"}
    assert any("saml" in each["extra"] for each in told)
