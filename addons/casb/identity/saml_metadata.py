"""Metadata: who an identity provider or an app is, where its addresses are, which certificates it signs with.

Read from files and addresses that the admin named (SAML Metadata 2.0), and written for ourselves. Reading is as strict
as for messages, but comments are left out rather than refused: people write metadata, and nothing is decided by text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from lxml import etree

from casb.errors import TokenError
from casb.identity.saml_messages import BINDING_POST, BINDING_REDIRECT
from casb.identity.saml_signature import SigningKey, check_profile, load_certificate, signed
from casb.identity.saml_xml import DS, MD, SAMLP, Element, read_xml, time_of
from casb.settings import SamlSource

EMAIL: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
PERSISTENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
_LEADING: Final = re.compile(r"\s*<\?xml\s[^<>?]*\?>")
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdpMetadata:
    """An identity provider. Addresses are of the Redirect binding, '' where it has none."""

    entity_id: str
    sso_url: str
    certificates: tuple[x509.Certificate, ...]
    slo_url: str = ""
    slo_response_url: str = ""
    wants_signed_requests: bool = False
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpMetadata:
    """An app. `acs` are its addresses for answers by index, the default first."""

    entity_id: str
    acs: Mapping[int, str]
    certificates: tuple[x509.Certificate, ...] = ()
    slo_url: str = ""
    slo_response_url: str = ""
    signs_requests: bool = False
    name_id_formats: tuple[str, ...] = ()

    @property
    def default_acs(self) -> str:
        """Where answers go that no request named an address for."""
        return next(iter(self.acs.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRole:
    """What we tell of ourselves, in one of the two roles."""

    entity_id: str
    keys: Sequence[SigningKey] = field(repr=False)
    acs: str = ""  # as a service provider
    sso: str = ""  # as an identity provider
    slo: str = ""
    signs_requests: bool = False
    name_id_formats: tuple[str, ...] = ()


def read_idp(
    document: bytes, now: datetime, *, entity_id: str = "", trust: Sequence[x509.Certificate] = ()
) -> IdpMetadata:
    """An identity provider's metadata; raises `TokenError` T059.

    `entity_id` picks one of several in an `EntitiesDescriptor`. With `trust` the document must be signed by one of
    these certificates.
    """
    entity = _entity(document, now, entity_id, "IDPSSODescriptor", trust)
    role = _role(entity, "IDPSSODescriptor")
    sso = _address(role, "SingleSignOnService", BINDING_REDIRECT)
    if not sso:
        raise TokenError("T059", "the metadata names no single sign-on address of the Redirect binding")
    certificates = _certificates(role)
    if not certificates:
        raise TokenError("T059", "the metadata has no signing certificate")
    slo, answers = _logout(role)
    return IdpMetadata(
        entity_id=_entity_id(entity),
        sso_url=sso,
        certificates=certificates,
        slo_url=slo,
        slo_response_url=answers,
        wants_signed_requests=role.get("WantAuthnRequestsSigned") in ("true", "1"),
        valid_until=time_of(entity, "validUntil", "T059", "validUntil"),
    )


def read_sp(document: bytes, now: datetime, *, entity_id: str = "") -> SpMetadata:
    """An app's metadata; raises `TokenError` T059."""
    entity = _entity(document, now, entity_id, "SPSSODescriptor", ())
    role = _role(entity, "SPSSODescriptor")
    services = [
        each for each in role.findall(f"{{{MD}}}AssertionConsumerService") if each.get("Binding") == BINDING_POST
    ]
    services.sort(key=lambda each: each.get("isDefault") not in ("true", "1"))
    acs: dict[int, str] = {}
    for number, each in enumerate(services):
        index = each.get("index", str(number))
        acs[int(index) if index.isascii() and index.isdigit() and len(index) < 6 else number] = web_address(
            each.get("Location")
        )
    if not acs:
        raise TokenError("T059", "the metadata names no address for answers by POST")
    slo, answers = _logout(role)
    formats = [(each.text or "").strip() for each in role.findall(f"{{{MD}}}NameIDFormat")]
    return SpMetadata(
        entity_id=_entity_id(entity),
        acs=acs,
        certificates=_certificates(role),
        slo_url=slo,
        slo_response_url=answers,
        signs_requests=role.get("AuthnRequestsSigned") in ("true", "1"),
        name_id_formats=tuple(each for each in formats if each),
    )


def configured_idp(source: SamlSource, now: datetime, document: bytes | None = None) -> IdpMetadata:
    """An identity provider as configured: out of its metadata (`document`, or the file's), or out of single values.

    Raises `TokenError` T059 or T048.
    """
    document = source.document if document is None else document
    if document is not None:
        trust = tuple(load_certificate(each) for each in source.trust)
        return read_idp(document, now, entity_id=source.entity_id, trust=trust)
    return IdpMetadata(
        entity_id=source.entity_id,
        sso_url=web_address(source.sso_url),
        slo_url=source.slo_url,
        slo_response_url=source.slo_url,
        certificates=tuple(load_certificate(each) for each in source.certificates),
    )


def replaced(found: SpMetadata, certificates: tuple[x509.Certificate, ...]) -> SpMetadata:
    """An app with the admin's own certificates in place of those of its metadata."""
    return replace(found, certificates=certificates)


