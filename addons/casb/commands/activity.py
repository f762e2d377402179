"""Search and export the activity log.

Examples:
  casb activity --user ada --action block --from 24h
  casb activity --policy block-payroll-downloads --from 2026-03-01T00:00:00Z --limit 0 --format csv > payroll.csv
  casb activity --url https://portal.example --token file:read.token --format json

A filter may be given several times: any of its values. `--from` and `--to` take RFC 3339 times, or an age such as 30m,
24h or 7d.
"""

from __future__ import annotations

import argparse
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from casb.commands._log import add_source_arguments, open_log
from casb.model.identity import UNMANAGED
from casb.model.record import rfc3339
from casb.sidecar.export import FORMATS
from casb.store.filters import FILTERS

_AGE = re.compile(r"(\d{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_HEAD = ("TIME (UTC)", "ACTION", "USER", "ACTIVITY", "APP", "FILE", "DEVICE", "POLICY", "ID")
_WIDEST = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    for name in FILTERS:
        parser.add_argument(f"--{name.replace('_', '-')}", dest=f"filter_{name}", action="append", metavar="VALUE")
    parser.add_argument("--limit", type=int, default=50, help="newest records to show; 0: all (default: 50)")
    parser.add_argument("--format", choices=("table", *FORMATS), default="table")


def run(arguments: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    filters: dict[str, Any] = {}
    for name in FILTERS:
        given = getattr(arguments, f"filter_{name}")
        if given:
            filters[name] = [aged(value, now) for value in given] if name in ("from", "to") else given
    log = open_log(arguments)
    try:
        records = log.stream(filters, limit=arguments.limit or None)
        if arguments.format == "table":
            shown = list(records)
            print("\n".join(table(shown)))
            print(f"{len(shown)} activities", file=sys.stderr)
        else:
            for chunk in FORMATS[arguments.format][1](records):
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    finally:
        log.close()
    return 0


def aged(value: str, now: datetime) -> str:
    """`24h` to the time that was then; everything else stays as it is."""
    match = _AGE.fullmatch(value)
    return rfc3339(now - timedelta(**{_UNITS[match[2]]: int(match[1])})) if match else value


def table(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Lines for a terminal. Names come from strangers: control characters are taken out."""
    rows = [_HEAD, *(_row(record) for record in records)]
    widths = [min(_WIDEST, max(len(row[column]) for row in rows)) for column in range(len(_HEAD) - 1)]
    return [
        "  ".join([*(_fit(text, width) for text, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]


def clean(text: str) -> str:
    """Text without anything that a terminal would obey (escape sequences, bidirectional overrides)."""
    return "".join("\ufffd" if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") else each for each in text)


def _row(record: Mapping[str, Any]) -> tuple[str, ...]:
    def name(key: str) -> str:
        return str((record.get(key) or {}).get("name") or "-")

    tags = (record.get("device") or {}).get("tags") or []
    values = (
        str(record.get("time", ""))[:19].replace("T", " "),
        str(record.get("action", "")),
        name("user"),
        str(record.get("activity", "")),
        name("app"),
        name("file"),
        ",".join(map(str, tags)) or UNMANAGED,
        str(record.get("policy") or "-"),
        str(record.get("id", "")),
    )
    return tuple(clean(value) for value in values)


def _fit(text: str, width: int) -> str:
    return (text if len(text) <= width else text[: width - 1] + "…").ljust(width)
