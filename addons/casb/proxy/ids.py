"""Activity ids: ULIDs, sortable by time, 26 characters a person can read out (Crockford's base 32)."""

from __future__ import annotations

import os
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]


def ulid() -> str:
    """A fresh id: 48 bits of milliseconds, 80 bits of chance (github.com/ulid/spec)."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    parts = []
    for _ in range(13):
        parts.append(_PAIRS[value & 1023])
        value >>= 10
    return "".join(reversed(parts))
