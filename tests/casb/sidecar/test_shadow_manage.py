"""Snapshot reports, sources, tasks, exclusions, names behind pseudonyms, deletion: all by form, all audited."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from asgi_client import Client
from casb.sidecar import passwords
from casb.sidecar.app import build_app
from casb.sidecar.services import Services
from portal_user import PASSWORD, Page, csrf_in, sign_in
from usage_support import squid

PAGES = ("snapshots", "sources", "tasks", "exclusions", "names", "data")


def send(client: Client, path: str, **fields: Any) -> int:
    csrf = csrf_in(client.get("/discovery/data"))
    return client.post(f"/discovery/{path}", data={"csrf": csrf, **fields}).status_code


@pytest.mark.parametrize("page", PAGES)
def test_pages(portal: Client, viewer: Client, page: str) -> None:
    for client in (portal, viewer):
        answer = client.get(f"/discovery/{page}")
        assert answer.status_code == 200
        Page(answer.text)
        assert "<b>)" not in answer.text
    assert viewer.get(f"/discovery/{page}").text.count("<form") == 1, "viewers find the form to sign out alone"


def test_a_snapshot_from_files(portal: Client, world: Services) -> None:
    engine: Any = world.discovery
    content = squid(20, start=world.clock()).encode()
    query = {"filename": "a.log", "source": "SQUID_NATIVE"}
    place = urlsplit(portal.get("/api/v1/discovery/upload_url/", params=query).json()["url"]).path
    assert send(portal, "snapshots", name="March", source="squid", upload=place) == 409
    assert portal.request("PUT", place, content=content).status_code == 200
    assert send(portal, "snapshots", name="March <i>", source="squid", upload=place, anonymize="yes") == 303
    assert "queued" in portal.get("/discovery/snapshots").text
    while engine.work():
        pass
    page = portal.get("/discovery/snapshots")
    assert "March &lt;i&gt;" in page.text and "20 of 20 to known apps" in page.text
    stream = engine.book.stream_named("March <i>")
    users = portal.get(f"/discovery/users?stream={stream.id}&days=7")
    assert "anon-u-" in users.text and "Resolve names" in users.text
    assert send(portal, "streams/delete", id=stream.id, confirm="wrong") == 400
    assert send(portal, "streams/delete", id=stream.id, confirm="March <i>") == 303
    assert engine.book.stream(stream.id) is None


def test_a_failed_task_says_its_class_and_can_be_tried_again(portal: Client, world: Services) -> None:
    engine: Any = world.discovery
    place = urlsplit(
        portal.get("/api/v1/discovery/upload_url/", params={"filename": "x", "source": "auto"}).json()["url"]
    ).path
    portal.request("PUT", place, content=b"nothing that is a log <script>\n")
    assert send(portal, "snapshots", name="Broken", upload=place) == 303
    while engine.work():
        pass
    page = portal.get("/discovery/tasks")
    assert "D011" in page.text and "the log format does not match" in page.text and "Retry" in page.text
    (task,) = [each for each in engine.tasks.latest() if each.status == "failed"]
    assert send(portal, "tasks/retry", id=task.id) == 303
    assert engine.tasks.get(task.id).status == "queued"


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("snapshots", {"name": "x"}, 400),
        ("snapshots", {"name": "x", "upload": "/etc/passwd"}, 400),
        ("exclusions", {"entity": "ip", "value": "not an address"}, 400),
        ("exclusions", {"entity": "planet", "value": "x"}, 400),
        ("exclusions", {"entity": "user", "value": " "}, 400),
        ("views", {"name": "", "groups": "a"}, 400),
        ("views", {"name": "v", "networks": "nonsense"}, 400),
        ("views", {"name": "v", "sources": "no-such-stream"}, 400),
        ("streams/delete", {"id": "none", "confirm": "x"}, 404),
        ("data/delete", {"confirm": "yes"}, 400),
        ("names", {"pseudonyms": "grace", "reason": "long enough a reason"}, 400),
    ],
)
def test_what_is_refused(portal: Client, path: str, fields: dict[str, str], status: int) -> None:
    assert send(portal, path, **fields) == status


def test_exclusions_and_custom_reports(portal: Client, world: Services) -> None:
    engine: Any = world.discovery
    assert send(portal, "exclusions", entity="ip", value="10.9.0.0/16", comment="<scanner>") == 303
    assert "&lt;scanner&gt;" in portal.get("/discovery/exclusions").text
    assert send(portal, "exclusions/remove", entity="ip", value="10.9.0.0/16") == 303
    assert not engine.book.exclusions()
    assert send(portal, "views", name="Sales", groups="Sales, Legal", networks="10.0.0.0/8") == 303
    assert engine.book.stream_named("Sales").filters.groups == {"Sales", "Legal"}
    assert "custom report" in portal.get("/discovery/sources").text


def test_collectors_are_shown_whatever_they_tell(portal: Client, world: Services) -> None:
    engine: Any = world.discovery
    facts = {"sources": [{"name": "fw", "status": "disconnected", "alerts": ["LOG_COLLECTOR_NO_DATA"]}, {}, "odd"]}
    engine.book.put_collector("branch<b>", facts, world.clock())
    page = portal.get("/discovery/sources")
    assert page.status_code == 200 and "LOG_COLLECTOR_NO_DATA" in page.text and "branch&lt;b&gt;" in page.text


def test_names_need_a_second_admin(portal: Client, world: Services) -> None:
    engine: Any = world.discovery
    secret = engine.desk._pseudonyms().of("user", "ada")
    assert send(portal, "names", pseudonyms=secret, reason="case 4711, works council agreed") == 303
    (request,) = engine.desk.requests()
    assert send(portal, "names/approve", id=request.id) == 400, "nobody decides on a request of their own"
    world.portal.add_account("hugo", "admin", passwords.hash_password(PASSWORD), world.clock())
    other = Client(build_app(world), "http://127.0.0.1:8090")
    assert sign_in(other, "hugo").status_code == 303
    assert send(other, "names/approve", id=request.id) == 303
    assert send(other, "names/read", id=request.id) == 400, "only who asked may read"
    other.close()
    csrf = csrf_in(portal.get("/discovery/names"))
    page = portal.post("/discovery/names/read", data={"csrf": csrf, "id": request.id})
    assert page.status_code == 200 and ">ada<" in page.text
    told = [each.what for each in world.portal.audit(limit=20)]
    assert {"read names behind pseudonyms", "approved names behind pseudonyms"} <= set(told)


def test_all_data_goes_when_it_is_typed(portal: Client, world: Services) -> None:
    engine: Any = world.discovery
    assert send(portal, "data/delete", confirm="delete all discovery data") == 303
    assert engine.reports.counters(engine.reports.span(days=7))["events"]["value"] == 0
    assert any(each.what == "deleted all discovery data" for each in world.portal.audit(limit=5))


@pytest.mark.parametrize(
    "path",
    ["snapshots", "views", "streams/delete", "tasks/retry", "exclusions", "exclusions/remove", "names", "data/delete"],
)
def test_viewers_change_nothing(viewer: Client, path: str) -> None:
    csrf = csrf_in(viewer.get("/discovery"))
    assert viewer.post(f"/discovery/{path}", data={"csrf": csrf}).status_code == 403


def test_forms_need_their_token(portal: Client) -> None:
    assert portal.post("/discovery/data/delete", data={"confirm": "delete all discovery data"}).status_code == 403
