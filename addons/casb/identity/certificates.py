"""Whether a client certificate proves a managed device: chain, use, validity and what the deployment asks of it.

Pure: certificates, trust and the present come in; a `Proof`, or `CertificateError` with one sentence, comes out. That
the device holds the private key is proven by the TLS handshake, or by the proxy in front that names the certificate.
Whether it was revoked is `certificate_status`. Sources: RFC 5280 sections 4 and 6; how MDCA checks them: anchors may be
roots or intermediates, and any failure means an unmanaged device.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from casb.errors import TokenError
from casb.settings import CertificateRule, ClientCertificates

DEPTH: Final = 4  # certificates between the leaf and the anchor
SENT: Final = 8  # certificates looked at of those that a client sends
LARGEST: Final = 16 * 1024  # bytes of one certificate
_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
ID_LENGTH: Final = 256


MALFORMED: Final = (
    ValueError,
    TypeError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)
"""What cryptography raises for a certificate that it cannot read, at once or when a part of it is looked at."""


class CertificateError(TokenError):
    """A certificate that proves nothing; the device is unmanaged."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom device certificates are believed from. Anchors may be roots or intermediates (MDCA takes both)."""

    anchors: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...] = ()

    @property
    def names(self) -> tuple[bytes, ...]:
        """The DER names of all who may have issued one: browsers offer only certificates of these."""
        return tuple(dict.fromkeys(each.subject.public_bytes() for each in (*self.anchors, *self.intermediates)))


@dataclass(frozen=True, slots=True)
class Proof:
    """A certificate that proves a managed device. `chain` goes from it to the anchor."""

    chain: tuple[x509.Certificate, ...]
    device_id: str
    fingerprint: str  # SHA-256, hex
    ends: datetime

    @property
    def source(self) -> str:
        """As `Device.sources` tells it."""
        name = _common_name(self.chain[0].issuer)
        return (
            f"certificate:{self.fingerprint[:16]} issued by {name}" if name else f"certificate:{self.fingerprint[:16]}"
        )


