"""What large files cost: memory over idle, one at a time and many at once, and how long everybody else waits.

One casb whose policies look into every download: plain files pass, text is judged while it passes by all shipped
sensitive information types, other files are held encrypted on disk, one is handed over encrypted. Peaks are those of
the proxy's process (what one worker needs) and of all its processes together (with the readers of files).
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench_lib.cases import SCRIPT
from bench_lib.contestants import Contestant
from bench_lib.load import Job, LoadFailed
from bench_lib.process import Family
from casb.model.info_types import CATEGORIES

POLICIES = f"""\
version: 1
policies:
  - id: looks-into-files
    apps: files
    activities: download
    when: {{file: {{findings: [{", ".join(CATEGORIES)}], extension: [txt, dat]}}}}
    action: block
    unscannable: ignore
"""
_HIGH = bytes(code | 0x80 for code in range(256))
"""Makes chance bytes such that no number is in them by chance, which a policy would take for somebody's."""
_LINE = "2026-11-21T10:00:%02d.%03dZ INFO request id=%08x user=u%05d path=/api/items/%d status=200 bytes=%d took=%dms\n"


def contents(folder: Path, *, megabytes: int, each: int, hold: int) -> None:
    """Files to fetch: `large.txt` and `large.dat` of `megabytes`, `part.bin` of 10 MB, `part.dat` of `each` MB. Text
    of more than `hold` MB is judged while it passes."""
    lines = [
        _LINE % (n % 60, n % 1000, n * 2654435761 % 2**32, n % 99991, n, n * 37 % 9999, n % 321) for n in range(20_000)
    ]
    block = "".join(lines).encode()
    for name, size, text in (
        ("large.txt", megabytes, True),
        ("large.dat", megabytes, False),
        ("warm.txt", hold + 3, True),
        ("part.bin", min(10, megabytes), False),
        ("part.dat", each, False),
    ):
        with (folder / name).open("wb") as file:
            left = size * 1_000_000
            while left > 0:
                piece = (block if text else os.urandom(1_000_000).translate(_HIGH))[:left]
                file.write(piece)
                left -= len(piece)


def measure(
    contestant: Contestant, *, megabytes: int, each: int, many: int, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """One row per kind of load."""
    rows = []
    size, part = megabytes * 1_000_000, each * 1_000_000
    small = min(10, megabytes) * 1_000_000
    loads = (
        (f"{megabytes} MB, streamed", "/large.bin", size, 1),
        (f"{megabytes} MB of text, judged while it passes", "/large.txt", size, 1),
        (f"{megabytes} MB, handed over encrypted", "/secret.bin", size, 1),
        (f"{megabytes} MB, held on disk", "/large.dat", size, 1),
        (f"{many + 14} x {small // 1_000_000} MB at once, streamed", "/part.bin", small, many + 14),
        (f"{many} x {each} MB at once, held on disk", "/part.dat", part, many),
    )
    family = contestant.family
    alone = Family(family.root, alone=True)
    began = alone.rss()
    for path in ("/warm.txt", "/part.dat", "/part.bin"):  # the readers start
        _fetch(contestant, path, 1)
    idle = began, began + family.rss() - alone.rss()
    for title, path, least, count in loads:
        tell(title)
        rows.append({"load": title, **_peak(contestant, path, least, count, idle)})
    tell("what others wait")
    rows.append({"load": f"1 KB JSON while {megabytes} MB are judged", **_stall(contestant, size)})
    return rows


def _peak(contestant: Contestant, path: str, least: int, count: int, idle: tuple[int, int]) -> dict[str, Any]:
    family, alone = contestant.family, Family(contestant.family.root, alone=True)
    family.forget_peak()
    begun = family.cpu()
    started = time.monotonic()
    got = _fetch(contestant, path, count)
    taken = time.monotonic() - started
    if got < least * count:
        raise LoadFailed(f"{path}: {got} bytes instead of {least * count}")
    return {
        "peak_mb": round(max(alone.peak() - idle[0], 0) / 1e6, 1),
        "peak_all_mb": round(max(family.peak() - idle[1], 0) / 1e6, 1),
        "cpu_ms_per_mb": round((family.cpu() - begun) * 1000 / (got / 1e6), 2),
        "mb_per_second": round(got / 1e6 / taken, 1),
    }


def _fetch(contestant: Contestant, path: str, count: int) -> int:
    """Bytes of `count` answers at once, read by a process of its own."""
    job = contestant.job("fetch", path, 0, SCRIPT)
    ended = subprocess.run(
        [sys.executable, "-m", "bench_lib.memory", json.dumps(asdict(job)), str(count)],
        capture_output=True,
        text=True,
        timeout=900,
    )
    if ended.returncode:
        raise LoadFailed(f"{path}: {ended.stderr.strip()[-300:]}")
    return int(ended.stdout)


@contextmanager
def _line(job: Job) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cafile=job.ca)
    with (
        socket.create_connection(("127.0.0.1", job.port), timeout=600) as raw,
        context.wrap_socket(raw, server_hostname=job.host) as line,
    ):
        yield line


