"""How long one person waits for a 50 KB page: to its first and to its last byte, asked one after the other."""

from __future__ import annotations

import socket
import ssl
import statistics
import time
from collections.abc import Sequence
from typing import Any

from bench_lib.contestants import Contestant
from bench_lib.load import LoadFailed

PATH = "/page.html"
PAGE = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
BASE = "mitmdump"


class _Line:
    """A kept connection to one contestant."""

    def __init__(self, contestant: Contestant) -> None:
        job = contestant.job("waits", PATH, 50_000, PAGE)
        context = ssl.create_default_context(cafile=job.ca)
        raw = socket.create_connection(("127.0.0.1", job.port), timeout=20)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket, self.head = context.wrap_socket(raw, server_hostname=job.host), job.head()

    def ask(self) -> tuple[float, float]:
        """Milliseconds to the first byte of the body, and to the last."""
        began = time.perf_counter()
        self.socket.sendall(self.head)
        got = b""
        first = 0.0
        while True:
            data = self.socket.recv(65_536)
            if not data:
                raise LoadFailed("connection lost while waiting for a page")
            got += data
            at = got.find(b"\r\n\r\n")
            if at < 0 or len(got) == at + 4:
                continue
            first = first or time.perf_counter() - began
            length = next(
                (int(line[15:]) for line in got[:at].lower().split(b"\r\n") if line.startswith(b"content-length:")), -1
            )
            whole = len(got) >= at + 4 + length if length >= 0 else got.endswith(b"\r\n0\r\n\r\n")
            if whole:
                if not got.startswith(b"HTTP/1.1 200"):
                    raise LoadFailed(f"an unexpected answer: {got[:100]!r}")
                return first * 1000, (time.perf_counter() - began) * 1000


def waits(contestants: Sequence[Contestant], *, times: int) -> list[dict[str, Any]]:
    """Medians per contestant, interleaved; and what each adds to plain mitmdump, in milliseconds."""
    lines = {each.name: _Line(each) for each in contestants}
    asked: dict[str, list[tuple[float, float]]] = {name: [] for name in lines}
    try:
        for number in range(times + 3):
            for name, line in lines.items():
                taken = line.ask()
                if number >= 3:  # what comes first fills caches
                    asked[name].append(taken)
    finally:
        for line in lines.values():
            line.socket.close()
    middle = {
        name: tuple(statistics.median(each[which] for each in found) for which in (0, 1))
        for name, found in asked.items()
    }
    base = middle.get(BASE, (0.0, 0.0))
    return [
        {
            "name": name,
            "first_ms": round(first, 3),
            "last_ms": round(last, 3),
            "added_first_ms": round(first - base[0], 3),
            "added_last_ms": round(last - base[1], 3),
        }
        for name, (first, last) in middle.items()
    ]


def table(rows: list[dict[str, Any]]) -> list[str]:
    """For a terminal."""
    if not rows:
        return []
    lines = ["", f"One person, a 50 KB page, ms     first byte  last byte   added to {BASE}: first    last"]
    for row in rows:
        taken = f"{row['first_ms']:>10.2f}{row['last_ms']:>11.2f}"
        cells = f"{taken}{row['added_first_ms']:>+27.2f}{row['added_last_ms']:>+8.2f}"
        lines.append(f"  {row['name']:<31}{cells}")
    return lines
