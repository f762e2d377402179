"""A sidecar in memory: real stores on a real file, the application called without a socket."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from asgi_client import Client
from casb.settings import Secret, Settings
from casb.sidecar import passwords
from casb.sidecar.app import build_app
from casb.sidecar.services import Services
from casb.sidecar.signin import first_run_code
from casb.store.alerts_sqlite import AlertStore
from casb.store.app_catalog import AppCatalog
from casb.store.catalog_files import load_shipped
from casb.store.discovery_catalog import Following
from casb.store.discovery_service import Discovery
from casb.store.portal_sqlite import PortalStore
from casb.store.records_sqlite import Database, SqliteRecords
from portal_user import PASSWORD, set_up, sign_in
from shadow_world import fill, hostile
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


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The discovery folder of a small organisation, made once; tests work on copies."""
    place = tmp_path_factory.mktemp("world")
    discovery = Discovery(Settings(suffix="casb.example", data=str(place)), Hands(), processes=1)
    fill(discovery, people=60, days=8)
    hostile(discovery)
    discovery.close()
    return place / "discovery"


@pytest.fixture
def world(services: Services, filled: Path, tmp_path: Path, clock: Hands) -> Iterator[Services]:
    """The sidecar with a catalog, and with the usage of a small organisation."""
    shutil.copytree(filled, tmp_path / "discovery")
    database = Database(tmp_path / "casb.db")
    catalog = AppCatalog(database, load_shipped(), services.settings, clock)
    discovery = Discovery(services.settings, clock, known=Following(catalog.inventory), processes=1)
    yield replace(services, catalog=catalog, discovery=discovery)
    discovery.close()
    database.close()


@pytest.fixture
def portal(world: Services) -> Iterator[Client]:
    """A client of that sidecar, with an admin called grace signed in."""
    opened = Client(build_app(world), "http://127.0.0.1:8090")
    code = first_run_code(world.settings, world.portal)
    assert code
    assert set_up(opened, code).status_code == 303
    yield opened
    opened.close()


@pytest.fixture
def viewer(world: Services, portal: Client) -> Iterator[Client]:
    """Somebody who may look and nothing else."""
    world.portal.add_account("vic", "viewer", passwords.hash_password(PASSWORD), world.clock())
    opened = Client(build_app(world), "http://127.0.0.1:8090")
    assert sign_in(opened, "vic").status_code == 303
    yield opened
    opened.close()
