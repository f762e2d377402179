"""The way in: which app an exchange belongs to. Suffixed host in, real host out; other people's hosts stay closed.

First hook of every exchange. What passes it has a `State` with a route; everything else is answered here.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import logging
from collections.abc import Awaitable

from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.proxy import mode_specs, server_hooks

from casb.control.pages import error_page, redirect
from casb.control.routes import Kind, Route
from casb.proxy import enforcement, translate
from casb.proxy.enforcement import PAGE_ONLY, address_of
from casb.proxy.faults import log_fault
from casb.proxy.incidents import incident
from casb.proxy.runtime import Runtime
from casb.proxy.sealed import sealed

logger = logging.getLogger(__name__)


class Gateway:
    """Routes exchanges and guards where we connect to."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    @sealed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Find the route; refuse what is malformed or leads nowhere."""
        client = flow.client_conn
        forward = isinstance(client.proxy_mode, mode_specs.RegularMode)
        authority = _authority(flow.request, 443 if client.tls else 80)
        if authority is None:
            return self._stop(flow, 400, "Bad request", "The request names no host, or more than one.")
        host, port = authority
        if not client.tls:
            return self._plain(flow, host, port, forward)
        found: Route | None = getattr(client, "casb_route", None)
        if found is None:
            raise LookupError("TLS without a route")
        if host != found.host:
            return self._stop(
                flow, 421, "Misdirected request", "The request's host is not the one this connection was made for."
            )
        if found.mode == "host" and port != found.port:
            # The app's own name on whatever port the browser came by: known from the request only.
            found = self.runtime.route(host, port, forward=False, ip=address_of(client))
            client.casb_route = found  # type: ignore[attr-defined]
        if found.version != self.runtime.version or found.kind in PAGE_ONLY:
            found = self._again(client, found, forward)
        state = self._attach(flow, found)
        match found.kind:
            case Kind.LOGIN | Kind.APP | Kind.DEVICE:
                return None
            case Kind.UNSANCTIONED | Kind.MONITORED:
                return enforcement.answer(self.runtime, flow, state)
            case Kind.TUNNEL:
                return enforcement.reconnect(flow)
            case _:
                return self._stop(flow, 404, "Not here", "No application is reached under this name any more.")

    def _again(self, client: Client, found: Route, forward: bool) -> Route:
        """The configuration or the tags changed under a live connection, or somebody went on past a warning."""
        fresh = self.runtime.route(found.host, found.port, forward=forward, ip=address_of(client))
        client.casb_route = fresh  # type: ignore[attr-defined]
        return fresh

    def _attach(self, flow: http.HTTPFlow, found: Route) -> translate.State:
        fields = translate.request_fields(flow.request)
        facts = translate.request_facts(flow.request, fields, host=found.origin or found.host)
        state = translate.State(snapshot=self.runtime.snapshot, route=found, fields=fields, facts=facts)
        state.seal = self.runtime.keyring
        state.asked_path = flow.request.path
        translate.attach(flow, state)
        return state

    def _plain(self, flow: http.HTTPFlow, host: str, port: int, forward: bool) -> None:
        """Without TLS nothing of a controlled app is served: the browser is sent to https."""
        ip = address_of(flow.client_conn)
        if not forward:
            found = self.runtime.route(host, self.runtime.snapshot.settings.port, forward=False, ip=ip)
        else:
            found = self.runtime.route(host, 443 if port == 80 else port, forward=True, ip=ip)
        self._attach(flow, found)
        if found.kind is Kind.TUNNEL:
            self.runtime.counters["plain_passed"] += 1
            state = translate.state_of(flow)
            if state is not None:
                state.ours = True  # not controlled: passed as it is
            flow.request.stream = True
            return None
        if found.kind in PAGE_ONLY:
            state = translate.state_of(flow)
            if state is None:
                raise LookupError("exchange without a route")
            return enforcement.answer(self.runtime, flow, state)
        if found.kind is Kind.NOTHING:
            return self._stop(flow, 404, "Not here", "No application is reached under this name.")
        if flow.request.method in ("GET", "HEAD"):
            return translate.answer(flow, redirect(f"https://{found.authority}{flow.request.path}"))
        return self._stop(flow, 403, "Encryption needed", "Controlled applications are only reached over https.")

    def _stop(self, flow: http.HTTPFlow, status: int, title: str, text: str) -> None:
        state = translate.state_of(flow)
        peer = flow.client_conn.peername
        identifier = incident(
            self.runtime,
            code=f"gateway.{status}",
            fact=text,
            ip=peer[0] if peer else "",
            app=state.route.app if state else None,
            facts=state.facts if state else None,
        )
        page = error_page(status, title, text, identifier, facts=state.facts if state else None)
        translate.refuse(flow, "requestheaders", page)

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> Awaitable[None] | None:
        """Before any connection outwards: addresses that no admin named must be public ones (SSRF)."""
        try:
            found: Route | None = getattr(data.client, "casb_route", None)
            if found is not None and found.explicit and data.server.address == found.address:
                return None
            return self._check_address(data)
        except Exception:
            log_fault(logger, "connection refused")
            data.server.error = "refused by casb: address could not be checked"
            return None

    async def _check_address(self, data: server_hooks.ServerConnectionHookData) -> None:
        try:
            if data.server.address is None:
                raise LookupError("no address")
            host, port = data.server.address[:2]
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host, port)
            addresses = {ipaddress.ip_address(info[4][0]) for info in found}
            client = ipaddress.ip_address(data.client.peername[0])
            tunnelled = getattr(data.client, "casb_route", None)
            is_tunnel = tunnelled is None or tunnelled.kind is Kind.TUNNEL
            for address in addresses:
                if not _allowed(address, client, is_tunnel):
                    data.server.error = "refused by casb: address not allowed"
            if port in self._own_ports() and any(address.is_loopback for address in addresses):
                data.server.error = "refused by casb: address not allowed"
        except OSError as error:
            data.server.error = f"name not found: {error}"
        except Exception:
            log_fault(logger, "connection refused")
            data.server.error = "refused by casb: address could not be checked"

    def _own_ports(self) -> set[int]:
        listeners = self.runtime.snapshot.settings.listeners
        return {int(each.rpartition(":")[2]) for each in (listeners.sidecar, listeners.health) if each}


type Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _allowed(address: Address, client: Address, is_tunnel: bool) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if address.is_loopback:
        # A client on this machine can reach loopback without us.
        return is_tunnel and client.is_loopback
    return is_tunnel or address.is_global


def _authority(request: http.Request, default_port: int) -> tuple[str, int] | None:
    """Host and port as the browser names them; None when missing, ambiguous or malformed (RFC 9112 section 3.2)."""
    values = [value for name, value in request.headers.fields if name.lower() == b"host"]
    if request.data.authority:
        values.append(request.data.authority)
    if not values:
        return None
    if len(values) > 1 and len({value.lower() for value in values}) != 1:
        return None
    found = _parsed(values[0])
    return found and (found[0], default_port if found[1] is None else found[1])


@functools.lru_cache(4096)
def _parsed(value: bytes) -> tuple[str, int | None] | None:
    """An authority as host and port, which may be missing; None when malformed."""
    try:
        text = value.decode("ascii").lower()
    except UnicodeDecodeError:
        return None
    if not text or any(c in text for c in " /\\@?#,\t\0"):
        return None
    host, port = text, ""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif ":" in text:
        host, _, port = text.partition(":")
    if port and not (port.isdigit() and len(port) < 6):
        return None
    return host.rstrip("."), int(port) if port else None
