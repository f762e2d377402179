"""A configuration folder and the real `casb serve` on a free port."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from live_sidecar import APP, POLICIES, Deployment


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path / "policies"
    (folder / "apps").mkdir(parents=True)
    (folder / "casb.yaml").write_text(
        f"version: 1\nsuffix: casb.example\ndata: var\nlisteners:\n  sidecar: 127.0.0.1:{port}\n"
    )
    (folder / "apps/files.yaml").write_text(APP)
    (folder / "payroll.yaml").write_text(POLICIES)
    made = Deployment(folder, port)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
