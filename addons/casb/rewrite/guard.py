"""The script that runs first in every page, frame and worker: the parts of `page/` in order, with this deployment's
names put in. Pure; cache it per snapshot."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from casb.model.app import View
from casb.rewrite.context import GUARD_PATH
from casb.rewrite.hosts import HostMap
from casb.rewrite.script import is_module
from casb.rewrite.sites import is_public_suffix

PARTS = (
    "boot", "names", "network", "anonymous", "cookies", "places", "markup", "frames", "report", "notices", "last",
)  # fmt: skip
"""Files of `page/` in their order: `boot` gives what all use, `last` puts every part into the realm."""

# Comments that fill whole lines, empty lines, indents: nothing that a line of script begins with.
_COMMENTS = re.compile(r"^[ \t]*(?://[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)?[ \t]*\n|^[ \t]+", re.MULTILINE)


CONTROLS = ("controls", "clipboard", "drags", "printing", "saves", "watermark")
"""Files that only go where a policy is about the clipboard, printing or downloads; they come before `last`."""


@cache
def _template(controls: bool) -> str:
    folder = files("casb.rewrite").joinpath("page")
    names = (*PARTS[:-1], *CONTROLS, PARTS[-1]) if controls else PARTS
    parts = "".join(folder.joinpath(f"{name}.js").read_text("utf-8") for name in names)
    return f'(function casb(config) {{\n"use strict";\n{_COMMENTS.sub("", parts)}}})'


def guard_script(hosts: HostMap, login: str = "", view: View = View.SUFFIX, *, controls: bool = False) -> bytes:
    """What `/.casb/guard.js` answers, as `text/javascript; charset=utf-8`.

    `login` is the sign-in authority (`host[:port]`) when it does not lie under the suffix; `view` is that of the app
    whose pages load it; `controls` puts in what controls copying, pasting and printing.
    """
    config = {
        "suffix": hosts.suffix,
        "port": hosts.port_tail.removeprefix(":"),
        "flat": hosts.flat,
        "login": login,
        "view": view.value,
        "exact": sorted(hosts.exact),
        "parents": sorted(hosts.parents),
        "plain": sorted(name for name in hosts.exact if hosts.is_plain(name)),
        "plain_parents": sorted(name for name in hosts.parents if hosts.is_plain(f"_.{name}")),
        "public": _public(hosts),
    }
    text = json.dumps(config, separators=(",", ":"), ensure_ascii=True)
    return f"{_template(controls)}({text});\n".encode()


def _public(hosts: HostMap) -> list[str]:
    """Parents of our names that are nobody's own (`co.uk`): no cookie may be shared below them."""
    parents: set[str] = set()
    for name in hosts.exact | hosts.parents:
        labels = name.partition(":")[0].split(".")
        parents |= {".".join(labels[at:]) for at in range(1, len(labels))}
    return sorted(each for each in parents if "." in each and is_public_suffix(each))


def guard_digest(script: bytes) -> str:
    """The script's hash as a CSP source and as an `integrity` value (without quotes)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script).digest()).decode()


def worker_prologue(script: bytes) -> Callable[[bytes], bytes]:
    """What goes in front of a worker's own script (`Sec-Fetch-Dest: worker`, `sharedworker`, `serviceworker`).

    A script that imports is a module: the guard is imported before its other imports run. Any other gets the whole
    text, which a classic worker and a module worker run alike, without a further request.
    """

    def prologue(source: bytes) -> bytes:
        return f'import "{GUARD_PATH}";'.encode() if is_module(source) else script

    return prologue
