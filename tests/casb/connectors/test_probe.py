"""The probe against real TLS servers on loopback, and against names that lead inside."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.connectors.probe import Probe, parse_head
from casb.errors import CatalogError

HOST = "app.example"
TIME = "2026-03-02T12:00:00.000Z"


def certificate(folder: Path, *names: str) -> Path:
    """A self-signed certificate with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{len(list(folder.iterdir()))}.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


class Server:
    """Answers every connection with the same bytes; keeps what it was asked."""

    def __init__(self, answer: bytes, context: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            with plain:
                try:
                    connection = self._context.wrap_socket(plain, server_side=True) if self._context else plain
                    with connection:
                        connection.settimeout(5)
                        if got := connection.recv(4096):
                            self.asked.append(got)
                            connection.sendall(self.answer)
                except OSError:
                    continue

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


type Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    servers: list[Server] = []

    def made(answer: bytes, context: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(answer, context))
        return servers[-1]

    yield made
    for server in servers:
        server.close()


def context_of(pem: Path, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.maximum_version = most
    return context


def probe(https: int, http: int, trusted: Path | None = None, timeout: float = 5.0) -> Probe:
    def trusting() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(trusted) if trusted else None)
        context.check_hostname = False
        return context

    return Probe(
        clock=lambda: TIME,
        resolve=lambda host, port: ["127.0.0.1"],
        allowed=lambda address: address == "127.0.0.1",
        ports=(https, http),
        context=trusting,
        timeout=timeout,
        pause=lambda: None,
    )


PAGE = b"HTTP/1.1 200 OK\r\nX-Frame-Options: DENY\r\nSet-Cookie: secret=1\r\nContent-Length: 5\r\n\r\nhello"
MOVED = b"HTTP/1.1 301 Moved\r\nLocation: https://app.example/\r\n\r\n"


def test_a_good_host(start: Start, tmp_path: Path) -> None:
    pem = certificate(tmp_path, HOST)
    https, http = start(PAGE, context_of(pem)), start(MOVED)
    seen = probe(https.port, http.port, pem).look("APP.example.", main=True)
    assert (seen.host, seen.time, seen.main) == (HOST, TIME, True)
    assert (seen.protocol, seen.trusted, seen.name_valid, seen.https_enforced) == ("TLSv1.3", True, True, True)
    assert seen.headers is not None
    assert seen.headers["x-frame-options"] == "DENY"
    request = https.asked[0].decode().lower()
    assert request.startswith("get / http/1.1\r\nhost: app.example\r\n")
    assert not {"cookie:", "authorization:", "referer:"} & set(request.split())


def test_another_names_certificate_and_an_old_protocol(start: Start, tmp_path: Path) -> None:
    pem = certificate(tmp_path, "other.example", "*.app.example")
    https = start(PAGE, context_of(pem, ssl.TLSVersion.TLSv1_2))
    seen = probe(https.port, https.port, pem).look(HOST)
    assert (seen.protocol, seen.trusted, seen.name_valid) == ("TLSv1.2", True, False)


def test_an_untrusted_certificate_is_a_finding_and_nothing_is_sent(start: Start, tmp_path: Path) -> None:
    pem, other = certificate(tmp_path, HOST), certificate(tmp_path, HOST)
    https, http = start(PAGE, context_of(pem)), start(PAGE)
    seen = probe(https.port, http.port, other).look(HOST)
    assert (seen.protocol, seen.trusted, seen.name_valid, seen.headers) == ("TLSv1.3", False, True, None)
    assert https.asked == []
    assert seen.https_enforced is False, "plain HTTP is answered as it is"


def test_no_tls_and_no_plain_http(start: Start) -> None:
    plain = start(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        seen = probe(plain.port, closed.getsockname()[1]).look(HOST)
    assert (seen.protocol, seen.trusted, seen.headers, seen.https_enforced) == ("none", None, None, True)


def test_redirects_that_lead_inside_are_not_followed(start: Start, tmp_path: Path) -> None:
    pem = certificate(tmp_path, HOST)
    for target in (
        "https://169.254.169.254/",
        "http://app.example/",
        "https://inner.example/",
        "https://app.example:22/",
    ):
        https = start(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\n\r\n".encode(), context_of(pem))
        asked: list[str] = []

        def resolve(host: str, port: int, asked: list[str] = asked) -> list[str]:
            asked.append(host)
            return ["10.0.0.1"] if host == "inner.example" else ["127.0.0.1"]

        found = probe(https.port, https.port, pem)
        seen = Probe(**{name: getattr(found, name) for name in Probe.__slots__} | {"resolve": resolve}).look(HOST)
        assert seen.headers is not None
        assert len(https.asked) == 1, target
        assert set(asked) <= {HOST, "inner.example"}


def test_a_circle_of_redirects_ends(start: Start, tmp_path: Path) -> None:
    pem = certificate(tmp_path, HOST)
    https = start(MOVED, context_of(pem))
    assert probe(https.port, https.port, pem).look(HOST).headers is not None
    assert len(https.asked) == 4


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000, "a head without end"),
        (b"SSH-2.0-x\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nx", "it ends within the head"),
    ],
)
def test_answers_that_are_none(start: Start, tmp_path: Path, answer: bytes, why: str) -> None:
    pem = certificate(tmp_path, HOST)
    https = start(answer, context_of(pem))
    assert probe(https.port, https.port, pem).look(HOST).headers is None, why


def test_a_silent_host_is_given_up_on(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        seen = probe(port, port, timeout=0.3).look(HOST)
    assert (seen.protocol, seen.https_enforced) == (None, None)


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["169.254.169.254"], ["::1"], []])
def test_inner_addresses_are_never_asked(addresses: list[str]) -> None:
    """With the guard that is really used; a connection would fail the test by going out."""
    found = Probe(clock=lambda: TIME, resolve=lambda host, port: addresses, pause=lambda: None)
    with pytest.raises(CatalogError, match="C231"):
        found.look(HOST)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "a..b", "", "app.example/x"])
def test_only_names_are_asked(host: str) -> None:
    with pytest.raises(CatalogError, match="C231"):
        Probe(clock=lambda: TIME).look(host)


def test_a_name_that_is_not_there() -> None:
    def gone(host: str, port: int) -> list[str]:
        raise OSError

    seen, failed = Probe(clock=lambda: TIME, resolve=gone, pause=lambda: None).look_at_all(["a.example", "b.example"])
    assert seen == []
    assert [error.code for error in failed] == ["C231", "C231"]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_head_is_read_or_refused(rest: bytes) -> None:
    try:
        status, headers = parse_head(b"HTTP/1.1 200 OK\r\n" + rest)
    except OSError:
        return
    assert status == 200
    assert all(name == name.lower() for name in headers)
