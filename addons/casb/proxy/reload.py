"""A valid new configuration replaces the old one in running sessions; a broken one is reported and changes nothing."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from casb.control.snapshot import Snapshot, build_snapshot
from casb.errors import CasbError, Problems
from casb.proxy.faults import log_fault
from casb.proxy.runtime import Runtime
from casb.store.folder import fingerprint, load
from casb.store.geo import open_geo

logger = logging.getLogger(__name__)

POLL = 0.4
"""Seconds between looks at the folder; two seconds are promised."""


class Reload:
    """Looks at the configuration folder; reading and compiling happen in a thread."""

    def __init__(self, runtime: Runtime, folder: Path) -> None:
        self.runtime = runtime
        self.folder = folder
        self._seen = fingerprint(folder)
        self._task: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def done(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL)
            try:
                await self.look()
            except Exception:
                log_fault(logger, "the configuration folder cannot be watched", folder=self.folder)

    async def look(self) -> None:
        """Load what changed since the last look."""
        seen = fingerprint(self.folder)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            snapshot = await asyncio.to_thread(read, self.folder)
        except (Problems, CasbError) as problem:
            errors = problem.errors if isinstance(problem, Problems) else [problem]
            self.runtime.problems = [str(each) for each in errors]
            for each in errors:
                logger.error("configuration refused, the last good one stays in force: %s", each)
            return
        except OSError as problem:
            self._seen = ()  # look again
            logger.warning("configuration unreadable for now: %s", problem.strerror)
            return
        self.runtime.problems = []
        if snapshot.version != self.runtime.snapshot.version:
            self.runtime.swap(snapshot)
            logger.warning("configuration in force version=%s", snapshot.version)


def read(folder: Path) -> Snapshot:
    """The folder as a snapshot; raises `Problems` with everything wrong in it."""
    configuration = load(folder)
    database = configuration.settings.geo_database
    return build_snapshot(configuration, geo=open_geo(database) if database else None)
