"""The whole check of a SAML 2.0 response: structure, signature, then every fact we rely on.

Pure: certificates and the present are passed in. Whatever is wrong raises `TokenError`, which names the rule and never
the document. Own structure checks come first and refuse every altered document, wrapped ones included; signxml verifies
with the configured certificates; all facts are then read out of what was signed and out of nothing else (SAML Core and
Profiles section 4.1.4; signature wrapping: Somorovsky et al., USENIX Security 2012; CVE-2024-45409, CVE-2025-25291,
CVE-2025-25292, CVE-2025-66567, CVE-2025-66568). Whether an assertion was seen before is for the caller to remember:
`Assertion.id`, until `Assertion.expires`. Needs the extra `casb[saml]`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from cryptography import x509

from casb.errors import TokenError
from casb.identity.saml_signature import check_profile, load_certificate, signed
from casb.identity.saml_xml import (
    DS,
    SAML,
    SAMLP,
    Element,
    attribute,
    local,
    only,
    parse_time,
    read_xml,
    strict_base64,
    text_of,
    time_of,
    xml_id,
)

SKEW: Final = timedelta(seconds=60)
MOST_ATTRIBUTES: Final = 200
MOST_VALUES: Final = 1000
LONGEST_VALUE: Final = 4096
LONGEST_LIFE: Final = timedelta(hours=25)  # an assertion that could be replayed for longer is not accepted

SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
UNSPECIFIED: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
TRANSIENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
ENTITY: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"

RESPONSE: Final = f"{{{SAMLP}}}Response"
ASSERTION: Final = f"{{{SAML}}}Assertion"
ENCRYPTED: Final = f"{{{SAML}}}EncryptedAssertion"
SIGNATURE: Final = f"{{{DS}}}Signature"
ISSUER: Final = f"{{{SAML}}}Issuer"

_IN_RESPONSE: Final = frozenset(
    {ISSUER, SIGNATURE, ASSERTION, ENCRYPTED, f"{{{SAMLP}}}Extensions", f"{{{SAMLP}}}Status"}
)
_IN_ASSERTION: Final = frozenset(
    {ISSUER, SIGNATURE}
    | {f"{{{SAML}}}{each}" for each in ("Subject", "Conditions", "Advice", "AuthnStatement", "AttributeStatement")}
)
_STATUS_WORDS: Final = frozenset(
    {
        "Requester", "Responder", "VersionMismatch", "AuthnFailed", "InvalidAttrNameOrValue", "InvalidNameIDPolicy",
        "NoAuthnContext", "NoAvailableIDP", "NoPassive", "NoSupportedIDP", "PartialLogout", "ProxyCountExceeded",
        "RequestDenied", "RequestUnsupported", "RequestVersionDeprecated", "RequestVersionTooHigh",
        "RequestVersionTooLow", "ResourceNotRecognized", "TooManyResponses", "UnknownAttrProfile", "UnknownPrincipal",
        "UnsupportedBinding",
    }
)  # fmt: skip
_NOTHING: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class NameId:
    """A subject as its identity provider names it (SAML Core section 2.2.3)."""

    value: str
    format: str = UNSPECIFIED
    name_qualifier: str = ""
    sp_name_qualifier: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """What a verified response says. `expires` is until when its id must be remembered against replay.

    `session_not_after` is the provider's wish for the end of our session; `attributes` are texts by attribute name.
    """

    id: str
    issuer: str
    subject: NameId
    issued: datetime
    expires: datetime
    in_response_to: str = ""  # empty: nobody asked
    session_index: str = ""
    session_not_after: datetime | None = None
    authenticated: datetime | None = None
    context: str = ""  # AuthnContextClassRef
    attributes: Mapping[str, tuple[str, ...]] = field(default=_NOTHING)
    friendly_names: Mapping[str, str] = field(default_factory=dict)  # FriendlyName to Name
    key: str = ""  # SHA-256 of the certificate that verified it


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A response whose structure is as it must be. Nothing in it is verified yet."""

    root: Element
    assertion: Element
    response_signed: bool
    assertion_signed: bool


