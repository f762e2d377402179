"""The proxy's durable way for records: one line appended to a file, before anything else may go wrong.

`Spool` runs inside a proxy worker, on the path of an exchange: one `write` into the page cache, which survives
`kill -9` of every process of ours. The lines leave through `casb.store.shipper`. A segment is held with `flock` by its
writer; who gets the lock knows that the writer has closed it or is dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from casb.errors import StoreError
from casb.settings import Settings

SUFFIX = ".ndjson"
DRAFT = ".draft"  # a segment before its writer holds the lock; never read
SEGMENT = re.compile(r"^\d{20}-[\w-]+\.ndjson$")


def spool_folder(settings: Settings) -> Path:
    """Where a deployment's proxies put their records until the sidecar has them."""
    return Path(settings.data) / "spool"


class Spool:
    """Appends records to segments of its own. One per process and thread; the folder is shared by all of them.

    A segment ends after `segment_bytes` bytes or `segment_seconds` seconds, at the next record. Give `durable` to make
    `sync` flush ended segments as well; without it a power cut may cost what the system had not written back yet
    (a crash of ours costs nothing).
    """

    def __init__(
        self,
        folder: Path | str,
        name: str,
        *,
        segment_bytes: int = 8 * 1024 * 1024,
        segment_seconds: float = 60.0,
        durable: bool = False,
    ) -> None:
        self._folder = Path(folder)
        self._name = re.sub(r"[^\w-]", "_", name)
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        self._durable = durable
        self._lock = threading.Lock()  # between append's rotation and sync, never around a write
        self._fd = -1
        self._size = 0
        self._ends = 0.0
        self._retired: list[int] = []
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError("S010", f"the spool folder {folder} cannot be made ({error.strerror})") from error

    def append(self, record: bytes) -> None:
        """Keep one record: JSON on one line, without the line feed.

        Raises `StoreError` (S011) when it could not be kept whole: the caller fails closed. Nothing of the record
        is left behind then.
        """
        if b"\n" in record or not record:
            raise ValueError("a record is one line")
        line = record + b"\n"
        try:
            if self._fd < 0 or self._size >= self._segment_bytes or time.monotonic() >= self._ends:
                self._rotate()
            written = os.write(self._fd, line)
        except OSError as error:
            self._give_up()
            raise StoreError("S011", f"a record could not be spooled ({error.strerror})") from error
        if written != len(line):  # the disk filled up in the middle of the line
            self._give_up()
            raise StoreError("S011", "a record could not be spooled (disk full)")
        self._size += written

    def sync(self) -> None:
        """Flush to the disk. Call it from a timer's thread: it takes milliseconds. Raises `StoreError` (S012)."""
        with self._lock:
            retired, self._retired = self._retired, []
            if self._fd >= 0:
                retired.append(os.dup(self._fd))
        try:
            for fd in retired:
                os.fsync(fd)
        except OSError as error:
            raise StoreError("S012", f"the spool could not be flushed ({error.strerror})") from error
        finally:
            for fd in retired:
                os.close(fd)

    def close(self) -> None:
        """End the segment; the shipper may remove it once it has been accepted."""
        if self._durable:
            self.sync()
        with self._lock:
            self._close_segment()
            for fd in self._retired:
                os.close(fd)
            self._retired.clear()

    def _rotate(self) -> None:
        with self._lock:
            if self._fd >= 0 and self._durable:
                self._retired.append(self._fd)
                self._fd = -1
            self._close_segment()
            # Sorted by name, segments are in the order of their creation, across processes.
            name = f"{time.time_ns():020d}-{self._name}-{os.getpid()}-{secrets.token_hex(4)}"
            draft = self._folder / (name + DRAFT)
            fd = os.open(draft, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                # Locked before it gets its name: the shipper never meets a live segment that it could lock.
                fcntl.flock(fd, fcntl.LOCK_EX)
                draft.rename(self._folder / (name + SUFFIX))
            except OSError:
                os.close(fd)
                draft.unlink(missing_ok=True)
                raise
            self._fd = fd
            self._size = 0
            self._ends = time.monotonic() + self._segment_seconds

    def _give_up(self) -> None:
        """Cut off what was half written and leave the segment: the next record starts a new one."""
        with self._lock, contextlib.suppress(OSError):
            if self._fd >= 0:
                os.ftruncate(self._fd, self._size)
            self._close_segment()

    def _close_segment(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def segments(folder: Path) -> list[Path]:
    """All segments of a folder, oldest first. A missing folder has none."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names) if SEGMENT.match(name)]


def find(folder: Path, record_id: str) -> dict[str, Any] | None:
    """A record that has not been handed over yet, by its activity id; None when it is not in the folder."""
    needle = record_id.encode("utf-8", "surrogatepass")
    for line in _lines(folder):
        if needle in line:
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict) and record.get("id") == record_id:
                    return record
    return None


def _lines(folder: Path) -> Iterator[bytes]:
    for path in segments(folder):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line
