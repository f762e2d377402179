"""What the collector says of a source: is it connected, is it losing data, is it quieter than it was. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

CREATED, HEALTHY, CONNECTED, DISCONNECTED = "created", "healthy", "connected", "disconnected"
SILENT = timedelta(hours=24)
ALERT = timedelta(hours=48)
LOW_SHARE = 0.1
"""An hour with less than this share of the usual hour is a low rate."""
LEARNED = 24
"""Whole hours that must be known before a rate can be low."""
HOURS = 7 * 24
"""Hours remembered."""
LOW_RATE = "LOG_COLLECTOR_LOW_RATE"
NO_DATA = "LOG_COLLECTOR_NO_DATA"
DROPPED = "LOG_COLLECTOR_DROPPED"


@dataclass(slots=True, kw_only=True)
class SourceState:
    """Counters of one source since the collector was first started; kept over restarts. Bytes where not said."""

    name: str
    attached: bool = False  # its receiver runs
    attached_at: datetime | None = None
    last_data: datetime | None = None
    received: int = 0
    messages: int = 0
    dropped: int = 0
    dropped_messages: int = 0
    drops: dict[str, int] = field(default_factory=dict)  # reason to messages or files
    uploaded: int = 0  # files
    waiting: int = 0
    error: str = ""  # why the last delivery or the receiver failed
    hours: list[int] = field(default_factory=list)  # bytes of past hours, the latest last
    hour: int = 0  # number of the hour now counted
    hour_bytes: int = 0

    def take(self, size: int, now: datetime) -> None:
        """Count a message or file that was accepted."""
        self.turn(now)
        self.last_data = now
        self.received += size
        self.messages += 1
        self.hour_bytes += size

    def drop(self, size: int, why: str) -> None:
        """Count a message or file that was not."""
        self.dropped += size
        self.dropped_messages += 1
        self.drops[why] = self.drops.get(why, 0) + 1

    def turn(self, now: datetime) -> None:
        """Close hours that are over."""
        hour = int(now.timestamp() // 3600)
        if self.hour == 0:
            self.hour = hour
        gone = min(hour - self.hour, HOURS)
        if gone > 0:
            self.hours = [*self.hours, self.hour_bytes, *[0] * (gone - 1)][-HOURS:]
            self.hour, self.hour_bytes = hour, 0


def status(state: SourceState, now: datetime) -> str:
    """created (no receiver), healthy (no data yet), connected (data in the last day), disconnected."""
    if not state.attached:
        return CREATED
    if state.last_data is None:
        return HEALTHY
    return CONNECTED if now - state.last_data < SILENT else DISCONNECTED


def alerts(state: SourceState, now: datetime) -> list[str]:
    """Alert types of the reference product that hold now. What the sidecar alone knows it adds itself."""
    found = []
    since = state.last_data or state.attached_at
    if since is not None and now - since >= ALERT:
        found.append(NO_DATA)
    if len(state.hours) >= LEARNED:
        past, last = state.hours[:-1], state.hours[-1]
        usual = sum(past) / len(past)
        if last < usual * LOW_SHARE:
            found.append(LOW_RATE)
    if state.dropped_messages:
        found.append(DROPPED)
    return found


def as_json(state: SourceState, now: datetime) -> dict[str, Any]:
    """The state as the heartbeat tells it."""
    plain = asdict(state)
    for name in ("hours", "hour", "hour_bytes"):
        plain.pop(name)
    for name in ("attached_at", "last_data"):
        plain[name] = plain[name] and plain[name].isoformat()
    return {**plain, "status": status(state, now), "alerts": alerts(state, now)}