def verify_response(
    document: bytes,
    certificates: Sequence[str | bytes | x509.Certificate],
    now: datetime,
    *,
    issuer: str,
    audience: str,
    recipient: str,
    in_response_to: str | None = None,
    unsolicited: bool = False,
    contexts: Collection[str] = (),
    max_age: int | None = None,
    skew: timedelta = SKEW,
) -> Assertion:
    """The verified assertion of a SAML response; raises `TokenError`, whatever the bytes.

    `document` is the XML, or the base64 of it as browsers post it. `certificates` (PEM, DER or loaded) are those of the
    identity provider `issuer` (its entity id), several while it changes them. `audience` is our entity id, `recipient`
    the address that the response came in at. `in_response_to` is the id of the request that this browser is waiting for
    an answer to; with None only an `unsolicited` one may be accepted. `contexts` are authentication contexts
    (AuthnContextClassRef) of which one must have been met, `max_age` seconds since the person signed in.

    The caller must remember `Assertion.id` until `Assertion.expires`, and refuse it the second time.
    """
    trusted = tuple(load_certificate(each) for each in certificates)
    shape = check_structure(document)
    response, assertion, key = shape.root, shape.assertion, ""
    if shape.response_signed:
        response, key = signed(shape.root, shape.root, trusted)
        assertion = _the_assertion(response)
    if shape.assertion_signed:
        assertion, key = signed(shape.root, shape.assertion, trusted)
    _check_response(response, issuer, recipient, in_response_to, unsolicited, now, skew, trusted=shape.response_signed)
    found = _read_assertion(
        assertion,
        now,
        issuer=issuer,
        audience=audience,
        recipient=recipient,
        in_response_to=in_response_to,
        unsolicited=unsolicited,
        contexts=contexts,
        max_age=max_age,
        skew=skew,
    )
    return replace(found, key=key)


def check_structure(document: bytes, *, allow_encrypted: bool = False) -> Shape:
    """The structure rules alone: what can be asked of a response that is meant for somebody else. Raises `TokenError`.

    One response, one assertion directly in it, ids used once, one or two signatures of the allowed shape, each in the
    element that it refers to. No signature is verified here. `allow_encrypted`: a signed response may hold an encrypted
    assertion in place of a plain one.
    """
    root = _root_of(document)
    if root.tag != RESPONSE:
        raise TokenError("T042", "the SAML document is not a response")
    _check_children(root, _IN_RESPONSE)
    everywhere = [element for element in root.iter() if local(element.tag) in ("Response", "Assertion")]
    encrypted = [element for element in root.iter() if local(element.tag) == "EncryptedAssertion"]
    assertions = root.findall(ASSERTION)
    if encrypted:
        if assertions or len(encrypted) > 1 or len(everywhere) != 1:
            raise TokenError("T042", "there is more than one assertion in the response")
        if allow_encrypted:
            return _encrypted(root)
        raise TokenError("T047", "the assertion is encrypted, which is not supported: have it signed and sent over TLS")
    _check_version(root)
    xml_id(root, "T042", "the response")
    if not assertions:
        _refused(root)
    if len(assertions) != 1 or len(everywhere) != 2:
        raise TokenError("T042", "there is not exactly one assertion in the response")
    assertion = assertions[0]
    _check_version(assertion)
    _check_children(assertion, _IN_ASSERTION)
    xml_id(assertion, "T042", "the assertion")
    signatures = [element for element in root.iter() if local(element.tag) == "Signature"]
    if not signatures:
        raise TokenError("T044", "neither the response nor the assertion is signed")
    own, inner = only(root, SIGNATURE, "T045"), only(assertion, SIGNATURE, "T045")
    expected = [each for each in (own, inner) if each is not None]
    if len(expected) != len(signatures):
        raise TokenError("T045", "a signature is somewhere else than directly in the response or the assertion")
    for each in expected:
        check_profile(each)
    return Shape(root=root, assertion=assertion, response_signed=own is not None, assertion_signed=inner is not None)


def _encrypted(root: Element) -> Shape:
    """A response whose assertion only its app can read: the signature of the response is all that there is."""
    _check_version(root)
    xml_id(root, "T042", "the response")
    own, element = only(root, SIGNATURE, "T045"), only(root, ENCRYPTED, "T042")
    if own is None or element is None:
        raise TokenError("T044", "the response with an encrypted assertion is not signed")
    if any(local(each.tag) == "Signature" and each is not own for each in root.iter()):
        raise TokenError("T045", "a signature is somewhere else than directly in the response")
    check_profile(own)
    return Shape(root=root, assertion=element, response_signed=True, assertion_signed=False)


