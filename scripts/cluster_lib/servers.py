"""Real servers of a cluster on loopback, which can be killed and started again: PostgreSQL, Redis, HAProxy."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIGURATION = Path(__file__).with_name("haproxy.cfg")


class NotStarted(Exception):
    """A server did not come up; the text says which, and how its log ends."""


class Server:
    """A process with a port and a log."""

    name = "server"

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """How it is started."""
        raise NotImplementedError

    def options(self) -> dict[str, Any]:
        """Further arguments of `Popen`."""
        return {}

    def start(self) -> None:
        """Start and wait until it listens. Raises `NotStarted`."""
        log = self.folder / f"{self.name}.log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=out, **self.options()
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            if listens(self.port):
                return
            time.sleep(0.05)
        raise NotStarted(f"{self.name} does not listen:\n{log.read_text()[-1500:]}")

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it and wait."""
        if self.process is not None:
            self.process.send_signal(how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


class Redis(Server):
    """Keeps what it holds across restarts (append-only file)."""

    name = "redis"

    def command(self) -> list[str]:
        settings = ("--bind 127.0.0.1", "--save ", "--appendonly yes", "--appendfsync everysec", f"--port {self.port}")
        words = [word for each in settings for word in each.split(" ", 1)]
        return ["redis-server", *words, "--dir", str(self.folder)]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


class Postgres(Server):
    """A private database cluster, durable, run by somebody who is not root."""

    name = "postgres"

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, port)
        self.data = Path(tempfile.mkdtemp(prefix="casb-pg-"))  # where somebody else finds a way to
        self.who: dict[str, int] = {}
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            nobody = pwd.getpwnam("nobody")
            self.who = {"user": nobody.pw_uid, "group": nobody.pw_gid}
        if self.who:
            os.chown(self.data, self.who["user"], self.who["group"])
        made = subprocess.run(
            [_program("initdb"), "-D", str(self.data / "d"), "-U", "casb", "-A", "trust", "-E", "UTF8", "--locale=C"],
            capture_output=True,
            text=True,
            check=False,
            **self.options(),
        )
        if made.returncode:
            raise NotStarted(f"initdb: {made.stderr[-1500:]}")

    def command(self) -> list[str]:
        settings = f"-p {self.port} -k {self.data} -c listen_addresses=127.0.0.1 -c max_connections=60"
        return [_program("postgres"), "-D", str(self.data / "d"), *settings.split()]

    def options(self) -> dict[str, Any]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {"env": {**environment, "LC_ALL": "C", "HOME": str(self.data)}, "cwd": self.data, **self.who}

    def stop(self, how: int = signal.SIGINT) -> None:
        """Fast shutdown: connections are cut, nothing that was committed is lost."""
        super().stop(how)

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.data, ignore_errors=True)

    @property
    def conninfo(self) -> str:
        return f"host=127.0.0.1 port={self.port} user=casb dbname=postgres"


class Balancer(Server):
    """HAProxy with the shipped configuration."""

    name = "haproxy"

    def __init__(self, folder: Path, port: int, addresses: Mapping[str, str]) -> None:
        super().__init__(folder, port)
        self.addresses = {**addresses, "CASB_BALANCER_SOCKET": str(folder / "balancer.sock")}

    def command(self) -> list[str]:
        return ["haproxy", "-db", "-f", str(CONFIGURATION)]

    def options(self) -> dict[str, Any]:
        return {"env": {**os.environ, **self.addresses}}

    def ask(self, command: str) -> str:
        """A command of its runtime interface."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self.folder / "balancer.sock"))
            line.sendall(f"{command}\n".encode())
            answer = b""
            while piece := line.recv(65536):
                answer += piece
        return answer.decode()

    def up(self, backend: str, server: str) -> bool:
        """Whether it sends anything there."""
        with contextlib.suppress(OSError):
            for line in self.ask("show stat").splitlines():
                parts = line.split(",")
                if parts[:2] == [backend, server]:
                    return parts[17].startswith("UP")
        return False


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _program(name: str) -> str:
    found = shutil.which(name)
    if found:
        return found
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda each: int(each.parts[-3]))
    if not versions:
        raise NotStarted(f"PostgreSQL's {name} is not installed: apt-get install postgresql")
    return str(versions[-1])
