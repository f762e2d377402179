"""A deployment that exists for one comparison: its own folder, authority, worker and session, on loopback only.

Nobody signs in: the session is written into the laboratory's own session store, and its cookie handed to the
laboratory's own browser. The proxy has no switch for that, so nothing of it can exist in production: whoever can write
a deployment's session store owns that deployment anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from casb.connectors.live import LiveSessions, Login
from casb.errors import ConnectorError
from casb.identity.sessions import LOGIN_COOKIE, LoginRecord
from casb.lab.authority import Front, make_issuer
from casb.lab.relay import Relay, Target
from casb.model.identity import Device, User
from casb.store.sessions_sqlite import SqliteSessions

USER = "laboratory@casb.invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What is put behind the proxy. `yaml` adds lines to its file, `targets` says where its hosts really are."""

    id: str
    name: str
    domains: tuple[str, ...]
    targets: Mapping[str, Target] = field(default_factory=dict)
    yaml: str = ""
    start: str = "/"


@dataclass
class Stage:
    """A running worker, the relay before the origins, and the session."""

    folder: Path
    suffix: str
    port: int
    cookie: str
    relay: Relay
    issuer: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def login_host(self) -> str:
        return f"login.{self.suffix}"

    @property
    def marks(self) -> tuple[str, ...]:
        return self.relay.marks

    def suffixed(self, url: str) -> str:
        """An `https` URL of a mapped host, as the browser must ask for it."""
        scheme, _, rest = url.partition("://")
        authority, slash, path = rest.partition("/")
        return f"{scheme}://{authority}.{self.suffix}{slash}{path}"

    def start(self) -> None:
        """Start the worker and wait until it listens."""
        root = Path(__file__).resolve().parents[2]
        (self.data / "workers").mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-O", "-m", "casb.proxy.worker", "--config", str(self.config)]
        with (self.folder / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own module
                command, stdin=subprocess.PIPE, stderr=log, env={**os.environ, "PYTHONPATH": str(root)}
            )
        deadline = time.monotonic() + 60
        while not _listens(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                last = self.log[-1500:]
                raise ConnectorError("L001", f"the laboratory's proxy did not start: {last or 'it said nothing'}")
            time.sleep(0.05)

    @property
    def log(self) -> str:
        path = self.folder / "worker.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self) -> None:
        """End the worker."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None


@contextlib.contextmanager
def stage(
    folder: Path,
    applications: Sequence[Application],
    *,
    label: str = "casb-lab",
    policies: str = "",
    more_targets: Mapping[str, Target] | None = None,
) -> Iterator[Stage]:
    """A deployment for these applications in `folder`, which must be empty and private.

    Browsers see it on port 443 of `*.<suffix>`, mapped by them to a loopback port. `label` names the suffix: it is what
    the relay looks for. Raises `ConnectorError` L001 when the proxy does not start.
    """
    suffix = f"{label}.example"
    front = Front(_private(folder / "front"))
    targets = {host: target for each in applications for host, target in each.targets.items()}
    relay = Relay(front=front, routes={**targets, **(more_targets or {})}, marks=(label, "Host-casb_")).start()
    port = _free_port()
    config = _private(folder / "config")
    _private(config / "apps")
    issuer = make_issuer(_private(folder / "certs"))
    (config / "casb.yaml").write_text(
        f"version: 1\nsuffix: {suffix}\npublic_port: 443\ndata: ../data\nauthority: ../certs\n"
        f"listeners: {{reverse: '127.0.0.1:{port}', forward: null, health: null, sidecar: '127.0.0.1:1'}}\n"
    )
    for each in applications:
        (config / "apps" / f"{each.id}.yaml").write_text(app_yaml(each, relay.port, front.ca))
    if policies:
        (config / "policies.yaml").write_text(policies)
    data = _private(folder / "data")
    made = Stage(
        folder=folder, suffix=suffix, port=port, cookie=_session(data, f"login.{suffix}"), relay=relay, issuer=issuer
    )
    try:
        made.start()
        yield made
    finally:
        made.stop()
        relay.stop()


def app_yaml(app: Application, relay_port: int, ca: Path) -> str:
    """The file of an application behind the relay."""
    domains = ", ".join(f"'{each}'" for each in app.domains)
    return (
        f"id: {app.id}\nname: '{app.name}'\ndomains: [{domains}]\nstart: '{app.start}'\n"
        f"upstream: {{connect: '127.0.0.1:{relay_port}', ca: '{ca}'}}\n{app.yaml}"
    )


def _session(data: Path, login_host: str) -> str:
    """A login in the store of this data folder; its cookie on the login host."""
    present = datetime.now(UTC)
    identifier = secrets.token_bytes(32)
    record = LoginRecord(
        id=identifier.hex()[:32],
        provider="laboratory",
        user=User(id=f"laboratory/{USER}", name=USER, domain="casb.invalid"),
        device=Device(),
        started=present,
        expires=present + timedelta(hours=8),
    )

    async def keep() -> str:
        store = SqliteSessions(data)
        try:
            sessions = LiveSessions(store=store, login_host=login_host, clock=lambda: datetime.now(UTC))
            login = Login(key=identifier, record=record)
            await sessions.save(login)
            return await sessions.open(login, login_host)
        finally:
            store.close()

    return f"{LOGIN_COOKIE}={asyncio.run(keep())}"


def _private(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
