"""Where usage lives, as a door: embedded Parquet files read by DuckDB, or PostgreSQL. Both pass one contract suite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from casb.store.discovery_book import Ingest


class FactRow(NamedTuple):
    """One row of the table `app_facts` of `discovery_expressions`."""

    app: str
    category: str
    standing: str
    risk: str


class UsageStore(Protocol):
    """Keeps usage by stream and day, and answers the questions of `discovery_expressions`."""

    def add(
        self, ingest: Ingest, spills: Sequence[Path], unmatched: Iterable[tuple[date, str, int]], scratch: Path
    ) -> bool:
        """Take in what one input gave: all of it, once, whatever crashes. False when it counted before.

        `spills` are Parquet files of `shaping.Row`. Raises `StoreError` D020.
        """

    def ask(
        self,
        expression: Any,
        *,
        streams: Sequence[str] | None,
        since: date,
        until: date,
        facts: Sequence[FactRow] = (),
        narrow: tuple[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        """The rows of an expression. Streams and days must be those that the expression is about; `narrow` is a column
        and the one value of it that it looks at, if there is one. Raises `StoreError` D021."""

    def expire(self, before: date) -> int:
        """Drop all days before one; how many segments or rows that were."""

    def drop(self, stream: str | None = None) -> None:
        """Drop the usage of a stream, or all of it, and forget what was ingested, so that it may come again."""

    def compact(self) -> int:
        """Tidy up after many small inputs; how many pieces were merged."""

    def close(self) -> None:
        """Let go."""


def as_plain(value: Any) -> Any:
    """A value of an engine as Python has it: sums are integers whatever type the engine adds up in."""
    if isinstance(value, bool) or value is None:
        return value
    return int(value) if type(value).__name__ == "Decimal" else value
