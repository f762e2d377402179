"""A world for the proxy: a programmable origin, a configuration folder, a real worker process, a raw client.

Sessions are put straight into the store, so that these tests are about traffic; sign-in has tests of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from casb.identity.sessions import ChildRecord, LoginRecord, dump, key_of
from casb.model.identity import Device, DeviceTag, User
from casb.store import authority, spool
from casb.store.sessions_sqlite import SqliteSessions

ADDONS = Path(__file__).resolve().parents[1] / "addons"
SUFFIX = "casb.test"
APP_HOST = "files.example"
NAVIGATE = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept": "text/html"}
FETCH = {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty", "accept": "*/*"}
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Seen:
    """One request as the origin got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


type Handler = Callable[[BaseHTTPRequestHandler, bytes], None]


class Origin:
    """An https origin whose paths are functions; keeps what it was asked."""

    def __init__(self, folder: Path, host: str = APP_HOST, *, certificate_host: str | None = None) -> None:
        self.seen: list[Seen] = []
        self.routes: dict[str, Handler] = {}
        issuer = authority.load_or_create(folder, datetime.now(UTC))
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = issuer.issue(certificate_host or host, key.public_key(), datetime.now(UTC))
        pem = serialization.Encoding.PEM
        (folder / "leaf.pem").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + leaf.public_bytes(pem)
        )
        self.ca = folder / "casb-ca.pem"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "leaf.pem")
        origin = self

        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length) if length else b""
                if self.headers.get("transfer-encoding", "").lower() == "chunked":
                    body = read_chunked(self.rfile)
                headers = {name.lower(): value for name, value in self.headers.items()}
                origin.seen.append(Seen(self.command, self.path, headers, body))
                route = origin.routes.get(self.path.partition("?")[0])
                if route is None:
                    reply(self, 404, b"nothing here")
                    return
                with contextlib.suppress(OSError):
                    route(self, body)

            do_GET = do_POST = do_PUT = do_PATCH = do_HEAD = do_OPTIONS = do_DELETE = _any

            def log_message(self, *arguments: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # A client that hangs up is no news.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def page(self, path: str, body: bytes, *, status: int = 200, **headers: str) -> None:
        """Serve a fixed answer."""
        self.routes[path] = lambda handler, _body: reply(handler, status, body, **headers)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """A whole answer with its length."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def read_chunked(file: Any) -> bytes:
    """A chunked body."""
    out = b""
    while size := int(file.readline().strip() or b"0", 16):
        out += file.read(size)
        file.readline()
    file.readline()
    return out


@dataclass
class Reply:
    """What a client got."""

    status: int
    headers: dict[str, str]
    cookies: list[str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class World:
    """A running worker and the ways to it."""

    folder: Path
    port: int
    forward: int
    origin: Origin
    process: subprocess.Popen[bytes] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def host(self) -> str:
        return f"{APP_HOST}.{SUFFIX}"

    def write(self, name: str, text: str) -> None:
        """Write a file of the configuration folder, atomically."""
        path = self.config / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        draft.write_text(textwrap.dedent(text))
        draft.replace(path)

    def start(self, workers: int = 0) -> None:
        """Start a worker, or `casb proxy` with so many, and wait until somebody listens."""
        alone = ["-O", "-m", "casb.proxy.worker", "--config", str(self.config)]
        supervised = ["-m", "casb.cli", "proxy", "--config", str(self.config), "--workers", str(workers)]
        environment = {**os.environ, "PYTHONPATH": str(ADDONS), **self.environment}
        (self.data / "workers").mkdir(parents=True, exist_ok=True)
        with (self.folder / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *(supervised if workers else alone)],
                stdin=subprocess.PIPE,
                env=environment,
                stderr=log,
            )
        wait_for(lambda: listens(self.port), "the worker to listen", 30, self.alive)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Run the worker in a thread of this process instead, so that a test can break what it wants broken."""
        from casb.proxy import worker
        from casb.proxy.reload import Folder

        (self.data / "workers").mkdir(parents=True, exist_ok=True)
        masters: list[Any] = []
        failed: list[BaseException] = []

        def serve() -> None:
            try:
                asyncio.run(worker.run(Folder(self.config), masters.append))
            except BaseException as error:
                failed.append(error)

        def check() -> None:
            if failed:
                raise failed[0]

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            wait_for(lambda: listens(self.port), "the worker to listen", 30, check)
            yield
        finally:
            if masters:
                masters[0].shutdown()
            thread.join(15)

    def alive(self) -> None:
        """Raise with the worker's own words when it has died."""
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the worker ended: {self.log[-3000:]}")

    @property
    def log(self) -> str:
        path = self.folder / "worker.log"
        return path.read_text() if path.exists() else ""

    def stop(self) -> None:
        """Stop the worker."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            if self.process.stdin:
                self.process.stdin.close()
            self.process = None

    def session(
        self,
        name: str = "ada@contoso.example",
        *,
        tags: tuple[DeviceTag, ...] = (),
        groups: tuple[str, ...] = (),
        host: str | None = None,
        port: int | None = None,
        authority: str = "",
    ) -> str:
        """Put a session into the store; the `Cookie` header for it. `authority`: as browsers write it, without :443."""
        import secrets

        login_cookie, cookie = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        key = key_of(login_cookie)
        now = datetime.now(UTC)
        record = LoginRecord(
            id=key.hex()[:32],
            provider="test",
            user=User(id=f"tenant/{name}", name=name, domain=name.rpartition("@")[2], groups=frozenset(groups)),
            device=Device(tags=frozenset(tags), sources={str(tag): "test" for tag in tags}),
            started=now,
            expires=now + timedelta(hours=8),
        )
        authority_name = authority or f"{host or self.host}:{port or self.port}"
        child = ChildRecord(login=key.hex(), host=authority_name, app="files")

        async def keep() -> None:
            store = SqliteSessions(self.data)
            indexes = (f"login:{key.hex()}", f"session:{record.id}", f"user:{record.user.id}")
            await store.put("login", key, dump(record), ttl=3600, indexes=indexes)
            await store.put("child", key_of(cookie), dump(child), ttl=3600, indexes=indexes)
            store.close()

        asyncio.run(keep())
        return f"__Host-casb_s={cookie}"

    def revoke(self, name: str) -> int:
        """End all sessions of a user, as an admin or a logout token would."""

        async def drop() -> int:
            store = SqliteSessions(self.data)
            count = await store.drop_index(f"user:tenant/{name}")
            store.close()
            return count

        return asyncio.run(drop())

    def connect(self, sni: str, *, port: int | None = None, alpn: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLSocket:
        """A TLS connection to the reverse listener, our authority trusted."""
        context = ssl.create_default_context(cafile=str(self.folder / "certs" / "casb-ca.pem"))
        context.set_alpn_protocols(list(alpn))
        raw = socket.create_connection(("127.0.0.1", port or self.port), timeout=20)
        return context.wrap_socket(raw, server_hostname=sni)

    def ask(
        self,
        path: str = "/",
        *,
        method: str = "GET",
        host: str | None = None,
        sni: str | None = None,
        cookie: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        bare: bool = False,
    ) -> Reply:
        """One request on a connection of its own."""
        name = host or self.host
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.sock = self.connect(sni or name)
        sent = {"host": f"{name}:{self.port}", "user-agent": BROWSER}
        if not bare:
            sent |= {"accept-encoding": "identity"}
        if cookie:
            sent["cookie"] = cookie
        sent |= {key.lower(): value for key, value in (headers or {}).items()}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if body is not None and "transfer-encoding" not in sent:
            sent["content-length"] = str(len(body))
        for key, value in sent.items():
            connection.putheader(key, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        try:
            content = answer.read()
        except http.client.IncompleteRead as error:
            content = error.partial
        pairs = answer.getheaders()
        connection.close()
        return Reply(
            status=answer.status,
            headers={key.lower(): value for key, value in pairs},
            cookies=[value for key, value in pairs if key.lower() == "set-cookie"],
            body=content,
        )

    def records(self) -> list[dict[str, Any]]:
        """The activities that the worker wrote into its spool, oldest first."""
        return [each for each in self.spooled() if "kind" not in each]

    def spooled(self) -> list[dict[str, Any]]:
        """All that the worker wrote into its spool, oldest first."""
        found = []
        for path in spool.segments(self.data / "spool"):
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    found.append(json.loads(line))
        return found

    def record(self, activity_id: str) -> dict[str, Any]:
        """The record with an activity id."""
        return next(each for each in self.records() if each["id"] == activity_id)


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def wait_for(
    condition: Callable[[], Any], what: str, seconds: float = 10, check: Callable[[], None] = lambda: None
) -> Any:
    """Wait until a condition holds; its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        check()
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}")


