"""What a process and its children have used, from `/proc`."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from demo_lib.processes import descendants

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Family:
    """A server's processes, all of them counted."""

    root: int
    alone: bool = False  # without what descends from it

    def members(self) -> list[int]:
        """The process and what descends from it, now."""
        return [self.root] if self.alone else [self.root, *descendants(self.root)]

    def cpu(self) -> float:
        """Seconds of CPU, user and system, of the living members and of the children they have waited for."""
        return sum(_cpu(each) for each in self.members())

    def rss(self) -> int:
        """Bytes of memory that are resident now."""
        return sum(_status(each, "VmRSS") for each in self.members())

    def peak(self) -> int:
        """The most bytes that were resident since `forget_peak`."""
        return sum(_status(each, "VmHWM") for each in self.members())

    def forget_peak(self) -> None:
        """Begin a new peak (proc(5), clear_refs)."""
        for each in self.members():
            with contextlib.suppress(OSError):
                Path(f"/proc/{each}/clear_refs").write_text("5")


def _cpu(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(each) for each in fields[11:15]) / _TICKS


def _status(process: int, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0
