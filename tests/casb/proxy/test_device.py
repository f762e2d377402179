"""The header mode of the device host: a proxy in front ends TLS and names the certificate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from device_pki import Held, authority, device
from wire_world import Browser, EntraSite, entra_site

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
HEADER = "x-ssl-client-cert"


@dataclass
class Fronted:
    """A deployment behind a proxy that names certificates."""

    site: EntraSite
    issuing: Held

    def shown(self, name: str, *values: str) -> str:
        """The session page of somebody whose every request carries the header."""
        folder = self.site.proxy.folder / name
        folder.mkdir()
        someone = Browser(folder, self.site.proxy.folder / "certs" / "casb-ca.pem", self.site.entra.ca)
        if values:
            someone.session.headers[HEADER] = values[0]
        answer = self.site.sign_in(someone, "ben@contoso.example", someone.send(self.site.url("/")))
        assert answer.status_code == 200, answer.text
        return someone.send(f"{self.site.login}/.casb/session").text


def fronted(folder: Path, trusted: str) -> Iterator[Fronted]:
    issuing = authority("Device issuing CA")
    (folder / "proxy" / "config").mkdir(parents=True)
    (folder / "proxy" / "config" / "devices.pem").write_bytes(issuing.pem)
    (folder / "proxy" / "config" / "devices.csv").write_text("device,tags\nlaptop-7,compliant\n")
    lines = {
        "trusted_proxies": trusted,
        "device_inventory": "devices.csv",
        "client_certificates": f"{{anchors: [devices.pem], revocation: ignore, header: {HEADER}}}",
    }
    with entra_site(folder, policies=POLICIES, **lines) as made:
        made.proxy.origin.page("/", b"<h1>Company files</h1>", content_type="text/html")
        yield Fronted(made, issuing)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronted]:
    yield from fronted(tmp_path_factory.mktemp("behind"), "[127.0.0.0/8]")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronted]:
    yield from fronted(tmp_path_factory.mktemp("bare"), "[192.0.2.1]")


def test_a_trusted_proxy_names_the_certificate_and_the_inventory_adds_its_tags(behind: Fronted) -> None:
    text = behind.shown("valid", quote(device(behind.issuing, "LAPTOP-7").pem.decode()))
    assert "a proxy of your organisation saw a certificate" in text
    assert "it is in your organisation&#x27;s inventory" in text
    assert "laptop-7" in text


@pytest.mark.parametrize("case", ["none", "garbage", "foreign"])
def test_what_a_trusted_proxy_names_is_checked(behind: Fronted, case: str) -> None:
    values = {"none": (), "garbage": ("%00%ff",), "foreign": (quote(device(authority("Foreign")).pem.decode()),)}
    assert "Unmanaged." in behind.shown(case, *values[case])


def test_the_header_of_anybody_else_counts_for_nothing(bare: Fronted) -> None:
    text = bare.shown("spoofed", quote(device(bare.issuing, "laptop-7").pem.decode()))
    assert "Unmanaged." in text
