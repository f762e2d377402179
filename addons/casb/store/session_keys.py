"""The key ring that stored sessions are encrypted with: a file that is followed while it changes.

One `<id> <hex>` a line, newest first: new values use the first key, the others still decrypt. So a key is replaced in
the middle of sessions by putting a new one in front, and the old one is taken out once every session made with it has
ended. Several nodes share one ring: a new key is added to all of them before it moves to the front of any.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from casb.errors import StoreError
from casb.store.atomic import replace_private

try:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
except ImportError:  # pragma: no cover - cryptography before 42
    AESGCMSIV = None  # type: ignore[assignment,misc]

_NONCE: Final = 12
LOOKED: Final = 2.0  # seconds between two looks at the file


def _cipher(key: bytes) -> tuple[str, AESGCM | AESGCMSIV]:
    """The cipher's tag in the file and the cipher. GCM-SIV forgives a nonce used twice (RFC 8452)."""
    if AESGCMSIV is not None:
        with contextlib.suppress(UnsupportedAlgorithm):
            return "s", AESGCMSIV(key)
    return "g", AESGCM(key)


class KeyRing:
    """Encrypts values for one purpose and record. New values use the first key; the others still decrypt."""

    def __init__(self, keys: Sequence[tuple[str, bytes]]) -> None:
        if not keys:
            raise StoreError("S053", "the key ring of the session store is empty")
        self._first = keys[0][0]
        self._siv = {kid: _cipher(key) for kid, key in keys}
        self._gcm = {kid: AESGCM(key) for kid, key in keys}

    def seal(self, value: bytes, aad: bytes) -> bytes:
        """`v1.<key id>.<cipher><nonce><ciphertext>`."""
        tag, cipher = self._siv[self._first]
        nonce = secrets.token_bytes(_NONCE)
        return b"v1.%b.%b" % (self._first.encode(), tag.encode()) + nonce + cipher.encrypt(nonce, value, aad)

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        """The value; raises `StoreError` when it was not sealed with this ring for this place."""
        if not isinstance(sealed, bytes):  # SQLite's columns take any type.
            raise StoreError("S053", "a stored session is not what was stored")
        version, _, rest = sealed.partition(b".")
        kid, _, body = rest.partition(b".")
        name = kid.decode("ascii", "replace")
        if version != b"v1" or name not in self._siv:
            raise StoreError("S053", "a stored session was encrypted with a key that is not in the ring")
        tag, cipher = self._siv[name]
        chosen = cipher if body[:1] == tag.encode() else self._gcm[name]
        try:
            return chosen.decrypt(body[1 : 1 + _NONCE], body[1 + _NONCE :], aad)
        except (InvalidTag, ValueError) as error:
            raise StoreError("S053", "a stored session cannot be decrypted") from error


def load_keys(path: Path) -> KeyRing:
    """The ring in a file, made with one fresh key when there is none yet; raises `StoreError` if others may read it."""
    with _locked(path.with_suffix(".lock")):
        if not path.exists():
            fresh = path.with_suffix(".new")
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
                file.write(f"k{secrets.token_hex(4)} {secrets.token_hex(32)}\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(path)
    if path.stat().st_mode & 0o077:
        raise StoreError("S053", f"{path} may be read by others", hint="chmod 600")
    try:
        rows = [line.split() for line in path.read_text("ascii").splitlines() if line.strip()]
        keys = [(kid, bytes.fromhex(key)) for kid, key in rows]
        if any(len(key) != 32 or not kid.isalnum() for kid, key in keys):
            raise ValueError
    except ValueError as error:
        raise StoreError("S053", f"{path} is not a key ring") from error
    return KeyRing(keys)


class FollowedRing:
    """The ring in a file, read again when the file has changed. `clock` gives monotonic seconds."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._ring = load_keys(path)
        self._stamp, self._looked = _stamp(path), clock()

    def seal(self, value: bytes, aad: bytes) -> bytes:
        """As `KeyRing.seal`, with the first key of the present file."""
        self._look()
        return self._ring.seal(value, aad)

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        """As `KeyRing.open`; a value under a key that is not known yet makes the file be looked at, too."""
        self._look()
        try:
            return self._ring.open(sealed, aad)
        except StoreError:
            if not self._read():
                raise
        return self._ring.open(sealed, aad)

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked >= LOOKED:
            self._looked = now
            self._read()

    def _read(self) -> bool:
        """Whether there is another ring now. A file that cannot be used changes nothing: the last good one holds."""
        stamp = _stamp(self._path)
        if stamp is None or stamp == self._stamp:
            return False
        try:
            self._ring = load_keys(self._path)
        except (OSError, StoreError):
            return False
        self._stamp = stamp
        return True


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def rotate(path: Path, *, keep: int = 3) -> str:
    """Put a fresh key in front of the ring and keep `keep` keys in all; the fresh key's id."""
    load_keys(path)
    with _locked(path.with_suffix(".lock")):
        rows = [line for line in path.read_text("ascii").splitlines() if line.strip()]
        fresh = f"k{secrets.token_hex(4)}"
        rows = [f"{fresh} {secrets.token_hex(32)}", *rows][:keep]
        replace_private(path, "".join(f"{row}\n" for row in rows).encode("ascii"))
    return fresh


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
