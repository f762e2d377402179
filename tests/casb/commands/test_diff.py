"""`casb diff`: folders and git revisions."""

import json
import subprocess
from pathlib import Path

import pytest

from casb.cli import main

POLICY = "version: 1\npolicies:\n- {id: p, activities: download, action: block}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "p.yaml").write_text(POLICY)
    (policies / "casb.yaml").write_text("version: 1\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.test"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *command], check=True)
    (policies / "p.yaml").write_text(POLICY.replace("block", "audit"))
    return policies


def test_against_a_revision(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "HEAD", "--config", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("- p: records where it was: blocks  (")
    assert err == "1 changes: 0 tighter (+), 1 looser (-)\n"


def test_between_revisions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "HEAD", "HEAD", "--config", str(folder)]) == 0
    assert capsys.readouterr().err == "no difference in meaning\n"


def test_between_folders(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert main(["diff", str(other), str(folder), "--format", "json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["policy"], found["direction"], found["line"]) == ("p", "other", 3)


@pytest.mark.parametrize("name", ["no-such-revision", "--output=/tmp/x", ""])
def test_what_is_neither(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "--config", str(folder), "--", name]) == 1
    assert "P061" in capsys.readouterr().err


def test_a_broken_version_is_told_with_its_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "p.yaml").write_text(POLICY.replace("block", "blok"))
    assert main(["diff", "HEAD", "--config", str(folder)]) == 1
    assert "p.yaml:3:41: P014 unknown action 'blok'" in capsys.readouterr().err
