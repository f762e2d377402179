"""The other SAML messages: requests to sign in and to sign out, their answers, and the two ways they travel.

The Redirect binding (Bindings section 3.4) deflates a message into the query and signs the query; the POST binding
(section 3.5) has the browser post base64. A message is read strictly, inflated up to a limit, and a signed query must
have each parameter once.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote_plus, unquote_to_bytes

from cryptography import x509
from lxml import etree

from casb.errors import TokenError
from casb.identity.saml import SKEW, SUCCESS, UNSPECIFIED, NameId, read_name_id, status_words
from casb.identity.saml_signature import (
    QUERY_ALGORITHM,
    SigningKey,
    check_profile,
    check_query,
    sign,
    sign_query,
    signed,
)
from casb.identity.saml_xml import (
    DS,
    SAML,
    SAMLP,
    Element,
    attribute,
    format_time,
    local,
    only,
    parse_time,
    read_xml,
    strict_base64,
    text_of,
    time_of,
    xml_id,
)

LONGEST_MESSAGE: Final = 64 * 1024  # inflated; a request has no business to be larger
LONGEST_STATE: Final = 2048  # RelayState of an app; the standard says 80 bytes, products send addresses
FRESH: Final = timedelta(minutes=10)  # since a request was issued

BINDING_REDIRECT: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
BINDING_POST: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"

_NS: Final = {"samlp": SAMLP, "saml": SAML}


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message as it came. `query` has what a signature of the Redirect binding covers; None: it was posted."""

    document: bytes
    relay_state: str = ""
    is_response: bool = False
    query: bytes | None = None
    algorithm: str = ""
    signature: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthnRequest:
    """An app's wish to have somebody signed in (Core section 3.4.1)."""

    id: str
    issuer: str
    issued: datetime
    acs_url: str = ""
    acs_index: int | None = None
    force: bool = False
    passive: bool = False
    name_id_format: str = ""
    contexts: tuple[str, ...] = ()
    relay_state: str = ""
    signed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutRequest:
    """A wish to end somebody's sessions (Core section 3.7.1); no session index means all of them."""

    id: str
    issuer: str
    subject: NameId
    session_indexes: tuple[str, ...] = ()
    relay_state: str = ""


# --- the bindings -----------------------------------------------------------------------------------------------------


def from_query(query: str) -> Received:
    """A message out of a Redirect binding's query; raises `TokenError` T057."""
    if len(query) > LONGEST_MESSAGE * 2:
        raise TokenError("T057", "the query is too long")
    raw: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name in ("SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature", "SAMLEncoding"):
            if name in raw:
                raise TokenError("T057", f"the query has {name} twice")
            raw[name] = value
    kind = "SAMLResponse" if "SAMLResponse" in raw else "SAMLRequest"
    if kind not in raw or {"SAMLRequest", "SAMLResponse"} <= raw.keys():
        raise TokenError("T057", "the query has not exactly one SAML message")
    if raw.get("SAMLEncoding", quote_plus(_DEFLATE)) not in (quote_plus(_DEFLATE), _DEFLATE):
        raise TokenError("T057", "the message is encoded in an unknown way")
    covered = [f"{name}={raw[name]}" for name in (kind, "RelayState", "SigAlg") if name in raw]
    has = "Signature" in raw
    if has != ("SigAlg" in raw):
        raise TokenError("T057", "the query has a signature without its algorithm, or the reverse")
    return Received(
        document=_inflated(strict_base64(_unquoted(raw[kind]))),
        relay_state=_state(_unquoted(raw.get("RelayState", ""))),
        is_response=kind == "SAMLResponse",
        query="&".join(covered).encode("ascii", "replace"),
        algorithm=_unquoted(raw.get("SigAlg", "")).decode("ascii", "replace"),
        signature=strict_base64(_unquoted(raw["Signature"])) if has else b"",
    )


def from_form(fields: dict[str, str]) -> Received:
    """A message out of a POST binding's form; raises `TokenError` T057."""
    kind = "SAMLResponse" if "SAMLResponse" in fields else "SAMLRequest"
    if kind not in fields or {"SAMLRequest", "SAMLResponse"} <= fields.keys():
        raise TokenError("T057", "the form has not exactly one SAML message")
    document = strict_base64(fields[kind].encode("ascii", "replace"))
    return Received(
        document=document,
        relay_state=_state(fields.get("RelayState", "").encode()),
        is_response=kind == "SAMLResponse",
    )


_DEFLATE: Final = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"


def _unquoted(value: str) -> bytes:
    return unquote_to_bytes(value.replace("+", " "))


