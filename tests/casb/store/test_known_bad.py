"""Feeds and rules where the settings say they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casb.errors import ConfigError
from casb.settings import Malware
from casb.store import known_bad

DIGEST = "0" * 64


def test_files_and_folders(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "a.yar").write_text("rule a { condition: true }")
    (rules / ".hidden").write_text("nonsense")
    (rules / "more").mkdir()
    (tmp_path / "feed.txt").write_text(DIGEST)
    found = known_bad.read(Malware(yara=(str(rules),), hashes=(str(tmp_path / "feed.txt"),)))
    assert found is not None and found.rules and found.feed and len(found.feed) == 1


def test_nothing_named_is_nothing_known(tmp_path: Path) -> None:
    assert known_bad.read(None) is None
    assert known_bad.read(Malware(clamd="unix:/x")) is None
    assert known_bad.stamp(None) is None


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    settings = Malware(hashes=(str(tmp_path / "gone"),))
    with pytest.raises(ConfigError, match="C163 the file cannot be read: No such file"):
        known_bad.read(settings)
    assert known_bad.stamp(settings)


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_bad, "LARGEST", 10)
    (tmp_path / "feed").write_text(DIGEST)
    with pytest.raises(ConfigError, match="C163 larger than 10 bytes"):
        known_bad.read(Malware(hashes=(str(tmp_path / "feed"),)))


def test_the_stamp_changes_with_the_files(tmp_path: Path) -> None:
    settings = Malware(yara=(str(tmp_path),))
    seen = [known_bad.stamp(settings)]
    for change in (
        lambda: (tmp_path / "a.yar").write_text("x"),
        lambda: os.utime(tmp_path / "a.yar", ns=(1, 1)),
        lambda: (tmp_path / "a.yar").unlink(),
    ):
        change()
        seen.append(known_bad.stamp(settings))
        assert seen[-1] != seen[-2]
