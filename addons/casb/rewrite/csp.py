"""Content-Security-Policy: host sources mapped, and the guard let in by the narrowest source there is.

Serialised policies as in CSP Level 3, sections 2.2 and 2.3. A policy never admits more than before except one script,
`https://<page>/.casb/guard.js`, and the reserved path for what it fetches. Policies of other hosts, schemes, hashes,
nonces and keywords stay as they are.
"""

from __future__ import annotations

import re

from casb.rewrite.context import GUARD_PATH, RESERVED_PATH, PagePolicy, RewriteContext
from casb.rewrite.hosts import HostMap, canonical, canonical_port, split_port
from casb.spelling import fits, spell

_SOURCE = re.compile(
    r"(?:(?P<scheme>https?|wss?)://)?(?P<wild>\*\.)?"
    r"(?P<host>[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)*\.?|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}|\*))?(?P<path>/.*)?\Z",
    re.IGNORECASE,
)
_EVERY = re.compile(
    r"(?:(?P<scheme>https?|wss?)://\*(?::(?P<port>[0-9]{1,5}|\*))?|\*:(?P<ports>[0-9]{1,5}|\*))\Z", re.I
)
_NONCE = re.compile(r"'nonce-([A-Za-z0-9+/_\-]+={0,2})'", re.IGNORECASE)
_HASH = re.compile(r"'sha(?:256|384|512)-", re.IGNORECASE)
_SPACE = re.compile(r"[\t\n\f\r ]+")
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")  # other letters mean nothing here
_SAFE = {"http": "https", "https": "https", "ws": "wss", "wss": "wss"}
_PORTS = {"http": "80", "ws": "80", "https": "443", "wss": "443"}
_SOURCES = frozenset(
    "default-src script-src script-src-elem script-src-attr style-src style-src-elem style-src-attr img-src font-src "
    "connect-src media-src object-src child-src frame-src worker-src manifest-src prefetch-src fenced-frame-src "
    "base-uri form-action frame-ancestors navigate-to".split()
)
"""Directives whose values are source lists."""

type Directive = tuple[str, list[str]]


def parse(policy: str) -> list[Directive]:
    """The directives of one serialised policy, names in lower case; of duplicates the first counts, as in browsers."""
    seen: set[str] = set()
    directives = []
    for part in policy.split(";"):
        name, *values = _SPACE.split(part.strip("\t\n\f\r "))
        name = name.translate(_LOWER)
        if name and name not in seen:
            seen.add(name)
            directives.append((name, values))
    return directives


def serialise(directives: list[Directive]) -> str:
    """The reverse of `parse`."""
    return "; ".join(" ".join([name, *values]) for name, values in directives)


def map_source(hosts: HostMap, source: str, *, plain: bool = False) -> list[str]:
    """One source expression as the sources that mean the same under the suffix.

    A source stays where it still stands for hosts that are not ours, unless every application under the suffix would
    come in with it: a wildcard over a parent of the suffix itself, or over all hosts of just our public port. Flattened
    names below a wildcard are listed for the same reason; of those that are not listed one by one none is admitted.
    `plain`: the page's application believes itself on http, which is the scheme of a source that names none.
    """
    if every := _EVERY.match(source):
        return _everywhere(hosts, source, every, plain=plain)
    found = _SOURCE.match(source)
    if found is None or not hosts.maps_anything:
        return [source]
    scheme = (found["scheme"] or "").lower()
    host, port = canonical(found["host"]), _port(found["port"], scheme, plain=plain)
    if host is None or port is None:
        return [source]
    head = f"{_SAFE[scheme]}://" if scheme else ""
    tail = f"{hosts.port_tail}{found['path'] or ''}"
    ports = ["", *hosts.all_ports] if port == "*" else [port]
    names = _below if found["wild"] else _exactly
    mapped = [f"{head}{name}.{hosts.suffix}{tail}" for each in ports for name in names(hosts, host, each)]
    if found["wild"]:
        gone = _spans(hosts, host, port) or (port != "*" and hosts.wild(host, port))
    else:
        gone = port != "*" and bool(mapped)
    return list(dict.fromkeys(mapped if gone else [source, *mapped]))


def _everywhere(hosts: HostMap, source: str, every: re.Match[str], *, plain: bool) -> list[str]:
    """`https://*`, `*:8443`: every host on one port, or on any. Ours are all on the public port.

    On the default port the names of ours that have a port of their own come in as well: no source can leave them out.
    """
    scheme = (every["scheme"] or "").lower()
    port = _port(every["port"] or every["ports"], scheme, plain=plain)
    if port is None or port == "*" or not hosts.maps_anything:
        return [source]
    head = f"{_SAFE[scheme]}://" if scheme else ""
    if not port:
        return [source, f"{head}*.{hosts.suffix}{hosts.port_tail}"] if hosts.port_tail else [source]
    listed = [f"{head}{name}.{hosts.suffix}{hosts.port_tail}" for name in _with_port(hosts, port)]
    return listed if port == hosts.port_tail.removeprefix(":") else [source, *listed]


def _with_port(hosts: HostMap, port: str) -> list[str]:
    if port not in hosts.all_ports:
        return []
    exact = [split_port(name) for name in hosts.exact]
    parents = [split_port(name) for name in hosts.parents] if not hosts.flat else []
    names = [spell(host, own, flat=hosts.flat) for host, own in exact if own == port]
    return sorted([*names, *(f"*.{spell(host, own)}" for host, own in parents if own == port)])


