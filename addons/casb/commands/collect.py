"""The log collector: receives firewall and proxy logs by syslog, folder and FTP and hands them to the sidecar.

Examples:
  casb collect --config policies
  casb collect --config policies --status

Sources, ports and limits are in casb.yaml, section `discovery`. What was accepted is on the disk and is sent once, also
after a crash and while the sidecar is away. Stops gracefully on SIGTERM and Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from casb.collector.health import as_json
from casb.collector.run import Collector
from casb.collector.spool import SourceSpool
from casb.commands._log import settings_of
from casb.commands._progress import size
from casb.settings import Secret, Settings
from casb.store.folder import load
from casb.store.token import sidecar_token


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--config", default="policies", metavar="DIR", help="configuration folder (default: policies)")
    parser.add_argument("--status", action="store_true", help="what the sources have received and sent, and end")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="of --status")


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 it cannot start."""
    if arguments.status:
        return _status(settings_of(arguments.config), arguments.format)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.INFO)
    logging.getLogger("pyftpdlib").setLevel(logging.WARNING)
    settings = load(arguments.config).settings
    collector = Collector(settings, _token(settings), _now)
    over = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: over.set())
    collector.start()
    for spool in collector.spools:
        source = spool.source
        where = source.listen or source.path or f"FTP account {source.user}"
        print(f"casb collect: {source.name}: {source.receiver} {where}", file=sys.stderr, flush=True)
    over.wait()
    collector.stop()
    return 0


def _token(settings: Settings) -> Secret:
    return settings.discovery.collector.token or sidecar_token(settings)


def _status(settings: Settings, form: str) -> int:
    found = settings.discovery.collector
    folder = Path(found.spool or Path(settings.data, "collector"))
    rows = []
    for source in settings.discovery.sources:
        if source.receiver != "upload":
            state = SourceSpool.peek(folder, source)
            rows.append({**as_json(state, _now()), "receiver": source.receiver, "where": source.listen or source.path})
    if form == "json":
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        drops = "".join(f", {count} dropped: {why}" for why, count in row["drops"].items())
        print(
            f"{row['name']}: {row['status']}, {row['receiver']} {row['where'] or ''}, "
            f"received {size(row['received'])}, "
            f"sent {row['uploaded']} files, waiting {size(row['waiting'])}{drops}"
            + (f", last data {row['last_data']}" if row["last_data"] else "")
            + (f", {row['error']}" if row["error"] else "")
        )
    return 0


def _now() -> datetime:
    return datetime.now(UTC)
