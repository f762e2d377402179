"""Devices with an endpoint agent (Microsoft Defender for Endpoint): their events, their risk, blocking apps on them.

Examples:
  casb endpoint ingest exports/ hunting.csv.gz
  casb endpoint devices --days 30
  casb endpoint device pc1.corp.example --format json
  casb endpoint hunt --app dropbox --since 7d --format csv
  casb endpoint query --app dropbox
  casb endpoint indicators --format api > indicators.json
  casb endpoint push
  casb endpoint status

Exports of DeviceNetworkEvents, DeviceEvents and DeviceInfo: NDJSON, JSON and CSV of advanced hunting, batches of the
streaming API; compressed ones as they are. Each counts once, however often it is named.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from casb.commands._log import settings_of
from casb.commands._progress import size
from casb.config.units import seconds
from casb.connectors.defender import Defender
from casb.discovery.endpoint_hunting import COLUMNS, DEVICE_COLUMNS
from casb.errors import Problems, StoreError
from casb.settings import Settings
from casb.spreadsheet import cell
from casb.store import auditfile
from casb.store.discovery_jobs import FAILED
from casb.store.discovery_run import expand
from casb.store.discovery_service import Discovery
from casb.store.endpoint_push import push
from casb.store.folder import load_draft
from casb.store.token import data_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--config", default="policies", metavar="DIR", help="configuration folder (default: policies)")
    verbs = parser.add_subparsers(dest="what", required=True, metavar="what")

    def verb(name: str, text: str, formats: Sequence[str] = ("text", "json", "csv")) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text)
        made.add_argument("--format", choices=formats, default=formats[0])
        return made

    made = verb("ingest", "take exports in", ("text", "json"))
    made.add_argument("files", nargs="+", metavar="FILE", help="files, folders, patterns")
    for name, text in (("devices", "the list of devices"), ("device", "the page of one device, by name or id")):
        made = verb(name, text)
        made.add_argument("--days", type=int, default=30, choices=(7, 30, 90))
        made.add_argument("--stream", help="another stream than the built-in one")
        if name == "device":
            made.add_argument("name")
    made = verb("hunt", "single events about an app")
    made.add_argument("--app", required=True)
    made.add_argument("--since", default="7d", metavar="SPAN", help="how far back, e.g. 7d (default)")
    made.add_argument("--device")
    made.add_argument("--limit", type=int, default=1000)
    made = verb("query", "the query for the console's advanced hunting", ("text",))
    made.add_argument("--app", required=True)
    made.add_argument("--since", default="7d", metavar="SPAN")
    made = verb("indicators", "what should be in force on devices", ("text", "json", "api"))
    made = verb("status", "how far blocking is, app by app", ("text", "json"))
    made.add_argument("--app")
    verb("push", "bring indicators to the agent's API", ("text", "json"))
    verb("settle", "raise alerts about attempts that are settled by now", ("text", "json"))


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 no, 2 a wrong call."""
    settings = _with_secrets(arguments.config) if arguments.what == "push" else settings_of(arguments.config)
    folder = data_folder(settings)
    discovery = Discovery(settings, _now)
    try:
        return _VERBS[arguments.what](discovery, arguments, folder)
    finally:
        discovery.close()


def _with_secrets(folder: str) -> Settings:
    """As `settings_of`, with the secrets: only who pushes needs them. Raises `Problems`."""
    draft = load_draft(folder, secrets=True)
    if draft.settings is None or draft.errors:
        raise Problems(list(draft.errors))
    return draft.settings


