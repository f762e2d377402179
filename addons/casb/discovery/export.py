"""Reports as files: CSV for spreadsheets, plain data for JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from casb.discovery.query import AppUsage
from casb.spreadsheet import cell

CHUNK = 64 * 1024  # bytes, about

APP_COLUMNS = (
    "app", "name", "category", "score", "risk", "tag", "tags", "traffic", "uploaded", "downloaded", "transactions",
    "blocked", "users", "ips", "devices", "first_seen", "last_seen", "vendor", "headquarters", "domains",
)  # fmt: skip
ENTITY_COLUMNS = ("name", "apps", "events", "blocked", "up", "down", "total", "users", "ips", "first", "last")


def plain_app(app: AppUsage) -> dict[str, Any]:
    """One discovered app as JSON data."""
    facts = app.facts
    return {
        "app": facts.id,
        "name": facts.name,
        "category": facts.category,
        "score": facts.score,
        "risk": facts.risk,
        "tag": facts.tag,
        "tags": sorted(facts.tags),
        "traffic": app.total,
        "uploaded": app.up,
        "downloaded": app.down,
        "transactions": app.events,
        "blocked": app.blocked,
        "users": app.users,
        "ips": app.ips,
        "devices": app.devices,
        "first_seen": app.first.isoformat(),
        "last_seen": app.last.isoformat(),
        "vendor": facts.vendor,
        "headquarters": facts.headquarters,
        "domains": list(facts.domains),
    }


def as_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Iterator[bytes]:
    """RFC 4180, UTF-8 with the byte order mark that spreadsheets want; no cell is a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\ufeff")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([cell(row.get(column)) for column in columns])
        if buffer.tell() > CHUNK:
            yield _emptied(buffer)
    yield _emptied(buffer)


def _emptied(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode("utf-8", "replace")
