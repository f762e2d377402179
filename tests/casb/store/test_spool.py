"""The spool: what was appended is there, whatever dies afterwards."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import StoreError
from casb.store.spool import Spool, find, segments


def lines(folder: Path) -> list[bytes]:
    return b"".join(path.read_bytes() for path in segments(folder)).splitlines()


def test_lines_are_in_the_segment_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "worker-1")
    spool.append(b'{"id":"a"}')
    spool.append(b'{"id":"b"}')
    assert lines(tmp_path) == [b'{"id":"a"}', b'{"id":"b"}']
    spool.close()


def test_a_segment_ends_by_size_and_by_time(tmp_path: Path) -> None:
    small = Spool(tmp_path / "size", "w", segment_bytes=20)
    quick = Spool(tmp_path / "time", "w", segment_seconds=0)
    for number in range(3):
        small.append(b'{"id":"%017d"}' % number)
        quick.append(b'{"id":"%d"}' % number)
    small.close()
    quick.close()
    assert len(segments(tmp_path / "size")) == 3
    assert lines(tmp_path / "time") == [b'{"id":"0"}', b'{"id":"1"}', b'{"id":"2"}']


@pytest.mark.parametrize("record", [b"", b"a\nb", b"a\n"])
def test_a_record_is_one_line(tmp_path: Path, record: bytes) -> None:
    spool = Spool(tmp_path, "w")
    with pytest.raises(ValueError, match="one line"):
        spool.append(record)
    assert not segments(tmp_path)


def test_names_never_leave_the_folder(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", "../../evil name")
    spool.append(b"{}")
    spool.close()
    assert len(segments(tmp_path / "spool")) == 1


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), id="the disk is full"),
        pytest.param(OSError(errno.EIO, "Input/output error"), id="the disk is broken"),
        pytest.param(7, id="only the first bytes fitted"),
    ],
)
def test_a_full_disk_is_told_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: OSError | int
) -> None:
    spool = Spool(tmp_path, "w")
    spool.append(b'{"id":"before"}')
    real = os.write

    def write(fd: int, data: bytes) -> int:
        if isinstance(failure, OSError):
            raise failure
        return real(fd, data[:failure])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StoreError, match="S011"):
        spool.append(b'{"id":"lost"}')
    monkeypatch.undo()
    spool.append(b'{"id":"after"}')
    spool.close()
    assert lines(tmp_path) == [b'{"id":"before"}', b'{"id":"after"}']


def test_a_segment_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", "w")
    (tmp_path / "spool").rmdir()
    with pytest.raises(StoreError, match="S011"):
        spool.append(b"{}")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="S010"):
        Spool(tmp_path / "file/spool", "w")


def test_kill_9_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    code = (
        "import sys; from casb.store.spool import Spool\n"
        "spool = Spool(sys.argv[1], 'victim', segment_bytes=2000)\n"
        "n = 0\n"
        "while True:\n"
        '    spool.append(b\'{"id":"%d"}\' % n); n += 1\n'
        "    print(n, flush=True)\n"
    )
    addons = str(Path(__file__).parents[3] / "addons")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": addons}
    )
    assert process.stdout
    told = 0
    while told < 300:
        told = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    told = max([told, *(int(line) for line in process.stdout.read().split("\n")[:-1])])
    process.wait()
    process.stdout.close()
    kept = lines(tmp_path)
    assert kept[:told] == [b'{"id":"%d"}' % number for number in range(told)]
    assert len(kept) - told in (0, 1)


def test_a_real_limit_cuts_no_line_in_half(tmp_path: Path) -> None:
    """The kernel itself writes only the first bytes of a line, as on a full disk."""
    code = (
        "import resource, sys; from casb.errors import StoreError; from casb.store.spool import Spool, segments\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "spool, kept, refused = Spool(sys.argv[1], 'w'), 0, 0\n"
        "for number in range(100):\n"
        "    try:\n"
        '        spool.append(b\'{"id":"%030d"}\' % number); kept += 1\n'
        "    except StoreError: refused += 1\n"
        "print(kept, refused)\n"
    )
    addons = str(Path(__file__).parents[3] / "addons")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={"PYTHONPATH": addons},
        capture_output=True,
        text=True,
        check=True,
    )
    kept, refused = map(int, done.stdout.split())
    assert refused > 0
    assert len(lines(tmp_path)) == kept
    assert all(line.startswith(b'{"id":') and line.endswith(b'"}') for line in lines(tmp_path))


def test_sync_and_durable_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    spool = Spool(tmp_path, "w", segment_bytes=1, durable=True)
    for _ in range(3):
        spool.append(b"{}")
    spool.sync()
    assert len(synced) == 3  # two that have ended and the present one
    spool.close()
    assert len(lines(tmp_path)) == 3


def test_find(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "w")
    spool.append(b'{"id":"a","file":"b"}')
    spool.append(b"not json b")
    spool.append(b'{"id":"b","n":1}')
    assert find(tmp_path, "b") == {"id": "b", "n": 1}
    assert find(tmp_path, "c") is None
    assert find(tmp_path / "missing", "b") is None
    spool.close()


@given(st.lists(st.binary(min_size=1, max_size=60).filter(lambda data: b"\n" not in data), max_size=20), st.data())
def test_whatever_is_appended_comes_out_in_order(
    tmp_path_factory: pytest.TempPathFactory, items: list[bytes], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder, "w", segment_bytes=data.draw(st.integers(1, 100)))
    for item in items:
        spool.append(item)
    spool.close()
    assert b"".join(path.read_bytes() for path in segments(folder)) == b"".join(item + b"\n" for item in items)
