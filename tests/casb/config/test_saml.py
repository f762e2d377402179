"""SAML in casb.yaml and apps/*.yaml: what is read, and every mistake with its place."""

from __future__ import annotations

import pytest

from casb.config import Outside, draft

HEAD = "suffix: casb.test\n"
FILES = {"/c/idp.xml": b"<idp/>", "/c/app.xml": b"<app/>", "/c/one.pem": b"one", "/c/two.pem": b"two"}


def read(path: str) -> bytes:
    if path not in FILES:
        raise ValueError(f"{path} is gone")
    return FILES[path]


OUTSIDE = Outside(is_file=lambda path: path in FILES, read=read)


def folder(casb: str = "", app: str = "") -> dict[str, bytes]:
    made = {"casb.yaml": (HEAD + casb).encode()}
    if app:
        text = f"id: wiki\nname: Wiki\ndomains: [wiki.example]\n{app}"
        made["apps/wiki.yaml"] = text.encode()
    return made


def test_a_provider_by_file_by_address_and_by_values() -> None:
    found = draft(
        folder(
            "providers:\n"
            "  - {id: a, kind: saml, saml: {metadata: idp.xml, name_id_format: email, groups: [team]}, "
            "device: {adfs: true}}\n"
            "  - {id: b, kind: saml, saml: {metadata: 'https://idp.example/m', metadata_certificates: [one.pem]}}\n"
            "  - {id: c, kind: saml, saml: {entity_id: 'urn:idp', sso_url: 'https://idp.example/sso', "
            "certificates: [one.pem, two.pem], sign_requests: false}}\n"
        ),
        "/c",
        OUTSIDE,
    )
    assert found.errors == () and found.settings is not None
    a, b, c = (each.saml for each in found.settings.providers)
    assert a and a.document == b"<idp/>" and a.groups == ("team",) and a.name_id_format.endswith("emailAddress")
    assert b and b.metadata == "https://idp.example/m" and b.trust == ("one",) and b.document is None
    assert c and c.certificates == ("one", "two") and not c.sign_requests
    assert found.settings.providers[0].device.adfs
    assert a.origin is not None and a.origin.line == 3


def test_an_app_by_file_and_by_values() -> None:
    saml = (
        "saml:\n  metadata: app.xml\n  name_id: {format: persistent, source: user.id}\n"
        "  attributes: {mail: user.name, 'urn:unit': department}\n  idp_initiated: true\n"
    )
    (app,) = draft(folder(app=saml), "/c", OUTSIDE).apps
    assert app.saml is not None and app.saml.bridged and app.saml.document == b"<app/>"
    assert app.saml.name_id_format.endswith("persistent") and app.saml.name_id_source == "user.id"
    assert app.saml.attributes == {"mail": "user.name", "urn:unit": "department"}
    values = (
        "saml: {entity_id: 'urn:wiki', acs: ['https://wiki.example/acs'], requests: signed, certificates: [one.pem]}"
    )
    (app,) = draft(folder(app=values), "/c", OUTSIDE).apps
    assert app.saml is not None and app.saml.acs == ("https://wiki.example/acs",) and app.saml.certificates == ("one",)
    (app,) = draft(folder(app="saml: {pass_through: true}"), "/c", OUTSIDE).apps
    assert app.saml is not None and not app.saml.bridged


WRONG: dict[str, tuple[str, str, str]] = {
    "no saml": ("providers: [{id: x, kind: saml}]", "", "C190"),
    "empty saml": ("providers: [{id: x, kind: saml, saml: {}}]", "", "C190"),
    "half of the values": (
        "providers: [{id: x, kind: saml, saml: {entity_id: a, sso_url: 'https://a.example'}}]", "", "C190",
    ),
    "saml of OpenID": (
        "providers: [{id: x, authority: 'https://a.example', client_id: c, saml: {metadata: idp.xml}}]", "", "C190",
    ),
    "no authority": ("providers: [{id: x, client_id: c}]", "", "C116"),
    "metadata that is gone": ("providers: [{id: x, kind: saml, saml: {metadata: gone.xml}}]", "", "C115"),
    "metadata in the clear": ("providers: [{id: x, kind: saml, saml: {metadata: 'http://a.example/'}}]", "", "C116"),
    "a script": (
        "providers: [{id: x, kind: saml, saml: {metadata: idp.xml, slo_url: 'javascript:x'}}]", "", "C116",
    ),
    "a misspelled key": ("providers: [{id: x, kind: saml, saml: {metdata: idp.xml}}]", "", "C013"),
    "an app without metadata": ("", "saml: {}", "C190"),
    "an app without an address": ("", "saml: {entity_id: 'urn:x'}", "C190"),
    "both ways": ("", "saml: {metadata: app.xml, pass_through: true}", "C190"),
    "an unknown source": ("", "saml: {metadata: app.xml, attributes: {mail: user.mail}}", "C191"),
    "an unknown name": ("", "saml: {metadata: app.xml, name_id: {source: user.email}}", "C191"),
    "an unknown format": ("", "saml: {metadata: app.xml, name_id: {format: e-mail}}", "C014"),
    "a certificate that is gone": ("", "saml: {metadata: app.xml, certificates: [gone.pem]}", "C115"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_mistakes(name: str) -> None:
    casb, app, code = WRONG[name]
    errors = draft(folder(casb, app), "/c", OUTSIDE).errors
    assert [each.code for each in errors][:1] == [code], errors
    assert errors[0].where is not None and errors[0].where.line > 0
