"""What DNS and the registration service say of a domain: CAA, DMARC, SPF, and since when it is registered.

DNS is asked through the resolver of this machine. The registration service is asked only when the operator names where
to begin (`RDAP_BOOTSTRAP`): it learns which domains somebody here is interested in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import dns.exception
import dns.resolver

from casb.catalog.measure import Observation, dmarc_of, rdap_server, registered_of, spf_of
from casb.catalog.suffixes import registered_domain
from casb.connectors.fetch import Fetcher
from casb.errors import ConnectorError

RDAP_BOOTSTRAP = "https://data.iana.org/rdap/dns.json"
"""Where IANA keeps the list of registration services (RFC 9224)."""

LIFETIME = 5.0  # seconds a question may take
_BOOTSTRAP_BYTES = 4 * 1024 * 1024

type Read = Callable[[str], bytes]


class Records:
    """Asks DNS. `resolver` is the machine's unless a test has its own."""

    def __init__(self, resolver: dns.resolver.Resolver | None = None) -> None:
        self._resolver: dns.resolver.Resolver | None
        try:
            self._resolver = resolver or dns.resolver.Resolver()
        except dns.exception.DNSException:  # This machine has none: everything stays unknown.
            self._resolver = None

    def add_to(self, seen: Observation) -> Observation:
        """The observation with what DNS says of its host; what DNS does not answer stays unknown."""
        domain = registered_domain(seen.host)
        if domain is None:
            return seen
        caa = self._caa(seen.host, domain)
        texts = self._texts(domain)
        policy = self._texts(f"_dmarc.{domain}")
        return replace(
            seen,
            caa=caa,
            spf=None if texts is None else spf_of(texts),
            dmarc=None if policy is None else dmarc_of(policy),
        )

    def _caa(self, host: str, domain: str) -> bool | None:
        """Whether the host or a name above it, up to the registered one, has a CAA record (RFC 8659, 3)."""
        name = host
        while True:
            found = self._ask(name, "CAA")
            if found is None:
                return None
            if found:
                return True
            if name == domain:
                return False
            name = name.partition(".")[2]

    def _texts(self, name: str) -> list[str] | None:
        answers = self._ask(name, "TXT")
        if answers is None:
            return None
        return [b"".join(each.strings).decode("utf-8", "replace") for each in answers]

    def _ask(self, name: str, kind: str) -> list[Any] | None:
        """The records; none of them is [], and no answer is None."""
        if self._resolver is None:
            return None
        try:
            return list(self._resolver.resolve(name, kind, lifetime=LIFETIME))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError, ValueError):
            return None


def open_for(url: str) -> Read:
    """Reads from the host of `url` alone: https, no redirects, up to a size."""
    return Fetcher([urlsplit(url).netloc], limit=_BOOTSTRAP_BYTES).read


def registered(host: str, bootstrap: str, opened: Callable[[str], Read] = open_for) -> str | None:
    """The day the host's domain was registered; None when the service does not say. Raises `ConnectorError`."""
    domain = registered_domain(host)
    if domain is None:
        return None
    server = rdap_server(opened(bootstrap)(bootstrap), domain)
    if server is None:
        return None
    url = f"{server.rstrip('/')}/domain/{domain}"
    try:
        return registered_of(opened(url)(url))
    except ConnectorError as error:
        if error.code == "I002":  # No such domain there, or an answer of another form.
            return None
        raise