def _state(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise TokenError("T057", "the RelayState is not UTF-8") from None
    if len(value) > LONGEST_STATE or not (text or " ").isprintable():
        raise TokenError("T057", "the RelayState is too long or holds control characters")
    return text


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj(-15)
    try:
        document = inflater.decompress(data, LONGEST_MESSAGE + 1)
    except zlib.error:
        raise TokenError("T057", "the message is not deflated as it must be") from None
    if len(document) > LONGEST_MESSAGE or inflater.unconsumed_tail:
        raise TokenError("T057", "the message is too large when inflated")
    if not inflater.eof or inflater.unused_data:
        raise TokenError("T057", "the message is not deflated as it must be")
    return document


def to_query(kind: str, document: bytes, *, relay_state: str = "", key: SigningKey | None = None) -> str:
    """A query with a message (`kind` is SAMLRequest or SAMLResponse), signed when there is a key."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = base64.b64encode(packer.compress(document) + packer.flush()).decode("ascii")
    parts = [f"{kind}={quote_plus(packed)}"]
    if relay_state:
        parts.append(f"RelayState={quote_plus(relay_state)}")
    if key is not None:
        parts.append(f"SigAlg={quote_plus(QUERY_ALGORITHM)}")
        value = base64.b64encode(sign_query("&".join(parts).encode("ascii"), key)).decode("ascii")
        parts.append(f"Signature={quote_plus(value)}")
    return "&".join(parts)


# --- reading ----------------------------------------------------------------------------------------------------------


def _read(
    received: Received,
    name: str,
    now: datetime,
    *,
    destination: str,
    issuers: Collection[str],
    certificates: Sequence[x509.Certificate],
    must_sign: bool,
) -> tuple[Element, str, bool]:
    """A checked message: its root, its issuer, whether it was signed. What is signed in the XML is read from there."""
    root = read_xml(received.document)
    if root.tag != f"{{{SAMLP}}}{name}" or root.get("Version") != "2.0":
        raise TokenError("T058", f"the SAML message is no {name}")
    if any(local(each.tag) in ("Assertion", "EncryptedAssertion") for each in root.iter()):
        raise TokenError("T058", "a request holds an assertion")
    signatures = [each for each in root.iter() if local(each.tag) == "Signature"]
    is_signed = False
    if received.query is not None and received.signature:
        check_query(received.query, received.algorithm, received.signature, certificates)
        is_signed = True
    if signatures:
        if len(signatures) != 1 or signatures[0].getparent() is not root or signatures[0].tag != f"{{{DS}}}Signature":
            raise TokenError("T045", "a signature is somewhere else than directly in the message")
        check_profile(signatures[0])
        root, _ = signed(root, root, certificates)
        is_signed = True
    if must_sign and not is_signed:
        raise TokenError("T044", f"the {name} is not signed")
    xml_id(root, "T058", "the message")
    issuer = only(root, f"{{{SAML}}}Issuer", "T058")
    who = text_of(issuer, "T058", "the issuer") if issuer is not None else ""
    if who not in issuers:
        raise TokenError("T050", "the message comes from somebody else than configured")
    given = root.get("Destination")
    if given != destination and (given is not None or is_signed):
        raise TokenError("T051", "the message is meant for another address")
    issued = parse_time(attribute(root, "IssueInstant", "T053", "its time"), "T053", "its time")
    if issued > now + SKEW or issued < now - FRESH:
        raise TokenError("T053", "the message was issued in the future or too long ago")
    return root, who, is_signed


def read_authn_request(
    received: Received,
    now: datetime,
    *,
    destination: str,
    issuer: str,
    certificates: Sequence[x509.Certificate] = (),
    must_sign: bool = False,
) -> AuthnRequest:
    """An app's request, checked; raises `TokenError`. `destination` is the address it came in at.

    A signature that is there must be right; `must_sign` says that one must be there.
    """
    root, who, is_signed = _read(
        received,
        "AuthnRequest",
        now,
        destination=destination,
        issuers=(issuer,),
        certificates=certificates,
        must_sign=must_sign,
    )
    binding = root.get("ProtocolBinding", BINDING_POST)
    if binding != BINDING_POST:
        raise TokenError("T058", "the app wants its answer by another binding than POST")
    index = root.get("AssertionConsumerServiceIndex")
    if index is not None and not (index.isascii() and index.isdigit() and len(index) < 6):
        raise TokenError("T058", "the index of the app's address is malformed")
    policy = only(root, f"{{{SAMLP}}}NameIDPolicy", "T058")
    asked = root.findall(f"{{{SAMLP}}}RequestedAuthnContext/{{{SAML}}}AuthnContextClassRef")
    return AuthnRequest(
        id=str(root.get("ID")),
        issuer=who,
        issued=parse_time(str(root.get("IssueInstant")), "T053", "its time"),
        acs_url=str(root.get("AssertionConsumerServiceURL") or ""),
        acs_index=None if index is None else int(index),
        force=_flag(root, "ForceAuthn"),
        passive=_flag(root, "IsPassive"),
        name_id_format=str(policy.get("Format") or "") if policy is not None else "",
        contexts=tuple(text_of(each, "T058", "an authentication context") for each in asked[:20]),
        relay_state=received.relay_state,
        signed=is_signed,
    )


def _flag(element: Element, name: str) -> bool:
    return element.get(name) in ("true", "1")


def read_logout_request(
    received: Received,
    now: datetime,
    *,
    destination: str,
    issuer: str,
    certificates: Sequence[x509.Certificate],
    must_sign: bool = True,
) -> LogoutRequest:
    """A request to sign somebody out, checked; raises `TokenError`."""
    root, who, _ = _read(
        received,
        "LogoutRequest",
        now,
        destination=destination,
        issuers=(issuer,),
        certificates=certificates,
        must_sign=must_sign,
    )
    until = time_of(root, "NotOnOrAfter", "T053", "NotOnOrAfter")
    if until is not None and until <= now - SKEW:
        raise TokenError("T053", "the request to sign out is too old")
    name = only(root, f"{{{SAML}}}NameID", "T058")
    if name is None:
        raise TokenError("T056", "the request to sign out names nobody")
    indexes = [text_of(each, "T058", "a session index") for each in root.findall(f"{{{SAMLP}}}SessionIndex")]
    return LogoutRequest(
        id=str(root.get("ID")),
        issuer=who,
        subject=read_name_id(name),
        session_indexes=tuple(indexes[:100]),
        relay_state=received.relay_state,
    )


def read_logout_response(
    received: Received,
    now: datetime,
    *,
    destination: str,
    issuer: str,
    certificates: Sequence[x509.Certificate],
    must_sign: bool = True,
) -> tuple[str, str]:
    """What an answer to our request to sign out answers (`InResponseTo`), and '' or the words of its failure."""
    root, _, _ = _read(
        received,
        "LogoutResponse",
        now,
        destination=destination,
        issuers=(issuer,),
        certificates=certificates,
        must_sign=must_sign,
    )
    code = root.find(f"{{{SAMLP}}}Status/{{{SAMLP}}}StatusCode")
    done = code is not None and code.get("Value") == SUCCESS
    return str(root.get("InResponseTo") or ""), "" if done else status_words(root)


# --- writing ----------------------------------------------------------------------------------------------------------


def authn_request(
    *,
    id: str,
    issuer: str,
    destination: str,
    acs: str,
    now: datetime,
    name_id_format: str = "",
    contexts: Sequence[str] = (),
    comparison: str = "exact",
    force: bool = False,
    passive: bool = False,
    subject: str = "",
) -> bytes:
    """Our request that an identity provider sign somebody in. `contexts`: one of them must be met."""
    root = _message("AuthnRequest", id, issuer, destination, now)
    root.set("ProtocolBinding", BINDING_POST)
    root.set("AssertionConsumerServiceURL", acs)
    if force:
        root.set("ForceAuthn", "true")
    if passive:
        root.set("IsPassive", "true")
    if subject:
        etree.SubElement(etree.SubElement(root, f"{{{SAML}}}Subject"), f"{{{SAML}}}NameID").text = subject
    policy = etree.SubElement(root, f"{{{SAMLP}}}NameIDPolicy")
    if name_id_format:
        policy.set("Format", name_id_format)
    policy.set("AllowCreate", "true")
    if contexts:
        wanted = etree.SubElement(root, f"{{{SAMLP}}}RequestedAuthnContext", Comparison=comparison)
        for each in contexts:
            etree.SubElement(wanted, f"{{{SAML}}}AuthnContextClassRef").text = each
    return bytes(etree.tostring(root))


def logout_request(
    *, id: str, issuer: str, destination: str, now: datetime, subject: NameId, session_index: str = ""
) -> bytes:
    """Our request that a provider, or an app, end somebody's session."""
    root = _message("LogoutRequest", id, issuer, destination, now)
    root.set("NotOnOrAfter", format_time(now + timedelta(minutes=5)))
    write_name_id(root, subject)
    if session_index:
        etree.SubElement(root, f"{{{SAMLP}}}SessionIndex").text = session_index
    return bytes(etree.tostring(root))


def logout_response(
    *, id: str, issuer: str, destination: str, now: datetime, in_response_to: str, status: str = SUCCESS
) -> bytes:
    """Our answer to a request to sign out."""
    root = _message("LogoutResponse", id, issuer, destination, now)
    root.set("InResponseTo", in_response_to)
    etree.SubElement(etree.SubElement(root, f"{{{SAMLP}}}Status"), f"{{{SAMLP}}}StatusCode", Value=status)
    return bytes(etree.tostring(root))


def signed_document(document: bytes, key: SigningKey) -> bytes:
    """A message of ours with a signature in it, for the POST binding."""
    return bytes(etree.tostring(sign(etree.fromstring(document), key)))


def write_name_id(parent: Element, name: NameId) -> None:
    """Add a `NameID`."""
    element = etree.SubElement(parent, f"{{{SAML}}}NameID")
    element.text = name.value
    if name.format != UNSPECIFIED:
        element.set("Format", name.format)
    if name.name_qualifier:
        element.set("NameQualifier", name.name_qualifier)
    if name.sp_name_qualifier:
        element.set("SPNameQualifier", name.sp_name_qualifier)


def _message(name: str, id: str, issuer: str, destination: str, now: datetime) -> Element:
    root = etree.Element(f"{{{SAMLP}}}{name}", nsmap=_NS)
    for key, value in (
        ("ID", id),
        ("Version", "2.0"),
        ("IssueInstant", format_time(now)),
        ("Destination", destination),
    ):
        root.set(key, value)
    etree.SubElement(root, f"{{{SAML}}}Issuer").text = issuer
    return root
