"""Put a folder in force on every node that follows (`store: {configuration: follow}`).

Example:
  casb push policies

The folder is checked first; a broken one is refused and changes nothing. Its `casb.yaml` names the server
(`store.sessions`) and the key ring, and is not pushed itself: each node has its own. Nodes have it in force within two
seconds; records of all of them then carry the version that is printed. Exit status: 0 done, 2 refused.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from casb.errors import ConfigError, Where
from casb.store import auditfile
from casb.store.distribution import push
from casb.store.folder import WORLD, published
from casb.store.token import data_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("folder", metavar="DIR", help="configuration folder")


def run(arguments: argparse.Namespace) -> int:
    """Check, push, tell."""
    own = published(arguments.folder)
    settings = own.configuration(WORLD).settings
    if settings.store.sessions is None:
        where = Where(file=str(Path(arguments.folder) / "casb.yaml"))
        raise ConfigError("C125", "'store' names no server", where, "add `store: {sessions: rediss://…}`")
    version = push(settings, own)
    auditfile.note(data_folder(settings), "configuration pushed", datetime.now(UTC), version=version)
    print(f"version {version} is in force on every node that follows", file=sys.stderr)
    return 0
