"""Starts the emulated Entra of `tests/idp` and steers it: `EmulatedEntra` is what tests and the demo hold."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import requests

from demo_lib.pki import DemoAuthority
from demo_lib.processes import Child, StartError

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests" / "idp"
STARTED = '{"base":'


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRegistration:
    """An app registration. `certificate` is the PEM path of its public certificate."""

    id: str
    redirect_uris: Sequence[str]
    secret: str | None = None
    certificate: Path | None = None
    post_logout_redirect_uris: Sequence[str] = ()
    backchannel_logout_uri: str | None = None
    frontchannel_logout_uri: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As the server's configuration wants it."""
        return {
            "id": self.id,
            "redirect_uris": list(self.redirect_uris),
            "secret": self.secret,
            "certificate": self.certificate and str(self.certificate),
            "post_logout_redirect_uris": list(self.post_logout_redirect_uris),
            "backchannel_logout_uri": self.backchannel_logout_uri,
            "frontchannel_logout_uri": self.frontchannel_logout_uri,
        }


@dataclass(slots=True)
class EmulatedEntra:
    """A running identity provider. `issuer` is the first tenant's; `ca` the PEM that its TLS certificate chains to."""

    child: Child
    base: str
    issuer: str
    organizations: str
    control: str
    ca: Path
    port: int = 0
    tenants: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        authority: DemoAuthority,
        clients: Sequence[ClientRegistration],
        log: Path,
        *,
        port: int = 0,
        tenants: Sequence[Mapping[str, Any]] | None = None,
        backchannel_ca: Path | None = None,
        base: str | None = None,
    ) -> Self:
        """Starts it and waits until it listens. `backchannel_ca` is trusted for back-channel logout; `base` is its
        address as browsers know it, when something stands in front of it."""
        node = shutil.which("node")
        if node is None:
            raise StartError("Node.js is not installed: the emulated identity provider needs version 20 or newer")
        install_node_modules(SOURCE)
        leaf = authority.leaf("idp", ["localhost", "127.0.0.1"])
        settings = {
            "key": str(leaf.key),
            "cert": str(leaf.certificate),
            "ca": backchannel_ca and str(backchannel_ca),
            "port": port,
            "base": base,
            "clients": [client.as_json() for client in clients],
            "tenants": tenants,
            "follow_stdin": True,
        }
        written = {name: value for name, value in settings.items() if value is not None}
        log.unlink(missing_ok=True)
        environment = {"CASB_IDP_CONFIG": json.dumps(written), "NODE_ENV": "production"}
        child = Child("emulated Entra", [node, str(SOURCE / "server.mjs")], log, environment=environment)
        try:
            child.wait_until(lambda: STARTED in log.read_text())
        except StartError:
            child.stop()
            raise
        line = next(line for line in log.read_text().splitlines() if line.startswith(STARTED))
        return cls(child, ca=authority.certificate_path, **json.loads(line))

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """A request to the control API (see `tests/idp/control.mjs`); its JSON answer."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, self.control + path, json=body, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def set_user(self, name: str, **changes: Any) -> None:
        """Changes a user: `device` (compliant, hybrid, unmanaged), `disabled`, `groups`, `acrs`, …"""
        self.call("POST", f"/users/{name}", changes)

    def sign_in_without_page(self, name: str | None, *, mfa: bool = False) -> None:
        """Sign-ins from now on are this user's without asking; None: the page is back."""
        self.call("POST", "/automatic", {"user": name, "mfa": mfa})

    def rotate_keys(self, *, drop: bool = False) -> str:
        """A new signing key; with `drop` the old ones are published no longer. Gives its `kid`."""
        return str(self.call("POST", "/keys/rotate", {"drop": drop})["kid"])

    def revoke_sessions(self, name: str) -> int:
        """Ends the user's sessions here and tells the applications; how many ended."""
        return int(self.call("POST", "/sessions/revoke", {"user": name})["ended"])

    def fail(self, path: str, **how: Any) -> None:
        """Requests whose path contains `path` fail: `status=503`, `delay=ms`, `bytes=n` or `silent=True`."""
        self.call("POST", "/faults", {"path": path, **how})

    def recover(self) -> None:
        """Ends all faults."""
        self.call("DELETE", "/faults")

    def seen(self) -> list[dict[str, Any]]:
        """Requests so far: time, method, path, status."""
        found: list[dict[str, Any]] = self.call("GET", "/requests")
        return found

    def stop(self) -> None:
        self.child.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def install_node_modules(folder: Path) -> None:
    """`npm ci` when the lock is newer than what is installed."""
    with (folder / "package.json").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # Parallel test runs must not install over each other.
        _install_node_modules(folder)


def _install_node_modules(folder: Path) -> None:
    lock, stamp = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    if stamp.exists() and stamp.stat().st_mtime >= lock.stat().st_mtime:
        return
    npm = shutil.which("npm")
    if npm is None:
        raise StartError("npm is not installed: it fetches the emulated identity provider's packages")
    done = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StartError(f"npm ci in {folder} failed:\n{done.stdout}{done.stderr}")
