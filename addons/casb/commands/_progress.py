"""A progress bar for people: on a terminal only, on stderr, at most ten times a second."""

from __future__ import annotations

import sys
import time
from typing import TextIO

WIDTH = 30


class Progress:
    """Bytes done of a total. A total of 0 is unknown."""

    def __init__(self, total: int, *, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._total = total
        self._done = 0
        self._began = self._shown = time.monotonic()
        self._active = self._out.isatty()

    def __call__(self, count: int) -> None:
        """`count` further bytes are done."""
        self._done += count
        now = time.monotonic()
        if self._active and now - self._shown >= 0.1:
            self._shown = now
            self._show(now)

    def close(self) -> None:
        """Leave a clean line."""
        if self._active and self._shown != self._began:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def _show(self, now: float) -> None:
        rate = self._done / max(now - self._began, 0.001)
        text = f"{size(self._done)}  {size(rate)}/s"
        if self._total:
            part = min(1.0, self._done / self._total)
            left = (self._total - self._done) / rate if rate else 0.0
            bar = "#" * round(part * WIDTH)
            text = f"[{bar:<{WIDTH}}] {part:4.0%}  {text}  {max(0, left):.0f} s left"
        self._out.write(f"\r\x1b[K{text}")
        self._out.flush()


def size(count: float) -> str:
    """Bytes as people read them.

    >>> size(1536)
    '1.5 KB'
    """
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if count < 1024 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError
