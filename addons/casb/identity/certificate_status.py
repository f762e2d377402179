"""Whether a certificate was revoked: by lists (RFC 5280 section 5) and by answers to questions (RFC 6960).

Pure: documents and the present come in. A document that is not signed by the issuer, is stale or is about something
else tells nothing: UNKNOWN, and the deployment says what follows from that.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from casb.identity.certificates import MALFORMED

SKEW: Final = timedelta(minutes=5)
TIMELESS: Final = timedelta(hours=12)  # an answer without nextUpdate is believed for so long
_LIST_EXTENSIONS: Final = frozenset(
    {
        ExtensionOID.ISSUING_DISTRIBUTION_POINT,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CRL_NUMBER,
        ExtensionOID.FRESHEST_CRL,
    }
)


class Status(Enum):
    """GOOD: its issuer says so, now. REVOKED: likewise. UNKNOWN: nobody who may say has said anything that counts."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


def read_list(data: bytes) -> x509.CertificateRevocationList:
    """A list, DER or PEM; raises `ValueError`."""
    if data.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_crl(data)
    return x509.load_der_x509_crl(data)


def by_lists(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    lists: Iterable[x509.CertificateRevocationList],
    now: datetime,
) -> Status:
    """What the issuer's lists say. Any that names the certificate counts; being GOOD takes one that is complete."""
    status = Status.UNKNOWN
    for each in lists:
        if each.issuer != issuer.subject or not _counts(each, certificate, issuer, now):
            continue
        entry = each.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if entry is not None:
            return Status.REVOKED
        status = Status.GOOD
    return status


def _counts(
    revoked: x509.CertificateRevocationList, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
) -> bool:
    until = revoked.next_update_utc
    if until is None or not revoked.last_update_utc - SKEW <= now < until:
        return False
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
        if not usage.crl_sign:
            return False
    except x509.ExtensionNotFound:
        pass
    try:
        extensions = list(revoked.extensions)
        key = issuer.public_key()
        if not isinstance(
            key,
            (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey, ed448.Ed448PublicKey),
        ) or not revoked.is_signature_valid(key):
            return False
    except MALFORMED:
        return False
    for each in extensions:
        if each.critical and each.oid not in _LIST_EXTENSIONS:
            return False  # of another scope, e.g. a delta list
        if isinstance(each.value, x509.IssuingDistributionPoint) and not _about(each.value, certificate):
            return False
    return True


def _about(point: x509.IssuingDistributionPoint, certificate: x509.Certificate) -> bool:
    if point.indirect_crl or point.only_some_reasons or point.only_contains_attribute_certs:
        return False
    authority = _is_authority(certificate)
    return not (point.only_contains_user_certs and authority) and not (point.only_contains_ca_certs and not authority)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


# --- questions and answers


def question(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """A request about one certificate, DER. SHA-1 names the issuer (RFC 5019 section 2.1.1); it signs nothing."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1())  # noqa: S303
    return builder.build().public_bytes(serialization.Encoding.DER)


def by_answer(
    data: bytes, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
) -> tuple[Status, datetime]:
    """What an answer says, and until when; UNKNOWN until `now` when it may not say it."""
    unknown = Status.UNKNOWN, now
    try:
        answer = ocsp.load_der_ocsp_response(data)
        if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return unknown
        asked = ocsp.load_der_ocsp_request(question(certificate, issuer))
        same = (
            answer.serial_number == asked.serial_number
            and answer.hash_algorithm.name == asked.hash_algorithm.name
            and answer.issuer_key_hash == asked.issuer_key_hash
            and answer.issuer_name_hash == asked.issuer_name_hash
        )
        if not same or not _signed(answer, issuer, now):
            return unknown
        since, until = answer.this_update_utc, answer.next_update_utc or answer.this_update_utc + TIMELESS
        if not since - SKEW <= now < until:
            return unknown
        match answer.certificate_status:
            case ocsp.OCSPCertStatus.GOOD:
                return Status.GOOD, until
            case ocsp.OCSPCertStatus.REVOKED:
                return Status.REVOKED, until
            case _:
                return unknown
    except MALFORMED:
        return unknown


def _signed(answer: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> bool:
    """By the issuer, or by whom the issuer certified to answer (RFC 6960 section 4.2.2.2)."""
    signers = [issuer]
    for each in answer.certificates[:4]:
        if each != issuer and _delegated(each, issuer, now):
            signers.append(each)
    return any(_verified(answer, each) for each in signers)


def _delegated(signer: x509.Certificate, issuer: x509.Certificate, now: datetime) -> bool:
    if not signer.not_valid_before_utc <= now <= signer.not_valid_after_utc:
        return False
    try:
        signer.verify_directly_issued_by(issuer)
        usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (InvalidSignature, *MALFORMED, x509.ExtensionNotFound):
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in usage


def _verified(answer: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    key, digest = signer.public_key(), answer.signature_hash_algorithm
    if isinstance(digest, (hashes.SHA1, hashes.MD5)):
        return False
    try:
        match key:
            case rsa.RSAPublicKey() if digest is not None:
                key.verify(answer.signature, answer.tbs_response_bytes, padding.PKCS1v15(), digest)
            case ec.EllipticCurvePublicKey() if digest is not None:
                key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(digest))
            case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
                key.verify(answer.signature, answer.tbs_response_bytes)
            case _:
                return False
    except InvalidSignature:
        return False
    return True
