"""A throwaway certificate authority for servers on loopback. Never for anything else: its key lies beside it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)

type Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Leaf:
    """Paths of a certificate and its key, both PEM."""

    certificate: Path
    key: Path


class DemoAuthority:
    """Issues server and client certificates into one folder; made again only when it is about to expire."""

    def __init__(self, folder: Path, name: str = "casb demo servers") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.certificate_path = folder / "ca.pem"
        key_path = folder / "ca.key"
        if not self._load(key_path):
            self._key = ec.generate_private_key(ec.SECP256R1())
            self._certificate = _authority(self._key, name)
            _write_private(key_path, self._key)
            self.certificate_path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def _load(self, key_path: Path) -> bool:
        try:
            key = serialization.load_pem_private_key(key_path.read_bytes(), None)
            certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
        except (OSError, ValueError):
            return False
        if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.not_valid_after_utc < _now() + DAY:
            return False
        self._key, self._certificate = key, certificate
        return True

    def leaf(self, file_name: str, names: Iterable[str], *, client: bool = False, rsa_key: bool = False) -> Leaf:
        """A fresh certificate for these DNS names or addresses, as `<file_name>.pem` and `.key`."""
        names = list(names)
        key: Key = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        certificate = (
            _builder(
                x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]), self._certificate.subject, key
            )
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        leaf = Leaf(self.folder / f"{file_name}.pem", self.folder / f"{file_name}.key")
        leaf.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_private(leaf.key, key)
        return leaf


def _now() -> datetime:
    return datetime.now(UTC)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(subject: x509.Name, issuer: x509.Name, key: Key) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - DAY)
        .not_valid_after(_now() + 60 * DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _authority(key: ec.EllipticCurvePrivateKey, name: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
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
    return (
        _builder(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _write_private(path: Path, key: Key) -> None:
    path.touch(mode=0o600, exist_ok=True)
    path.chmod(0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
