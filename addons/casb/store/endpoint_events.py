"""Single events of endpoint agents, kept for hunting: Parquet files by day, within a number of days and bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from casb.discovery.endpoint_hunting import COLUMNS
from casb.discovery.endpoint_records import NetworkEvent
from casb.errors import StoreError
from casb.store.discovery_frames import answers, connection, told

FOLDER = "endpoint-events"
BATCH = 20_000
MOST_ROWS = 100_000
_WHOLE = ("RemotePort", "LocalPort", "SentBytes", "ReceivedBytes")
SCHEMA = pa.schema(
    [
        (
            name,
            pa.timestamp("us", "UTC") if name == "Timestamp" else pa.int64() if name in _WHOLE else pa.string(),
        )
        for name in COLUMNS
    ]
    + [("host", pa.string())]
)


class EndpointEvents:
    """All of them. Raises `StoreError` D020 when they cannot be written."""

    def __init__(self, folder: Path, *, days: int, limit: int) -> None:
        self._folder = folder / FOLDER
        self._days = days
        self._limit = limit

    def writer(self, key: str, now: datetime) -> Writer:
        """For one input; its name comes from `key`, so that the same input written again replaces itself."""
        return Writer(self._folder, hashlib.sha256(key.encode()).hexdigest()[:32], self._oldest(now), now.date())

    def find(
        self, hosts: Sequence[str], *, since: datetime, until: datetime, device: str | None = None, limit: int = 1000
    ) -> list[dict[str, Any]]:
        """Events about the hosts or names below them, the latest first."""
        files = [
            str(path)
            for day in self._stored()
            if since.date() <= day <= until.date()
            for path in sorted(self._place(day).glob("*.parquet"))
        ]
        if not files or not hosts:
            return []
        below = " OR ".join("host = ? OR ends_with(host, ?)" for _ in hosts)
        values: list[Any] = [since, until, *(each for host in hosts for each in (host, f".{host}"))]
        narrow = ""
        if device is not None:
            narrow = " AND (DeviceId = ? OR DeviceName = ?)"
            values += [device, device.lower()]
        columns = ", ".join(f'"{name}"' for name in COLUMNS)
        with connection() as con:
            return answers(
                con,
                f'SELECT {columns} FROM read_parquet({files!r}) WHERE "Timestamp" >= ? AND "Timestamp" <= ? '  # noqa: S608
                f'AND ({below}){narrow} ORDER BY "Timestamp" DESC, DeviceId, RemoteUrl LIMIT {min(limit, MOST_ROWS):d}',
                values,
            )

    def tidy(self, now: datetime) -> None:
        """Drop what is too old, then the oldest days until the rest fits."""
        for day in self._stored():
            if day < self._oldest(now):
                shutil.rmtree(self._place(day), ignore_errors=True)
        sizes = {day: sum(each.stat().st_size for each in self._place(day).iterdir()) for day in self._stored()}
        total = sum(sizes.values())
        for day in sorted(sizes):
            if total <= self._limit:
                break
            shutil.rmtree(self._place(day), ignore_errors=True)
            total -= sizes[day]

    def drop(self) -> None:
        """All of it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _oldest(self, now: datetime) -> date:
        return now.date() - timedelta(days=self._days - 1)

    def _place(self, day: date) -> Path:
        return self._folder / day.isoformat()

    def _stored(self) -> list[date]:
        found = []
        with contextlib.suppress(FileNotFoundError):
            for each in self._folder.iterdir():
                with contextlib.suppress(ValueError):
                    found.append(date.fromisoformat(each.name))
        return sorted(found)


class Writer:
    """Takes events in and writes a file per day; nothing counts until `done`."""

    def __init__(self, folder: Path, name: str, oldest: date, newest: date) -> None:
        self._folder = folder
        self._name = name
        self._oldest = oldest
        self._newest = newest + timedelta(days=1)
        self._rows: dict[date, list[tuple[Any, ...]]] = {}
        self._open: dict[date, tuple[Path, pq.ParquetWriter]] = {}

    def add(self, event: NetworkEvent) -> None:
        """Keep one event; days that are not kept are left out."""
        day = event.time.date()
        if not self._oldest <= day <= self._newest:
            return
        rows = self._rows.setdefault(day, [])
        rows.append(_row(event))
        if len(rows) >= BATCH:
            self._flush(day)

    def done(self) -> None:
        """Put what was added in force. Raises `StoreError` D020."""
        for day in list(self._rows):
            self._flush(day)
        try:
            for path, writer in self._open.values():
                writer.close()
                os.replace(path, path.with_suffix(".parquet"))
        except (OSError, pa.ArrowException) as error:
            raise StoreError("D020", f"events cannot be kept ({told(error)})") from error
        finally:
            self.close()

    def close(self) -> None:
        """Let go of what was not put in force."""
        for path, writer in self._open.values():
            with contextlib.suppress(OSError, pa.ArrowException):
                writer.close()
            path.unlink(missing_ok=True)
        self._open.clear()
        self._rows.clear()

    def _flush(self, day: date) -> None:
        rows = self._rows.pop(day, [])
        if not rows:
            return
        try:
            if day not in self._open:
                place = self._folder / day.isoformat()
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
                path = place / f"{self._name}.part"
                self._open[day] = (path, pq.ParquetWriter(path, SCHEMA, compression="zstd"))
            columns = list(zip(*rows, strict=True))
            arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
            self._open[day][1].write_batch(pa.record_batch(arrays, schema=SCHEMA))
        except (OSError, pa.ArrowException) as error:
            self.close()
            raise StoreError("D020", f"events cannot be kept ({told(error)})") from error


def _row(event: NetworkEvent) -> tuple[Any, ...]:
    plain = (
        event.time, event.device_id, event.device, event.action, event.user, event.process, event.url or event.host,
        event.remote_ip, event.remote_port, event.local_ip, event.local_port, event.protocol, event.up, event.down,
        event.report_id, event.host,
    )  # fmt: skip
    return tuple(each.encode("utf-8", "replace").decode() if isinstance(each, str) else each for each in plain)


def plain_rows(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """As JSON and CSV show them: times as RFC 3339."""
    return [{**row, "Timestamp": row["Timestamp"].isoformat().replace("+00:00", "Z")} for row in rows]