def _ingest(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    paths, missing = expand(arguments.files)
    for name in missing:
        print(f"casb endpoint: {name}: no such file", file=sys.stderr)
    stream = discovery.endpoint_stream()
    failed = len(missing)
    for name in paths:
        taken = discovery.uploads.adopt(Path(name))
        ident = discovery.continuous(stream, [taken], "casb endpoint", title=f"Parse {Path(name).name[:100]}")
        while (task := discovery.tasks.get(ident)) is not None and task.status in ("queued", "running"):
            discovery.work()
        if task is None:
            continue
        failed += task.status == FAILED
        if arguments.format == "json":
            print(json.dumps(task.as_json()))
            continue
        told = task.outcome.get("endpoint", {})
        again = "" if task.outcome.get("fresh", True) else " (known already)"
        why = f": {task.error} {task.message}" if task.error else ""
        print(f"{name}: {told.get('events', 0)} events, {told.get('contexts', 0)} facts about devices{again}{why}")
    return 1 if failed else 0


def _devices(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    rows = list(discovery.endpoints.every_device(_span(discovery, arguments)))
    if arguments.format == "text":
        columns = ("name", "os", "group", "level", "apps", "risky_apps", "events", "blocked", "up", "down", "why")
        _table([{name: _shown(name, row[name]) for name in columns} for row in rows])
    else:
        _out(rows, DEVICE_COLUMNS, arguments.format)
    return 0


def _device(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    page = discovery.endpoints.device(_span(discovery, arguments), arguments.name)
    if arguments.format == "json":
        _out(page, (), "json")
        return 0
    columns = ("app", "name", "category", "score", "risk", "tag", "transactions", "traffic", "uploaded", "downloaded")
    if arguments.format == "csv":
        _out(page["apps"], columns, "csv")
        return 0
    for name, value in {**(page["device"] or {"name": page["name"]}), **page["overview"]}.items():
        print(f"{name:<12} {_safe(', '.join(value) if isinstance(value, tuple) else value)}")
    for each in page["signals"]:
        print(f"  {each['day']}  {_safe(each['text'])}")
    for title, rows, wanted in (
        ("apps", page["apps"], ("name", "tag", "score", "transactions", "uploaded", "downloaded")),
        ("users", page["users"], ("name", "events", "up", "down", "last")),
        ("addresses", page["ips"], ("name", "events", "up", "down", "last")),
    ):
        print(f"\n{title}")
        _table([{name: _shown(name, row[name]) for name in wanted} for row in rows])
    return 0


def _hunt(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    rows = discovery.endpoints.hunt(
        arguments.app, days=_days(arguments), device=arguments.device, limit=max(1, arguments.limit)
    )
    auditfile.note(folder, "hunted for an app", _now(), app=arguments.app[:100], rows=str(len(rows)))
    if arguments.format == "text":
        columns = ("Timestamp", "DeviceName", "ActionType", "InitiatingProcessAccountUpn", "RemoteUrl", "RemoteIP")
        _table([{name: "-" if row[name] is None else row[name] for name in columns} for row in rows])
    else:
        _out(rows, COLUMNS, arguments.format)
    return 0


def _query(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    print(discovery.endpoints.query(arguments.app, days=_days(arguments)))
    return 0


def _indicators(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    if arguments.format == "api":
        _out({"Indicators": discovery.endpoints.export()}, (), "json")
        return 0
    plan = discovery.endpoints.plan()
    rows = [{"domain": each.domain, "action": each.action, "app": each.app, "why": ""} for each in plan.indicators]
    rows += [{"domain": each.pattern, "action": "refused", "app": each.app, "why": each.why} for each in plan.refused]
    if arguments.format == "json":
        _out(rows, (), "json")
    else:
        _table(rows)
    return 0


def _status(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    apps = discovery.endpoints.status(arguments.app)
    if arguments.format == "json":
        _out({"last_push": discovery.endpoints.book.last_push(), "apps": apps}, (), "json")
        return 0
    _table(
        [
            {
                "app": row["app"],
                "action": row["action"] or "-",
                "state": row["state"],
                "domains": len(row["indicators"]),
                "refused": len(row["refused"]),
                **row["controls"],
                "why": next((each["reason"] for each in row["indicators"] if each["reason"]), "")
                or next((each["why"] for each in row["refused"]), ""),
            }
            for row in apps
        ]
    )
    return 0


def _push(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    endpoints = discovery.endpoints
    api = Defender(endpoints.chosen)
    auditfile.note(folder, "pushed indicators to endpoints", _now())
    try:
        outcome = push(endpoints.book, endpoints.plan(), endpoints.options, api, _now)
    finally:
        api.close()
    if arguments.format == "json":
        _out(outcome, (), "json")
    else:
        print(", ".join(f"{name} {count}" for name, count in outcome.items() if name != "error"))
    return 1 if outcome["failed"] else 0


def _settle(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    count = discovery.endpoints.settle()
    print(json.dumps({"attempts": count}) if arguments.format == "json" else f"{count} attempts")
    return 0


_VERBS: Mapping[str, Callable[[Discovery, argparse.Namespace, Path], int]] = {
    "ingest": _ingest,
    "devices": _devices,
    "device": _device,
    "hunt": _hunt,
    "query": _query,
    "indicators": _indicators,
    "status": _status,
    "push": _push,
    "settle": _settle,
}


def _span(discovery: Discovery, arguments: argparse.Namespace) -> Any:
    return discovery.reports.span(arguments.stream or discovery.endpoint_stream().id, arguments.days)


def _days(arguments: argparse.Namespace) -> int:
    try:
        return max(1, -(-seconds(arguments.since) // 86400))
    except ValueError as error:
        raise StoreError("D032", str(error)) from error


def _now() -> datetime:
    return datetime.now(UTC)


def _out(value: Any, columns: Sequence[str], form: str) -> None:
    if form == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows([cell(row.get(column)) for column in columns] for row in value)
    else:
        print(json.dumps(value, indent=2, default=_plain))


def _plain(value: Any) -> str:
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name in ("up", "down", "total", "uploaded", "downloaded"):
        return size(value)
    return value.strftime("%Y-%m-%d %H:%M") if isinstance(value, datetime) else str(value)[:100]


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        print("nothing")
        return
    table = [tuple(name.upper() for name in rows[0]), *(tuple(_safe(each) for each in row.values()) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        print("  ".join(each.ljust(width) for each, width in zip(row, widths, strict=True)).rstrip())


def _safe(value: Any) -> str:
    return "".join(each if each.isprintable() else "\ufffd" for each in str(value))