def _root_of(document: bytes) -> Element:
    if not document.lstrip(b" \t\r\n").startswith(b"<"):
        document = strict_base64(document)
    return read_xml(document)


def _check_version(element: Element) -> None:
    if element.get("Version") != "2.0":
        raise TokenError("T042", f"the {local(element.tag).lower()} is not of SAML 2.0")


def _check_children(element: Element, allowed: frozenset[str]) -> None:
    single = {ISSUER, f"{{{SAMLP}}}Status", f"{{{SAML}}}Subject", f"{{{SAML}}}Conditions", f"{{{SAMLP}}}Extensions"}
    seen: set[str] = set()
    for child in element:
        if child.tag not in allowed or (child.tag in single and child.tag in seen):
            raise TokenError("T042", f"the {local(element.tag).lower()} holds what it must not, or twice")
        seen.add(child.tag)
    if (element.text or "").strip() or any((child.tail or "").strip() for child in element):
        raise TokenError("T042", f"there is text between the elements of the {local(element.tag).lower()}")


def _the_assertion(response: Element) -> Element:
    found = only(response, ASSERTION, "T042")
    if found is None:
        raise TokenError("T042", "there is not exactly one assertion in the response")
    return found


def status_words(element: Element) -> str:
    """The status codes of a response as their own last words; those of the standard only."""
    words: list[str] = []
    status = only(element, f"{{{SAMLP}}}Status", "T042")
    code = only(status, f"{{{SAMLP}}}StatusCode", "T042") if status is not None else None
    while code is not None and len(words) < 3:
        word = str(code.get("Value") or "").rpartition(":")[2]
        words.append(word if word in _STATUS_WORDS else "no reason given")
        code = only(code, f"{{{SAMLP}}}StatusCode", "T042")
    return ", ".join(words) or "no reason given"


def _refused(root: Element) -> None:
    """Raises for a response without an assertion. Its words are unsigned often, and only shown."""
    raise TokenError("T049", f"the identity provider refused the sign-in: {status_words(root)}")


def _check_response(
    response: Element,
    issuer: str,
    recipient: str,
    in_response_to: str | None,
    unsolicited: bool,
    now: datetime,
    skew: timedelta,
    *,
    trusted: bool,
) -> None:
    """The facts of the response itself. Unsigned ones can only be refused for, never relied on."""
    status = only(response, f"{{{SAMLP}}}Status", "T042")
    code = only(status, f"{{{SAMLP}}}StatusCode", "T042") if status is not None else None
    if code is None or code.get("Value") != SUCCESS:
        _refused(response)
    named = only(response, ISSUER, "T042")
    if named is not None:
        _check_issuer(named, issuer)
    destination = response.get("Destination")
    if destination is None and trusted:
        raise TokenError("T051", "the signed response names no destination")
    if destination is not None and destination != recipient:
        raise TokenError("T051", "the response is meant for another address")
    issued = parse_time(attribute(response, "IssueInstant", "T053", "the time of the response"), "T053", "the time")
    if issued > now + skew or issued < now - LONGEST_LIFE:
        raise TokenError("T053", "the response was issued in the future or too long ago")
    _check_answer(response.get("InResponseTo"), in_response_to, unsolicited)


def _check_answer(given: str | None, expected: str | None, unsolicited: bool) -> None:
    if expected is not None:
        if given != expected:
            raise TokenError("T052", "the response answers another request than this browser's")
    elif given is not None:
        raise TokenError("T052", "the response answers a request that is not waiting")
    elif not unsolicited:
        raise TokenError("T052", "nobody asked for the response, and sign-in begun at the provider is not allowed here")


def _check_issuer(element: Element, issuer: str) -> None:
    if element.get("Format", ENTITY) != ENTITY or any(
        element.get(each) is not None for each in ("NameQualifier", "SPNameQualifier", "SPProvidedID")
    ):
        raise TokenError("T050", "the issuer is not named as an entity")
    if text_of(element, "T050", "the issuer") != issuer:
        raise TokenError("T050", "the response comes from another identity provider")