def _entity(document: bytes, now: datetime, entity_id: str, role: str, trust: Sequence[x509.Certificate]) -> Element:
    try:
        root = read_xml(_without_comments(document))
        if trust:
            signature = root.find(f"{{{DS}}}Signature")
            if signature is None:
                raise TokenError("T059", "the metadata is not signed")
            check_profile(signature)
            root, _ = signed(root, root, trust)
    except TokenError as error:
        raise TokenError("T059", f"the metadata cannot be used: {error.message}") from None
    entities = [root] if root.tag == f"{{{MD}}}EntityDescriptor" else list(root.iter(f"{{{MD}}}EntityDescriptor"))
    if root.tag not in (f"{{{MD}}}EntityDescriptor", f"{{{MD}}}EntitiesDescriptor"):
        raise TokenError("T059", "this is no SAML metadata")
    fitting = [each for each in entities if each.find(f"{{{MD}}}{role}") is not None]
    if entity_id:
        fitting = [each for each in fitting if each.get("entityID") == entity_id]
    if len(fitting) != 1:
        raise TokenError("T059", f"the metadata has {len(fitting)} entities of this role, and one is wanted")
    for each in (root, fitting[0]):
        until = time_of(each, "validUntil", "T059", "validUntil")
        if until is not None and until <= now:
            raise TokenError("T059", "the metadata is out of date (validUntil)")
    return fitting[0]


def _without_comments(document: bytes) -> bytes:
    text = document.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    head = _LEADING.match(text)
    body = text[head.end() :] if head else text
    return _COMMENT.sub("", body).encode("utf-8") if "<![CDATA[" not in body else document


def _role(entity: Element, name: str) -> Element:
    found = [
        each
        for each in entity.findall(f"{{{MD}}}{name}")
        if SAMLP in (each.get("protocolSupportEnumeration") or "").split()
    ]
    if not found:
        raise TokenError("T059", "the metadata has no role for SAML 2.0")
    return found[0]


def _entity_id(entity: Element) -> str:
    value = str(entity.get("entityID") or "")
    if not value or len(value) > 1024 or not value.isprintable():
        raise TokenError("T059", "the metadata names no entity")
    return value


def _address(role: Element, name: str, binding: str) -> str:
    for each in role.findall(f"{{{MD}}}{name}"):
        if each.get("Binding") == binding:
            return web_address(each.get("Location"))
    return ""


def _logout(role: Element) -> tuple[str, str]:
    for each in role.findall(f"{{{MD}}}SingleLogoutService"):
        if each.get("Binding") == BINDING_REDIRECT:
            location = web_address(each.get("Location"))
            return location, web_address(each.get("ResponseLocation")) if each.get("ResponseLocation") else location
    return "", ""


def web_address(text: str | None) -> str:
    """An absolute web address without user information or fragment."""
    try:
        parts = urlsplit(text or "")
        ok = parts.scheme in ("https", "http") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        ok = False
    if not ok or text is None or "@" in parts.netloc or parts.fragment or not text.isprintable() or " " in text:
        raise TokenError("T059", "an address in the metadata is none")
    return text


def _certificates(role: Element) -> tuple[x509.Certificate, ...]:
    found = []
    for descriptor in role.findall(f"{{{MD}}}KeyDescriptor"):
        if descriptor.get("use", "signing") != "signing":
            continue
        for each in descriptor.iterfind(f"{{{DS}}}KeyInfo/{{{DS}}}X509Data/{{{DS}}}X509Certificate"):
            try:
                found.append(load_certificate(str(each.text or "")))
            except TokenError as error:
                raise TokenError("T059", f"the metadata cannot be used: {error.message}") from None
    return tuple(dict.fromkeys(found))


def write(own: OwnRole) -> bytes:
    """Our metadata, in the role that has an address: every key is listed, so that a rollover overlaps."""
    as_idp = bool(own.sso)
    root = etree.Element(f"{{{MD}}}EntityDescriptor", nsmap={"md": MD, "ds": DS}, entityID=own.entity_id)
    role = etree.SubElement(root, f"{{{MD}}}{'IDP' if as_idp else 'SP'}SSODescriptor")
    role.set("protocolSupportEnumeration", SAMLP)
    if as_idp:
        role.set("WantAuthnRequestsSigned", "false")
    else:
        role.set("AuthnRequestsSigned", "true" if own.signs_requests else "false")
        role.set("WantAssertionsSigned", "true")
    for key in own.keys:
        info = etree.SubElement(etree.SubElement(role, f"{{{MD}}}KeyDescriptor", use="signing"), f"{{{DS}}}KeyInfo")
        data = etree.SubElement(info, f"{{{DS}}}X509Data")
        etree.SubElement(data, f"{{{DS}}}X509Certificate").text = key.der
    if own.slo:
        etree.SubElement(role, f"{{{MD}}}SingleLogoutService", Binding=BINDING_REDIRECT, Location=own.slo)
    for each in own.name_id_formats:
        etree.SubElement(role, f"{{{MD}}}NameIDFormat").text = each
    if as_idp:
        for binding in (BINDING_REDIRECT, BINDING_POST):
            etree.SubElement(role, f"{{{MD}}}SingleSignOnService", Binding=binding, Location=own.sso)
    else:
        service = etree.SubElement(role, f"{{{MD}}}AssertionConsumerService", Binding=BINDING_POST, Location=own.acs)
        service.set("index", "0")
        service.set("isDefault", "true")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + bytes(etree.tostring(root, pretty_print=True))
