"""A real Redis server of a test's own: on a free loopback port, in memory only; with TLS and an ACL user on wish."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from casb.settings import Secret
from proxy_world import free_port

USER = "casb"


@dataclass
class RedisServer:
    """A running server. `stop` and `start` make it go away and come back, empty."""

    folder: Path
    port: int
    tls: tuple[str, str] | None = None  # PEM files: certificate, key
    rules: str = ""  # ACL rules of the user `casb`; empty: everybody may do everything
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @classmethod
    @contextlib.contextmanager
    def running(cls, folder: Path, *, tls: tuple[str, str] | None = None, rules: str = "") -> Iterator[RedisServer]:
        """One that runs for as long."""
        server = cls(folder, free_port(), tls, rules)
        server.start()
        try:
            yield server
        finally:
            server.stop()

    @property
    def url(self) -> Secret:
        """Its address."""
        if self.tls is None:
            return Secret(f"redis://127.0.0.1:{self.port}/0")
        return Secret(f"rediss://{USER}@127.0.0.1:{self.port}/0")

    def start(self) -> None:
        """Begin to serve."""
        lines = ["bind 127.0.0.1", 'save ""', "appendonly no", f"dir {self.folder}", "daemonize no"]
        if self.tls is None:
            lines.append(f"port {self.port}")
        else:
            lines += ["port 0", f"tls-port {self.port}", f"tls-cert-file {self.tls[0]}"]
            lines += [f"tls-key-file {self.tls[1]}", "tls-auth-clients no"]
        if self.rules:
            lines += ["user default off", f"user {USER} on {self.rules}"]
        settings = self.folder / "redis.conf"
        settings.write_text("\n".join(lines) + "\n")
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(["redis-server", str(settings)], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / "redis.log").read_text())

    def stop(self) -> None:
        """Go away at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
