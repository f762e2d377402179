"""The portal's pages on requests for exceptions: read, allowed, refused, ended, audited."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from asgi_client import Client
from casb.sidecar import requests
from casb.sidecar.app import build_app
from casb.sidecar.services import Services
from casb.sidecar.signin import first_run_code
from casb.store import exceptions
from portal_user import csrf_in, set_up
from sample_records import record


def asked(services: Services, identifier: str, **request: Any) -> dict[str, Any]:
    told = record(1, services.clock() - timedelta(minutes=5))
    wants = {"refused": "01REFUSED", "file": "pay<b>roll.xlsx", "hours": 24, "text": "<i>auditor</i>", **request}
    return told | {
        "id": identifier,
        "source": "access request",
        "action": "audit",
        "policy": "no-payroll",
        "matched": [],
        "message": requests.MARK,
        "extra": {"request": wants},
    }


@pytest.fixture
def portal(services: Services, tmp_path: Path) -> Iterator[tuple[Client, Services]]:
    folder = tmp_path / "config"
    folder.mkdir()
    tmp_path.chmod(0o700)
    made = replace(services, settings=replace(services.settings, folder=str(folder)))
    made.records.append([asked(made, "01FIRST"), asked(made, "01SECOND", file=""), record(3, made.clock())])
    client = Client(build_app(made), "http://127.0.0.1:8090")
    code = first_run_code(made.settings, made.portal)
    assert code
    set_up(client, code)
    yield client, made
    client.close()


def test_requests_are_shown_and_nothing_in_them_is_markup(portal: tuple[Client, Services]) -> None:
    client, _ = portal
    page = client.get("/requests").text
    assert "pay&lt;b&gt;roll.xlsx" in page and "&lt;i&gt;auditor&lt;/i&gt;" in page
    assert page.count(">waiting<") == 2
    assert "asks for 24 h" in page


def test_allowing_makes_a_signed_file(portal: tuple[Client, Services]) -> None:
    client, services = portal
    form = {"csrf": csrf_in(client.get("/requests")), "answer": "approve", "hours": "8"}
    assert client.post("/requests/01FIRST", data=form).status_code == 303
    folder, data = Path(services.settings.folder), Path(services.settings.data)
    (grant,) = requests.in_force(folder, data, services.clock()).grants
    assert (grant.policy, grant.file, grant.request) == ("no-payroll", "pay<b>roll.xlsx", "01FIRST")
    assert grant.approved_by == "grace"
    assert grant.until == services.clock() + timedelta(hours=8)
    page = client.get("/requests").text
    assert ">approved<" in page and "x-01first" in page
    noted = services.portal.audit(limit=1)[0]
    assert (noted.who, noted.what, noted.detail["exception"]) == ("grace", "exception approved", "x-01first")

    ended = {"csrf": csrf_in(client.get("/requests")), "exception": "x-01first"}
    assert client.post("/requests/revoke", data=ended).status_code == 303
    assert not requests.in_force(folder, data, services.clock()).grants
    assert services.portal.audit(limit=1)[0].what == "exception revoked"


def test_refusing_is_remembered_with_its_note(portal: tuple[Client, Services]) -> None:
    client, services = portal
    form = {"csrf": csrf_in(client.get("/requests")), "answer": "deny", "note": "ask your manager", "hours": "1"}
    assert client.post("/requests/01SECOND", data=form).status_code == 303
    assert exceptions.denials(Path(services.settings.data))["01SECOND"].note == "ask your manager"
    assert ">denied<" in client.get("/requests").text


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("/requests/01FIRST", {"answer": "approve", "hours": "0"}, 422),
        ("/requests/01FIRST", {"answer": "approve", "hours": "never"}, 422),
        ("/requests/01NOTHING", {"answer": "approve", "hours": "1"}, 404),
        ("/requests/revoke", {"exception": "../casb"}, 404),
        ("/requests/01FIRST", {"answer": "approve", "hours": "1", "csrf": "0" * 64}, 403),
    ],
)
def test_what_is_refused(portal: tuple[Client, Services], path: str, form: dict[str, str], status: int) -> None:
    client, services = portal
    given = {"csrf": csrf_in(client.get("/requests")), **form}
    assert client.post(path, data=given).status_code == status
    assert not exceptions.documents(Path(services.settings.folder))


def test_appeals_count_against_the_budget(portal: tuple[Client, Services]) -> None:
    _, services = portal
    since = services.clock() - timedelta(days=1)
    spent = services.records.spent("no-payroll", [], ["download", "upload", "view", "logon"], since)
    assert (spent.appeals, spent.refused) == (2, 0)
