"""What was accepted is on the disk and stays there; what is too much is dropped and said so."""

from __future__ import annotations

import errno
from collections import namedtuple
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard

from casb.collector.spool import FLOOD, FULL, NO_SPACE, Budget, SourceSpool
from casb.settings import Collector, LogSource

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
Usage = namedtuple("Usage", "total used free")


def clock() -> datetime:
    return NOW


def opened(folder: Path, **facts: Any) -> SourceSpool:
    limits = Collector(**{"flush_bytes": 100, "free_space": 0, **{k: v for k, v in facts.items() if k in LIMITS}})
    source = LogSource(name="fw", receiver="syslog-tcp", anonymize_users=facts.get("anonymize_users", False))
    return SourceSpool(folder, source, limits, Budget(limits, folder, clock), clock)


LIMITS = {"flush_bytes", "free_space", "hourly_limit", "spool_limit", "keep", "flush_seconds"}


def content(spool: SourceSpool) -> bytes:
    return b"".join(zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read() for path in spool.ready())


def test_messages_become_files_of_whole_lines(tmp_path: Path) -> None:
    made = opened(tmp_path)
    lines = [b"line %d" % number for number in range(30)]
    assert all(made.append(line) for line in lines)
    made.tick()
    assert content(made) == b"".join(line + b"\n" for line in lines)
    assert (made.state.messages, made.state.dropped) == (30, 0)


def test_a_small_file_waits_until_it_is_old_or_the_collector_stops(tmp_path: Path) -> None:
    made = opened(tmp_path, flush_bytes=10_000, flush_seconds=3600)
    made.append(b"one")
    made.tick()
    assert made.ready() == []
    made.close()
    assert content(made) == b"one\n"


def test_what_a_killed_collector_left_is_sent_up_to_its_last_line(tmp_path: Path) -> None:
    made = opened(tmp_path, flush_bytes=10_000)
    made.append(b"whole")
    (path,) = made.folder.glob("open-*.log")
    with path.open("ab") as file:
        file.write(b"half a li")
    assert made._file is not None
    made._file.close()  # as the system does for a process that was killed
    again = opened(tmp_path)
    assert content(again) == b"whole\n"
    assert not list(again.folder.glob("open-*.log"))


@pytest.mark.parametrize(
    ("limits", "why"),
    [({"hourly_limit": 50}, FLOOD), ({"spool_limit": 50}, FULL)],
)
def test_above_a_limit_new_messages_are_dropped_and_counted(tmp_path: Path, limits: dict[str, int], why: str) -> None:
    made = opened(tmp_path, flush_bytes=10_000, **limits)
    taken = [made.append(b"123456789") for _ in range(20)]
    assert taken == [True] * 5 + [False] * 15
    assert made.state.drops == {why: 15}
    made.close()
    assert content(made) == b"123456789\n" * 5, "what was accepted is untouched"


def test_a_full_disk_drops_what_is_new_and_keeps_what_was_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = opened(tmp_path, flush_bytes=10_000)
    assert made.append(b"accepted")

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: bytes) -> int:
            return int(self.file.write(data[:3]))  # the last free bytes of the disk

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    real = made._file
    made._file = Full(real)  # type: ignore[assignment]
    assert not made.append(b"too late")
    assert made.state.drops == {NO_SPACE: 1}
    made._file = real
    assert made.append(b"room again")
    made.close()
    assert content(made) == b"accepted\nroom again\n"


def test_space_is_left_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(1000, 900, 100))
    made = opened(tmp_path, free_space=99)
    assert not made.append(b"123456789")
    assert made.state.drops == {NO_SPACE: 1}


def test_a_file_that_cannot_be_taken_now_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = opened(tmp_path / "spool")
    path = tmp_path / "a.log"
    path.write_bytes(b"content\n")

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(made, "_compress", full)
        assert not made.adopt(path)
    assert path.exists()
    made.hold(path)
    made.tick()
    assert content(made) == b"content\n" and not path.exists()


def test_sent_files_are_kept_up_to_a_number_and_not_at_all_where_names_are_hidden(tmp_path: Path) -> None:
    for hides, kept in ((False, 2), (True, 0)):
        made = opened(tmp_path / str(hides), keep=2, anonymize_users=hides)
        for number in range(4):
            made.append(b"x" * 200)
            made.tick()
            (path,) = made.ready()
            made.sent(path)
            assert made.state.uploaded == number + 1
        assert len(list((made.folder / "sent").iterdir())) == kept


def test_counters_survive_a_restart(tmp_path: Path) -> None:
    made = opened(tmp_path)
    made.append(b"x")
    made.close()
    again = opened(tmp_path)
    assert (again.state.messages, again.state.received, again.state.last_data) == (1, 2, NOW)
    assert SourceSpool.peek(tmp_path, again.source).messages == 1
