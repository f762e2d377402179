"""Spilled usage to one line per app, for `casb discover`: one query of DuckDB, whatever the size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from casb.store.discovery_frames import LARGEST, connection, merged, written


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
        found = con.execute(
            f"SELECT app, sum(events), sum(blocked), least(sum(up), {LARGEST}), least(sum(down), {LARGEST}), "  # noqa: S608
            f'least(sum(total), {LARGEST}) AS traffic, count(DISTINCT "user"), count(DISTINCT ip), '
            'count(DISTINCT device), min("first"), max("last") '
            "FROM read_parquet(?) GROUP BY app ORDER BY traffic DESC, app",
            [[str(path) for path in spills]],
        ).fetchall()
    return [
        AppUse(
            app=app,
            transactions=int(events),
            blocked=int(blocked),
            bytes_up=int(up),
            bytes_down=int(down),
            bytes_total=int(total),
            users=users,
            ips=ips,
            devices=devices,
            first=first,
            last=last,
        )
        for app, events, blocked, up, down, total, users, ips, devices, first, last in found
    ]


def merge_to(path: Path, spills: Sequence[Path], scratch: Path) -> None:
    """All rows, those of equal keys added up, as one Parquet file. Raises `StoreError` D020."""
    with written(path) as temporary, connection(scratch) as con:
        merged(con, spills).write_parquet(str(temporary), compression="zstd")
