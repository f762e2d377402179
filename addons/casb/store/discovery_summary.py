"""Spilled usage to one line per app, for `casb discover`: one query of DuckDB, whatever the size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from casb.store.discovery_frames import LARGEST, answers, connection, merged, written


@dataclass(frozen=True, slots=True, kw_only=True)
class AppUse:
    """One discovered app. Counts of users, addresses and devices are exact and distinct."""

    app: str
    transactions: int
    blocked: int
    bytes_up: int
    bytes_down: int
    bytes_total: int
    users: int
    ips: int
    devices: int
    first: datetime
    last: datetime


def summary(spills: Sequence[Path], scratch: Path) -> list[AppUse]:
    """The apps, those with most traffic first."""
    if not spills:
        return []
    with connection(scratch) as con:
        found = answers(
            con,
            f"SELECT app, sum(events) AS transactions, sum(blocked) AS blocked, "  # noqa: S608
            f"least(sum(up), {LARGEST}) AS bytes_up, "
            f"least(sum(down), {LARGEST}) AS bytes_down, least(sum(total), {LARGEST}) AS bytes_total, "
            'count(DISTINCT "user") AS users, count(DISTINCT ip) AS ips, count(DISTINCT device) AS devices, '
            'min("first") AS "first", max("last") AS "last" '
            "FROM read_parquet(?) GROUP BY app ORDER BY bytes_total DESC, app",
            [[str(path) for path in spills]],
        )
    return [AppUse(**row) for row in found]


def merge_to(path: Path, spills: Sequence[Path], scratch: Path) -> None:
    """All rows, those of equal keys added up, as one Parquet file. Raises `StoreError` D020."""
    with written(path) as temporary, connection(scratch) as con:
        merged(con, spills).write_parquet(str(temporary), compression="zstd")
