"""Alerts: list, show, and close with what they were.

Examples:
  casb alert list --state open --severity high
  casb alert show 3f2a91c0b7d44e10
  casb alert close 3f2a91c0b7d44e10 --as false_positive --comment "test of the SOC"

Closing from the command line is noted in `audit.jsonl` of the data folder. Exit status 1: no such alert.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime

from casb.commands._log import settings_of
from casb.commands.activity import clean
from casb.sidecar.notify import as_json
from casb.store import auditfile
from casb.store.alerts_sqlite import SEVERITIES, STATES, Alert, AlertStore, State
from casb.store.records_sqlite import Database, database_path
from casb.store.token import data_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="list | show ID | close ID | open ID")
    listed = verbs.add_parser("list", help="newest first")
    listed.add_argument("--state", choices=(*STATES, "closed"), default="")
    listed.add_argument("--severity", choices=SEVERITIES, default="")
    for name in ("policy", "user", "app", "kind"):
        listed.add_argument(f"--{name}", default="")
    listed.add_argument("--limit", type=int, default=100)
    shown = verbs.add_parser("show", help="one alert with its activities")
    closed = verbs.add_parser("close", help="say what it was")
    closed.add_argument("--as", dest="state", choices=STATES[1:], required=True)
    closed.add_argument("--comment", default="")
    opened = verbs.add_parser("open", help="open it again")
    for each in (shown, closed, opened):
        each.add_argument("id")
    for each in (listed, shown, closed, opened):
        each.add_argument(
            "--config", default="policies", metavar="DIR", help="configuration folder (default: policies)"
        )
        each.add_argument("--format", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 no such alert."""
    settings = settings_of(arguments.config)
    changes = arguments.what in ("close", "open")
    database = Database(database_path(settings), read_only=not changes)
    try:
        store = AlertStore(database)
        if arguments.what == "list":
            names = ("state", "severity", "policy", "user", "app", "kind")
            found = store.query(**{name: getattr(arguments, name) for name in names}, limit=arguments.limit)
            _print([each for each in found], as_list=arguments.format == "json")
            return 0
        if changes:
            state: State = arguments.state if arguments.what == "close" else "open"
            comment = arguments.comment if arguments.what == "close" else ""
            now = datetime.now(UTC)
            auditfile.note(data_folder(settings), "alert set", now, alert=arguments.id, state=state)
            if not store.set_state(arguments.id, state, "command line", comment):
                return _none(arguments.id)
        alert = store.get(arguments.id)
        if alert is None:
            return _none(arguments.id)
        if arguments.format == "json":
            print(json.dumps(as_json(alert), ensure_ascii=False, indent=2))
        else:
            print("\n".join(clean(f"{name + ':':<12} {value}") for name, value in as_json(alert).items() if value))
        return 0
    finally:
        database.close()


def _none(alert_id: str) -> int:
    print(f"there is no alert {clean(alert_id)}", file=sys.stderr)
    return 1


def _print(alerts: list[Alert], *, as_list: bool) -> None:
    if as_list:
        print(json.dumps([as_json(each) for each in alerts], ensure_ascii=False, indent=2))
        return
    for each in alerts:
        when = f"{each.last:%Y-%m-%d %H:%M}"
        line = f"{each.id}  {when}  {each.severity:<6}  {each.state:<14}  {each.count:>5} x  {each.title}"
        print(clean(f"{line}  {each.user}  {each.app}".rstrip()))
