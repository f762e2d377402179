"""The catalog as tables: CSV, JSON and YAML that `catalog.tables` reads back.

CSV has one column a factor, for spreadsheets; JSON and YAML also say where each value comes from.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import yaml

from casb.catalog.factors import FACTORS, Factor, Kind
from casb.catalog.inventory import Entry
from casb.catalog.known import NOT_APPLICABLE, Fact, Value, to_plain
from casb.model.app import AppTag
from casb.spreadsheet import cell

_HEAD = (
    "id",
    "name",
    "vendor",
    "category",
    "also",
    "about",
    "domains",
    "addresses",
    "mdca_id",
    "business_unit",
    "hosting_platform",
    "custom",
    "score",
    "tag",
)
_BATCH = 500


def to_csv(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The table in pieces. Cells cannot be taken for formulas; lists have semicolons between their items."""
    yield _line([*_HEAD, *FACTORS])
    for entry in entries:
        yield _line([*_cells(entry), *(_value(factor, entry.app.value(name)) for name, factor in FACTORS.items())])


def _cells(entry: Entry) -> list[str]:
    app = entry.app
    texts = (
        app.id,
        app.name,
        app.vendor,
        app.category,
        ";".join(app.also),
        app.about,
        ";".join(app.domains),
        ";".join(app.addresses),
        "" if app.mdca_id is None else str(app.mdca_id),
        app.business_unit,
        app.hosting_platform,
        "yes" if app.custom else "",
        str(entry.score) if entry.score is not None else "",
        entry.tag.value if entry.tag is not AppTag.NONE else "",
    )
    return [cell(text) for text in texts]


def _value(factor: Factor, value: Value | None) -> str:
    if value is None:
        return ""
    if value == NOT_APPLICABLE:
        return "N/A"
    if factor.kind is Kind.FLAGS and isinstance(value, tuple):
        return ";".join(f"{pair[0]}={'yes' if pair[1] is True else 'no'}" for pair in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return cell(";".join(str(each) for each in value))
    return cell(value)


def _line(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def to_json(entries: Iterable[Entry]) -> Iterator[bytes]:
    """A JSON array in pieces, one app a line."""
    yield b"["
    for number, entry in enumerate(entries):
        yield (b",\n" if number else b"\n") + orjson.dumps(export_entry(entry))
    yield b"\n]\n"


def to_yaml(entries: Iterable[Entry]) -> Iterator[bytes]:
    """A YAML document in pieces, one `apps` list."""
    yield b"apps:\n"
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    batch: list[dict[str, Any]] = []
    empty = True
    for entry in entries:
        empty = False
        batch.append(export_entry(entry))
        if len(batch) == _BATCH:
            yield yaml.dump(batch, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120).encode()
            batch = []
    if batch:
        yield yaml.dump(batch, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120).encode()
    elif empty:
        yield b"  []\n"


FORMATS = {"csv": to_csv, "json": to_json, "yaml": to_yaml}


def export_entry(entry: Entry) -> dict[str, Any]:
    """An app as it holds here, with the provenance of every value; what is empty is left out."""
    app = entry.app
    plain: dict[str, Any] = {"id": app.id, "name": app.name, "category": app.category}
    for name in (
        "vendor",
        "about",
        "also",
        "domains",
        "addresses",
        "mdca_id",
        "business_unit",
        "hosting_platform",
        "attested_by",
        "attested_on",
    ):
        value = getattr(app, name)
        if value not in ("", None, ()):
            plain[name] = list(value) if isinstance(value, tuple) else value
    if app.custom:
        plain["custom"] = True
    if entry.score is not None:
        plain["score"] = entry.score
    if entry.tag is not AppTag.NONE:
        plain["tag"] = entry.tag.value
    if app.facts:
        plain["facts"] = {name: _fact(FACTORS[name], fact) for name, fact in app.facts.items()}
    return plain


def _fact(factor: Factor, fact: Fact) -> dict[str, Any]:
    row = {"value": to_plain(factor, fact.value), "source": fact.source.value}
    for name in ("as_of", "by", "evidence"):
        if getattr(fact, name):
            row[name] = getattr(fact, name)
    return row
