"""A deployment on the disk, and the real `casb serve` on it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ADDONS = str(Path(__file__).parents[1] / "addons")


@dataclass
class Deployment:
    """A folder with `casb.yaml`, one app and one policy; `serve` starts the sidecar on it, again and again."""

    folder: Path
    port: int
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        return self.folder / "var"

    @property
    def token(self) -> str:
        return (self.data / "sidecar.token").read_text().strip()

    def serve(self) -> subprocess.Popen[str]:
        process = self.start("serve", "--config", str(self.folder))
        for _ in range(400):
            try:
                if httpx.get(self.url + "/healthz", trust_env=False).status_code == 200:
                    return process
            except httpx.TransportError:
                pass
            if process.poll() is not None:
                break
            time.sleep(0.05)
        process.kill()
        raise AssertionError(process.communicate()[1])

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "casb.cli", *arguments],
            env={**os.environ, "PYTHONPATH": ADDONS},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Exit status, stdout, stderr of a command."""
        done = subprocess.run(
            [sys.executable, "-m", "casb.cli", *arguments],
            env={**os.environ, "PYTHONPATH": ADDONS, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr


POLICIES = """\
version: 1
policies:
  - id: block-payroll
    name: Payroll stays here
    severity: high
    apps: files
    activities: download
    when:
      device: unmanaged
    action: block
"""

APP = """\
id: files
name: Contoso Files
domains: [files.contoso.example]
"""
