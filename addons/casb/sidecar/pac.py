"""The proxy auto-configuration file: only controlled and tagged hosts go through the forward proxy. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from casb.catalog.tagging import ENFORCED, TagList
from casb.model.app import App, AppTag
from casb.settings import Settings

MEDIA_TYPE = "application/x-ns-proxy-autoconfig"


def pac_file(settings: Settings, apps: Iterable[App], *, host: str, tags: TagList | None = None) -> str:
    """The file for browsers that reach us as `host`; it stands in for a forward listener on all addresses.

    Everything that is not listed goes direct. A proxy that is away takes its hosts with it: no DIRECT behind it, for
    that would be the way around the control. Of two entries that hold, the longer one counts; 0 is direct.
    """
    exact: dict[str, int] = {}
    below: dict[str, int] = {}

    def put(pattern: str, through: int) -> None:
        if "/" not in pattern:
            (below if pattern.startswith("*.") else exact)[pattern.removeprefix("*.")] = through

    for tagged in tags.apps if tags is not None else ():
        for pattern in tagged.domains:
            put(pattern, int(tagged.tag in ENFORCED))
    for pattern in tags.protected if tags is not None else ():
        put(pattern, 0)
        if pattern.startswith("*."):  # nothing below it is blocked, however it is tagged
            for names in (exact, below):
                names |= {name: 0 for name in names if name.endswith(pattern[1:])}
    for app in apps:
        if app.controlled or app.tag is AppTag.UNSANCTIONED:
            for domain in app.domains:
                put(domain, 1)
    proxy = f"PROXY {_address(settings.listeners.forward or '', host)}" if settings.listeners.forward else "DIRECT"
    return f"""// Which hosts go through casb. Made from the configuration and the tags; changes with them.
var exact = {_lookup(exact)};
var below = {_lookup(below)};
function way(through) {{
  if (!through) return "DIRECT";
  return {json.dumps(proxy)};
}}
function FindProxyForURL(url, host) {{
  host = host.toLowerCase().replace(/\\.$/, "");
  if (exact.hasOwnProperty(host)) return way(exact[host]);
  for (var dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) {{
    var parent = host.substring(dot + 1);
    if (below.hasOwnProperty(parent)) return way(below[parent]);
  }}
  return "DIRECT";
}}
"""


def _address(listener: str, host: str) -> str:
    address, _, port = listener.rpartition(":")
    everywhere = address.strip("[]") in ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
    name = (f"[{host}]" if ":" in host else host) if everywhere else address
    return f"{name}:{port}"


def _lookup(names: Mapping[str, int]) -> str:
    return json.dumps(dict(sorted(names.items())))
