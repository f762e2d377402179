"""`/v1`, called as programs call it."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import orjson
import pytest

from asgi_client import Client
from casb.errors import PolicyError, Where
from casb.model.decision import Action
from casb.sidecar.auth import digest
from casb.sidecar.deployment import FileView
from casb.sidecar.services import Services
from casb.store.portal_sqlite import VIEWER
from portal_user import csrf_in, sign_in
from sample_records import record, records
from sidecar_parts import TOKEN, FixedDeployment

PROXY = {"Authorization": f"Bearer {TOKEN}"}


def ndjson(count: int) -> bytes:
    return b"".join(orjson.dumps(each) + b"\n" for each in records(count))


def test_records_are_accepted_once(client: Client, services: Services) -> None:
    first = client.post("/v1/records", content=ndjson(20), headers=PROXY)
    assert (first.status_code, first.json()) == (
        200,
        {"ok": True, "accepted": 20, "duplicates": 0, "rejected": []},
    )
    again = client.post("/v1/records", content=ndjson(21) + b"{}\n", headers=PROXY).json()
    assert (again["accepted"], again["duplicates"], again["rejected"][0]["index"]) == (1, 20, 21)
    assert services.records.get(record(20)["id"]) == record(20)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"Authorization": "Bearer wrong"}, id="wrong"),
        pytest.param({"Authorization": f"Basic {TOKEN}"}, id="another scheme"),
        pytest.param({"Authorization": "Bearer "}, id="empty"),
        pytest.param({"Authorization": f"Bearer {TOKEN}x"}, id="longer"),
        pytest.param({"Authorization": f"Bearer {TOKEN[:-1]}"}, id="shorter"),
        pytest.param({"Authorization": b"Bearer \xff\xfe"}, id="bytes"),
    ],
)
def test_only_the_proxy_hands_over_records(client: Client, services: Services, headers: dict[str, str]) -> None:
    response = client.post("/v1/records", content=ndjson(1), headers=headers)
    assert response.status_code == 401
    assert response.json()["status"] == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert services.records.total() == 0


def test_too_many_records(client: Client) -> None:
    response = client.post("/v1/records", content=b"{}\n" * 5001, headers=PROXY)
    assert (response.status_code, response.json()["ok"]) == (413, False)


def test_a_store_that_is_away_answers_503_and_keeps_nothing(client: Client, services: Services) -> None:
    services.records.close()
    response = client.post("/v1/records", content=ndjson(2), headers=PROXY)
    assert (response.status_code, response.json()["ok"]) == (503, False)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"name": 1}', b'{"name": ""}', b"{"])
def test_a_status_that_is_none(client: Client, body: bytes) -> None:
    assert client.post("/v1/proxy-status", content=body, headers=PROXY).status_code == 400


def test_a_heartbeat_is_kept(client: Client, services: Services) -> None:
    assert client.post("/v1/proxy-status", json={"name": "edge", "workers": 2}, headers=PROXY).json() == {"ok": True}
    assert [(each.name, each.facts["workers"]) for each in services.portal.statuses()] == [("edge", 2)]


# Reading


@pytest.fixture
def token(services: Services) -> dict[str, str]:
    services.portal.add_token("t1", digest("read-token"), "SIEM", "grace", services.clock())
    return {"Authorization": "Bearer read-token"}


READ = ["/v1/activities", "/v1/activities/export", "/v1/activities/x", "/v1/apps", "/v1/policies"]


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("headers", [{}, PROXY, {"Authorization": "Bearer read-toke"}])
def test_reading_takes_a_session_or_a_read_token(client: Client, path: str, headers: dict[str, str]) -> None:
    response = client.get(path, headers=headers)
    assert (response.status_code, response.json()["ok"]) == (401, False)


def test_a_read_token_reads_and_nothing_else(client: Client, services: Services, token: dict[str, str]) -> None:
    services.records.append(records(3))
    assert [each["id"] for each in client.get("/v1/activities", headers=token).json()["records"]] == [
        record(number)["id"] for number in (2, 1, 0)
    ]
    assert client.post("/v1/records", content=b"{}", headers=token).status_code == 401
    assert client.get("/", headers=token).status_code == 303


def test_pages_and_filters(client: Client, services: Services, token: dict[str, str]) -> None:
    services.records.append(records(30))
    first = client.get("/v1/activities?limit=20", headers=token).json()
    rest = client.get("/v1/activities", params={"limit": "20", "cursor": first["cursor"]}, headers=token).json()
    assert [each["id"] for each in first["records"] + rest["records"]] == [
        record(number)["id"] for number in reversed(range(30))
    ]
    assert rest["cursor"] is None
    both = client.get("/v1/activities?action=block&action=audit", headers=token).json()["records"]
    assert {each["action"] for each in both} == {"block", "audit"}


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ("colour=red", 400, "there is no filter 'colour'"),
        ("from=yesterday", 400, "RFC 3339"),
        ("cursor=x", 400, "cursor"),
        ("limit=0", 422, "greater than or equal to 1"),
        ("limit=x", 422, "integer"),
    ],
)
def test_errors_have_one_shape(client: Client, token: dict[str, str], query: str, status: int, told: str) -> None:
    response = client.get(f"/v1/activities?{query}", headers=token)
    body = response.json()
    assert (response.status_code, body["ok"], body["status"]) == (status, False, status)
    assert told in body["error"]
    assert body["errors"]


def test_one_activity(client: Client, services: Services, token: dict[str, str]) -> None:
    services.records.append([record(1)])
    assert client.get(f"/v1/activities/{record(1)['id']}", headers=token).json() == {"ok": True, "record": record(1)}
    assert client.get("/v1/activities/nothing", headers=token).status_code == 404


@pytest.mark.parametrize("form", ["csv", "json", "ndjson"])
def test_exports_are_complete_named_and_audited(
    client: Client, services: Services, token: dict[str, str], form: str
) -> None:
    services.records.append(records(700))
    response = client.get(f"/v1/activities/export?format={form}&app=files", headers=token)
    files = [each for each in records(700) if each["app"]["id"] == "files"]
    assert f'filename="activities-20260302-120000.{form}"' in response.headers["content-disposition"]
    if form == "csv":
        assert len(list(csv.reader(io.StringIO(response.text)))) == len(files) + 1
    elif form == "json":
        assert response.json() == files[::-1]
    else:
        assert [orjson.loads(line) for line in response.content.splitlines()] == files[::-1]
    entry = services.portal.audit()[0]
    assert (entry.who, entry.what, entry.detail["format"]) == ("token SIEM", "exported activities", form)


def test_a_wrong_export_is_told_before_it_begins(client: Client, token: dict[str, str]) -> None:
    assert client.get("/v1/activities/export?from=x", headers=token).status_code == 400
    assert client.get("/v1/activities/export?format=xml", headers=token).status_code == 422


def test_apps(client: Client, services: Services, token: dict[str, str]) -> None:
    services.records.append([*records(10), {**record(99), "app": {"id": "old", "name": "Old"}}])
    files, _, old = client.get("/v1/apps", headers=token).json()["apps"]
    assert files["addresses"] == ["https://files.contoso.example.casb.example:8443/"]
    assert files["activities_7d"] == sum(each["app"]["id"] == "files" for each in records(10))
    assert (old["id"], old["configured"], old["activities"]) == ("old", False, 1)


def test_policies(client: Client, services: Services, deployment: FixedDeployment, token: dict[str, str]) -> None:
    services.records.append([record(1, action=Action.BLOCK)])
    services.portal.put_status("edge", {"versions": ["3f2a"]}, services.clock())
    answer = client.get("/v1/policies", headers=token).json()
    assert (answer["valid"], answer["version"], answer["in_force"]) == (True, "3f2a91c0", {"edge": ["3f2a"]})
    assert answer["policies"][0]["hits_7d"] == 1
    error = PolicyError("P013", "unknown condition", Where(file="policies/a.yaml", line=9, column=16), "try tag")
    broken = FileView(name="policies/a.yaml", errors=(error,))
    deployment.present = replace(deployment.present, version=None, files=(broken,))
    answer = client.get("/v1/policies", headers=token).json()
    assert (answer["valid"], answer["version"]) == (False, None)
    assert answer["errors"] == [
        {
            "code": "P013",
            "message": "unknown condition",
            "hint": "try tag",
            "file": "policies/a.yaml",
            "line": 9,
            "column": 16,
        }
    ]


def test_the_description_names_every_path(client: Client) -> None:
    paths = client.get("/v1/openapi.json").json()["paths"]
    assert {"/v1/records", "/v1/activities", "/v1/activities/{record_id}", "/v1/activities/export"} <= set(paths)
    assert not any(path.startswith(("/sign", "/access", "/auth")) for path in paths)


def test_a_viewer_reads_with_the_session(grace: Client, services: Services) -> None:
    form = {"csrf": csrf_in(grace.get("/access")), "name": "vic", "role": VIEWER}
    word = "another long password"
    assert grace.post("/access/accounts", data={**form, "password": word, "again": word}).status_code == 303
    grace.cookies.clear()
    assert sign_in(grace, "vic", word).status_code == 303
    assert grace.get("/v1/activities").json()["ok"] is True
