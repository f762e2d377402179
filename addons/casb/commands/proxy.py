"""The session-control proxy: worker processes on one port, healed when one dies.

Example: casb proxy --config policies --workers 2
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `casb proxy`."""
    parser.add_argument("--config", type=Path, default=Path("policies"), help="the configuration folder")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="worker processes (default: one per core)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    from casb.proxy.supervisor import Supervisor

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s level=%(levelname)s logger=%(name)s %(message)s")
    if arguments.workers < 1:
        print("--workers takes a number from 1 up")
        return 2
    return Supervisor(arguments.config.resolve(), arguments.workers).run()
