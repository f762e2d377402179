"""One input of logs into kept usage: read, matched, shaped and put in force, once.

The pipeline of snapshots, uploads, the collector and the proxy's own traffic alike.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from casb.catalog.ranges import Ranges
from casb.config import Draft
from casb.discovery import read
from casb.discovery.custom import Texts
from casb.discovery.exclude import Exclusions
from casb.discovery.pseudonym import Pseudonyms
from casb.discovery.shaping import Shaper
from casb.discovery.streams import Kind, Stream
from casb.discovery.usage import EXPIRED, FUTURE, Window
from casb.errors import StoreError
from casb.settings import Settings
from casb.store.discovery_book import Book, Ingest
from casb.store.discovery_catalog import Known
from casb.store.discovery_key import pseudonyms
from casb.store.discovery_people import people
from casb.store.discovery_run import Job, Read, Sum, Told, run
from casb.store.discovery_usage import UsageStore

TOLERANCE = timedelta(days=1)
"""How far a clock may run ahead."""
TOLD_SAMPLES = 20
_DAMAGE = ("damaged", "ends early", "not read on", "cannot be read on", "encrypted", "cannot be opened", "not opened")
"""Words of the reasons with which `casb.discovery.unpack` gives up on an archive."""


class Refused(Exception):
    """An input of which nothing counted; `code` is one of the error classes D010 to D016."""

    def __init__(self, code: str, message: str, outcome: dict[str, Any]) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.outcome = outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """What to ingest. `key` makes it count once; None takes the digest of the content."""

    paths: Sequence[str]
    stream: Stream
    name: str = ""
    key: str | None = None
    source: str | None = None
    zone: str = "UTC"
    others: tuple[str, ...] = field(default=("other",))


class Ingestor:
    """Takes inputs in. `known` gives the catalog in force, `ranges` what the organisation knows of addresses."""

    def __init__(
        self,
        settings: Settings,
        book: Book,
        usage: UsageStore,
        *,
        known: Callable[[], Known],
        ranges: Callable[[], Ranges],
        clock: Callable[[], datetime],
        reader: Read = read,
        own: Callable[[], Texts] = lambda: (),
        processes: int = 1,
    ) -> None:
        self._settings = settings
        self._book = book
        self._usage = usage
        self._known = known
        self._ranges = ranges
        self._clock = clock
        self._read = reader
        self._own = own
        self._processes = processes

    @property
    def folder(self) -> Path:
        """Where discovery keeps its things."""
        return discovery_folder(self._settings)

    def take(self, given: Input, progress: Told | None = None, *, reader: Read | None = None) -> dict[str, Any]:
        """Ingest; the outcome in numbers, with `fresh` False when the input had counted before.

        `reader` reads it instead of the log parsers. Raises `Refused` when nothing of it counts, `StoreError` when
        usage cannot be kept: then it may come again.
        """
        key = given.key or digest(given.paths)
        if self._book.has(given.stream.id, key):
            return {"fresh": False}
        if (given.source or "").casefold() in given.others:
            raise Refused("D014", "the source is 'Other', which is not parsed", {})
        known = self._known()
        scratch = self._scratch()
        try:
            job = Job(
                read=reader or self._read,
                matcher=known.index,
                shaper=self._shaper(given.stream),
                now=self._clock(),
                window=self._window(),
                source=given.source,
                own=() if reader else self._own(),
                zone=_zone(given.zone),
            )
            found = run(given.paths, job, scratch, progress=progress, processes=self._processes)
            outcome = outcome_of(found)
            refuse_empty(found, outcome)
            ingest = Ingest(
                stream=given.stream.id,
                key=key,
                time=self._clock(),
                name=given.name,
                catalog=known.version,
                outcome=outcome,
            )
            fresh = self._usage.add(ingest, found.spills, list(found.unmatched.rows()), scratch)
            return {**outcome, "fresh": fresh}
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _scratch(self) -> Path:
        place = self.folder / "scratch"
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix="ingest-", dir=place))
        except OSError as error:
            raise StoreError("D020", f"{place} cannot be used ({error.strerror})") from error

    def _window(self) -> Window:
        now = self._clock()
        return Window(oldest=now - timedelta(days=self._settings.discovery.retention_days), newest=now + TOLERANCE)

    def _shaper(self, stream: Stream) -> Shaper:
        ranges = self._ranges()
        hides = stream.anonymize_users or stream.anonymize_devices
        return Shaper(
            stream=stream,
            views=self._book.views_for(stream),
            people=people(self._settings.discovery.directory),
            exclusions=Exclusions(self._book.exclusions()),
            pseudonyms=self._pseudonyms() if hides else None,
            ip_tags=_Tags(ranges),
        )

    def _pseudonyms(self) -> Pseudonyms:
        return pseudonyms(Path(self._settings.data))


@dataclass(frozen=True, slots=True)
class _Tags:
    """The tags of an address, its category among them. A value, so that worker processes can have it."""

    ranges: Ranges

    def __call__(self, ip: str) -> Iterable[str]:
        facts = self.ranges.lookup(ip)
        return facts.tags | {facts.category} if facts.category else facts.tags


def discovery_folder(settings: Settings) -> Path:
    """Where discovery keeps its things: a folder of the data folder."""
    return Path(settings.data) / "discovery"


def ranges_of(draft: Draft) -> Ranges:
    """The ranges of a configuration folder."""
    return Ranges(draft.ranges)


def digest(paths: Iterable[str]) -> str:
    """SHA-256 over the files' contents, each with its length, so that no cut between them can be moved."""
    whole = hashlib.sha256()
    for path in paths:
        one = hashlib.sha256()
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                one.update(chunk)
        whole.update(one.digest())
    return whole.hexdigest()


