"""Recorded flows or activities through the decision path: the same code that decides live traffic.

Examples:
  casb replay var/flows.mitm --config policies
  casb replay session.har --config policies --user ada@contoso.example --device compliant --format json
  casb replay --activities --since 7d --draft new-policies --report report.html
  casb replay --activities export.ndjson --draft new-policies

With `--activities` the recorded activities are decided again, from the log alone: under the policies of the folder
compared with what happened, or under a draft compared with the folder. Exit status 1 when a decision differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from casb.commands._log import add_source_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `casb replay`."""
    parser.add_argument("flows", nargs="*", type=Path, help="mitmproxy flows (.mitm, .flow) or HAR")
    parser.add_argument(
        "--activities",
        nargs="?",
        const="",
        metavar="FILE",
        help="the activity log instead, or an export of it as JSON lines (- for stdin)",
    )
    parser.add_argument("--since", metavar="AGO", help="only activities this young, e.g. 7d")
    parser.add_argument("--draft", type=Path, metavar="DIR", help="compare the folder's decisions with this folder's")
    parser.add_argument("--report", metavar="FILE", help="also write the comparison as an HTML page")
    add_source_arguments(parser)
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--user", help="who asked, where the recording does not say")
    parser.add_argument("--group", action="append", default=[], help="a group of theirs; may be repeated")
    parser.add_argument(
        "--device", action="append", default=[], choices=("compliant", "hybrid-joined", "client-certificate")
    )
    parser.add_argument("--ip", default="", help="their address")


def run(arguments: argparse.Namespace) -> int:
    """Decide every exchange or activity anew."""
    if (arguments.activities is not None) == bool(arguments.flows):
        print("name recorded flows, or say --activities", file=sys.stderr)
        return 2
    if arguments.activities is not None:
        from casb.commands import _timemachine

        return _timemachine.run(arguments)
    if arguments.draft or arguments.report or arguments.since:
        print("--draft, --report and --since go with --activities", file=sys.stderr)
        return 2
    from casb.control.exchange import Party
    from casb.control.replay import replay, to_json
    from casb.model.identity import Client, Device, DeviceTag, User
    from casb.proxy.recorded import read_flows
    from casb.proxy.reload import read

    snapshot = read(Path(arguments.config).resolve())
    name = (arguments.user or "").lower()
    stranger = Party(
        user=User(id=name, name=name, domain=name.rpartition("@")[2], groups=frozenset(arguments.group))
        if name
        else None,
        device=Device(tags=frozenset(DeviceTag(each) for each in arguments.device)),
        client=Client(ip=arguments.ip),
    )
    differing = 0
    for path in arguments.flows:
        if not path.exists():
            print(f"{path}: no such file", file=sys.stderr)
            return 2
        for result in replay(snapshot, read_flows(path, snapshot, stranger)):
            differing += result.differs
            value = to_json(result)
            if arguments.format == "json":
                print(json.dumps(value, separators=(",", ":")))
            else:
                print(_line(value))
    if differing:
        print(f"{differing} decisions differ from those recorded", file=sys.stderr)
    return 1 if differing else 0


def _line(value: dict[str, object]) -> str:
    file = value["file"]
    name = file["name"] if isinstance(file, dict) else ""
    changed = f"  (recorded: {value['recorded']})" if value["recorded"] not in (None, value["action"]) else ""
    what = value["activity"] or "-"
    return (
        f"{value['time']}  {value['action']!s:<8} {what!s:<9} {value['app'] or '-'!s:<10} {value['user'] or '-'}  "
        f"{name or value['url']}  {value['policy'] or ''}{changed}"
    )
