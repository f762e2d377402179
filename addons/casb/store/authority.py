"""Our certificate authority: one key, kept in one file, that vouches for the hosts we answer for (RFC 5280).

`authority.pem` (mode 0600) holds the private key and its certificate, and is made on first use; of processes that race,
one makes it and all use it. An organisation that runs its own PKI puts its own there: the key, the certificate of that
key, then any intermediates up to the root. `casb-ca.pem` beside it is what browsers are told to trust.

Knows X.509 and files, nothing of TLS or mitmproxy.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from casb.errors import StoreError
from casb.store.atomic import create_private, replace_private

PRIVATE_FILE = "authority.pem"
PUBLIC_FILE = "casb-ca.pem"

AUTHORITY_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=30)
BACKDATED = timedelta(hours=1)
"""Clocks of browsers may be slow."""

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMERIC = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


type IssuerKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class HostRefused(ValueError):
    """Not a host name for which a certificate can be issued."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The issuing key, its certificate, and the certificates above it (the root itself left out)."""

    key: IssuerKey
    certificate: x509.Certificate
    above: tuple[x509.Certificate, ...] = ()
    root: x509.Certificate | None = None  # when the operator's file carries it

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What is sent along with a leaf: everything between it and the root."""
        own = () if self.certificate.subject == self.certificate.issuer else (self.certificate,)
        return (*own, *self.above)

    @property
    def anchor(self) -> x509.Certificate:
        """What browsers must trust."""
        return self.root or self.certificate

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the anchor, as certificate dialogs show it."""
        return self.anchor.fingerprint(SHA256()).hex(":").upper()

    def public_pem(self) -> bytes:
        """The anchor as PEM."""
        return self.anchor.public_bytes(serialization.Encoding.PEM)

    def issue(self, host: str, key: ec.EllipticCurvePublicKey, now: datetime) -> x509.Certificate:
        """A server certificate for exactly `host` and this public key. Raises `HostRefused`."""
        name = general_name(host)
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=False,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )
        subject = x509.NameAttribute(NameOID.COMMON_NAME, host if len(host) <= 64 else "casb")
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([subject]))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(now - BACKDATED, self.certificate.not_valid_before_utc))
            .not_valid_after(min(now + LEAF_LIFETIME, self.certificate.not_valid_after_utc))
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(_authority_identifier(self.certificate), critical=False)
        )
        return builder.sign(self.key, _digest(self.key))


def general_name(host: str) -> x509.GeneralName:
    """The host as a certificate names it: an IP address, or a lower-case A-label name. Raises `HostRefused`."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels) or _NUMERIC.fullmatch(labels[-1]):
        raise HostRefused("not a host name")
    return x509.DNSName(host)


def load_or_create(folder: Path, now: datetime) -> Authority:
    """The authority of a folder, made when there is none. Raises `StoreError` when it cannot be used."""
    path = folder / PRIVATE_FILE
    if not path.exists():
        create_private(path, _new_authority(now))
    authority = load(folder, now)
    public = folder / PUBLIC_FILE
    if not public.exists() or public.read_bytes() != authority.public_pem():
        replace_private(public, authority.public_pem(), mode=0o644)
    return authority


def load(folder: Path, now: datetime) -> Authority:
    """The authority of a folder. Raises `StoreError`: A001 absent or unreadable, A002 open to others, A003 unusable."""
    path = folder / PRIVATE_FILE
    try:
        if path.stat().st_mode & 0o077:
            raise StoreError("A002", f"{path} can be read by others", hint=f"chmod 600 {path}, or make a new authority")
        text = path.read_bytes()
    except OSError as error:
        hint = f"`casb certs init` makes it, in {folder}"
        raise StoreError("A001", f"{path} cannot be read ({error.strerror})", hint=hint) from None
    try:
        key = serialization.load_pem_private_key(text, password=None)
        certificates = [x509.load_pem_x509_certificate(each) for each in _CERTIFICATE.findall(text)]
        return _assemble(key, certificates, now)
    except (ValueError, TypeError) as error:
        raise StoreError("A003", f"{path} is not a usable authority: {_first_line(error)}") from None


def _assemble(key: PrivateKeyTypes, certificates: Sequence[x509.Certificate], now: datetime) -> Authority:
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)):
        raise ValueError("the key is neither EC, RSA nor Ed25519")
    own = [each for each in certificates if each.public_key() == key.public_key()]
    if not own:
        raise ValueError("no certificate in it belongs to the key")
    basic = [each for each in own[0].extensions if isinstance(each.value, x509.BasicConstraints)]
    if not basic or not basic[0].value.ca:
        raise ValueError("its certificate is not that of an authority")
    if not own[0].not_valid_before_utc <= now < own[0].not_valid_after_utc:
        raise ValueError("its certificate is expired or not yet valid")
    others = [each for each in certificates if each != own[0]]
    roots = [each for each in others if each.subject == each.issuer]
    above = tuple(each for each in others if each.subject != each.issuer)
    return Authority(key, own[0], above, roots[0] if roots else None)


def _new_authority(now: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    # Two authorities must never share a name: browsers would mix up their certificates.
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "casb"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"casb session proxy {identifier.digest.hex()[:12]}"),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def _authority_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Byte-equal to the issuer's own identifier, however that was made (RFC 5280 section 4.2.1.1)."""
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        identifier = x509.SubjectKeyIdentifier.from_public_key(issuer.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _digest(key: IssuerKey) -> SHA256 | None:
    """Ed25519 brings its own hash."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
