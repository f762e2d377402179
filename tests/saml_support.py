"""SAML responses made to order: a builder and a signer of their own, sharing no code with what they test."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from lxml import etree

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
IDP = "https://idp.example/metadata"
SP = "https://login.casb.test/saml"
ACS = "https://login.casb.test/.casb/saml/acs"
REQUEST = "_request-1"
NS = {
    "samlp": "urn:oasis:names:tc:SAML:2.0:protocol",
    "saml": "urn:oasis:names:tc:SAML:2.0:assertion",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
}
EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"


@dataclass(frozen=True)
class Signer:
    """A key and its certificate."""

    key: Any
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return str(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ).decode()
        )

    @property
    def der64(self) -> str:
        return base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()


def signer(name: str = "idp", *, kind: str = "rsa", expired: bool = False) -> Signer:
    """A signer by name; the same name gives the same key."""
    return _signer(name, kind, expired)


@cache
def _signer(name: str, kind: str, expired: bool) -> Signer:
    key: Any
    if kind == "ec":
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=1024 if kind == "short" else 2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    begin = datetime(2015, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=365 if expired else 36500))
        .sign(key, hashes.SHA256())
    )
    return Signer(key, certificate)


@dataclass
class Response:
    """A good response; every field can be made a bad one. None leaves a thing out."""

    id: str = "_response-1"
    assertion_id: str = "_assertion-1"
    issuer: str | None = IDP
    assertion_issuer: str | None = IDP
    destination: str | None = ACS
    recipient: str | None = ACS
    audience: str | None = SP
    in_response_to: str | None = REQUEST
    confirmed_request: str | None = REQUEST
    name_id: str = "ada@contoso.example"
    name_format: str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
    issued: datetime = NOW
    assertion_issued: datetime = NOW
    not_before: datetime | None = NOW - timedelta(minutes=1)
    not_after: datetime | None = NOW + timedelta(minutes=5)
    confirmed_until: datetime | None = NOW + timedelta(minutes=5)
    confirmed_from: datetime | None = None
    method: str = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
    authenticated: datetime = NOW
    session_index: str | None = "_session-1"
    session_until: datetime | None = NOW + timedelta(hours=8)
    context: str = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
    attributes: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"groups": ("staff", "finance")})
    status: str = "urn:oasis:names:tc:SAML:2.0:status:Success"
    conditions: str = ""
    in_response: str = ""
    in_assertion: str = ""

    def xml(self) -> str:
        """The document without signatures."""
        return (
            f'<samlp:Response xmlns:samlp="{NS["samlp"]}" xmlns:saml="{NS["saml"]}" ID="{self.id}" Version="2.0"'
            f"{_time(' IssueInstant', self.issued)}{_text(' Destination', self.destination)}"
            f"{_text(' InResponseTo', self.in_response_to)}>"
            f"{_element('saml:Issuer', self.issuer)}"
            f'<samlp:Status><samlp:StatusCode Value="{self.status}"/></samlp:Status>{self.in_response}'
            f"{self.assertion()}</samlp:Response>"
        )

    def assertion(self) -> str:
        """Its assertion."""
        audience = (
            f"<saml:AudienceRestriction><saml:Audience>{self.audience}</saml:Audience></saml:AudienceRestriction>"
            if self.audience
            else ""
        )
        values = "".join(
            f'<saml:Attribute Name="{name}">'
            + "".join(f"<saml:AttributeValue>{each}</saml:AttributeValue>" for each in found)
            + "</saml:Attribute>"
            for name, found in self.attributes.items()
        )
        return (
            f'<saml:Assertion xmlns:saml="{NS["saml"]}" ID="{self.assertion_id}" Version="2.0"'
            f"{_time(' IssueInstant', self.assertion_issued)}>{_element('saml:Issuer', self.assertion_issuer)}"
            f'<saml:Subject><saml:NameID Format="{self.name_format}">{self.name_id}</saml:NameID>'
            f'<saml:SubjectConfirmation Method="{self.method}"><saml:SubjectConfirmationData'
            f"{_text(' Recipient', self.recipient)}{_text(' InResponseTo', self.confirmed_request)}"
            f"{_time(' NotBefore', self.confirmed_from)}{_time(' NotOnOrAfter', self.confirmed_until)}/>"
            f"</saml:SubjectConfirmation></saml:Subject>"
            f"<saml:Conditions{_time(' NotBefore', self.not_before)}{_time(' NotOnOrAfter', self.not_after)}>"
            f"{audience}{self.conditions}</saml:Conditions>"
            f"<saml:AuthnStatement{_time(' AuthnInstant', self.authenticated)}"
            f"{_text(' SessionIndex', self.session_index)}"
            f"{_time(' SessionNotOnOrAfter', self.session_until)}><saml:AuthnContext><saml:AuthnContextClassRef>"
            f"{self.context}</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"
            f"<saml:AttributeStatement>{values}</saml:AttributeStatement>{self.in_assertion}</saml:Assertion>"
        )

    def signed(self, which: str = "both", by: Signer | None = None, **options: Any) -> bytes:
        """The document signed: `both`, `response`, `assertion` or `none`."""
        root = etree.fromstring(self.xml())
        if which in ("both", "assertion"):
            sign(root.find("saml:Assertion", NS), by or signer(), **options)
        if which in ("both", "response"):
            sign(root, by or signer(), **options)
        return bytes(etree.tostring(root))


def sign(
    element: Any,
    by: Signer,
    *,
    method: str = RSA_SHA256,
    digest: str = "http://www.w3.org/2001/04/xmlenc#sha256",
    canonical: str = EXC,
    transforms: tuple[str, ...] = ("http://www.w3.org/2000/09/xmldsig#enveloped-signature", EXC),
    uri: str | None = None,
    prefixes: str = "",
    hmac: Callable[[bytes], bytes] | None = None,
    key_info: str = "",
    extra: str = "",
    reference_extra: str = "",
    second: str = "",
) -> Any:
    """Put an enveloped signature after the Issuer of `element` (or first), by hand."""
    hasher = {"sha256": hashlib.sha256, "sha512": hashlib.sha512, "sha1": hashlib.sha1, "sha384": hashlib.sha384}
    # The digest is of the element alone, as it will be found in the document.
    alone = etree.fromstring(etree.tostring(element, with_tail=False))
    inclusive = prefixes.split() or None
    data = etree.tostring(alone, method="c14n", exclusive=True, inclusive_ns_prefixes=inclusive)
    value = base64.b64encode(hasher[digest.rpartition("#")[2]](data).digest()).decode()
    address = f"#{element.get('ID')}" if uri is None else uri
    named = f'<ec:InclusiveNamespaces xmlns:ec="{EXC}" PrefixList="{prefixes}"/>' if prefixes else ""
    steps = "".join(
        f'<ds:Transform Algorithm="{each}">{named if each == EXC else ""}</ds:Transform>' for each in transforms
    )
    info = (
        f'<ds:SignedInfo xmlns:ds="{NS["ds"]}"><ds:CanonicalizationMethod Algorithm="{canonical}"/>'
        f'<ds:SignatureMethod Algorithm="{method}"/><ds:Reference URI="{address}">'
        f"<ds:Transforms>{steps}</ds:Transforms>"
        f'<ds:DigestMethod Algorithm="{digest}"/><ds:DigestValue>{value}</ds:DigestValue>{reference_extra}'
        f"</ds:Reference>{second}</ds:SignedInfo>"
    )
    octets = etree.tostring(etree.fromstring(info), method="c14n", exclusive=True)
    made = hmac(octets) if hmac else raw_signature(by, octets, method)
    document = (
        f'<ds:Signature xmlns:ds="{NS["ds"]}">{info}<ds:SignatureValue>{base64.b64encode(made).decode()}'
        f"</ds:SignatureValue>{key_info or _key_info(by)}{extra}</ds:Signature>"
    )
    signature = etree.fromstring(document)
    issuer = element.find("saml:Issuer", NS)
    if issuer is None:
        element.insert(0, signature)
    else:
        issuer.addnext(signature)
    return signature


def raw_signature(by: Signer, octets: bytes, method: str) -> bytes:
    known: dict[str, Any] = {"1": hashes.SHA1, "256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
    algorithm = known[method.rpartition("sha")[2].partition("-")[0]]()
    if isinstance(by.key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(by.key.sign(octets, ec.ECDSA(algorithm)))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return bytes(by.key.sign(octets, padding.PKCS1v15(), algorithm))


def _key_info(by: Signer) -> str:
    return f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{by.der64}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"


def _time(name: str, moment: datetime | None) -> str:
    return "" if moment is None else f'{name}="{moment:%Y-%m-%dT%H:%M:%SZ}"'


def _text(name: str, value: str | None) -> str:
    return "" if value is None else f'{name}="{value}"'


def _element(name: str, value: str | None) -> str:
    return "" if value is None else f"<{name}>{value}</{name}>"
