"""The audit log of commands."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from casb.errors import StoreError
from casb.store.auditfile import FILE, note

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def test_lines_are_added(tmp_path: Path) -> None:
    note(tmp_path, "one", NOW, file="a\nb")
    note(tmp_path, "two", NOW)
    lines = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert [line["what"] for line in lines] == ["one", "two"]
    assert lines[0]["detail"] == {"file": "a\nb"}
    assert lines[0]["time"] == "2026-11-21T12:00:00.000Z"
    assert "uid" in lines[0]["who"]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_line_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="K004"):
        note(tmp_path / "nowhere", "one", NOW)
