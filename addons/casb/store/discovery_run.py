"""Log files to shaped usage: reads, sums and spills, in as many processes as pay.

Memory is bounded whatever comes: a full tally becomes a Parquet file in a scratch folder, and DuckDB adds the files up.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from itertools import islice
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from threading import Event, Thread
from typing import Any, Protocol

from casb.discovery.custom import Texts, with_custom
from casb.discovery.shaping import Shaper
from casb.discovery.tophosts import TopHosts
from casb.discovery.usage import SAMPLES, Counts, Tally, Usage, Window
from casb.errors import CasbError
from casb.model.discovery import Skipped, TrafficEvent
from casb.store.discovery_frames import table, told, write
from casb.store.discovery_lane import LaneStream
from casb.store.discovery_pieces import Piece, opened, pieces

WORTH_A_PROCESS = 24 * 1024 * 1024
"""Bytes of input from which a second process pays for its start."""
PIECE = 64 * 1024 * 1024
"""Bytes of one piece of a large file."""

type Told = Callable[[int], None]
"""Is told how many further bytes of input were read."""


class Matcher(Protocol):
    """Who owns a destination. Picklable, so that worker processes can have it."""

    def app(self, host: str | None, url: str | None, address: str | None) -> str | None:
        """The id of the app, or None."""

    def by_path(self, host: str) -> bool:
        """Whether apps share this host and its paths tell which is which."""


class Reading(Protocol):
    """What a log parser makes of a stream. `source` and `confidence` are known once the first item has come."""

    @property
    def source(self) -> str | None: ...

    @property
    def confidence(self) -> float: ...

    def __iter__(self) -> Iterator[TrafficEvent | Skipped]: ...


type Read = Callable[..., Reading]
"""`read(stream, source=, zone=, now=, name=)`, and `parsers=` where there are own ones: a function that a worker
process can import."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to do with every input."""

    read: Read
    matcher: Matcher
    shaper: Shaper
    now: datetime
    window: Window = field(default_factory=Window)
    source: str | None = None
    own: Texts = ()  # the organisation's own log parsers
    zone: tzinfo = UTC
    fast: bool = True  # whether lines that have a fast lane take it; the result is the same


@dataclass(slots=True, kw_only=True)
class Part:
    """What one input gave. `spills` are Parquet files of shaped rows. `error` says why it could not be read at all."""

    name: str
    source: str | None = None
    confidence: float = 0.0
    counts: Counts = field(default_factory=Counts)
    unmatched: list[tuple[date, str, int]] = field(default_factory=list)
    spills: list[Path] = field(default_factory=list)
    error: str = ""


@dataclass(slots=True, kw_only=True)
class Sum:
    """What all inputs gave."""

    parts: list[Part]
    counts: Counts
    unmatched: TopHosts
    spills: list[Path]

    @property
    def source(self) -> str | None:
        """The parser that most lines were read by, of all inputs."""
        named = [part for part in self.parts if part.source]
        return max(named, key=lambda part: part.counts.events).source if named else None

    @property
    def confidence(self) -> float:
        """That of the input that `source` stands for."""
        named = [part for part in self.parts if part.source]
        return max(named, key=lambda part: part.counts.events).confidence if named else 0.0


def run(paths: Sequence[str], job: Job, scratch: Path, *, progress: Told | None = None, processes: int = 0) -> Sum:
    """Read every path (`-` is the standard input). `scratch` is an empty folder for spills; `progress` a callback.

    `processes` 0 takes a process per core where that pays. An input that cannot be read is named in its part's `error`.
    """
    count = processes or len(os.sched_getaffinity(0))
    size = sum(os.path.getsize(path) for path in paths if path != "-" and os.path.exists(path))
    if "-" in paths or count < 2 or size < WORTH_A_PROCESS:
        parts = [work(Piece(path=path), job, scratch, at, progress or _nobody) for at, path in enumerate(paths)]
    else:
        cut = [piece for path in paths for piece in _cut(path, job)]
        parts = _side_by_side(cut, job, scratch, progress or _nobody, min(count, len(cut)))
        parts = _joined(cut, parts)
    return _sum(parts)


def work(piece: Piece, job: Job, scratch: Path, number: int, progress: Told) -> Part:
    """Read one piece to its end."""
    tally = Tally(job.matcher.app, by_path=job.matcher.by_path, window=job.window)
    part = Part(name=piece.path, counts=tally.counts)
    try:
        with opened(piece, progress) as file:
            lane = LaneStream(
                file, tally, job.matcher, job.window, lambda usage: _keep(usage, job.shaper, part, scratch, number)
            )
            stream = lane if job.fast else file
            reading = job.read(stream, source=job.source, zone=job.zone, now=job.now, name=piece.path, **_own(job))
            lane.reading = reading
            for _ in tally.feed(reading):
                _spill(tally, job.shaper, part, scratch, number)
            lane.finish()
            part.source, part.confidence = reading.source, reading.confidence
    except OSError as error:
        part.error = told(error)
    except CasbError as error:
        part.error = error.message
    _spill(tally, job.shaper, part, scratch, number)
    part.unmatched = list(tally.unmatched.rows())
    return part


