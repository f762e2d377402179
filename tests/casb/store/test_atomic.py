"""Files made in one step."""

from __future__ import annotations

from pathlib import Path

import pytest

from casb.errors import StoreError
from casb.store.atomic import create_private, replace_private


def test_the_first_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert create_private(path, b"one")
    assert not create_private(path, b"two")
    assert path.read_bytes() == b"one"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["b"]


def test_replace(tmp_path: Path) -> None:
    path = tmp_path / "a"
    create_private(path, b"one")
    replace_private(path, b"two", mode=0o644)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert not create_private(tmp_path / "link", b"secret")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("write", [create_private, replace_private])
def test_a_folder_that_cannot_be_written(write: object, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="K004"):
        write(tmp_path / "file" / "inside", b"x")  # type: ignore[operator]
