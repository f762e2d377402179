"""The sidecar: activity log, REST API under /v1, and the portal.

Example:
  casb serve --config policies

Stops gracefully on SIGTERM and Ctrl-C. At the first start it prints the code that makes the first local admin.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from casb.connectors.oidc import OidcProvider
from casb.errors import CasbError, StoreError
from casb.model.app import App
from casb.settings import Settings
from casb.sidecar import activity_policies, budgets, notify, quarantine, shadow_dashboard
from casb.sidecar.app import build_app
from casb.sidecar.deployment import FolderDeployment
from casb.sidecar.server import bind, server
from casb.sidecar.services import Services
from casb.sidecar.signin import CODE_FILE, first_run_code
from casb.store.alerts_sqlite import AlertStore
from casb.store.app_catalog import AppCatalog
from casb.store.folder import load
from casb.store.portal_sqlite import PortalStore
from casb.store.records import open_records
from casb.store.records_sqlite import Database, database_path
from casb.store.token import data_folder, sidecar_token

logger = logging.getLogger(__name__)

TIDY = 3600.0
"""Seconds after which retention and merging run although nothing was queued."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="policies", metavar="DIR", help="configuration folder (default: policies)")


def run(arguments: argparse.Namespace) -> int:
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    configuration = load(arguments.config)
    settings = configuration.settings
    data_folder(settings)
    database = Database(database_path(settings))
    deployment = FolderDeployment(arguments.config, configuration, _now)
    catalog = AppCatalog.open(database, settings, _now, lambda: deployment.view().apps)
    services = Services(
        settings=settings,
        records=open_records(settings, database),
        portal=PortalStore(database),
        alerts=AlertStore(database),
        deployment=deployment,
        ingest_token=sidecar_token(settings),
        clock=_now,
        catalog=catalog,
        discovery=open_discovery(settings, catalog, lambda: deployment.view().apps),
    )
    provider = admin_provider(settings)
    listener = bind(settings.listeners.sidecar)
    # Raised again by uvicorn after its graceful stop; turned into an ordinary end, so that what follows is done.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    over = threading.Event()
    workers = [
        threading.Thread(target=keep_tidy, args=(services, over), name="retention", daemon=True),
        threading.Thread(target=budgets.watch, args=(services, over), name="budgets", daemon=True),
        threading.Thread(target=activity_policies.watch, args=(services, over), name="activities", daemon=True),
        threading.Thread(target=notify.watch, args=(services, over), name="notify", daemon=True),
        threading.Thread(target=keep_tags, args=(services, over), name="tags", daemon=True),
        threading.Thread(target=keep_working, args=(services, arguments.config, over), name="tasks", daemon=True),
        threading.Thread(target=shadow_dashboard.keep_ready, args=(services, over), name="boards", daemon=True),
    ]
    try:
        _greet(services)
        for worker in workers:
            worker.start()
        server(build_app(services, provider)).run(sockets=[listener])
    finally:
        over.set()
        for worker in workers:
            worker.join(15)
        if services.discovery is not None:
            services.discovery.close()
        if provider is not None:
            asyncio.run(provider.close())
        listener.close()
        if settings.store.records is not None:
            services.records.close()
        database.close()
    return 0


def admin_provider(settings: Settings) -> OidcProvider | None:
    """The identity provider that admins sign in with; None when `sidecar.admins` names none."""
    admins = settings.sidecar.admins
    found = next((each for each in settings.providers if each.id == admins.provider), None)
    if found is None:
        return None
    own = replace(
        found,
        client_id=admins.client_id or found.client_id,
        client_secret=admins.client_secret or found.client_secret,
    )
    base = (settings.sidecar.public_url or settings.sidecar_url).rstrip("/")
    return OidcProvider(own, redirect_uri=f"{base}/auth/callback", clock=_now)


def open_discovery(settings: Settings, catalog: AppCatalog, configured: Callable[[], Sequence[App]]) -> Any:
    """Discovery, where its extra is installed; None where it is not. Pages and reports share one catalog."""
    try:
        module = importlib.import_module("casb.store.discovery_service")
        known = importlib.import_module("casb.store.discovery_catalog").Following(catalog.inventory, configured)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("casb"):
            raise
        logger.info("discovery is not installed missing=%s", error.name)
        return None
    discovery = module.Discovery(settings, _now, known=known)
    discovery.sync_sources()
    return discovery


def keep_working(services: Services, folder: str, over: threading.Event) -> None:
    """Have queued tasks of discovery done, in a process of its own: reading hostile logs is no work for this one."""
    discovery = services.discovery
    tidied = 0.0
    while discovery is not None and not over.wait(0.5):
        try:
            waiting = discovery.waiting()
        except StoreError as error:
            logger.error("tasks cannot be read error=%r", str(error))
            waiting = False
        if not waiting and time.monotonic() - tidied < TIDY and tidied:
            continue
        tidied = time.monotonic()
        command = [sys.executable, "-m", "casb.cli", "discovery", "work", "--linger", "20", "--config", folder]
        environment = dict(os.environ, PYTHONPATH=str(Path(__file__).resolve().parents[2]))
        worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)  # noqa: S603 - our own module
        while worker.poll() is None:
            if over.wait(0.5):
                worker.terminate()
                try:
                    worker.wait(8)
                except subprocess.TimeoutExpired:
                    worker.kill()
                    worker.wait()
        if worker.returncode not in (0, -signal.SIGTERM) and not over.is_set():
            logger.error("the worker of discovery ended status=%s", worker.returncode)
            over.wait(5)


def keep_tags(services: Services, over: threading.Event, every: float = 1.0) -> None:
    """Publish the tags for the proxies, and from then on tag what comes and changes in apps/*.yaml; until `over`."""
    catalog, published = services.catalog, False
    while catalog is not None and not over.is_set():
        try:
            if not published:
                catalog.publish()
                published = True
            for error in catalog.sync_configured():
                logger.error("a tag of apps/*.yaml is refused: %s", error)
        except CasbError as error:
            logger.error("tags cannot be published error=%r", str(error))
        over.wait(every)


def keep_tidy(services: Services, over: threading.Event, every: timedelta = timedelta(hours=1)) -> None:
    """Drop activities older than the retention time, until `over`."""
    while not over.is_set():
        try:
            oldest = services.clock() - timedelta(days=services.settings.sidecar.retention_days)
            dropped = services.records.purge(oldest)
            services.alerts.purge(oldest)
            quarantine.tidy(services, oldest)
            if dropped:
                logger.info("retention dropped=%d", dropped)
        except StoreError as error:
            logger.error("retention failed error=%r", str(error))
        over.wait(every.total_seconds())


def _greet(services: Services) -> None:
    settings = services.settings
    address = settings.sidecar.public_url or f"http://{settings.listeners.sidecar}"
    print(f"casb serve: portal at {address}", file=sys.stderr)
    code = first_run_code(settings, services.portal)
    if code is not None:
        place = data_folder(settings) / CODE_FILE
        # A log file keeps what a console shows once.
        told = f"{code}  (also in {place})" if sys.stderr.isatty() else f"in {place}"
        print(f"casb serve: set-up code for the first admin: {told}", file=sys.stderr, flush=True)


def _now() -> datetime:
    return datetime.now(UTC)
