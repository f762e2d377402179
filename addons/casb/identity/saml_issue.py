"""The bridge's own response to an app: made anew from checked values, never from what came in.

Assertion and response are both signed, SHA-256 and exclusive canonicalization, each signature right after its Issuer.
No element of the identity provider's document is copied, so nothing in it that we did not understand goes on to the
app.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from lxml import etree

from casb.identity.saml import BEARER, SUCCESS, NameId
from casb.identity.saml_messages import write_name_id
from casb.identity.saml_signature import SigningKey, sign
from casb.identity.saml_xml import SAML, SAMLP, Element, format_time

LIFE: Final = timedelta(minutes=5)
EARLY: Final = timedelta(seconds=30)
NO_CONTEXT: Final = "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"
_URI: Final = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
_BASIC: Final = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"
_NS: Final = {"samlp": SAMLP, "saml": SAML}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What an app is told. `destination` is the app's own address, as it knows itself."""

    response_id: str
    assertion_id: str
    issuer: str
    audience: str
    destination: str
    subject: NameId
    issued: datetime
    authenticated: datetime
    session_index: str
    session_ends: datetime | None = None
    in_response_to: str = ""
    context: str = NO_CONTEXT
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)


def issue(statement: Statement, key: SigningKey) -> bytes:
    """The signed response."""
    response = _response(statement, SUCCESS)
    response.append(sign(_assertion(statement), key))
    return bytes(etree.tostring(sign(response, key)))


def refuse(statement: Statement, key: SigningKey, *, status: str, detail: str = "") -> bytes:
    """A signed response that says no: `status` is a top-level status code, `detail` one below it."""
    return bytes(etree.tostring(sign(_response(statement, status, detail), key)))


def _response(statement: Statement, status: str, detail: str = "") -> Element:
    root = etree.Element(f"{{{SAMLP}}}Response", nsmap=_NS)
    root.set("ID", statement.response_id)
    root.set("Version", "2.0")
    root.set("IssueInstant", format_time(statement.issued))
    root.set("Destination", statement.destination)
    if statement.in_response_to:
        root.set("InResponseTo", statement.in_response_to)
    _text(root, f"{{{SAML}}}Issuer", statement.issuer)
    code = etree.SubElement(etree.SubElement(root, f"{{{SAMLP}}}Status"), f"{{{SAMLP}}}StatusCode", Value=status)
    if detail:
        etree.SubElement(code, f"{{{SAMLP}}}StatusCode", Value=detail)
    return root


def _assertion(statement: Statement) -> Element:
    until = statement.issued + LIFE
    root = etree.Element(f"{{{SAML}}}Assertion", nsmap={"saml": SAML})
    root.set("ID", statement.assertion_id)
    root.set("Version", "2.0")
    root.set("IssueInstant", format_time(statement.issued))
    _text(root, f"{{{SAML}}}Issuer", statement.issuer)
    subject = etree.SubElement(root, f"{{{SAML}}}Subject")
    write_name_id(subject, statement.subject)
    confirmation = etree.SubElement(subject, f"{{{SAML}}}SubjectConfirmation", Method=BEARER)
    data = etree.SubElement(confirmation, f"{{{SAML}}}SubjectConfirmationData")
    if statement.in_response_to:
        data.set("InResponseTo", statement.in_response_to)
    data.set("Recipient", statement.destination)
    data.set("NotOnOrAfter", format_time(until))
    conditions = etree.SubElement(root, f"{{{SAML}}}Conditions")
    conditions.set("NotBefore", format_time(statement.issued - EARLY))
    conditions.set("NotOnOrAfter", format_time(until))
    restriction = etree.SubElement(conditions, f"{{{SAML}}}AudienceRestriction")
    _text(restriction, f"{{{SAML}}}Audience", statement.audience)
    said = etree.SubElement(root, f"{{{SAML}}}AuthnStatement")
    said.set("AuthnInstant", format_time(statement.authenticated))
    said.set("SessionIndex", statement.session_index)
    if statement.session_ends is not None:
        said.set("SessionNotOnOrAfter", format_time(statement.session_ends))
    context = etree.SubElement(said, f"{{{SAML}}}AuthnContext")
    _text(context, f"{{{SAML}}}AuthnContextClassRef", statement.context)
    if statement.attributes:
        _attributes(root, statement.attributes)
    return root


def _attributes(root: Element, attributes: Mapping[str, Sequence[str]]) -> None:
    statement = etree.SubElement(root, f"{{{SAML}}}AttributeStatement")
    for name, values in attributes.items():
        element = etree.SubElement(statement, f"{{{SAML}}}Attribute", Name=name)
        element.set("NameFormat", _URI if ":" in name else _BASIC)
        for value in values:
            _text(element, f"{{{SAML}}}AttributeValue", value)


def _text(parent: Element, tag: str, text: str) -> None:
    etree.SubElement(parent, tag).text = text
