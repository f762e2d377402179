"""`scripts/demo` as a person runs it: it starts, says where everything is, ends without a trace; its story holds."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_lib.idp import ROOT
from demo_lib.processes import command_of, descendants

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

LAST_LINE = "Ctrl-C stops all of it"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (tmp_path / "demo.log").open("wb") as log:
        command = ["scripts/demo", "--folder", str(tmp_path / "demo")]
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield process
        finally:
            left = [process.pid, *descendants(process.pid)]
            for pid in left:
                if command_of(pid):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def test_it_says_where_everything_is_and_ends_without_a_trace(demo: subprocess.Popen[bytes], tmp_path: Path) -> None:
    log = tmp_path / "demo.log"
    deadline = time.monotonic() + 150
    while LAST_LINE not in log.read_text() and demo.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    text = log.read_text()
    assert LAST_LINE in text
    for told in ("files.contoso.example.casb.localhost", "http://127.0.0.1:", "ben@contoso.example", "proxy.pac"):
        assert told in text
    started = descendants(demo.pid)
    names = [" ".join(command_of(pid)) for pid in started]
    for part in ("server.mjs", "copyparty", "node-red", "casb.cli serve", "casb.proxy.worker"):
        assert any(part in name for name in names), (part, names)

    demo.send_signal(signal.SIGINT)

    assert demo.wait(60) == 0
    assert [" ".join(command_of(pid)) for pid in started if command_of(pid)] == []


def test_its_story_holds(tmp_path: Path) -> None:
    command = ["scripts/demo", "--check", "--folder", str(tmp_path / "check"), "--screenshots", str(tmp_path / "seen")]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "the whole story holds" in done.stdout
    pictures = {path.name.partition("-")[2] for path in (tmp_path / "seen").glob("*.png")}
    assert {"blocked.png", "protected.png", "risky-network.png", "portal-activity-log.png"} <= pictures
