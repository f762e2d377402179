"""What the browser cannot know any more: which hosts are of one site at their origins.

Under one suffix all applications are same-site to the browser. `SameSite` cookies, `Sec-Fetch-Site` and
`Cross-Origin-Resource-Policy: same-site` draw their line at the registrable domain (HTML, "same site"; RFC 6265bis
section 5.2; Fetch Metadata; Fetch section 3.7), so between two applications that line is drawn here, from the
initiator that the request names. Where it names none, the answer is the narrower one.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

from publicsuffix2 import PublicSuffixList  # type: ignore[import-untyped]  # ships no types

from casb.rewrite.hosts import HostMap, split_port

_PUBLIC_SUFFIXES = PublicSuffixList(idna=True)  # read on import: the first cookie must not wait for it
_SAFE_METHODS = frozenset({"GET", "HEAD"})


@functools.lru_cache(4096)
def is_public_suffix(domain: str) -> bool:
    """Do strangers register names directly below (publicsuffix.org)? An unknown top-level domain counts as one."""
    return bool(_PUBLIC_SUFFIXES.get_tld(domain, strict=False) == domain)


@functools.lru_cache(4096)
def site(host: str) -> str:
    """The registrable domain of a canonical host; of an address or a public suffix the host itself."""
    if host.startswith("[") or host.rpartition(".")[2].isdigit():
        return host
    public = _PUBLIC_SUFFIXES.get_tld(host, strict=False) or host.rpartition(".")[2]
    above = host.removesuffix(public).rstrip(".")
    return f"{above.rpartition('.')[2]}.{public}" if above else host


class Relation(NamedTuple):
    """How initiator and target stand to each other at their origins.

    `told` is what `Sec-Fetch-Site` would have been there ("" when the browser says nothing). `crossing`: the browser
    takes the request for same-site, and it is cross-site.
    """

    told: str
    crossing: bool


def relation(fields: Mapping[bytes, bytes], hosts: HostMap, host: str, method: str = "GET") -> Relation:
    """The relation of a request to `host` (origin authority), from its fields with names in lower case.

    A request that names no initiator is told as cross-site. Its cookies are kept back as well, except for what a page
    loads by GET from an application of several hosts of one site: pages with `Referrer-Policy: no-referrer` or
    `same-origin` could not show their own pictures otherwise.
    """
    told = fields.get(b"sec-fetch-site", b"").decode("latin-1")
    origin = fields.get(b"origin", b"")
    if told not in ("", "same-site"):
        return Relation(told, False)
    named = origin if origin not in (b"", b"null") else fields.get(b"referer", b"")
    initiator = _host_of(named, hosts)
    if told == "":
        crossing = bool(origin and initiator and site(initiator) != site(split_port(host)[0]))
        return Relation("", crossing)
    own = site(split_port(host)[0])
    if initiator is not None and site(initiator) == own:
        return Relation("same-site", False)
    loads = method in _SAFE_METHODS and fields.get(b"sec-fetch-mode") not in (b"navigate", b"websocket")
    unknown = not named and loads and len(hosts.below(own)) + hosts.knows(own) > 1
    return Relation("cross-site", not unknown)


def _host_of(url: bytes, hosts: HostMap) -> str | None:
    """The origin host behind a URL of ours, without its port; None when it is none."""
    text = url.decode("latin-1")
    mapped = hosts.url_to_origin(text)
    if mapped == text:
        return None
    return split_port(mapped.partition("://")[2].partition("/")[0])[0]
