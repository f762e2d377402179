"""The script that runs in every page: `guard.js` with this deployment's names put in. Pure; cache it per snapshot."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files

from casb.rewrite.hosts import HostMap

_PLACE = "/*CASB_CONFIG*/ null"


@cache
def _template() -> str:
    text = files("casb.rewrite").joinpath("guard.js").read_text("utf-8")
    if text.count(_PLACE) != 1:
        raise ValueError("guard.js must have exactly one place for its configuration")
    return text


def guard_script(hosts: HostMap, login: str = "") -> bytes:
    """What `/.casb/guard.js` answers, as `text/javascript; charset=utf-8`.

    `login` is the sign-in authority (`host[:port]`) when it does not lie under the suffix.
    """
    config = {
        "suffix": hosts.suffix,
        "port": hosts.port_tail.removeprefix(":"),
        "login": login,
        "exact": sorted(hosts.exact),
        "parents": sorted(hosts.parents),
    }
    text = json.dumps(config, separators=(",", ":"), ensure_ascii=True)
    return _template().replace(_PLACE, text).encode()


def guard_digest(script: bytes) -> str:
    """The script's hash as a CSP source and as an `integrity` value (without quotes)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script).digest()).decode()
