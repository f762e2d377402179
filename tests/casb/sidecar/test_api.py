"""`/v1`, called as programs call it."""

from __future__ import annotations

import orjson
import pytest

from asgi_client import Client
from casb.sidecar.services import Services
from sample_records import record, records

TOKEN = "proxy-token-" + "x" * 32
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
