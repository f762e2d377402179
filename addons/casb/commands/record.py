"""Capture sessions for `casb replay`: proxy and sidecar as `casb up` runs them, keeping every decided exchange.

Example:
  casb record story.mitm --config policies
  casb replay story.mitm --config policies --format json

Secrets are left out at the source: no cookies, credentials, query strings or bodies reach the file. What is there is
kept and added to. Ctrl-C ends the recording.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from casb.commands import up
from casb.errors import ConfigError, Where
from casb.settings import RECORD_FLOWS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `casb record`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="where the flows go, e.g. story.mitm")
    up.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Record until SIGTERM or SIGINT."""
    path = arguments.file.resolve()
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    except OSError as error:
        why = (error.strerror or "unknown error").lower()
        raise ConfigError("C127", f"flows cannot be recorded there: {why}", Where(file=str(path))) from error
    before = path.stat().st_size
    os.environ[RECORD_FLOWS] = str(path)
    print(f"recording to {path}; Ctrl-C ends", file=sys.stderr)
    status = up.run(arguments)
    print(f"recorded {path.stat().st_size - before:,} bytes; look at them with: casb replay {path}", file=sys.stderr)
    return status
