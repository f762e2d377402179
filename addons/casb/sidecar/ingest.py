"""Records as the proxy sends them, NDJSON, into the activity log. Knows the store, nothing of HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from casb.errors import StoreError
from casb.store.alerts_sqlite import AlertStore, NewAlert, of_record
from casb.store.protected_sqlite import KIND, OPENED, ProtectedFiles, opening_of, row_of
from casb.store.records import ActivityLog
from casb.store.records_sqlite import prepared
from casb.store.row import parse

LONGEST_RECORD = 256 * 1024  # bytes of one line
MOST_RECORDS = 5000  # lines of one batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A line that is no record: its index in the batch, from 0, counting the lines that are not empty."""

    index: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a batch. The three add up to the number of its lines."""

    accepted: int
    duplicates: int
    rejected: tuple[Rejected, ...]


class TooMany(Exception):
    """More records than a batch may have."""


type Traffic = Callable[[Sequence[Mapping[str, Any]]], int]
"""Takes what discovery counts: lines of tunnels, and records; tells how many it had not seen."""


def take(
    body: bytes,
    records: ActivityLog,
    alerts: AlertStore | None = None,
    traffic: Traffic | None = None,
    protected: ProtectedFiles | None = None,
) -> Receipt:
    """Keep every line that is a record, in one transaction; on return they are on the disk.

    Lines of `kind` traffic are no activities: they go to `traffic`, and so does a copy of each record. Lines that tell
    of protected files go to `protected`.

    Raises `StoreError` when the database refuses (nothing of the batch is kept then) and `TooMany`.
    """
    lines = [line for line in body.split(b"\n") if line]
    if len(lines) > MOST_RECORDS:
        raise TooMany
    rows, rejected, raised = [], [], list[NewAlert]()
    counted: list[Mapping[str, Any]] = []
    tunnels = 0
    files, openings = list[tuple[Any, ...]](), list[tuple[str, str]]()
    for index, line in enumerate(lines):
        try:
            if len(line) > LONGEST_RECORD:
                raise StoreError("S031", f"longer than {LONGEST_RECORD} bytes")
            record = parse(line)
            if record.get("kind") == "traffic":
                if not isinstance(record.get("id"), str):
                    raise StoreError("S031", "the field 'id' is missing")
                tunnels += 1
            elif record.get("kind") == KIND:
                files.append(row_of(record))
                continue
            elif record.get("kind") == OPENED:
                openings.append(opening_of(record))
                continue
            else:
                rows.append(prepared(record, line.decode()))
                raised += of_record(record)
            counted.append(record)
        except StoreError as error:
            rejected.append(Rejected(index=index, error=str(error)))
    # First: an alert is idempotent by its activity, so a batch that is sent again after a failure raises nothing twice.
    if alerts is not None:
        alerts.raise_all(raised)
    # Likewise what discovery counts: its lines are known by their ids.
    if traffic is not None and counted:
        traffic(counted)
    if protected is not None and (files or openings):
        protected.keep(files, openings)
    accepted = records.append_rows(rows)
    others = tunnels + len(files) + len(openings)
    return Receipt(accepted=accepted + others, duplicates=len(rows) - accepted, rejected=tuple(rejected))
