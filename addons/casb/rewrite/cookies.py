"""Cookies of the application and cookies of ours, kept apart (RFC 6265bis; reference/identity.md section 5 point 7).

An application's `Domain=` is mapped under the suffix when a browser at the real host would have accepted it, so that
the hosts of an application share it as before; it can never reach the bare suffix, nor all of a public suffix.

Between applications the browser sees one site. Where a request crosses from one to another (`sites.relation`), the
cookies go that `SameSite` would have let through at the origins: which those are, a second cookie says that is set
beside each one with `SameSite=None` or `Strict` and that no other host can set (`__Host-`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from casb.rewrite.context import RewriteContext
from casb.rewrite.hosts import canonical, split_port
from casb.rewrite.shared import PREFIX, opened, sealed
from casb.rewrite.sites import is_public_suffix

OUR_PREFIX = b"__host-casb_"
NOTICE_COOKIE = b"casb_notice"
MARK = b"__Host-casb_k."
"""Beside a cookie of that name: `n` for `SameSite=None`, `s` for `Strict`."""
SHARED_MARK = b"casb_k."
"""The same for a `Strict` cookie with a `Domain`, whose other hosts must know as well. Others could set it; it only
ever keeps a cookie back."""

_OURS = (OUR_PREFIX, SHARED_MARK, PREFIX)
_CRUMB = re.compile(rb";[ \t]*")
_WHITE = b" \t"
_LIVES = frozenset({b"max-age", b"expires", b"partitioned"})


def is_ours(name: bytes, value: bytes = b"") -> bool:
    """Is this cookie ours?

    Browsers send a nameless cookie as its bare value, so that `=__Host-casb_s=x` would pose as one of ours.
    """
    name = (name or value).strip(_WHITE).lower()
    return name.startswith(_OURS) or name.partition(b"=")[0].strip(_WHITE) == NOTICE_COOKIE


class _Cookie(NamedTuple):
    """A `Set-Cookie` value taken apart: the pair as it was, and its attributes in lower case, the last of a kind."""

    pair: bytes
    name: bytes
    attributes: dict[bytes, bytes]
    others: list[bytes]  # every attribute but Domain, as it was

    @classmethod
    def of(cls, value: bytes) -> _Cookie:
        pair, *parts = value.split(b";")
        name, equals, _ = pair.partition(b"=")
        attributes, others = {}, []
        for part in parts:
            key, _, text = part.partition(b"=")
            key = key.strip(_WHITE).lower()
            attributes[key] = text.strip(_WHITE)
            if key != b"domain":
                others.append(part)
        return cls(pair, name.strip(_WHITE) if equals else b"", attributes, others)

    @property
    def same_site(self) -> bytes:
        """`none`, `strict`, or `lax`, which is also what browsers make of none given and of anything else."""
        given = self.attributes.get(b"samesite", b"").lower()
        return given if given in (b"none", b"strict") else b"lax"


def set_cookie(value: bytes, context: RewriteContext) -> bytes | None:
    """A `Set-Cookie` value for the browser; None when the browser must not get it. Everything but Domain stays."""
    cookie = _Cookie.of(value)
    if is_ours(cookie.name, b"" if cookie.name else cookie.pair.removeprefix(b"=")):
        return None
    if context.crossing and cookie.same_site != b"none" and not _top_level(context):
        return None  # from a cross-site answer browsers take no others (RFC 6265bis section 5.7, step 18)
    domain = cookie.attributes.get(b"domain", b"")
    if not domain or not context.hosts.suffix:
        return value
    if cookie.name.lower().startswith(b"__host-"):
        return None  # with a Domain, browsers refuse it
    host = _domain(cookie, context)
    if host is None:
        return None  # the browser would have refused it at the real host
    if split_port(context.host)[1] or is_public_suffix(host) or context.hosts.flat:
        return b";".join([cookie.pair, *cookie.others])
    if context.hosts.to_suffix(context.host) is None:
        return value
    return b";".join([cookie.pair, *cookie.others, f" Domain={host}.{context.hosts.suffix}".encode()])


def mark(value: bytes, mapped: bytes, context: RewriteContext) -> bytes | None:
    """The cookie that goes beside one which the browser gets as `mapped`; None when there need be none."""
    cookie = _Cookie.of(value)
    if not cookie.name or not context.hosts.suffix:
        return None
    known = MARK + cookie.name + b"=" in context.cookies
    lives = b"".join(b";" + part for part in cookie.others if part.partition(b"=")[0].strip(_WHITE).lower() in _LIVES)
    kind = {b"none": b"n", b"strict": b"s"}.get(cookie.same_site)
    if kind is None:
        return MARK + cookie.name + b"=; Path=/; Secure; Max-Age=0" if known else None
    domain = _Cookie.of(mapped).attributes.get(b"domain", b"")
    if kind == b"s" and domain:
        return SHARED_MARK + cookie.name + b"=s; Path=/; Secure; HttpOnly; Domain=" + domain + lives
    return MARK + cookie.name + b"=" + kind + b"; Path=/; Secure; HttpOnly; SameSite=None" + lives


def share(value: bytes, context: RewriteContext) -> bytes | None:
    """The sealed copy of a cookie with a `Domain`, for the other hosts of its domain; None when there need be none."""
    cookie = _Cookie.of(value)
    host = _domain(cookie, context) if cookie.attributes.get(b"domain") else None
    if not context.hosts.flat or context.seal is None or host is None or is_public_suffix(host) or not cookie.name:
        return None
    content = cookie.pair.partition(b"=")[2].strip(_WHITE)
    kind = cookie.same_site[:1]
    pair = sealed(cookie.name, content, host, kind, context.user, context.seal)
    rest = [each for each in cookie.others if each.partition(b"=")[0].strip(_WHITE).lower() not in _SET_ANYWAY]
    ending = b"; Secure; HttpOnly; Domain=" + context.hosts.suffix.encode()
    return pair and b";".join([pair, *rest]) + ending


_SET_ANYWAY = frozenset({b"secure", b"httponly"})


def _domain(cookie: _Cookie, context: RewriteContext) -> str | None:
    """The domain at the origins that a cookie is for, or None when browsers would refuse it from there."""
    given = cookie.attributes[b"domain"].decode("utf-8", "replace").removeprefix(".")
    host, own = canonical(given), split_port(context.host)[0]
    if host is not None:
        host = _unsuffixed(host, context)
    if host is None or not (own == host or own.endswith(f".{host}")):
        return None
    return None if is_public_suffix(host) and own != host else host


def _top_level(context: RewriteContext) -> bool:
    return context.mode == "navigate" and context.destination == "document"


def _unsuffixed(host: str, context: RewriteContext) -> str:
    tail = f".{context.hosts.suffix}"
    return host.removesuffix(tail) if host.endswith(tail) else host


def cookie(value: bytes, context: RewriteContext | None = None) -> bytes:
    """A `Cookie` value for the application: without ours, otherwise the same bytes; may become empty.

    With a context that crosses from another application, only what `SameSite` would have let through.
    """
    crossing = context is not None and context.crossing
    lowered = value.lower()
    if not crossing and b"casb_" not in lowered:
        return value
    crumbs = [(*crumb.partition(b"="), crumb) for crumb in _CRUMB.split(value)]
    kept = [
        (name.strip(_WHITE), crumb)
        for name, equals, content, crumb in crumbs
        if not (is_ours(name, content) if equals else is_ours(b"", crumb))
    ]
    shared = {}
    if context is not None and context.hosts.flat and context.seal is not None:
        shared = opened((each[-1] for each in crumbs), split_port(context.host)[0], context.user, context.seal)
        kept = [each for each in kept if each[0] not in shared]
        kept += [(name, name + b"=" + found.value) for name, found in shared.items()]
    if context is not None and crossing:
        none = {_marked(crumb, MARK) for *_, crumb in crumbs if crumb.endswith(b"=n")}
        none |= {name for name, found in shared.items() if found.same_site == b"n"}
        strict = {_marked(crumb, each) for *_, crumb in crumbs if crumb.endswith(b"=s") for each in (MARK, SHARED_MARK)}
        strict |= {name for name, found in shared.items() if found.same_site == b"s"}
        visit = _top_level(context) and context.method in ("GET", "HEAD")
        kept = [each for each in kept if each[0] not in strict and (visit or each[0] in none)]
    return b"; ".join(crumb for _, crumb in kept)


def _marked(crumb: bytes, prefix: bytes) -> bytes | None:
    return crumb[len(prefix) : -2] if crumb.startswith(prefix) else None
