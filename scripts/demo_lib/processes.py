"""Child processes that end when we end, and free ports."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self


class StartError(RuntimeError):
    """A server did not come up; the text says which one and what it printed last."""


class Child:
    """One server with its log file. It runs in a session of its own, so that stopping it stops what it started."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.command = list(command)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,  # Never written; servers that follow it end with us.
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def last_words(self, lines: int = 15) -> str:
        """The end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_until(self, ready: Callable[[], bool], seconds: float = 30) -> Self:
        """Returns once `ready()` holds; raises `StartError` when the process ends or time runs out first."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise StartError(f"{self.name} ended with status {self.process.returncode}:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} was not ready after {seconds:.0f} s:\n{self.last_words()}")
            time.sleep(0.05)
        return self

    def stop(self, seconds: float = 8) -> None:
        """Asks it to end, then ends it; whatever it started ends with it."""
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        begun = descendants(self.process.pid)  # Some lead sessions of their own: our group signal does not reach them.
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._signal(signal.SIGKILL)
            self.process.wait()
            for left in begun:
                if parent_of(left) == 1:  # An orphan now; any other has a new life with the same number.
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(left, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def parent_of(process: int) -> int | None:
    """The parent's id, or None when the process is gone."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None


def children_of(process: int) -> list[int]:
    """Direct children."""
    numbers = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [number for number in numbers if parent_of(number) == process]


def descendants(process: int) -> list[int]:
    """Children, their children, and so on."""
    found = []
    for child in children_of(process):
        found += [child, *descendants(child)]
    return found


def command_of(process: int) -> list[str]:
    """The command line of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def is_free(port: int, address: str = "127.0.0.1") -> bool:
    """True when nothing listens there and we could."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def free_port(preferred: int = 0) -> int:
    """The preferred port when it is free, otherwise any that is."""
    if preferred and is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int, address: str = "127.0.0.1") -> bool:
    """True when something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((address, port)) == 0
