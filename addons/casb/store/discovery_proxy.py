"""The proxy's own traffic as a source: tunnels that it counted, and the records of controlled exchanges.

Lines wait in the book, known by their ids, until a batch of them has become usage; a batch counts once by its own id.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from casb.hostname import normal_host
from casb.model.discovery import Skipped, TrafficEvent
from casb.store.discovery_book import Book, millis

SOURCE = "session-proxy"
REMEMBERED = timedelta(days=2)
"""How long ids are remembered: a proxy that lost an answer sends its lines again within minutes."""
BATCH = 50_000
WAIT = timedelta(seconds=10)
"""How long lines gather before they become a batch."""


class ProxyTraffic:
    """What waits to be counted. Safe to use from several threads and processes."""

    def __init__(self, book: Book, clock: Callable[[], datetime], *, enabled: bool = True) -> None:
        self._database = book.database
        self._clock = clock
        self._enabled = enabled

    def take(self, records: Sequence[Mapping[str, Any]]) -> int:
        """Keep lines of tunnels and of activities; how many were new. What has no host is left out."""
        if not self._enabled:
            return 0
        now = millis(self._clock())
        rows = [(str(record["id"]), now, json.dumps(line)) for record in records if (line := _line(record))]
        if not rows:
            return 0
        with self._database.writing() as writer:
            before = writer.total_changes
            writer.executemany(
                "INSERT INTO proxy_traffic (id, time, line) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows
            )
            return writer.total_changes - before

    def waiting(self) -> bool:
        """Whether a batch is due."""
        limit = millis(self._clock() - WAIT)
        with self._database.reading() as reader:
            found = reader.execute(
                "SELECT 1 FROM proxy_traffic WHERE line IS NOT NULL AND (batch IS NOT NULL OR time < ?) LIMIT 1",
                (limit,),
            )
            return found.fetchone() is not None

    def batch(self) -> str | None:
        """The id of lines to be counted now: those that somebody began with, else new ones."""
        if not self.waiting():
            return None
        with self._database.writing() as writer:
            begun = writer.execute(
                "SELECT batch FROM proxy_traffic WHERE batch IS NOT NULL AND line IS NOT NULL LIMIT 1"
            ).fetchone()
            if begun is not None:
                return str(begun[0])
            batch = secrets.token_hex(12)
            done = writer.execute(
                "UPDATE proxy_traffic SET batch = ? WHERE id IN "
                "(SELECT id FROM proxy_traffic WHERE batch IS NULL AND line IS NOT NULL LIMIT ?)",
                (batch, BATCH),
            )
            return batch if done.rowcount else None

    def lines(self, batch: str) -> list[str]:
        """Its lines."""
        with self._database.reading() as reader:
            rows = reader.execute(
                "SELECT line FROM proxy_traffic WHERE batch = ? AND line IS NOT NULL ORDER BY id", (batch,)
            )
            return [row[0] for row in rows]

    def done(self, batch: str) -> None:
        """It is counted; its ids are remembered for a while."""
        with self._database.writing() as writer:
            writer.execute("UPDATE proxy_traffic SET line = NULL WHERE batch = ?", (batch,))

    def tidy(self) -> None:
        """Forget ids that nobody will send again."""
        with self._database.writing() as writer:
            limit = millis(self._clock() - REMEMBERED)
            writer.execute("DELETE FROM proxy_traffic WHERE line IS NULL AND time < ?", (limit,))


class TrafficReading:
    """Lines as `ProxyTraffic` keeps them, read like a log."""

    source: str | None = SOURCE
    confidence = 1.0

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[TrafficEvent | Skipped]:
        for number, raw in enumerate(self._stream, 1):
            try:
                line = json.loads(raw)
                yield TrafficEvent(
                    line=number,
                    time=datetime.fromisoformat(line["time"]),
                    source=SOURCE,
                    user=line.get("user") or None,
                    client_ip=line.get("ip") or None,
                    host=line["host"],
                    url=line.get("url"),
                    bytes_up=_whole(line.get("up")),
                    bytes_down=_whole(line.get("down")),
                    allowed=bool(line.get("allowed", True)),
                )
            except (ValueError, KeyError, TypeError) as error:
                yield Skipped(line=number, why=f"no line of the proxy ({type(error).__name__})")


def read_traffic(stream: BinaryIO, *, source: object, zone: tzinfo, now: datetime, name: str = "") -> TrafficReading:
    """As `casb.discovery.read`, for lines of ours."""
    return TrafficReading(stream)


def _line(record: Mapping[str, Any]) -> dict[str, Any] | None:
    if record.get("kind") == "traffic":
        host = normal_host(str(record.get("host") or ""))
        return host and {
            "time": record.get("time"),
            "host": host,
            "ip": record.get("ip"),
            "up": record.get("bytes_up"),
            "down": record.get("bytes_down"),
        }  # type: ignore[return-value]
    request, response = record.get("request") or {}, record.get("response") or {}
    user, client = record.get("user") or {}, record.get("client") or {}
    try:
        parts = urlsplit(str(request.get("url") or ""))
        host = normal_host(parts.hostname or "")
    except (ValueError, AttributeError):
        return None
    if host is None or record.get("source") != "session control":
        return None
    return {
        "time": record.get("time"),
        "host": host,
        "url": f"{parts.scheme}://{host}{parts.path}",
        "user": user.get("name"),
        "ip": client.get("ip"),
        "up": request.get("content_length"),
        "down": response.get("content_length"),
        "allowed": record.get("action") != "block",
    }


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
