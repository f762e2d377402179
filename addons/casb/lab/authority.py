"""Certificates of a laboratory, which a browser accepts by key: nothing is added to any certificate store.

Chromium's `--ignore-certificate-errors-spki-list` looks for a key anywhere in the chain that a server sends. So both
authorities here are sent along with their leaves. They live in the laboratory's own folder and die with it.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from casb.store import authority
from casb.store.atomic import create_private

_PEM = serialization.Encoding.PEM
_DAY = timedelta(days=1)


def make_issuer(folder: Path) -> str:
    """An authority for a proxy in `folder`; the digest of its key, as Chromium's option wants it.

    It names an issuer that does not exist, so that the proxy sends its certificate along (as an intermediate).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    present = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "casb laboratory")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "casb laboratory, nobody's root")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(present - _DAY)
        .not_valid_after(present + 30 * _DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    create_private(folder / authority.PRIVATE_FILE, private + certificate.public_bytes(_PEM))
    return spki(certificate)


def spki(certificate: x509.Certificate) -> str:
    """The digest of a certificate's key, as base64."""
    der = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


class Front:
    """Server certificates for any host, made in the handshake. `ca` is what a client that verifies must trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._issuer = authority.load_or_create(folder, datetime.now(UTC))
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: dict[str, ssl.SSLContext] = {}
        self.ca = folder / authority.PUBLIC_FILE
        self.spki = spki(self._issuer.certificate)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_alpn_protocols(["http/1.1"])
        self.context.sni_callback = self._choose
        self.context.load_cert_chain(self._chain("nobody.invalid"))

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> int | None:
        try:
            connection.context = self._for((name or "nobody.invalid").lower())
        except (ValueError, OSError):
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        return None

    def _for(self, host: str) -> ssl.SSLContext:
        found = self._contexts.get(host)
        if found is None:
            found = self._contexts[host] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            found.set_alpn_protocols(["http/1.1"])
            found.load_cert_chain(self._chain(host))
        return found

    def _chain(self, host: str) -> Path:
        leaf = self._issuer.issue(host, self._key.public_key(), datetime.now(UTC))
        private = self._key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path = self._folder / f"leaf-{hashlib.sha256(host.encode()).hexdigest()[:16]}.pem"
        create_private(path, private + leaf.public_bytes(_PEM) + self._issuer.certificate.public_bytes(_PEM))
        return path
