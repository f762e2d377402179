"""Tags and block lists over HTTP: who may, what is refused, what gateways fetch, and that the tags are published."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from asgi_client import Client
from casb.model.app import AppTag
from casb.settings import Listeners
from casb.sidecar.app import build_app
from casb.sidecar.auth import digest
from casb.sidecar.services import Services
from casb.sidecar.signin import first_run_code
from casb.store import tag_file
from casb.store.app_catalog import AppCatalog
from casb.store.portal_sqlite import FEED, READ, UPLOAD
from catalog_support import app, known
from portal_user import csrf_in, set_up

APPS = known(
    app("mega", "mega.example", "*.mega.example"),
    app("docs", "docs.mega.example"),
    app("box", "box.example", soc_2=True),
    app("sso", "casb.example", category="security"),
)


@dataclass
class Desk:
    """An admin signed in, and programs with tokens."""

    client: Client
    services: Services
    catalog: AppCatalog
    csrf: str = ""

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        return self.client.request(method, path, content=json.dumps(body or {}), headers={"x-csrf": self.csrf})

    def tag(self, *apps: str, **what: Any) -> httpx.Response:
        return self.send("POST", "/v1/catalog/tags", {"apps": list(apps), **what})

    def token(self, scope: str) -> str:
        token = f"casb_{scope}"
        self.services.portal.add_token(scope, digest(token), scope, "grace", self.services.clock(), scope=scope)
        return token


@pytest.fixture
def desk(services: Services) -> Iterator[Desk]:
    settings = replace(services.settings, listeners=Listeners(forward="127.0.0.1:8080"))
    catalog = AppCatalog(services.portal._database, APPS, settings, services.clock)
    opened = replace(services, catalog=catalog, settings=settings)
    client = Client(build_app(opened), "http://127.0.0.1:8090")
    code = first_run_code(opened.settings, opened.portal)
    assert code
    set_up(client, code)
    yield Desk(client, opened, catalog, csrf_in(client.get("/access")))
    client.close()


def test_a_tag_is_audited_and_published(desk: Desk) -> None:
    got = desk.tag("mega", tag="unsanctioned", why="use Box")
    assert (got.status_code, got.json()["apps"][0]["tags"]) == (200, ["unsanctioned"])
    assert desk.catalog.entry("mega").tag is AppTag.UNSANCTIONED
    tags = tag_file.read(Path(desk.services.settings.data) / tag_file.FILE)
    assert [(each.id, each.tag.value) for each in tags.apps] == [("mega", "unsanctioned"), ("docs", "none")]
    entry = desk.services.portal.audit(limit=1)[0]
    assert (entry.who, entry.ip) == ("grace", "127.0.0.1")
    assert entry.detail["app"] == "mega"
    assert desk.client.get("/v1/catalog/tags").json()["tags"][1] == {"name": "unsanctioned", "apps": 1, "about": ""}


def test_many_at_once_by_a_search_and_by_custom_tags(desk: Desk) -> None:
    assert desk.send("POST", "/v1/catalog/tags/Finance", {"about": "money"}).json() == {"ok": True, "name": "Finance"}
    rows = [{"field": "category", "operator": "equals", "values": ["cloud_storage"]}]
    got = desk.send("POST", "/v1/catalog/tags", {"where": rows, "tag": "monitored", "add": ["Finance"]})
    assert {each["id"] for each in got.json()["apps"]} == {"mega", "docs", "box"}
    assert all(each["tags"] == ["Finance", "monitored"] for each in got.json()["apps"])
    assert desk.send("DELETE", "/v1/catalog/tags/Finance").status_code == 409, "while apps have it"
    assert desk.send("DELETE", "/v1/catalog/tags/Finance?everywhere=true").status_code == 200
    assert desk.tag("box", tag="none").json()["apps"][0]["tags"] == []


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({"apps": ["nothing"], "tag": "sanctioned"}, 404, "no such app"),
        ({"apps": ["mega", "nothing"], "tag": "unsanctioned"}, 404, "all or none"),
        ({"apps": ["sso"], "tag": "unsanctioned"}, 409, "protected"),
        ({"apps": ["mega"], "tag": "banned"}, 422, "no such tag"),
        ({"apps": ["mega"], "tag": "unsanctioned", "profile": "nobody"}, 404, "no such profile"),
        ({"apps": "mega", "tag": "sanctioned"}, 422, "no list"),
        ({"tag": "sanctioned"}, 422, "no apps"),
        ({"apps": ["mega"], "where": [{"field": "risk"}], "tag": "none"}, 422, "two ways to say which"),
        (
            {"where": [{"field": "nothing", "operator": "equals", "values": ["x"]}], "tag": "none"},
            422,
            "no such filter",
        ),
        ({"apps": ["mega"], "add": ["Unheard"]}, 404, "no such custom tag"),
    ],
)
def test_what_is_refused_changes_nothing(desk: Desk, body: dict[str, Any], status: int, why: str) -> None:
    before = desk.catalog.store.version()
    assert desk.send("POST", "/v1/catalog/tags", body).status_code == status, why
    assert desk.catalog.store.version() == before


def test_only_admins_change(desk: Desk) -> None:
    body = json.dumps({"apps": ["mega"], "tag": "unsanctioned"})
    assert desk.client.post("/v1/catalog/tags", content=body).status_code == 403, "without the form token"
    desk.client.cookies.clear()
    token = {"authorization": f"Bearer {desk.token(READ)}"}
    assert desk.client.post("/v1/catalog/tags", content=body, headers=token).status_code == 401
    assert desk.client.get("/v1/catalog/tags", headers=token).status_code == 200


def test_profiles_and_the_protected_list(desk: Desk) -> None:
    assert desk.send("POST", "/v1/catalog/profiles/sales", {"include": ["sales"]}).status_code == 200
    assert desk.tag("mega", tag="unsanctioned", profile="sales").status_code == 200
    assert desk.send("DELETE", "/v1/catalog/profiles/sales").status_code == 409
    assert desk.client.get("/v1/block-lists/domains").text == "", "blocked for some only"
    assert desk.tag("mega", tag="unsanctioned").status_code == 200
    assert desk.send("DELETE", "/v1/catalog/profiles/sales").status_code == 200
    assert desk.client.get("/v1/block-lists/hosts").text.startswith("0.0.0.0 mega.example\n")
    assert desk.send("POST", "/v1/catalog/protected", {"host": "mega.example"}).status_code == 200
    assert "0.0.0.0 mega.example\n" not in desk.client.get("/v1/block-lists/hosts").text
    assert desk.send("POST", "/v1/catalog/protected", {"host": "casb.example", "on": False}).status_code == 409


@pytest.mark.parametrize("asked", ["format=108", "format=FORTIGATE", "format=fortigate&type=banned"])
def test_a_block_script_as_the_reference_product_gives_it(desk: Desk, asked: str) -> None:
    desk.tag("mega", tag="unsanctioned")
    got = desk.client.get(f"/api/discovery_block_scripts/?{asked}")
    assert got.headers["content-disposition"] == 'attachment; filename="2026-03-02_CAS_Fortigate_block_script.txt"'
    assert 'set fqdn "mega.example"' in got.text
    again = desk.client.get(f"/api/discovery_block_scripts/?{asked}", headers={"if-none-match": got.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_unknown_formats_and_types(desk: Desk) -> None:
    assert desk.client.get("/api/discovery_block_scripts/?format=103&type=banned").status_code == 404
    assert desk.client.get("/api/discovery_block_scripts/?format=108&type=allowed").status_code == 422
    assert desk.client.get("/v1/feeds/nobody").status_code == 404


def test_gateways_fetch_with_a_token_of_their_own(desk: Desk) -> None:
    desk.tag("mega", "box", tag="unsanctioned")
    tokens = {scope: desk.token(scope) for scope in (READ, FEED, UPLOAD)}
    desk.client.cookies.clear()
    basic = base64.b64encode(f"zscaler:{tokens[FEED]}".encode()).decode()
    for header in (f"Bearer {tokens[FEED]}", f"Token {tokens[FEED]}", f"Basic {basic}", f"Bearer {tokens[READ]}"):
        got = desk.client.get("/v1/feeds/zscaler", headers={"authorization": header})
        assert got.text == "box.example\nmega.example\n", header
    for header in ("", f"Bearer {tokens[UPLOAD]}", "Basic !", "Basic eDp5", "Token", "Bearer x"):
        got = desk.client.get("/v1/feeds/zscaler", headers={"authorization": header})
        assert got.status_code == 401, header
    feed = {"authorization": f"Bearer {tokens[FEED]}"}
    assert desk.client.get("/v1/catalog/tags", headers=feed).status_code == 401, "a feed token reads nothing else"
    whole = desk.client.get("/v1/feeds/IBOSS?format=json", headers=feed).json()
    assert (whole["poll_seconds"], whole["domains"]) == (600, ["box.example"])
    assert whole["left_out"][0]["pattern"] == "*.mega.example"
    assert whole["apps"][0]["id"] == "box"
    feeds = desk.client.get("/v1/feeds", headers={"authorization": f"Bearer {tokens[READ]}"}).json()["feeds"]
    assert [each["name"] for each in feeds] == ["zscaler", "iboss", "menlo", "corrata", "open-systems"]


def test_the_pac_file_learns_tagged_hosts(desk: Desk) -> None:
    assert "mega.example" not in desk.client.get("/proxy.pac").text
    desk.tag("mega", tag="unsanctioned")
    text = desk.client.get("/proxy.pac").text
    assert '"mega.example": 1' in text
    assert '"docs.mega.example": 0' in text


def test_without_a_catalog_nothing_is_served(grace: Client) -> None:
    assert grace.get("/v1/catalog/tags").status_code == 503
    assert grace.get("/proxy.pac").status_code == 200


def test_strangers_learn_nothing(client: Client) -> None:
    """Neither with a catalog nor without one: who asks comes first."""
    reading = ("/v1/catalog/tags", "/v1/block-lists", "/v1/feeds", "/v1/feeds/zscaler", "/v1/block-lists/rpz")
    for path in (*reading, "/api/discovery_block_scripts/?format=108"):
        assert client.get(path).status_code == 401, path
    changing = ("tags", "tags/Finance", "profiles/sales", "protected")
    for path in changing:
        assert client.post(f"/v1/catalog/{path}", content="{}").status_code == 401, path
    for path in changing[1:3]:
        assert client.request("DELETE", f"/v1/catalog/{path}").status_code == 401, path
