"""The worker program by itself: its frames, and its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from casb.proxy.scan_worker import FRAME

COMMAND = [sys.executable, "-P", "-B", "-m", "casb.proxy.scan_worker", str(1024**3)]
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(sys.path)}


def request(body: bytes, **changes: object) -> bytes:
    plain = {"name": "a.txt", "declared_type": None, "path": None, "source": None, "size": len(body), "seconds": 5}
    search: dict[str, object] = {"text": True, "matcher": None, "rules": None, "making": []}
    head = json.dumps(plain | search | changes).encode()
    return FRAME.pack(len(head)) + head + body


def run(sent: bytes) -> tuple[int, list[dict[str, Any]]]:
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
    assert [each["facts"]["detected_type"] for each in answers] == ["text/plain", "application/pdf"]


def test_a_path_that_is_not_there_is_an_answer() -> None:
    status, answers = run(request(b"", path="/nonexistent"))
    assert (status, len(answers)) == (0, 1)
    assert answers[0]["facts"]["verdict"] == {
        "status": "unscannable",
        "findings": [],
        "label": None,
        "inspector": "structure",
        "why": "unreadable",
        "threat": "",
    }


def test_a_reader_that_dies_is_told_and_the_next_file_is_read() -> None:
    # A name that is no text makes the reader fail outside of `scan`.
    status, answers = run(request(b"x", name=None) + request(b"hello"))
    assert (status, answers[0]) == (0, {"why": "crashed"})
    assert answers[1]["facts"]["verdict"]["status"] == "clean"


def test_it_never_loads_the_proxy() -> None:
    code = "import casb.proxy.scan_worker, sys; sys.exit('mitmproxy.http' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=False).returncode == 0
