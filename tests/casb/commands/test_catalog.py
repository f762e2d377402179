import json
from pathlib import Path

import pytest

from casb.cli import main

POLICIES = str(Path(__file__).parents[3] / "policies")


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "list", "--config", POLICIES]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ID", "NAME", "TAG", "CONTROLLED", "DOMAINS"]
    assert lines[1].split() == ["files", "Contoso", "files", "sanctioned", "yes", "files.contoso.example"]

    assert main(["catalog", "list", "--config", POLICIES, "--format", "json"]) == 0
    apps = json.loads(capsys.readouterr().out)
    assert [app["id"] for app in apps] == ["files", "flows"]


def test_match(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "match", "FILES.contoso.example.", "--config", POLICIES]) == 0
    assert capsys.readouterr().out == "files  Contoso files\n"
    assert main(["catalog", "match", "evil.test", "--config", POLICIES]) == 1
    assert capsys.readouterr().err == "no app owns evil.test\n"
    assert main(["catalog", "match", "evil.test", "--config", POLICIES, "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"host": "evil.test", "app": None}


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "show", "flows", "--config", POLICIES]) == 0
    assert "logout:\n  /auth/revoke\n" in capsys.readouterr().out
    assert main(["catalog", "show", "flows", "--config", POLICIES, "--format", "json"]) == 0
    app = json.loads(capsys.readouterr().out)
    assert (app["tag"], app["signatures"][0]["methods"]) == ("sanctioned", ["POST", "PUT"])
    assert main(["catalog", "show", "flws", "--config", POLICIES]) == 1
    assert "did you mean 'flows'?" in capsys.readouterr().err


def test_a_broken_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "casb.yaml").write_text("sufix: x")
    assert main(["catalog", "list", "--config", str(tmp_path)]) == 1
    assert "casb.yaml:1:1: C013 unknown key 'sufix'; did you mean 'suffix'?" in capsys.readouterr().err
    assert main(["catalog", "list", "--config", str(tmp_path / "nowhere")]) == 1
    assert "C121" in capsys.readouterr().err