@contextlib.contextmanager
def world(
    folder: Path, *, environment: Mapping[str, str] | None = None, start: bool = True, **casb: str
) -> Iterator[World]:
    """A started worker in front of one origin; `casb` adds lines to casb.yaml."""
    port, forward, sidecar, health = (free_port() for _ in range(4))
    (folder / "origin").mkdir(parents=True)
    origin = Origin(folder / "origin")
    made = World(folder=folder, port=port, forward=forward, origin=origin, environment=environment or {})
    extra = "\n".join(f"{key}: {value}" for key, value in casb.items())
    made.write(
        "casb.yaml",
        f"""\
version: 1
suffix: {SUFFIX}
data: ../data
authority: ../certs
listeners:
  reverse: 127.0.0.1:{port}
  forward: 127.0.0.1:{forward}
  sidecar: 127.0.0.1:{sidecar}
  health: 127.0.0.1:{health}
providers:
  - id: test
    authority: https://localhost:1/tenant/v2.0
    client_id: casb
    client_secret: env:CASB_TEST_SECRET
{extra}
""",
    )
    made.write(
        "apps/files.yaml",
        f"""\
id: files
name: Company Files
domains: [{APP_HOST}]
upstream: {{connect: "127.0.0.1:{origin.port}", ca: {origin.ca}}}
""",
    )
    made.environment = {"CASB_TEST_SECRET": "x" * 32, **made.environment}
    try:
        if start:
            made.start()
        yield made
    finally:
        made.stop()
        origin.close()
