"""Exceptions on disk: signed with the key ring, never overwritten, revoked; refusals are remembered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from casb.errors import PolicyError, Problems
from casb.policy.exceptions import ExceptionFile, moment, read
from casb.store import exceptions
from casb.store.keyring import Keyring

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def document(until: datetime = NOW + timedelta(hours=1)) -> ExceptionFile:
    return ExceptionFile(
        version=1,
        kind="exception",
        id="x-1",
        policy="p",
        user="ada",
        until=moment(until),
        approved_by="grace",
        approved=moment(NOW),
    )


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "config").mkdir()
    (tmp_path / "data").mkdir(mode=0o700)
    return tmp_path / "config", tmp_path / "data"


def test_granting_and_revoking(places: tuple[Path, Path]) -> None:
    folder, data = places
    path = exceptions.grant(folder, data, document(), NOW)
    assert path == folder / "exceptions" / "x-1.yaml"
    assert read("x", path.read_bytes(), verify=exceptions.verifier(data), now=NOW).policy == "p"
    with pytest.raises(PolicyError, match="P075"):
        exceptions.grant(folder, data, document(), NOW)
    assert exceptions.documents(folder) == [(path, "x-1")]
    assert exceptions.revoke(folder, "x-1") is True
    assert exceptions.revoke(folder, "x-1") is False
    assert exceptions.revoke(folder, "../casb") is False


def test_what_would_be_refused_at_once_is_not_written(places: tuple[Path, Path]) -> None:
    folder, data = places
    with pytest.raises(Problems, match="P071"):
        exceptions.grant(folder, data, document(until=NOW), NOW)
    assert exceptions.documents(folder) == []


def test_signatures_of_another_key_ring_do_not_hold(places: tuple[Path, Path], tmp_path: Path) -> None:
    folder, data = places
    path = exceptions.grant(folder, data, document(), NOW)
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    for where in (other, tmp_path / "nowhere"):
        with pytest.raises(Problems, match="P070"):
            read("x", path.read_bytes(), verify=exceptions.verifier(where), now=NOW)
        Keyring.load_or_create(other)
    Keyring.load(data).rotate()
    assert read("x", path.read_bytes(), verify=exceptions.verifier(data), now=NOW), "older keys stay"


def test_refusals(places: tuple[Path, Path]) -> None:
    _, data = places
    assert exceptions.denials(data) == {}
    exceptions.deny(data, "old", "grace", NOW - timedelta(days=91))
    exceptions.deny(data, "r1", "grace", NOW, "ask again in May")
    assert {name: each.note for name, each in exceptions.denials(data).items()} == {"r1": "ask again in May"}
    (data / exceptions.DENIED).write_text("{broken")
    assert exceptions.denials(data) == {}
