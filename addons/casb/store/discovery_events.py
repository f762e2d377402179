"""Single events as a Parquet file, written in batches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple
from itertools import batched

import pyarrow as pa
import pyarrow.parquet as pq

from casb.model.discovery import TrafficEvent

BATCH = 50_000
_TEXT = ("source", "user", "client_ip", "device", "host", "url", "dest_ip")
SCHEMA = pa.schema(
    [
        ("line", pa.int64()),
        ("time", pa.timestamp("us", "UTC")),
        *((name, pa.string()) for name in _TEXT),
        ("bytes_up", pa.int64()),
        ("bytes_down", pa.int64()),
        ("bytes_total", pa.int64()),
        ("allowed", pa.bool_()),
    ]
)
_LARGEST = 2**63 - 1


def write_events(path: str, events: Iterable[TrafficEvent]) -> int:
    """Write them; how many there were. Raises `OSError`."""
    count = 0
    with open(path, "wb") as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for batch in batched(events, BATCH):
            columns = list(zip(*(map(_plain, astuple(event)) for event in batch), strict=True))
            arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
            count += len(batch)
    return count


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int) and not isinstance(value, bool):
        return min(value, _LARGEST)
    return value
