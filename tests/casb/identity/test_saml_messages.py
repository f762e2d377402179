"""Requests and sign-outs: what was written is read again, and what was altered is refused."""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from casb.errors import TokenError
from casb.identity.saml import SUCCESS, NameId
from casb.identity.saml_messages import (
    LONGEST_MESSAGE,
    AuthnRequest,
    authn_request,
    from_form,
    from_query,
    logout_request,
    logout_response,
    read_authn_request,
    read_logout_request,
    read_logout_response,
    signed_document,
    to_query,
)
from casb.identity.saml_signature import SigningKey
from saml_support import NOW, signer

APP, SSO = "https://app.example/sp", "https://login.casb.test/saml/app/sso"
OURS = SigningKey(key=signer("app").key, certificate=signer("app").certificate)
TRUST = (signer("app").certificate,)


def request(**changes: Any) -> bytes:
    given: dict[str, Any] = {
        "id": "_r1",
        "issuer": APP,
        "destination": SSO,
        "acs": "https://app.example/acs",
        "now": NOW,
    } | changes
    return authn_request(**given)


def read(query: str, **changes: Any) -> AuthnRequest:
    given: dict[str, Any] = {"destination": SSO, "issuer": APP, "certificates": TRUST, "must_sign": True} | changes
    return read_authn_request(from_query(query), given.pop("now", NOW), **given)


def deflated(document: bytes) -> str:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return quote_plus(base64.b64encode(packer.compress(document) + packer.flush()))


GOOD = to_query("SAMLRequest", request(), relay_state="https://app.example/deep?x=1&y=é", key=OURS)


def test_a_request_is_read_as_it_was_written() -> None:
    document = request(force=True, passive=True, name_id_format="urn:x", contexts=["urn:strong"], subject="ada")
    found = read(to_query("SAMLRequest", document, relay_state="here & there", key=OURS))
    assert found == AuthnRequest(
        id="_r1",
        issuer=APP,
        issued=NOW,
        acs_url="https://app.example/acs",
        force=True,
        passive=True,
        name_id_format="urn:x",
        contexts=("urn:strong",),
        relay_state="here & there",
        signed=True,
    )


def test_a_posted_request_carries_its_signature() -> None:
    posted = from_form({"SAMLRequest": base64.b64encode(signed_document(request(), OURS)).decode(), "RelayState": "x"})
    given: dict[str, Any] = {"destination": SSO, "issuer": APP, "certificates": TRUST, "must_sign": True}
    assert read_authn_request(posted, NOW, **given).signed
    changed = signed_document(request(), OURS).replace(b"app.example/acs", b"evil.example/ac")
    with pytest.raises(TokenError, match="T046"):
        read_authn_request(from_form({"SAMLRequest": base64.b64encode(changed).decode()}), NOW, **given)


def test_unsigned_only_where_that_is_allowed() -> None:
    plain = to_query("SAMLRequest", request())
    assert not read(plain, must_sign=False).signed
    with pytest.raises(TokenError, match="T044"):
        read(plain)


BOMB = base64.b64encode(zlib.compress(b"<a/>" + b" " * 20_000_000, 9)[2:-4]).decode()
QUERIES: dict[str, tuple[str, str]] = {
    "nothing": ("", "T057"),
    "another parameter": ("x=1", "T057"),
    "a message twice": (GOOD + "&SAMLRequest=x", "T057"),
    "a state twice": (GOOD + "&RelayState=x", "T057"),
    "both kinds": (GOOD + "&SAMLResponse=x", "T057"),
    "a state changed": (GOOD.replace("deep", "evil"), "T046"),
    "a state added": (to_query("SAMLRequest", request(), key=OURS) + "&RelayState=x", "T046"),
    "the signature left out": (GOOD[: GOOD.index("&Signature")], "T057"),
    "the algorithm left out": (
        GOOD[: GOOD.index("&SigAlg")] + GOOD[GOOD.index("&Signature") :],
        "T057",
    ),
    "SHA-1": (GOOD.replace("2001%2F04%2Fxmldsig-more%23rsa-sha256", "2000%2F09%2Fxmldsig%23rsa-sha1"), "T045"),
    "an unknown algorithm": (GOOD.replace("rsa-sha256", "none"), "T045"),
    "HMAC": (GOOD.replace("rsa-sha256", "hmac-sha256"), "T045"),
    "a foreign key": (
        to_query(
            "SAMLRequest", request(), key=SigningKey(key=signer("foreign").key, certificate=signer("app").certificate)
        ),
        "T046",
    ),
    "a bomb": (f"SAMLRequest={quote_plus(BOMB)}", "T057"),
    "not deflated": (f"SAMLRequest={quote_plus(base64.b64encode(request()).decode())}", "T057"),
    "cut off": (f"SAMLRequest={deflated(request())[:80]}", "T040"),
    "something behind": (
        "SAMLRequest=" + quote_plus(base64.b64encode(zlib.compress(request())[2:-4] + b"more").decode()),
        "T057",
    ),
    "not base64": ("SAMLRequest=%00%01", "T040"),
    "another encoding": (f"SAMLEncoding=urn%3Ax&SAMLRequest={deflated(request())}", "T057"),
    "a line break in the state": (f"SAMLRequest={deflated(request())}&RelayState=a%0d%0ab", "T057"),
    "a long state": (f"SAMLRequest={deflated(request())}&RelayState={'a' * 2049}", "T057"),
    "a very long query": ("SAMLRequest=" + "A" * (LONGEST_MESSAGE * 2), "T057"),
}


