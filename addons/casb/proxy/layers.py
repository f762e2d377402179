"""What a forward-proxy client may speak inside CONNECT besides TLS."""

from __future__ import annotations

import logging

from mitmproxy.addons import next_layer
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import layers, mode_specs
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.layers.http import HTTPMode

from casb.control.routes import Kind
from casb.proxy.enforcement import address_of
from casb.proxy.runtime import Runtime
from casb.proxy.tunnels import CountedTunnel, begin

logger = logging.getLogger(__name__)


class NextLayer(next_layer.NextLayer):
    """Replaces mitmproxy's addon of the same name.

    Without TLS, a tunnel to somebody else's host carries whatever it carries, untouched; a controlled host gets HTTP
    only, which the gateway then refuses for want of TLS. TLS itself is decided on in `tls_clienthello`.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def _next_layer(self, context: Context, data_client: bytes, data_server: bytes) -> Layer | None:
        connected = isinstance(context.client.proxy_mode, mode_specs.RegularMode) and any(
            isinstance(layer, layers.HttpLayer) and layer.mode is HTTPMode.regular for layer in context.layers
        )
        if not connected or context.client.tls or isinstance(context.layers[-1], modes.HttpProxy):
            return super()._next_layer(context, data_client, data_server)
        if len(data_client) < 3 and b"\x16\x03\x01".startswith(data_client):
            return None  # Not enough to tell.
        if starts_like_tls_record(data_client):
            return super()._next_layer(context, data_client, data_server)
        host, port = (context.server.address or ("", 0))[:2]
        ip = address_of(context.client)
        if self.runtime.route(host.lower().rstrip("."), port, forward=True, ip=ip).kind is Kind.TUNNEL:
            self.runtime.counters["tunnels"] += 1
            begin(context.client, host.lower().rstrip("."))
            return CountedTunnel(context, ignore=True)
        return layers.HttpLayer(context, HTTPMode.transparent)
