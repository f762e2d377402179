"""Discovered apps with their filters; lists and pages of users, addresses, devices and resources."""

from __future__ import annotations

import csv
import io
import json
from typing import Any
from urllib.parse import quote

import pytest
from starlette.datastructures import QueryParams

from asgi_client import Client
from casb.sidecar.services import Services
from casb.sidecar.shadow_apps import found_apps, search_of
from portal_user import Page, csrf_in
from shadow_world import HOSTILE

LISTS = ("/discovery/apps", "/discovery/users", "/discovery/ips", "/discovery/devices", "/discovery/resources")


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("app=dropb", [("app", "contains", ["dropb"])]),
        ("tag=none&risk=high", [("tag", "equals", ["none"]), ("risk", "equals", ["high"])]),
        ("low=0&high=10", []),
        ("low=2&high=5", [("score", "ge", ["2"]), ("score", "le", ["5"])]),
        ("compliance=soc_2", [("factor.soc_2", "equals", ["true"])]),
        ("security=saml&security_is=no", [("factor.saml", "not_equals", ["true"])]),
        ("f=users&o=gt&v=5&f=&o=equals&v=", [("users", "gt", ["5"])]),
        ("f=category&o=equals&v=crm,%20sales", [("category", "equals", ["crm", "sales"])]),
        ("f=factor.soc_2&o=known&v=ignored", [("factor.soc_2", "known", [])]),
    ],
)
def test_filters_of_a_query(query: str, wanted: list[Any]) -> None:
    search = search_of(QueryParams(query))
    assert [(row["field"], row["op"], row["values"]) for row in search.rows] == wanted


def test_category_counts_are_of_what_the_other_filters_leave(world: Services) -> None:
    engine: Any = world.discovery
    span = engine.reports.span(days=30)
    search = search_of(QueryParams("risk=low&category=cloud_storage"))
    listed, totals, problem = found_apps(engine, span, search)
    assert not problem and listed
    assert len(listed) == totals["cloud_storage"]
    assert {each.facts.risk for each in listed} == {"low"}
    assert sum(totals.values()) > len(listed)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("sort=users&order=asc&page=2", 200),
        ("page=-3", 200),
        ("page=99999", 200),
        ("query=risky-storage", 200),
        ("query=nothing-of-the-kind", 400),
        ("f=traffic&o=gt&v=much", 400),
        ("f=nonsense&o=equals&v=1", 400),
        ("low=x", 400),
        ("app=%3Cscript%3E", 200),
    ],
)
def test_the_page_of_apps(portal: Client, query: str, status: int) -> None:
    page = portal.get(f"/discovery/apps?{query}")
    assert page.status_code == status
    Page(page.text)
    assert "<script>alert" not in page.text


def test_saved_queries(portal: Client, world: Services) -> None:
    page = portal.get("/discovery/apps?low=0&high=3")
    form = {
        "csrf": csrf_in(page),
        "name": "Risky & <b>",
        "rows": json.dumps([{"field": "score", "op": "le", "values": [3]}]),
    }
    saved = portal.post("/discovery/queries", data=form)
    assert saved.status_code == 303
    found = portal.get(saved.headers["location"])
    assert found.status_code == 200 and "Risky &amp; &lt;b&gt;" in found.text
    assert any("saved a discovery query" in each.what for each in world.portal.audit(limit=5))
    assert portal.post("/discovery/queries", data={**form, "rows": "[{}]"}).status_code == 400
    assert portal.post("/discovery/queries", data={**form, "name": " "}).status_code == 400
    assert portal.post("/discovery/queries/delete", data=form).status_code == 303
    assert portal.get(saved.headers["location"]).status_code == 400


def test_export_takes_the_filters_and_no_cell_is_a_formula(portal: Client, world: Services) -> None:
    answer = portal.get("/discovery/apps/export?category=cloud_storage&stream=global&days=30")
    rows = list(csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff"))))
    assert rows and {row["category"] for row in rows} == {"cloud_storage"} and rows[0]["domains"]
    users = portal.get("/v1/discovery/lists/user?days=30&format=csv").text
    assert "\n=cmd" not in users and "'=cmd" in users
    assert portal.get("/discovery/apps/export?low=x").status_code == 400


@pytest.mark.parametrize("path", LISTS)
def test_names_out_of_logs_are_text(portal: Client, path: str) -> None:
    for query in ("?days=7", "?days=7&search=script", "?days=7&sort=name&order=asc"):
        page = portal.get(path + query)
        assert page.status_code == 200
        Page(page.text)
        assert "<script>alert" not in page.text and "<b>)" not in page.text


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("which", ["users", "devices"])
def test_everybody_has_a_page(portal: Client, which: str, name: str) -> None:
    page = portal.get(f"/discovery/{which}/{quote(name, safe='')}?days=7")
    if name.startswith("../"):
        # A path's dots are the client's to resolve; here they arrive as they were quoted.
        assert page.status_code in (200, 404)
        return
    assert page.status_code == 200, name
    Page(page.text)
    assert "Dropbox" in page.text and "<script>alert" not in page.text


def test_a_user_with_apps_trend_and_history(portal: Client, world: Services) -> None:
    engine: Any = world.discovery
    row = engine.reports.entities(engine.reports.span(days=30), "user", limit=1).rows[0]
    page = portal.get(f"/discovery/users/{quote(row['name'])}?days=30")
    assert f"<b>{row['apps']}</b>" in page.text and "History by day" in page.text
    assert portal.get("/discovery/users/nobody@example?days=30").status_code == 404
    assert portal.get("/discovery/planets").status_code in (404, 422)


def test_resources(portal: Client) -> None:
    page = portal.get("/discovery/resources?days=30&kind=bucket")
    assert "corp-" in page.text and "storage account" not in page.text.split("<tbody>")[1]


def test_only_admins_change(viewer: Client) -> None:
    page = viewer.get("/discovery/apps?risk=high")
    assert page.status_code == 200 and "tag as sanctioned" not in page.text
    form = {"csrf": csrf_in(viewer.get("/catalog/suggestions")), "name": "q", "rows": "[]"}
    assert viewer.post("/discovery/queries", data=form).status_code == 403
