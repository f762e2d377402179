"""`casb test`: passing and failing cases, coverage, and the formats for machines."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from casb.cli import main

POLICY = """version: 1
policies:
  - id: block-x
    activities: download
    when: {device: unmanaged, file: x*}
    action: block
"""
CASES = """policies: [../p.yaml]
cases:
  - name: x is blocked
    given: {activity: download, file: x}
    expect: {action: block, policy: block-x}
"""
WRONG = """  - name: y is blocked
    given: {activity: download, file: y}
    expect: {action: block}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies" / "tests").mkdir(parents=True)
    (tmp_path / "policies" / "p.yaml").write_text(POLICY)
    (tmp_path / "policies" / "tests" / "p_test.yaml").write_text(CASES)
    return tmp_path / "policies"


def test_passing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test"]) == 0
    out, err = capsys.readouterr()
    assert out == "ok    x is blocked\n"
    assert err == "1 passed, 0 failed, 0 errors\n"


def test_failing_says_expected_actual_and_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "tests" / "p_test.yaml").write_text(CASES + WRONG)
    assert main(["test", "policies"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "ok    x is blocked",
        "FAIL  y is blocked  (policies/tests/p_test.yaml:6:5)",
        "      policies/tests/p_test.yaml:8:14: action: expected block, got allow",
        "        block-x did not match: policies/p.yaml:5:31 file: x* — y",
    ]


def test_coverage_names_what_no_case_reaches(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "--coverage"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1:] == [
        "uncovered: policies/p.yaml:5:12: block-x: device: unmanaged: no case shows it failing",
        "uncovered: policies/p.yaml:5:31: block-x: file: x*: no case shows it failing",
    ]
    assert err.endswith("2 gaps in coverage\n")
    (folder / "tests" / "p_test.yaml").write_text(CASES.replace("file: x", "file: y").replace("block", "allow", 1))
    main(["test", "--coverage"])
    assert "policies/p.yaml:5:31: block-x: file: x*: no case shows it holding" in capsys.readouterr().out


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "tests" / "p_test.yaml").write_text(CASES + WRONG)
    assert main(["test", "--format", "json", "--coverage"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [(case["name"], case["passed"], case["action"], case["policy"]) for case in document["cases"]] == [
        ("x is blocked", True, "block", "block-x"),
        ("y is blocked", False, "allow", None),
    ]
    assert document["cases"][1]["differences"] == [
        {
            "what": "action",
            "expected": "block",
            "actual": "allow",
            "file": "policies/tests/p_test.yaml",
            "line": 8,
            "column": 14,
        }
    ]
    assert document["errors"] == []
    assert [gap["condition"] for gap in document["uncovered"]] == ["device: unmanaged"]


def test_junit(folder: Path, tmp_path: Path) -> None:
    (folder / "tests" / "p_test.yaml").write_text(CASES + WRONG)
    assert main(["test", "--junit", "report.xml"]) == 1
    root = ElementTree.fromstring((tmp_path / "report.xml").read_text())  # noqa: S314  # our own
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.get("name") for case in suite] == ["x is blocked", "y is blocked"]
    failure = suite[1].find("failure")
    assert failure is not None and failure.get("message") == "action: expected block, got allow"


def test_broken_files_are_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "p.yaml").write_text(POLICY.replace("block\n", "blok\n"))
    (folder / "tests" / "q_test.yaml").write_text(CASES.replace("p.yaml", "q.yaml"))
    (folder / "q.yaml").write_text(POLICY.replace("block-x", "block-z"))
    assert main(["test"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "policies/p.yaml:6:13: P014 unknown action 'blok'; did you mean 'block'?",
        "policies/tests/q_test.yaml:5:37: P060 no policy 'block-x' in the files of this test; did you mean 'block-z'?",
    ]
    assert err == "0 passed, 0 failed, 2 errors\n"


def test_nothing_to_test_is_a_no(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "tests" / "p_test.yaml").unlink()
    assert main(["test"]) == 1
    assert "there is no *_test.yaml in these paths" in capsys.readouterr().err


def test_a_wrong_call(folder: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["test", "--nonsense"])
    assert caught.value.code == 2


def test_the_shipped_cases_pass_and_leave_no_gap(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    assert main(["test", "--coverage"]) == 0
    assert "uncovered" not in capsys.readouterr().out


def test_mutants_that_no_case_notices(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "--mutate"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1:] == [
        "survived: policies/p.yaml:4:5: block-x: activities is left out: it concerns every one: no case notices",
        "survived: policies/p.yaml:5:12: block-x: 'device: unmanaged' is dropped: no case notices",
        "survived: policies/p.yaml:5:31: block-x: 'file: x*' is dropped: no case notices",
    ]
    assert err == "1 passed, 0 failed, 0 errors, 4 of 7 mutants noticed\n"
    assert main(["test", "--mutate", "--strict"]) == 1, "survivors are failures"


def test_mutants_as_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["test", "--mutate", "--format", "json"])
    answer = json.loads(capsys.readouterr().out)["mutation"]
    assert (answer["tried"], len(answer["survived"])) == (7, 3)
    assert answer["survived"][0]["line"] == 4


def test_no_mutants_while_a_case_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "p.yaml").write_text(POLICY.replace("action: block", "action: audit"))
    assert main(["test", "--mutate"]) == 1
    assert "no mutation testing while a case fails" in capsys.readouterr().err
