"""The key ring: purposes apart, rotation, races, and what it refuses to trust."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import ContentError, StoreError
from casb.store.keyring import FILE, Keyring


def test_round_trip_across_instances(tmp_path: Path) -> None:
    key_id, blob = Keyring.load_or_create(tmp_path).wrap("a", b"aad", b"secret")
    assert b"secret" not in blob
    assert Keyring.load_or_create(tmp_path).unwrap("a", key_id, b"aad", blob) == b"secret"


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    Keyring.load_or_create(tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder" / FILE).stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path / "new" / "folder")) == [FILE]


def test_a_purpose_cannot_read_anothers(tmp_path: Path) -> None:
    ring = Keyring.load_or_create(tmp_path)
    key_id, blob = ring.wrap("a", b"", b"secret")
    with pytest.raises(ContentError, match="F003"):
        ring.unwrap("b", key_id, b"", blob)


@given(st.binary(max_size=80))
def test_any_blob_gives_a_content_error(tmp_path_factory: pytest.TempPathFactory, blob: bytes) -> None:
    ring = Keyring.load_or_create(tmp_path_factory.getbasetemp() / "any")
    with pytest.raises(ContentError, match="F003"):
        ring.unwrap("a", ring.keys()[-1].id, b"", blob)


def test_changed_associated_data_is_seen(tmp_path: Path) -> None:
    ring = Keyring.load_or_create(tmp_path)
    key_id, blob = ring.wrap("a", b"file 1", b"secret")
    with pytest.raises(ContentError, match="F003"):
        ring.unwrap("a", key_id, b"file 2", blob)


def test_rotation_keeps_old_files_readable_and_is_seen_by_other_processes(tmp_path: Path) -> None:
    ring, other = Keyring.load_or_create(tmp_path), Keyring.load_or_create(tmp_path)
    old_id, old = ring.wrap("a", b"", b"old")
    new_id = ring.rotate()
    assert other.wrap("a", b"", b"x")[0] == new_id != old_id
    assert other.unwrap("a", old_id, b"", old) == b"old"
    new = ring.wrap("a", b"", b"new")[1]
    assert other.unwrap("a", new_id, b"", new) == b"new"
    assert [info.current for info in other.keys()] == [False, True]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_an_unknown_key_is_said_to_be_unknown(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="F004"):
        Keyring.load_or_create(tmp_path).unwrap("a", "0" * 16, b"", b"x" * 40)


FIRST_USE = """
import pathlib, sys
from casb.store.keyring import Keyring
print("ready", flush=True)
sys.stdin.readline()
print(Keyring.load_or_create(pathlib.Path(sys.argv[1])).wrap("a", b"", b"x")[0])
"""


def test_processes_that_race_for_the_first_use_share_one_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FIRST_USE, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ids = {process.communicate(timeout=60)[0] for process in processes}
    assert len(ids) == 1
    assert ids != {""}


def test_a_missing_ring_is_made_only_when_asked(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="K001"):
        Keyring.load(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_ring_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Keyring.load_or_create(tmp_path)
    (tmp_path / FILE).chmod(0o640)
    with pytest.raises(StoreError, match="K002"):
        Keyring.load_or_create(tmp_path)


GOOD_KEY = {"key": "A" * 43 + "=", "created": "2026-11-21T12:00:00Z"}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param("{}", id="no keys"),
        pytest.param(json.dumps({"version": 1, "current": "x", "keys": {}}), id="current is not there"),
        pytest.param(json.dumps({"version": 2, "current": "0" * 16, "keys": {"0" * 16: GOOD_KEY}}), id="version"),
        pytest.param(json.dumps({"version": 1, "current": "x y", "keys": {"x y": GOOD_KEY}}), id="key id"),
        pytest.param(json.dumps({"version": 1, "current": "0" * 16, "keys": {"0" * 16: {"key": "AA=="}}}), id="short"),
        pytest.param(json.dumps({"version": 1, "current": "0" * 16, "keys": {"0" * 16: 7}}), id="a number"),
    ],
)
def test_what_is_no_key_ring(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    (tmp_path / FILE).chmod(0o600)
    with pytest.raises(StoreError, match="K003"):
        Keyring.load_or_create(tmp_path)
    assert (tmp_path / FILE).read_text() == content


def test_a_ring_that_vanishes_fails_closed(tmp_path: Path) -> None:
    ring = Keyring.load_or_create(tmp_path)
    (tmp_path / FILE).unlink()
    with pytest.raises(StoreError, match="K001"):
        ring.wrap("a", b"", b"secret")
