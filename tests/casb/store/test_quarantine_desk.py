"""Releasing, deleting, examining, and keeping files and rows together."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from casb.errors import StoreError
from casb.protection.encrypt import HandOver
from casb.settings import Quarantine, Settings
from casb.store.keyring import Keyring
from casb.store.quarantine_desk import Desk
from casb.store.quarantine_sqlite import row_of

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def made(data: Path, *, two: bool = False, row: bool = True) -> Desk:
    desk = Desk(Settings(suffix="casb.test", quarantine=Quarantine(two_people=two)), data)
    ring = Keyring.load_or_create(data)
    times = {"time": "2026-03-02T08:00:00Z", "expires": "2026-03-03T08:00:00Z"}
    facts = HandOver(file="01A", user="t/ada", user_name="ada", name="a.txt", app="files", policy="p", **times)
    desk.vault.keep(facts, [b"plain"], ring.wrap, os.urandom, None)
    line = {
        "id": "01A",
        "time": times["time"],
        "until": times["expires"],
        "size": 5,
        "sha256": hashlib.sha256(b"plain").hexdigest(),
        "facts": {"reasons": [{"condition": "c"}]},
        **dict.fromkeys(("user", "user_name", "app", "app_name", "policy", "name", "type", "failure"), ""),
    }
    if row:
        desk.rows.keep([row_of(line)])
    return desk


def refused(desk: Desk, what: str, why: str = "w", now: datetime = NOW) -> str:
    with pytest.raises(StoreError) as caught:
        desk.release("01A", "grace", why, now) if what == "release" else desk.delete("01A", "grace", why, now)
    return caught.value.message


def test_a_file_is_examined_released_and_deleted(tmp_path: Path) -> None:
    desk = made(tmp_path)
    assert b"".join(desk.fetch("01A")[1]) == b"plain"
    assert refused(desk, "release", why=" ") == "a release needs a reason"
    assert refused(desk, "delete", why="") == "deleting needs a reason"
    assert refused(desk, "release", now=NOW + timedelta(days=2)) == "its time is over"
    assert desk.release("01A", "grace", "fine", NOW) == "released"
    assert "released" in refused(desk, "release")
    desk.delete("01A", "grace", "enough", NOW)
    assert not desk.vault.ids()
    found = desk.need("01A")
    assert (found.state, found.changed_why, found.facts["reasons"]) == ("deleted", "enough", [{"condition": "c"}])
    assert "deleted" in refused(desk, "delete")
    with pytest.raises(StoreError):
        desk.fetch("01A")


def test_two_people_release(tmp_path: Path) -> None:
    desk = made(tmp_path, two=True)
    assert desk.release("01A", "grace", "fine", NOW) == "asked"
    assert desk.release("01A", "grace", "really", NOW) == "asked"
    assert desk.release("01A", "heidi", "seen", NOW) == "released"


def test_another_file_in_its_place_is_not_released(tmp_path: Path) -> None:
    desk = made(tmp_path)
    desk.vault.delete("01A")
    facts = HandOver(file="01A", user="t/ada")
    desk.vault.keep(facts, [b"other"], Keyring.load(tmp_path).wrap, os.urandom, None)
    assert refused(desk, "release") == "what is kept is not the file that was refused"


def test_what_has_run_out_goes_and_its_row_stays(tmp_path: Path) -> None:
    desk = made(tmp_path)
    late = NOW + timedelta(days=2)
    assert desk.tidy(late, NOW - timedelta(days=90)) == (1, [])
    assert (desk.vault.ids(), desk.need("01A").state) == ({}, "expired")
    desk.tidy(late, late)
    assert desk.rows.get("01A") is None


def test_files_without_rows_get_them_and_strange_ones_stay(tmp_path: Path) -> None:
    desk = made(tmp_path, row=False)
    (desk.vault.folder / "noise.age").write_bytes(b"noise")
    assert desk.tidy(NOW, NOW - timedelta(days=90)) == (0, [])
    found = desk.need("01A")
    assert (found.state, found.name, found.size, found.user) == ("kept", "a.txt", 5, "t/ada")
    assert set(desk.vault.ids()) == {"01A", "noise"}


def test_a_crash_between_row_and_file_is_finished(tmp_path: Path) -> None:
    desk = made(tmp_path)
    desk.rows.end("01A", "deleted", "grace", "w", NOW)  # and then the power went
    desk.tidy(NOW, NOW - timedelta(days=90))
    assert desk.vault.ids() == {}


def test_a_missing_file_is_told_of_where_the_folder_is_here(tmp_path: Path) -> None:
    desk = made(tmp_path)
    away = desk.vault.folder.rename(tmp_path / "elsewhere")
    assert desk.tidy(NOW, NOW - timedelta(days=90)) == (0, [])  # on another machine
    away.rename(desk.vault.folder)
    desk.vault.delete("01A")
    assert [each.id for each in desk.tidy(NOW, NOW - timedelta(days=90))[1]] == ["01A"]
    assert desk.need("01A").state == "lost"
