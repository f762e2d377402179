"""Traffic events to usage: sums per day, app, user, address, device and resource, in bounded memory.

Pure and engine-free: events in, rows out. Whoever calls empties a full tally (`drain`) and merges what came out; sums,
first and last seen merge in any order, so neither the order of the files nor the place of a cut changes the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from casb.discovery.resources import resource_of
from casb.discovery.tophosts import TopHosts
from casb.model.discovery import Skipped, TrafficEvent

FULL = 100_000
"""Distinct keys after which a tally asks to be emptied: about 70 MB."""
SAMPLES = 1000
"""Skipped lines that are told one by one; the rest is in the counts."""
KNOWN_HOSTS = 100_000
"""Hosts whose app is remembered between events."""

type Match = Callable[[str | None, str | None, str | None], str | None]
"""Host, URL and destination address to the id of the app; None when nobody owns them. Most specific first."""

FUTURE = "the time lies in the future"
EXPIRED = "older than the retention time"
BEFORE = "before the time asked for"
NO_DESTINATION = "neither host nor destination address"


class Usage(NamedTuple):
    """One roll-up row. Absent facts are None; counters are sums over transactions, times aware UTC."""

    day: date
    app: str
    user: str | None
    ip: str | None
    device: str | None
    resource: str | None
    events: int
    blocked: int
    up: int
    down: int
    total: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which times count. None leaves a side open. A line outside is counted with its reason, never silently lost."""

    since: datetime | None = None  # a wish of whoever asks
    oldest: datetime | None = None  # the retention time
    newest: datetime | None = None  # now and a tolerance: clocks run wrong


@dataclass(slots=True, kw_only=True)
class Counts:
    """What became of the lines. `skipped` holds reason to count, `samples` the first lines of them."""

    lines: int = 0
    events: int = 0
    matched: int = 0
    outside: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    samples: list[Skipped] = field(default_factory=list)
    oldest: datetime | None = None
    newest: datetime | None = None

    def add(self, other: Counts) -> None:
        """Take in what another part of the input counted."""
        self.lines += other.lines
        self.events += other.events
        self.matched += other.matched
        self.outside.update(other.outside)
        self.skipped.update(other.skipped)
        self.samples.extend(other.samples[: SAMPLES - len(self.samples)])
        for time in (other.oldest, other.newest):
            self.spread(time)

    def spread(self, time: datetime | None) -> None:
        """Widen the span of times by one."""
        if time is not None:
            self.oldest = time if self.oldest is None or time < self.oldest else self.oldest
            self.newest = time if self.newest is None or time > self.newest else self.newest


class Tally:
    """Sums events. One per process; `match` is asked once per host, for each event where only a path can tell."""

    def __init__(
        self, match: Match, *, window: Window | None = None, by_path: Callable[[str], bool] = lambda host: False
    ) -> None:
        """`by_path` says whether apps share this host and only the URL's path tells which it is."""
        self._match = match
        self._by_path = by_path
        self._window = window or Window()
        self._bounded = self._window != Window()
        self._apps: dict[str, str | None] = {}
        self._addresses: dict[str, str | None] = {}
        self._sums: dict[tuple[object, ...], list[object]] = {}
        self.counts = Counts()
        self.unmatched = TopHosts()

    @property
    def full(self) -> bool:
        """Time to `drain`."""
        return len(self._sums) >= FULL

    def skip(self, line: Skipped) -> None:
        """Count a line that gives no event."""
        counts = self.counts
        counts.lines += 1
        counts.skipped[line.why] += 1
        if len(counts.samples) < SAMPLES:
            counts.samples.append(line)

    def add(self, event: TrafficEvent) -> bool:
        """Count one event. True when it became usage of an app; its line is counted in any case."""
        counts = self.counts
        counts.lines += 1
        counts.events += 1
        time = event.time
        if counts.oldest is None or time < counts.oldest:
            counts.oldest = time
        if counts.newest is None or time > counts.newest:
            counts.newest = time
        if self._bounded and (why := self._outside(time)):
            counts.outside[why] += 1
            return False
        app = self._app(event)
        if app is None:
            self.unmatched.add(time.date(), event.host or event.dest_ip or "")
            return False
        counts.matched += 1
        self._sum(event, app)
        return True

    def feed(self, items: Iterable[TrafficEvent | Skipped]) -> Iterator[None]:
        """Count what a parser yields; yields whenever the tally is full, so that the caller may `drain` it."""
        add, skip, sums = self.add, self.skip, self._sums
        for item in items:
            if isinstance(item, TrafficEvent):
                add(item)
                if len(sums) >= FULL:
                    yield
                    sums = self._sums
            else:
                skip(item)

    def drain(self) -> list[Usage]:
        """The rows so far; the tally starts anew. Counts and unmatched hosts stay."""
        rows = [Usage(*key, *sums) for key, sums in self._sums.items()]  # type: ignore[arg-type]
        self._sums = {}
        return rows

    def _sum(self, event: TrafficEvent, app: str) -> None:
        time, up, down = event.time, event.bytes_up or 0, event.bytes_down or 0
        total = up + down if event.bytes_total is None else event.bytes_total
        resource = resource_of(app, event.host, event.url) if event.url is not None or event.host else None
        key = (time.date(), app, event.user, event.client_ip, event.device, resource)
        sums = self._sums.get(key)
        if sums is None:
            self._sums[key] = [1, 1 if event.allowed is False else 0, up, down, total, time, time]
            return
        sums[0] += 1  # type: ignore[operator]
        if event.allowed is False:
            sums[1] += 1  # type: ignore[operator]
        sums[2] += up  # type: ignore[operator]
        sums[3] += down  # type: ignore[operator]
        sums[4] += total  # type: ignore[operator]
        if time < sums[5]:  # type: ignore[operator]
            sums[5] = time
        elif time > sums[6]:  # type: ignore[operator]
            sums[6] = time

    def _app(self, event: TrafficEvent) -> str | None:
        host = event.host
        if host is not None:
            try:
                app = self._apps[host]
            except KeyError:
                app = self._match(host, event.url, None)
                # Where a path may tell what the host does not, the next event is asked for again.
                if not self._by_path(host):
                    _remember(self._apps, host, app)
            if app is not None:
                return app
        address = event.dest_ip
        if address is None:
            return None
        try:
            return self._addresses[address]
        except KeyError:
            app = self._match(None, None, address)
            _remember(self._addresses, address, app)
            return app

    def _outside(self, time: datetime) -> str | None:
        window = self._window
        if window.newest is not None and time > window.newest:
            return FUTURE
        if window.oldest is not None and time < window.oldest:
            return EXPIRED
        if window.since is not None and time < window.since:
            return BEFORE
        return None


def _remember(known: dict[str, str | None], key: str, app: str | None) -> None:
    if len(known) >= KNOWN_HOSTS:
        known.clear()
    known[key] = app
