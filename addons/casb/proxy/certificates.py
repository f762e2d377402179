"""Leaf certificates on demand, as mitmproxy wants them.

One key pair per process serves all hosts: it never leaves memory, and making one certificate takes a fraction of a
millisecond. Certificates are cached, and made anew before they expire.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cachetools import LRUCache
from cryptography.hazmat.primitives.asymmetric import ec
from mitmproxy.certs import Cert, CertStoreEntry

from casb.ports import Clock
from casb.store import authority

CACHED = 4096
"""How many hosts are kept; each takes about 2 KiB."""
REFRESH = timedelta(days=10)
"""A certificate with less than this left is made anew."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Authority:
    """Our certificate authority as the proxy uses it. Not for use by several threads at once."""

    def __init__(self, issuer: authority.Authority, clock: Clock = _utc_now) -> None:
        self.issuer = issuer
        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._chain = [Cert(each) for each in issuer.chain]
        self._leaves: LRUCache[str, tuple[datetime, CertStoreEntry]] = LRUCache(CACHED)

    @classmethod
    def load_or_create(cls, folder: Path, clock: Clock = _utc_now) -> Authority:
        """The authority kept in `folder` (`settings.authority`). Raises `StoreError` when it cannot be used."""
        return cls(authority.load_or_create(folder, clock()), clock)

    def leaf(self, host: str) -> CertStoreEntry:
        """Certificate, key and chain for exactly this host (lower-case A-label name or IP address).

        Raises `authority.HostRefused`: whoever asks must then refuse the connection. Whether the host is one of ours
        is the caller's question.
        """
        now = self._clock()
        known = self._leaves.get(host)
        if known and now < known[0]:
            return known[1]
        certificate = self.issuer.issue(host, self._key.public_key(), now)
        private: Any = self._key  # mitmproxy annotates RSA, and hands it to OpenSSL, which takes either.
        entry = CertStoreEntry(Cert(certificate), private, None, self._chain)
        self._leaves[host] = (certificate.not_valid_after_utc - REFRESH, entry)
        return entry
