"""Content-Security-Policy: host sources mapped, and the guard let in by the narrowest source there is.

Serialised policies as in CSP Level 3, sections 2.2 and 2.3. A policy never admits more than before except one script,
`https://<page>/.casb/guard.js`, and the reserved path for what it fetches. Policies of other hosts, schemes, hashes,
nonces and keywords stay as they are.
"""

from __future__ import annotations

import re

from casb.rewrite.context import GUARD_PATH, RESERVED_PATH, PagePolicy, RewriteContext
from casb.rewrite.hosts import HostMap, canonical

_SOURCE = re.compile(
    r"(?:(?P<scheme>https?|wss?)://)?(?P<wild>\*\.)?(?P<host>[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)*)\.?(?::(?P<port>[0-9]{1,5}|\*))?(?P<path>/.*)?\Z",
    re.IGNORECASE,
)
_NONCE = re.compile(r"'nonce-([A-Za-z0-9+/_\-]+={0,2})'", re.IGNORECASE)
_HASH = re.compile(r"'sha(?:256|384|512)-", re.IGNORECASE)
_SAFE = {"http": "https", "https": "https", "ws": "wss", "wss": "wss"}
_DEFAULTS = {"https": "443", "wss": "443", "http": "80", "ws": "80", "": "443"}
_NOT_SOURCES = frozenset(
    {"report-to", "sandbox", "plugin-types", "trusted-types", "require-trusted-types-for", "require-sri-for"}
)

type Directive = tuple[str, list[str]]


def parse(policy: str) -> list[Directive]:
    """The directives of one serialised policy; of duplicates the first counts, as in browsers."""
    seen: set[str] = set()
    directives = []
    for part in policy.split(";"):
        words = part.split()
        if words and words[0].lower() not in seen:
            seen.add(words[0].lower())
            directives.append((words[0], words[1:]))
    return directives


def serialise(directives: list[Directive]) -> str:
    return "; ".join(" ".join([name, *values]) for name, values in directives)


def map_source(hosts: HostMap, source: str) -> list[str]:
    """One source expression as the sources that mean the same under the suffix."""
    found = _SOURCE.match(source)
    if found is None or ("." not in found["host"] and not found["scheme"]):
        return [source]
    scheme = (found["scheme"] or "").lower()
    port, path = found["port"] or "", found["path"] or ""
    head = f"{_SAFE[scheme]}://" if scheme else ""
    any_port = port == "*"
    number = "" if any_port or port == _DEFAULTS[scheme] else port
    tail = ":*" if any_port else hosts.port_tail
    if not found["wild"]:
        mapped = hosts.suffix_host(found["host"], number)
        return [source] if mapped is None else [f"{head}{mapped}{tail}{path}"]
    parent = canonical(found["host"])
    if parent is None or not hosts.suffix or (number and number != "80"):
        return [source]
    mapped_wild = f"{head}*.{parent}.{hosts.suffix}{tail}{path}"
    if hosts.wild(parent):
        return [mapped_wild]
    return [source, mapped_wild] if hosts.any_below(parent) else [source]


def _find(directives: list[Directive], *names: str) -> Directive | None:
    for name in names:
        for directive in directives:
            if directive[0].lower() == name:
                return directive
    return None


def _admit(directives: list[Directive], own: str, fallbacks: tuple[str, ...], sources: list[str]) -> None:
    """Add sources to the directive `own`; it is made from the one it falls back to, which itself stays narrow."""
    effective = _find(directives, own, *fallbacks)
    if effective is None:
        return
    if "'self'" in (value.lower() for value in effective[1]) and not _dynamic([effective]):
        return
    values = [value for value in effective[1] if value.lower() != "'none'"]
    if effective[0].lower() == own:
        effective[1][:] = values + sources
    else:
        directives.append((own, values + sources))


def _nonce_of(directives: list[Directive]) -> str:
    script = _find(directives, "script-src-elem", "script-src", "default-src")
    found = _NONCE.search(" ".join(script[1])) if script else None
    return found[1] if found else ""


def policies(header: str) -> list[list[Directive]]:
    """A header value or `<meta>` content is a comma-separated list of policies, all in force."""
    return [directives for part in header.split(",") if (directives := parse(part))]


def page_policy(headers: list[str], context: RewriteContext) -> PagePolicy:
    """What the enforced policies of a response (all its header values) mean for the page's own markup."""
    nonces: list[str] = []
    hashed = digest = False
    for directives in [each for header in headers for each in policies(header)]:
        for name, values in directives:
            if name.lower().startswith(("script-src", "style-src", "default-src")):
                hashed = hashed or bool(_HASH.search(" ".join(values)))
        if nonce := _nonce_of(directives):
            nonces.append(nonce)
        elif _dynamic(directives):
            digest = True
    return PagePolicy(nonce=nonces[0] if nonces else "", digest=context.guard_digest if digest else "", hashed=hashed)


def _dynamic(directives: list[Directive]) -> bool:
    script = _find(directives, "script-src-elem", "script-src", "default-src")
    return script is not None and "'strict-dynamic'" in (value.lower() for value in script[1])


def to_suffix(header: str, context: RewriteContext, *, nonce: str = "", enforced: bool = True) -> str:
    """A CSP value as the browser must get it.

    `nonce` is the one on our tag; a report-only policy (`enforced` False) is mapped and not opened for the guard.
    """
    mapped = []
    for directives in policies(header):
        for name, values in directives:
            if name.lower() == "report-uri":
                values[:] = [context.hosts.url_to_suffix(value) for value in values]
            elif name.lower() not in _NOT_SOURCES:
                values[:] = [each for value in values for each in map_source(context.hosts, value)]
        if enforced and context.inject_guard:
            _let_guard_in(directives, context, nonce)
        mapped.append(serialise(directives))
    return ", ".join(mapped)


def _let_guard_in(directives: list[Directive], context: RewriteContext, nonce: str) -> None:
    page = f"https://{context.page_host}"
    own = _nonce_of(directives)
    if not own or own != nonce:
        source = f"{page}{GUARD_PATH}"
        if _dynamic(directives):
            source = f"'{context.guard_digest}'" if context.guard_digest else source
        _admit(directives, "script-src-elem", ("script-src", "default-src"), [source])
    _admit(directives, "connect-src", ("default-src",), [f"{page}{RESERVED_PATH}"])
