"""The apps of a configuration folder, and which of them owns a host.

casb catalog list
casb catalog match www.files.contoso.example
casb catalog show files --format json
casb catalog learned --format csv
casb catalog attach static.files.contoso.example --app files
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from casb.catalog.match import Catalog
from casb.commands._log import settings_of
from casb.errors import Problems
from casb.hostname import normal_host
from casb.model.app import App
from casb.store.attach import Attached, attach
from casb.store.auditfile import note
from casb.store.folder import load_draft
from casb.store.learned_sqlite import LearnedHosts, learned_csv
from casb.yamlfile import did_you_mean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    verbs = parser.add_subparsers(
        dest="what", required=True, metavar="list | match HOST | show ID | learned | attach HOST --app ID"
    )
    listed = verbs.add_parser("list", help="every app")
    matched = verbs.add_parser("match", help="the app that owns a host; exit 1 when none does")
    matched.add_argument("host", help="a host name or address, without a port")
    shown = verbs.add_parser("show", help="one app with all that is set for it")
    shown.add_argument("id")
    learned = verbs.add_parser("learned", help="hosts that pages of an app asked for and that no app owns")
    learned.add_argument("--app", metavar="ID", help="of this app alone")
    attached = verbs.add_parser("attach", help="give a host to an app: adds a line to its file and keeps the rest")
    attached.add_argument("host", help="a host name, or *. and a host name for all names below it")
    attached.add_argument("--app", metavar="ID", required=True)
    for each in (listed, matched, shown, learned, attached):
        each.add_argument(
            "--config", default="policies", metavar="DIR", help="configuration folder (default: policies)"
        )
        formats = ("text", "json", "csv") if each is learned else ("text", "json")
        each.add_argument("--format", choices=formats, default="text")


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 no such app or a broken configuration."""
    if arguments.what == "attach":
        return _attach(arguments)
    catalog = _catalog(arguments.config)
    if arguments.what == "learned":
        return _learned(arguments, catalog)
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


def _match(catalog: Catalog, host: str, as_json: bool) -> int:
    app = catalog.match(host)
    if as_json:
        print(json.dumps({"host": normal_host(host), "app": app and to_json(app)}, indent=2))
    elif app is None:
        print(f"no app owns {host}", file=sys.stderr)
    else:
        print(f"{app.id}  {app.name}")
    return 0 if app else 1


def _attach(arguments: argparse.Namespace) -> int:
    data = Path(settings_of(arguments.config).data)

    def write_down(done: Attached) -> None:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        note(data, "host attached", datetime.now(UTC), host=done.domain, app=done.app, file=done.file)

    done = attach(Path(arguments.config), arguments.host, arguments.app, write_down)
    if arguments.format == "json":
        print(json.dumps(asdict(done), indent=2))
    elif done.changed:
        print(f"{done.domain} belongs to {done.app} now: {done.file}")
    else:
        print(f"{done.app} has {done.domain} already")
    return 0


def _learned(arguments: argparse.Namespace, catalog: Catalog) -> int:
    known = LearnedHosts(settings_of(arguments.config).data).all(arguments.app)
    rows = [each.as_json() for each in known if catalog.match(each.host) is None]
    if arguments.format == "json":
        print(json.dumps(rows, indent=2))
    elif arguments.format == "csv":
        print(learned_csv(rows), end="")
    elif not rows:
        print("nothing was learned: an app lists unknown hosts with 'unknown_hosts: learn' in its file")
    else:
        cells = [("HOST", "APP", "COUNT", "KINDS", "LAST", "PAGE")]
        cells += [
            (row["host"], row["app"], str(row["count"]), ",".join(row["kinds"]), row["last"], row["page"])
            for row in rows
        ]
        widths = [max(len(row[column]) for row in cells) for column in range(5)]
        for row in cells:
            line = [*(cell.ljust(width) for cell, width in zip(row[:5], widths, strict=True)), row[5]]
            print("  ".join(line))
    return 0


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
