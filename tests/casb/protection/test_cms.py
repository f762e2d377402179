"""CMS, as OpenSSL sees it."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.protection.cms import CmsProtecting, certificate, file_id

FILE = "0123456789abcdef0123456789abcdef"
KEK = bytes(range(32))
type Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def pem(key: Key) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
    )
    made = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return made.public_bytes(serialization.Encoding.PEM) + private


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("cms")
    keys: dict[str, Key] = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "stranger": rsa.generate_private_key(65537, 2048),
    }
    for name, key in keys.items():
        (folder / f"{name}.pem").write_bytes(pem(key))
    return {name: folder / f"{name}.pem" for name in keys}


def sealed(people: dict[str, Path], body: bytes, step: int = 50_000) -> bytes:
    to = [certificate(people[name].read_bytes()) for name in ("rsa", "p256", "p384")]
    making = CmsProtecting("a.p7m", FILE, KEK, to, os.urandom)
    return b"".join(making.update(body[at : at + step]) for at in range(0, len(body), step)) + making.finish()


def opened(path: Path, *with_: str | Path) -> tuple[int, bytes]:
    command = ["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", str(path), *map(str, with_)]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("size", [0, 1, 65_536, 200_001])
def test_every_recipient_opens_it(people: dict[str, Path], size: int, tmp_path: Path) -> None:
    body = os.urandom(size)
    path = tmp_path / "a.p7m"
    path.write_bytes(sealed(people, body))
    for name in ("rsa", "p256", "p384"):
        assert opened(path, "-inkey", people[name], "-recip", people[name]) == (0, body), name
    assert opened(path, "-secretkey", KEK.hex(), "-secretkeyid", FILE.encode().hex()) == (0, body)
    assert opened(path, "-inkey", people["stranger"], "-recip", people["stranger"])[0] != 0
    assert file_id(path.read_bytes()[:4096]) == FILE


def test_a_changed_file_is_refused(people: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "a.p7m"
    data = bytearray(sealed(people, bytes(100_000)))
    data[-5_000] ^= 1
    path.write_bytes(data)
    assert opened(path, "-secretkey", KEK.hex(), "-secretkeyid", FILE.encode().hex())[0] != 0


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n", id="noise"),
    ],
)
def test_what_is_no_certificate(data: bytes) -> None:
    with pytest.raises(ContentError) as error:
        certificate(data)
    assert error.value.code == "F014"


def test_a_key_that_only_signs() -> None:
    with pytest.raises(ContentError) as error:
        certificate(pem(ed25519.Ed25519PrivateKey.generate()))
    assert error.value.code == "F014"


@given(st.binary(max_size=200))
def test_any_head_has_an_id_or_none(data: bytes) -> None:
    for head in (data, b"\x30\x80" + data):
        found = file_id(head)
        assert found is None or len(found) >= 1
