"""TLS on both sides: a certificate of our own authority towards browsers, the app's own trust towards origins.

Towards the browser a certificate names exactly the host that was asked for, and only hosts that a route leads to get
one; any other name is refused in the handshake. Towards an origin the name checked is the app's own, whatever address
the admin told us to connect to.
"""

from __future__ import annotations

import ipaddress
import logging
from typing import Any

from cachetools import LRUCache
from mitmproxy import connection, ctx, tls
from mitmproxy.addons import tlsconfig
from mitmproxy.certs import CertStoreEntry
from mitmproxy.net import tls as net_tls
from mitmproxy.proxy import mode_specs
from OpenSSL import SSL, crypto

from casb.control.routes import Kind, Route
from casb.proxy.enforcement import PAGE_ONLY, address_of, handshake_failed
from casb.proxy.faults import log_fault
from casb.proxy.runtime import Runtime
from casb.proxy.tunnels import begin

logger = logging.getLogger(__name__)

_CIPHERS = tuple(
    "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 "
    "ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305".split()
)


_fresh_context = net_tls.create_client_proxy_context.__wrapped__  # not the cached one: ours hold a certificate


class TlsConfig(tlsconfig.TlsConfig):
    """Replaces mitmproxy's addon of the same name."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._contexts: LRUCache[int, tuple[CertStoreEntry, SSL.Context]] = LRUCache(1024)

    def configure(self, updated: Any) -> None:
        """Nothing of mitmproxy's certificate store is used."""

    def request(self, flow: Any) -> None:
        """No CRL is served on other people's hosts."""

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """Decide whether to open the connection at all."""
        data.establish_server_tls_first = False
        forward = isinstance(data.context.client.proxy_mode, mode_specs.RegularMode)
        try:
            found = self._route(data, forward)
        except Exception:
            log_fault(logger, "no route, connection refused")
            found = None
        data.context.client.casb_route = found  # type: ignore[attr-defined]
        if found is not None and found.kind is Kind.TUNNEL:
            data.ignore_connection = True
            begin(data.context.client, found.host)
            self.runtime.counters["tunnels"] += 1

    def _route(self, data: tls.ClientHelloData, forward: bool) -> Route:
        sni = (data.client_hello.sni or "").lower().rstrip(".")
        address = data.context.server.address
        if not forward or address is None:
            ip = address_of(data.context.client)
            return self.runtime.route(sni, self.runtime.snapshot.settings.port, forward=False, ip=ip)
        asked, ip = address[0].lower().rstrip("."), address_of(data.context.client)
        by_name = self.runtime.route(sni, address[1], forward=True, ip=ip) if sni else None
        # A controlled host stays controlled when it is reached by address or under another name in CONNECT.
        if by_name is not None and by_name.kind is not Kind.TUNNEL:
            return by_name
        return self.runtime.route(asked, address[1], forward=True, ip=ip)

    def tls_failed_client(self, data: tls.TlsData) -> None:
        """Record who never got to see the page of a tagged app."""
        try:
            handshake_failed(self.runtime, data.context.client)
        except Exception:
            log_fault(logger, "attempt not recorded")

    def tls_start_client(self, data: tls.TlsData) -> None:
        """Show a certificate for the host, or none: then mitmproxy fails the handshake."""
        if data.ssl_conn is not None:
            return
        try:
            self._start_client(data)
        except Exception:
            data.ssl_conn = None
            log_fault(logger, "no certificate, connection refused")

    def _start_client(self, data: tls.TlsData) -> None:
        found: Route | None = getattr(data.context.client, "casb_route", None)
        if found is None or found.kind in (Kind.NOTHING, Kind.TUNNEL):
            self.runtime.counters["tls_refused"] += 1
            return
        entry = self.runtime.authority.leaf(found.host)
        asking = found.kind is Kind.DEVICE
        ssl = SSL.Connection(self._asking_context(entry) if asking else self._context(entry))
        # Of a tagged app only a page is seen here: HTTP/1.1, whose connection can be ended behind it. On the device
        # host the same: a certificate is proven once for each connection.
        http2 = ctx.options.http2 and found.kind not in PAGE_ONLY and not asking
        ssl.set_app_data(tlsconfig.AppData(client_alpn=data.context.client.alpn, server_alpn=None, http2=http2))
        ssl.set_accept_state()
        data.ssl_conn = ssl

    def _asking_context(self, entry: CertStoreEntry) -> SSL.Context:
        """A context that asks for a certificate of our anchors: browsers with none of them ask nobody anything. Nothing
        is resumed: that would prove the key of an earlier day, and lose the chain."""
        certificates = self.runtime.certificates
        settings = self.runtime.snapshot.settings.client_certificates
        if certificates is None or settings is None:
            raise LookupError("no certificate is to be asked for")
        authorities = certificates.authorities()
        if settings.header is not None or not authorities:
            return self._context(entry)  # TLS with the browser ends at the proxy in front, or nothing could be believed
        context = _new_context(entry, request_client_cert=True)
        for each in authorities:
            context.add_client_ca(crypto.X509.from_cryptography(each))
        context.set_session_id(b"casb-device")
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(SSL.OP_NO_TICKET)
        return context

    def _context(self, entry: CertStoreEntry) -> SSL.Context:
        """The context that shows a certificate: kept as long as the certificate is, for making one costs more than
        a handshake of the browser's does otherwise."""
        found = self._contexts.get(id(entry))
        if found is None or found[0] is not entry:
            found = self._contexts[id(entry)] = (entry, _new_context(entry))
        return found[1]

    def tls_start_server(self, data: tls.TlsData) -> None:
        """Check the origin's certificate against the app's own trust and name; without a context it fails."""
        if data.ssl_conn is not None:
            return
        try:
            self._start_server(data)
        except Exception:
            data.ssl_conn = None
            log_fault(logger, "no trust for the origin, connection refused")

    def _start_server(self, data: tls.TlsData) -> None:
        server = data.conn
        if not isinstance(server, connection.Server):
            raise TypeError("not a server connection")
        found: Route | None = getattr(data.context.client, "casb_route", None)
        if found is None or found.app is None:
            raise LookupError("an origin is only connected to for a controlled app")
        server.sni = found.origin
        kept: SSL.Connection | None = getattr(server, "casb_kept_tls", None)
        if kept is not None:  # shaken hands with already, for the same name and trust (`pooling`)
            server.alpn_offers = tuple(data.context.client.alpn_offers) or (b"http/1.1",)
            server.casb_tls = data.ssl_conn = kept
            return
        if not server.alpn_offers:
            server.alpn_offers = tuple(data.context.client.alpn_offers) or (b"http/1.1",)
        context = net_tls.create_proxy_server_context(
            method=net_tls.Method.TLS_CLIENT_METHOD,
            min_version=net_tls.Version.TLS1_2,
            max_version=net_tls.Version.UNBOUNDED,
            cipher_list=_CIPHERS,
            ecdh_curve=None,
            verify=net_tls.Verify.VERIFY_PEER,
            ca_path=None,
            ca_pemfile=found.app.upstream.ca,
            client_cert=None,
            legacy_server_connect=False,
        )
        ssl = SSL.Connection(context)
        _check_name(ssl, server.sni)
        ssl.set_alpn_protos(list(server.alpn_offers))
        ssl.set_connect_state()
        server.casb_tls = data.ssl_conn = ssl


