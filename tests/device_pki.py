"""Authorities, device certificates, revocation lists and an OCSP responder, made for a test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)


def name_of(text: str) -> x509.Name:
    """A name of one common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Held:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(DER)

    def both(self) -> bytes:
        """Key and certificate as one PEM."""
        plain = self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return plain + self.pem

    def p12(self, path: Path, *others: Held) -> Path:
        """As a file for certificate stores, without a password."""
        cas = [each.certificate for each in others]
        path.write_bytes(
            pkcs12.serialize_key_and_certificates(
                b"device", self.key, self.certificate, cas, serialization.NoEncryption()
            )
        )
        return path


def authority(name: str, above: Held | None = None, *, begins: datetime = NOW - 30 * DAY, days: int = 365) -> Held:
    """A root, or an intermediate of one."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = above or Held(certificate=None, key=key)  # type: ignore[arg-type]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(name))
        .issuer_name(above.certificate.subject if above else name_of(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    return Held(builder.sign(issuer.key, hashes.SHA256()), key)


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def device(
    issuer: Held,
    name: str = "laptop-7",
    *,
    uses: tuple[x509.ObjectIdentifier, ...] | None = (CLIENT,),
    begins: datetime = NOW - 10 * DAY,
    days: int = 90,
    names: tuple[x509.GeneralName, ...] = (),
) -> Held:
    """A device certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(name))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    if uses is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Held(builder.sign(issuer.key, hashes.SHA256()), key)


def revocations(
    issuer: Held,
    *revoked: Held,
    since: datetime = NOW - DAY,
    until: datetime = NOW + 7 * DAY,
    signer: Held | None = None,
    point: x509.IssuingDistributionPoint | None = None,
    delta: bool = False,
) -> x509.CertificateRevocationList:
    """A list of revoked certificates."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(since)
        .next_update(until)
    )
    for each in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number).revocation_date(since)
        builder = builder.add_revoked_certificate(entry.build())
    if point is not None:
        builder = builder.add_extension(point, critical=True)
    if delta:
        builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    return builder.sign((signer or issuer).key, hashes.SHA256())


def answer(
    subject: Held,
    issuer: Held,
    *,
    revoked: bool = False,
    since: datetime = NOW - timedelta(hours=1),
    until: datetime | None = NOW + DAY,
    signer: Held | None = None,
) -> bytes:
    """What a responder says of a certificate, signed by its issuer or by `signer`."""
    by = signer or issuer
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=subject.certificate,
        issuer=issuer.certificate,
        algorithm=hashes.SHA1(),  # noqa: S303 - names the issuer
        cert_status=ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
        this_update=since,
        next_update=until,
        revocation_time=since if revoked else None,
        revocation_reason=None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, by.certificate)
    if signer is not None:
        builder = builder.certificates([signer.certificate])
    return builder.sign(by.key, hashes.SHA256()).public_bytes(DER)


class Served:
    """An http server on loopback whose answers are bytes by path; None closes without a word."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | int | None] = {}
        self.asked: list[tuple[str, bytes]] = []
        served = self

        class Answers(BaseHTTPRequestHandler):
            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                served.asked.append((self.path, body))
                found = served.answers.get(self.path, 404)
                if found is None:
                    return
                self.send_response(found if isinstance(found, int) else 200)
                if found == 302:
                    self.send_header("location", "/elsewhere")
                content = found if isinstance(found, bytes) else b""
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(content)

            do_GET = do_POST = _any

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def serving() -> Iterator[Served]:
    """A server for a while."""
    made = Served()
    try:
        yield made
    finally:
        made.close()
