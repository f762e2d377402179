"""A valid new configuration replaces the old one in running sessions; a broken one is reported and changes nothing.

The supervisor looks at the folder and publishes what is good (`Warden`); workers follow what is published (`Reload`
over `Published`). A worker run by hand follows the folder itself (`Reload` over `Folder`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from casb.catalog.agents import Agents
from casb.config import Configuration
from casb.control.snapshot import Snapshot, build_snapshot
from casb.errors import CasbError, Problems, StoreError
from casb.proxy.faults import log_fault
from casb.proxy.runtime import Runtime, now
from casb.store import in_force, known_bad, withdrawals
from casb.store.distribution import Distribution
from casb.store.exceptions import verifier
from casb.store.folder import WORLD, fingerprint, load, load_draft, published
from casb.store.geo import geo_of

logger = logging.getLogger(__name__)

POLL = 0.25
"""Seconds between looks; two seconds are promised from an edit to its effect."""


class Source(Protocol):
    """Where a configuration comes from."""

    def stamp(self) -> object:
        """Changes when there is another one; cheap."""

    def load(self) -> Configuration:
        """The present one; raises `Problems` or `CasbError` with all that is wrong with it."""


class Folder:
    """An admin's folder, straight."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stamp(self) -> object:
        """By the files' own stamps."""
        return fingerprint(self.path)

    def load(self) -> Configuration:
        """Read the folder."""
        return load(self.path)


class Published:
    """What the supervisor found good."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stamp(self) -> object:
        """By the file's own stamp."""
        return in_force.stamp(self.path)

    def load(self) -> Configuration:
        """Read the published texts."""
        return in_force.read(self.path).configuration(WORLD)


def snapshot_of(configuration: Configuration, agents: Agents | None = None) -> Snapshot:
    """The configuration as a snapshot; raises `Problems` with everything that is wrong in it."""
    geo = geo_of(configuration.settings)
    # All that is made here stays: looking through it for garbage again and again would take a third of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        known = known_bad.read(configuration.settings.malware)
        snapshot = build_snapshot(
            configuration,
            geo=geo,
            agents=agents,
            known_bad=known,
            verify=verifier(Path(configuration.settings.data)),
            now=now(),
        )
    finally:
        if collecting:
            gc.enable()
    for refused in snapshot.exceptions.refused:
        logger.error("exception refused, the policy holds: %s", refused)
    return snapshot


def read(folder: Path) -> Snapshot:
    """The folder as a snapshot."""
    return snapshot_of(load(folder))


def told(problem: Problems | CasbError) -> list[str]:
    """Each error as the line that people read; logged as well."""
    errors = problem.errors if isinstance(problem, Problems) else [problem]
    for each in errors:
        logger.error("configuration refused, the last good one stays in force: %s", each)
    return [str(each) for each in errors]


class Reload:
    """Keeps a worker's snapshot the newest good one; reading and compiling happen in a thread."""

    def __init__(self, runtime: Runtime, source: Source) -> None:
        self.runtime = runtime
        self.source = source
        self._seen: object = (source.stamp(), known_bad.stamp(runtime.snapshot.settings.malware))
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
                log_fault(logger, "the configuration cannot be watched")

    async def look(self) -> None:
        """Load what changed since the last look."""
        seen = self.source.stamp(), known_bad.stamp(self.runtime.snapshot.settings.malware)
        if seen == self._seen:
            return
        try:
            snapshot = await asyncio.to_thread(self._load)
        except (Problems, CasbError) as problem:
            self.runtime.problems = told(problem)
        else:
            self.runtime.problems = [str(each) for each in snapshot.exceptions.refused]
            if _told_apart(snapshot) != _told_apart(self.runtime.snapshot):
                self.runtime.swap(snapshot)
                logger.warning("configuration in force version=%s", snapshot.version)
        self._seen = seen

    def _load(self) -> Snapshot:
        return snapshot_of(self.source.load(), self.runtime.snapshot.agents)


def _told_apart(snapshot: Snapshot) -> tuple[str, str]:
    return snapshot.version, snapshot.known_bad.digest if snapshot.known_bad else ""


class Warden:
    """The supervisor's look at the folder: publishes what is good for all workers, reports what is not.

    `problems` are the errors of the folder as it is now. A start with a broken folder goes on with what was in force
    before, when there is that; without, it raises.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self.data: Path | None = None
        self.distribution: Distribution | None = None
        self._seen = self._state()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> tuple[Snapshot, Path]:
        """The snapshot to start with, and where it is published."""
        first = published(self.folder)
        settings = first.configuration(WORLD).settings
        self.data = Path(settings.data)
        self.distribution = Distribution(settings)
        self._seen = self._state()
        candidate = self._candidate()
        snapshot = snapshot_of(candidate.configuration(WORLD))
        self.path = in_force.publish(self.data, self.distribution.took(candidate))
        return snapshot, self.path

    def _state(self) -> object:
        shared = self.distribution.stamp() if self.distribution else None
        return fingerprint(self.folder), self.data and in_force.stamp(self.data / withdrawals.FILE), shared

    def _candidate(self) -> in_force.Published:
        """The folder as it is, or what another node published, less the policies that are withdrawn."""
        own = replace(published(self.folder), withdrawn=withdrawals.digests(self.data) if self.data else ())
        return self.distribution.candidate(own) if self.distribution else own

    def resume(self, data: Path) -> tuple[Snapshot, Path] | None:
        """What was in force before, when it is of this folder; for a start while the folder is broken."""
        self.data = data
        self.path = data / in_force.FILE
        try:
            before = in_force.read(self.path)
        except CasbError:
            return None
        if before.folder != self.folder.as_posix():
            return None
        return snapshot_of(before.configuration(WORLD)), self.path

    def warnings(self) -> list[str]:
        """What is wrong with the folder, and with handing the configuration on."""
        problem = self.distribution.problem if self.distribution else ""
        return [*self.problems, *([problem] if problem and problem not in self.problems else [])]

    def start(self) -> None:
        """Look from now on, in a thread."""
        self._thread = threading.Thread(target=self._watch, name="warden", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)

    def _watch(self) -> None:
        while not self._stop.wait(POLL):
            try:
                self.look()
            except Exception:
                log_fault(logger, "the configuration folder cannot be watched")

    def look(self) -> None:
        """Publish or report what changed since the last look."""
        if self.distribution is None:
            # Begun with what was in force before: what other nodes say is not known yet.
            self._join()
        else:
            self.distribution.retry()
        seen = self._state()
        if seen == self._seen:
            return
        try:
            candidate = self._candidate()
            snapshot = snapshot_of(candidate.configuration(WORLD))
        except StoreError as problem:
            if self.problems != [str(problem)]:
                self.problems = told(problem)
            return  # the server may be back at the next look
        except (Problems, CasbError) as problem:
            self.problems = told(problem)
        else:
            self.problems = [str(each) for each in snapshot.exceptions.refused]
            in_force.publish(self.path.parent, self.distribution.took(candidate) if self.distribution else candidate)
        self._seen = seen

    def _join(self) -> None:
        draft = load_draft(self.folder, secrets=True).settings
        if draft is not None and draft.store.configuration is not None:
            with contextlib.suppress(CasbError):
                self.distribution = Distribution(draft)
