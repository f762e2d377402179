"""The catalog's pages."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_client import Client
from casb.catalog.metrics import DEFAULTS
from casb.sidecar.services import Services
from portal_user import Page, csrf_in


def send(client: Client, path: str, **fields: Any) -> Any:
    csrf = csrf_in(client.get("/catalog/custom"))
    return client.post(f"/catalog/{path}", data={"csrf": csrf, **fields})


@pytest.mark.parametrize("path", ["", "/custom", "/tags", "/suggestions", "/import", "/metrics"])
def test_pages(portal: Client, viewer: Client, path: str) -> None:
    for client in (portal, viewer):
        page = client.get(f"/catalog{path}")
        assert page.status_code == 200
        Page(page.text)


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("app=dropbox.com", 200, "Dropbox"),
        ("category=generative_ai&sort=score&order=desc", 200, "ChatGPT"),
        ("query=risky_storage", 200, "Cloud storage"),
        ("risk=high&low=0&high=3", 200, "risk-high"),
        ("f=factor:soc_2&o=equals&v=true&page=2", 200, "page 2 of"),
        ("f=factor:nonsense&o=equals&v=true", 400, "there is no factor"),
        ("low=x", 400, "is no number"),
        ("app=%3Cscript%3E", 200, "No app fits"),
    ],
)
def test_filters(portal: Client, query: str, status: int, text: str) -> None:
    page = portal.get(f"/catalog?{query}")
    assert page.status_code == status and text in page.text
    Page(page.text)


def test_export_and_import_are_each_other(portal: Client, world: Services) -> None:
    assert world.catalog is not None
    for form in ("csv", "json", "yaml"):
        text = portal.get(f"/catalog/export?category=webmail&format={form}").text
        found = send(portal, "import", text=text, file=f"a.{form}", what="apps", do="try")
        assert found.status_code == 200 and "the catalog says all of it already" in found.text, form
    table = "name;vendor;category;domains\nOur <b>CRM</b>;Us;crm;crm.corp.example\n"
    version = world.catalog.store.version()
    tried = send(portal, "import", text=table, file="a.csv", what="apps", do="try")
    assert "Our &lt;b&gt;CRM" in tried.text and "Carry it out" in tried.text
    assert world.catalog.store.version() == version
    assert "Carried out" in send(portal, "import", text=table, file="a.csv", what="apps", do="carry out").text
    found_now = world.catalog.inventory().match("crm.corp.example")
    assert found_now is not None and found_now.app.vendor == "Us"
    assert send(portal, "import", text="nonsense", file="a.csv", what="apps", do="carry out").status_code == 422
    assert send(portal, "import", text="{", file="a.json", what="apps", do="try").status_code == 422


def test_custom_apps(portal: Client, world: Services) -> None:
    assert world.catalog is not None
    values = {
        "name": "<img src=x onerror=alert(1)>", "category": "crm", "domains": "crm.corp.example\ncrm2.corp.example",
        "addresses": "192.0.2.0/28", "hosting_platform": "aws", "business_unit": "Sales", "score": "7", "about": "=1+1",
    }  # fmt: skip
    made = send(portal, "custom", **values)
    assert made.status_code == 303
    ident = made.headers["location"].rpartition("/")[2]
    entry = world.catalog.entry(ident)
    assert entry.score == 7 and entry.app.custom and "192.0.2.0/28" in entry.app.addresses
    for path in ("/catalog/custom", f"/catalog/custom?edit={ident}", f"/catalog/apps/{ident}", "/catalog?app=onerror"):
        assert "<img src=x" not in portal.get(path).text
    assert send(portal, "custom", **{**values, "id": ident, "score": "2"}).status_code == 303
    assert world.catalog.entry(ident).score == 2
    assert send(portal, "custom", **{**values, "domains": "com"}).status_code == 400
    assert send(portal, "custom", **{**values, "domains": "www.dropbox.com"}).status_code == 400
    assert send(portal, "custom/delete", id="dropbox").status_code == 400
    assert send(portal, "custom/delete", id=ident).status_code == 303
    assert world.catalog.inventory().get(ident) is None


def test_tags_and_suggestions(portal: Client, world: Services) -> None:
    assert world.catalog is not None
    assert send(portal, "tags", name="Finance", about="of accounting").status_code == 303
    assert send(portal, "tags", name="sanctioned").status_code == 400
    assert send(portal, "tag", app="dropbox", do="+Finance").status_code == 303
    assert "Finance" in portal.get("/catalog?tag=Finance").text
    assert send(portal, "tags/delete", name="Finance").status_code == 400
    assert send(portal, "tags/delete", name="Finance", everywhere="yes").status_code == 303
    assert send(portal, "suggestions", name="New <b>", domain="new.example", text="please").status_code == 303
    (wish,) = world.catalog.suggestions()
    assert send(portal, "suggestions/decide", seq=str(wish.seq), state="done", answer="it is there").status_code == 303
    page = portal.get("/catalog/suggestions?state=done")
    assert "it is there" in page.text and "New &lt;b&gt;" in page.text
    assert send(portal, "suggestions/decide", seq="x", state="done").status_code == 400


def test_metrics_are_an_audited_task(portal: Client, world: Services) -> None:
    assert world.catalog is not None
    before = world.catalog.entry("dropbox").computed.total
    fields = {f"w.family.{each}": "ignored" for each in ("security", "compliance", "legal")}
    assert (
        send(portal, "metrics", do="save", low="9", medium="5", **{"w.family.general": "high", **fields}).status_code
        == 303
    )
    present = world.catalog.inventory().metrics
    assert present.bands.low == 9 and world.catalog.entry("dropbox").computed.total != before
    (task, *_) = world.catalog.tasks()
    assert task.state == "done" and task.by == "grace" and task.changed > 100
    assert "apps," in portal.get("/catalog/metrics").text
    assert send(portal, "metrics", do="save", low="3", medium="5").status_code == 400
    assert send(portal, "metrics", do="save", **{"w.soc_2": "immense"}).status_code == 400
    assert send(portal, "metrics", do="defaults").status_code == 303
    assert world.catalog.inventory().metrics == DEFAULTS


@pytest.mark.parametrize(
    "path", ["custom", "custom/delete", "tags", "tags/delete", "suggestions/decide", "import", "metrics"]
)
def test_viewers_change_nothing(viewer: Client, path: str) -> None:
    csrf = csrf_in(viewer.get("/catalog"))
    assert viewer.post(f"/catalog/{path}", data={"csrf": csrf}).status_code == 403