def _new_context(entry: CertStoreEntry, *, request_client_cert: bool = False) -> SSL.Context:
    """A context that shows a certificate."""
    context = _fresh_context(
        method=net_tls.Method.TLS_SERVER_METHOD,
        min_version=net_tls.Version.TLS1_2,
        max_version=net_tls.Version.UNBOUNDED,
        cipher_list=_CIPHERS,
        ecdh_curve=None,
        chain_file=None,
        request_client_cert=request_client_cert,
        alpn_select_callback=tlsconfig.alpn_select_callback,
        extra_chain_certs=tuple(entry.chain_certs),
        dhparams=None,
    )
    context.use_certificate(entry.cert.to_cryptography())
    context.use_privatekey(entry.privatekey)
    return context


def _check_name(ssl: SSL.Connection, name: str) -> None:
    """Have OpenSSL verify the name (RFC 6125: no common names, no partial wildcards)."""
    parameters = SSL._lib.SSL_get0_param(ssl._ssl)  # type: ignore[attr-defined]
    SSL._lib.X509_VERIFY_PARAM_set_hostflags(parameters, tlsconfig.DEFAULT_HOSTFLAGS)  # type: ignore[attr-defined]
    try:
        packed = ipaddress.ip_address(name).packed
    except ValueError:
        host = name.encode("idna")
        ssl.set_tlsext_host_name(host)
        done = SSL._lib.X509_VERIFY_PARAM_set1_host(parameters, host, len(host))  # type: ignore[attr-defined]
    else:
        done = SSL._lib.X509_VERIFY_PARAM_set1_ip(parameters, packed, len(packed))  # type: ignore[attr-defined]
    if done != 1:
        raise ValueError("the origin's name cannot be checked")
