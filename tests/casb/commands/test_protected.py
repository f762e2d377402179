"""`casb protected`, and `casb open` of files with a password."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from casb.cli import main
from casb.protection.encrypt import AgeProtector, HandOver, wrap_secret
from casb.store.keyring import Keyring
from casb.store.protected_sqlite import ProtectedFiles, line_of, row_of

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
ADA = "contoso/ada"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "casb.yaml").write_text(f"version: 1\nsuffix: casb.test\ndata: {tmp_path / 'var'}\n")
    monkeypatch.chdir(tmp_path)
    ring = Keyring.load_or_create(tmp_path / "var")
    (tmp_path / "q3.xlsx").write_bytes(b"sealed")
    key_id, blob = wrap_secret("f1", "pass-word", ring.wrap)
    digest = hashlib.sha256(b"sealed").hexdigest()
    office = HandOver(file="f1", user=ADA, name="q3.xlsx")
    lines = [line_of(office, "office", NOW, sha256=digest, key_id=key_id, secret=blob)]
    order = {"user": ADA, "file": "f2"}
    work = AgeProtector(ring.wrap, os.urandom).start("q3.txt", "", None, order)
    (tmp_path / "q3.txt.age").write_bytes(work.update(b"plain") + work.finish())
    lines.append(line_of(HandOver(file="f2", user=ADA, name="q3.txt"), "age", NOW))
    ProtectedFiles(tmp_path / "var").keep([row_of(each) for each in lines])
    return tmp_path


def test_the_password_is_told_to_the_person(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["open", "q3.xlsx"]) == 0
    assert "pass-word" not in capsys.readouterr().out
    assert main(["open", "q3.xlsx", "--as", ADA]) == 0
    assert capsys.readouterr().out == "pass-word\n"
    assert main(["open", "q3.xlsx", "--as", "contoso/bob"]) == 1
    assert "F007" in capsys.readouterr().err
    assert main(["open", "q3.xlsx", "--recover"]) == 0
    assert "recover a protected file" in (folder / "var" / "audit.jsonl").read_text()
    (folder / "other.xlsx").write_bytes(b"other")
    assert main(["open", "other.xlsx", "--as", ADA]) == 1
    assert "F018" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "file"), [("q3.xlsx", "f1"), ("q3.txt.age", "f2")])
def test_what_is_revoked_or_over_does_not_open(
    folder: Path, name: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    opening = ["open", name, "--as", ADA, "-o", "-"]
    assert main(["protected", "revoke", file]) == 0
    assert main(opening) == 1
    assert "F016" in capsys.readouterr().err
    assert main(["protected", "restore", file]) == 0
    assert main(["protected", "expire", file, "2020-01-01T00:00:00Z"]) == 0
    assert main(opening) == 1
    assert main(["protected", "expire", file, "2999-01-01"]) == 0
    assert main(["protected", "restore", file]) == 1
    lines = [json.loads(each)["what"] for each in (folder / "var" / "audit.jsonl").read_text().splitlines()]
    assert lines[0] == "revoke a protected file"


def test_the_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["protected", "list", "xlsx"]) == 0
    told = capsys.readouterr().out
    assert "q3.xlsx" in told
    assert "q3.txt" not in told
    assert main(["protected", "list", "--format", "json"]) == 0
    assert {each["id"] for each in json.loads(capsys.readouterr().out)} == {"f1", "f2"}
