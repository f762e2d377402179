"""One worker: mitmproxy's core with our addons and nothing else.

The default addons of mitmproxy cost two fifths of its time and serve its user interface; none of them is loaded.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from mitmproxy import options
from mitmproxy.addons import proxyserver
from mitmproxy.master import Master

from casb.proxy import heads, levers, messages, patience, pooling, siblings, stream, taking
from casb.proxy.coaching import Coaching
from casb.proxy.control import Control
from casb.proxy.controls import Controls
from casb.proxy.endpoints import Endpoints
from casb.proxy.gateway import Gateway
from casb.proxy.layers import NextLayer
from casb.proxy.learning import Learning
from casb.proxy.notices import Notices
from casb.proxy.preamble import Gate
from casb.proxy.record import Recorder
from casb.proxy.recorded import FlowLog
from casb.proxy.rewriting import Inward, Outward
from casb.proxy.runtime import Runtime
from casb.proxy.saml_check import SamlCheck
from casb.proxy.sessions import Sessions
from casb.proxy.socket_uploads import SocketUploads
from casb.proxy.tls import TlsConfig
from casb.proxy.tunnels import Tunnels, count_tunnels
from casb.proxy.waiting import Waiting
from casb.settings import RECORD_FLOWS

logger = logging.getLogger(__name__)

UNDOING = ("stream_large_bodies", "ssl_insecure", "ignore_hosts", "allow_hosts", "tcp_hosts")
"""Options of mitmproxy that would pass traffic around us (house.md section 7)."""


class UnsafeOption(Exception):
    """An option is set that would undo session control."""


def addons(runtime: Runtime) -> list[Any]:
    """Our addons in the order in which they see an exchange."""
    notices = Notices(runtime.sessions)
    sessions = Sessions(runtime)
    waiting = Waiting(runtime.sessions)
    coaching = Coaching(runtime)
    control = Control(runtime, notices, waiting, coaching)
    learning = Learning(runtime)
    controls = Controls(runtime)
    chain: list[Any] = [
        Gateway(runtime),
        sessions,
        Endpoints(runtime, sessions, notices, waiting, learning, controls, coaching),
        siblings.Before(runtime),
        Inward(runtime),
        SamlCheck(runtime),
        control,
        Outward(runtime),
        controls,
        siblings.After(runtime),
        learning,
        messages.Messages(runtime, SocketUploads(runtime, lambda: control.uploads)),
        taking.Working(),
        Recorder(runtime, control),
        Tunnels(runtime),
        patience.Patience(runtime),
    ]
    flows = os.environ.get(RECORD_FLOWS) or runtime.snapshot.settings.record_flows
    if flows:
        chain.append(FlowLog(flows))
    return chain


def refuse_unsafe(chosen: Any) -> None:
    """Raise when an option would undo us."""
    for name in UNDOING:
        if name in chosen and getattr(chosen, name):
            raise UnsafeOption(f"mitmproxy's option {name} lets traffic pass unexamined: it must not be set")


def build(runtime: Runtime) -> Master:
    """A master ready to run, listening where the settings say."""
    levers.pull()
    levers.share_port(Gate(runtime).before)
    stream.install()
    count_tunnels()
    messages.install()
    pooling.install(lambda: runtime.snapshot.settings.limits.upstream_pool)
    heads.install(lambda: runtime.snapshot.settings.limits.head)
    patience.install()
    listeners = runtime.snapshot.settings.listeners
    modes = [f"reverse:http://casb.invalid:1@{_listen(listeners.reverse)}"]
    if listeners.forward:
        modes.append(f"regular@{_listen(listeners.forward)}")
    chosen = options.Options(mode=modes, upstream_cert=False, rawtcp=True, websocket=True)
    master = Master(chosen)
    master.addons.add(
        proxyserver.Proxyserver(),
        NextLayer(runtime),
        TlsConfig(runtime),
        *addons(runtime),
    )
    master.options.update(
        connection_strategy="lazy",
        keep_host_header=True,
        validate_inbound_headers=True,
        tcp_timeout=600,
    )
    refuse_unsafe(master.options)
    return master


def _listen(address: str) -> str:
    """`address:port` as mitmproxy's mode syntax writes it."""
    host, _, port = address.rpartition(":")
    return f"{host.strip('[]')}:{port}" if host else port
