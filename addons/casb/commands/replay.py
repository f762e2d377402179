"""Recorded flows through the decision path: the same code that decides live traffic.

Example: casb replay var/flows.mitm --config policies
         casb replay session.har --config policies --user ada@contoso.example --device compliant --format json

Exit status 1 when a decision differs from the one recorded with the flow.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `casb replay`."""
    parser.add_argument("flows", nargs="+", type=Path, help="mitmproxy flows (.mitm, .flow) or HAR")
    parser.add_argument("--config", type=Path, default=Path("policies"), help="the configuration folder")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--user", help="who asked, where the recording does not say")
    parser.add_argument("--group", action="append", default=[], help="a group of theirs; may be repeated")
    parser.add_argument(
        "--device", action="append", default=[], choices=("compliant", "hybrid-joined", "client-certificate")
    )
    parser.add_argument("--ip", default="", help="their address")


def run(arguments: argparse.Namespace) -> int:
    """Decide every exchange anew."""
    from casb.control.exchange import Party
    from casb.control.replay import replay, to_json
    from casb.model.identity import Client, Device, DeviceTag, User
    from casb.proxy.recorded import read_flows
    from casb.proxy.reload import read

    snapshot = read(arguments.config.resolve())
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
