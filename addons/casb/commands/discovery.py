"""Kept usage on this machine: streams, reports, snapshot reports, exclusions, names behind pseudonyms.

Examples:
  casb discovery streams
  casb discovery report --stream global --days 30
  casb discovery report --days 90 --pdf board.pdf --name "Cloud use, first quarter"
  casb discovery apps --days 30 --filter '{"field": "score", "op": "lt", "values": [6]}' --format csv
  casb discovery snapshot "Branch, March" march.log.gz --source fortigate --anonymize --wait
  casb discovery import branch-firewall new.log --wait
  casb discovery resolve anon-u-… --reason "case 4711, HR approved"
  casb discovery approve REQUEST      (as another person of this machine)
  casb discovery names REQUEST
  casb discovery exclude ip 10.9.0.0/16 --comment "vulnerability scanner"
  casb discovery delete-data --yes
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from casb.commands import _discovery_policies
from casb.commands._log import settings_of
from casb.commands._progress import size
from casb.discovery.exclude import ENTITIES, Exclusion
from casb.discovery.export import APP_COLUMNS, ENTITY_COLUMNS, plain_app
from casb.discovery.query import conditions
from casb.discovery.streams import filter_of, stream_json
from casb.discovery.suggested import SUGGESTED
from casb.errors import StoreError
from casb.model.network import parse_network
from casb.sidecar.executive_pdf import draw
from casb.spreadsheet import cell
from casb.store import auditfile
from casb.store.discovery_executive import executive
from casb.store.discovery_jobs import FAILED
from casb.store.discovery_service import Discovery
from casb.store.token import data_folder

_LISTS = {"users": "user", "ips": "ip", "devices": "device", "resources": "resource"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="WHAT")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text)
        made.add_argument(
            "--config", default="policies", metavar="DIR", help="configuration folder (default: policies)"
        )
        made.add_argument("--format", choices=("text", "json", "csv", "ndjson"), default="text")
        return made

    verb("streams", "every stream and when it last had data")
    for name in ("report", "apps", *_LISTS, "siem"):
        made = verb(name, f"the {name} of a stream" if name != "report" else "the counters of a stream")
        made.add_argument("--stream", default="global", help="a stream's name or id (default: global)")
        made.add_argument("--days", type=int, default=90, choices=(7, 30, 90))
        made.add_argument("--limit", type=int, default=100)
        made.add_argument("--sort", help="a column")
        if name == "report":
            made.add_argument("--pdf", metavar="FILE", help="write the executive report there, with plots")
            made.add_argument("--name", default="", help="its title")
        if name == "apps":
            made.add_argument("--filter", action="append", default=[], metavar="JSON", help="a row of a question")
            made.add_argument("--query", help=f"a saved query, or one of {', '.join(SUGGESTED)}")
    made = verb("snapshot", "a snapshot report of up to 20 files")
    made.add_argument("name")
    made.add_argument("files", nargs="+")
    made.add_argument("--description", default="")
    made.add_argument("--source")
    made.add_argument("--zone", default="UTC")
    made.add_argument("--anonymize", action=argparse.BooleanOptionalAction, default=None)
    made.add_argument("--wait", action="store_true", help="do the work here and now")
    made = verb("import", "more logs of a continuous stream")
    made.add_argument("stream")
    made.add_argument("files", nargs="+")
    made.add_argument("--source")
    made.add_argument("--zone")
    made.add_argument("--wait", action="store_true", help="do the work here and now")
    made = verb("view", "make a custom continuous report; new data only")
    made.add_argument("name")
    for key in ("source", "group", "ip-tag", "network"):
        made.add_argument(f"--{key}", action="append", default=[])
    verb("tasks", "what was asked for and what came of it")
    made = verb("retry", "try a failed task again")
    made.add_argument("id")
    made = verb("work", "do what is queued (the sidecar starts this by itself)")
    made.add_argument("--linger", type=float, default=0.0, metavar="SECONDS", help="wait that long for more")
    verb("evaluate", "evaluate discovery policies and detections now")
    made = verb("resolve", "ask for the names behind pseudonyms; somebody else must approve")
    made.add_argument("pseudonyms", nargs="+")
    made.add_argument("--reason", required=True)
    verb("requests", "who asked for names, why, who decided")
    for name in ("approve", "deny", "names"):
        verb(name, "approve, deny or read a request").add_argument("id")
    made = verb("exclude", "leave somebody out of the Global report; new data only")
    made.add_argument("entity", choices=ENTITIES)
    made.add_argument("value")
    made.add_argument("--comment", default="")
    made = verb("include", "count somebody again; new data only")
    made.add_argument("entity", choices=ENTITIES)
    made.add_argument("value")
    verb("exclusions", "who is left out")
    verb("collectors", "log collectors and their health")
    made = verb("delete-data", "delete all discovery data; irreversible")
    made.add_argument("--yes", action="store_true", help="really")


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 no, 2 a wrong call."""
    settings = settings_of(arguments.config)
    folder = data_folder(settings)
    discovery = Discovery(settings, _now)
    try:
        return _VERBS.get(arguments.what, _report)(discovery, arguments, folder)
    finally:
        discovery.close()


