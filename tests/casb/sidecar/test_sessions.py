"""Ending sessions from the portal and by API: admins alone, audited, heard by whoever holds the store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from asgi_client import Client
from casb.settings import Provider
from casb.sidecar.app import build_app
from casb.sidecar.services import Services
from casb.store.sessions_sqlite import SqliteSessions
from portal_user import PASSWORD, csrf_in, sign_in

NAME = "name:entra\0ada@contoso.example"


@pytest.fixture
def portal(services: Services, grace: Client) -> Client:
    """An admin at the portal of a deployment with a provider."""
    settings = replace(services.settings, providers=(Provider(id="entra"),))
    opened = Client(build_app(replace(services, settings=settings)), "http://127.0.0.1:8090")
    assert sign_in(opened, "grace", PASSWORD).status_code == 303
    return opened


def sessions_in(tmp_path: Path, *, drop: str = "") -> int:
    """How many of three sessions are there."""

    async def work() -> int:
        store = SqliteSessions(tmp_path)
        if drop == "fill":
            for key, index in ((b"a", NAME), (b"b", "session:s1"), (b"c", "app:files"), (b"d", "user:t/o")):
                await store.put("login", key, b"1", ttl=60, indexes=[index])
        found = [await store.get("login", key) for key in (b"a", b"b", b"c", b"d")]
        store.close()
        return len([each for each in found if each])

    return asyncio.run(work())


@pytest.mark.parametrize(
    ("body", "ended"),
    [
        ({"user": "Ada@contoso.example"}, 1),
        ({"user": "t/o"}, 1),
        ({"session": "s1"}, 1),
        ({"app": "files"}, 1),
        ({"app": "nothing"}, 0),
    ],
)
def test_an_admin_ends_sessions_by_api(portal: Client, tmp_path: Path, body: dict[str, str], ended: int) -> None:
    assert sessions_in(tmp_path, drop="fill") == 4
    page = portal.get("/sessions")
    answer = portal.post("/v1/sessions/revoke", json=body, headers={"x-csrf": csrf_in(page)})
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "ended": ended})
    assert sessions_in(tmp_path) == 4 - ended
    assert "sessions revoked" in portal.get("/audit").text


@pytest.mark.parametrize("body", [{}, {"user": ""}, {"user": "a", "app": "b"}, {"user": 7}, {"all": "x"}])
def test_what_is_not_said_ends_nothing(portal: Client, tmp_path: Path, body: dict[str, object]) -> None:
    assert sessions_in(tmp_path, drop="fill") == 4
    page = portal.get("/sessions")
    answer = portal.post("/v1/sessions/revoke", json=body, headers={"x-csrf": csrf_in(page)})
    assert answer.status_code == 422
    assert sessions_in(tmp_path) == 4


def test_an_admin_ends_sessions_in_the_portal(portal: Client, tmp_path: Path) -> None:
    sessions_in(tmp_path, drop="fill")
    page = portal.get("/sessions")
    form = {"csrf": csrf_in(page), "what": "user", "value": "ada@contoso.example"}
    done = portal.post("/sessions/revoke", data=form)
    assert "Ended: user ada@contoso.example." in done.text
    assert "There is no live session" in portal.post("/sessions/revoke", data=form).text
    assert portal.post("/sessions/revoke", data={**form, "csrf": "x"}).status_code == 403
    assert sessions_in(tmp_path) == 3


def test_nobody_else_ends_sessions(services: Services, tmp_path: Path) -> None:
    sessions_in(tmp_path, drop="fill")
    stranger = Client(build_app(services), "http://127.0.0.1:8090")
    assert stranger.post("/v1/sessions/revoke", json={"session": "s1"}).status_code in (401, 403)
    assert stranger.post("/sessions/revoke", data={"what": "session", "value": "s1"}).status_code in (303, 401, 403)
    assert sessions_in(tmp_path) == 4
