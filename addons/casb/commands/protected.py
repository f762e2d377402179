"""Files that were handed over protected: who has which, whether it was opened, and an end to that.

casb protected list payroll                          files whose name, person, app, policy or label say so
casb protected revoke 3f2a…                          it opens no more, on any device
casb protected restore 3f2a…                         it opens again
casb protected expire 3f2a… 2026-06-30T18:00:00Z     it opens until then, whatever the policy said

No file is touched: this is asked each time somebody opens one. What was opened before is out of reach. Changes are
written to the audit log of the machine (audit.jsonl in the data folder) before they are made.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from casb.commands.certs import settings_of
from casb.commands.open import plain_text
from casb.store import auditfile
from casb.store.protected_sqlite import ProtectedFile, ProtectedFiles


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--config", default="policies", metavar="DIR", help="configuration folder (default: policies)")
    verbs = parser.add_subparsers(dest="what", required=True, metavar="list|revoke|restore|expire")
    listing = verbs.add_parser("list", help="newest first")
    listing.add_argument("words", nargs="?", default="", metavar="WORDS")
    listing.add_argument("--limit", type=int, default=50, metavar="N")
    listing.add_argument("--format", choices=("text", "json"), default="text")
    for name, text in (
        ("revoke", "it opens no more"),
        ("restore", "it opens again"),
        ("expire", "it opens until then"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("id", metavar="ID")
        if name == "expire":
            verb.add_argument("when", type=_moment, metavar="TIME", help="RFC 3339, e.g. 2026-06-30T18:00:00Z")


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 there is no such file or nothing to change."""
    data = Path(settings_of(arguments.config).data)
    files = ProtectedFiles(data)
    if arguments.what == "list":
        found = files.search(arguments.words, limit=max(1, arguments.limit))
        if arguments.format == "json":
            print(json.dumps([each.as_json() for each in found], indent=2))
        else:
            for each in found:
                print(_line(each))
        return 0
    now = datetime.now(UTC)
    auditfile.note(data, f"{arguments.what} a protected file", now, file=arguments.id)
    match arguments.what:
        case "revoke":
            done = files.revoke(arguments.id, getpass.getuser(), now)
        case "restore":
            done = files.restore(arguments.id)
        case _:
            done = files.expire(arguments.id, arguments.when)
    if not done:
        print(f"casb protected: nothing to {arguments.what} under {arguments.id}", file=sys.stderr)
        return 1
    return 0


def _line(file: ProtectedFile) -> str:
    state = "revoked" if file.revoked else "open"
    facts = file.facts
    told = f"{facts.file}  {file.time:%Y-%m-%d %H:%M}  {file.format:<7}  {state:<7}  {file.opened:>3}x"
    return f"{told}  {plain_text(facts.user_name or facts.user)}  {plain_text(facts.name)}"


def _moment(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=UTC)
