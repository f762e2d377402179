"""Bypasses of warnings: they hold for one address and app until their time, and are shared by processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from casb.errors import StoreError
from casb.store.bypasses import FOLDER, Bypasses


def test_a_bypass_holds_until_its_time_for_one_address_and_app(tmp_path: Path) -> None:
    Bypasses(tmp_path).grant("192.0.2.1", "mega", until=1000, now=500)
    other = Bypasses(tmp_path)
    assert other.holds("192.0.2.1", "mega", now=999)
    assert not other.holds("192.0.2.1", "mega", now=1000)
    assert not other.holds("192.0.2.2", "mega", now=999)
    assert not other.holds("192.0.2.1", "box", now=999)
    assert not other.holds("192.0.2.1\0m", "ega", now=999)
    other.revoke("192.0.2.1", "mega")
    assert not Bypasses(tmp_path).holds("192.0.2.1", "mega", now=999)


def test_what_has_run_out_is_swept(tmp_path: Path) -> None:
    bypasses = Bypasses(tmp_path)
    bypasses.grant("a", "mega", until=1000, now=500)
    bypasses.grant("b", "mega", until=3000, now=2000)
    assert len(list((tmp_path / FOLDER).iterdir())) == 1
    bypasses.grant("b", "mega", until=4000, now=2000)
    assert bypasses.holds("b", "mega", now=3500), "granted again, it lasts longer"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file")
    with pytest.raises(StoreError, match="S062"):
        Bypasses(tmp_path).grant("a", "mega", until=2, now=1)
    assert not Bypasses(tmp_path).holds("a", "mega", now=1)
