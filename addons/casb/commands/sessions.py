"""End sessions at once, and rotate the key that they are encrypted with.

Examples:
  casb sessions revoke --user ada@contoso.example
  casb sessions revoke --session 5f0c9b0e6b1d4c3f9a7e2d1b0c9f8e7d
  casb sessions revoke --app box
  casb sessions keys --rotate

Open pages, downloads, sockets and streams close within a second, on every node. Noted in `audit.jsonl` of the data
folder. Exit status 1: nobody had such a session. A rotated key ring is followed while the proxy runs; nodes that share
a ring by copies get the new line on all of them at the second place first, then at the first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime

from casb.commands._log import settings_of
from casb.connectors.revocation import WHATS, revoke
from casb.settings import Settings
from casb.store import auditfile
from casb.store.session_keys import rotate
from casb.store.sessions import close_sessions, open_sessions, ring_path
from casb.store.token import data_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="revoke | keys")
    revoking = verbs.add_parser("revoke", help="end sessions at once")
    which = revoking.add_mutually_exclusive_group(required=True)
    which.add_argument("--user", metavar="NAME", help="the name signed in with, or the id of the activity log")
    which.add_argument("--session", metavar="ID", help="as the activity log and the person's session page show it")
    which.add_argument("--app", metavar="ID", help="everybody's session in one app")
    revoking.add_argument("--format", choices=("text", "json"), default="text")
    keys = verbs.add_parser("keys", help="the key ring of stored sessions")
    keys.add_argument(
        "--rotate", action="store_true", required=True, help="a fresh key for what is written from now on"
    )
    for each in (revoking, keys):
        each.add_argument(
            "--config", default="policies", metavar="DIR", help="configuration folder (default: policies)"
        )


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 nobody had such a session."""
    settings = settings_of(arguments.config)
    now = datetime.now(UTC)
    if arguments.verb == "keys":
        fresh = rotate(ring_path(settings, data_folder(settings)))
        auditfile.note(data_folder(settings), "session key rotated", now, key=fresh)
        print(f"new sessions are encrypted with key {fresh}", file=sys.stderr)
        return 0
    what, value = next((name, given) for name in WHATS if (given := getattr(arguments, name)) is not None)
    auditfile.note(data_folder(settings), "sessions revoked", now, of=what, value=value)
    ended = asyncio.run(_revoke(settings, what, value))
    if arguments.format == "json":
        print(json.dumps({"ended": ended}))
    else:
        print(f"ended: {ended} session records of {what} {value}" if ended else "no such session", file=sys.stderr)
    return 0 if ended else 1


async def _revoke(settings: Settings, what: str, value: str) -> int:
    store = open_sessions(settings, data_folder(settings))
    try:
        providers = [each.id for each in settings.providers]
        return await revoke(store, what, value, providers=providers, clock=lambda: datetime.now(UTC))
    finally:
        await close_sessions(store)