def _ask(line: ssl.SSLSocket, job: Job) -> int:
    """The bytes of one answer's body, by its length."""
    line.sendall(job.head())
    head = b""
    while b"\r\n\r\n" not in head:
        data = line.recv(65_536)
        if not data:
            raise LoadFailed("hung up before the head")
        head += data
    head, _, rest = head.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise LoadFailed(head[:60].decode("latin-1"))
    fields = dict(each.lower().split(b": ", 1) for each in head.split(b"\r\n")[1:])
    length, got = int(fields[b"content-length"]), len(rest)
    buffer = bytearray(256 * 1024)
    while got < length:
        size = line.recv_into(buffer)
        if not size:
            break
        got += size
    return got


def _stall(contestant: Contestant, size: int) -> dict[str, Any]:
    """The longest wait for a small answer, alone and while a large text is judged; milliseconds."""
    job = contestant.job("probe", "/small.json", 0, SCRIPT)
    found = {}
    with _line(job) as line:
        for name in ("quiet", "busy"):
            got: list[int] = []
            fetching = threading.Thread(target=lambda into=got: into.append(_fetch(contestant, "/large.txt", 1)))
            until = time.monotonic() + 2
            if name == "busy":
                fetching.start()
            waits = []
            while fetching.is_alive() if name == "busy" else time.monotonic() < until:
                begun = time.perf_counter()
                _ask(line, job)
                waits.append((time.perf_counter() - begun) * 1000)
                time.sleep(0.004)
            waits.sort()
            found[name] = {"longest_ms": round(waits[-1], 1), "p99_ms": round(waits[len(waits) * 99 // 100], 1)}
            if name == "busy" and got != [size]:
                raise LoadFailed(f"the text did not arrive: {got}")
    return {f"{name}_{what}": value for name, each in found.items() for what, value in each.items()}


def table(rows: list[dict[str, Any]]) -> list[str]:
    """For a terminal."""
    if not rows:
        return []
    lines = [
        "",
        f"{'Large files (casb)':<46}{'peak MB over idle':>18}{'all processes':>15}{'CPU ms/MB':>11}{'MB/s':>8}",
    ]
    for row in rows:
        if "peak_mb" in row:
            cells = f"{row['peak_mb']:>18}{row['peak_all_mb']:>15}{row['cpu_ms_per_mb']:>11}{row['mb_per_second']:>8}"
            lines.append(f"  {row['load']:<44}{cells}")
        else:
            lines.append(
                f"  {row['load']}: longest wait {row['busy_longest_ms']} ms (p99 {row['busy_p99_ms']}), "
                f"quiet {row['quiet_longest_ms']} ms (p99 {row['quiet_p99_ms']})"
            )
    return lines


def main(job: Job, count: int) -> int:
    """Fetch so many at once; prints the bytes of all bodies."""
    sizes: list[int] = []
    failed: list[BaseException] = []

    def one() -> None:
        try:
            with _line(job) as line:
                sizes.append(_ask(line, job))
        except (OSError, LoadFailed) as error:
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if failed:
        print(f"{len(failed)} failed: {failed[0]}", file=sys.stderr)
        return 1
    print(sum(sizes))
    return 0


if __name__ == "__main__":
    sys.exit(main(Job(**json.loads(sys.argv[1])), int(sys.argv[2])))
