"""The three calls, reports over HTTP, and who may do what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from asgi_client import Client
from casb.settings import Settings
from casb.sidecar.app import build_app
from casb.sidecar.auth import digest
from casb.sidecar.services import Services
from casb.sidecar.signin import first_run_code
from casb.store.discovery_service import Discovery
from casb.store.portal_sqlite import UPLOAD
from portal_user import set_up
from sidecar_parts import TOKEN
from usage_support import squid as lines

HOST = "www.own.example"
PROXY = {"Authorization": f"Token {TOKEN}"}


@pytest.fixture
def engine(services: Services, tmp_path: Path) -> Iterator[Discovery]:
    folder = tmp_path / "policies"
    (folder / "apps").mkdir(parents=True)
    (folder / "casb.yaml").write_text("version: 1\nsuffix: casb.localhost\n")
    app = {"id": "own", "name": "=Own", "domains": ["*.own.example"], "risk_score": 6, "controlled": False}
    (folder / "apps" / "own.yaml").write_text(json.dumps(app))
    settings = Settings(suffix="casb.example", data=str(tmp_path), folder=str(folder))
    made = Discovery(settings, lambda: datetime.now(UTC), processes=1)
    yield made
    made.close()


@pytest.fixture
def client(services: Services, engine: Discovery) -> Iterator[Client]:
    opened = Client(
        build_app(replace(services, discovery=engine, clock=lambda: datetime.now(UTC))), "http://127.0.0.1:8090"
    )
    yield opened
    opened.close()


def squid(count: int, user: str = "user") -> str:
    return lines(count, host=HOST, user=user)


def put(client: Client, content: bytes, **query: str) -> str:
    known = {"filename": "a.log", "source": "SQUID_NATIVE", **query}
    place = client.get("/api/v1/discovery/upload_url/", params=known, headers=PROXY)
    assert place.status_code == 200, place.text
    url: str = place.json()["url"]
    assert client.request("PUT", urlsplit(url).path, content=content).json()["size"] == len(content)
    return url


def done(client: Client, url: str, **more: Any) -> Any:
    body = {"uploadUrl": url, "inputStreamName": "fw", **more}
    return client.post("/api/v1/discovery/done_upload/", json=body, headers=PROXY)


def reader(services: Services, scope: str = "read") -> dict[str, str]:
    services.portal.add_token(f"t-{scope}", digest(f"secret-{scope}"), scope, "grace", services.clock(), scope=scope)
    return {"Authorization": f"Bearer secret-{scope}"}


def test_three_calls_and_a_report(client: Client, services: Services, engine: Discovery) -> None:
    url = put(client, squid(30).encode())
    assert done(client, url).json()["success"] is True
    assert done(client, url).status_code == 400, "an address is good once"
    assert engine.work()
    (whole, stream) = client.get("/api/discovery/streams/", headers=PROXY).json()
    assert (whole["globalAggregated"], stream["displayName"], stream["logType"]) == (True, "fw", 155)
    read = reader(services)
    board = client.get("/v1/discovery/dashboard?days=7", headers=read).json()
    assert board["counters"]["events"] == {"value": 30, "before": 0}
    assert [each["name"] for each in board["users"]][:1] and board["apps"][0]["app"] == "own"
    assert client.get("/v1/discovery/apps/own?days=7", headers=read).json()["usage"]["users"] == 7
    users = client.get("/v1/discovery/lists/user?days=7&limit=2&sort=name&order=asc", headers=read).json()
    assert (users["total"], [row["name"] for row in users["rows"]]) == (7, ["user0", "user1"])
    assert client.get("/v1/discovery/lists/user/user0?days=7", headers=read).json()["totals"]["apps"] == 1
    table = client.get("/v1/discovery/apps?days=7&format=csv", headers=read).text
    assert "'=Own" in table
    rows = client.get("/v1/discovery/siem?days=7", headers=read).text.splitlines()
    assert json.loads(rows[0])["AppName"] == "=Own"
    classic = client.post("/api/v1/discovery/discovered_apps/", json={"timeframe": 30}, headers=read).json()
    assert classic["total"] == 1
    totals = client.post("/api/v1/discovery/discovered_apps/categories/", json={}, headers=read).json()
    assert totals == [{"id": "SAASDB_CATEGORY_UNCLASSIFIED", "total": 1}]


def test_a_repeated_hand_over_counts_once(client: Client, engine: Discovery) -> None:
    for _ in range(2):
        assert done(client, put(client, squid(10).encode()), uploadId="collector/7").status_code == 200
        while engine.work():
            pass
    assert engine.reports.counters(engine.reports.span("fw", 7))["events"]["value"] == 10


def test_a_snapshot_of_several_files(client: Client, engine: Discovery) -> None:
    urls = [put(client, squid(5, user=name).encode(), source="auto") for name in ("a", "b")]
    body = {"name": "March", "uploads": urls, "anonymize": True}
    made = client.post("/api/v1/discovery/snapshots/", json=body, headers=PROXY).json()
    assert made["ok"] and engine.work()
    task = engine.tasks.get(made["task"])
    assert task is not None and task.outcome["events"] == 10


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/discovery/upload_url/?filename=a&source=nonsense", 400),
        ("GET", "/api/v1/discovery/upload_url/?filename=a", 422),
        ("PUT", "/api/v1/discovery/upload/" + "x" * 43, 404),
        ("POST", "/api/v1/discovery/done_upload/", 400),
    ],
)
def test_what_cannot_be_taken(client: Client, method: str, path: str, status: int) -> None:
    assert client.request(method, path, headers=PROXY, content=b"{}").status_code == status


def test_too_large_and_a_full_disk(client: Client, engine: Discovery, monkeypatch: pytest.MonkeyPatch) -> None:
    from casb.store import discovery_uploads

    place = client.get("/api/v1/discovery/upload_url/?filename=a&source=auto", headers=PROXY).json()["url"]
    with monkeypatch.context() as patched:
        patched.setattr(discovery_uploads, "FREE", 2**60)
        assert client.request("PUT", urlsplit(place).path, content=b"x").status_code == 507
    assert not list((Path(engine.settings.data) / "discovery" / "uploads").iterdir())
    assert done(client, place).status_code == 409, "nothing is there"


def test_each_token_is_good_for_its_own_purpose(client: Client, services: Services) -> None:
    read, upload = reader(services), reader(services, UPLOAD)
    address = "/api/v1/discovery/upload_url/?filename=a&source=auto"
    assert client.get(address, headers=upload).status_code == 200
    assert client.get(address, headers=read).status_code == 401
    assert client.get(address).status_code == 401
    assert client.get("/v1/discovery/streams", headers=upload).status_code == 401
    assert client.get("/v1/discovery/streams", headers=read).status_code == 200
    for path in ("/v1/discovery/delete-data", "/v1/discovery/exclusions", "/v1/discovery/resolutions"):
        assert client.post(path, json={}, headers=read).status_code == 401


def test_admins_change_things_with_their_own_forms_only(client: Client, services: Services, engine: Discovery) -> None:
    code = first_run_code(services.settings, services.portal)
    assert code and set_up(client, code).status_code == 303
    entry = {"entity": "ip", "value": "192.0.2.0/24"}
    assert client.post("/v1/discovery/exclusions", json=entry).status_code == 403, "no token of the form"
    page = client.get("/access").text
    csrf = {"X-CSRF": page.partition('name="csrf" value="')[2].partition('"')[0]}
    assert client.post("/v1/discovery/exclusions", json=entry, headers=csrf).status_code == 200
    assert client.post("/v1/discovery/exclusions", json={"entity": "ip", "value": "x"}, headers=csrf).status_code == 400
    assert len(engine.book.exclusions()) == 1
    rows = [{"field": "score", "op": "lt", "values": [6]}]
    assert client.post("/v1/discovery/queries/risky", json={"rows": rows}, headers=csrf).json()["ok"]
    assert client.get("/v1/discovery/apps?query=risky").json()["apps"] == []
    assert client.get("/v1/discovery/apps?query=nothing").status_code == 400
    assert client.get("/v1/discovery/apps?sort=colour").status_code == 400
    view = {"name": "HQ", "filters": {"networks": ["192.0.2.0/24"]}}
    assert client.post("/v1/discovery/views", json=view, headers=csrf).json()["stream"]["streamType"] == 3
    assert client.post("/v1/discovery/views", json=view, headers=csrf).status_code == 400
    asked = {"pseudonyms": ["anon-u-abc"], "reason": "case 4711, works council"}
    request = client.post("/v1/discovery/resolutions", json=asked, headers=csrf).json()["request"]
    own = client.post(f"/v1/discovery/resolutions/{request['id']}/approve", json={}, headers=csrf)
    assert own.status_code == 400 and "own" in own.json()["error"]
    assert client.post("/v1/discovery/delete-data", json={}, headers=csrf).status_code == 400
    told = {"confirm": "delete all discovery data"}
    assert client.post("/v1/discovery/delete-data", json=told, headers=csrf).status_code == 200
    audit = client.get("/audit").text
    for words in ("excluded from discovery", "asked for names behind pseudonyms", "deleted all discovery data"):
        assert words in audit


def test_without_the_extra_the_sidecar_says_so(services: Services) -> None:
    opened = Client(build_app(services), "http://127.0.0.1:8090")
    assert opened.get("/api/discovery/streams/", headers=PROXY).status_code == 501
    opened.close()
