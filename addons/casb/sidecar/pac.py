"""The proxy auto-configuration file: only controlled and unsanctioned hosts go through the forward proxy. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable

from casb.model.app import App, AppTag
from casb.settings import Settings

MEDIA_TYPE = "application/x-ns-proxy-autoconfig"


def pac_file(settings: Settings, apps: Iterable[App], *, host: str) -> str:
    """The file for browsers that reach us as `host`; it stands in for a forward listener on all addresses.

    Everything that is not listed goes direct. A proxy that is away takes its hosts with it: no DIRECT behind it, for
    that would be the way around the control.
    """
    exact: set[str] = set()
    below: set[str] = set()
    for app in apps:
        if app.controlled or app.tag is AppTag.UNSANCTIONED:
            for domain in app.domains:
                (below if domain.startswith("*.") else exact).add(domain.removeprefix("*."))
    proxy = f"PROXY {_address(settings.listeners.forward or '', host)}" if settings.listeners.forward else "DIRECT"
    return f"""// Which hosts go through casb. Made from the configuration; changes with it.
var exact = {_lookup(exact)};
var below = {_lookup(below)};
function FindProxyForURL(url, host) {{
  host = host.toLowerCase().replace(/\\.$/, "");
  if (exact.hasOwnProperty(host)) return {json.dumps(proxy)};
  for (var dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1))
    if (below.hasOwnProperty(host.substring(dot + 1))) return {json.dumps(proxy)};
  return "DIRECT";
}}
"""


def _address(listener: str, host: str) -> str:
    address, _, port = listener.rpartition(":")
    everywhere = address.strip("[]") in ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
    name = (f"[{host}]" if ":" in host else host) if everywhere else address
    return f"{name}:{port}"


def _lookup(names: Iterable[str]) -> str:
    return json.dumps(dict.fromkeys(sorted(names), 1))
