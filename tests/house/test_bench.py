"""`scripts/bench` runs from end to end. What it measures here means nothing: the rounds are far too short."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench_lib.cases import Case, Result, Sample
from bench_lib.contestants import policy_files
from bench_lib.load import Job, LoadFailed, _Reader

from casb.policy.compile import compile_policies
from casb.policy.loader import load

ROOT = Path(__file__).resolve().parents[2]


def sample(cpu_ms: float) -> Sample:
    return Sample(cpu_ms=cpu_ms, per_second=1.0, peak_bytes=0)


@pytest.mark.e2e
def test_quick_measures_every_contestant_in_every_case() -> None:
    paths = os.pathsep.join(str(ROOT / each) for each in ("addons", "scripts"))
    command = [sys.executable, "-m", "bench_lib", "--quick", "--format", "json", "--policies", "200"]
    ended = subprocess.run(
        [*command, "--seconds", "0.2", "--megabytes", "2"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "", "progress is for terminals only"
    found = json.loads(ended.stdout)
    seen = {case["id"]: set(case["contestants"]) for case in found["cases"]}
    everyone = {"mitmdump", "casb", "nginx"}
    compared = ("json", "html", "json-h2", "connect", "download")
    assert seen == {**{case: everyone for case in compared}, "protect": {"casb"}}
    assert {row["name"] for row in found["waits"]} == everyone
    assert len(found["bodies"]) == 8 and all(row["10000"] > 0 for row in found["bodies"])
    assert len(found["memory"]) == 7 and all(row.get("peak_mb", 1) >= 0 for row in found["memory"][:6])
    assert {"mitmproxy", "nginx", "python"} <= set(found["versions"])
    assert found["machine"]["cores"]


def test_ratios_are_taken_within_a_round() -> None:
    case = Case(id="x", title="x", kind="keep-alive", path="/", least=1)
    result = Result(case=case, samples={"a": [sample(1.0), sample(4.0)], "b": [sample(2.0), sample(4.0)]})
    assert result.ratios("a", "b") == [0.5, 1.0]
    assert result.ratios("a", "missing") == []
    assert result.median("b").cpu_ms == 3.0


def test_the_generated_policies_are_valid_and_as_many_as_asked_for() -> None:
    documents = {f"{number}.yaml": text.encode() for number, text in enumerate(policy_files(600))}
    assert len(compile_policies(load(documents, limit=1 << 20).policies).all) == 600


JOB = Job(kind="keep-alive", port=1, host="h", authority="h", ca="", path="/", least=3)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_the_client_counts_whole_answers_however_they_arrive(cut: int) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: x\r\nContent-Length: 5\r\n\r\nabcde"
    reader = _Reader(JOB)
    sizes = [reader.feed(answer[:cut]), reader.feed(answer[cut:])]
    assert [each for each in sizes if each is not None] == [5]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 5\r\n\r\nabcde", id="refused"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", id="too short"),
    ],
)
def test_an_answer_that_is_not_the_one_expected_ends_the_run(answer: bytes) -> None:
    with pytest.raises(LoadFailed):
        _Reader(JOB).feed(answer)