def _read_assertion(
    assertion: Element,
    now: datetime,
    *,
    issuer: str,
    audience: str,
    recipient: str,
    in_response_to: str | None,
    unsolicited: bool,
    contexts: Collection[str],
    max_age: int | None,
    skew: timedelta,
) -> Assertion:
    named = only(assertion, ISSUER, "T042")
    if named is None:
        raise TokenError("T050", "the assertion names no issuer")
    _check_issuer(named, issuer)
    issued = parse_time(attribute(assertion, "IssueInstant", "T053", "the time of the assertion"), "T053", "the time")
    if issued > now + skew or issued < now - LONGEST_LIFE:
        raise TokenError("T053", "the assertion was issued in the future or too long ago")
    subject = only(assertion, f"{{{SAML}}}Subject", "T042")
    if subject is None:
        raise TokenError("T055", "the assertion names no subject")
    confirmed, answered = _confirmation(subject, now, recipient, in_response_to, unsolicited, skew)
    limit = _check_conditions(assertion, now, audience, skew)
    statement = _statement(assertion, now, contexts, max_age, skew)
    attributes, friendly = _attributes(assertion)
    ended = time_of(statement, "SessionNotOnOrAfter", "T053", "SessionNotOnOrAfter")
    if ended is not None and ended <= now:
        raise TokenError("T053", "the session at the identity provider is over")
    reference = statement.find(f"{{{SAML}}}AuthnContext/{{{SAML}}}AuthnContextClassRef")
    return Assertion(
        id=xml_id(assertion, "T042", "the assertion"),
        issuer=issuer,
        subject=_name_id(subject),
        issued=issued,
        expires=max(confirmed, limit or confirmed) + skew,
        in_response_to=answered,
        session_index=_short(statement.get("SessionIndex")),
        session_not_after=ended,
        authenticated=time_of(statement, "AuthnInstant", "T053", "AuthnInstant"),
        context="" if reference is None else text_of(reference, "T056", "the authentication context"),
        attributes=MappingProxyType(attributes),
        friendly_names=MappingProxyType(friendly),
    )


def _short(text: str | None) -> str:
    if text is None:
        return ""
    if not text or len(text) > 512 or not text.isprintable():
        raise TokenError("T056", "the session index is malformed")
    return text


def _confirmation(
    subject: Element,
    now: datetime,
    recipient: str,
    in_response_to: str | None,
    unsolicited: bool,
    skew: timedelta,
) -> tuple[datetime, str]:
    """Until when the bearer confirmation holds, and what it answers (Profiles section 4.1.4.2); raises `TokenError`."""
    refused = TokenError("T055", "the subject is not confirmed for the bearer of the assertion")
    for confirmation in subject.findall(f"{{{SAML}}}SubjectConfirmation"):
        if confirmation.get("Method") != BEARER:
            continue
        data = only(confirmation, f"{{{SAML}}}SubjectConfirmationData", "T042")
        if data is None:
            continue
        try:
            return _confirmed(data, now, recipient, in_response_to, unsolicited, skew)
        except TokenError as error:
            refused = error
    raise refused


def _confirmed(
    data: Element, now: datetime, recipient: str, in_response_to: str | None, unsolicited: bool, skew: timedelta
) -> tuple[datetime, str]:
    if data.get("Recipient") != recipient:
        raise TokenError("T051", "the assertion is meant for another recipient")
    if data.get("NotBefore") is not None:
        raise TokenError("T053", "the subject confirmation has a NotBefore")
    until = time_of(data, "NotOnOrAfter", "T053", "NotOnOrAfter")
    if until is None or until <= now - skew:
        raise TokenError("T053", "the assertion is too old")
    if until > now + LONGEST_LIFE:
        raise TokenError("T053", "the assertion lives too long")
    given = data.get("InResponseTo")
    _check_answer(given, in_response_to, unsolicited)
    return until, given or ""


