"""Names of users and devices to pseudonyms, and back for whoever holds the deployment's key.

Deterministic authenticated encryption (AES-SIV, RFC 5297): a name always gives the same pseudonym, so that counts stay
right; without the key nothing but equality can be told; a pseudonym that was made up does not open.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

KEY_BYTES = 64
"""AES-256 twice: one half makes the synthetic IV, the other encrypts."""
KINDS = ("user", "device")
_MARK = {"user": "anon-u-", "device": "anon-d-"}


class NotAPseudonym(ValueError):
    """The text is none of ours, or was made under another key."""


class Pseudonyms:
    """Names to pseudonyms under one key."""

    def __init__(self, key: bytes) -> None:
        """`key` has `KEY_BYTES` bytes; raises `ValueError` for any other length."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key needs {KEY_BYTES} bytes")
        self._cipher = AESSIV(key)
        self._known: dict[tuple[str, str], str] = {}

    def of(self, kind: str, name: str) -> str:
        """The pseudonym of a `user` or `device`. Letter case counts for nothing in either, so it is folded."""
        known = self._known.get((kind, name))
        if known is None:
            sealed = self._cipher.encrypt(name.casefold().encode("utf-8", "surrogatepass") or b"\0", [kind.encode()])
            known = _MARK[kind] + base64.b32encode(sealed).decode("ascii").rstrip("=").lower()
            if len(self._known) > 200_000:
                self._known.clear()
            self._known[kind, name] = known
        return known

    def resolve(self, pseudonym: str) -> str:
        """The name behind a pseudonym (case folded). Raises `NotAPseudonym`."""
        for kind, mark in _MARK.items():
            if pseudonym.startswith(mark):
                text = pseudonym[len(mark) :].upper()
                try:
                    sealed = base64.b32decode(text + "=" * (-len(text) % 8))
                    name = self._cipher.decrypt(sealed, [kind.encode()]).decode("utf-8", "surrogatepass")
                except (InvalidTag, binascii.Error, ValueError):
                    break
                if self.of(kind, name) == pseudonym:  # one spelling only, base32 has spare bits
                    return name
                break
        raise NotAPseudonym("this is no pseudonym of this deployment")


def is_pseudonym(text: str) -> bool:
    """Whether a text looks like one of ours; only `Pseudonyms.resolve` knows."""
    return text.startswith(tuple(_MARK.values()))
