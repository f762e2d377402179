"""Held bodies: the same bytes again, in any order, for nobody else, and gone when they should be."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import StoreError
from casb.store.held import BLOCK, SMALL, TAG, Held, HeldBody, open_sealed, open_told

SIZES = (0, 1, SMALL, SMALL + 1, 5 * BLOCK, 5 * BLOCK + 1, 1_000_001)


def plenty(folder: Path) -> Held:
    held = Held(folder / "held", budget=1 << 30, floor=0)
    held.prepare()
    return held


def filled(held: Held, data: bytes, step: int = 100_000) -> HeldBody:
    body = held.begin()
    for at in range(0, len(data), step):
        body.write(data[at : at + step])
    body.finish()
    return body


def noise(size: int) -> bytes:
    return hashlib.shake_256(b"held").digest(size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [1 << 20, 65_536, 70_001])
def test_what_is_written_is_read_again(tmp_path: Path, size: int, step: int) -> None:
    data = noise(size)
    body = filled(plenty(tmp_path), data, step)
    assert body.size == size
    assert body.on_disk == (size > SMALL)
    assert b"".join(body.pieces()) == data
    assert b"".join(body.pieces()) == data
    assert body.source().read() == data


def test_what_is_not_finished_can_be_read_as_well(tmp_path: Path) -> None:
    body, data = plenty(tmp_path).begin(), noise(700_000)
    body.write(data)
    assert b"".join(body.pieces()) == data


@settings(max_examples=30, deadline=None)
@given(size=st.sampled_from(SIZES), jumps=st.lists(st.tuples(st.integers(0, 1_100_000), st.integers(0, 200_000))))
def test_a_held_file_is_read_like_any_other(
    tmp_path_factory: pytest.TempPathFactory, size: int, jumps: list[tuple[int, int]]
) -> None:
    data = noise(size)
    body = filled(plenty(tmp_path_factory.mktemp("held")), data)
    ours, theirs = body.source(), io.BytesIO(data)
    assert ours.seek(0, os.SEEK_END) == theirs.seek(0, os.SEEK_END)
    for place, length in jumps:
        assert ours.seek(place) == theirs.seek(place)
        assert ours.read(length) == theirs.read(length)
        assert ours.tell() == theirs.tell()
    body.drop()


def test_the_disk_sees_noise_for_its_owner_alone(tmp_path: Path) -> None:
    held = plenty(tmp_path)
    body = filled(held, b"the same words again and again, " * 40_000)
    sealed = body.sealed()
    assert sealed is not None
    assert sealed.path.stat().st_mode & 0o777 == 0o600
    assert held.folder.stat().st_mode & 0o777 == 0o700
    raw = sealed.path.read_bytes()
    assert b"the same words" not in raw
    assert len({raw[at : at + 32] for at in range(0, len(raw), BLOCK + TAG)}) == -(-len(raw) // (BLOCK + TAG))
    assert sealed.key not in raw
    assert "key" not in repr(sealed)


def swapped(raw: bytes) -> bytes:
    step = BLOCK + TAG
    return raw[step : 2 * step] + raw[:step] + raw[2 * step :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a bit turned": lambda raw: bytes([raw[0] ^ 1]) + raw[1:],
    "two blocks swapped": swapped,
    "the end cut off": lambda raw: raw[: -(len(raw) % (BLOCK + TAG))],
    "a tag cut off": lambda raw: raw[:-1],
    "nothing left": lambda raw: b"",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_changed_file_does_not_open(tmp_path: Path, kind: str) -> None:
    body = filled(plenty(tmp_path), noise(500_000))
    sealed = body.sealed()
    assert sealed is not None
    sealed.path.write_bytes(DAMAGE[kind](sealed.path.read_bytes()))
    with pytest.raises(OSError):
        open_sealed(sealed).read()


def test_another_process_reads_it_by_what_it_is_told(tmp_path: Path) -> None:
    data = noise(500_000)
    body = filled(plenty(tmp_path), data)
    sealed = body.sealed()
    assert sealed is not None
    assert open_told(sealed.told()).read() == data
    body.drop()
    with pytest.raises(OSError):
        open_told(sealed.told())


def test_files_go_with_their_bodies(tmp_path: Path) -> None:
    held = plenty(tmp_path)
    body = filled(held, noise(500_000))
    assert held.used() > 500_000
    body.drop()
    body.drop()
    other = filled(held, noise(500_000))
    del other, body
    assert held.used() == 0


def test_the_budget_counts_what_everybody_holds(tmp_path: Path) -> None:
    held = Held(tmp_path / "held", budget=1_000_000, floor=0)
    held.prepare()
    first, data = filled(held, noise(600_000)), noise(600_000)
    second = held.begin()
    with pytest.raises(StoreError) as raised:
        second.write(data)
    assert raised.value.code == "S014"
    assert b"".join(second.pieces()) == data, "what was refused can still be passed on"
    first.drop()


def test_the_floor_keeps_the_disk_usable(tmp_path: Path) -> None:
    held = Held(tmp_path / "held", budget=1 << 40, floor=1 << 60)
    held.prepare()
    with pytest.raises(StoreError) as raised:
        filled(held, noise(600_000))
    assert raised.value.code == "S014"
    assert filled(held, noise(1000)).content() == noise(1000)


def test_a_disk_that_refuses_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body, data = plenty(tmp_path).begin(), noise(900_000)
    body.write(data[:500_000])

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StoreError) as raised:
        body.write(data[500_000:])
    assert raised.value.code == "S015"
    assert b"".join(body.pieces()) == data


def test_a_folder_that_cannot_be_made_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError) as raised:
        Held(tmp_path / "file" / "held", budget=1, floor=0).prepare()
    assert raised.value.code == "S013"


def test_what_a_crash_left_goes_at_the_next_start_and_nothing_else(tmp_path: Path) -> None:
    held = plenty(tmp_path)
    alive = filled(held, noise(500_000))
    code = (
        "import os, sys; from pathlib import Path; from casb.store.held import Held\n"
        "held = Held(Path(sys.argv[1]), budget=1 << 30, floor=0); body = held.begin()\n"
        "body.write(bytes(500_000)); os._exit(9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(held.folder)], env={**os.environ, "PYTHONPATH": "addons"})
    assert ended.returncode == 9
    (held.folder / "README").write_text("not ours")
    assert len(list(held.folder.iterdir())) == 3
    assert held.prepare() == 1
    assert b"".join(alive.pieces()) == noise(500_000)
    assert (held.folder / "README").exists()
