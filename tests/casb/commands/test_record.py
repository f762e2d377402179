"""`casb record`: the flag reaches the workers, and a file that cannot be written is told before anything starts."""

import argparse
import os
from pathlib import Path

import pytest

from casb.cli import main
from casb.commands import record, up
from casb.settings import RECORD_FLOWS


def test_a_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", str(tmp_path / "missing" / "story.mitm")]) == 1
    assert "C127 flows cannot be recorded there: no such file or directory" in capsys.readouterr().err


def test_what_is_started_is_told_where_to_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = tmp_path / "story.mitm"
    monkeypatch.setenv(RECORD_FLOWS, "")
    told: list[str] = []

    def running(_: argparse.Namespace) -> int:
        told.append(os.environ[RECORD_FLOWS])
        story.write_bytes(b"flows")
        return 0

    monkeypatch.setattr(up, "run", running)
    arguments = argparse.Namespace(file=story, config=tmp_path, workers=1)
    assert record.run(arguments) == 0
    assert told == [str(story)]
    assert story.stat().st_mode & 0o777 == 0o600
