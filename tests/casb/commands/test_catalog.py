import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from casb.cli import main
from casb.store.learned_sqlite import LearnedHost, LearnedHosts

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "apps").mkdir()
    (tmp_path / "casb.yaml").write_text("suffix: casb.example\ndata: data\n")
    (tmp_path / "apps/files.yaml").write_text("id: files\nname: F  # kept\ndomains:\n  - files.example\n")
    (tmp_path / "data").mkdir()
    return tmp_path


def test_what_was_learned_is_listed_until_it_is_attached(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = datetime(2026, 3, 2, 8, tzinfo=UTC)
    found = LearnedHost(
        app="files",
        host="cdn.example",
        first=start,
        last=start,
        count=3,
        page="files.example/a",
        kinds=frozenset({"font"}),
    )
    LearnedHosts(folder / "data").add([found])
    config = ["--config", str(folder)]
    assert main(["catalog", "learned", *config]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [
        *("cdn.example", "files", "3", "font", "2026-03-02T08:00:00.000Z", "files.example/a")
    ]
    assert main(["catalog", "learned", "--format", "csv", "--app", "files", *config]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("cdn.example,files,3,font,")
    assert main(["catalog", "attach", "cdn.example", "--app", "files", *config]) == 0
    assert (folder / "apps/files.yaml").read_text().endswith("# kept\ndomains:\n  - files.example\n  - cdn.example\n")
    noted = json.loads((folder / "data/audit.jsonl").read_text())
    assert (noted["what"], noted["detail"]["host"]) == ("host attached", "cdn.example")
    capsys.readouterr()
    assert main(["catalog", "attach", "cdn.example", "--app", "files", *config]) == 0
    assert "already" in capsys.readouterr().out
    assert main(["catalog", "learned", "--format", "json", *config]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_wildcard_over_a_public_suffix_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "apps/files.yaml").read_text()
    assert main(["catalog", "attach", "*.github.io", "--app", "files", "--config", str(folder)]) == 1
    assert "C112" in capsys.readouterr().err
    assert (folder / "apps/files.yaml").read_text() == before
