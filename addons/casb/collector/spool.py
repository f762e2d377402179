"""Received logs on the disk, one folder a source, until the sidecar has them.

    <spool>/<source>/open-<id>.log     being written (syslog)
    <spool>/<source>/incoming/         being written by FTP clients
    <spool>/<source>/ready/<id>.zst    complete, compressed, waiting; the id makes it count once
    <spool>/<source>/sent/             the last ones sent

What was accepted is in a file before the next message is read. A full disk or a flood drops what is new and says so; it
never touches what was accepted.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import IO

import zstandard

from casb.collector.health import SourceState
from casb.settings import Collector, LogSource

logger = logging.getLogger(__name__)

FLOOD, FULL, NO_SPACE, BROKEN = "hourly limit", "spool limit", "disk full", "disk error"
_STATE = "state.json"
_LARGEST_OPEN = 32 * 1024 * 1024
_LOOK = 1.0  # seconds between looks at the free space


class Budget:
    """What all sources together may take: bytes an hour, bytes waiting, and what must stay free on the disk."""

    def __init__(self, settings: Collector, folder: Path, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._hour = 0
        self._in_hour = 0
        self.waiting = 0
        self._free = 0
        self._looked = -_LOOK

    def refuse(self, size: int) -> str | None:
        """Why `size` further bytes cannot be taken; None when they can, and are counted."""
        with self._lock:
            hour = int(self._clock().timestamp() // 3600)
            if hour != self._hour:
                self._hour, self._in_hour = hour, 0
            if self._in_hour + size > self._settings.hourly_limit:
                return FLOOD
            if self.waiting + size > self._settings.spool_limit:
                return FULL
            now = time.monotonic()
            if now - self._looked >= _LOOK:
                self._free, self._looked = shutil.disk_usage(self._folder).free, now
            if self._free - size < self._settings.free_space:
                return NO_SPACE
            self._free -= size
            self._in_hour += size
            self.waiting += size
            return None

    def give_back(self, size: int) -> None:
        """So much waits no more."""
        with self._lock:
            self.waiting = max(0, self.waiting - size)


class SourceSpool:
    """The files of one source. Safe to use from several threads."""

    def __init__(
        self, root: Path, source: LogSource, settings: Collector, budget: Budget, clock: Callable[[], datetime]
    ) -> None:
        self.source = source
        self.folder = root / folder_name(source.name)
        self.incoming = self.folder / "incoming"
        self._ready = self.folder / "ready"
        self._sent = self.folder / "sent"
        self._settings = settings
        self._budget = budget
        self._clock = clock
        self._lock = threading.RLock()
        self._file: IO[bytes] | None = None
        self._path = self.folder
        self._size = 0
        self._opened = 0.0
        self._synced = 0.0
        self._told = 0.0
        self._held: set[Path] = set()
        for each in (self.folder, self._ready, self._sent, self.incoming):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.state = read_state(self.folder, source.name)
        self._recover()

    @staticmethod
    def peek(root: Path, source: LogSource) -> SourceState:
        """What the collector of this folder last wrote down about a source; touches nothing."""
        return read_state(root / folder_name(source.name), source.name, attached=True)

    def append(self, message: bytes) -> bool:
        """Keep one message, which is a line. False when it was dropped."""
        line = message + b"\n"
        with self._lock:
            why = self._budget.refuse(len(line))
            if why is None:
                try:
                    self._write(line)
                except OSError as error:
                    self._budget.give_back(len(line))
                    why = NO_SPACE if error.errno in (errno.ENOSPC, errno.EDQUOT) else BROKEN
            if why is not None:
                self._drop(len(line), why)
                return False
            self.state.take(len(line), self._clock())
            if self._size >= _LARGEST_OPEN:
                self._seal()
            return True

    def hold(self, path: Path) -> None:
        """A finished file that could not be taken now: it is tried again."""
        with self._lock:
            self._held.add(path)

    def adopt(self, path: Path) -> bool:
        """Take a finished file over. False when it was dropped: then it is gone."""
        with self._lock:
            try:
                size = path.stat().st_size
            except OSError:
                return False
            if size == 0:
                path.unlink(missing_ok=True)
                return False
            why = self._budget.refuse(size)
            if why is None:
                try:
                    self._compress(path)
                    self.state.take(size, self._clock())
                    return True
                except OSError as error:
                    self._budget.give_back(size)
                    why = NO_SPACE if error.errno in (errno.ENOSPC, errno.EDQUOT) else BROKEN
            if why in (NO_SPACE, FULL, BROKEN):
                return False  # it stays where it is, and is tried again
            self._drop(size, why)
            path.unlink(missing_ok=True)
            return False

    def tick(self) -> None:
        """Once a second: sync what was written, close what is old enough, keep the counters."""
        with self._lock:
            now = time.monotonic()
            if self._file is not None:
                # Looked at once a second, not at every message: at full rate a file a second is enough.
                if self._size >= self._settings.flush_bytes or now - self._opened >= self._settings.flush_seconds:
                    self._seal()
                elif now - self._synced >= 1.0:
                    with contextlib.suppress(OSError):
                        os.fsync(self._file.fileno())
                    self._synced = now
            self._held = {path for path in self._held if path.exists() and not self.adopt(path)}
            self.state.turn(self._clock())
            self.state.waiting = sum(size for _, size in self._listing()) + self._size
            self._write_state()

    def ready(self) -> list[Path]:
        """Files to be sent, the oldest first."""
        return sorted(self._ready.glob("*.zst"))

    def sent(self, path: Path) -> None:
        """The sidecar has it."""
        with self._lock:
            size = path.stat().st_size
            hides = self.source.anonymize_users or self.source.anonymize_devices
            if self._settings.keep and not hides:
                os.replace(path, self._sent / path.name)
                for old in sorted(self._sent.glob("*.zst"))[: -self._settings.keep]:
                    old.unlink(missing_ok=True)
            else:
                path.unlink(missing_ok=True)
            self._budget.give_back(size)
            self.state.uploaded += 1
            self.state.error = ""

    def close(self) -> None:
        """Close what is open, so that it is sent; keep the counters."""
        with self._lock:
            self._seal()
            self.state.attached = False
            self._write_state()

    def _write(self, line: bytes) -> None:
        if self._file is None:
            path = self.folder / f"open-{_ident()}.log"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            self._file, self._path = os.fdopen(descriptor, "wb", 0), path
            self._size, self._opened, self._synced = 0, time.monotonic(), time.monotonic()
        written = self._file.write(line)
        if written != len(line):  # the disk took a part: the part goes again, so that no half line is sent
            self._file.truncate(self._size)
            self._file.seek(self._size)
            raise OSError(errno.ENOSPC, "the disk is full")
        self._size += len(line)

    def _seal(self) -> None:
        if self._file is None:
            return
        path, size = self._path, self._size
        try:
            os.fsync(self._file.fileno())
            self._compress(path)
        except OSError as error:
            # It stays open and is tried again: compressing needs room, and there is none now.
            self.state.error = f"a file cannot be closed ({error.strerror})"
            self._opened = time.monotonic()
            return
        self._file.close()
        self._file, self._size = None, 0
        logger.debug("sealed source=%s bytes=%d", self.source.name, size)

    def _compress(self, path: Path) -> None:
        """The file, compressed, into `ready`, durably; then the original goes."""
        ident = path.stem.removeprefix("open-") if path.name.startswith("open-") else _ident()
        target = self._ready / f"{ident}.zst"
        partial = self._ready / f".{ident}.part"
        size = path.stat().st_size
        try:
            with path.open("rb") as source, partial.open("wb") as file:
                zstandard.ZstdCompressor(level=6).copy_stream(source, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
            _sync(self._ready)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        self._budget.give_back(size - target.stat().st_size)
        path.unlink(missing_ok=True)

    def _recover(self) -> None:
        """What a process that ended suddenly left: its open files are complete up to their last line."""
        for part in self._ready.glob(".*.part"):
            part.unlink(missing_ok=True)
        for path in sorted(self.folder.glob("open-*.log")):
            if (self._ready / f"{path.stem.removeprefix('open-')}.zst").exists():
                path.unlink(missing_ok=True)
                continue
            with contextlib.suppress(OSError):
                _cut_to_lines(path)
                if path.stat().st_size:
                    self._compress(path)
                else:
                    path.unlink()
        waiting = sum(size for _, size in self._listing())
        self._budget.waiting += waiting
        self.state.waiting = waiting

    def _listing(self) -> list[tuple[str, int]]:
        found = []
        with contextlib.suppress(OSError):
            for entry in os.scandir(self._ready):
                with contextlib.suppress(OSError):
                    found.append((entry.name, entry.stat().st_size))
        return found

    def _drop(self, size: int, why: str) -> None:
        self.state.drop(size, why)
        now = time.monotonic()
        if now - self._told >= 60:
            self._told = now
            logger.error("dropping source=%s reason=%r dropped=%d", self.source.name, why, self.state.dropped_messages)

    def _write_state(self) -> None:
        plain = asdict(self.state)
        for name in ("last_data", "attached_at"):
            plain[name] = plain[name] and plain[name].isoformat()
        temporary = self.folder / f".{_STATE}"
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(plain))
            os.replace(temporary, self.folder / _STATE)


def read_state(folder: Path, name: str, *, attached: bool = False) -> SourceState:
    """The counters of a source; fresh ones where there are none. `attached` takes over whether its receiver ran."""
    state = SourceState(name=name)
    try:
        plain = json.loads((folder / _STATE).read_text())
        for each in (
            "received",
            "messages",
            "dropped",
            "dropped_messages",
            "uploaded",
            "waiting",
            "hour",
            "hour_bytes",
        ):
            setattr(state, each, int(plain[each]))
        state.drops = {str(why): int(count) for why, count in plain["drops"].items()}
        state.hours = [int(each) for each in plain["hours"]]
        state.last_data = datetime.fromisoformat(plain["last_data"]) if plain["last_data"] else None
        if attached:
            state.attached, state.error = bool(plain["attached"]), str(plain["error"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return SourceState(name=name)
    return state


def folder_name(name: str) -> str:
    """A source's folder: readable, safe as a path, one per name."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "source"
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _ident() -> str:
    return f"{time.time_ns():020d}-{secrets.token_hex(6)}"


def _cut_to_lines(path: Path) -> None:
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - 2 * 1024 * 1024)
        file.seek(start)
        end = file.read().rfind(b"\n")
        if end >= 0 or start == 0:
            file.truncate(start + end + 1)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
