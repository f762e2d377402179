"""Proxy and sidecar together, supervised: the embedded default for one machine.

Example: casb up --config policies
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `casb up`."""
    parser.add_argument("--config", type=Path, default=Path("policies"), help="the configuration folder")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="proxy worker processes (default: one per core)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Start both, start again whichever dies, stop both on SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    folder = str(arguments.config.resolve())
    parts = {
        "sidecar": ["serve", "--config", folder],
        "proxy": ["proxy", "--config", folder, "--workers", str(arguments.workers)],
    }
    running = {name: _start(parts[name]) for name in parts}
    pauses = dict.fromkeys(parts, 0.25)
    started = {name: time.monotonic() for name in parts}
    due: dict[str, float] = {}
    proven: set[str] = set()  # has run for a while: whatever ends it later is no mistake in the configuration
    try:
        while not stop.wait(0.2):
            for name, process in running.items():
                if process.poll() is None:
                    if time.monotonic() - started[name] > 5:
                        proven.add(name)
                    continue
                if name not in due:
                    lived = time.monotonic() - started[name]
                    if name not in proven and lived < 30 and process.returncode in (1, 2):
                        print(f"{name} cannot start; see above", file=sys.stderr)
                        return 1
                    pauses[name] = min(10.0, pauses[name] * 2) if lived < 5 else 0.25
                    due[name] = time.monotonic() + pauses[name]
                    print(f"{name} ended with status {process.returncode}; starting it again", file=sys.stderr)
                if time.monotonic() >= due[name]:
                    del due[name]
                    running[name] = _start(parts[name])
                    started[name] = time.monotonic()
    finally:
        _end(list(running.values()))
    return 0


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).resolve().parents[2]))
    # A group of its own, so that Ctrl-C reaches it through us and it can end in order.
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "casb.cli", *command], env=environment, start_new_session=True
    )


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in reversed(processes):  # the proxy first: the sidecar takes its last records
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
