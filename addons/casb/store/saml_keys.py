"""The deployment's SAML signing keys, in one file that only its owner can read, and their rollover with overlap.

Apps trust the certificate that their admin put in, so a key cannot change at once:

    begin     a second key is made; metadata lists both, the old one signs     (now put the new one into every app)
    switch    the new key signs; metadata still lists both                      (apps may now forget the old one)
    finish    the old key is gone
    cancel    back to the old key alone, at any time before `finish`

Every process of a deployment shares the file and follows a change at its next use.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from casb.errors import StoreError
from casb.store.atomic import create_private, replace_private

FILE: Final = "saml-keys.json"
LIFE: Final = timedelta(days=3 * 365)
STAGES: Final = ("steady", "begun", "switched")
_VERSION: Final = 1
_BITS: Final = 2048  # as AD FS and Entra use, and as every app can verify


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlKey:
    """One key pair. `signs` tells whether it is the one in use."""

    id: str
    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    created: str  # RFC 3339 UTC
    signs: bool


class SamlKeys:
    """The keys, the one that signs first."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._stamp: tuple[int, int, int] | None = None
        self._keys: tuple[SamlKey, ...] = ()
        self._stage = "steady"

    @classmethod
    def load_or_create(cls, folder: Path, name: str, now: datetime | None = None) -> SamlKeys:
        """The keys of a data folder; `name` stands in a new certificate. Raises `StoreError` K010, K001 or K004."""
        path = folder / FILE
        if not path.exists():
            key_id, entry = _made(name, now or datetime.now(UTC))
            create_private(path, _dump("steady", key_id, {key_id: entry}))
        keys = cls(path, name)
        keys._refresh()
        return keys

    def keys(self) -> tuple[SamlKey, ...]:
        """All keys that are published, the one that signs first. Raises `StoreError`."""
        self._refresh()
        return self._keys

    @property
    def stage(self) -> str:
        """Where the rollover stands: `steady`, `begun` or `switched`."""
        self._refresh()
        return self._stage

    def begin(self, now: datetime | None = None) -> SamlKey:
        """Make the next key and publish it beside the present one; the new one."""
        with self._changing() as content:
            self._must_be(content, "steady", "a rollover is under way already")
            key_id, entry = _made(self._name, now or datetime.now(UTC))
            self._write("begun", content["active"], {**content["keys"], key_id: entry})
        return next(each for each in self.keys() if each.id == key_id)

    def switch(self) -> None:
        """From now on the new key signs."""
        with self._changing() as content:
            self._must_be(content, "begun", "no rollover has begun, or its new key signs already")
            other = next(each for each in content["keys"] if each != content["active"])
            self._write("switched", other, content["keys"])

    def finish(self) -> None:
        """Forget the old key."""
        with self._changing() as content:
            self._must_be(content, "switched", "the new key does not sign yet: switch first")
            self._write("steady", content["active"], {content["active"]: content["keys"][content["active"]]})

    def cancel(self) -> None:
        """Back to the old key alone."""
        with self._changing() as content:
            if content["stage"] == "steady":
                raise StoreError("K010", "no rollover is under way")
            keep = min(content["keys"], key=lambda each: content["keys"][each]["created"])
            self._write("steady", keep, {keep: content["keys"][keep]})

    def _must_be(self, content: dict[str, Any], stage: str, otherwise: str) -> None:
        if content["stage"] != stage:
            raise StoreError("K010", otherwise, hint="`casb saml keys` shows where the rollover stands")

    def _write(self, stage: str, active: str, keys: dict[str, dict[str, str]]) -> None:
        replace_private(self._path, _dump(stage, active, keys))

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        with (self._path.parent / f".{FILE}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._refresh(force=True)
            yield json.loads(self._path.read_bytes())
            self._refresh(force=True)

    def _refresh(self, *, force: bool = False) -> None:
        try:
            with self._path.open("rb") as file:
                stat = os.fstat(file.fileno())
                stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
                if stamp == self._stamp and not force:
                    return
                if stat.st_mode & 0o077:
                    raise StoreError("K010", f"{self._path} can be read by others", hint=f"chmod 600 {self._path}")
                text = file.read()
        except OSError as error:
            raise StoreError("K010", f"{self._path} cannot be read ({error.strerror})") from None
        try:
            self._stage, self._keys = _parse(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise StoreError("K010", f"{self._path} holds no SAML keys", hint="restore it from your backup") from None
        self._stamp = stamp


def _parse(content: Any) -> tuple[str, tuple[SamlKey, ...]]:
    keys = []
    for key_id, entry in content["keys"].items():
        key = load_pem_private_key(entry["key"].encode("ascii"), None)
        certificate = x509.load_pem_x509_certificate(entry["certificate"].encode("ascii"))
        if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError("malformed key")
        keys.append(
            SamlKey(
                id=str(key_id),
                key=key,
                certificate=certificate,
                created=str(entry["created"]),
                signs=key_id == content["active"],
            )
        )
    expected = 1 if content["stage"] == "steady" else 2
    if content["version"] != _VERSION or content["stage"] not in STAGES or len(keys) != expected:
        raise ValueError("malformed file")
    if sum(each.signs for each in keys) != 1:
        raise ValueError("no active key")
    return str(content["stage"]), tuple(sorted(keys, key=lambda each: (not each.signs, each.created)))


def _made(name: str, now: datetime) -> tuple[str, dict[str, str]]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return secrets.token_hex(8), {
        "key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii"),
        "certificate": certificate.public_bytes(Encoding.PEM).decode("ascii"),
        "created": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }


def _dump(stage: str, active: str, keys: dict[str, dict[str, str]]) -> bytes:
    content = {"version": _VERSION, "stage": stage, "active": active, "keys": keys}
    return json.dumps(content, indent=2).encode("ascii") + b"\n"