def outcome_of(found: Sum) -> dict[str, Any]:
    """The numbers of a run as JSON: what the portal shows of a task."""
    counts = found.counts
    return {
        "source": found.source,
        "confidence": round(found.confidence, 3),
        "lines": counts.lines,
        "events": counts.events,
        "matched": counts.matched,
        "outside": dict(counts.outside),
        "skipped": counts.skipped.total(),
        "reasons": dict(counts.skipped.most_common(50)),
        "samples": [{"line": each.line, "why": each.why} for each in counts.samples[:TOLD_SAMPLES]],
        "oldest": counts.oldest and counts.oldest.isoformat(),
        "newest": counts.newest and counts.newest.isoformat(),
        "files": [
            {"file": Path(part.name).name, "events": part.counts.events, "error": part.error or None}
            for part in found.parts
        ],
    }


def refuse_empty(found: Sum, outcome: dict[str, Any]) -> None:
    """Raise `Refused` when nothing of the input counts (reference section 3)."""
    counts = found.counts
    errors = [part.error for part in found.parts if part.error]
    if errors and len(errors) == len(found.parts):
        raise Refused("D015", errors[0], outcome)
    damage = next((why for why in counts.skipped if any(word in why for word in _DAMAGE)), None)
    if damage is not None:
        # Half an archive is not half a truth: what is missing would look like less use.
        raise Refused("D015", damage, outcome)
    if counts.events == 0:
        binary = counts.lines and all("binary" in why or "NUL" in why for why in counts.skipped)
        if binary:
            raise Refused("D010", "the file is neither text nor compressed text", outcome)
        raise Refused("D011", "no line fits the format", outcome)
    usable = counts.events - counts.outside.total()
    if usable == 0:
        if counts.outside[FUTURE] >= counts.outside[EXPIRED]:
            raise Refused("D016", "every event lies in the future", outcome)
        raise Refused("D012", "every event is older than the retention time", outcome)
    if counts.matched == 0:
        raise Refused("D013", "no destination is an app of the catalog", outcome)


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def snapshot_stream(book: Book, name: str, now: datetime, **facts: Any) -> Stream:
    """A stream for a snapshot report of its own."""
    return book.ensure_stream(name, Kind.SNAPSHOT, now, **facts)
