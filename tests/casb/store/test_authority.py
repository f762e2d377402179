"""Our authority: what it vouches for, checked by OpenSSL and by Python's strict verification."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import StoreError
from casb.store.authority import (
    LEAF_LIFETIME,
    PRIVATE_FILE,
    PUBLIC_FILE,
    Authority,
    HostRefused,
    general_name,
    load,
    load_or_create,
)

NOW = datetime.now(UTC).replace(microsecond=0)
KEY = ec.generate_private_key(ec.SECP256R1())


def issue(authority: Authority, host: str, now: datetime = NOW) -> x509.Certificate:
    return authority.issue(host, KEY.public_key(), now)


def test_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    first, second = load_or_create(tmp_path, NOW), load_or_create(tmp_path, NOW)
    assert first.certificate == second.certificate
    assert (tmp_path / PRIVATE_FILE).stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in (tmp_path / PUBLIC_FILE).read_bytes()
    assert x509.load_pem_x509_certificate((tmp_path / PUBLIC_FILE).read_bytes()) == first.certificate
    assert first.chain == ()


def test_leaf_names_exactly_its_host(tmp_path: Path) -> None:
    leaf = issue(load_or_create(tmp_path, NOW), "box.example.casb.test")
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("box.example.casb.test")]
    assert leaf.not_valid_before_utc <= NOW - timedelta(hours=1)
    assert leaf.not_valid_after_utc == NOW + LEAF_LIFETIME


@pytest.mark.parametrize("host", ["box.example", "localhost", "127.0.0.1", "::1", f"{'a' * 63}.{'b' * 63}.example"])
def test_openssl_and_the_webpki_rules_accept_the_leaf(host: str, tmp_path: Path) -> None:
    authority = load_or_create(tmp_path, NOW)
    leaf = issue(authority, host)
    (tmp_path / "leaf.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    name = ["-verify_ip", host] if isinstance(general_name(host), x509.IPAddress) else ["-verify_hostname", host]
    anchor = ["-no-CApath", "-no-CAstore", "-CAfile", str(tmp_path / PUBLIC_FILE)]
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", *name, *anchor, str(tmp_path / "leaf.pem")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    verifier = PolicyBuilder().store(Store([authority.anchor])).time(NOW).build_server_verifier(general_name(host))  # type: ignore[arg-type]
    assert verifier.verify(leaf, []) == [leaf, authority.certificate]


def test_the_wrong_host_is_not_vouched_for(tmp_path: Path) -> None:
    load_or_create(tmp_path, NOW)
    leaf = issue(load(tmp_path, NOW), "box.example")
    (tmp_path / "leaf.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    command = ["openssl", "verify", "-verify_hostname", "www.box.example", "-CAfile", str(tmp_path / PUBLIC_FILE)]
    assert subprocess.run([*command, str(tmp_path / "leaf.pem")], capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("", id="empty"),
        pytest.param("box.example.", id="trailing dot"),
        pytest.param(".example", id="leading dot"),
        pytest.param("*.example", id="wildcard"),
        pytest.param("Box.example", id="upper case: not normalised"),
        pytest.param("bäx.example", id="not an A-label"),
        pytest.param("box_1.example", id="underscore"),
        pytest.param("-box.example", id="leading hyphen"),
        pytest.param("box.example\n", id="line break"),
        pytest.param("box.example\x00.evil", id="NUL"),
        pytest.param("box.example:443", id="port"),
        pytest.param("127.1", id="a short form of an address"),
        pytest.param("0x7f.0x1", id="a hexadecimal form of an address"),
        pytest.param("[::1]", id="brackets"),
        pytest.param("a" * 64 + ".example", id="label too long"),
        pytest.param(".".join(["a" * 49] * 6), id="name too long"),
    ],
)
def test_hosts_refused(host: str) -> None:
    with pytest.raises(HostRefused):
        general_name(host)


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        name = general_name(text)
    except HostRefused:
        return
    assert str(name.value) == text or isinstance(name, x509.IPAddress)


def test_an_organisations_own_intermediate(tmp_path: Path) -> None:
    root = load_or_create(tmp_path / "root", NOW)
    key = ec.generate_private_key(ec.SECP384R1())
    # path_length 0 of our own root would forbid an intermediate: a root of theirs has none.
    theirs = _certificate("their root", root.key, "their root", root.key)
    intermediate = _certificate("their issuing CA", key, "their root", root.key)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in (intermediate, theirs))
    path = tmp_path / PRIVATE_FILE
    path.write_bytes(private + pem)
    path.chmod(0o600)
    authority = load_or_create(tmp_path, NOW)
    assert authority.chain == (intermediate,)
    assert authority.anchor == theirs
    leaf = issue(authority, "box.example")
    verifier = PolicyBuilder().store(Store([theirs])).time(NOW).build_server_verifier(x509.DNSName("box.example"))
    assert verifier.verify(leaf, list(authority.chain))[-1] == theirs


def _certificate(subject: str, key: object, issuer: str, signer: object, *, ca: bool = True) -> x509.Certificate:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    public, signing = key.public_key(), signer.public_key()  # type: ignore[attr-defined]
    others = "digital_signature content_commitment key_encipherment data_encipherment key_agreement"
    usage = dict.fromkeys([*others.split(), "encipher_only", "decipher_only"], False)
    return (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=10))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing), critical=False)
        .sign(signer, SHA256())  # type: ignore[arg-type]
    )


def test_a_leaf_never_outlives_its_authority(tmp_path: Path) -> None:
    authority = load_or_create(tmp_path, NOW)
    end = authority.certificate.not_valid_after_utc
    assert issue(authority, "box.example", end - timedelta(days=1)).not_valid_after_utc == end


def test_problems_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="A001"):
        load(tmp_path, NOW)
    load_or_create(tmp_path, NOW)
    path = tmp_path / PRIVATE_FILE
    with pytest.raises(StoreError, match=r"A003.*expired"):
        load(tmp_path, NOW + timedelta(days=4000))
    path.chmod(0o644)
    with pytest.raises(StoreError, match="A002"):
        load(tmp_path, NOW)


@pytest.mark.parametrize(
    ("part", "why"),
    [
        pytest.param("key", "no certificate", id="key alone"),
        pytest.param("certificate", "", id="certificate alone"),
        pytest.param("leaf", "not that of an authority", id="not an authority"),
        pytest.param("rubbish", "", id="rubbish"),
    ],
)
def test_unusable_files(part: str, why: str, tmp_path: Path) -> None:
    private = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    leaf = _certificate("a", KEY, "a", KEY, ca=False).public_bytes(serialization.Encoding.PEM)
    content = {"key": private, "certificate": leaf, "leaf": private + leaf, "rubbish": b"\xff\x00 rubbish"}[part]
    (tmp_path / PRIVATE_FILE).write_bytes(content)
    (tmp_path / PRIVATE_FILE).chmod(0o600)
    with pytest.raises(StoreError, match=f"A003.*{why}"):
        load_or_create(tmp_path, NOW)
    assert (tmp_path / PRIVATE_FILE).read_bytes() == content
