"""Usage rows as Arrow tables and Parquet files, merged by DuckDB in bounded memory.

Files are written whole beside their place and then named, so that a reader never meets half of one.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from casb.discovery.shaping import Row
from casb.errors import StoreError

LARGEST = 2**53 - 1
"""The largest sum kept, 9 PB: what JSON and spreadsheets hold exactly. A log that claims more is capped."""
LONGEST = 512
"""Characters kept of a name."""
MEMORY = "256MB"
"""What DuckDB may use for merging before it goes to the disk."""

USAGE = pa.schema(
    [
        ("stream", pa.string()),
        ("in_global", pa.bool_()),
        ("day", pa.date32()),
        ("app", pa.string()),
        ("user", pa.string()),
        ("account", pa.string()),
        ("ip", pa.string()),
        ("device", pa.string()),
        ("resource", pa.string()),
        ("events", pa.int64()),
        ("blocked", pa.int64()),
        ("up", pa.int64()),
        ("down", pa.int64()),
        ("total", pa.int64()),
        ("first", pa.timestamp("us", "UTC")),
        ("last", pa.timestamp("us", "UTC")),
    ]
)
"""The table `usage`, in the order of `shaping.Row`."""

KEYS = ("stream", "in_global", "day", "app", "user", "account", "ip", "device", "resource")
_SUMS = ("events", "blocked", "up", "down", "total")
MERGE = (
    f"SELECT {', '.join(f'"{key}"' for key in KEYS)}, "
    + ", ".join(f"least(sum({each}), {LARGEST})::BIGINT AS {each}" for each in _SUMS)
    + ', min("first") AS "first", max("last") AS "last"'
)
"""The head of the query that adds up rows of equal keys; `FROM … GROUP BY ALL` follows."""


def table(rows: Sequence[Row]) -> pa.Table:
    """The rows as an Arrow table. Names are cut, cleaned of NUL and of what is no character; sums are capped."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(USAGE)
    arrays = []
    for field, values in zip(USAGE, columns, strict=True):
        if field.type == pa.string():
            arrays.append(pa.array(_texts(values), pa.string()))
        elif field.type == pa.int64():
            arrays.append(pa.array([min(max(value, 0), LARGEST) for value in values], pa.int64()))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=USAGE)


def write(path: Path, content: pa.Table) -> None:
    """Put a Parquet file at `path`, durably and in one step. Raises `StoreError` D020."""
    with written(path) as temporary:
        pq.write_table(content, temporary, compression="zstd")


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A temporary place beside `path`; what is there on leaving is synced and named. Raises `StoreError` D020."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fchmod(descriptor, 0o600)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (OSError, pa.ArrowException, duckdb.Error) as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StoreError("D020", f"usage cannot be written to {path.parent} ({told(error)})") from error
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def connection(scratch: Path | None = None, *, threads: int = 2, memory: str = MEMORY) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that reaches nothing but files, within bounds; larger work goes to `scratch`."""
    opened = duckdb.connect(":memory:")
    opened.execute(f"SET memory_limit='{memory}'")
    opened.execute(f"SET threads={threads}")
    opened.execute("SET TimeZone='UTC'")
    opened.execute("SET autoinstall_known_extensions=false")
    opened.execute("SET autoload_known_extensions=false")
    opened.execute("SET preserve_insertion_order=false")
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        opened.execute("SET temp_directory=?", [str(scratch)])
    return opened


def merged(con: duckdb.DuckDBPyConnection, paths: Sequence[Path], where: str = "TRUE") -> duckdb.DuckDBPyRelation:
    """Rows of equal keys added up, over Parquet files of this schema. `where` is one of our own conditions."""
    names = [str(path) for path in paths]
    return con.sql(f"{MERGE} FROM read_parquet({names!r}) WHERE {where} GROUP BY ALL")


def answers(con: duckdb.DuckDBPyConnection, sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The rows of a query as plain values. By way of Arrow: DuckDB's own times would need pytz."""
    rows = con.sql(sql, params=list(params)).to_arrow_table()
    columns = {name: rows.column(name).to_pylist() for name in rows.column_names}
    for name, values in columns.items():
        if any(isinstance(value, Decimal) for value in values):  # sums of 64 bit are wider than that
            columns[name] = [None if value is None else int(value) for value in values]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def told(error: Exception) -> str:
    """The reason of an error in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _texts(values: Iterable[Any]) -> list[str | None]:
    known: dict[str, str] = {}
    found: list[str | None] = []
    for value in values:
        if value is None:
            found.append(None)
            continue
        clean = known.get(value)
        if clean is None:
            text = value[:LONGEST].replace("\0", "\ufffd")
            clean = known[value] = text.encode("utf-8", "replace").decode("utf-8")
        found.append(clean)
    return found
