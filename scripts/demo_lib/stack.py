"""The whole product on loopback: identity provider, two applications, `casb up`; started in order, ended in reverse."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import requests
import yaml

from demo_lib.apps import DemoApp, start_files, start_flows
from demo_lib.idp import ROOT, ClientRegistration, EmulatedEntra
from demo_lib.pki import DemoAuthority
from demo_lib.processes import Child, free_port, listening

SUFFIX = "casb.localhost"
"""Browsers resolve every name below localhost to this machine by themselves (RFC 6761 section 6.3)."""

DOMAIN = "contoso.example"
ADMINS = "5a1e0c1e-0000-4000-8000-00000000ad31"  # group of the emulated Entra whose members may use the portal
PROXY_CLIENT = "00000000-ca5b-4000-8000-000000000001"
PORTAL_CLIENT = "00000000-ca5b-4000-8000-000000000002"
SHIPPED = ROOT / "policies"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens on 127.0.0.1."""

    reverse: int
    forward: int
    sidecar: int
    health: int
    idp: int
    files: int
    flows: int

    @classmethod
    def friendly(cls) -> Self:
        """The ones people remember, where they are free."""
        return cls(*(free_port(wanted) for wanted in (8443, 8080, 8090, 8091, 8444, 8445, 8446)))

    @classmethod
    def free(cls) -> Self:
        """Any, so that several stacks live side by side."""
        return cls(*(free_port() for _ in range(7)))