@pytest.mark.parametrize("name", QUERIES)
def test_queries(name: str) -> None:
    query, code = QUERIES[name]
    with pytest.raises(TokenError) as caught:
        read(query)
    assert caught.value.code == code


DOCUMENTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "another app": (lambda: request(issuer="https://evil.example"), "T050"),
    "another address": (lambda: request(destination="https://login.casb.test/saml/other/sso"), "T051"),
    "too old": (lambda: request(now=NOW - timedelta(minutes=11)), "T053"),
    "of tomorrow": (lambda: request(now=NOW + timedelta(days=1)), "T053"),
    "another message": (
        lambda: logout_request(id="_x", issuer=APP, destination=SSO, now=NOW, subject=NameId(value="ada")),
        "T058",
    ),
    "another binding": (lambda: request().replace(b"HTTP-POST", b"HTTP-Artifact"), "T058"),
    "SAML 1.1": (lambda: request().replace(b'Version="2.0"', b'Version="1.1"'), "T058"),
    "an assertion in it": (lambda: request().replace(b"</saml:Issuer>", b"</saml:Issuer><saml:Assertion/>"), "T058"),
    "a comment": (lambda: request().replace(b"</saml:Issuer>", b"<!-- --></saml:Issuer>"), "T041"),
    "a DOCTYPE": (lambda: b"<!DOCTYPE x>" + request(), "T041"),
    "no id": (lambda: request().replace(b'ID="_r1"', b""), "T058"),
    "an odd id": (lambda: request(id="1 2"), "T058"),
    "an index of letters": (
        lambda: request().replace(b"AssertionConsumerServiceURL=", b'AssertionConsumerServiceIndex="x" URL='),
        "T058",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents(name: str) -> None:
    make, code = DOCUMENTS[name]
    with pytest.raises(TokenError) as caught:
        read(to_query("SAMLRequest", make(), key=OURS))
    assert caught.value.code == code


def test_sign_out_both_ways() -> None:
    subject = NameId(value="ada@contoso.example", format="urn:f", name_qualifier="n", sp_name_qualifier="s")
    made = logout_request(id="_l1", issuer=APP, destination=SSO, now=NOW, subject=subject, session_index="_s1")
    trusted: dict[str, Any] = {"destination": SSO, "issuer": APP, "certificates": TRUST}
    found = read_logout_request(from_query(to_query("SAMLRequest", made, relay_state="r", key=OURS)), NOW, **trusted)
    assert (found.subject, found.session_indexes, found.relay_state) == (subject, ("_s1",), "r")
    with pytest.raises(TokenError, match="T044"):
        read_logout_request(from_query(to_query("SAMLRequest", made)), NOW, **trusted)
    with pytest.raises(TokenError, match="T053"):
        read_logout_request(from_query(to_query("SAMLRequest", made, key=OURS)), NOW + timedelta(minutes=7), **trusted)
    for status, words in ((SUCCESS, ""), ("urn:oasis:names:tc:SAML:2.0:status:Responder", "Responder")):
        answer = logout_response(id="_a1", issuer=APP, destination=SSO, now=NOW, in_response_to="_l1", status=status)
        query = to_query("SAMLResponse", answer, key=OURS)
        assert read_logout_response(from_query(query), NOW, **trusted) == ("_l1", words)


def test_a_query_may_be_signed_on_a_curve() -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    from casb.identity.saml_signature import check_query

    curve = signer("curve", kind="ec")
    data = os.urandom(10)
    method = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
    der = curve.key.sign(data, ec.ECDSA(hashes.SHA256()))
    check_query(data, method, der, (curve.certificate,))
    with pytest.raises(TokenError, match="T046"):
        check_query(data + b"x", method, der, (curve.certificate,))
    with pytest.raises(TokenError, match="T046"):
        check_query(data, method, der, TRUST)


@example(GOOD)
@given(st.one_of(st.text(max_size=200), st.binary(max_size=300).map(lambda data: f"SAMLRequest={deflated(data)}")))
@hypothesis_settings(max_examples=60)
def test_any_query_gives_a_request_or_the_one_error(query: str) -> None:
    try:
        assert read(query).issuer == APP
    except TokenError as error:
        assert error.code.startswith("T0")
