"""The key ring that closes protected files: which keys there are, a new current one, one destroyed for good.

casb keys list                   ids, ages, how many passwords each has wrapped
casb keys rotate                 a new key for what is protected from now on; older ones still open
casb keys retire 1f2e3d… --yes   destroys a key: what it closed opens with the recovery key alone

Changes are written to the audit log of the machine (audit.jsonl in the data folder) before they are made. Back up
keyring.json after each of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from casb.commands.certs import settings_of
from casb.store import auditfile
from casb.store.keyring import Keyring
from casb.store.protected_sqlite import ProtectedFiles


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--config", default="policies", metavar="DIR", help="configuration folder (default: policies)")
    verbs = parser.add_subparsers(dest="what", required=True, metavar="list|rotate|retire")
    listing = verbs.add_parser("list", help="the keys, without their secrets")
    listing.add_argument("--format", choices=("text", "json"), default="text")
    verbs.add_parser("rotate", help="make a new key the current one")
    retire = verbs.add_parser("retire", help="destroy a key that is not the current one")
    retire.add_argument("id", metavar="ID")
    retire.add_argument("--yes", action="store_true", help="I know that files closed with it open no more")


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 there is no such key, 2 not confirmed."""
    data = Path(settings_of(arguments.config).data)
    keyring = Keyring.load(data)
    if arguments.what == "list":
        _list(keyring, ProtectedFiles(data).keys(), arguments.format)
        return 0
    if arguments.what == "rotate":
        auditfile.note(data, "rotate the key ring", datetime.now(UTC))
        print(keyring.rotate())
        return 0
    if not arguments.yes:
        used = ProtectedFiles(data).keys().get(arguments.id, 0)
        print(
            f"casb keys: {used} passwords were wrapped with {arguments.id}, and files that carry their key besides; "
            "none of them will open here again. Say so with --yes.",
            file=sys.stderr,
        )
        return 2
    auditfile.note(data, "retire a key of the key ring", datetime.now(UTC), key=arguments.id)
    keyring.retire(arguments.id)
    return 0


def _list(keyring: Keyring, used: dict[str, int], form: str) -> None:
    keys = keyring.keys()
    if form == "json":
        print(json.dumps([{**asdict(each), "passwords": used.get(each.id, 0)} for each in keys], indent=2))
        return
    for each in keys:
        state = f"retired {each.retired[:10]}" if each.retired else "current" if each.current else "reads"
        print(f"{each.id}  {each.created[:19]}Z  {state:<18} {used.get(each.id, 0):>8} passwords")