class Stack:
    """Everything that runs, and where it is."""

    def __init__(self, folder: Path, ports: Ports, *, workers: int = 2) -> None:
        self.folder, self.ports, self.workers = folder, ports, workers
        self.config = folder / "config"
        self.data = folder / "data"
        self.authority = DemoAuthority(folder / "pki")
        self.casb_log = folder / "logs" / "casb.log"
        self.recorded = self.data / "recorded.mitm"
        self._secrets = {
            "CASB_DEMO_PROXY_SECRET": secrets.token_hex(24),
            "CASB_DEMO_PORTAL_SECRET": secrets.token_hex(24),
        }
        self._running = contextlib.ExitStack()
        self.entra: EmulatedEntra
        self.files: DemoApp
        self.flows: DemoApp
        self.casb: Child

    def __enter__(self) -> Self:
        with self._running:  # Whatever has started ends when the rest does not start.
            self._start()
            self._running = self._running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data.mkdir(mode=0o700, exist_ok=True)
        logs = self.folder / "logs"
        self.entra = EmulatedEntra.start(
            self.authority, self._registrations(), logs / "idp.log", port=self.ports.idp, backchannel_ca=self._our_ca()
        )
        self._running.callback(self.entra.stop)
        self.files = start_files(self.authority, self.folder / "files", port=self.ports.files)
        self._running.callback(self.files.stop)
        self.flows = start_flows(self.authority, self.folder / "flows", port=self.ports.flows)
        self._running.callback(self.flows.stop)
        self.write_config()
        self.casb = self._casb()
        self._running.callback(self.casb.stop, 30)
        self.casb.wait_until(self.ready, 60)

    def _our_ca(self) -> Path | None:
        return self.our_ca if self.our_ca.exists() else None

    @property
    def our_ca(self) -> Path:
        """The certificate of the proxy's own authority: what browsers must trust."""
        return self.folder / "authority" / "casb-ca.pem"

    def _casb(self) -> Child:
        command = [sys.executable, "-m", "casb.cli", "up", "--config", str(self.config), "--workers", str(self.workers)]
        self.casb_log.unlink(missing_ok=True)
        return Child("casb up", command, self.casb_log, environment=self.environment, folder=ROOT)

    @property
    def environment(self) -> dict[str, str]:
        """What `casb` needs to find itself and the secrets that its configuration names."""
        return {**self._secrets, "PYTHONPATH": str(ROOT / "addons"), "PYTHONUNBUFFERED": "1"}

    def ready(self) -> bool:
        """True when proxy and sidecar both say that they can serve."""
        if not (listening(self.ports.health) and listening(self.ports.sidecar)):
            return False
        with requests.Session() as session:
            session.trust_env = False
            for port in (self.ports.health, self.ports.sidecar):
                with contextlib.suppress(requests.RequestException):
                    if session.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200:
                        continue
                return False
        return True

    def _registrations(self) -> list[ClientRegistration]:
        login = self.login
        return [
            ClientRegistration(
                id=PROXY_CLIENT,
                secret=self._secrets["CASB_DEMO_PROXY_SECRET"],
                redirect_uris=[f"{login}/.casb/oidc/callback"],
                post_logout_redirect_uris=[f"{login}/.casb/signed-out"],
                backchannel_logout_uri=f"{login}/.casb/oidc/backchannel-logout",
            ),
            ClientRegistration(
                id=PORTAL_CLIENT,
                secret=self._secrets["CASB_DEMO_PORTAL_SECRET"],
                redirect_uris=[f"{self.portal}/auth/callback"],
                post_logout_redirect_uris=[f"{self.portal}/"],
            ),
        ]

    @property
    def login(self) -> str:
        """Where people sign in."""
        return f"https://login.{SUFFIX}:{self.ports.reverse}"

    @property
    def portal(self) -> str:
        """Where admins look."""
        return f"http://127.0.0.1:{self.ports.sidecar}"

    def url(self, app: DemoApp, path: str = "/") -> str:
        """An application's page through the proxy."""
        return f"https://{app.domain}.{SUFFIX}:{self.ports.reverse}{path}"

    def write_config(self) -> None:
        """The shipped policies (those already here are kept) and a deployment with our ports."""
        if SHIPPED.is_dir():
            for source in SHIPPED.rglob("*.yaml"):
                target = self.config / source.relative_to(SHIPPED)
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, target)
        (self.config / "apps").mkdir(parents=True, exist_ok=True)
        (self.config / "casb.yaml").write_text(
            "# Written by scripts/demo for the ports in use.\n" + _yaml(self._deployment())
        )
        for app in (self.files, self.flows):
            path = self.config / "apps" / f"{app.id}.yaml"
            shipped = SHIPPED / "apps" / path.name
            text = shipped.read_text() if shipped.exists() else _yaml(_app(app))
            path.write_text(f"{text}\n# Written by scripts/demo:\n{_yaml({'upstream': _upstream(app)})}")

    def _deployment(self) -> dict[str, Any]:
        address = "127.0.0.1:{}".format
        tenant = self.entra.tenants[0]["id"]
        return {
            "version": 1,
            "suffix": SUFFIX,
            "data": str(self.data),
            "authority": str(self.folder / "authority"),
            "listeners": {
                "reverse": address(self.ports.reverse),
                "forward": address(self.ports.forward),
                "sidecar": address(self.ports.sidecar),
                "health": address(self.ports.health),
            },
            "providers": [
                {
                    "id": "entra",
                    "kind": "entra",
                    "authority": self.entra.issuer,
                    "client_id": PROXY_CLIENT,
                    "client_secret": "env:CASB_DEMO_PROXY_SECRET",
                    "tenants": [tenant],
                    "ca": str(self.entra.ca),
                    "domains": [DOMAIN],
                    "device": {"compliant": ["c1"], "hybrid_joined": ["c2"]},
                }
            ],
            "sidecar": {
                "public_url": self.portal,
                "admins": {
                    "local": False,
                    "provider": "entra",
                    "group": ADMINS,
                    "client_id": PORTAL_CLIENT,
                    "client_secret": "env:CASB_DEMO_PORTAL_SECRET",
                },
            },
            "record_flows": str(self.recorded),
        }


def _app(app: DemoApp) -> dict[str, Any]:
    return {"id": app.id, "name": app.name, "domains": [app.domain], "category": app.category, "tag": "sanctioned"}


def _upstream(app: DemoApp) -> dict[str, Any]:
    return {"connect": f"127.0.0.1:{app.port}", "ca": str(app.ca)}


def _yaml(value: dict[str, Any]) -> str:
    return str(yaml.safe_dump(value, sort_keys=False))


RISKY = "127.0.66.6"
"""The loopback address that plays a network which the shipped `ranges.yaml` calls risky."""


def casb(stack: Stack, *arguments: str) -> tuple[int, str, str]:
    """Runs a `casb` verb as an admin would; exit status, standard output, standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "casb.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=stack.folder,
        env={**os.environ, **stack.environment, "NO_COLOR": "1"},
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr
