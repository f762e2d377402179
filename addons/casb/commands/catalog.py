"""The apps of a configuration folder and the catalog of known cloud apps: whose a host is, how risky an app is.

casb catalog list                                     the apps of the configuration folder
casb catalog match www.files.contoso.example
casb catalog show files --format json
casb catalog search box --where 'category=cloud_storage' --where 'score>=6'
casb catalog search --query risky_storage --sort risk
casb catalog search --alternatives dropbox --where 'factor:soc_2=true'
casb catalog score dropbox --explain
casb catalog tag unsanctioned dropbox --why 'use the files server'
casb catalog tag 'Finance apps' --create
casb catalog edit dropbox --fact soc_2=yes --evidence https://example.com/report --business-unit Sales
casb catalog import apps.csv --dry-run
casb catalog import answers.csv --kind attestation
casb catalog export --where 'tag=unsanctioned' --format csv > unsanctioned.csv
casb catalog suggest --kind score_update --app dropbox 'they have SOC 3 now'
casb catalog probe dropbox --allow-network --keep
casb catalog recalculate --weights weights.yaml
casb catalog block-script --format palo-alto          what an appliance is to block
casb catalog check                                    every error of the shipped catalog's files
casb catalog learned --format csv
casb catalog attach static.files.contoso.example --app files
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from casb.catalog.domains import bare_host
from casb.catalog.entries import check, compile_apps
from casb.catalog.match import Catalog
from casb.catalog.views import detail, summary
from casb.commands import _catalog_block, _catalog_change, _catalog_read
from casb.commands._catalog_open import inventory
from casb.commands._log import settings_of
from casb.errors import Problems
from casb.model.app import App
from casb.store.attach import Attached, attach
from casb.store.auditfile import note
from casb.store.catalog_files import SHIPPED, read_texts
from casb.store.folder import load_draft
from casb.store.learned_sqlite import LearnedHosts, learned_csv
from casb.yamlfile import did_you_mean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="list | match | show | search | …")
    listed = verbs.add_parser("list", help="every app")
    matched = verbs.add_parser("match", help="the app that owns a host; exit 1 when none does")
    matched.add_argument("host", help="a host name or address, or host/path")
    shown = verbs.add_parser("show", help="one app with all that is set for it")
    shown.add_argument("id")
    checked = verbs.add_parser("check", help="every error of the catalog's files; exit 1 when there is one")
    checked.add_argument("path", nargs="?", metavar="DIR|FILE", help="default: the shipped catalog")
    _catalog_read.add_to(verbs)
    _catalog_change.add_to(verbs)
    _catalog_block.add_to(verbs)
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
    if "do" in arguments:
        return int(arguments.do(arguments))
    if arguments.what == "check":
        return _check(Path(arguments.path or os.path.relpath(SHIPPED)))
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
        return _match(catalog, arguments, as_json)
    app = catalog.by_id.get(arguments.id)
    if app is None:
        return _show_known(arguments)
    print(json.dumps(to_json(app), indent=2) if as_json else _page(app))
    return 0


def _show_known(arguments: argparse.Namespace) -> int:
    """An app that is in the catalog and not in the configuration folder."""
    known = inventory(arguments)
    entry = known.get(arguments.id)
    if entry is None:
        hint = did_you_mean(arguments.id, known.entries)
        print(f"there is no app '{arguments.id}'" + (f"; {hint}" if hint else ""), file=sys.stderr)
        return 1
    plain = detail(entry, known)
    if arguments.format == "json":
        print(json.dumps(plain, indent=2))
        return 0
    facts = plain.pop("facts")
    plain.pop("scores")
    print(_lines(plain))
    for name, fact in facts.items():
        print(f"  {name}: {_word(fact['value'])}  ({fact['source']} {fact.get('as_of', '')})")
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


def _match(catalog: Catalog, arguments: argparse.Namespace, as_json: bool) -> int:
    host = arguments.host
    app = catalog.match(host)
    known = inventory(arguments)
    place, slash, path = host.partition("/")
    entry = known.match(place, slash + path)
    if as_json:
        found = {"host": bare_host(place), "app": app and to_json(app)}
        if entry is not None and app is None:
            found["known"] = summary(entry, known)
        print(json.dumps(found, indent=2))
    elif app is not None:
        print(f"{app.id}  {app.name}")
    elif entry is not None:
        print(f"{entry.id}  {entry.app.name}  ({entry.app.category}, catalog)")
    else:
        print(f"no app owns {host}", file=sys.stderr)
    return 0 if app or entry else 1


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
    return _lines(to_json(app))


def _lines(plain: dict[str, Any]) -> str:
    lines = []
    for name, value in plain.items():
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
