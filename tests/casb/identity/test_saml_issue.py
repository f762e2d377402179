"""Our own response: accepted by the strict verifier, and by a table of what must be in it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from lxml import etree

from casb.errors import TokenError
from casb.identity.saml import NameId, verify_response
from casb.identity.saml_issue import Statement, issue, refuse
from casb.identity.saml_signature import SigningKey
from saml_support import ACS, NOW, NS, REQUEST, signer

KEY = SigningKey(key=signer("bridge").key, certificate=signer("bridge").certificate)
OURS = "https://login.casb.test/saml/app"
HOSTILE = "<!-- ]]> \"'&lt; é 漢"
STATEMENT = Statement(
    response_id="_r",
    assertion_id="_a",
    issuer=OURS,
    audience="urn:app",
    destination=ACS,
    subject=NameId(value=HOSTILE, format="urn:f"),
    issued=NOW,
    authenticated=NOW - timedelta(minutes=3),
    session_index="_s",
    session_ends=NOW + timedelta(hours=1),
    in_response_to=REQUEST,
    context="urn:context",
    attributes={"mail": ("ada@contoso.example",), "urn:groups": ("a", "b", HOSTILE)},
)


def test_what_we_issue_passes_our_own_check_and_says_what_it_was_told() -> None:
    document = issue(STATEMENT, KEY)
    found = verify_response(
        document,
        [signer("bridge").pem],
        NOW,
        issuer=OURS,
        audience="urn:app",
        recipient=ACS,
        in_response_to=REQUEST,
        contexts=["urn:context"],
    )
    assert found.subject == STATEMENT.subject
    assert found.attributes == {"mail": ("ada@contoso.example",), "urn:groups": ("a", "b", HOSTILE)}
    assert (found.session_index, found.session_not_after) == ("_s", NOW + timedelta(hours=1))
    root = etree.fromstring(document)
    assert [each.tag for each in root][:2] == [f"{{{NS['saml']}}}Issuer", f"{{{NS['ds']}}}Signature"]
    assertion = root.find("saml:Assertion", NS)
    assert [each.tag for each in assertion][:2] == [f"{{{NS['saml']}}}Issuer", f"{{{NS['ds']}}}Signature"]
    methods = {each.get("Algorithm") for each in root.iter(f"{{{NS['ds']}}}SignatureMethod")}
    assert methods == {"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"}


def test_both_signatures_are_of_our_key() -> None:
    root = etree.fromstring(issue(STATEMENT, KEY))
    assert len(root.findall(".//ds:Signature", NS)) == 2
    root.remove(root.find("ds:Signature", NS))
    alone = etree.tostring(root)
    assert (
        verify_response(
            alone, [KEY.certificate], NOW, issuer=OURS, audience="urn:app", recipient=ACS, in_response_to=REQUEST
        ).id
        == "_a"
    )


def test_a_no_is_signed_and_holds_no_assertion() -> None:
    document = refuse(STATEMENT, KEY, status="urn:oasis:names:tc:SAML:2.0:status:Responder", detail="urn:x:NoPassive")
    with pytest.raises(TokenError, match=r"T049 .*Responder, NoPassive"):
        verify_response(document, [KEY.certificate], NOW, issuer=OURS, audience="x", recipient=ACS)
    assert b"ada" not in document and b"Signature" in document
