"""What is measured, and the loop that measures it: all contestants of a case in turn, round after round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench_lib import load
from bench_lib.contestants import Contestant

SCRIPT = {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
PAGE = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of traffic. Downloads are measured per megabyte and in memory, all else per request."""

    id: str
    title: str
    kind: str
    path: str
    least: int
    headers: Mapping[str, str] = field(default_factory=dict)
    connections: int = 16
    only: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """What the CPU is counted for."""
        return "MB" if self.kind == "download" else "request"


def cases(megabytes: int) -> list[Case]:
    """All of them; `megabytes` is the size of the large files."""
    size = megabytes * 1_000_000
    return [
        Case(
            id="json", title="1 KB JSON, keep-alive", kind="keep-alive", path="/small.json", least=1000, headers=SCRIPT
        ),
        Case(
            id="html",
            title="50 KB HTML (casb: 100 hosts rewritten)",
            kind="keep-alive",
            path="/page.html",
            least=50_000,
            headers=PAGE,
        ),
        Case(
            id="json-h2",
            title="1 KB JSON, HTTP/2, 8 streams each",
            kind="http2",
            path="/small.json",
            least=1000,
            headers=SCRIPT,
            connections=4,
        ),
        Case(
            id="connect",
            title="1 KB JSON, new TLS connection each",
            kind="connections",
            path="/small.json",
            least=1000,
            headers=SCRIPT,
            connections=8,
        ),
        Case(
            id="download",
            title=f"{megabytes} MB download",
            kind="download",
            path="/large.bin",
            least=size,
            headers=SCRIPT,
        ),
        Case(
            id="protect",
            title=f"{megabytes} MB download, handed over encrypted",
            kind="download",
            path="/secret.bin",
            least=size,
            headers=SCRIPT,
            only=("casb", "casb, plain core"),
        ),
    ]


@dataclass(slots=True, kw_only=True)
class Sample:
    """One contestant in one round."""

    cpu_ms: float  # milliseconds of CPU per unit
    per_second: float  # units per second, on a machine that the load shares
    peak_bytes: int  # most memory over what was resident before any load


@dataclass(slots=True, kw_only=True)
class Result:
    """All rounds of one case; samples of one round have the same index."""

    case: Case
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def median(self, name: str) -> Sample:
        """The middle of each figure by itself."""
        found = self.samples[name]
        return Sample(
            cpu_ms=statistics.median(each.cpu_ms for each in found),
            per_second=statistics.median(each.per_second for each in found),
            peak_bytes=int(statistics.median(each.peak_bytes for each in found)),
        )

    def ratios(self, name: str, base: str) -> list[float]:
        """CPU against another contestant's in the same round, lowest first."""
        if base not in self.samples or name not in self.samples:
            return []
        pairs = zip(self.samples[name], self.samples[base], strict=True)
        return sorted(one.cpu_ms / other.cpu_ms for one, other in pairs if other.cpu_ms > 0)


def measure(
    contestants: Sequence[Contestant],
    chosen: Sequence[Case],
    *,
    rounds: int,
    seconds: float,
    tell: Callable[[str], None],
) -> list[Result]:
    """Every case, round by round; the order within a round turns, so that none is always first."""
    results = [Result(case=case) for case in chosen]
    for contestant in contestants:
        contestant.idle_bytes = contestant.family.rss()
    for number in range(rounds):
        for result in results:
            taking = [each for each in contestants if not result.case.only or each.name in result.case.only]
            turn = number % len(taking)
            for contestant in taking[turn:] + taking[:turn]:
                tell(f"round {number + 1}/{rounds}: {result.case.title}: {contestant.name}")
                if number == 0:
                    _sample(contestant, result.case, min(seconds, 0.5))  # caches, and connections to the origin
                result.samples.setdefault(contestant.name, []).append(_sample(contestant, result.case, seconds))
    return results


def _sample(contestant: Contestant, case: Case, seconds: float) -> Sample:
    job = contestant.job(case.kind, case.path, case.least, case.headers, seconds=seconds, connections=case.connections)
    family = contestant.family
    family.forget_peak()
    begun = family.cpu()
    try:
        done = load.run(job)
    except load.LoadFailed as error:
        raise load.LoadFailed(f"{case.title}: {contestant.name}: {error}") from error
    time.sleep(0.05)  # what is left to do after the last answer
    used, peak = family.cpu() - begun, family.peak() - contestant.idle_bytes
    units = done.body_bytes / 1e6 if case.kind == "download" else done.requests
    return Sample(cpu_ms=used * 1000 / units, per_second=units / done.seconds, peak_bytes=max(peak, 0))
