"""Metadata and certificates of a configuration, looked at before it is put in force."""

from __future__ import annotations

import pytest

from casb.control import saml_trust
from casb.control.saml_trust import app_metadata, problems, provider_metadata
from casb.errors import ConfigError, TokenError, Where
from casb.identity.saml_metadata import OwnRole, write
from casb.identity.saml_signature import SigningKey
from casb.model.app import App, SamlApp
from casb.settings import Provider, SamlSource, Settings
from saml_support import NOW, signer

KEY = SigningKey(key=signer("one").key, certificate=signer("one").certificate)
SP = write(OwnRole(entity_id="urn:sp", keys=[KEY], acs="https://app.example/acs"))
IDP = write(OwnRole(entity_id="urn:idp", keys=[KEY], sso="https://idp.example/sso"))
PLACE = Where(file="apps/x.yaml", line=7, column=3)


def app(saml: SamlApp) -> App:
    return App(id="x", name="X", domains=("app.example",), saml=saml)


def settings(source: SamlSource) -> Settings:
    return Settings(suffix="casb.test", providers=(Provider(id="p", kind="saml", saml=source),))


def test_an_app_by_metadata_or_by_values() -> None:
    found = app_metadata(SamlApp(document=SP))
    assert (found.entity_id, found.default_acs) == ("urn:sp", "https://app.example/acs")
    replaced = app_metadata(SamlApp(document=SP, certificates=(signer("two").pem,)))
    assert replaced.certificates == (signer("two").certificate,)
    values = app_metadata(SamlApp(entity_id="urn:sp", acs=("https://app.example/a", "https://app.example/b")))
    assert values.acs == {0: "https://app.example/a", 1: "https://app.example/b"}
    assert provider_metadata(Provider(id="p", kind="saml", saml=SamlSource(metadata="https://x"))) is None


def test_mistakes_have_their_place() -> None:
    good = settings(SamlSource(document=IDP))
    assert list(problems(good, [app(SamlApp(document=SP))])) == []
    for wrong, code in (
        (SamlApp(document=b"<x/>", origin=PLACE), "T059"),
        (SamlApp(document=IDP, origin=PLACE), "T059"),
        (SamlApp(entity_id="a", acs=("ftp://x",), origin=PLACE), "T059"),
        (SamlApp(document=SP, certificates=("x",), origin=PLACE), "T048"),
        (
            SamlApp(entity_id="a", acs=("https://app.example/a",), requests="signed", origin=PLACE),
            "C190",
        ),
    ):
        (error,) = problems(good, [app(wrong)])
        assert (error.code, error.where) == (code, PLACE)
    (error,) = problems(settings(SamlSource(document=b"<x/>", origin=PLACE)), [])
    assert (error.code, error.where) == ("T059", PLACE)


def test_what_is_out_of_date_is_told_with_a_clock_only() -> None:
    old = SP.replace(b'entityID="urn:sp"', b'entityID="urn:sp" validUntil="2026-01-01T00:00:00Z"')
    assert app_metadata(SamlApp(document=old)).entity_id == "urn:sp"
    with pytest.raises(TokenError, match="T059"):
        app_metadata(SamlApp(document=old), NOW)


def test_without_the_packages_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError("no", name="lxml")

    monkeypatch.setattr(saml_trust.importlib, "import_module", absent)  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"C192 .*lxml.*casb\[saml\]"):
        app_metadata(SamlApp(document=SP))
