"""A sidecar in memory: real stores on a real file, the application called without a socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_client import Client
from casb.settings import Secret, Settings
from casb.sidecar import passwords
from casb.sidecar.app import build_app
from casb.sidecar.services import Services
from casb.sidecar.signin import first_run_code
from casb.store.alerts_sqlite import AlertStore
from casb.store.portal_sqlite import PortalStore
from casb.store.records_sqlite import Database, SqliteRecords
from portal_user import set_up
from sidecar_parts import TOKEN, FixedDeployment, Hands


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing takes long on purpose; here it need not."""
    monkeypatch.setattr(passwords, "_N", 2**4)
    monkeypatch.setattr(passwords, "_NOBODY", passwords._NOBODY.replace("$32768$", "$16$"))


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
        alerts=AlertStore(database),
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


@pytest.fixture
def grace(client: Client, services: Services) -> Client:
    """The client, with an admin called grace signed in."""
    code = first_run_code(services.settings, services.portal)
    assert code
    assert set_up(client, code).status_code == 303
    return client
