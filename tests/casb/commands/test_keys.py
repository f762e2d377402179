"""`casb keys`: what is shown, what is changed, and that it is written down first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from casb.cli import main
from casb.errors import ContentError
from casb.store.keyring import Keyring


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "casb.yaml").write_text(f"version: 1\nsuffix: casb.test\ndata: {tmp_path / 'var'}\n")
    monkeypatch.chdir(tmp_path)
    Keyring.load_or_create(tmp_path / "var")
    return tmp_path / "var"


def test_rotate_and_retire(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ring = Keyring.load(data)
    old, blob = ring.wrap("a", b"", b"secret")
    assert main(["keys", "rotate"]) == 0
    new = capsys.readouterr().out.strip()
    assert ring.wrap("a", b"", b"x")[0] == new
    assert ring.unwrap("a", old, b"", blob) == b"secret", "older files still open"
    assert main(["keys", "retire", old]) == 2
    assert main(["keys", "retire", old, "--yes"]) == 0
    with pytest.raises(ContentError, match="retired"):
        ring.unwrap("a", old, b"", blob)
    assert main(["keys", "list", "--format", "json"]) == 0
    told = capsys.readouterr().out
    assert [(each["id"], bool(each["retired"]), each["current"]) for each in json.loads(told)] == [
        (old, True, False),
        (new, False, True),
    ]
    assert main(["keys", "rotate"]) == 0
    assert len(Keyring.load(data).keys()) == 3, "what was retired stays known"
    lines = [json.loads(each)["what"] for each in (data / "audit.jsonl").read_text().splitlines()]
    assert lines == ["rotate the key ring", "retire a key of the key ring", "rotate the key ring"]


def test_the_current_key_stays(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "retire", Keyring.load(data).keys()[-1].id, "--yes"]) == 1
    assert "K005" in capsys.readouterr().err
    assert main(["keys", "retire", "nothing", "--yes"]) == 1
    assert main(["keys", "list"]) == 0
    assert "current" in capsys.readouterr().out
