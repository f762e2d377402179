"""Answers of a real identity provider (simplesamlphp), signed in its four ways, before the verifier."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from casb.errors import TokenError
from casb.identity.claims import device_of, user_of
from casb.identity.saml import Assertion, verify_response
from casb.identity.saml_claims import claims_of
from casb.identity.saml_messages import authn_request, to_query
from casb.identity.saml_metadata import read_idp
from casb.identity.saml_signature import SigningKey
from casb.settings import DeviceRules, Provider, SamlSource
from saml_support import signer
from simplesaml import COMPLIANT, GROUPS, SimpleSaml, relying_party

pytestmark = [pytest.mark.e2e]

ACS = "https://login.casb.test/.casb/saml/acs"
WAYS = {
    "both": {"saml20.sign.response": True, "saml20.sign.assertion": True},
    "assertion": {"saml20.sign.response": False, "saml20.sign.assertion": True},
    "response": {"saml20.sign.response": True, "saml20.sign.assertion": False},
    "encrypted": {"saml20.sign.response": True, "saml20.sign.assertion": True, "assertion.encryption": True},
}


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleSaml]:
    made = SimpleSaml(tmp_path_factory.mktemp("idp"))
    made.become_provider()
    ours = signer("ours")
    made.know(
        {
            f"urn:sp:{way}": relying_party(ACS, certData=ours.der64, **{"validate.authnrequest": True, **options})
            for way, options in WAYS.items()
        }
    )
    made.start()
    yield made
    made.stop()


def answered(idp: SimpleSaml, way: str, **changes: Any) -> tuple[bytes, str, Any]:
    metadata = read_idp(idp.metadata(), datetime.now(UTC))
    request, ours = f"_{secrets.token_hex(16)}", signer("ours")
    document = authn_request(
        id=request, issuer=f"urn:sp:{way}", destination=metadata.sso_url, acs=ACS, now=datetime.now(UTC)
    )
    key = SigningKey(key=ours.key, certificate=ours.certificate)
    query = to_query("SAMLRequest", document, relay_state="here", key=key)
    fields = idp.sign_in(f"{metadata.sso_url}?{query}")
    assert fields["RelayState"] == "here"
    return fields["SAMLResponse"].encode(), request, metadata


def verify(idp: SimpleSaml, way: str, response: bytes, request: str, metadata: Any) -> Assertion:
    return verify_response(
        response,
        metadata.certificates,
        datetime.now(UTC),
        issuer=idp.entity,
        audience=f"urn:sp:{way}",
        recipient=ACS,
        in_response_to=request,
    )


@pytest.mark.parametrize("way", ["both", "assertion", "response"])
def test_its_answers_are_accepted_and_say_who_it_is(idp: SimpleSaml, way: str) -> None:
    response, request, metadata = answered(idp, way)
    found = verify(idp, way, response, request, metadata)
    assert found.subject.value == "ada@contoso.example"
    rules = DeviceRules(adfs=True)
    provider = Provider(id="x", kind="saml", device=rules, domains=("contoso.example",))
    claims = claims_of(found, SamlSource(), keep={COMPLIANT})
    user, device = user_of(claims, provider), device_of(claims, rules)
    assert (user.name, user.display_name, user.is_guest) == ("ada@contoso.example", "Ada Lovelace", False)
    assert user.groups == {"staff", "finance"} and found.attributes[GROUPS] == ("staff", "finance")
    assert device.sources == {"compliant": f"claim:{COMPLIANT}"}
    assert device.id == "11111111-2222-4333-8444-555555555555"
    plain = base64.b64decode(response)
    for old, new in ((b"ada@contoso.example", b"eve@contoso.example"), (b">true<", b">yes!<")):
        with pytest.raises(TokenError, match="T046"):
            verify(idp, way, plain.replace(old, new), request, metadata)


def test_an_encrypted_assertion_is_refused_clearly(idp: SimpleSaml) -> None:
    response, request, metadata = answered(idp, "encrypted")
    with pytest.raises(TokenError, match="T047"):
        verify(idp, "encrypted", response, request, metadata)


def test_it_checks_our_signature(idp: SimpleSaml) -> None:
    metadata = read_idp(idp.metadata(), datetime.now(UTC))
    document = authn_request(
        id="_x", issuer="urn:sp:both", destination=metadata.sso_url, acs=ACS, now=datetime.now(UTC)
    )
    foreign = signer("foreign")
    key = SigningKey(key=foreign.key, certificate=foreign.certificate)
    with pytest.raises(AssertionError):
        idp.sign_in(f"{metadata.sso_url}?{to_query('SAMLRequest', document, key=key)}")
