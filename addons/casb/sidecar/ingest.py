"""Records as the proxy sends them, NDJSON, into the activity log. Knows the store, nothing of HTTP."""

from __future__ import annotations

from dataclasses import dataclass

from casb.errors import StoreError
from casb.store.alerts_sqlite import AlertStore, NewAlert, of_record
from casb.store.records_sqlite import SqliteRecords, prepared
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


def take(body: bytes, records: SqliteRecords, alerts: AlertStore | None = None) -> Receipt:
    """Keep every line that is a record, in one transaction; on return they are on the disk.

    Raises `StoreError` when the database refuses (nothing of the batch is kept then) and `TooMany`.
    """
    lines = [line for line in body.split(b"\n") if line]
    if len(lines) > MOST_RECORDS:
        raise TooMany
    rows, rejected, raised = [], [], list[NewAlert]()
    for index, line in enumerate(lines):
        try:
            if len(line) > LONGEST_RECORD:
                raise StoreError("S031", f"longer than {LONGEST_RECORD} bytes")
            record = parse(line)
            rows.append(prepared(record))
            raised += of_record(record)
        except StoreError as error:
            rejected.append(Rejected(index=index, error=str(error)))
    # First: an alert is idempotent by its activity, so a batch that is sent again after a failure raises nothing twice.
    if alerts is not None:
        alerts.raise_all(raised)
    accepted = records.append_rows(rows)
    return Receipt(accepted=accepted, duplicates=len(rows) - accepted, rejected=tuple(rejected))
