"""Opens an application directly and through the suffix in a headless browser, walks it, and reports what differs.

Example: casb lab https://wiki.contoso.example/ --report wiki.html --onboard wiki.yaml
         casb lab http://127.0.0.1:8888/ --name notebooks.contoso.example --steps walk.yaml --format json

Nothing has to run, and nobody signs in: the laboratory starts a proxy of its own on loopback and ends it again. Forms
are not sent and nothing is deleted unless a walk of yours says so. A walk is YAML:

    steps:
      - goto: /board
      - click: "text=New card"
      - type: {into: "#title", text: Milk}
      - press: Enter
      - expect: Milk

Exit status 0 when the application is the same, 1 when it is not.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `casb lab`."""
    parser.add_argument("url", help="address of the application")
    parser.add_argument("--report", type=Path, default=Path("lab.html"), help="the report (default: lab.html)")
    parser.add_argument("--onboard", type=Path, metavar="FILE", help="write the app's file for apps/ here")
    parser.add_argument("--name", metavar="HOST", help="name to open it under, for one that has only an address")
    parser.add_argument(
        "--host", action="append", default=[], metavar="HOST", help="a further host of it, or *.HOST; may be repeated"
    )
    parser.add_argument("--steps", type=Path, metavar="FILE", help="walk as this file says")
    parser.add_argument("--pages", type=int, default=5, help="pages to open when there are no steps (default: 5)")
    parser.add_argument("--ca", metavar="PEM", help="trust this authority alone for the application")
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 the same, 1 differences."""
    from casb.lab.report import as_html, as_json
    from casb.lab.run import investigate, wish
    from casb.lab.steps import read_steps

    steps = read_steps(arguments.steps) if arguments.steps else ()
    wanted = wish(
        arguments.url,
        name=arguments.name,
        hosts=arguments.host,
        ca=arguments.ca and str(Path(arguments.ca).resolve()),
        steps=steps,
        pages=max(1, min(arguments.pages, 50)),
    )
    finding = investigate(wanted, _progress)
    arguments.report.write_text(as_html(finding, datetime.now(UTC)), encoding="utf-8")
    if arguments.onboard:
        arguments.onboard.write_text(finding.yaml, encoding="utf-8")
    told = as_json(finding)
    if arguments.format == "json":
        print(json.dumps(told, indent=2))
    else:
        print(_summary(told))
        print(f"report: {arguments.report}")
    return 1 if finding.delta.differs else 0


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:100]}", end="", file=sys.stderr, flush=True)


def _summary(told: dict[str, object]) -> str:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    lines = [f"{told['name']}: {'the same' if told['same'] else 'NOT the same'} through the suffix"]
    stops = told["stops"]
    if isinstance(stops, list):
        for stop in stops:
            lines.append(f"  {'same   ' if stop['same'] else 'differs'}  {stop['step']}" + _why(stop))
    for name in ("escaped", "told", "violations", "failed", "console", "cookies"):
        found = told[name]
        if isinstance(found, list) and found:
            lines.append(f"  {name}: {len(found)}, such as {found[0]}")
    hosts = told["unknown_hosts"]
    if isinstance(hosts, list) and hosts:
        lines.append(f"  hosts outside: {', '.join(each['host'] for each in hosts[:8])}")
    return "\n".join(lines)


def _why(stop: dict[str, object]) -> str:
    if stop["same"]:
        return ""
    missing, extra = stop["missing"], stop["extra"]
    count = (
        f"{len(missing)} lines missing, {len(extra)} new"
        if isinstance(missing, list) and isinstance(extra, list)
        else ""
    )
    return f"  ({stop['failure'] or count})"
