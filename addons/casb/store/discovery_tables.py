"""Lists of a report as Parquet, for notebooks and warehouses."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from casb.discovery.export import APP_COLUMNS, ENTITY_COLUMNS, plain_app
from casb.store.discovery_reports import LARGEST_PAGE, Reports, Span

MOST = 1_000_000
"""Rows of one table."""
_TEXTS = frozenset({"app", "name", "category", "risk", "tag", "vendor", "headquarters", "first_seen", "last_seen"})
_LISTS = frozenset({"tags", "domains"})


def parquet(reports: Reports, span: Span, table: str) -> bytes:
    """The discovered apps (`apps`), or the list of `user`, `ip`, `device` or `resource`. Raises `StoreError` D032."""
    if table == "apps":
        return _written([plain_app(each) for each in reports.apps(span)], APP_COLUMNS)
    rows: list[dict[str, Any]] = []
    while len(rows) < MOST:
        page = reports.entities(span, table, by="name", descending=False, skip=len(rows), limit=LARGEST_PAGE).rows
        rows += page
        if len(page) < LARGEST_PAGE:
            break
    return _written(rows, ENTITY_COLUMNS)


def _written(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> bytes:
    made = pa.table({name: pa.array([row.get(name) for row in rows], _type(name)) for name in columns})
    out = io.BytesIO()
    pq.write_table(made, out, compression="zstd")
    return out.getvalue()


def _type(name: str) -> pa.DataType:
    if name in _LISTS:
        return pa.list_(pa.string())
    if name in ("first", "last"):
        return pa.timestamp("us", "UTC")
    return pa.string() if name in _TEXTS else pa.float64() if name == "score" else pa.int64()