def _check_conditions(assertion: Element, now: datetime, audience: str, skew: timedelta) -> datetime | None:
    """Conditions (Core section 2.5): window, every audience restriction, nothing unknown; the end, if there is one."""
    conditions = only(assertion, f"{{{SAML}}}Conditions", "T042")
    if conditions is None:
        raise TokenError("T054", "the assertion has no conditions, so no audience")
    start = time_of(conditions, "NotBefore", "T053", "NotBefore")
    end = time_of(conditions, "NotOnOrAfter", "T053", "NotOnOrAfter")
    if start is not None and start > now + skew:
        raise TokenError("T053", "the assertion is not valid yet")
    if end is not None and end <= now - skew:
        raise TokenError("T053", "the assertion is too old")
    if end is not None and end > now + LONGEST_LIFE:
        raise TokenError("T053", "the assertion lives too long")
    restricted = False
    for condition in conditions:
        if condition.tag == f"{{{SAML}}}AudienceRestriction":
            restricted = True
            named = [text_of(each, "T054", "an audience") for each in condition.findall(f"{{{SAML}}}Audience")]
            if audience not in named:
                raise TokenError("T054", "the assertion is meant for another audience")
        elif condition.tag not in (f"{{{SAML}}}OneTimeUse", f"{{{SAML}}}ProxyRestriction"):
            raise TokenError("T054", "the assertion has a condition that is not known")
    if not restricted:
        raise TokenError("T054", "the assertion names no audience")
    return end


def _statement(
    assertion: Element, now: datetime, contexts: Collection[str], max_age: int | None, skew: timedelta
) -> Element:
    statements = assertion.findall(f"{{{SAML}}}AuthnStatement")
    if len(statements) != 1:
        raise TokenError("T056", "the assertion has not exactly one authentication statement")
    statement = statements[0]
    instant = parse_time(attribute(statement, "AuthnInstant", "T053", "AuthnInstant"), "T053", "AuthnInstant")
    if instant > now + skew:
        raise TokenError("T053", "the person signed in in the future")
    if max_age is not None and instant < now - timedelta(seconds=max_age) - skew:
        raise TokenError("T017", "the person signed in too long ago")
    if contexts:
        reference = statement.find(f"{{{SAML}}}AuthnContext/{{{SAML}}}AuthnContextClassRef")
        met = "" if reference is None else text_of(reference, "T056", "the authentication context")
        if met not in contexts:
            raise TokenError("T016", "the authentication context asked for was not met")
    return statement


def _name_id(subject: Element) -> NameId:
    if subject.find(f"{{{SAML}}}EncryptedID") is not None:
        raise TokenError("T047", "the name of the subject is encrypted, which is not supported")
    element = only(subject, f"{{{SAML}}}NameID", "T042")
    if element is None:
        raise TokenError("T056", "the subject has no name")
    return read_name_id(element)


def read_name_id(element: Element) -> NameId:
    """A `NameID`; raises `TokenError` T056."""
    qualifiers = [element.get(each, "") for each in ("Format", "NameQualifier", "SPNameQualifier")]
    if any(len(each) > 1024 or not (each or " ").isprintable() for each in qualifiers):
        raise TokenError("T056", "the name of the subject is malformed")
    return NameId(
        value=text_of(element, "T056", "the name of the subject", longest=512),
        format=qualifiers[0] or UNSPECIFIED,
        name_qualifier=qualifiers[1],
        sp_name_qualifier=qualifiers[2],
    )


def _attributes(assertion: Element) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Attributes by name; several of one name are put together. A value that is not plain text is left out."""
    found: dict[str, tuple[str, ...]] = {}
    friendly: dict[str, str] = {}
    for element in assertion.iterfind(f"{{{SAML}}}AttributeStatement/{{{SAML}}}Attribute"):
        name = attribute(element, "Name", "T056", "the name of an attribute", longest=512)
        values = []
        for value in element.findall(f"{{{SAML}}}AttributeValue"):
            if len(value) == 0 and value.text and value.text.strip():
                if len(value.text) > LONGEST_VALUE:
                    raise TokenError("T056", "the value of an attribute is too long")
                text = str(value.text).strip()
                values += [text] if text.isprintable() else []
        found[name] = (*found.get(name, ()), *values)
        if element.get("FriendlyName"):
            friendly.setdefault(str(element.get("FriendlyName"))[:512], name)
        if len(found) > MOST_ATTRIBUTES or len(found[name]) > MOST_VALUES:
            raise TokenError("T056", "there are too many attributes or values")
    return found, friendly