def read_pem(data: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM text; `ValueError` when there is none, or one is malformed."""
    try:
        found = tuple(x509.load_pem_x509_certificate(match[0]) for match in _PEM.finditer(data))
    except MALFORMED as error:
        raise ValueError("a certificate is malformed") from error
    if not found:
        raise ValueError("there is no certificate in it")
    return found


def read_sent(chain: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    """What a client sent, as DER, leaf first; raises `CertificateError`."""
    if not chain:
        raise CertificateError("I030", "the browser sent no certificate")
    if len(chain) > SENT or any(len(each) > LARGEST for each in chain):
        raise CertificateError("I031", "the browser sent too many or too large certificates")
    try:
        return tuple(x509.load_der_x509_certificate(each) for each in chain)
    except MALFORMED as error:
        raise CertificateError("I031", "the certificate is malformed") from error


def read_header(name: str, value: str) -> tuple[x509.Certificate, ...]:
    """What a trusted proxy says the client sent: percent-encoded PEM (nginx `$ssl_client_escaped_cert`), or the `Cert`
    and `Chain` of Envoy's x-forwarded-client-cert, of which the last element is the proxy's own. Raises
    `CertificateError`.
    """
    if not value:
        raise CertificateError("I030", "the browser sent no certificate")
    if len(value) > 3 * SENT * LARGEST:
        raise CertificateError("I031", "the certificate header is too large")
    text = _forwarded(value) if name == "x-forwarded-client-cert" else value
    try:
        found = read_pem(unquote_to_bytes(text))
    except MALFORMED as error:
        raise CertificateError("I031", "the certificate header is malformed") from error
    if len(found) > SENT:
        raise CertificateError("I031", "the certificate header has too many certificates")
    return found


def _forwarded(value: str) -> str:
    """`Chain`, else `Cert`, of the last element; each key once (Envoy HTTP header manipulation)."""
    element = _split(value, ",")[-1]
    pairs = [part.strip().partition("=") for part in _split(element, ";")]
    fields = {key.lower(): text.strip('"') for key, _, text in pairs}
    if len(fields) != len(pairs):
        raise CertificateError("I031", "the certificate header is ambiguous")
    found = fields.get("chain") or fields.get("cert") or ""
    if not found:
        raise CertificateError("I030", "the proxy in front names no certificate")
    return found


def _split(text: str, at: str) -> list[str]:
    """Split outside of double quotes."""
    parts, quoted, start = [], False, 0
    for index, sign in enumerate(text):
        if sign == '"':
            quoted = not quoted
        elif sign == at and not quoted:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


def prove(sent: Sequence[x509.Certificate], trust: Trust, settings: ClientCertificates, now: datetime) -> Proof:
    """What the certificates prove; raises `CertificateError`. Revocation has not been looked at."""
    try:
        return _prove(sent, trust, settings, now)
    except MALFORMED as error:
        raise CertificateError("I031", "the certificate is malformed") from error


def _prove(sent: Sequence[x509.Certificate], trust: Trust, settings: ClientCertificates, now: datetime) -> Proof:
    leaf = sent[0]
    chain = _chain(leaf, (*sent[1:], *trust.intermediates), trust, now)
    rules = settings.rules
    if rules and not any(_fits(rule, leaf) for rule in rules):
        raise CertificateError("I034", "the certificate is not one of those that the rules describe")
    return Proof(
        chain=chain,
        device_id=device_id_of(leaf, settings),
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
        ends=min(each.not_valid_after_utc for each in chain),
    )


def _chain(
    leaf: x509.Certificate, between: Sequence[x509.Certificate], trust: Trust, now: datetime
) -> tuple[x509.Certificate, ...]:
    if any(leaf == each for each in trust.anchors):
        raise CertificateError("I033", "the certificate is an authority's own")
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise CertificateError("I032", "the certificate has expired or is not valid yet")
    authorities = verification.ExtensionPolicy.webpki_defaults_ca()
    device = verification.ExtensionPolicy.permit_all().require_present(
        x509.ExtendedKeyUsage, verification.Criticality.AGNOSTIC, _for_clients
    )
    try:
        verifier = (
            verification.PolicyBuilder()
            .store(verification.Store(list(trust.anchors)))
            .time(now)
            .max_chain_depth(DEPTH)
            .extension_policies(ca_policy=authorities, ee_policy=device)
            .build_client_verifier()
        )
        found = verifier.verify(leaf, list(dict.fromkeys(between)))
    except (verification.VerificationError, *MALFORMED) as error:
        raise CertificateError("I033", "the certificate does not lead to an authority for devices") from error
    return tuple(found.chain)


def _for_clients(policy: object, certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    if usage is None or ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise ValueError("not for client authentication")


# --- what the deployment asks of it


def _fits(rule: CertificateRule, leaf: x509.Certificate) -> bool:
    """Whether every part of a rule that is given holds."""
    return (
        (not rule.issuer or _glob(rule.issuer, leaf.issuer.rfc4514_string()))
        and (not rule.subject or _glob(rule.subject, leaf.subject.rfc4514_string()))
        and (not rule.san or any(_glob(rule.san, each) for _, each in _alternatives(leaf)))
        and (not rule.oid or rule.oid in _oids(leaf))
    )


def _glob(pattern: str, text: str) -> bool:
    return fnmatch.fnmatchcase(text.casefold(), pattern.casefold())


def _alternatives(leaf: x509.Certificate) -> list[tuple[str, str]]:
    """Subject alternative names as (kind, text)."""
    names = _extension(leaf, x509.SubjectAlternativeName)
    found = []
    for each in names or ():
        match each:
            case x509.UniformResourceIdentifier():
                found.append(("san_uri", each.value))
            case x509.DNSName():
                found.append(("san_dns", each.value))
            case x509.RFC822Name():
                found.append(("san_email", each.value))
            case x509.DirectoryName():
                found.append(("san_name", each.value.rfc4514_string()))
            case _:
                continue
    return found


def _oids(leaf: x509.Certificate) -> frozenset[str]:
    """The extensions it has, the uses it is for, the policies it was issued under."""
    found = {each.oid.dotted_string for each in leaf.extensions}
    found |= {each.dotted_string for each in _extension(leaf, x509.ExtendedKeyUsage) or ()}
    found |= {each.policy_identifier.dotted_string for each in _extension(leaf, x509.CertificatePolicies) or ()}
    return frozenset(found)


def _extension[T: x509.ExtensionType](leaf: x509.Certificate, kind: type[T]) -> T | None:
    try:
        return leaf.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except MALFORMED as error:
        raise CertificateError("I031", "the certificate is malformed") from error


def device_id_of(leaf: x509.Certificate, settings: ClientCertificates) -> str:
    """The device's id: what `device_id_pattern` finds in the place that the settings name; else ''."""
    if settings.device_id == "common_name":
        texts = [_common_name(leaf.subject)]
    else:
        texts = [text for kind, text in _alternatives(leaf) if kind == settings.device_id]
    for text in texts:
        match = re.fullmatch(settings.device_id_pattern, text) if settings.device_id_pattern else None
        found = (match[1] if match.re.groups else match[0]) if match else "" if settings.device_id_pattern else text
        if found and len(found) <= ID_LENGTH and not _CONTROL.search(found):
            return found.lower()
    return ""


def _common_name(name: x509.Name) -> str:
    values = [each.value for each in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    text = values[-1] if values else ""
    return text if isinstance(text, str) and not _CONTROL.search(text) else ""
