"""`casb alert`: list, show, close."""

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from casb.cli import main
from casb.store.alerts_sqlite import AlertStore, NewAlert
from casb.store.records_sqlite import Database


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "casb.yaml").write_text("version: 1\nsuffix: casb.example\ndata: var\n")
    (tmp_path / "var").mkdir(mode=0o700)
    with contextlib.closing(Database(tmp_path / "var/casb.db")) as database:
        AlertStore(database).raise_all(
            [
                NewAlert(
                    time=datetime(2026, 3, 2, tzinfo=UTC),
                    kind="policy",
                    policy="p",
                    severity="high",
                    title="Payroll \x1b[31mleft",
                    activity="a1",
                    user="ada",
                )
            ]
        )
    return tmp_path


def call(folder: Path, *arguments: str) -> int:
    return main(["alert", *arguments, "--config", str(folder)])


def test_the_life_of_an_alert(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(folder, "list") == 0
    line = capsys.readouterr().out
    assert "high" in line and "\x1b" not in line
    alert = line.split()[0]
    assert call(folder, "close", alert, "--as", "benign", "--comment", "a drill") == 0
    capsys.readouterr()
    assert call(folder, "show", alert, "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["comment"], told["closed_by"]) == ("benign", "a drill", "command line")
    assert '"what": "alert set"' in (folder / "var/audit.jsonl").read_text()
    assert call(folder, "open", alert) == 0
    capsys.readouterr()
    assert call(folder, "list", "--state", "open", "--format", "json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 1


def test_no_such_alert(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(folder, "show", "nothing") == 1
    assert "there is no alert nothing" in capsys.readouterr().err
