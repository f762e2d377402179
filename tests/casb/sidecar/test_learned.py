"""The portal's page of unknown hosts: shown to all, attached by admins, exported."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from asgi_client import Client
from casb.sidecar.app import build_app
from casb.sidecar.services import Services
from casb.store.learned_sqlite import LearnedHost, LearnedHosts
from portal_user import PASSWORD, Page, csrf_in, sign_in
from sample_records import FILES

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
FOUND = LearnedHost(
    app=FILES.id, host="cdn.test.example", first=START, last=START, count=7, page="p/<b>", kinds=frozenset({"image"})
)


@pytest.fixture
def folder(tmp_path: Path, services: Services) -> Path:
    made = tmp_path / "config"
    (made / "apps").mkdir(parents=True)
    (made / "casb.yaml").write_text("suffix: casb.example\n")
    (made / "apps/files.yaml").write_text(f"id: {FILES.id}\nname: F  # kept\ndomains: [files.test.example]\n")
    LearnedHosts(tmp_path).add([FOUND, replace(FOUND, host=FILES.domains[0].removeprefix("*."))])
    return made


@pytest.fixture
def ada(services: Services, folder: Path, grace: Client) -> Client:
    """The same person at a portal that knows its folder."""
    opened = Client(
        build_app(replace(services, settings=replace(services.settings, folder=str(folder)))), "http://127.0.0.1:8090"
    )
    assert sign_in(opened, "grace", PASSWORD).status_code == 303
    return opened


def test_what_nobody_owns_is_shown_and_escaped(ada: Client) -> None:
    text = ada.get("/learned").text
    Page(text)
    assert "cdn.test.example" in text and "p/&lt;b&gt;" in text
    assert text.count('<form method="post" action="/learned/attach">') == 1


def test_it_is_attached_noted_and_the_comment_stays(ada: Client, services: Services, folder: Path) -> None:
    form = {"csrf": csrf_in(ada.get("/learned")), "host": "cdn.test.example", "app": FILES.id}
    assert ada.post("/learned/attach", data=form).status_code == 303
    text = (folder / "apps/files.yaml").read_text()
    assert text == f"id: {FILES.id}\nname: F  # kept\ndomains: [files.test.example, cdn.test.example]\n"
    noted = services.portal.audit()[0]
    assert (noted.who, noted.what, noted.detail["host"]) == ("grace", "host attached", "cdn.test.example")


def test_what_cannot_be_is_told(ada: Client, folder: Path) -> None:
    before = (folder / "apps/files.yaml").read_text()
    form = {"csrf": csrf_in(ada.get("/learned")), "host": "*.com", "app": FILES.id}
    answer = ada.post("/learned/attach", data=form)
    assert (answer.status_code, "C112" in answer.text) == (409, True)
    assert (folder / "apps/files.yaml").read_text() == before


def test_export(ada: Client) -> None:
    answer = ada.get("/learned/export.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.splitlines()[1].startswith("cdn.test.example,")


def test_strangers_see_nothing(client: Client) -> None:
    for path in ("/learned", "/learned/export.csv"):
        assert client.get(path, headers={"accept": "text/html"}).status_code in (303, 307, 401)
    assert client.post("/learned/attach", data={"host": "a.b"}).status_code in (303, 401, 403)
