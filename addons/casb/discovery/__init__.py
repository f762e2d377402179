"""Shadow IT: logs of egress traffic to events, events to discovered apps.

`reading` says how to use the log parsers; `PARSERS` is the table of them.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import BinaryIO

from casb.discovery.parser import LogParser, Parsers
from casb.discovery.parsers.table import PARSERS
from casb.discovery.reading import Reading

__all__ = ["PARSERS", "LogParser", "Parsers", "Reading", "read"]


def read(
    stream: BinaryIO,
    *,
    source: str | LogParser | None,
    zone: tzinfo,
    now: datetime,
    name: str = "",
    parsers: Parsers = PARSERS,
) -> Reading:
    """The events of a log, lazily: see `casb.discovery.reading`. ValueError for a source that is not known."""
    chosen = source if isinstance(source, LogParser) or source is None else parsers.find(source)
    if chosen is None and source is not None:
        raise ValueError(f"unknown log source {source!r}")
    return Reading(stream, parsers, chosen, zone, now, name)