def _port(text: str | None, scheme: str, *, plain: bool) -> str | None:
    """A source's port: "" for its scheme's own, `*` for any; None when it is none, or another scheme's own."""
    if text is None or text == "*":
        return text or ""
    port = canonical_port(text)
    if port not in _PORTS.values():
        return port
    return "" if port == _PORTS[scheme or ("http" if plain else "https")] else None


def _spans(hosts: HostMap, parent: str, port: str) -> bool:
    """Would a wildcard, left as it is, match every host under the suffix?"""
    over = hosts.suffix == parent or hosts.suffix.endswith(f".{parent}")
    return over and port in ("*", hosts.port_tail.removeprefix(":"))


def _exactly(hosts: HostMap, host: str, port: str) -> list[str]:
    return [spell(host, port, flat=hosts.flat)] if hosts.suffix_host(host, port) else []


def _below(hosts: HostMap, parent: str, port: str) -> list[str]:
    """The spellings, wildcards where they can be, of all names of ours below a parent on a port."""
    listed = hosts.below(parent, port)
    if not hosts.flat and not port:
        return [f"*.{parent}"] if listed or hosts.wild(parent, port) else []
    names = []
    for name in listed:
        host = name.removeprefix("*.")
        if host is name:
            names.append(spell(host, port, flat=hosts.flat))
        elif not hosts.flat and fits(host, port, hosts.suffix):
            names.append(f"*.{spell(host, port)}")
    if not hosts.flat and hosts.wild(parent, port):
        names.append(f"*.{spell(parent, port)}")
    return names


def _find(directives: list[Directive], *names: str) -> Directive | None:
    for name in names:
        for directive in directives:
            if directive[0] == name:
                return directive
    return None


def _has(directive: Directive, keyword: str) -> bool:
    return keyword in (value.translate(_LOWER) for value in directive[1])


def _admit(directives: list[Directive], own: str, fallbacks: tuple[str, ...], source: str) -> None:
    """Add a source to the directive `own`; it is made from the one it falls back to, which itself stays narrow."""
    effective = _find(directives, own, *fallbacks)
    if effective is None:
        return
    values = [value for value in effective[1] if value.translate(_LOWER) != "'none'"]
    if effective[0] == own:
        effective[1][:] = [*values, source]
    else:
        directives.append((own, [*values, source]))


_SCRIPTS = ("script-src-elem", "script-src", "default-src")


def _nonce_of(directives: list[Directive]) -> str:
    script = _find(directives, *_SCRIPTS)
    found = _NONCE.search(" ".join(script[1])) if script else None
    return found[1] if found else ""


def policies(header: str) -> list[list[Directive]]:
    """A header value or `<meta>` content is a comma-separated list of policies, all in force."""
    return [directives for part in header.split(",") if (directives := parse(part))]


def page_policy(headers: list[str], context: RewriteContext) -> PagePolicy:
    """What the enforced policies of a response (all its header values) mean for the page's own markup."""
    every = [each for header in headers for each in policies(header)]
    nonce = next((found for directives in every if (found := _nonce_of(directives))), "")
    hashed = any(
        name.startswith(("script-src", "style-src", "default-src")) and _HASH.search(" ".join(values))
        for directives in every
        for name, values in directives
    )
    digest = any(_dynamic(directives) and (not nonce or _nonce_of(directives) != nonce) for directives in every)
    return PagePolicy(nonce=nonce, digest=context.guard_digest if digest else "", hashed=bool(hashed))


def _dynamic(directives: list[Directive]) -> bool:
    script = _find(directives, *_SCRIPTS)
    return script is not None and _has(script, "'strict-dynamic'")


def to_suffix(header: str, context: RewriteContext, *, nonce: str = "", enforced: bool = True) -> str:
    """A CSP value (header or `<meta>`) as the browser must get it; `nonce` is the one on our tag.

    A report-only policy (`enforced` False) is opened for the guard as well, for it would report what nobody at the
    application wrote; not by a hash, though, for our tag carries its `integrity` for enforced policies alone.
    """
    mapped, plain = [], context.hosts.is_plain(context.host)
    for directives in policies(header):
        for name, values in directives:
            if name == "report-uri":
                values[:] = [context.hosts.url_to_suffix(value) for value in values]
            elif name in _SOURCES:
                values[:] = [each for value in values for each in map_source(context.hosts, value, plain=plain)]
        if context.inject_guard:
            _let_guard_in(directives, context, nonce, context.guard_digest if enforced else "")
        mapped.append(serialise(directives))
    return ", ".join(mapped)


def _let_guard_in(directives: list[Directive], context: RewriteContext, nonce: str, digest: str) -> None:
    page = f"https://{context.page_host}"
    scripts = _find(directives, *_SCRIPTS)
    own = _nonce_of(directives)
    if scripts is not None and (not own or own != nonce):
        if _dynamic(directives):
            if digest:
                _admit(directives, "script-src-elem", _SCRIPTS[1:], f"'{digest}'")
        elif not _has(scripts, "'self'"):
            _admit(directives, "script-src-elem", _SCRIPTS[1:], f"{page}{GUARD_PATH}")
    connect = _find(directives, "connect-src", "default-src")
    if connect is not None and not _has(connect, "'self'"):
        _admit(directives, "connect-src", ("default-src",), f"{page}{RESERVED_PATH}")
    names = _find(directives, "trusted-types")
    if context.trusted_policy and names is not None and "*" not in names[1]:
        names[1][:] = [*(name for name in names[1] if name.translate(_LOWER) != "'none'"), context.trusted_policy]
