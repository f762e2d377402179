"""`casb explain`: codes and decisions in plain words, wherever the record is."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import orjson
import pytest

from casb.cli import main
from casb.model.decision import Action
from casb.store.codes import CODES
from casb.store.records_sqlite import SqliteRecords
from casb.store.spool import Spool
from live_sidecar import APP
from sample_records import record

BLOCKED = record(7, action=Action.BLOCK)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "apps").mkdir()
    (tmp_path / "casb.yaml").write_text("version: 1\nsuffix: casb.example\ndata: var\n")
    (tmp_path / "apps/files.yaml").write_text(APP)
    return tmp_path


def keep(folder: Path) -> None:
    (folder / "var").mkdir()
    with contextlib.closing(SqliteRecords.open(folder / "var/casb.db")) as log:
        log.append([BLOCKED, record(8)])


def spool(folder: Path) -> None:
    writer = Spool(folder / "var/spool", "w")
    writer.append(orjson.dumps(BLOCKED))
    writer.close()


@pytest.mark.parametrize("place", ["activity log", "spool"])
def test_a_decision_wherever_it_is(folder: Path, capsys: pytest.CaptureFixture[str], place: str) -> None:
    keep(folder) if place == "activity log" else spool(folder)
    assert main(["explain", BLOCKED["id"], "--config", str(folder)]) == 0
    text = capsys.readouterr().out
    for told in (
        "wanted to",
        "It was blocked by the policy block-downloads-on-unmanaged-devices; 1 other matched too.",
        "policies/unmanaged.yaml:14:5: device: unmanaged",
        "is so: no device tags",
        "watch-everything  (matched)",
        BLOCKED["user"]["name"],
        f"found in: {place}",
    ):
        assert told in text


def test_as_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(folder)
    assert main(["explain", BLOCKED["id"], "--config", str(folder), "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["record"] == BLOCKED
    assert answer["policies"][0]["conditions"][0] == {
        "place": "policies/unmanaged.yaml:14:5",
        "code": "device.tags",
        "condition": "device: unmanaged",
        "fact": "no device tags",
        "truth": "yes",
    }


def test_nothing_of_that_id(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(folder)
    assert main(["explain", "01NOTHING", "--config", str(folder)]) == 1
    assert "there is no activity 01NOTHING" in capsys.readouterr().err


def test_a_database_that_is_none_is_told_and_the_spool_is_asked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spool(folder)
    (folder / "var/casb.db").write_text("not a database " * 99)
    assert main(["explain", BLOCKED["id"], "--config", str(folder)]) == 0
    assert main(["explain", "01NOTHING", "--config", str(folder)]) == 1
    assert "activity log: S02" in capsys.readouterr().err


def test_terminals_obey_nobody(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = {**BLOCKED, "id": "evil", "file": {"name": "\x1b]0;owned\x07\u202eslx"}}
    (folder / "var").mkdir()
    with contextlib.closing(SqliteRecords.open(folder / "var/casb.db")) as log:
        log.append([evil])
    assert main(["explain", "evil", "--config", str(folder)]) == 0
    assert main(["activity", "--config", str(folder)]) == 0
    assert not {"\x1b", "\x07", "\u202e"} & set(capsys.readouterr().out)


@pytest.mark.parametrize("code", ["P014", "p014", "C001", "F004", *sorted(CODES)])
def test_codes(capsys: pytest.CaptureFixture[str], code: str) -> None:
    assert main(["explain", code]) == 0
    assert capsys.readouterr().out.startswith(code.upper())
    assert main(["explain", code, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["code"] == code.upper()


def test_a_code_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "P999"]) == 1
    assert "no error code P999" in capsys.readouterr().err


POLICY = """
version: 1
policies:
- {id: p, apps: files, activities: download, action: block, when: {device: unmanaged}}
"""


def test_a_supposed_activity(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "p.yaml").write_text(POLICY)
    given = "activity: download, app: files, file: a.pdf"
    assert main(["explain", "--given", given, "--config", str(folder)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("It is blocked by p.\n")
    assert "device.tag were compliant (is: no device tags): then allowed" in text
    assert main(["explain", "--given", given, "--config", str(folder), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["policy"] == "p"


def test_a_supposed_activity_with_a_mistake(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--given", "activity: downlod", "--config", str(folder)]) == 1
    assert "did you mean 'download'?" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["P014", "--given", "activity: view"]])
def test_one_question_at_a_time(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *arguments]) == 2


def test_a_recorded_decision_under_the_policies_of_today(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(folder)
    (folder / "p.yaml").write_text(POLICY.replace("apps: files, activities: download", "kind: access"))
    assert main(["explain", BLOCKED["id"], "--config", str(folder)]) == 0
    assert "The policies in the folder decide otherwise today: blocked by p." in capsys.readouterr().out
