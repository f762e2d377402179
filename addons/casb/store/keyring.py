"""The deployment's key-encryption keys, by id, in one file that only its owner can read.

Every process of a deployment shares the file. It is made on first use; of processes that race, one makes it and all use
it. `rotate` adds a key that is used from then on; older ones stay, for reading, until `retire` destroys one: what it
closed opens with the recovery key alone then. Each purpose gets keys of its own
(HKDF, RFC 5869), so a blob of one purpose can never be passed off as one of another.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from casb.errors import ContentError, StoreError
from casb.store.atomic import create_private, replace_private

FILE = "keyring.json"

_VERSION = 1
_NONCE = 12
_KEY = 32
_KEY_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What may be shown of a key."""

    id: str
    created: str  # RFC 3339 UTC
    current: bool
    retired: str = ""  # RFC 3339 UTC: destroyed then; nothing that it closed opens here any more


class Keyring:
    """Wraps and unwraps small secrets (a file key) with AES-256-GCM."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._current = ""
        self._keys: Mapping[str, bytes] = {}
        self._created: Mapping[str, str] = {}
        self._retired: Mapping[str, Mapping[str, str]] = {}
        self._ciphers: dict[tuple[str, str], AESGCM] = {}

    @classmethod
    def load_or_create(cls, folder: Path) -> Keyring:
        """The key ring of a data folder. Raises `StoreError` when it cannot be read, written or trusted."""
        path = folder / FILE
        if not path.exists():
            key_id, entry = _new_key()
            create_private(path, _dump(key_id, {key_id: entry}))
        ring = cls(path)
        ring._refresh()
        return ring

    @classmethod
    def load(cls, folder: Path) -> Keyring:
        """As `load_or_create`, but a missing file is a `StoreError`: for readers who must not make a new one."""
        ring = cls(folder / FILE)
        ring._refresh()
        return ring

    def wrap(self, purpose: str, aad: bytes, data: bytes) -> tuple[str, bytes]:
        """`data` encrypted under the current key: its id and the blob (nonce, cipher text, tag)."""
        self._refresh()
        nonce = os.urandom(_NONCE)
        return self._current, nonce + self._cipher(purpose, self._current).encrypt(nonce, data, aad)

    def unwrap(self, purpose: str, key_id: str, aad: bytes, blob: bytes) -> bytes:
        """The data again. Raises `ContentError` F004 (key not here) or F003 (not what was wrapped)."""
        self._refresh()  # it may have been made, or retired, by another process
        if key_id not in self._keys:
            if key_id in self._retired:
                raise ContentError("F004", "the key that closed this was retired; the recovery key opens it")
            raise ContentError("F004", "the key that closed this is not in the key ring")
        try:
            return self._cipher(purpose, key_id).decrypt(blob[:_NONCE], blob[_NONCE:], aad)
        except (InvalidTag, ValueError):
            raise ContentError("F003", "the wrapped key was changed, or belongs to another file") from None

    def rotate(self) -> str:
        """Adds a key and makes it the current one; its id. Other processes follow at their next use."""
        with self._alone():
            key_id, entry = _new_key()
            replace_private(self._path, _dump(key_id, self._entries() | {key_id: entry}, self._retired))
            self._refresh(force=True)
        return key_id

    def retire(self, key_id: str) -> None:
        """Destroys a key that is not the current one. Raises `StoreError` K005."""
        with self._alone():
            if key_id not in self._keys or key_id == self._current:
                hint = "casb keys rotate makes another one current" if key_id in self._keys else "casb keys list"
                raise StoreError("K005", f"{key_id[:64]!r} is no key that can be retired", hint=hint)
            entries = self._entries()
            created = entries.pop(key_id)["created"]
            retired = {**self._retired, key_id: {"created": created, "retired": _now()}}
            replace_private(self._path, _dump(self._current, entries, retired))
            self._refresh(force=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process changes the file meanwhile; what it holds now is known."""
        with (self._path.parent / f".{FILE}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._refresh(force=True)
            yield

    def _entries(self) -> dict[str, dict[str, str]]:
        return {each: {"key": _text(key), "created": self._created[each]} for each, key in self._keys.items()}

    def keys(self) -> tuple[KeyInfo, ...]:
        """The keys, oldest first, without their secrets; retired ones before them."""
        self._refresh()
        infos = [KeyInfo(id=each, created=self._created[each], current=each == self._current) for each in self._keys]
        infos += [
            KeyInfo(id=each, created=entry["created"], current=False, retired=entry["retired"])
            for each, entry in self._retired.items()
        ]
        return tuple(sorted(infos, key=lambda info: (info.current, not info.retired, info.created)))

    def sign(self, purpose: str, data: bytes) -> tuple[str, bytes]:
        """An Ed25519 signature (RFC 8032) by the current key, for one purpose alone: the key's id and 64 bytes."""
        self._refresh()
        return self._current, self._signer(purpose, self._current).sign(data)

    def verify(self, purpose: str, key_id: str, data: bytes, signature: bytes) -> bool:
        """Whether a key of this ring signed that. Raises `StoreError` when the ring cannot be read."""
        if key_id not in self._keys:
            self._refresh()
        if key_id not in self._keys:
            return False
        try:
            self._signer(purpose, key_id).public_key().verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def _signer(self, purpose: str, key_id: str) -> Ed25519PrivateKey:
        info = b"casb key ring signature|" + purpose.encode("utf-8")
        seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self._keys[key_id])
        return Ed25519PrivateKey.from_private_bytes(seed)

    def _cipher(self, purpose: str, key_id: str) -> AESGCM:
        cipher = self._ciphers.get((purpose, key_id))
        if cipher is None:
            info = b"casb key ring|" + purpose.encode("utf-8")
            cipher = AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self._keys[key_id]))
            self._ciphers[purpose, key_id] = cipher
        return cipher

    def _refresh(self, *, force: bool = False) -> None:
        """Reads the file when it is not the one read last."""
        try:
            with self._path.open("rb") as file:
                stat = os.fstat(file.fileno())
                stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
                if stamp == self._stamp and not force:
                    return
                if stat.st_mode & 0o077:
                    raise StoreError(
                        "K002",
                        f"{self._path} can be read by others",
                        hint=f"chmod 600 {self._path}",
                    )
                text = file.read()
        except OSError as error:
            raise StoreError("K001", f"the key ring {self._path} cannot be read ({error.strerror})") from None
        try:
            self._current, self._keys, self._created, self._retired = _parse(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise StoreError("K003", f"{self._path} is not a key ring", hint="restore it from your backup") from None
        self._ciphers.clear()
        self._stamp = stamp


def _parse(content: Any) -> tuple[str, dict[str, bytes], dict[str, str], dict[str, dict[str, str]]]:
    keys: dict[str, bytes] = {}
    created: dict[str, str] = {}
    for key_id, entry in content["keys"].items():
        key = base64.b64decode(entry["key"], validate=True)
        if not _KEY_ID.fullmatch(key_id) or len(key) != _KEY or not isinstance(entry["created"], str):
            raise ValueError("malformed key")
        keys[key_id], created[key_id] = key, entry["created"]
    if content["version"] != _VERSION or content["current"] not in keys:
        raise ValueError("malformed key ring")
    retired = {
        key_id: {name: str(entry[name]) for name in ("created", "retired")}
        for key_id, entry in content.get("retired", {}).items()
        if _KEY_ID.fullmatch(key_id)
    }
    return content["current"], keys, created, retired


def _new_key() -> tuple[str, dict[str, str]]:
    return secrets.token_hex(8), {"key": _text(secrets.token_bytes(_KEY)), "created": _now()}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode("ascii")


def _dump(
    current: str, keys: Mapping[str, Mapping[str, str]], retired: Mapping[str, Mapping[str, str]] | None = None
) -> bytes:
    content: dict[str, Any] = {"version": _VERSION, "current": current, "keys": dict(keys)}
    if retired:
        content["retired"] = dict(retired)
    return json.dumps(content, indent=2).encode("ascii") + b"\n"
