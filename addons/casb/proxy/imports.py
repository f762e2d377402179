"""What a worker does not import: mitmproxy's default addons, and with them a web server, LDAP and a parser kit.

`from mitmproxy.addons import …` imports every addon of mitmproxy first, for a user interface that no worker has: more
than a second of a start. The package stands here as an empty one whose modules are imported one by one; whoever asks
for `default_addons` still gets them.

`CASB_PLAIN_CORE=1` leaves mitmproxy's own package in place.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

PACKAGE = "mitmproxy.addons"


class _Addons(ModuleType):
    """`mitmproxy.addons` until somebody wants all of them."""

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        if name != "default_addons" or spec is None or spec.loader is None:
            raise AttributeError(f"module {PACKAGE!r} has no attribute {name!r}")
        spec.loader.exec_module(self)
        return self.__dict__[name]


def skip_default_addons() -> bool:
    """Put the empty package in place; False when mitmproxy's own is there already, or is wanted."""
    if PACKAGE in sys.modules or os.environ.get("CASB_PLAIN_CORE") == "1":
        return False
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        return False
    package = _Addons(PACKAGE)
    package.__spec__, package.__loader__, package.__file__ = spec, spec.loader, spec.origin
    package.__path__ = list(spec.submodule_search_locations)
    package.__package__ = PACKAGE
    sys.modules[PACKAGE] = package
    importlib.import_module("mitmproxy").addons = package  # type: ignore[attr-defined]
    return True
