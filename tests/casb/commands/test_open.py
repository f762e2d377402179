"""`casb open`: who, for whom, and what stays on the disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from casb.cli import main
from casb.commands.open import plain_text
from casb.protection.encrypt import AgeProtector
from casb.store.keyring import Keyring

ADA = "contoso/ada"
PLAIN = os.urandom(300_000)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "casb.yaml").write_text(f"version: 1\nsuffix: casb.test\ndata: {tmp_path / 'var'}\n")
    order = {"user": ADA, "user_name": "ada@contoso.example", "policy": "protect-downloads", "file": "f-1"}
    work = AgeProtector(Keyring.load_or_create(tmp_path / "var").wrap, os.urandom).start("q3.xlsx", "", None, order)
    (tmp_path / "q3.xlsx.age").write_bytes(work.update(PLAIN) + work.finish())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_who_it_is_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["open", "q3.xlsx.age"]) == 0
    told = capsys.readouterr().out
    assert "ada@contoso.example (contoso/ada)" in told
    assert "protect-downloads" in told
    assert main(["open", "q3.xlsx.age", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["user"] == ADA
    assert not (folder / "q3.xlsx").exists()


def test_the_person_entitled(folder: Path) -> None:
    assert main(["open", "q3.xlsx.age", "--as", ADA]) == 0
    assert (folder / "q3.xlsx").read_bytes() == PLAIN
    assert (folder / "q3.xlsx").stat().st_mode & 0o777 == 0o600
    assert not (folder / "var" / "audit.jsonl").exists()


def test_somebody_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(each.name for each in folder.iterdir())
    assert main(["open", "q3.xlsx.age", "--as", "contoso/bob"]) == 1
    assert "F007" in capsys.readouterr().err
    assert sorted(each.name for each in folder.iterdir()) == before


def test_the_operator_leaves_a_line(folder: Path) -> None:
    assert main(["open", "q3.xlsx.age", "--recover", "-o", "out"]) == 0
    assert (folder / "out").read_bytes() == PLAIN
    line = json.loads((folder / "var" / "audit.jsonl").read_text())
    assert (line["what"], line["detail"]) == ("recover a protected file", {"file": "f-1", "user": ADA})


def test_without_a_line_nothing_is_recovered(folder: Path) -> None:
    (folder / "var" / "audit.jsonl").mkdir()
    assert main(["open", "q3.xlsx.age", "--recover"]) == 1
    assert not (folder / "q3.xlsx").exists()


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "q3.xlsx").write_bytes(b"mine")
    assert main(["open", "q3.xlsx.age", "--as", ADA]) == 2
    assert "already there" in capsys.readouterr().err
    assert (folder / "q3.xlsx").read_bytes() == b"mine"


def test_standard_output(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["open", "q3.xlsx.age", "--as", ADA, "-o", "-"]) == 0
    assert capfdbinary.readouterr().out == PLAIN


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(lambda body: body[:-1], "F005", id="cut"),
        pytest.param(lambda body: body[:-1] + bytes([body[-1] ^ 1]), "F005", id="changed"),
        pytest.param(lambda body: body[:100], "F006", id="half a header"),
        pytest.param(lambda body: b"PK\x03\x04", "F001", id="another file"),
    ],
)
def test_damage_leaves_no_file(change: object, code: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "q3.xlsx.age"
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    before = sorted(each.name for each in folder.iterdir())
    assert main(["open", "q3.xlsx.age", "--as", ADA]) == 1
    assert code in capsys.readouterr().err
    assert sorted(each.name for each in folder.iterdir()) == before


def test_calls_that_are_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["open", "nothing.age"]) == 2
    with pytest.raises(SystemExit, match="2"):
        main(["open", "q3.xlsx.age", "--as", ADA, "--recover"])
    assert "not allowed with" in capsys.readouterr().err


def test_without_the_key_ring(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "var" / "keyring.json").unlink()
    assert main(["open", "q3.xlsx.age"]) == 1
    assert "K001" in capsys.readouterr().err
    assert not (folder / "var" / "keyring.json").exists()


def test_plain_text() -> None:
    assert plain_text("a\x1b[2Jä") == "a\N{REPLACEMENT CHARACTER}[2Jä"
