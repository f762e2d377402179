"""The directory receiver: finished files are taken out of a folder that something else puts them into."""

from __future__ import annotations

import os
from pathlib import Path

from casb.collector.spool import SourceSpool

QUIET = 2.0
"""Seconds for which a file must not have changed before it counts as finished."""
_UNFINISHED = (".tmp", ".part", ".filepart", ".partial", ".swp", "~")


class Watched:
    """One folder. `look` is called about once a second."""

    def __init__(self, spool: SourceSpool, folder: Path) -> None:
        self._spool = spool
        self._folder = folder
        self._seen: dict[str, tuple[int, int, float]] = {}

    def look(self, now: float) -> int:
        """Take what is finished; how many files. `now` is a monotonic time. Raises `OSError`: no such folder."""
        present: dict[str, tuple[int, int, float]] = {}
        taken = 0
        for entry in sorted(os.scandir(self._folder), key=lambda each: each.name):
            if entry.name.startswith(".") or entry.name.endswith(_UNFINISHED):
                continue
            try:
                if not entry.is_file(follow_symlinks=False):
                    continue
                facts = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            before = self._seen.get(entry.name)
            same = before is not None and before[:2] == (facts.st_size, facts.st_mtime_ns)
            since = before[2] if before is not None and same else now
            if same and now - since >= QUIET and self._spool.adopt(Path(entry.path)):
                taken += 1
                continue
            present[entry.name] = (facts.st_size, facts.st_mtime_ns, since)
        self._seen = present
        return taken
