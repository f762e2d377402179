"""The apps of a configuration folder, and which of them owns a host.

casb catalog list
casb catalog match www.files.contoso.example
casb catalog show files --format json
casb catalog check
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from casb.catalog.entries import check, compile_apps
from casb.catalog.match import Catalog
from casb.errors import Problems
from casb.hostname import normal_host
from casb.model.app import App
from casb.store.catalog_files import SHIPPED, read_texts
from casb.store.folder import load_draft
from casb.yamlfile import did_you_mean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="list | match HOST | show ID | check")
    listed = verbs.add_parser("list", help="every app")
    matched = verbs.add_parser("match", help="the app that owns a host; exit 1 when none does")
    matched.add_argument("host", help="a host name or address, without a port")
    shown = verbs.add_parser("show", help="one app with all that is set for it")
    shown.add_argument("id")
    checked = verbs.add_parser("check", help="every error of the catalog's files; exit 1 when there is one")
    checked.add_argument("path", nargs="?", metavar="DIR|FILE", help="default: the shipped catalog")
    for each in (listed, matched, shown):
        each.add_argument(
            "--config", default="policies", metavar="DIR", help="configuration folder (default: policies)"
        )
        each.add_argument("--format", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 no such app or a broken configuration."""
    if arguments.what == "check":
        return _check(Path(arguments.path or os.path.relpath(SHIPPED)))
    catalog = _catalog(arguments.config)
    as_json = arguments.format == "json"
    if arguments.what == "list":
        apps = list(catalog.apps)
        print(json.dumps([to_json(app) for app in apps], indent=2) if as_json else _table(apps))
        return 0
    if arguments.what == "match":
        return _match(catalog, arguments.host, as_json)
    app = catalog.by_id.get(arguments.id)
    if app is None:
        hint = did_you_mean(arguments.id, catalog.by_id)
        print(f"there is no app '{arguments.id}'" + (f"; {hint}" if hint else ""), file=sys.stderr)
        return 1
    print(json.dumps(to_json(app), indent=2) if as_json else _page(app))
    return 0


def to_json(app: App) -> dict[str, Any]:
    """The app as plain JSON data; lists of signatures keep their order, sets are sorted."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(app), default=sorted))
    return plain


def _catalog(folder: str) -> Catalog:
    draft = load_draft(folder)
    if draft.errors:
        raise Problems(list(draft.errors))
    return Catalog(draft.apps)


def _check(path: Path) -> int:
    texts = {path.name: path.read_bytes()} if path.is_file() else read_texts(path)
    label = (path.parent if path.is_file() else path).as_posix()
    errors = check(texts, "" if label == "." else label)
    for error in errors:
        print(error)
    if not errors:
        known = compile_apps(texts)
        facts = sum(len(app.facts) for app in known.by_id.values())
        print(f"{len(texts)} files, {len(known)} apps, {facts} values: all sound", file=sys.stderr)
    return 1 if errors else 0


def _match(catalog: Catalog, host: str, as_json: bool) -> int:
    app = catalog.match(host)
    if as_json:
        print(json.dumps({"host": normal_host(host), "app": app and to_json(app)}, indent=2))
    elif app is None:
        print(f"no app owns {host}", file=sys.stderr)
    else:
        print(f"{app.id}  {app.name}")
    return 0 if app else 1


def _table(apps: list[App]) -> str:
    rows = [("ID", "NAME", "TAG", "CONTROLLED", "DOMAINS")]
    rows += [
        (app.id, app.name, app.tag.value, "yes" if app.controlled else "no", " ".join(app.domains)) for app in apps
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)), row[4]]) for row in rows
    )


def _page(app: App) -> str:
    lines = []
    for name, value in to_json(app).items():
        if isinstance(value, list):
            lines.append(f"{name}:" + ("" if value else " none"))
            lines += [f"  {json.dumps(each) if isinstance(each, dict) else each}" for each in value]
        elif isinstance(value, dict):
            lines.append(f"{name}: " + (", ".join(f"{key}={_word(each)}" for key, each in value.items())))
        else:
            lines.append(f"{name}: {_word(value)}")
    return "\n".join(lines)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value in (None, "", []) else str(value)
