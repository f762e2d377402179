"""The portal's pages of refused uploads: shown to all, changed by admins with a reason, every change audited."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from asgi_client import Client
from casb.protection.encrypt import HandOver
from casb.sidecar import passwords, quarantine
from casb.sidecar.services import Services
from casb.store.keyring import Keyring
from casb.store.quarantine_desk import Desk
from casb.store.quarantine_sqlite import row_of
from portal_user import PASSWORD, Page, csrf_in, sign_in

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
BODY = b"MZ\x90 harmful"
LINE = {
    "kind": "quarantine",
    "id": "01A",
    "time": "2026-03-02T08:00:00Z",
    "until": "2099-03-02T08:00:00Z",
    "user": "t/ada",
    "user_name": "ada@contoso.example",
    "app": "files",
    "app_name": "Company Files",
    "policy": "block-malware",
    "name": 'q3 <b>"ü.exe',
    "type": "application/x-dosexec",
    "sha256": hashlib.sha256(BODY).hexdigest(),
    "size": len(BODY),
    "failure": "",
    "facts": {
        "reasons": [{"condition": "file: {malware: true}", "fact": "<i>Eicar</i>", "policy": "block-malware"}],
        "findings": {"credit-card": 2},
        "malware": [{"engine": "hashes", "status": "infected", "threat": "Eicar", "why": ""}],
    },
}


@pytest.fixture
def desk(services: Services) -> Desk:
    data = Path(services.settings.data)
    made = Desk(services.settings, data)
    facts = HandOver(file="01A", user="t/ada")
    made.vault.keep(facts, [BODY], Keyring.load_or_create(data).wrap, os.urandom, None)
    made.rows.keep([row_of(LINE)])
    return made


def audited(services: Services) -> list[str]:
    return [each.what for each in services.portal.audit() if "quarantined" in each.what]


def test_the_pages_are_shown_and_escaped(grace: Client, desk: Desk) -> None:
    text = grace.get("/quarantine").text
    Page(text)
    assert "q3 &lt;b&gt;" in text
    text = grace.get("/quarantine/01A").text
    Page(text)
    assert "&lt;i&gt;Eicar&lt;/i&gt;" in text
    assert "credit-card (2)" in text
    assert "Download for examination" in text
    assert "No file fits" in grace.get("/quarantine?q=nothing").text
    assert "No file fits" in grace.get("/quarantine?state=expired").text
    assert grace.get("/quarantine/none").status_code == 404


def test_an_admin_examines_releases_and_deletes_it(grace: Client, services: Services, desk: Desk) -> None:
    form = {"csrf": csrf_in(grace.get("/quarantine/01A")), "file": "01A"}
    got = grace.post("/quarantine/fetch", data=form)
    assert got.content == BODY
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["content-disposition"].startswith('attachment; filename="q3__b___.exe.quarantined"')
    assert got.headers["content-length"] == str(len(BODY))
    assert grace.post("/quarantine/release", data=form).status_code == 409  # without a reason
    assert desk.need("01A").state == "kept"
    assert grace.post("/quarantine/release", data=form | {"why": "false alarm"}).status_code == 303
    assert (desk.need("01A").state, desk.need("01A").changed_by) == ("released", "grace")
    assert grace.post("/quarantine/delete", data=form | {"why": "enough"}).status_code == 303
    assert desk.need("01A").state == "deleted"
    assert not desk.vault.ids()
    assert grace.post("/quarantine/fetch", data=form).status_code == 409
    assert "enough" in grace.get("/quarantine/01A").text
    assert audited(services) == ["quarantined file deleted", "quarantined file released", "quarantined file fetched"]


@pytest.mark.parametrize("verb", ["release", "delete", "fetch"])
def test_viewers_and_strangers_change_and_fetch_nothing(
    client: Client, services: Services, desk: Desk, verb: str
) -> None:
    assert client.post(f"/quarantine/{verb}", data={"file": "01A", "why": "w"}).status_code == 303
    services.portal.add_account("vic", "viewer", passwords.hash_password(PASSWORD), services.clock())
    assert sign_in(client, "vic").status_code == 303
    page = client.get("/quarantine/01A")
    assert page.status_code == 200
    assert "/quarantine/release" not in page.text
    form = {"csrf": csrf_in(page), "file": "01A", "why": "w"}
    assert client.post(f"/quarantine/{verb}", data=form).status_code == 403
    assert desk.need("01A").state == "kept"
    assert audited(services) == []


def test_without_our_form_nothing_changes(grace: Client, desk: Desk) -> None:
    assert grace.post("/quarantine/delete", data={"file": "01A", "why": "w"}).status_code == 403
    assert desk.need("01A").state == "kept"


def test_programs_read_facts_and_never_bytes(grace: Client, desk: Desk) -> None:
    told = grace.get("/v1/quarantine?words=q3&state=kept").json()["files"]
    assert [(each["id"], each["malware"][0]["threat"]) for each in told] == [("01A", "Eicar")]
    assert grace.get("/v1/quarantine/01A").json()["file"]["state"] == "kept"
    assert grace.get("/v1/quarantine/none").status_code == 404


def test_strangers_are_shown_nothing(client: Client, desk: Desk) -> None:
    assert client.get("/v1/quarantine").status_code == 401
    assert client.get("/quarantine").status_code == 303


def test_lines_of_the_proxy_are_kept_and_failures_raise_one_alert(client: Client, services: Services) -> None:
    failed = LINE | {"id": "01B", "failure": "the quarantine is full (quarantine.limit)", "sha256": ""}
    body = b"\n".join(json.dumps(each).encode() for each in (LINE, failed, {"kind": "quarantine"}))
    headers = {"authorization": f"Bearer {services.ingest_token.reveal()}", "content-type": "application/x-ndjson"}
    for _ in range(2):
        told = client.post("/v1/records", content=body, headers=headers).json()
        assert (told["accepted"], [each["index"] for each in told["rejected"]]) == (2, [2])
    rows = Desk(services.settings, Path(services.settings.data)).rows
    assert {each.id: each.state for each in rows.search()} == {"01A": "kept", "01B": "failed"}
    alerts = services.alerts.query(kind="system")
    assert [(each.title, each.count) for each in alerts] == [("A refused file could not be kept in quarantine", 1)]


def test_tidying_tells_of_missing_files(services: Services, desk: Desk) -> None:
    desk.vault.delete("01A")
    quarantine.tidy(services, services.clock() - timedelta(days=90))
    assert [each.title for each in services.alerts.query(kind="system")] == ["A file is missing from the quarantine"]
