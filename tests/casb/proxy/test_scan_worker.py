"""The worker program by itself: its frames, and its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from casb.proxy.scan_worker import FRAME

COMMAND = [sys.executable, "-P", "-B", "-m", "casb.proxy.scan_worker", str(1024**3), "5"]
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(sys.path)}


def request(body: bytes, **changes: object) -> bytes:
    head = json.dumps({"name": "a.txt", "declared_type": None, "path": None, "size": len(body)} | changes).encode()
    return FRAME.pack(len(head)) + head + body


def run(sent: bytes) -> tuple[int, list[dict[str, object]]]:
    done = subprocess.run(COMMAND, input=sent, capture_output=True, env=ENVIRONMENT, timeout=60, check=False)
    answers = []
    rest = done.stdout
    while rest:
        (length,) = FRAME.unpack(rest[:4])
        answers.append(json.loads(rest[4 : 4 + length]))
        rest = rest[4 + length :]
    return done.returncode, answers


def test_one_answer_per_file_and_a_quiet_end() -> None:
    status, answers = run(request(b"hello") + request(b"%PDF-1.7"))
    assert status == 0
    assert [each["detected_type"] for each in answers] == ["text/plain", "application/pdf"]


def test_a_path_that_is_not_there_is_an_answer() -> None:
    status, answers = run(request(b"", path="/nonexistent"))
    assert (status, len(answers)) == (0, 1)
    assert answers[0]["verdict"] == {
        "status": "unscannable",
        "findings": [],
        "label": None,
        "inspector": "structure",
        "why": "unreadable",
    }


def test_a_reader_that_dies_ends_the_worker_without_an_answer() -> None:
    # A name that is no text makes the reader fail outside of `scan`.
    assert run(request(b"x", name=None) + request(b"hello")) == (1, [])


def test_it_never_loads_the_proxy() -> None:
    code = "import casb.proxy.scan_worker, sys; sys.exit('mitmproxy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=False).returncode == 0
