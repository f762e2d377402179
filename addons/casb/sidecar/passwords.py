"""Passwords of local accounts: what is kept is an scrypt hash with its parameters (RFC 7914; OWASP's N=2^15, p=3)."""

from __future__ import annotations

import base64
import hmac
import os

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

SHORTEST = 12  # characters
LONGEST = 1024
_N, _R, _P = 2**15, 8, 3
_LENGTH = 32


def problem_with(password: str, name: str) -> str | None:
    """What is wrong with a new password, as a sentence; None when it will do. NIST SP 800-63B section 3.1.1.2."""
    if len(password) < SHORTEST:
        return f"A password has at least {SHORTEST} characters."
    if len(password) > LONGEST:
        return f"A password has at most {LONGEST} characters."
    if len(set(password)) < 5:
        return "That password repeats itself too much."
    if name and name.lower() in password.lower():
        return "A password does not contain the account's name."
    return None


def hash_password(password: str) -> str:
    """`scrypt$N$r$p$salt$hash`. Takes a third of a second and 32 MB, on purpose."""
    salt = os.urandom(16)
    digest = Scrypt(salt=salt, length=_LENGTH, n=_N, r=_R, p=_P).derive(_bytes(password))
    return f"scrypt${_N}${_R}${_P}${_b64(salt)}${_b64(digest)}"


def verify_password(password: str, kept: str | None) -> bool:
    """Whether it is the password. With `kept` None the same work is done and the answer is no."""
    if len(password) > LONGEST:
        return False
    kind, n, r, p, salt, digest = (kept or _NOBODY).split("$")
    if not hmac.compare_digest(kind, "scrypt"):
        return False
    try:
        Scrypt(salt=base64.b64decode(salt), length=_LENGTH, n=int(n), r=int(r), p=int(p)).verify(
            _bytes(password), base64.b64decode(digest)
        )
    except InvalidKey:
        return False
    return kept is not None


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


_NOBODY = f"scrypt${_N}${_R}${_P}${_b64(bytes(16))}${_b64(bytes(_LENGTH))}"
