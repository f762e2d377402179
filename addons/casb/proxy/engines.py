"""The malware engines of a deployment, asked side by side about one file; each says what it says.

What the hash feed knows needs no engine. A file that one engine calls malicious is malicious; as long as one cannot
answer and none finds anything, nobody knows.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from casb.connectors import icap, streams
from casb.connectors.clamd import Clamd
from casb.connectors.icap import Icap
from casb.inspection.malware import HASHES, HashFeed, KnownBad
from casb.inspection.spec import Recipe
from casb.model.file import EngineVerdict, FileFacts, VerdictStatus
from casb.settings import Malware
from casb.store.held import HeldBody

if TYPE_CHECKING:
    from casb.control.snapshot import Snapshot
    from casb.proxy.runtime import Runtime

logger = logging.getLogger(__name__)


class Engine(Protocol):
    """Somebody who judges files."""

    @property
    def name(self) -> str: ...

    async def judge(self, name: str, size: int, pieces: Iterable[bytes]) -> EngineVerdict: ...


class Body(Protocol):
    """A whole file that can be read several times."""

    def __call__(self) -> Iterable[bytes]: ...


@dataclass(frozen=True, slots=True)
class Engines:
    """`rules` are YARA rules for whoever reads the file; `most` bounds how many files are with an engine at once."""

    feed: HashFeed | None
    rules: Recipe | None
    others: tuple[Engine, ...]
    most: asyncio.Semaphore

    async def judge(self, facts: FileFacts, pieces: Body) -> FileFacts:
        """The facts with the verdicts of all engines; what YARA said is among them already. Never raises."""
        told = list(facts.engines)
        if self.feed is not None:
            told.append(self._fed(facts))
        if not any(each.status is VerdictStatus.MALICIOUS for each in told) and self.others:
            async with self.most:
                told += await asyncio.gather(*(_asked(each, facts, pieces) for each in self.others))
        return with_engines(facts, told)

    def _fed(self, facts: FileFacts) -> EngineVerdict:
        if self.feed is None or facts.sha256 is None:
            return EngineVerdict(engine=HASHES, status=VerdictStatus.UNSCANNABLE, why="the file was not read")
        return self.feed.find(facts.sha256)


async def _asked(engine: Engine, facts: FileFacts, pieces: Body) -> EngineVerdict:
    try:
        return await engine.judge(facts.name, facts.size or 0, pieces())
    except Exception:
        logger.exception("an engine failed engine=%s", engine.name)
        return EngineVerdict(engine=engine.name, status=VerdictStatus.UNSCANNABLE, why="failed")


def with_engines(facts: FileFacts, told: Iterable[EngineVerdict]) -> FileFacts:
    """The facts with these verdicts; the first malicious one is the file's own verdict, too."""
    engines = tuple(told)
    found = next((each for each in engines if each.status is VerdictStatus.MALICIOUS), None)
    if found is None or facts.verdict is None:
        return replace(facts, engines=engines)
    verdict = replace(facts.verdict, status=VerdictStatus.MALICIOUS, inspector=found.engine, threat=found.threat)
    return replace(facts, engines=engines, verdict=verdict)


def pieces_of(body: bytes | HeldBody, size: int = 64 * 1024) -> Iterable[bytes]:
    """A whole body, piece by piece, from its beginning."""
    if not isinstance(body, bytes):
        yield from body.pieces(size)
        return
    view = memoryview(body)
    for at in range(0, len(body), size):
        yield bytes(view[at : at + size])


def follow(runtime: Runtime) -> None:
    """Keep the engines those of the configuration in force."""

    def renew(snapshot: Snapshot) -> None:
        runtime.engines = engines_of(snapshot.settings.malware, snapshot.known_bad)

    renew(runtime.snapshot)
    runtime.on_swap.append(renew)


def engines_of(settings: Malware | None, known: KnownBad | None) -> Engines | None:
    """The engines that the settings name; None when they name none."""
    if settings is None:
        return None
    others: list[Engine] = []
    if settings.clamd:
        others.append(Clamd(streams.parse(settings.clamd), seconds=settings.timeout))
    others += [Icap(icap.parse(url), seconds=settings.timeout) for url in settings.icap]
    rules = known.rules if known else None
    recipe = None
    if rules is not None:
        digest = hashlib.sha256(rules).hexdigest()
        recipe = Recipe(factory="casb.inspection.malware:rules_of", data=rules, digest=digest)
    return Engines(known.feed if known else None, recipe, tuple(others), asyncio.Semaphore(settings.at_once))
