"""Cookies of the application and cookies of ours, kept apart (RFC 6265bis; reference/identity.md section 5 point 7).

An application's `Domain=` is mapped under the suffix when a browser at the real host would have accepted it, so that
the hosts of an application share it as before; it can never reach the bare suffix, nor all of a public suffix.
"""

from __future__ import annotations

import functools
import re

from publicsuffix2 import PublicSuffixList  # type: ignore[import-untyped]  # ships no types

from casb.rewrite.context import RewriteContext
from casb.rewrite.hosts import canonical, split_port

OUR_PREFIX = b"__host-casb_"
NOTICE_COOKIE = b"casb_notice"

_PUBLIC_SUFFIXES = PublicSuffixList(idna=True)  # read on import: the first cookie must not wait for it
_CRUMB = re.compile(rb";[ \t]*")


def is_ours(name: bytes, value: bytes = b"") -> bool:
    """Is this cookie ours?

    Browsers send a nameless cookie as its bare value, so that `=__Host-casb_s=x` would pose as one of ours.
    """
    name = (name or value).strip(b" \t").lower()
    return name.startswith(OUR_PREFIX) or name.partition(b"=")[0].strip(b" \t") == NOTICE_COOKIE


@functools.lru_cache(4096)
def _is_public_suffix(domain: str) -> bool:
    return bool(_PUBLIC_SUFFIXES.get_tld(domain, strict=False) == domain)


def set_cookie(value: bytes, context: RewriteContext) -> bytes | None:
    """A `Set-Cookie` value for the browser; None when the browser must not get it. Everything but Domain stays."""
    parts = value.split(b";")
    name, equals, content = parts[0].partition(b"=")
    if not equals:
        name, content = b"", parts[0]
    if is_ours(name.strip(b" \t"), content):
        return None
    domain: bytes | None = None
    kept = parts[:1]
    for part in parts[1:]:
        key, _, text = part.partition(b"=")
        if key.strip(b" \t").lower() == b"domain":
            domain = text.strip(b" \t")  # the last one counts
        else:
            kept.append(part)
    if not domain or not context.hosts.suffix:
        return value
    host = canonical(domain.decode("utf-8", "replace").removeprefix("."))
    own, port = split_port(context.host)
    if host is not None:
        host = _unsuffixed(host, context)
    if host is None or not (own == host or own.endswith(f".{host}")):
        return None  # the browser would have refused it at the real host
    if port or _is_public_suffix(host):
        return b";".join(kept)
    if context.hosts.to_suffix(context.host) is None:
        return value
    return b";".join([*kept, f" Domain={host}.{context.hosts.suffix}".encode()])


def _unsuffixed(host: str, context: RewriteContext) -> str:
    tail = f".{context.hosts.suffix}"
    return host.removesuffix(tail) if host.endswith(tail) else host


def cookie(value: bytes) -> bytes:
    """A `Cookie` value for the application: without ours, otherwise the same bytes; may become empty."""
    lowered = value.lower()
    if OUR_PREFIX not in lowered and NOTICE_COOKIE not in lowered:
        return value
    kept = []
    for crumb in _CRUMB.split(value):
        name, equals, content = crumb.partition(b"=")
        if not (is_ours(name, content) if equals else is_ours(b"", crumb)):
            kept.append(crumb)
    return b"; ".join(kept)
