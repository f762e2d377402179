"""What a log of egress traffic says: one line, one event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficEvent:
    """One transaction of a firewall, proxy, gateway or endpoint log. What the source does not tell is None."""

    line: int  # 1-based line or record number in its file
    time: datetime  # aware UTC
    source: str  # name of the log parser that read it
    user: str | None = None  # as logged, without a domain rewritten or dropped
    client_ip: str | None = None
    device: str | None = None
    host: str | None = None  # lower-case A-label, no port; None where the source knows addresses only
    url: str | None = None  # as logged, completed to scheme://host/path where the source splits it
    dest_ip: str | None = None
    bytes_up: int | None = None  # client to destination
    bytes_down: int | None = None  # destination to client
    bytes_total: int | None = None  # where the source gives only the sum; never the sum of the two others
    allowed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A line that gives no event, and why: counted, never lost silently, never fatal."""

    line: int
    why: str
