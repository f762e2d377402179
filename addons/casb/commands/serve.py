"""The sidecar: activity log, REST API under /v1, and the portal.

Example:
  casb serve --config policies

Stops gracefully on SIGTERM and Ctrl-C. At the first start it prints the code that makes the first local admin.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from casb.connectors.oidc import OidcProvider
from casb.errors import StoreError
from casb.settings import Settings
from casb.sidecar import budgets, notify
from casb.sidecar.app import build_app
from casb.sidecar.deployment import FolderDeployment
from casb.sidecar.server import bind, server
from casb.sidecar.services import Services
from casb.sidecar.signin import CODE_FILE, first_run_code
from casb.store.alerts_sqlite import AlertStore
from casb.store.folder import load
from casb.store.portal_sqlite import PortalStore
from casb.store.records_sqlite import Database, SqliteRecords, database_path
from casb.store.token import data_folder, sidecar_token

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="policies", metavar="DIR", help="configuration folder (default: policies)")


def run(arguments: argparse.Namespace) -> int:
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    configuration = load(arguments.config)
    settings = configuration.settings
    data_folder(settings)
    database = Database(database_path(settings))
    services = Services(
        settings=settings,
        records=SqliteRecords(database),
        portal=PortalStore(database),
        alerts=AlertStore(database),
        deployment=FolderDeployment(arguments.config, configuration, _now),
        ingest_token=sidecar_token(settings),
        clock=_now,
    )
    provider = admin_provider(settings)
    listener = bind(settings.listeners.sidecar)
    # Raised again by uvicorn after its graceful stop; turned into an ordinary end, so that what follows is done.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    over = threading.Event()
    workers = [
        threading.Thread(target=keep_tidy, args=(services, over), name="retention", daemon=True),
        threading.Thread(target=budgets.watch, args=(services, over), name="budgets", daemon=True),
        threading.Thread(target=notify.watch, args=(services, over), name="notify", daemon=True),
    ]
    try:
        _greet(services)
        for worker in workers:
            worker.start()
        server(build_app(services, provider)).run(sockets=[listener])
    finally:
        over.set()
        for worker in workers:
            worker.join(10)
        if provider is not None:
            asyncio.run(provider.close())
        listener.close()
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


def keep_tidy(services: Services, over: threading.Event, every: timedelta = timedelta(hours=1)) -> None:
    """Drop activities older than the retention time, until `over`."""
    while not over.is_set():
        try:
            oldest = services.clock() - timedelta(days=services.settings.sidecar.retention_days)
            dropped = services.records.purge(oldest)
            services.alerts.purge(oldest)
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
