"""Metadata: ours is read again, others' is read strictly."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from lxml import etree

from casb.errors import TokenError
from casb.identity.saml_metadata import OwnRole, configured_idp, read_idp, read_sp, write
from casb.identity.saml_signature import SigningKey
from casb.settings import SamlSource
from saml_support import NOW, sign, signer

KEYS = [SigningKey(key=signer(name).key, certificate=signer(name).certificate) for name in ("one", "two")]
IDP = write(OwnRole(entity_id="urn:idp", keys=KEYS, sso="https://idp.example/sso", slo="https://idp.example/slo"))
SP = write(OwnRole(entity_id="urn:sp", keys=KEYS, acs="https://app.example/acs", signs_requests=True))


def test_ours_lists_every_key_so_that_a_rollover_overlaps() -> None:
    idp = read_idp(IDP, NOW)
    assert (idp.entity_id, idp.sso_url, idp.slo_url) == (
        "urn:idp",
        "https://idp.example/sso",
        "https://idp.example/slo",
    )
    assert idp.certificates == tuple(each.certificate for each in KEYS)
    sp = read_sp(SP, NOW)
    assert (sp.entity_id, sp.default_acs, sp.signs_requests) == ("urn:sp", "https://app.example/acs", True)
    assert sp.certificates == idp.certificates


def test_one_of_several_is_picked_by_its_name() -> None:
    inner = IDP.partition(b"?>")[2] + IDP.partition(b"?>")[2].replace(b"urn:idp", b"urn:other")
    several = b'<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">' + inner + b"</EntitiesDescriptor>"
    assert read_idp(several, NOW, entity_id="urn:other").entity_id == "urn:other"
    with pytest.raises(TokenError, match="T059"):
        read_idp(several, NOW)


def test_the_default_address_comes_first_and_indexes_are_kept() -> None:
    extra = (
        b'<md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" '
        b'Location="https://app.example/second" index="7"/></md:SPSSODescriptor>'
    )
    sp = read_sp(SP.replace(b"</md:SPSSODescriptor>", extra), NOW)
    assert sp.acs == {0: "https://app.example/acs", 7: "https://app.example/second"}


def test_signed_metadata_must_be_signed_by_the_one_who_is_trusted() -> None:
    root = etree.fromstring(IDP)
    root.set("ID", "_m")
    sign(root, signer("federation"))
    document = etree.tostring(root)
    assert read_idp(document, NOW, trust=[signer("federation").certificate]).entity_id == "urn:idp"
    for wrong in (IDP, document.replace(b"idp.example/sso", b"evil.example/ss")):
        with pytest.raises(TokenError, match="T059"):
            read_idp(wrong, NOW, trust=[signer("federation").certificate])


CHANGES: dict[str, tuple[bytes, bytes]] = {
    "an app's": (b"IDPSSODescriptor", b"SPSSODescriptor"),
    "of SAML 1.1 only": (b"urn:oasis:names:tc:SAML:2.0:protocol", b"urn:oasis:names:tc:SAML:1.1:protocol"),
    "no sign-in address": (b"SingleSignOnService", b"Nothing"),
    "a script as address": (b"https://idp.example/sso", b"javascript:alert(1)"),
    "an address with a password": (b"https://idp.example/sso", b"https://a:b@idp.example/sso"),
    "no certificate": (b"X509Certificate", b"X509Nothing"),
    "a broken certificate": (b"X509Certificate>MII", b"X509Certificate>AAA"),
    "no name": (b'entityID="urn:idp"', b""),
    "an entity bomb": (b"<md:EntityDescriptor", b'<!DOCTYPE x [<!ENTITY a "b">]><md:EntityDescriptor'),
    "out of date": (b'entityID="urn:idp"', b'entityID="urn:idp" validUntil="2026-02-28T00:00:00Z"'),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_cannot_be_used_is_refused(name: str) -> None:
    old, new = CHANGES[name]
    assert old in IDP
    with pytest.raises(TokenError, match="T059"):
        read_idp(IDP.replace(old, new), NOW)


def test_comments_and_a_byte_order_mark_are_left_out() -> None:
    commented = b"\xef\xbb\xbf" + IDP.replace(b"<md:KeyDescriptor", b"<!-- <hello> --><md:KeyDescriptor")
    assert read_idp(commented, NOW).entity_id == "urn:idp"
    assert read_idp(IDP, NOW + timedelta(days=10_000)).entity_id == "urn:idp"


def test_single_values_do_as_well() -> None:
    source = SamlSource(
        entity_id="urn:idp", sso_url="https://idp.example/sso", certificates=(signer("one").pem, signer("two").pem)
    )
    assert configured_idp(source, NOW).certificates == tuple(each.certificate for each in KEYS)
    assert configured_idp(SamlSource(document=IDP), NOW).entity_id == "urn:idp"
    with pytest.raises(TokenError, match="T048"):
        configured_idp(SamlSource(sso_url="https://idp.example", certificates=("x",)), NOW)


@given(st.one_of(st.binary(max_size=200), st.integers(0, len(IDP) - 1).map(lambda at: IDP[:at] + b"<" + IDP[at:])))
@hypothesis_settings(max_examples=50)
def test_any_bytes_give_metadata_or_the_one_error(data: bytes) -> None:
    for read in (read_idp, read_sp):
        found: Any = None
        try:
            found = read(data, NOW)
        except TokenError as error:
            assert error.code == "T059"
        assert found is None or found.entity_id
