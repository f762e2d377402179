"""`casb proxy`: starts worker processes on one port, heals them, ships their records, tells how they are.

It carries no traffic, so nothing a client sends can bring it down.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casb.control.snapshot import Snapshot
from casb.errors import CasbError, Problems
from casb.proxy.health import Health, read_statuses, serve_health
from casb.proxy.reload import Warden, told
from casb.proxy.runtime import now
from casb.store import authority
from casb.store.folder import load_draft
from casb.store.keyring import Keyring
from casb.store.shipper import Shipper
from casb.store.token import sidecar_token

logger = logging.getLogger(__name__)

QUICK_DEATH = 5.0
"""A worker that lives shorter than this many seconds is started again with a growing pause."""


@dataclass(slots=True)
class Worker:
    """One worker process and when it may be started again."""

    process: subprocess.Popen[bytes]
    started: float
    pause: float = 0.0


class Supervisor:
    """Runs until SIGTERM or SIGINT."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.count = workers
        self.warden = Warden(folder)
        self.snapshot, self.in_force = self._first()
        self.settings = self.snapshot.settings
        self.data = Path(self.settings.data)
        self.workers: list[Worker] = []
        self.restarts = 0
        self._stop = threading.Event()

    def _first(self) -> tuple[Snapshot, Path]:
        """The configuration to start with: the folder's, or, while that is broken, the one in force before."""
        try:
            return self.warden.begin()
        except (Problems, CasbError) as problem:
            draft = load_draft(self.folder).settings
            before = self.warden.resume(Path(draft.data)) if draft is not None else None
            if before is None:
                raise
            self.warden.problems = told(problem)
            return before

    def prepare(self) -> None:
        """Make what all workers share, so that they need not race for it."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.data / "workers").mkdir(mode=0o700, exist_ok=True)
        for stale in (self.data / "workers").glob("*.json"):
            stale.unlink()
        Keyring.load_or_create(self.data)
        authority.load_or_create(Path(self.settings.authority), now())

    def run(self) -> int:
        """Start, watch, stop."""
        self.prepare()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: self._stop.set())
        shipper = Shipper(
            self.data / "spool", self.settings.sidecar_url, sidecar_token(self.settings), status=self.heartbeat
        )
        shipper.start()
        self.warden.start()
        health = Health(self.data, self.count, shipper.state, self.warden.warnings)
        stop_health = serve_health(health, self.settings.listeners.health)
        try:
            self.workers = [self._start() for _ in range(self.count)]
            while not self._stop.wait(0.2):
                self._heal()
        finally:
            self.warden.stop()
            self._end_workers()
            shipper.stop()
            stop_health()
        return 0

    def _start(self) -> Worker:
        command = [sys.executable, "-O", "-m", "casb.proxy.worker", "--in-force", str(self.in_force)]
        environment = dict(os.environ, PYTHONPATH=str(Path(__file__).resolve().parents[2]))
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)  # noqa: S603 - our own module
        return Worker(process=process, started=time.monotonic())

    def _heal(self) -> None:
        for index, worker in enumerate(self.workers):
            if worker.process.poll() is None:
                continue
            lived = time.monotonic() - worker.started
            if lived < worker.pause:
                continue
            (self.data / "workers" / f"{worker.process.pid}.json").unlink(missing_ok=True)
            self.restarts += 1
            logger.error(
                "worker ended, starting another pid=%s status=%s", worker.process.pid, worker.process.returncode
            )
            pause = min(10.0, (worker.pause or 0.25) * 2) if lived < QUICK_DEATH else 0.0
            self.workers[index] = self._start()
            self.workers[index].pause = pause

    def _end_workers(self) -> None:
        for worker in self.workers:
            worker.process.terminate()
        deadline = time.monotonic() + 8
        for worker in self.workers:
            try:
                worker.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()

    def heartbeat(self) -> dict[str, Any]:
        """What the sidecar is told about us, for the portal."""
        statuses = read_statuses(self.data)
        return {
            "workers": len(statuses),
            "wanted": self.count,
            "restarts": self.restarts,
            "versions": sorted({each["version"] for each in statuses}),
            "problems": self.warden.warnings() or next((each["problems"] for each in statuses if each["problems"]), []),
        }
