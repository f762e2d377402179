"""What the verbs of `casb catalog` share: the catalog of a configuration folder, rows of filters, tables."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from casb.catalog.filters import AT_LEAST, AT_MOST, CONTAINS, EQUALS, NOT_EQUALS, SUGGESTED, Condition
from casb.catalog.inventory import Inventory, Local, build
from casb.errors import CatalogError, Problems
from casb.store.app_catalog import AppCatalog
from casb.store.catalog_files import load_shipped
from casb.store.catalog_sqlite import Actor
from casb.store.folder import load_draft
from casb.store.records_sqlite import Database, database_path
from casb.store.token import data_folder
from casb.yamlfile import did_you_mean

DEFAULT = "policies"

_WHERE = re.compile(r"(?P<field>[a-z_0-9:.]+)\s*(?P<operator>!=|>=|<=|~|=)\s*(?P<values>.+)\Z", re.DOTALL)
_OPERATORS = {"=": EQUALS, "!=": NOT_EQUALS, "~": CONTAINS, ">=": AT_LEAST, "<=": AT_MOST}


def now() -> datetime:
    """The present."""
    return datetime.now(UTC)


def actor() -> Actor:
    """Whoever runs the command."""
    return Actor(who=f"{getpass.getuser()} (uid {os.getuid()})")


def add_common(parser: argparse.ArgumentParser, formats: Sequence[str] = ("text", "json")) -> None:
    """`--config` and `--format`."""
    parser.add_argument("--config", default=DEFAULT, metavar="DIR", help=f"configuration folder (default: {DEFAULT})")
    parser.add_argument("--format", choices=formats, default=formats[0])


def add_filters(parser: argparse.ArgumentParser) -> None:
    """`--where` and `--query`."""
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="FILTER",
        help="category=crm,sales  tag!=none  domain~box  score<=5  factor:soc_2!=true; several must all hold",
    )
    parser.add_argument("--query", choices=[each.id for each in SUGGESTED], help="a suggested search")


def conditions(arguments: argparse.Namespace) -> list[Condition]:
    """The rows that `--where` and `--query` say. Raises `CatalogError` C230."""
    rows = [each for query in SUGGESTED if query.id == arguments.query for each in query.conditions]
    for text in arguments.where:
        found = _WHERE.match(text)
        if found is None:
            raise CatalogError(
                "C230", f"{text!r} is no filter", None, "write category=crm, score<=5, factor:saml!=true"
            )
        values = tuple(each.strip() for each in found["values"].split(",") if each.strip())
        rows.append(Condition(field=found["field"], operator=_OPERATORS[found["operator"]], values=values))
    return rows


@contextmanager
def opened(arguments: argparse.Namespace) -> Iterator[AppCatalog]:
    """The deployment's catalog, to be changed."""
    draft = load_draft(arguments.config)
    if draft.settings is None or draft.errors:
        raise Problems(list(draft.errors))
    data_folder(draft.settings)
    database = Database(database_path(draft.settings))
    try:
        catalog = AppCatalog.open(database, draft.settings, now, lambda: draft.apps)
        for error in catalog.sync_configured():
            print(error, file=sys.stderr)
        yield catalog
    finally:
        database.close()


def inventory(arguments: argparse.Namespace) -> Inventory:
    """The catalog, to be read; what ships alone where there is no deployment. Nothing is made."""
    if arguments.config == DEFAULT and not Path(DEFAULT).is_dir():
        return build(load_shipped(), Local(), now().date())
    draft = load_draft(arguments.config)
    if draft.settings is None or draft.errors:
        raise Problems(list(draft.errors))
    path = database_path(draft.settings)
    if not path.exists():
        return build(load_shipped(), Local(), now().date(), configured=draft.apps)
    database = Database(path, read_only=not os.access(path, os.W_OK))
    try:
        return AppCatalog.open(database, draft.settings, now, lambda: draft.apps).inventory()
    finally:
        database.close()


def unknown(ident: str, known: Inventory) -> CatalogError:
    """There is no such app."""
    return CatalogError("C221", f"there is no app '{ident}'", None, did_you_mean(ident, known.entries))


def show_json(value: Any) -> None:
    """JSON for programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def table(rows: Sequence[Sequence[str]], widest: int = 60) -> str:
    """Columns, the last one as long as it is."""
    cut = [[_cut(cell, widest) for cell in row[:-1]] + [row[-1]] for row in rows]
    widths = [max(len(row[column]) for row in cut) for column in range(len(cut[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]]).rstrip()
        for row in cut
    )


def _cut(text: str, widest: int) -> str:
    return text if len(text) <= widest else text[: widest - 1] + "…"
