"""A ring that changes while it is in use."""

from __future__ import annotations

from pathlib import Path

import pytest

from casb.errors import StoreError
from casb.store.session_keys import FollowedRing, load_keys, rotate


def test_a_rotated_ring_is_followed(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "keys"
    ring = FollowedRing(path, clock=lambda: now[0])
    old = ring.seal(b"value", b"aad")
    fresh = rotate(path)
    assert ring.seal(b"value", b"aad")[:12] == old[:12], "the file is looked at every two seconds"
    now[0] += 2
    assert ring.seal(b"value", b"aad").startswith(f"v1.{fresh}.".encode())
    assert ring.open(old, b"aad") == b"value"


def test_a_key_that_is_not_known_yet_is_looked_for_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    slow = FollowedRing(path, clock=lambda: 0.0)
    rotate(path)
    sealed = FollowedRing(path).seal(b"value", b"aad")
    assert slow.open(sealed, b"aad") == b"value"


def test_keys_beyond_those_kept_open_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    now = [0.0]
    ring = FollowedRing(path, clock=lambda: now[0])
    old = ring.seal(b"value", b"aad")
    for _ in range(3):
        rotate(path, keep=3)
    now[0] += 5
    with pytest.raises(StoreError):
        ring.open(old, b"aad")


@pytest.mark.parametrize("broken", ["", "nonsense", "k1 abcd"])
def test_a_broken_file_changes_nothing(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "keys"
    now = [0.0]
    ring = FollowedRing(path, clock=lambda: now[0])
    sealed = ring.seal(b"value", b"aad")
    path.write_text(broken)
    now[0] += 5
    assert ring.open(sealed, b"aad") == b"value"
    assert ring.seal(b"value", b"aad")[:12] == sealed[:12]


def test_the_ring_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    rotate(path)
    assert path.stat().st_mode & 0o077 == 0
    path.chmod(0o644)
    with pytest.raises(StoreError):
        load_keys(path)
