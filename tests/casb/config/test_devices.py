from __future__ import annotations

import textwrap

import pytest

from casb.config import build
from casb.errors import Problems
from casb.settings import CertificateRule, ScopeRule

HEAD = "version: 1\nsuffix: casb.example\n"


def casb(text: str) -> dict[str, bytes]:
    return {"casb.yaml": (HEAD + textwrap.dedent(text)).encode()}


def test_device_certificates_are_read() -> None:
    found = build(
        casb("""\
        trusted_proxies: [10.0.0.0/8]
        client_certificates:
          anchors: [pki/root.pem, /etc/pki/other.pem]
          intermediates: [pki/issuing.pem]
          crls: [pki/root.crl, "http://crl.example/issuing.crl"]
          ocsp: http://ocsp.example/
          revocation: prefer
          rules: [{issuer: "CN=Device*", oid: 1.3.6.1.5.5.7.3.2}]
          device_id: san_uri
          device_id_pattern: "IntuneDevice://(.+)"
          valid_for: 4h
          header: x-forwarded-client-cert
          ask: always
        """),
        "/etc/casb",
    ).settings.client_certificates
    assert found is not None
    assert found.anchors == ("/etc/casb/pki/root.pem", "/etc/pki/other.pem")
    assert found.crls == ("/etc/casb/pki/root.crl", "http://crl.example/issuing.crl")
    assert found.rules == (CertificateRule(issuer="CN=Device*", oid="1.3.6.1.5.5.7.3.2"),)
    assert (found.valid_for, found.header, found.ask, found.revocation) == (
        14400,
        "x-forwarded-client-cert",
        "always",
        "prefer",
    )


def test_graph_files_and_scope_are_read() -> None:
    settings = build(
        casb("""\
        device_inventory: devices.csv
        groups_file: groups.yaml
        scope:
          include: [{groups: [S], apps: [microsoft-365]}]
          exclude: [{users: [root@contoso.example]}]
          suites: {microsoft-365: [exchange, power-bi]}
        providers:
          - id: entra
            kind: entra
            authority: https://login.microsoftonline.com/a3f2c1d0-5b7e-4c9a-8d21-0c0a7e57c0de/v2.0
            client_id: casb
            client_certificate: key.pem
            graph:
              client_id: casb-graph
              client_certificate: graph.pem
              url: https://graph.microsoft.us/
              group_ids: {Finance: 5A1E0C1E-0000-4000-8000-00000000F1A0}
              devices: true
              usable: 2h
        """),
        "/etc/casb",
    ).settings
    assert (settings.device_inventory, settings.groups_file) == ("/etc/casb/devices.csv", "/etc/casb/groups.yaml")
    assert settings.scope.include == (ScopeRule(groups=("S",), apps=("microsoft-365",)),)
    assert settings.scope.suites == {"microsoft-365": ("exchange", "power-bi")}
    graph = settings.providers[0].graph
    assert graph is not None
    assert (graph.url, graph.fresh, graph.usable, graph.devices) == ("https://graph.microsoft.us", 600, 7200, True)
    assert graph.group_ids == {"Finance": "5a1e0c1e-0000-4000-8000-00000000f1a0"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("client_certificates: {anchors: [], revocation: ignore}", "casb.yaml:3:32: C260"),
        ("client_certificates: {anchors: [a.pem]}", "casb.yaml:3:22: C261"),
        ("client_certificates: {anchors: [a.pem], revocation: ignore, header: x-ssl-client-cert}", "C262"),
        ("client_certificates: {anchors: [a.pem], revocation: ignore, rules: [{}]}", "C263"),
        ("client_certificates: {anchors: [a.pem], revocation: ignore, rules: [{oid: clientAuth}]}", "C263"),
        ("client_certificates: {anchors: [a.pem], revocation: ignore, device_id_pattern: '('}", "C264"),
        ("client_certificates: {anchors: [a.pem], revocation: ignore, device_id_pattern: '(a)(b)'}", "C264"),
        ("client_certificates: {anchors: [a.pem], ocsp: 'ldap://x'}", "casb.yaml:3:47: C116"),
        ("client_certificates: {anchors: [a.pem], crls: ['http://user@x/']}", "C116"),
        ("scope: {exclude: [{apps: [sales]}]}", "casb.yaml:3:19: C266"),
        (
            "providers: [{id: x, authority: 'https://x.example', client_id: c, graph: {client_id: g}}]",
            "C265 only providers of kind entra",
        ),
    ],
)
def test_what_is_wrong_has_a_place_and_a_code(text: str, expected: str) -> None:
    with pytest.raises(Problems) as told:
        build(casb(f"{text}\n"), "/etc/casb")
    assert any(expected in str(each) for each in told.value.errors), [str(each) for each in told.value.errors]
