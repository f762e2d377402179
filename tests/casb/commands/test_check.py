"""`casb check`: what it prints and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from casb.cli import main
from casb.errors import ConfigError, Where

ADDONS = str(Path(__file__).parents[3] / "addons")
GOOD = "version: 1\npolicies:\n  - {id: a, action: audit}\n"
BAD = "version: 1\npolicies:\n  - {id: a, action: blok}\n"
TEST = "policies: [../good.yaml]\ncases:\n  - {name: n, given: {activity: view}, expect: {action: audit, policy: a}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies" / "tests").mkdir(parents=True)
    return tmp_path / "policies"


def test_all_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "good.yaml").write_text(GOOD)
    assert main(["check"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "1 files, 1 policies: all well\n"


def test_errors_of_policies_and_tests(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.yaml").write_text(BAD)
    (folder / "good.yaml").write_text(GOOD.replace("id: a", "id: b"))
    (folder / "tests" / "one_test.yaml").write_text(TEST.replace("good", "gone"))
    (folder / "tests" / "two_test.yaml").write_text(TEST)
    (folder / "tests" / "three_test.yaml").write_text(TEST.replace("view", "veiw"))
    (folder / "tests" / "four_test.yaml").write_text(TEST.replace("good", "bad"))
    assert main(["check", "policies"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "policies/bad.yaml:3:21: P014 unknown action 'blok'; did you mean 'block'?",
        "policies/tests/one_test.yaml:1:12: P060 no policy file '../gone.yaml'; it would be policies/gone.yaml",
        "policies/tests/three_test.yaml:3:33: P014 unknown activity 'veiw'; did you mean 'view'?",
        "policies/tests/two_test.yaml:3:72: P060 no policy 'a' in the files of this test; known: b",
    ]
    assert err == "6 files, 0 policies: 4 errors, 0 warnings\n"


def test_warnings_do_not_fail(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "good.yaml").write_text(GOOD + "  - {id: b, action: audit, activities: copy, when: {file: x}}\n")
    (folder / "tests" / "a_test.yaml").write_text(TEST)
    assert main(["check"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "warning: policies/good.yaml:4:53: P050 the policy can never match: copy concerns no file",
        "warning: policies/good.yaml:4:10: P052 policy 'b' has no test; add a case to tests/*_test.yaml",
    ]


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.yaml").write_text(BAD)
    assert main(["check", "policies/bad.yaml", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "errors": [
            {
                "file": "policies/bad.yaml",
                "line": 3,
                "column": 21,
                "code": "P014",
                "message": "unknown action 'blok'",
                "hint": "did you mean 'block'?",
            }
        ],
        "warnings": [],
    }


def test_apps_and_tags_of_the_folder_are_known(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "apps").mkdir()
    (folder / "casb.yaml").write_text("suffix: casb.example\n")
    (folder / "apps" / "files.yaml").write_text("id: files\nname: Files\ndomains: [files.example]\n")
    (folder / "ranges.yaml").write_text("ranges:\n  - {name: tor, ranges: [203.0.113.0/24], tags: [tor]}\n")
    policy = "version: 1\npolicies:\n  - {id: a, apps: flies, action: audit, when: {client: {ip_tag: tro}}}\n"
    (folder / "one.yaml").write_text(policy)
    assert main(["check"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "policies/one.yaml:3:19: P031 unknown app 'flies'; did you mean 'files'?"
    ]
    (folder / "one.yaml").write_text(policy.replace("flies", "files"))
    assert main(["check"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "warning: policies/one.yaml:3:65: P051 no address range has the tag 'tro'; did you mean 'tor'?"
    ]


def test_errors_of_the_deployment_are_told_as_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "casb.yaml").write_text("sufix: casb.example\n")
    (folder / "bad.yaml").write_text(BAD)
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "policies/casb.yaml:1:1: C013 unknown key 'sufix'; did you mean 'suffix'?" in out
    assert "policies/bad.yaml:3:21: P014" in out


def test_apps_are_not_held_against_policies_when_some_could_not_be_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "apps").mkdir()
    (folder / "casb.yaml").write_text("suffix: casb.example\n")
    (folder / "apps" / "files.yaml").write_text("id: files\n")
    (folder / "one.yaml").write_text("version: 1\npolicies:\n  - {id: a, apps: files, action: audit}\n")
    assert main(["check"]) == 1
    assert {line.split(" ")[1] for line in capsys.readouterr().out.splitlines()} == {"C015"}


def test_a_folder_that_cannot_be_read_as_a_whole(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise ConfigError("C122", "2001 files, at most 2000 are read", Where(file=str(path)))

    (folder / "casb.yaml").write_text("suffix: casb.example\n")
    monkeypatch.setattr("casb.commands.check.load_draft", refuse)
    assert main(["check"]) == 1
    assert capsys.readouterr().out == "policies: C122 2001 files, at most 2000 are read\n"


def test_what_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "nowhere.yaml"]) == 1
    assert capsys.readouterr().out == "nowhere.yaml: P040 the file cannot be opened: it is not there\n"


def test_what_cannot_be_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "sub.yaml").mkdir()
    main(["check"])
    assert "P040 the file cannot be opened" in capsys.readouterr().out


def test_the_shipped_folder_is_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    policies = sorted(str(path) for path in Path("policies").glob("*.yaml") if path.stem not in ("casb", "ranges"))
    tests = sorted(str(path) for path in Path("policies/tests").glob("*_test.yaml"))
    assert main(["check", *policies, *tests]) == 0
    assert capsys.readouterr().out == ""


def test_watching_checks_again_after_each_save(folder: Path) -> None:
    (folder / "good.yaml").write_text(GOOD)
    command = [sys.executable, "-m", "casb.cli", "check", "--watch", str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ADDONS}
    ) as watching:
        try:
            assert watching.stderr is not None and watching.stdout is not None
            told = iter(watching.stderr.readline, "")
            assert "all well" in next(line for line in told if "files" in line)
            (folder / "good.yaml").write_text(GOOD.replace("audit", "audt"))
            assert "1 errors" in next(line for line in told if "files" in line)
            assert "did you mean 'audit'?" in watching.stdout.readline()
        finally:
            watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 130


def test_discovery_policies_are_checked_beside_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(
        "version: 1\npolicies:\n  - {id: a, activities: download, action: blok}\n"
        "  - {id: b, kind: discovery, when: {category: crmm}, daily: {users: 3}}\n"
        "  - {id: c, kind: discovery}\nextra: 1\n"
    )
    Path("b.yaml").write_text("version: 1\npolicies:\n  - {id: c, action: audit}\n")
    assert main(["check", "."]) == 1
    out, _ = capsys.readouterr()
    assert [line.split(" ")[1] for line in out.splitlines()] == ["P014", "P013", "P011"]
    assert out.count("unknown key 'extra'") == 1, "told once, though two rooms read the file"
    Path("a.yaml").write_text("version: 1\npolicies:\n  - {id: c, kind: discovery}\n")
    assert main(["check", "."]) == 1
    assert "a.yaml:3:10: P030 policy id 'c' is used twice; the first one is at b.yaml:3:10" in capsys.readouterr().out
    Path("b.yaml").unlink()
    assert main(["check", "."]) == 0
