"""Records as the proxy sends them, NDJSON, into the activity log. Knows the store, nothing of HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from casb.errors import StoreError
from casb.store import quarantine_sqlite
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
    quarantine: quarantine_sqlite.QuarantinedFiles | None = None,
) -> Receipt:
    """Keep every line that is a record, in one transaction; on return they are on the disk.

    Lines of `kind` traffic are no activities: they go to `traffic`, and so does a copy of each record. Lines that tell
    of protected files go to `protected`, those of refused files that a policy keeps to `quarantine`; one that could not
    be kept raises an alert.

    Raises `StoreError` when the database refuses (nothing of the batch is kept then) and `TooMany`.
    """
    lines = [line for line in body.split(b"\n") if line]
    if len(lines) > MOST_RECORDS:
        raise TooMany
    found, rejected = _Found(), []
    for index, line in enumerate(lines):
        try:
            found.add(line)
        except StoreError as error:
            rejected.append(Rejected(index=index, error=str(error)))
    # First: an alert is idempotent by its activity, so a batch that is sent again after a failure raises nothing twice.
    if alerts is not None:
        alerts.raise_all(found.raised)
    # Likewise what discovery counts: its lines are known by their ids.
    if traffic is not None and found.counted:
        traffic(found.counted)
    if protected is not None and (found.files or found.openings):
        protected.keep(found.files, found.openings)
    if quarantine is not None:
        quarantine.keep(found.refused)
    accepted = records.append_rows(found.rows)
    duplicates = len(found.rows) - accepted
    return Receipt(accepted=accepted + found.others, duplicates=duplicates, rejected=tuple(rejected))


@dataclass(slots=True)
class _Found:
    """The lines of a batch by what they tell of."""

    rows: list[Any] = field(default_factory=list)
    counted: list[Mapping[str, Any]] = field(default_factory=list)
    raised: list[NewAlert] = field(default_factory=list)
    files: list[tuple[Any, ...]] = field(default_factory=list)
    openings: list[tuple[str, str]] = field(default_factory=list)
    refused: list[quarantine_sqlite.Row] = field(default_factory=list)
    others: int = 0  # lines that are no records

    def add(self, line: bytes) -> None:
        """Raises `StoreError` S031 for a line that is none of ours."""
        if len(line) > LONGEST_RECORD:
            raise StoreError("S031", f"longer than {LONGEST_RECORD} bytes")
        record = parse(line)
        kind = record.get("kind")
        if kind == "traffic":
            if not isinstance(record.get("id"), str):
                raise StoreError("S031", "the field 'id' is missing")
            self.counted.append(record)
        elif kind == KIND:
            self.files.append(row_of(record))
        elif kind == OPENED:
            self.openings.append(opening_of(record))
        elif kind == quarantine_sqlite.KIND:
            self.refused.append(quarantine_sqlite.row_of(record))
            self.raised += not_kept(record)
        else:
            self.rows.append(prepared(record, line.decode()))
            self.raised += of_record(record)
            self.counted.append(record)
            return
        self.others += 1


def not_kept(line: Mapping[str, Any]) -> list[NewAlert]:
    """The alert about a refused file that could not be kept; none where it was."""
    if not line["failure"]:
        return []
    return [
        NewAlert(
            time=datetime.fromisoformat(line["time"]),
            kind="system",
            policy="",
            severity="high",
            title="A refused file could not be kept in quarantine",
            key="quarantine",
            activity=line["id"],
            app=line["app"],
            user=line["user_name"],
            detail={"why": line["failure"], "policy": line["policy"]},
        )
    ]
