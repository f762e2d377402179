"""Discovery policies at work: by the worker after what came in, and by hand with `casb discovery evaluate`."""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from casb.errors import CasbError, Problems
from casb.store.alerts_sqlite import AlertStore
from casb.store.app_catalog import AppCatalog
from casb.store.discovery_policies import Evaluator, Outcome
from casb.store.discovery_service import Discovery
from casb.store.folder import load_draft
from casb.store.records_sqlite import Database, database_path

logger = logging.getLogger(__name__)

PAUSE = 60.0
"""Seconds between two evaluations while data keeps coming in."""


@contextmanager
def evaluator(discovery: Discovery) -> Iterator[Evaluator]:
    """An evaluator of the deployment."""
    settings = discovery.settings
    database = Database(database_path(settings))
    try:
        apps = load_draft(settings.folder).apps if settings.folder else ()
        yield Evaluator(
            settings=settings,
            book=discovery.book,
            usage=discovery.usage,
            reports=discovery.reports,
            alerts=AlertStore(database),
            catalog=AppCatalog.open(database, settings, discovery.clock, lambda: apps),
            clock=discovery.clock,
        )
    finally:
        database.close()


class Turn:
    """Evaluates now and then, while the worker has nothing else to do. An error of a policy is no end of the worker."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery
        self._next = 0.0

    def take(self) -> None:
        """Evaluate when something is new and the pause is over."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PAUSE
        try:
            with evaluator(self._discovery) as found:
                if found.due():
                    outcome = found.run()
                    if outcome != Outcome():
                        logger.warning("discovery policies matched=%d alerts=%d", outcome.matched, outcome.alerts)
        except (CasbError, Problems) as error:
            logger.error("discovery policies cannot be evaluated: %s", error)


def evaluate(discovery: Discovery, arguments: argparse.Namespace, folder: Path) -> int:
    """`casb discovery evaluate`."""
    with evaluator(discovery) as found:
        outcome = found.run()
    if arguments.format == "json":
        print(json.dumps(asdict(outcome), indent=2))
        return 0
    print(f"{outcome.matched} matches, {outcome.alerts} new alerts")
    for app, tag in outcome.tagged:
        print(f"{app}  {tag}")
    for refused in outcome.refused:
        print(f"refused: {refused}")
    return 0