def _streams(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    discovery.sync_sources()
    rows = [stream_json(each, now=_now()) for each in discovery.reports.streams()]
    if arguments.format == "json":
        print(json.dumps(rows, indent=2))
        return 0
    kinds = {each.id: each.kind.value for each in discovery.reports.streams()}
    _table(
        [
            {
                "id": row["_id"],
                "name": row["displayName"],
                "kind": kinds[row["_id"]],
                "files": row["logFilesHistoryCount"],
                "failed": row["logFilesFailsCount"],
                "last data": _moment(row["lastDataReceived"]),
            }
            for row in rows
        ]
    )
    return 0


def _report(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    reports = discovery.reports
    span = reports.span(arguments.stream, arguments.days)
    what = arguments.what
    if what == "siem":
        auditfile.note(folder, "exported discovery rows", _now(), stream=span.stream)
        for row in reports.siem(span):
            print(json.dumps(row))
        return 0
    if what == "report" and arguments.pdf:
        content = draw(executive(reports, span, _now(), arguments.name))
        Path(arguments.pdf).write_bytes(content)
        auditfile.note(folder, "made an executive report", _now(), stream=span.stream)
        return 0
    if what == "report":
        return _counters(discovery, arguments, span)
    if what == "apps":
        rows, columns = _apps(discovery, arguments, span), list(APP_COLUMNS)
    else:
        page = reports.entities(span, _LISTS[what], by=arguments.sort or "total", limit=min(arguments.limit, 1000))
        rows, columns = page.rows, list(ENTITY_COLUMNS)
    if arguments.format in ("json", "ndjson"):
        _json(rows, lines=arguments.format == "ndjson")
    elif arguments.format == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows([cell(row.get(column)) for column in columns] for row in rows)
    else:
        shown = ("name", "category", "score", "tag", "traffic", "uploaded", "transactions", "users", "ips", "last_seen")
        wanted = shown if what == "apps" else ("name", "apps", "events", "blocked", "up", "down", "total", "last")
        _table([{name: _shown(name, row.get(name)) for name in wanted} for row in rows])
    return 0


def _apps(discovery: Discovery, arguments: argparse.Namespace, span: Any) -> list[dict[str, Any]]:
    reports = discovery.reports
    try:
        plain = [json.loads(each) for each in arguments.filter]
        saved = discovery.book.queries()
        if arguments.query in SUGGESTED:
            kept = {each.facts.id for each in reports.suggested(span, arguments.query)}
        elif arguments.query is not None and arguments.query not in saved:
            raise ValueError(f"there is no query {arguments.query!r}")
        else:
            kept = None
            plain += saved.get(arguments.query, [])
        rows = conditions(plain, reports.scales)
    except ValueError as error:
        raise StoreError("D032", str(error)) from error
    found = reports.apps(span, rows, by=arguments.sort or "traffic")
    return [plain_app(each) for each in found if kept is None or each.facts.id in kept][: arguments.limit]


def _counters(discovery: Discovery, arguments: argparse.Namespace, span: Any) -> int:
    reports = discovery.reports
    counters = reports.counters(span)
    if arguments.format != "text":
        answer = {
            "stream": span.stream,
            "since": span.since,
            "until": span.until,
            "counters": counters,
            "trend": reports.trend(span),
            "categories": reports.categories(span),
            "risks": reports.risks(span),
            "standings": reports.standings(span),
            "insights": reports.insights(span),
            "unmatched": reports.unmatched(span),
        }
        print(json.dumps(answer, indent=2, default=_plain))
        return 0
    print(f"{span.stream}: {span.since} to {span.until}\n")
    _table(
        [
            {"": name, "now": _shown(name, each["value"]), "before": _shown(name, each["before"])}
            for name, each in counters.items()
        ]
    )
    return 0


def _snapshot(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    paths = [discovery.uploads.adopt(Path(each)) for each in arguments.files]
    try:
        _, task = discovery.snapshot(
            arguments.name,
            paths,
            _who(),
            description=arguments.description,
            source=arguments.source,
            anonymize=arguments.anonymize,
            zone=arguments.zone,
        )
    except BaseException:
        _drop(paths)
        raise
    return _followed(discovery, task, arguments)


def _import(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    discovery.check_source(arguments.source)
    stream = discovery.input_stream(arguments.stream, source=arguments.source)
    failed = 0
    for name in arguments.files:
        path = discovery.uploads.adopt(Path(name))
        task = discovery.continuous(
            stream, [path], _who(), source=arguments.source, zone=arguments.zone, title=f"Parse {Path(name).name}"
        )
        failed += _followed(discovery, task, arguments)
    return 1 if failed else 0


def _followed(discovery: Discovery, ident: str, arguments: argparse.Namespace) -> int:
    if arguments.wait:
        while (task := discovery.tasks.get(ident)) is not None and task.status in ("queued", "running"):
            if not discovery.work():
                time.sleep(0.1)
    task = discovery.tasks.get(ident)
    if task is None:
        return 1
    if arguments.format == "json":
        print(json.dumps(task.as_json(), indent=2))
    else:
        reason = f": {task.error} {task.message}" if task.error else ""
        print(f"{task.id}  {task.status}{reason}", file=sys.stderr if task.error else sys.stdout)
    return 1 if task.status == FAILED else 0


def _drop(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _view(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    ids = {each.name: each.id for each in discovery.book.streams()}
    try:
        filters = filter_of(
            {
                "sources": [ids.get(each, each) for each in arguments.source],
                "groups": arguments.group,
                "ip_tags": arguments.ip_tag,
                "networks": arguments.network,
            },
            parse_network,
        )
    except ValueError as error:
        print(f"casb discovery: {error}", file=sys.stderr)
        return 2
    auditfile.note(folder, "made a custom discovery report", _now(), report=arguments.name)
    print(discovery.create_view(arguments.name, filters, _who()).id)
    return 0


def _tasks(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    tasks = discovery.tasks.latest()
    if arguments.format != "text":
        _json([each.as_json() for each in tasks], lines=arguments.format == "ndjson")
        return 0
    _table(
        [
            {
                "id": each.id,
                "status": each.status if not each.error else f"{each.status} {each.error}",
                "done": f"{each.progress:.0%}",
                "title": each.title,
                "asked by": each.asked_by,
                "message": each.message,
            }
            for each in tasks
        ]
    )
    return 0


def _retry(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    auditfile.note(folder, "retried a discovery task", _now(), task=arguments.id)
    if discovery.tasks.retry(arguments.id):
        return 0
    print("casb discovery: there is no such failed task", file=sys.stderr)
    return 1


def _work(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    last = time.monotonic()
    parent = os.getppid()
    turn = _discovery_policies.Turn(discovery)
    while True:
        if discovery.work():
            last = time.monotonic()
            if not discovery.waiting():
                turn.take()
        elif time.monotonic() - last >= arguments.linger or os.getppid() != parent:
            break
        else:
            turn.take()
            time.sleep(0.25)
    turn.take()
    discovery.tidy()
    return 0


def _resolve(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    request = discovery.desk.ask(arguments.pseudonyms, arguments.reason, _who(), _audit(folder))
    print(f"{request.id}  somebody else approves it with: casb discovery approve {request.id}")
    return 0


def _requests(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    rows = [each.as_json() for each in discovery.desk.requests()]
    if arguments.format != "text":
        _json(rows, lines=arguments.format == "ndjson")
        return 0
    shown = ("id", "state", "asked_by", "reason", "decided_by", "expires")
    _table([{name: str(row[name] or "-") for name in shown} for row in rows])
    return 0


def _decide(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    request = discovery.desk.decide(arguments.id, _who(), _audit(folder), approve=arguments.what == "approve")
    print(request.state)
    return 0


def _names(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    names = discovery.desk.names(arguments.id, _who(), _audit(folder))
    if arguments.format == "json":
        print(json.dumps(names, indent=2))
    else:
        for pseudonym, name in names.items():
            print(f"{pseudonym}  {name or '(no pseudonym of this deployment)'}")
    return 0


def _exclude(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    try:
        entry = Exclusion(entity=arguments.entity, value=arguments.value, comment=arguments.comment)
    except ValueError as error:
        print(f"casb discovery: {error}", file=sys.stderr)
        return 2
    auditfile.note(folder, "excluded from discovery", _now(), entity=entry.entity, value=entry.value)
    discovery.book.exclude(entry, _who(), _now())
    return 0


def _include(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    auditfile.note(folder, "included in discovery again", _now(), entity=arguments.entity, value=arguments.value)
    return 0 if discovery.book.include(arguments.entity, arguments.value) else 1


def _exclusions(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    rows = [
        {"entity": each.entity, "value": each.value, "comment": each.comment} for each in discovery.book.exclusions()
    ]
    if arguments.format == "text":
        _table(rows)
    else:
        _json(rows, lines=arguments.format == "ndjson")
    return 0


def _collectors(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    rows = discovery.collectors()
    if arguments.format != "text":
        _json(rows, lines=arguments.format == "ndjson")
        return 0
    _table(
        [
            {
                "collector": row["name"],
                "source": source["name"],
                "status": source["status"],
                "received": size(source["received"]),
                "dropped": size(source["dropped"]),
                "waiting": size(source["waiting"]),
                "uploaded": source["uploaded"],
                "last data": source["last_data"] or "-",
            }
            for row in rows
            for source in row.get("sources", [])
        ]
    )
    return 0


def _delete(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    if not arguments.yes:
        print("casb discovery: this deletes all discovery data for good; say --yes", file=sys.stderr)
        return 2
    auditfile.note(folder, "deleted all discovery data", _now())
    print(discovery.delete_all(_who()))
    return 0


_VERBS: Mapping[str, Callable[[Discovery, argparse.Namespace, Path], int]] = {
    "streams": _streams,
    "snapshot": _snapshot,
    "import": _import,
    "view": _view,
    "tasks": _tasks,
    "retry": _retry,
    "work": _work,
    "evaluate": _discovery_policies.evaluate,
    "resolve": _resolve,
    "requests": _requests,
    "approve": _decide,
    "deny": _decide,
    "names": _names,
    "exclude": _exclude,
    "include": _include,
    "exclusions": _exclusions,
    "collectors": _collectors,
    "delete-data": _delete,
}


def _audit(folder: Path) -> Callable[[str, str, Mapping[str, str]], None]:
    def note(who: str, what: str, detail: Mapping[str, str]) -> None:
        auditfile.note(folder, what, _now(), **detail)

    return note


def _who() -> str:
    # By the number: a name comes from the environment, and whoever sets it would be two people.
    return f"uid {os.getuid()}"


def _now() -> datetime:
    return datetime.now(UTC)


def _moment(millis: int | None) -> str:
    return "-" if millis is None else datetime.fromtimestamp(millis / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name in ("traffic", "uploaded", "downloaded", "up", "down", "total"):
        return size(value)
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return str(value)[:80]


def _plain(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _json(rows: list[dict[str, Any]], *, lines: bool) -> None:
    if lines:
        for row in rows:
            print(json.dumps(row, default=_plain))
    else:
        print(json.dumps(rows, indent=2, default=_plain))


def _table(rows: list[dict[str, Any]]) -> None:
    if not rows:
        print("nothing")
        return
    table = [tuple(name.upper() for name in rows[0]), *(tuple(_safe(each) for each in row.values()) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        print("  ".join(each.ljust(width) for each, width in zip(row, widths, strict=True)).rstrip())


def _safe(value: Any) -> str:
    return "".join(each if each.isprintable() else "\ufffd" for each in str(value))
