"""Failures as answers: JSON for programs, pages for people, and nothing of our insides in either."""

from __future__ import annotations

import pytest

from asgi_client import Client
from casb.errors import StoreError
from casb.sidecar import api
from casb.sidecar.services import Services
from casb.store.records_sqlite import SqliteRecords
from sidecar_parts import TOKEN

PAGE = {"accept": "text/html,*/*"}
PROXY = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("path", "headers", "kind"),
    [
        ("/nothing", PAGE, "text/html"),
        ("/nothing", {}, "application/json"),
        ("/v1/nothing", PAGE, "application/json"),
    ],
)
def test_who_asks_gets_what_they_read(client: Client, path: str, headers: dict[str, str], kind: str) -> None:
    response = client.get(path, headers=headers)
    assert response.status_code == 404
    assert response.headers["content-type"].startswith(kind)
    if kind == "application/json":
        assert response.json() == {"ok": False, "error": "Not Found", "errors": ["Not Found"], "status": 404}


def test_a_bug_tells_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("an inner secret")

    monkeypatch.setattr(api, "take", broken)
    response = client.post("/v1/records", content=b"{}", headers=PROXY)
    assert (response.status_code, response.json()["ok"]) == (500, False)
    assert "secret" not in response.text
    assert "content-security-policy" in response.headers


def test_a_store_that_is_away_is_a_page_too(grace: Client, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise StoreError("S024", "inner detail")

    monkeypatch.setattr(SqliteRecords, "query", broken)
    response = grace.get("/activities", headers=PAGE)
    assert response.status_code == 503
    assert "store is away" in response.text
    assert "inner detail" not in response.text
    assert grace.get("/activities?from=x").status_code == 503


def test_methods_that_are_not_there(client: Client) -> None:
    assert client.get("/v1/records", headers=PROXY).status_code == 405
    assert client.request("PUT", "/v1/activities").status_code == 405
    assert client.request("DELETE", "/v1/activities/x").status_code == 405