def _own(job: Job) -> dict[str, Any]:
    return {"parsers": with_custom(job.own)} if job.own else {}


def _spill(tally: Tally, shaper: Shaper, part: Part, scratch: Path, number: int) -> None:
    _keep(tally.drain(), shaper, part, scratch, number)


def _keep(usage: list[Usage], shaper: Shaper, part: Part, scratch: Path, number: int) -> None:
    if usage:
        path = scratch / f"{number:06d}-{len(part.spills):06d}.parquet"
        write(path, table(list(shaper.rows(usage))))
        part.spills.append(path)


def _nobody(count: int) -> None:
    """Progress that nobody looks at."""


def _cut(path: str, job: Job) -> list[Piece]:
    def first_record(head: bytes) -> int:
        from_head = Piece(path=path, end=len(head))
        with opened(from_head) as stream:
            items = islice(job.read(stream, source=job.source, zone=job.zone, now=job.now, **_own(job)), 1)
            return next((item.line for item in items), 0)

    try:
        return pieces(Path(path), PIECE, first_record)
    except (OSError, ValueError, CasbError):
        return [Piece(path=path)]  # reading it will say what is wrong


_job: Job | None = None
_read: Synchronized[int] | None = None


def _begin(job: Job, read: Synchronized[int]) -> None:
    global _job, _read
    _job, _read = job, read


def _told(count: int) -> None:
    if _read is not None:
        with _read.get_lock():
            _read.value += count


def _one(piece: Piece, scratch: Path, number: int) -> Part:
    assert _job is not None  # noqa: S101 - set by `_begin` before any piece comes
    return work(piece, _job, scratch, number, _told)


def _side_by_side(cut: Sequence[Piece], job: Job, scratch: Path, progress: Told, processes: int) -> list[Part]:
    # A fresh interpreter for each: forking one that has DuckDB's threads would copy their locks.
    context = multiprocessing.get_context("spawn")
    read = context.Value("q", 0)
    over = Event()
    teller = Thread(target=_tell, args=(read, progress, over), daemon=True)
    teller.start()
    try:
        with ProcessPoolExecutor(processes, context, _begin, (job, read)) as pool:
            futures = [pool.submit(_one, piece, scratch, number) for number, piece in enumerate(cut)]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        over.set()
        teller.join()


def _tell(read: Synchronized[int], progress: Told, over: Event) -> None:
    before = 0
    while True:
        ended = over.wait(0.2)
        now = read.value
        if now > before:
            progress(now - before)
            before = now
        if ended:
            return


def _joined(cut: Sequence[Piece], parts: Sequence[Part]) -> list[Part]:
    """The parts of one file as one, its lines counted from the file's first."""
    found: dict[str, Part] = {}
    for piece, part in zip(cut, parts, strict=True):
        first = found.get(piece.path)
        if first is None:
            found[piece.path] = part
            continue
        above = first.counts.lines - piece.preamble_lines
        part.counts.samples = [Skipped(line=each.line + above, why=each.why) for each in part.counts.samples]
        first.counts.add(part.counts)
        first.unmatched += part.unmatched
        first.spills += part.spills
        first.error = first.error or part.error
        if first.source is None or part.confidence > first.confidence:
            first.source, first.confidence = part.source, part.confidence
    return list(found.values())


def _sum(parts: list[Part]) -> Sum:
    counts, unmatched = Counts(), TopHosts()
    for part in parts:
        counts.add(part.counts)
        unmatched.update(part.unmatched)
    counts.samples = counts.samples[:SAMPLES]
    spills = [path for part in parts for path in part.spills]
    return Sum(parts=parts, counts=counts, unmatched=unmatched, spills=spills)


def expand(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Files, folders (all files below, by name) and patterns to paths, each once; and the names that led nowhere."""
    found: dict[str, None] = {}
    missing: list[str] = []
    for name in names:
        if name == "-":
            matches = ["-"]
        elif os.path.isdir(name):
            matches = sorted(
                os.path.join(folder, file)
                for folder, _, files in os.walk(name)
                for file in files
                if not file.startswith(".")
            )
        elif os.path.lexists(name):
            matches = [name]
        else:
            root = Path(name).anchor or "."
            pattern = str(Path(name).relative_to(root)) if Path(name).is_absolute() else name
            try:
                matches = sorted(str(each) for each in Path(root).glob(pattern) if each.is_file())
            except (ValueError, NotImplementedError):
                matches = []
        if not matches:
            missing.append(name)
        found.update(dict.fromkeys(matches))
    return list(found), missing
