"""The page of an app, and what admins may say of it."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_client import Client
from casb.sidecar.services import Services
from casb.store.catalog_sqlite import Actor
from portal_user import Page, csrf_in

APP = "/catalog/apps/dropbox"


def say(client: Client, path: str, **fields: Any) -> int:
    csrf = csrf_in(client.get(f"{APP}?view=manage"))
    return client.post(path, data={"csrf": csrf, **fields}).status_code


@pytest.mark.parametrize("view", ["overview", "info", "usage", "manage", "nonsense"])
def test_views(portal: Client, view: str) -> None:
    page = portal.get(f"{APP}?view={view}&days=30")
    assert page.status_code == 200
    Page(page.text)
    assert "Dropbox" in page.text and "<script>alert" not in page.text


def test_an_app_that_nobody_used_and_one_that_is_not_there(portal: Client) -> None:
    assert "Nobody used it" in portal.get("/catalog/apps/zuora?view=usage&days=7").text
    answer = portal.get("/catalog/apps/no-such-app", headers={"accept": "text/html"})
    assert answer.status_code == 404 and "no-such-app" in answer.text


def test_info_explains_the_score(portal: Client, world: Services) -> None:
    assert world.catalog is not None
    page = portal.get(f"{APP}?view=info")
    for text in ("Multi-factor authentication", "vendor documentation", "10.0/10", "counted", "29% of the total"):
        assert text in page.text


def test_tags_notes_and_override(portal: Client, world: Services) -> None:
    assert world.catalog is not None
    assert say(portal, "/catalog/tag", app="dropbox", do="unsanctioned", why="case 7", next=f"{APP}?view=info") == 303
    assert world.catalog.entry("dropbox").tag.value == "unsanctioned"
    assert say(portal, f"{APP}/override", score="3", note="<b>breach</b>") == 303
    assert say(portal, f"{APP}/notes", text="talk to <legal>") == 303
    page = portal.get(APP)
    assert "&lt;b&gt;breach" in page.text and "talk to &lt;legal&gt;" in page.text and ">3<" in page.text
    (note,) = world.catalog.notes("dropbox")
    assert say(portal, f"{APP}/notes/delete", seq=str(note.seq)) == 303
    assert not world.catalog.notes("dropbox")
    assert say(portal, f"{APP}/override", score="") == 303
    assert world.catalog.entry("dropbox").override is None
    told = [each.what for each in world.portal.audit(limit=20)]
    assert sum("score" in each for each in told) >= 2 and any("tag" in each for each in told)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/catalog/tag", {"do": "sanctioned"}),
        ("/catalog/tag", {"app": "dropbox", "do": "adored"}),
        ("/catalog/tag", {"app": "dropbox", "do": "+no such tag"}),
        (f"{APP}/override", {"score": "11"}),
        (f"{APP}/override", {"score": "-1"}),
        (f"{APP}/notes", {"text": " "}),
        (f"{APP}/facts", {"factor": "nonsense", "value": "1"}),
        (f"{APP}/facts", {"factor": "founded", "value": "long ago"}),
        (f"{APP}/edit", {"domains": "not a domain!"}),
        (f"{APP}/suggest", {"kind": "nonsense", "text": "x"}),
    ],
)
def test_what_is_refused(portal: Client, world: Services, path: str, fields: dict[str, str]) -> None:
    assert world.catalog is not None
    version = world.catalog.store.version()
    assert say(portal, path, **fields) == 400
    assert world.catalog.store.version() == version


def test_a_protected_app_keeps_its_tag(portal: Client, world: Services) -> None:
    assert world.catalog is not None
    world.catalog.protect("www.dropbox.com", Actor(who="grace"))
    assert say(portal, "/catalog/tag", app="dropbox", do="unsanctioned") == 400
    assert world.catalog.entry("dropbox").tag.value == "none"
    assert "cannot be blocked" in portal.get(APP).text


def test_details_are_an_overlay(portal: Client, world: Services) -> None:
    assert world.catalog is not None
    before = world.catalog.entry("dropbox").app
    domains = [*before.domains[1:], "files.corp.example"]
    assert say(portal, f"{APP}/edit", name=before.name, vendor="Us", domains="\r\n".join(domains)) == 303
    after = world.catalog.entry("dropbox").app
    assert after.vendor == "Us" and set(after.domains) == set(domains) and after.name == before.name
    assert say(portal, f"{APP}/edit", domains="\n".join(before.domains)) == 303
    assert set(world.catalog.entry("dropbox").app.domains) == set(before.domains)


@pytest.mark.parametrize(
    ("factor", "text", "value"),
    [
        ("soc_2", "no", False),
        ("hipaa", "n/a", "n/a"),
        ("founded", "2001", 2001),
        ("data_centers", "DE, FR", ("DE", "FR")),
        ("encryption_protocol", "tls1_2", "tls1_2"),
    ],
)
def test_what_is_known_better(portal: Client, world: Services, factor: str, text: str, value: Any) -> None:
    assert world.catalog is not None
    shipped = world.catalog.entry("dropbox").app.value(factor)
    assert say(portal, f"{APP}/facts", factor=factor, value=text, evidence="https://corp.example/e") == 303
    assert world.catalog.entry("dropbox").app.value(factor) == value
    assert "operator, grace" in portal.get(f"{APP}?view=info").text
    assert say(portal, f"{APP}/facts", factor=factor, value="") == 303
    assert world.catalog.entry("dropbox").app.value(factor) == shipped


def test_several_apps_at_once_all_or_none(portal: Client, world: Services) -> None:
    assert world.catalog is not None
    csrf = csrf_in(portal.get("/catalog"))
    body = f"csrf={csrf}&app=dropbox&app=box&app=mega&do=monitored&next=/discovery/apps%3Fdays%3D7"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = portal.post("/catalog/tag", content=body, headers=headers)
    assert answer.status_code == 303 and answer.headers["location"] == "/discovery/apps?days=7"
    assert {world.catalog.entry(each).tag.value for each in ("dropbox", "box", "mega")} == {"monitored"}
    broken = body.replace("app=mega", "app=no-such-app").replace("monitored", "none")
    assert portal.post("/catalog/tag", content=broken, headers=headers).status_code == 404
    assert world.catalog.entry("dropbox").tag.value == "monitored"
    away = body.replace("/discovery/apps%3Fdays%3D7", "//evil.example/")
    assert portal.post("/catalog/tag", content=away, headers=headers).headers["location"] == "/catalog"


def test_alternatives_have_what_is_asked_for(portal: Client) -> None:
    page = portal.get(f"{APP}?must=soc_2&must=saml")
    assert "Alternatives" in page.text and "checked" in page.text


def test_viewers_wish_and_nothing_else(viewer: Client, world: Services) -> None:
    assert world.catalog is not None
    page = viewer.get(APP)
    assert page.status_code == 200 and "/override" not in page.text
    form = {"csrf": csrf_in(page), "kind": "score_update", "text": "too <high>", "contact": "yes"}
    assert viewer.post(f"{APP}/suggest", data=form).status_code == 303
    assert world.catalog.suggestions()[0].text == "too <high>"
    for path in ("/catalog/tag", f"{APP}/override", f"{APP}/notes", f"{APP}/edit", f"{APP}/facts"):
        assert viewer.post(path, data={**form, "app": "dropbox", "do": "none"}).status_code == 403, path
    assert viewer.post(f"{APP}/suggest", data={**form, "csrf": "0" * 64}).status_code == 403
