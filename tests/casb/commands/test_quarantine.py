"""`casb quarantine`: list, show, release, delete, fetch; with a reason, and audited."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from casb.cli import main
from casb.protection.encrypt import HandOver
from casb.settings import Settings
from casb.store.keyring import Keyring
from casb.store.quarantine_desk import Desk
from casb.store.quarantine_sqlite import row_of

BODY = b"kept bytes"
TEXTS = ("user_name", "app", "app_name", "policy", "type", "failure")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = tmp_path / "config"
    config.mkdir()
    (config / "casb.yaml").write_text("version: 1\nsuffix: casb.localhost\ndata: ../data\n")
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    desk = Desk(Settings(suffix="casb.localhost"), data)
    facts = HandOver(file="01A", user="t/ada")
    desk.vault.keep(facts, [BODY], Keyring.load_or_create(data).wrap, os.urandom, None)
    line = dict.fromkeys(TEXTS, "") | {"id": "01A", "user": "t/ada", "name": "a\x1b[2J.txt", "facts": {}}
    line |= {"time": "2026-03-02T08:00:00Z", "until": "2099-03-02T08:00:00Z"}
    desk.rows.keep([row_of({**line, "size": len(BODY), "sha256": hashlib.sha256(BODY).hexdigest()})])
    return tmp_path


def run(folder: Path, *arguments: str) -> int:
    return main(["quarantine", "--config", str(folder / "config"), *arguments])


def test_a_file_is_listed_fetched_released_and_deleted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "list") == 0
    told = capsys.readouterr().out
    assert told.startswith("01A  2026-03-02 08:00  kept")
    assert "\x1b" not in told
    target = folder / "sample"
    assert run(folder, "fetch", "01A", "--to", str(target), "--why", "to look at") == 0
    assert target.read_bytes() == BODY
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SystemExit):
        run(folder, "fetch", "01A", "--to", str(target))
    assert run(folder, "release", "01A", "--why", "false alarm") == 0
    assert capsys.readouterr().out == "released\n"
    assert run(folder, "delete", "01A", "--why", "enough") == 0
    assert run(folder, "show", "01A") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["state"], shown["changed_why"]) == ("deleted", "enough")
    audited = [json.loads(line) for line in (folder / "data" / "audit.jsonl").read_text().splitlines()]
    assert [each["what"].split()[0] for each in audited] == ["fetch", "fetch", "release", "delete"]
    assert audited[0]["detail"] == {"file": "01A", "why": "to look at"}


@pytest.mark.parametrize("verb", ["show", "release", "delete"])
def test_what_is_not_there_is_told(folder: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert run(folder, verb, "none", *(() if verb == "show" else ("--why", "w"))) == 1
    assert "S084" in capsys.readouterr().err
    assert not (folder / "data" / "audit.jsonl").exists()
