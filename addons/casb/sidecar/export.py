"""The activity log as a file: CSV for spreadsheets, JSON, NDJSON. Pure: records in, chunks out."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from casb.spreadsheet import cell

COLUMNS: Mapping[str, Sequence[str]] = {
    "id": ("id",),
    "time": ("time",),
    "activity": ("activity",),
    "action": ("action",),
    "app": ("app", "name"),
    "app_id": ("app", "id"),
    "user": ("user", "name"),
    "user_id": ("user", "id"),
    "device_tags": ("device", "tags"),
    "managed": ("device", "managed"),
    "device_type": ("device", "type"),
    "os": ("device", "os"),
    "ip": ("client", "ip"),
    "ip_category": ("client", "ip_category"),
    "country": ("client", "country"),
    "user_agent": ("client", "user_agent"),
    "file": ("file", "name"),
    "size": ("file", "size"),
    "sha256": ("file", "sha256"),
    "label": ("file", "label"),
    "url": ("request", "url"),
    "status": ("response", "status"),
    "policy": ("policy",),
    "matched": ("matched",),
    "severity": ("severity",),
    "source": ("source",),
    "session": ("session",),
    "policy_version": ("policy_version",),
    "mode": ("mode",),
}
"""The columns of the CSV and where each comes from in a record."""

CHUNK = 64 * 1024  # bytes, about


def as_csv(records: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """RFC 4180, UTF-8, one row per record; starts with the byte order mark that spreadsheets want."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\ufeff")
    writer.writerow(COLUMNS)
    for record in records:
        writer.writerow([cell(_at(record, path)) for path in COLUMNS.values()])
        if buffer.tell() > CHUNK:
            yield _emptied(buffer)
    yield _emptied(buffer)


def as_ndjson(records: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """One record per line, complete."""
    return _joined(orjson.dumps(record) + b"\n" for record in records)


def as_json(records: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """One array of complete records."""

    def parts() -> Iterator[bytes]:
        yield b"["
        separator = b"\n"
        for record in records:
            yield separator + orjson.dumps(record)
            separator = b",\n"
        yield b"\n]\n"

    return _joined(parts())


FORMATS: Mapping[str, tuple[str, Callable[[Iterable[Mapping[str, Any]]], Iterator[bytes]]]] = {
    "csv": ("text/csv; charset=utf-8", as_csv),
    "json": ("application/json", as_json),
    "ndjson": ("application/x-ndjson", as_ndjson),
}
"""Format to media type and writer."""


def _joined(parts: Iterable[bytes]) -> Iterator[bytes]:
    pending, size = [], 0
    for part in parts:
        pending.append(part)
        size += len(part)
        if size > CHUNK:
            yield b"".join(pending)
            pending, size = [], 0
    if pending:
        yield b"".join(pending)


def _at(record: Mapping[str, Any], path: Sequence[str]) -> object:
    value: Any = record
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _emptied(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode("utf-8", "replace")
