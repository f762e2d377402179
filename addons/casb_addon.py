"""What `mitmdump -s addons/casb_addon.py` loads: session control inside a mitmproxy started by hand, for development.

    CASB_CONFIG=policies mitmdump -s addons/casb_addon.py --mode reverse:http://casb.invalid:1@127.0.0.1:8443 \\
        --set connection_strategy=lazy --set keep_host_header=true

mitmproxy reloads a script that changes and, when the new text is broken, goes on without it: open. Production starts
with `casb proxy`, which loads no script.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mitmproxy import ctx

from casb.proxy import master, stream, worker
from casb.proxy.layers import NextLayer
from casb.proxy.reload import Folder, Reload, read
from casb.proxy.tls import TlsConfig


class Refuse:
    """Stops mitmproxy when an option would undo session control."""

    def configure(self, updated: set[str]) -> None:
        """Look at the options again."""
        master.refuse_unsafe(ctx.options)


def build() -> list[Any]:
    """Our addons; those that replace one of mitmproxy's come before it under another name."""
    folder = Path(os.environ.get("CASB_CONFIG", "policies")).resolve()
    snapshot = read(folder)
    runtime, _spool = worker.build_runtime(snapshot, Path(snapshot.settings.data))
    stream.install()
    tls, layers = TlsConfig(runtime), NextLayer(runtime)
    tls.name, layers.name = "casb_tls", "casb_layers"  # type: ignore[attr-defined]
    tls.load = lambda loader: None  # type: ignore[method-assign]
    return [Refuse(), layers, tls, *master.addons(runtime), Reload(runtime, Folder(folder))]


addons = build() if "CASB_CONFIG" in os.environ else []
