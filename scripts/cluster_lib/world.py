"""Two nodes (proxy and sidecar each), PostgreSQL, Redis, HAProxy; an application, an identity provider, people."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self

import requests

from cluster_lib.servers import Balancer, NotStarted, Postgres, Redis, free_port, listens
from proxy_world import ADDONS, APP_HOST, SUFFIX, Origin, reply
from wire_world import CLIENT, SECRET, Browser, HostileProvider

POLICIES = """
version: 1
policies:
  - id: {id}
    kind: session
    apps: [files]
    activities: download
    when: {{file: {{name: {{contains: payroll}}}}}}
    action: block
"""
SALARIES = b"salaries: everybody's"


class Paths(dict[str, Any]):
    """The application: `/pay/<n>` is a download that policy blocks, everything else a page."""

    def get(self, path: str, default: Any = None) -> Any:
        return _salaries if path.startswith("/pay/") else _page


def _page(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    reply(handler, 200, b"<html><head></head>the app</html>", content_type="text/html")


def _salaries(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    reply(handler, 200, SALARIES, content_type="text/plain", content_disposition='attachment; filename="payroll.txt"')


@dataclass
class Node:
    """A proxy and a sidecar with one configuration folder."""

    name: str
    folder: Path
    environment: dict[str, str]
    reverse: int = field(default_factory=free_port)
    health: int = field(default_factory=free_port)
    sidecar_port: int = field(default_factory=free_port)
    proxy: subprocess.Popen[bytes] | None = None
    sidecar: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> str:
        return "".join(path.read_text(errors="replace")[-1500:] for path in sorted(self.folder.glob("*.log")))

    def start_proxy(self) -> None:
        """`casb proxy` with two workers."""
        self.proxy = self._start("proxy", "--workers", "2")

    def start_sidecar(self) -> None:
        """`casb serve`."""
        self.sidecar = self._start("serve")

    def workers(self) -> list[int]:
        """Process ids of the workers that serve."""
        return [int(path.stem) for path in (self.data / "workers").glob("*.json")]

    def ready(self, port: int) -> bool:
        """What `/readyz` says there."""
        if not listens(port):
            return False
        with requests.Session() as session, contextlib.suppress(requests.RequestException):
            session.trust_env = False
            return session.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
        return False

    def kill_proxy(self) -> None:
        """kill -9 of everything: supervisor and workers."""
        if self.proxy is not None:
            pids = self.workers()
            self.proxy.kill()
            self.proxy.wait()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End both in order."""
        for process in (self.proxy, self.sidecar):
            if process is not None and process.poll() is None:
                process.terminate()
        for process in (self.proxy, self.sidecar):
            if process is not None:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _start(self, verb: str, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "casb.cli", verb, "--config", str(self.config), *more]
        with (self.folder / f"{verb}.log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, env=self.environment, stdout=log, stderr=log)


class Cluster:
    """Everything that runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with self._running:
            self._start()
            self._running = self._running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _start(self) -> None:
        self.folder.mkdir(parents=True)
        self.front, self.sidecars = free_port(), free_port()
        self.redis = Redis(self.folder, free_port())
        self.postgres = Postgres(self.folder, free_port())
        self._running.callback(self.postgres.remove)
        for server in (self.redis, self.postgres):
            self._running.callback(server.stop)
            server.start()
        self.idp = HostileProvider(self.folder / "idp")
        self._running.callback(self.idp.server.close)
        (self.folder / "origin").mkdir()
        self.origin = Origin(self.folder / "origin")
        self.origin.routes = Paths()
        self._running.callback(self.origin.close)
        environment = {
            **os.environ,
            "PYTHONPATH": str(ADDONS),
            "CASB_CLIENT_SECRET": SECRET,
            "CASB_DATABASE": self.postgres.conninfo,
            "CASB_INGEST": secrets.token_hex(24),
        }
        self.one, self.two = (Node(name, self.folder / name, environment) for name in ("one", "two"))
        for node, mode in ((self.one, "publish"), (self.two, "follow")):
            self._configure(node, mode)
            self._running.callback(node.stop)
        self.write_policy("no-payroll")
        app = f'{{connect: "127.0.0.1:{self.origin.port}", ca: {self.origin.ca}}}'
        (self.one.config / "apps").mkdir()
        (self.one.config / "apps" / "files.yaml").write_text(
            f"id: files\nname: Company Files\ndomains: [{APP_HOST}]\nupstream: {app}\n"
        )
        self.one.start_proxy()
        self.wait(lambda: self.one.ready(self.one.health), "the first proxy", 150)
        shutil.copytree(self.one.folder / "certs", self.two.folder / "certs")
        self.two.start_proxy()
        self.one.start_sidecar()
        self.two.start_sidecar()
        self.wait(lambda: self.two.ready(self.two.health), "the second proxy", 150)
        for node in (self.one, self.two):
            self.wait(lambda node=node: node.ready(node.sidecar_port), f"the sidecar of node {node.name}", 150)  # type: ignore[misc]
        address = "127.0.0.1:{}".format
        self.balancer = Balancer(
            self.folder,
            self.front,
            {
                "CASB_FRONT": address(self.front),
                "CASB_SIDECARS": address(self.sidecars),
                "CASB_ONE": address(self.one.reverse),
                "CASB_TWO": address(self.two.reverse),
                "CASB_ONE_HEALTH": "127.0.0.1",
                "CASB_TWO_HEALTH": "127.0.0.1",
                "CASB_ONE_HEALTH_PORT": str(self.one.health),
                "CASB_TWO_HEALTH_PORT": str(self.two.health),
                "CASB_SIDECAR_ONE": address(self.one.sidecar_port),
                "CASB_SIDECAR_TWO": address(self.two.sidecar_port),
            },
        )
        self._running.callback(self.balancer.stop)
        self.balancer.start()
        self.wait(lambda: self.balancer.up("nodes", "one") and self.balancer.up("nodes", "two"), "the balancer")
        self.wait(lambda: self.balancer.up("sidecars", "one"), "the balancer to find a sidecar")

    def _configure(self, node: Node, mode: str) -> None:
        node.config.mkdir(parents=True)
        node.data.mkdir(mode=0o700)
        (node.config / "casb.yaml").write_text(
            f"""\
version: 1
suffix: {SUFFIX}
data: ../data
authority: ../certs
public_port: {self.front}
trusted_proxies: [127.0.0.1]
listeners:
  reverse: 127.0.0.1:{node.reverse}
  forward: null
  sidecar: 127.0.0.1:{node.sidecar_port}
  health: 127.0.0.1:{node.health}
  proxy_protocol: [reverse]
sidecar:
  url: http://127.0.0.1:{self.sidecars}
  token: env:CASB_INGEST
store:
  sessions: {self.redis.url}
  keys: ../../sessions.keys
  records: env:CASB_DATABASE
  configuration: {mode}
providers:
  - id: test
    kind: entra
    authority: {self.idp.issuer}
    client_id: {CLIENT}
    client_secret: env:CASB_CLIENT_SECRET
    ca: {self.idp.server.ca}
    domains: [contoso.example]
"""
        )

    def write_policy(self, name: str) -> None:
        """The one policy, under another name: in force on every node soon."""
        path = self.one.config / "policies.yaml"
        draft = path.with_suffix(".new")
        draft.write_text(POLICIES.format(id=name))
        draft.replace(path)

    def url(self, path: str = "/") -> str:
        """The application through balancer and proxy."""
        return f"https://{APP_HOST}.{SUFFIX}:{self.front}{path}"

    def browser(self, name: str) -> Browser:
        """Somebody's fresh browser."""
        folder = self.folder / name
        folder.mkdir()
        return Browser(folder, self.one.folder / "certs" / "casb-ca.pem", self.idp.server.ca)

    def wait(self, true: Callable[[], bool], what: str, patience: float = 20) -> float:
        """Until it is so; seconds it took. Raises `NotStarted`."""
        begun = time.monotonic()
        while not true():
            if time.monotonic() - begun > patience:
                raise NotStarted(f"waited {patience:.0f} s for {what} in vain\n{self.one.log}\n{self.two.log}")
            time.sleep(0.05)
        return time.monotonic() - begun
