"""Hosts that a page asks for and that no app owns (reference/session-control.md S43, S44): noticing and refusing them.

The browser itself does both. A page of an app that learns gets a second policy, report-only, which names every host
that stays in session control; what lies outside is reported with page, directive and host. Where unknown hosts are
denied the policy is enforced. Policies are a conjunction (CSP Level 3, section 3.3): ours can only take away.

What a policy cannot say: it does not stop a person from following a link to an unknown host, or a script from sending
the whole window there. In the forward mode the tunnel to an unknown host does not tell which page asked for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from casb.catalog.match import Catalog
from casb.hostname import is_address, normal_host
from casb.model.app import App, AppTag
from casb.rewrite.hosts import HostMap

REPORT_PATH = "/.casb/unknown-host"
LONGEST = 16 * 1024
"""Bytes of a report."""
MOST_NAMES = 100
"""Host names in a policy, outside the suffix mode; with more controlled hosts than that only the app's own stand."""
HTML = frozenset({"text/html", "application/xhtml+xml", "image/svg+xml"})
WORKERS = frozenset({"worker", "sharedworker", "serviceworker"})
_LOCAL = "data: blob: filesystem: mediastream: 'unsafe-inline' 'unsafe-eval' 'unsafe-hashes' 'wasm-unsafe-eval'"

_KINDS = {
    "img-src": "image",
    "script-src": "script",
    "script-src-elem": "script",
    "script-src-attr": "script",
    "worker-src": "script",
    "style-src": "style",
    "style-src-elem": "style",
    "style-src-attr": "style",
    "connect-src": "connect",
    "font-src": "font",
    "media-src": "media",
    "frame-src": "frame",
    "child-src": "frame",
    "object-src": "object",
    "manifest-src": "manifest",
    "form-action": "form",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A host that a page asked for. `owner` is the app that owns it: then a request has left session control."""

    host: str
    page: str
    kind: str
    owner: str = ""


def header_of(app: App, hosts: HostMap, catalog: Catalog, *, page: str, suffixed: bool) -> tuple[str, str] | None:
    """The field to add to a page of the app at authority `page`; None where unknown hosts pass."""
    if app.unknown_hosts not in ("learn", "deny"):
        return None
    inside = _suffix_sources(hosts) if suffixed else _own_sources(app, catalog)
    value = f"default-src 'self' {inside} {_LOCAL}; form-action 'self' {inside}; report-uri https://{page}{REPORT_PATH}"
    denied = app.unknown_hosts == "deny"
    return ("content-security-policy" if denied else "content-security-policy-report-only"), value


def _suffix_sources(hosts: HostMap) -> str:
    authority = f"*.{hosts.suffix}{hosts.port_tail}"
    return f"https://{authority} wss://{authority}"


def _own_sources(app: App, catalog: Catalog) -> str:
    names = [
        name
        for each in catalog.apps
        if each.controlled and each.tag is not AppTag.UNSANCTIONED
        for name in each.domains
    ]
    names = names if len(names) <= MOST_NAMES else list(app.domains)
    return " ".join(f"https://{name} wss://{name}" for name in dict.fromkeys(names) if ":" not in name)


def concerns(content_type: str, destination: str) -> bool:
    """Whether a response governs what is asked for from then on: a document, or a worker's script."""
    return content_type in HTML or destination in WORKERS


def sighting(body: bytes, hosts: HostMap, catalog: Catalog, page_host: str) -> Sighting | None:
    """What a browser's report says (`application/csp-report`); None when it is none, or names no host.

    The host and the page's path are all that is kept of it: neither queries nor what the page's script has made up.
    """
    if len(body) > LONGEST:
        return None
    try:
        report = json.loads(body)
        told = report["csp-report"]
        blocked, page = told["blocked-uri"], told.get("document-uri", "")
        directive = told.get("effective-directive") or told.get("violated-directive") or ""
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not all(isinstance(each, str) for each in (blocked, page, directive)):
        return None
    host = _host(blocked)
    if host is None or is_address(host) or "." not in host or host.endswith(f".{hosts.suffix or 'invalid'}"):
        return None
    owner = catalog.match(host)
    return Sighting(
        host=host,
        page=f"{page_host}{_path(page)}",
        kind=_KINDS.get(directive.split(" ")[0], "other"),
        owner=owner.id if owner and owner.controlled else "",
    )


def _host(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        return normal_host(parts.hostname or "") if parts.scheme in ("http", "https", "ws", "wss") else None
    except ValueError:
        return None


def _path(url: str) -> str:
    try:
        path = urlsplit(url).path
    except ValueError:
        return "/"
    return "".join(c for c in path[:200] if c.isprintable()) or "/"


def unowned[T](rows: Iterable[tuple[str, T]], catalog: Catalog) -> list[T]:
    """Of rows by host, those whose host belongs to no app now."""
    return [row for host, row in rows if catalog.match(host) is None]
