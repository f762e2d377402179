"""The token that proxy and sidecar share."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from casb.errors import StoreError
from casb.settings import Secret, Settings, Sidecar
from casb.store.token import data_folder, sidecar_token


def test_a_configured_token_is_used_as_it_is(tmp_path: Path) -> None:
    settings = Settings(suffix="x.example", data=str(tmp_path / "var"), sidecar=Sidecar(token=Secret("configured")))
    assert sidecar_token(settings).reveal() == "configured"
    assert not (tmp_path / "var").exists()


def test_it_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    settings = Settings(suffix="x.example", data=str(tmp_path / "var"))
    first = sidecar_token(settings).reveal()
    assert len(first) >= 43
    assert sidecar_token(settings).reveal() == first
    assert (tmp_path / "var/sidecar.token").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "var").stat().st_mode & 0o777 == 0o700
    assert [each.name for each in (tmp_path / "var").iterdir()] == ["sidecar.token"]


def test_all_who_come_at_once_get_the_same(tmp_path: Path) -> None:
    settings = Settings(suffix="x.example", data=str(tmp_path))
    together = threading.Barrier(8)
    seen: list[str] = []

    def come() -> None:
        together.wait()
        seen.append(sidecar_token(settings).reveal())

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="an empty file authorises nobody"),
        pytest.param(b"short\n", id="a truncated one neither"),
        pytest.param(b"\xff\xfe" * 40, id="nor bytes"),
    ],
)
def test_what_is_no_token_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sidecar.token").write_bytes(content)
    with pytest.raises(StoreError, match="S042"):
        sidecar_token(Settings(suffix="x.example", data=str(tmp_path)))


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="S041"):
        data_folder(Settings(suffix="x.example", data=str(tmp_path / "file/var")))
