"""How fast `casb discover` sums a proxy log: lines a second, as a ratio to Python's `csv` over the same file.

`python tests/bench/bench_discover.py --lines 5000000` writes a log (once; `--keep FILE` names it), reads it with `csv`,
with the parser alone and with the fast lane, in one process and in one per core, and prints a table. Never a pass or
fail on time.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from casb.discovery import read
from casb.discovery.shaping import Shaper
from casb.discovery.streams import Kind, Stream
from casb.store.discovery_catalog import known_apps
from casb.store.discovery_run import Job, run

APPS = (
    "www.dropbox.com", "docs.google.com", "outlook.office.com", "slack.com", "api.github.com", "s3.amazonaws.com",
    "backups.s3.amazonaws.com", "teams.microsoft.com", "zoom.us", "app.box.com", "notion.so", "chat.openai.com",
)  # fmt: skip


def write(path: Path, lines: int) -> None:
    """A day of Squid's native log: 5,000 people, 3,700 hosts, two thirds tunnels, one line in a thousand broken."""
    rng = random.Random(7)  # noqa: S311 - test data
    hosts = [f"{name}{at}.example" for at in range(1500) for name in ("app", "cdn")] + list(APPS) * 60
    people = [(f"10.{at >> 8}.{at & 255}.7", f"user{at}@corp.example") for at in range(5000)]
    moment = 1714979289.0
    with open(path, "w", encoding="ascii") as file:
        for at in range(lines):
            moment += rng.random() * 0.03
            ip, user = people[int(rng.random() ** 2 * len(people))]
            host = hosts[int(rng.random() ** 2 * len(hosts))]
            kind, took, size = rng.random(), rng.randrange(1, 90_000), rng.randrange(100, 900_000)
            to = f"HIER_DIRECT/203.0.113.{rng.randrange(250)}"
            if kind < 0.6:
                file.write(f"{moment:.3f} {took:6d} {ip} TCP_TUNNEL/200 {size} CONNECT {host}:443 {user} {to} -\n")
            elif kind < 0.97:
                page = f"http://{host}/p/{rng.randrange(10**9)}?q={took}"
                file.write(f"{moment:.3f} {took:6d} {ip} TCP_MISS/200 {size} GET {page} {user} {to} text/html\n")
            elif kind < 0.999:
                file.write(
                    f"{moment:.3f}      0 {ip} TCP_DENIED/403 {size} GET http://{host}/ - HIER_NONE/- text/html\n"
                )
            else:
                file.write(f"broken line {at}\n")


def _csv(path: Path) -> int:
    with open(path, newline="", encoding="ascii") as file:
        return sum(1 for _ in csv.reader(file, delimiter=" "))


def _casb(fast: bool, processes: int) -> Callable[[Path], int]:
    def read_all(path: Path) -> int:
        now = datetime.now(UTC)
        stream = Stream(id="snapshot", name="snapshot", kind=Kind.SNAPSHOT, created=now, modified=now)
        matcher = known_apps(None, now.date()).index
        job = Job(read=read, matcher=matcher, shaper=Shaper(stream=stream), now=now, fast=fast)
        with tempfile.TemporaryDirectory() as scratch:
            return run([str(path)], job, Path(scratch), processes=processes).counts.lines

    return read_all


def measure(path: Path) -> Iterator[dict[str, object]]:
    """One row for each way to read the file; wall and processor time, peak memory of the largest process so far."""
    ways: list[tuple[str, Callable[[Path], int]]] = [
        ("python csv", _csv),
        ("lane, 1 process", _casb(True, 1)),
        ("lane, a process per core", _casb(True, 0)),
        ("parser, a process per core", _casb(False, 0)),
        ("python csv, again", _csv),
    ]
    for name, way in ways:
        began, cpu = time.perf_counter(), _cpu()
        lines = way(path)
        wall, used = time.perf_counter() - began, _cpu() - cpu
        peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        yield {"way": name, "lines": lines, "wall": lines / wall, "cpu": lines / used, "peak_mb": peak // 1024}


def _cpu() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _table(rows: Iterator[dict[str, object]], *, as_json: bool) -> None:
    first: dict[str, object] = {}
    out = sys.stdout.write
    if not as_json:
        out(f"{'':28}{'lines/s':>12}{'of csv':>8}{'lines/cpu s':>14}{'of csv':>8}{'peak MB':>9}\n")
    for row in rows:
        first = first or row
        wall, cpu = float(str(row["wall"])), float(str(row["cpu"]))
        shares = wall / float(str(first["wall"])), cpu / float(str(first["cpu"]))
        if as_json:
            out(json.dumps(row) + "\n")
        else:
            out(f"{row['way']:28}{wall:12,.0f}{shares[0]:8.2f}{cpu:14,.0f}{shares[1]:8.2f}{row['peak_mb']:>9}\n")
        sys.stdout.flush()


def main() -> int:
    """Exit status 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=5_000_000)
    parser.add_argument("--keep", type=Path, help="where the log is, or is to be, kept")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.keep or Path(folder) / "access.log"
        if not path.exists():
            write(path, arguments.lines)
        _table(measure(path), as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
