"""Tunnels, counted: how many bytes went which way to a host that is not ours. Their content is never looked at.

mitmproxy relays a tunnel without telling anybody how much passed. `CountedTunnel` stands in for its relaying layer,
also inside `mitmproxy.proxy.layers.tls`, which makes that layer itself when a TLS connection is to be left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import orjson
from mitmproxy import connection
from mitmproxy.proxy import events
from mitmproxy.proxy.layers import tcp, tls

from casb.errors import StoreError
from casb.model.record import rfc3339
from casb.proxy.ids import ulid
from casb.proxy.runtime import Runtime, now
from casb.store.spool import Spool

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Tunnel:
    """One tunnel: from when, to where, how much. Bytes as they pass, TLS and all."""

    host: str
    ip: str
    began: datetime = field(default_factory=now)
    up: int = 0
    down: int = 0


def begin(client: connection.Client, host: str) -> None:
    """A tunnel to `host` opens on this connection."""
    address = client.peername[0] if client.peername else ""
    client.casb_tunnel = Tunnel(host=host, ip=address)  # type: ignore[attr-defined]


class CountedTunnel(tcp.TCPLayer):
    """Relays and counts."""

    def relay_messages(self, event: events.Event) -> Any:
        """As in the base class."""
        if isinstance(event, events.DataReceived):
            tunnel: Tunnel | None = getattr(self.context.client, "casb_tunnel", None)
            if tunnel is not None:
                if event.connection is self.context.server:
                    tunnel.down += len(event.data)
                else:
                    tunnel.up += len(event.data)
        return super().relay_messages(event)


def count_tunnels() -> None:
    """From now on mitmproxy's TLS layer leaves connections alone by way of `CountedTunnel`."""
    vars(tls)["tcp"] = SimpleNamespace(TCPLayer=CountedTunnel)


class Tunnels:
    """The addon that tells of a tunnel when it is over."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def client_disconnected(self, client: connection.Client) -> None:
        """Tell, once. What cannot be told is counted: a tunnel that is over can no longer be refused."""
        tunnel: Tunnel | None = getattr(client, "casb_tunnel", None)
        if tunnel is None:
            return
        client.casb_tunnel = None  # type: ignore[attr-defined]
        try:
            self.runtime.tunnelled(tunnel.host, tunnel.ip, tunnel.began, tunnel.up, tunnel.down)
        except StoreError as error:
            self.runtime.counters["tunnels_untold"] += 1
            logger.error("tunnel not counted reason=%s", error.code)


def spool_tunnels(spool: Spool) -> Callable[[str, str, datetime, int, int], None]:
    """A `runtime.Tunnelled` that returns when the spool has the line; raises `StoreError` when it has not."""

    def tell(host: str, ip: str, began: datetime, up: int, down: int) -> None:
        line = {
            "kind": "traffic",
            "id": ulid(),
            "time": rfc3339(began),
            "host": host,
            "ip": ip,
            "bytes_up": up,
            "bytes_down": down,
        }
        spool.append(orjson.dumps(line))

    return tell
