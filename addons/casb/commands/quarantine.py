"""Uploads that were refused and are kept: list, show, release, delete, fetch.

casb quarantine list payroll                               name, person, app, policy, id or digest say so
casb quarantine show 01K9…                                 all that is known of it
casb quarantine release 01K9… --why "false alarm"          whoever uploaded it may fetch it
casb quarantine delete 01K9… --why "malware"               its bytes go; what is known stays
casb quarantine fetch 01K9… --to sample.bin                decrypted, for examination

Changes, and files that are fetched, are written to the audit log of the machine (audit.jsonl in the data folder) before
they are made.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from casb.commands.certs import settings_of
from casb.commands.open import plain_text
from casb.errors import CasbError
from casb.store import auditfile
from casb.store.quarantine_desk import Desk
from casb.store.quarantine_sqlite import STATES, Quarantined


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--config", default="policies", metavar="DIR", help="configuration folder (default: policies)")
    verbs = parser.add_subparsers(dest="what", required=True, metavar="list|show|release|delete|fetch")
    listing = verbs.add_parser("list", help="newest first")
    listing.add_argument("words", nargs="?", default="", metavar="WORDS")
    listing.add_argument("--state", choices=STATES, default="")
    listing.add_argument("--limit", type=int, default=50, metavar="N")
    listing.add_argument("--format", choices=("text", "json"), default="text")
    for name, text in (
        ("show", "all that is known of one"),
        ("release", "whoever uploaded it may fetch it"),
        ("delete", "its bytes go for good"),
        ("fetch", "decrypt it for examination"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("id", metavar="ID")
        if name in ("release", "delete"):
            verb.add_argument("--why", required=True, metavar="TEXT", help="the reason, for the audit log")
        if name == "fetch":
            verb.add_argument("--why", default="", metavar="TEXT", help="the reason, for the audit log")
            verb.add_argument("--to", required=True, metavar="FILE", help="a file that does not exist yet")


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 it cannot be done."""
    settings = settings_of(arguments.config)
    desk = Desk(settings, Path(settings.data))
    if arguments.what == "list":
        found = desk.rows.search(arguments.words, arguments.state, limit=max(1, arguments.limit))
        if arguments.format == "json":
            print(json.dumps([each.as_json() for each in found], indent=2))
        else:
            for each in found:
                print(_line(each))
        return 0
    try:
        return _one(desk, arguments)
    except CasbError as error:
        print(f"casb quarantine: {error.code} {error.message}", file=sys.stderr)
        return 1


def _one(desk: Desk, arguments: argparse.Namespace) -> int:
    file = desk.need(arguments.id)
    if arguments.what == "show":
        print(json.dumps(file.as_json(), indent=2))
        return 0
    now, who = datetime.now(UTC), getpass.getuser()
    auditfile.note(desk.data, f"{arguments.what} a quarantined file", now, file=file.id, why=arguments.why)
    match arguments.what:
        case "release":
            print(desk.release(file.id, who, arguments.why, now))
        case "delete":
            desk.delete(file.id, who, arguments.why, now)
        case _:
            _write(desk, file, Path(arguments.to))
    return 0


def _write(desk: Desk, file: Quarantined, to: Path) -> None:
    _, pieces = desk.fetch(file.id)
    try:
        descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SystemExit(f"casb quarantine: {to} cannot be made ({error.strerror})") from None
    with os.fdopen(descriptor, "wb") as out:
        for piece in pieces:
            out.write(piece)


def _line(file: Quarantined) -> str:
    told = f"{file.id}  {file.time:%Y-%m-%d %H:%M}  {file.state:<8}  {file.size:>12}"
    return f"{told}  {plain_text(file.user_name or file.user)}  {plain_text(file.name)}"
