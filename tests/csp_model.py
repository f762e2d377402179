"""A model of Content Security Policy Level 3 as browsers enforce it, written from the specification's own steps.

An oracle for tests: it shares nothing with `casb.rewrite.csp`. Section numbers are those of CSP Level 3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

FALLBACKS = {
    "script-src-elem": ("script-src-elem", "script-src", "default-src"),
    "script-src-attr": ("script-src-attr", "script-src", "default-src"),
    "style-src-elem": ("style-src-elem", "style-src", "default-src"),
    "worker-src": ("worker-src", "child-src", "script-src", "default-src"),
    "frame-src": ("frame-src", "child-src", "default-src"),
    "connect-src": ("connect-src", "default-src"),
    "img-src": ("img-src", "default-src"),
    "font-src": ("font-src", "default-src"),
    "media-src": ("media-src", "default-src"),
    "object-src": ("object-src", "default-src"),
    "manifest-src": ("manifest-src", "default-src"),
    "form-action": ("form-action",),
    "base-uri": ("base-uri",),
    "frame-ancestors": ("frame-ancestors",),
}
"""What is asked for, and the directives of which the first that is there answers (section 6.8.3)."""

PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
WHITE = "\t\n\x0c\r "


class Address(NamedTuple):
    """A URL to ask for."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> Address:
        scheme, host, port, path = re.fullmatch(r"(\w+)://([^/:]+|\[[^\]]+\])(?::(\d+))?(/.*)?", url).groups()  # type: ignore[union-attr]
        return cls(scheme, host.lower(), int(port or PORTS[scheme]), path or "/")


def _lower(text: str) -> str:
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


@dataclass
class Policy:
    """One serialised policy (section 2.2.1)."""

    directives: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Policy:
        policy = cls()
        for token in text.split(";"):
            words = [word for word in re.split(f"[{WHITE}]", token) if word]
            if words:
                policy.directives.setdefault(_lower(words[0]), words[1:])
        return policy

    def effective(self, kind: str) -> list[str] | None:
        return next((self.directives[name] for name in FALLBACKS[kind] if name in self.directives), None)

    def allows(self, kind: str, url: Address, page: Address) -> bool:
        """May `page` ask for a URL (sections 6.7.2.7 and 4.1.2)? Without nonce, hash and script of the page's own."""
        sources = self.effective(kind)
        if sources is None:
            return True
        if kind == "script-src-elem" and "'strict-dynamic'" in map(_lower, sources):
            return False  # only nonces, hashes and scripts that such scripts load
        return any(matches(source, url, page) for source in sources)

    def keywords(self, kind: str) -> set[str]:
        """What is let in that has no URL: nonces, hashes and the words that loosen. Empty is nothing."""
        sources = self.effective(kind)
        if sources is None:
            return {"everything"}
        return {source for source in sources if source.startswith("'") and _lower(source) not in ("'none'", "'self'")}


def parse_all(headers: list[str]) -> list[Policy]:
    """Every policy in force: several headers, several in one (section 2.2.2)."""
    return [Policy.parse(part) for header in headers for part in header.split(",")]


def all_allow(policies: list[Policy], kind: str, url: Address, page: Address) -> bool:
    return all(policy.allows(kind, url, page) for policy in policies)


SOURCE = re.compile(
    r"(?:([a-z][a-z0-9+.-]*)://)?(\*|(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])(?::(\*|\d+))?(/[^?#]*)?",
    re.IGNORECASE,
)


def matches(source: str, url: Address, page: Address) -> bool:
    """Does a source expression match a URL (section 6.7.2.8)?"""
    if source == "*":
        return url.scheme in PORTS
    if re.fullmatch(r"[a-z][a-z0-9+.-]*:", source, re.IGNORECASE):
        return scheme_matches(_lower(source[:-1]), url.scheme)
    if _lower(source) == "'self'":
        return (
            url.host == page.host
            and (url.port == page.port or (url.port == PORTS[url.scheme] and page.port == PORTS[page.scheme]))
            and (url.scheme in ("https", "wss") or (page.scheme == "http" and url.scheme == "ws"))
        )
    found = SOURCE.fullmatch(source)
    if found is None:
        return False
    scheme, host, port, path = found.groups()
    if not scheme_matches(_lower(scheme or page.scheme), url.scheme):
        return False
    if not host_matches(_lower(host), url.host):
        return False
    if not port_matches(port, _lower(scheme or page.scheme), url):
        return False
    return path_matches(path, url.path)


def scheme_matches(given: str, asked: str) -> bool:
    """Section 6.7.2.9."""
    return (
        given == asked
        or (given == "http" and asked == "https")
        or (given == "ws" and asked in ("wss", "http", "https"))
        or (given == "wss" and asked == "https")
    )


def host_matches(given: str, asked: str) -> bool:
    """Section 6.7.2.10. A final dot is another name there, and our mapping takes it for none: not modelled."""
    given = given.removesuffix(".")
    if given == "*":
        return True
    if given.startswith("*."):
        return asked.endswith(given[1:]) and asked != given[2:]
    return given == asked


def port_matches(given: str | None, scheme: str, url: Address) -> bool:
    """Section 6.7.2.11, with the upgrade from 80 to 443 that browsers add."""
    if given == "*":
        return True
    if given is None:
        return url.port == PORTS[url.scheme]
    return int(given) == url.port or (int(given) == 80 and url.port == 443 and scheme in ("http", "ws"))


def path_matches(given: str | None, asked: str) -> bool:
    """Section 6.7.2.12."""
    if not given or given == "/":
        return True
    return asked.startswith(given) if given.endswith("/") else asked == given
