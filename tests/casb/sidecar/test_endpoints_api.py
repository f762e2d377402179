"""Devices over HTTP: batches in, lists and pages out, who may do what."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from asgi_client import Client
from casb.settings import Discovery as Chosen
from casb.settings import Settings
from casb.sidecar.app import build_app
from casb.sidecar.auth import digest
from casb.sidecar.endpoints_api import LARGEST
from casb.sidecar.services import Services
from casb.sidecar.signin import first_run_code
from casb.store.discovery_service import Discovery
from casb.store.portal_sqlite import UPLOAD
from defender_cloud import Cloud, defender_cloud
from endpoint_support import device, row, streamed
from portal_user import set_up

PLACE = "/v1/endpoints/events"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    with defender_cloud(tmp_path) as running:
        yield running


@pytest.fixture
def engine(services: Services, tmp_path: Path, cloud: Cloud) -> Iterator[Discovery]:
    folder = tmp_path / "policies"
    (folder / "apps").mkdir(parents=True)
    (folder / "casb.yaml").write_text("version: 1\nsuffix: casb.localhost\n")
    app = {"id": "own", "name": "=Own", "domains": ["*.own.example"], "risk_score": 1, "controlled": False,
           "tag": "unsanctioned"}  # fmt: skip
    (folder / "apps" / "own.yaml").write_text(json.dumps(app))
    settings = Settings(
        suffix="casb.example", data=str(tmp_path), folder=str(folder), discovery=Chosen(endpoints=cloud.chosen)
    )
    made = Discovery(settings, lambda: datetime.now(UTC), processes=1)
    yield made
    made.close()


@pytest.fixture
def client(services: Services, engine: Discovery) -> Iterator[Client]:
    made = replace(services, discovery=engine, clock=lambda: datetime.now(UTC))
    opened = Client(build_app(made), "http://127.0.0.1:8090")
    yield opened
    opened.close()


def token(services: Services, scope: str) -> dict[str, str]:
    services.portal.add_token(f"t-{scope}", digest(f"secret-{scope}"), scope, "grace", services.clock(), scope=scope)
    return {"Authorization": f"Bearer secret-{scope}"}


def batch(**facts: Any) -> bytes:
    now = datetime.now(UTC)
    rows = [
        streamed(row("www.own.example", at=now, DeviceName="=PC1", **facts)),
        streamed(device(at=now), "DeviceInfo"),
    ]
    return json.dumps({"records": rows}).encode()


def test_a_batch_and_a_device(client: Client, services: Services, engine: Discovery) -> None:
    up, read = token(services, UPLOAD), token(services, "read")
    content = batch()
    for sent, headers in ((content, {}), (gzip.compress(content), {"Idempotency-Key": "k"}), (content, {})):
        answer = client.post(PLACE, content=sent, headers={**up, **headers})
        assert answer.status_code == 202, answer.text
        assert client.post(PLACE, content=sent, headers={**up, **headers}).status_code == 202
    while engine.work():
        pass
    listed = client.get("/v1/endpoints/devices", headers=read).json()
    assert (listed["total"], listed["rows"][0]["events"], listed["rows"][0]["group"]) == (1, 2, "Sales")
    page = client.get("/v1/endpoints/devices/d1", headers=read).json()
    assert page["overview"]["apps"] == 1 and page["users"][0]["name"] == "ada@corp.example"
    assert "'=pc1" in client.get("/v1/endpoints/devices?format=csv", headers=read).text
    assert "'=Own" in client.get("/v1/endpoints/devices/d1?format=csv", headers=read).text
    hunted = client.get("/v1/endpoints/hunt?app=own", headers=read).json()
    assert hunted["rows"][0]["RemoteUrl"] == "www.own.example" and hunted["columns"][0] == "Timestamp"
    assert "'=pc1" in client.get("/v1/endpoints/hunt?app=own&format=csv", headers=read).text
    assert 'has_any ("own.example")' in client.get("/v1/endpoints/query?app=own", headers=read).text


def admin(client: Client, services: Services) -> str:
    code = first_run_code(services.settings, services.portal)
    assert code and set_up(client, code).status_code == 303
    return client.get("/access").text.partition('name="csrf" value="')[2].partition('"')[0]


def test_pushing(client: Client, services: Services, cloud: Cloud) -> None:
    csrf = admin(client, services)
    answer = client.post("/v1/endpoints/push", headers={"X-CSRF": csrf})
    assert answer.json()["pushed"] == 1 and list(cloud.domains()) == ["own.example"]
    read = token(services, "read")
    state = client.get("/v1/endpoints/indicators", headers=read).json()
    assert (state["apps"][0]["state"], state["last_push"]["pushed"]) == ("pushed", 1)
    shape = client.get("/v1/endpoints/indicators?format=api", headers=read).json()
    assert shape["Indicators"][0]["indicatorValue"] == "own.example"
    table = client.get("/v1/endpoints/indicators?format=csv", headers=read).text
    assert table.splitlines()[1].startswith("DomainName,own.example,,Block,Medium")
    cloud.throttle, cloud.retry_after = 99, "9999"
    assert client.post("/v1/endpoints/push", headers={"X-CSRF": csrf}).status_code == 502


@pytest.mark.parametrize(
    ("method", "path", "scope", "status"),
    [
        ("POST", PLACE, None, 401),
        ("POST", PLACE, "read", 401),
        ("GET", "/v1/endpoints/devices", None, 401),
        ("GET", "/v1/endpoints/devices", UPLOAD, 401),
        ("GET", "/v1/endpoints/hunt?app=own", None, 401),
        ("GET", "/v1/endpoints/devices/nobody", "read", 400),
        ("GET", "/v1/endpoints/hunt?app=nobody", "read", 400),
        ("GET", "/v1/endpoints/devices?days=8", "read", 400),
        ("POST", "/v1/endpoints/push", "read", 401),
        ("POST", PLACE, UPLOAD, 400),
    ],
)
def test_who_may_ask_what(
    client: Client, services: Services, method: str, path: str, scope: str | None, status: int
) -> None:
    headers = token(services, scope) if scope else {}
    assert client.request(method, path, headers=headers).status_code == status


def test_batches_are_bounded(client: Client, services: Services) -> None:
    up = token(services, UPLOAD)
    assert client.post(PLACE, content=b"x" * (LARGEST + 1), headers=up).status_code == 413
    assert client.post(PLACE, content=b"x", headers={**up, "Idempotency-Key": "a b"}).status_code == 400
