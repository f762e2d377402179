"""Who went on past the warning of a monitored app, and until when: one empty file each, shared by all workers.

A file's time of change is the time until when it holds, so that a look costs one `stat`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from casb.errors import StoreError

FOLDER = "bypasses"
_MOST = 100_000


class Bypasses:
    """The files of a data folder. Times are seconds since the epoch."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER

    def holds(self, address: str, app: str, now: float) -> bool:
        """Whether a client address may pass to an app."""
        try:
            return os.stat(self._path(address, app)).st_mtime > now
        except OSError:
            return False

    def grant(self, address: str, app: str, until: float, now: float) -> None:
        """Let it pass until then. Raises `StoreError` S062 when that cannot be kept."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep(now)
            path = self._path(address, app)
            path.touch(mode=0o600)
            os.utime(path, (until, until))
        except OSError as error:
            raise StoreError("S062", f"the bypass cannot be kept ({error.strerror})") from None

    def revoke(self, address: str, app: str) -> None:
        """Let it pass no more."""
        self._path(address, app).unlink(missing_ok=True)

    def _path(self, address: str, app: str) -> Path:
        return self._folder / hashlib.sha256(f"{address}\0{app}".encode()).hexdigest()

    def _sweep(self, now: float) -> None:
        """Away with those that have run out; an overfull folder takes no more."""
        count = 0
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.stat().st_mtime <= now:
                        os.unlink(entry.path)
                    else:
                        count += 1
        if count >= _MOST:
            raise OSError(28, "too many bypasses")
