"""The portal's page of protected files: shown to all, revoked by admins, every change audited."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from asgi_client import Client
from casb.protection.encrypt import HandOver
from casb.sidecar.services import Services
from casb.store.protected_sqlite import ProtectedFiles, line_of, row_of
from portal_user import Page, csrf_in

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
FILE = "0123456789abcdef0123456789abcdef"
LINE = line_of(
    HandOver(file=FILE, user="t/ada", user_name="ada@contoso.example", name="q3 <b>.xlsx", app="files", policy="p"),
    "office",
    NOW,
    key_id="k",
    secret=b"wrapped",
)


@pytest.fixture
def files(services: Services) -> ProtectedFiles:
    made = ProtectedFiles(services.settings.data)
    made.keep([row_of(LINE)])
    return made


def test_the_page_is_shown_and_escaped(grace: Client, files: ProtectedFiles) -> None:
    text = grace.get("/protected").text
    Page(text)
    assert "q3 &lt;b&gt;.xlsx" in text
    assert "ada@contoso.example" in text
    assert "No protected file fits" in grace.get("/protected?q=nothing").text


def test_an_admin_revokes_restores_and_ends_it(grace: Client, services: Services, files: ProtectedFiles) -> None:
    form = {"csrf": csrf_in(grace.get("/protected")), "file": FILE}
    assert grace.post("/protected/revoke", data=form).status_code == 303
    found = files.get(FILE)
    assert found is not None
    assert (found.standing.revoked, found.revoked_by) == (True, "grace")
    assert "revoked" in grace.get("/protected").text
    assert grace.post("/protected/restore", data=form).status_code == 303
    assert grace.post("/protected/expire", data=form | {"when": "2026-06-30T18:00"}).status_code == 303
    found = files.get(FILE)
    assert found is not None
    assert found.standing.expires == datetime(2026, 6, 30, 18, tzinfo=UTC)
    assert grace.post("/protected/expire", data=form | {"when": "soon"}).status_code == 422
    noted = [each.what for each in services.portal.audit() if each.what.startswith("protected")]
    assert noted == ["protected file expires", "protected file restored", "protected file revoked"]


def test_without_our_form_nothing_changes(grace: Client, files: ProtectedFiles) -> None:
    assert grace.post("/protected/revoke", data={"file": FILE}).status_code == 403
    found = files.get(FILE)
    assert found is not None
    assert not found.standing.revoked


def test_strangers_are_shown_nothing(client: Client, files: ProtectedFiles) -> None:
    assert client.get("/protected").status_code == 303
    assert client.get("/v1/protected").status_code == 401


def test_programs_read_it_without_secrets(grace: Client, files: ProtectedFiles) -> None:
    answer = grace.get("/v1/protected?words=q3")
    assert [each["id"] for each in answer.json()["files"]] == [FILE]
    assert "wrapped" not in answer.text
    assert "secret" not in answer.text
    assert grace.get(f"/v1/protected/{FILE}").json()["file"]["format"] == "office"
    assert grace.get("/v1/protected/none").status_code == 404


def test_a_line_of_the_proxy_is_kept(client: Client, services: Services) -> None:
    body = b"\n".join(
        json.dumps(each).encode()
        for each in (LINE, {"kind": "opened", "id": "o1", "file": FILE}, {"kind": "protected"})
    )
    headers = {"authorization": f"Bearer {services.ingest_token.reveal()}", "content-type": "application/x-ndjson"}
    told = client.post("/v1/records", content=body, headers=headers).json()
    assert (told["accepted"], [each["index"] for each in told["rejected"]]) == (2, [2])
    found = ProtectedFiles(services.settings.data).get(FILE)
    assert found is not None
    assert found.opened == 1
