"""A real TLS server on loopback that misbehaves on request."""

from __future__ import annotations

import gzip
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from casb.connectors.fetch import Fetcher
from casb.errors import ConnectorError
from loopback_tls import files


@dataclass
class Site:
    """Where the server is, who signed for it and what it saw."""

    port: int
    ca: str
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"https://{self.host}{path}"


BOMB = gzip.compress(b"x" * 20_000_000, 1)


class Handler(BaseHTTPRequestHandler):
    server: QuietServer

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.site.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.close_connection = True
        try:
            getattr(self, self.path.strip("/").replace("-", "_"))()
        except OSError:
            pass

    do_POST = do_GET

    def _head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def small(self) -> None:
        self._head(200, Content_Length="2", Set_Cookie="a=b; Path=/")
        self.wfile.write(b"ok")

    def chunked(self) -> None:
        self._head(200, Transfer_Encoding="chunked")
        for _ in range(3):
            self.wfile.write(b"2\r\nok\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def missing(self) -> None:
        self._head(404, Content_Length="4")
        self.wfile.write(b"gone")

    def redirect(self) -> None:
        self._head(302, Location=self.server.site.url("/small"), Content_Length="0")

    def large(self) -> None:
        self._head(200, Content_Length=str(5 * 1024 * 1024))
        self.wfile.write(b"x" * 5 * 1024 * 1024)

    def endless(self) -> None:
        self._head(200, Transfer_Encoding="chunked")
        while not self.server.stop.is_set():
            self.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    def drip(self) -> None:
        self._head(200)
        while not self.server.stop.is_set():
            self.wfile.write(b"x")
            time.sleep(0.02)

    def silent(self) -> None:
        self.server.stop.wait(5)

    def bomb(self) -> None:
        self._head(200, Content_Encoding="gzip", Content_Length=str(len(BOMB)))
        self.wfile.write(BOMB)

    def latin(self) -> None:
        self._head(200, Content_Length="1")
        self.wfile.write(b"\xff")

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


class QuietServer(ThreadingHTTPServer):
    """Clients that hang up are what is tested."""

    daemon_threads = True
    site: Site
    stop: threading.Event

    def handle_error(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    ca, key = files(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, key)
    with QuietServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.site, server.stop = Site(port=server.server_address[1], ca=ca), threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.site
        server.stop.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def site(server: Site) -> Site:
    server.seen.clear()
    return server


@pytest.fixture
def fetcher(site: Site) -> Iterator[Fetcher]:
    fetcher = Fetcher([site.host], ca=site.ca, timeout=1.0)
    yield fetcher
    fetcher.close()


@pytest.mark.parametrize(("path", "body"), [("/small", b"ok"), ("/chunked", b"okokok")])
def test_good_answers(fetcher: Fetcher, site: Site, path: str, body: bytes) -> None:
    assert fetcher.read(site.url(path)) == body


def test_post(fetcher: Fetcher, site: Site) -> None:
    reply = fetcher.post(site.url("/small"), data={"code": "c"}, headers={"X": "y"}, timeout=99)
    assert (reply.status_code, reply.text) == (200, "ok")
    assert site.seen[0][1]["x"] == "y"


def test_an_error_is_an_answer_to_post_and_a_refusal_to_read(fetcher: Fetcher, site: Site) -> None:
    assert fetcher.get(site.url("/missing")).text == "gone"
    with pytest.raises(ConnectorError, match="404"):
        fetcher.read(site.url("/missing"))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/redirect", "I002"),
        ("/large", "I002"),
        ("/endless", "I002"),
        ("/bomb", "I002"),
        ("/latin", "I002"),
        ("/drip", "I001"),
        ("/silent", "I001"),
    ],
)
def test_misbehaviour_ends_soon(fetcher: Fetcher, site: Site, path: str, code: str) -> None:
    began = time.monotonic()
    with pytest.raises(ConnectorError) as caught:
        fetcher.read(site.url(path))
    assert caught.value.code == code
    assert time.monotonic() - began < 5
    assert [each for each, _ in site.seen] == [path], "nothing was followed"


def test_no_cookie_is_kept(fetcher: Fetcher, site: Site) -> None:
    fetcher.read(site.url("/small"))
    fetcher.read(site.url("/small"))
    assert all("cookie" not in headers for _, headers in site.seen)


def test_only_the_configured_authority_is_trusted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", site.ca)
    monkeypatch.setenv("CURL_CA_BUNDLE", site.ca)
    stranger = Fetcher([site.host], timeout=2)
    with pytest.raises(ConnectorError, match="SSLError"):
        stranger.read(site.url("/small"))
    stranger.close()
    assert site.seen == []


def test_no_proxy_from_the_environment(fetcher: Fetcher, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    assert fetcher.read(site.url("/small")) == b"ok"


def test_nobody_listens(fetcher: Fetcher) -> None:
    away = Fetcher(["127.0.0.1:1"], timeout=1)
    with pytest.raises(ConnectorError) as caught:
        away.read("https://127.0.0.1:1/keys?secret=1")
    assert caught.value.code == "I001"
    assert "secret" not in str(caught.value)
    away.close()


ALLOWED = ["https://idp.test/", "https://IDP.test/x?y", "https://idp.test:443/", "https://keys.test:8443/a"]
REFUSED = [
    "http://idp.test/",
    "https://evil.test/",
    "https://idp.test.evil.test/",
    "https://evilidp.test/",
    "https://sub.idp.test/",
    "https://idp.test:444/",
    "https://keys.test/",
    "https://idp.test@evil.test/",
    "https://evil.test@idp.test/",
    "https://evil.test\\@idp.test/",
    "https://evil.test#@idp.test/",
    "https:///idp.test",
    "//idp.test/",
    "idp.test",
    "file:///etc/passwd",
    "ftp://idp.test/",
    "https://127.0.0.1/",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/",
    "https://[::1",
    "https://idp.test:x/",
    "https://idp.test:99999/",
    "",
]


@pytest.mark.parametrize(("url", "allowed"), [(url, True) for url in ALLOWED] + [(url, False) for url in REFUSED])
def test_hosts(url: str, allowed: bool) -> None:
    fetcher = Fetcher(["IDP.test", "keys.test:8443"])
    assert fetcher.allows(url) is allowed
    if not allowed:
        with pytest.raises(ConnectorError) as caught:
            fetcher.read(url)
        assert caught.value.code == "I003"
    fetcher.close()
