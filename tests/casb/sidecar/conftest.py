"""A sidecar in memory: real stores on a real file, the application called without a socket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from asgi_client import Client
from casb.settings import Secret, Settings
from casb.sidecar.app import build_app
from casb.sidecar.deployment import PolicyView, View
from casb.sidecar.services import Services
from casb.store.portal_sqlite import PortalStore
from casb.store.records_sqlite import Database, SqliteRecords
from sample_records import FILES, NOTES, START

TOKEN = "proxy-token-" + "x" * 32


@dataclass
class Hands:
    """A clock that tests move."""

    now: datetime = START + timedelta(hours=4)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class FixedDeployment:
    """A deployment that is what tests say."""

    present: View = field(
        default_factory=lambda: View(
            version="3f2a91c0",
            apps=(FILES, NOTES),
            policies=(
                PolicyView(
                    id="block-downloads-on-unmanaged-devices",
                    name="Block downloads",
                    kind="session",
                    action="block",
                    severity="high",
                    file="unmanaged.yaml",
                    line=3,
                ),
            ),
            files=(),
            read=datetime(2026, 3, 2, tzinfo=UTC),
        )
    )

    def view(self) -> View:
        return self.present


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def deployment() -> FixedDeployment:
    return FixedDeployment()


@pytest.fixture
def services(tmp_path: Path, clock: Hands, deployment: FixedDeployment) -> Iterator[Services]:
    database = Database(tmp_path / "casb.db")
    yield Services(
        settings=Settings(suffix="casb.example", data=str(tmp_path)),
        records=SqliteRecords(database),
        portal=PortalStore(database),
        deployment=deployment,
        ingest_token=Secret(TOKEN),
        clock=clock,
    )
    database.close()


@pytest.fixture
def client(services: Services) -> Iterator[Client]:
    opened = Client(build_app(services), "http://127.0.0.1:8090")
    yield opened
    opened.close()
