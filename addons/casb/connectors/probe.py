"""Asks an app's public hosts what can be seen from outside. Off unless the operator asks for it, host by host.

Goes to public addresses only, on ports 443 and 80: a name is resolved once, every address must be public, and the
connection goes to the address that was judged. Reads heads, never bodies; sends no cookie and no credentials.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509

from casb.catalog.domains import bare_host
from casb.catalog.measure import Observation, certificate_covers, may_be_asked
from casb.errors import CatalogError
from casb.hostname import is_address

TIMEOUT: Final = 10.0
"""Seconds for everything that is asked of one host over one connection."""

MAX_HEAD: Final = 64 * 1024
MAX_REDIRECTS: Final = 3
MIN_INTERVAL: Final = 24 * 3600
"""Seconds between two probes of one host; what is looked for changes rarely."""

AGENT: Final = "casb-probe (measures transport security of cloud services; one request a day)"

type Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _default_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False  # The name is judged by us: a wrong one is a finding, not a failure.
    _oldest(context)
    return context


def _any_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # Only the certificate of a host that is found wanting is looked at; nothing is sent over such a connection.
    context.verify_mode = ssl.CERT_NONE
    _oldest(context)
    return context


def _oldest(context: ssl.SSLContext) -> None:
    """Speak whatever the other side can: what it can is what is measured."""
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How to ask. `allowed` judges addresses and `ports` are where HTTPS and HTTP are; tests have their own."""

    clock: Callable[[], str]  # RFC 3339
    resolve: Resolve = resolve
    allowed: Callable[[str], bool] = may_be_asked
    ports: tuple[int, int] = (443, 80)
    context: Callable[[], ssl.SSLContext] = _default_context
    timeout: float = TIMEOUT
    pause: Callable[[], None] = field(default=lambda: time.sleep(0.5))

    def look(self, host: str, *, main: bool = False) -> Observation:
        """What is seen of one host. Raises `CatalogError` C231 when it may not be asked or cannot be found."""
        name = bare_host(host)
        if name is None or is_address(name):
            raise CatalogError("C231", f"'{host[:100]}' is no host name")
        address = self._address(name)
        seen = self._handshake(name, address)
        if seen.protocol not in (None, "none") and seen.trusted:
            self.pause()
            seen = replace(seen, headers=self._page(name, address))
        self.pause()
        return replace(seen, https_enforced=self._plain(name, address), main=main)

    def look_at_all(self, hosts: Iterable[str]) -> tuple[list[Observation], list[CatalogError]]:
        """Several hosts of one app, the first one its main one; what could be seen, and why the rest could not."""
        seen, failed = [], []
        for number, host in enumerate(hosts):
            try:
                seen.append(self.look(host, main=number == 0))
            except CatalogError as error:
                failed.append(error)
            self.pause()
        return seen, failed

    def _address(self, host: str) -> str:
        """One address of the host. All of them must be allowed: one inner address among them is a trap or a mistake."""
        try:
            addresses = self.resolve(host, self.ports[0])
        except (OSError, UnicodeError):
            raise CatalogError("C231", f"'{host}' cannot be found in DNS") from None
        if not addresses:
            raise CatalogError("C231", f"'{host}' has no address")
        for address in addresses:
            if not self.allowed(address):
                raise CatalogError("C231", f"'{host}' is at {address}, which is not a public address")
        return addresses[0]

    def _handshake(self, host: str, address: str) -> Observation:
        seen = Observation(host=host, time=self.clock())
        try:
            return replace(seen, trusted=True, **self._greet(host, address, self.context()))
        except ssl.SSLCertVerificationError:
            trusted = False
        except ssl.SSLError:
            return replace(seen, protocol="none")
        except OSError:
            return seen
        try:
            return replace(seen, trusted=trusted, **self._greet(host, address, _any_context()))
        except (ssl.SSLError, OSError):
            return replace(seen, trusted=trusted)

    def _greet(self, host: str, address: str, context: ssl.SSLContext) -> dict[str, Any]:
        with self._connected(address, self.ports[0]) as plain, context.wrap_socket(plain, server_hostname=host) as tls:
            der = tls.getpeercert(binary_form=True)
            return {"protocol": tls.version(), "name_valid": certificate_covers(_names(der), host) if der else None}

    def _page(self, host: str, address: str) -> Mapping[str, str] | None:
        """The headers of the main page, behind redirects that stay public; None when there is no answer."""
        path = "/"
        for _ in range(MAX_REDIRECTS + 1):
            try:
                with (
                    self._connected(address, self.ports[0]) as plain,
                    self.context().wrap_socket(plain, server_hostname=host) as tls,
                ):
                    status, headers = self._ask(tls, host, path)
            except (ssl.SSLError, OSError):
                return None
            target = urlsplit(headers.get("location", ""))
            if not 300 <= status < 400 or (not target.path and not target.netloc):
                return headers
            if target.netloc:
                name = bare_host(target.hostname or "")
                if target.scheme != "https" or name is None or is_address(name) or target.port not in (None, 443):
                    return headers
                try:
                    host, address = name, self._address(name)
                except CatalogError:
                    return headers
            path = target.path if target.path.startswith("/") else "/"
            self.pause()
        return headers

    def _plain(self, host: str, address: str) -> bool | None:
        """Whether plain HTTP is refused or sent to HTTPS; None when there is no telling."""
        try:
            with self._connected(address, self.ports[1]) as plain:
                status, headers = self._ask(plain, host, "/")
        except ConnectionRefusedError:
            return True
        except OSError:
            return None
        return 300 <= status < 400 and headers.get("location", "").lower().startswith("https://")

    def _connected(self, address: str, port: int) -> socket.socket:
        return socket.create_connection((address, port), timeout=self.timeout)

    def _ask(self, connection: socket.socket, host: str, path: str) -> tuple[int, dict[str, str]]:
        """One GET; the status and the headers of the answer. Raises `OSError`."""
        ends = time.monotonic() + self.timeout
        safe = path if path.isascii() and not set(path) & set(" \r\n\t\0") else "/"
        request = (
            f"GET {safe} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(request.encode("ascii"))
        head = b""
        while b"\r\n\r\n" not in head:
            left = ends - time.monotonic()
            if left <= 0 or len(head) > MAX_HEAD:
                raise OSError("the answer's head is too long or too slow")
            connection.settimeout(left)
            chunk = connection.recv(16 * 1024)
            if not chunk:
                raise OSError("the connection ended within the head")
            head += chunk
        return parse_head(head)


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers of an HTTP answer, names in lower case, repeated ones joined. Raises `OSError`."""
    line, _, rest = head.partition(b"\r\n")
    parts = line.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit() or len(parts[1]) != 3:
        raise OSError("the answer is not HTTP")
    try:
        found = http.client.parse_headers(io.BytesIO(rest))
    except http.client.HTTPException:
        raise OSError("the answer's headers cannot be read") from None
    headers: dict[str, str] = {}
    for name, value in found.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else str(value)
    return int(parts[1]), headers


def _names(der: bytes) -> list[str]:
    """The names a certificate is for: the DNS names of its subject alternative name; its subject does not count."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return list(extension.value.get_values_for_type(x509.DNSName))
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return []
