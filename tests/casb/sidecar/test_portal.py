"""The portal's pages: what is on them, that strangers' texts stay text, and that they keep to the policy they send."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from asgi_client import Client
from casb.errors import PolicyError, Where
from casb.model.decision import Action
from casb.sidecar.deployment import FileView
from casb.sidecar.services import Services
from portal_user import Page
from sample_records import record, records
from sidecar_parts import FixedDeployment

PAGES = ["/", "/activities", "/activities?action=block&user=ada", "/apps", "/policies", "/audit", "/access"]
EVIL = "<img src=x onerror=alert(1)>\"'&.xlsx"


@pytest.mark.parametrize("path", [*PAGES, "/activities/x"])
def test_nobody_sees_a_page_without_signing_in(client: Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.headers["location"].partition("?")[0]) == (303, "/sign-in")


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("path", PAGES)
def test_pages_are_whole_and_keep_to_the_content_policy(
    grace: Client, services: Services, path: str, filled: bool
) -> None:
    if filled:
        services.records.append(records(120))
        services.portal.put_status("edge", {"spool": {"pending_bytes": "much"}}, services.clock())
    response = grace.get(path)
    assert response.status_code == 200
    for tag, attributes in Page(response.text).tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert tag != "style"
        assert tag != "script" or attributes.get("src") == "/static/portal.js"
        for name in ("src", "href", "action"):
            own = attributes.get(name, "/").startswith(("/", "#", "https://files.contoso", "https://notes.contoso"))
            assert own and not attributes.get(name, "/").startswith("//")


def test_what_strangers_chose_is_shown_as_text(grace: Client, services: Services) -> None:
    sample = record(1, action=Action.BLOCK)
    sample["file"] = {"name": EVIL, "extension": "xlsx"}
    sample["client"]["user_agent"] = EVIL
    sample["user"]["name"] = EVIL
    sample["reasons"][0]["fact"] = EVIL
    services.records.append([sample])
    for path in ("/", "/activities", f"/activities/{sample['id']}", "/activities?file=%3Cimg%20src%3Dx%3E"):
        text = grace.get(path).text
        assert "<img src=x" not in text
        Page(text)
    assert "&lt;img src=x onerror=alert(1)&gt;" in grace.get("/activities").text


def test_the_overview_counts_today(grace: Client, services: Services, deployment: FixedDeployment) -> None:
    services.records.append([record(number, action=Action.BLOCK) for number in range(3)])
    yesterday = services.clock() - timedelta(days=1)
    services.records.append([record(50, yesterday, action=Action.BLOCK)])
    text = grace.get("/").text
    assert "<b>3</b> <span>blocked</span>" in text
    assert "4 activities in the log" in text
    assert "No proxy has reported yet" in text
    error = PolicyError("P013", "unknown condition", Where(file="a.yaml", line=9, column=16))
    deployment.present = replace(deployment.present, files=(FileView(name="a.yaml", errors=(error,)),))
    assert "has 1 error." in grace.get("/").text


def test_a_proxy_that_fell_silent_is_told(grace: Client, services: Services) -> None:
    services.portal.put_status("one", {"versions": ["3f2a"], "problems": ["a.yaml:1:1: P013 <b>"]}, services.clock())
    services.portal.put_status("two", {}, services.clock() - timedelta(minutes=5))
    text = grace.get("/").text
    assert text.count(">up<") == 1
    assert text.count(">silent<") == 1
    assert ">older<" in text
    assert "a.yaml:1:1: P013 &lt;b&gt;" in text


def test_the_log_pages_and_filters(grace: Client, services: Services) -> None:
    services.records.append(records(120))
    first = grace.get("/activities").text
    assert first.count("data-href=") == 50
    older = next(attributes["href"] for tag, attributes in Page(first).tags if attributes.get("rel") == "next")
    second = grace.get(older).text
    assert record(119)["id"] in first
    assert record(119)["id"] not in second
    assert record(60)["id"] in second
    only = grace.get("/activities?activity=download&app=files").text
    expected = [each for each in records(120) if (each["activity"], each["app"]["id"]) == ("download", "files")]
    assert only.count("data-href=") == len(expected)
    between = grace.get("/activities?from=2026-03-02T08:00&to=2026-03-02T08:01").text
    assert between.count("data-href=") == 50
    assert "format=csv&amp;from=2026-03-02T08%3A00%3A00Z" in between


def test_a_wrong_filter_is_explained_on_the_page(grace: Client) -> None:
    response = grace.get("/activities?from=yesterday")
    assert response.status_code == 400
    assert "not an RFC 3339 time" in response.text
    assert grace.get("/activities?cursor=nonsense").status_code == 400


def test_an_activity_tells_everything(grace: Client, services: Services) -> None:
    sample = record(7, action=Action.BLOCK)
    services.records.append([sample])
    text = grace.get(f"/activities/{sample['id']}").text
    for told in (sample["id"], "policies/unmanaged.yaml:14:5", "device: unmanaged", "no device tags", "decided"):
        assert told in text
    assert f"user_id=contoso%2F{sample['user']['id'].partition('/')[2]}" in text
    missing = grace.get("/activities/nothing", headers={"accept": "text/html"})
    assert missing.status_code == 404
    assert "no activity with this id" in missing.text


def test_the_least_record_has_a_page(grace: Client, services: Services) -> None:
    services.records.append([{"id": "a", "time": "2026-03-02T08:00:00Z", "activity": "view", "action": "allow"}])
    for path in ("/", "/activities", "/activities/a"):
        assert grace.get(path).status_code == 200


def test_policies_show_their_errors_with_places(grace: Client, deployment: FixedDeployment) -> None:
    error = PolicyError("P013", "unknown condition 'tags'", Where(file="policies/a.yaml", line=9, column=16), "try tag")
    deployment.present = replace(deployment.present, files=(FileView(name="policies/a.yaml", errors=(error,)),))
    text = grace.get("/policies").text
    for told in ("policies/a.yaml:9:16", "P013", "unknown condition &#39;tags&#39;", "try tag", "1 error"):
        assert told in text


def test_static_files(client: Client) -> None:
    for name, kind in (("portal.css", "text/css"), ("portal.js", "javascript"), ("icon.svg", "image/svg+xml")):
        response = client.get(f"/static/{name}")
        assert response.status_code == 200
        assert kind in response.headers["content-type"]
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404
