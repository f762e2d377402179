"""The dashboard over a small organisation."""

from __future__ import annotations

import threading

import pytest

from asgi_client import Client
from casb.sidecar.services import Services
from casb.sidecar.shadow_dashboard import board, keep_ready
from casb.store.alerts_sqlite import NewAlert
from portal_user import Page


def test_counters_charts_and_lists(portal: Client, world: Services) -> None:
    page = portal.get("/discovery?days=30")
    assert page.status_code == 200
    Page(page.text)
    for text in ("App categories by traffic", "Risk levels", "Top users", "Headquarters", "updated on"):
        assert text in page.text
    assert "Nobody" not in page.text and 'stroke-dasharray="' in page.text
    engine = world.discovery
    assert engine is not None
    counters = engine.reports.counters(engine.reports.span(days=30))
    assert f"<b>{counters['users']['value']}</b>" in page.text


@pytest.mark.parametrize("query", ["by=users&top=ip", "by=transactions&top=device", "by=x&top=y&category=z"])
def test_other_metrics_and_entities(portal: Client, query: str) -> None:
    page = portal.get(f"/discovery?days=7&category=cloud_storage&{query}")
    assert page.status_code == 200
    Page(page.text)


@pytest.mark.parametrize(
    ("query", "status"), [("days=8", 400), ("stream=nowhere", 400), ("days=x", 422), ("stream=Zurich%20proxy", 200)]
)
def test_reports_that_exist(portal: Client, query: str, status: int) -> None:
    assert portal.get(f"/discovery?{query}").status_code == status


def test_endpoints_stand_apart_from_global(portal: Client) -> None:
    assert "NB-000" not in portal.get("/discovery/devices").text
    assert "NB-000" in portal.get("/discovery/devices?stream=Defender-managed%20endpoints").text


def test_open_discovery_alerts_are_shown(portal: Client, world: Services) -> None:
    alert = NewAlert(
        time=world.clock(), kind="discovery", policy="new-storage", severity="high", title="<i>New</i> storage app"
    )
    world.alerts.raise_all([alert])
    page = portal.get("/discovery")
    assert "&lt;i&gt;New&lt;/i&gt; storage app" in page.text


def test_an_empty_report_says_what_to_do(portal: Client, world: Services) -> None:
    assert world.discovery is not None
    world.discovery.delete_all("grace")
    page = portal.get("/discovery")
    assert page.status_code == 200 and "snapshot report" in page.text


def test_a_tag_shows_at_once(portal: Client, world: Services) -> None:
    assert world.discovery is not None and world.catalog is not None
    span = world.discovery.reports.span(days=30)
    before = board(world, world.discovery, span)
    assert board(world, world.discovery, span) is before, "nothing changed, so it is the same answer"
    from casb.model.app import AppTag
    from casb.store.catalog_sqlite import Actor

    world.catalog.tag(["dropbox"], AppTag.UNSANCTIONED, Actor(who="grace"))
    after = board(world, world.discovery, span)
    storage = next(row for row in after.categories if row["name"] == "cloud_storage")
    assert storage["standings"]["unsanctioned"]["total"] > 0


def test_boards_are_made_before_somebody_asks(world: Services) -> None:
    over = threading.Event()
    thread = threading.Thread(target=keep_ready, args=(world, over, 60.0), daemon=True)
    thread.start()
    for _ in range(600):
        if len(world.kept) == 3 or not thread.is_alive():
            break
        over.wait(0.1)
    over.set()
    thread.join(30)
    assert len(world.kept) == 3


def test_without_the_extra_the_page_says_so(grace: Client) -> None:
    answer = grace.get("/discovery", headers={"accept": "text/html"})
    assert answer.status_code == 501 and "casb[discovery]" in answer.text
    assert grace.get("/catalog").status_code == 501


def test_nobody_looks_without_signing_in(world: Services) -> None:
    from casb.sidecar.app import build_app

    stranger = Client(build_app(world), "http://127.0.0.1:8090")
    for path in ("/discovery", "/discovery/apps", "/discovery/snapshots", "/catalog", "/catalog/apps/dropbox"):
        answer = stranger.get(path)
        assert answer.status_code == 303 and answer.headers["location"].startswith("/sign-in"), path
    stranger.close()
