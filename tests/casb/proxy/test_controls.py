"""What the guard of a controlled page asks and tells: who may, what is believed, what it finds out, what is recorded."""

# ruff: noqa: E501  # a table reads best with one row per case

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.control.in_page import LONGEST
from casb.model.identity import DeviceTag
from casb.proxy.controls import MOST_A_MINUTE, _is_kept, _read
from proxy_world import FETCH, NAVIGATE, SUFFIX, Origin, Reply, World, world

RULES = """\
version: 1
policies:
  - id: no-copies
    apps: [files, marked, wide]
    activities: copy
    when: {device: unmanaged}
    action: block
    message: Not from {app}.
  - id: no-secrets
    apps: files
    activities: paste
    when: {text: {contains: secret}}
    action: block
    unscannable: audit
  - id: watched
    apps: files
    activities: print
    action: audit
"""
APPS = {"marked": "{clipboard: inside, watermark: controlled, without_script: refuse}", "wide": "{clipboard: inside}", "always": "{watermark: always}", "plain": "{}"}  # fmt: skip
DATA = {"text/plain": "kept inside"}
NAME = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("controls")
    with world(folder, start=False) as made:
        made.write("rules.yaml", RULES)
        origins = []
        page = b"<!doctype html><html><head><title>t</title></head><body>page</body></html>"

        def serve(origin: Origin) -> None:
            origin.page("/", page, content_type="text/html", etag='"1"', cache_control="max-age=600")

        serve(made.origin)
        for name, controls in APPS.items():
            (folder / name).mkdir()
            origin = Origin(folder / name, f"{name}.example")
            origins.append(origin)
            serve(origin)
            made.write(
                f"apps/{name}.yaml",
                f"id: {name}\nname: {name}\ndomains: [{name}.example]\ncontrols: {controls}\n"
                f'upstream: {{connect: "127.0.0.1:{origin.port}", ca: {origin.ca}}}\n',
            )
        made.start()
        yield made
        for origin in origins:
            origin.close()


def host_of(app: str) -> str:
    return f"{app}.example.{SUFFIX}"


def tell(
    proxy: World, path: str, body: Any, *, app: str = "files", cookie: str = "", site: str = "same-origin"
) -> Reply:
    host = host_of(app)
    told = body if isinstance(body, bytes) else json.dumps(body).encode()
    origin = f"https://{host}:{proxy.port}"
    headers = {**FETCH, "sec-fetch-site": site, "origin": origin, "content-type": "application/json"}
    return proxy.ask(
        path, method="POST", host=host, cookie=cookie or proxy.session(host=host), headers=headers, body=told
    )


def page_of(proxy: World, app: str, *, tags: tuple[DeviceTag, ...] = ()) -> Reply:
    host = host_of(app)
    return proxy.ask("/", host=host, cookie=proxy.session(host=host, tags=tags), headers=NAVIGATE)


def table_of(page: Reply) -> dict[str, Any] | None:
    found = re.search(r'data-casb="([^"]+)"', page.text)
    return json.loads(base64.urlsafe_b64decode(found[1])) if found else None


@pytest.mark.parametrize(
    ("app", "tags", "expected", "why"),
    [
        ("files", (), {"app": "Company Files", "do": {"copy": "block", "paste": "ask text", "print": "audit"}}, "all of them"),
        ("files", (DeviceTag.COMPLIANT,), {"app": "Company Files", "do": {"paste": "ask text", "print": "audit"}}, "a managed device"),
        ("marked", (DeviceTag.COMPLIANT,), None, "nobody's business there"),
        ("wide", (), {"app": "wide", "do": {"copy": "block"}, "inside": True}, "can be pasted inside"),
        ("plain", (), None, "no policy"),
    ],
)  # fmt: skip
def test_a_page_brings_its_rules(proxy: World, app: str, tags: tuple[DeviceTag, ...], expected: Any, why: str) -> None:
    page = page_of(proxy, app, tags=tags)
    found = table_of(page)
    if expected is None:
        assert found is None, why
        assert "no-store" not in page.headers["cache-control"]
        return
    assert found is not None
    assert re.fullmatch("[0-9a-f]{32}", found.pop("page"))
    assert found == expected, why
    assert page.headers["cache-control"] == "private, no-store"
    assert "etag" not in page.headers


def test_a_secret_belongs_to_one_page(proxy: World) -> None:
    pages = [table_of(page_of(proxy, "files")) for _ in range(2)]
    assert pages[0] and pages[1] and pages[0]["page"] != pages[1]["page"]


def test_the_guard_has_the_parts_for_it_where_they_are_needed_alone(proxy: World) -> None:
    texts = {}
    for app in ("files", "plain"):
        (address,) = re.findall(r'src="(/\.casb/guard\.js[^"]*)"', page_of(proxy, app).text)
        texts[app] = proxy.ask(address, host=host_of(app)).text
    assert "DataTransfer" in texts["files"] and "casb-watermark" in texts["files"]
    assert "casb-watermark" not in texts["plain"] and "DataTransfer" not in texts["plain"]


def test_a_watermark_says_who_and_when(proxy: World) -> None:
    for app in ("marked", "always"):
        found = table_of(page_of(proxy, app))
        assert found and re.fullmatch(
            r"ada@contoso\.example · \d{4}-\d\d-\d\d \d\d:\d\d UTC · [0-9a-f]{8}", found["mark"]
        )


def test_browsers_without_scripts_are_sent_away_where_the_app_says_so(proxy: World) -> None:
    assert (
        '<noscript><meta http-equiv="refresh" content="0;url=/.casb/scripts-off"></noscript>'
        in page_of(proxy, "marked").text
    )
    assert "<noscript>" not in page_of(proxy, "files").text
    away = proxy.ask("/.casb/scripts-off", host=host_of("marked"))
    assert (away.status, "JavaScript is needed here" in away.text) == (403, True)


ATTEMPTS = [
    ({"activity": "copy", "length": 5}, "block", "Not from Company Files.", "the policy's own words"),
    ({"activity": "paste", "text": "a Secret"}, "block", "Pasting in Company Files is not allowed by your organisation's policy.", "ours"),
    ({"activity": "paste", "text": "harmless"}, "allow", None, "by its text"),
    ({"activity": "paste", "length": 8}, "audit", None, "not told"),
    ({"activity": "paste", "text": "secret", "cut": True}, "audit", None, "not all of it told"),
    ({"activity": "paste", "text": "x" * (LONGEST + 1)}, "audit", None, "too long"),
    ({"activity": "print"}, "audit", None, "watched"),
    ({"activity": "cut"}, "allow", None, "no policy"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "action", "message", "why"), ATTEMPTS, ids=[each[3] for each in ATTEMPTS])
def test_an_attempt_is_decided_and_written_down(
    proxy: World, body: dict[str, Any], action: str, message: str | None, why: str
) -> None:
    answer = tell(proxy, "/.casb/activity", {**body, "via": "event"})
    assert (answer.status, answer.json["action"], answer.json.get("message")) == (200, action, message), why
    assert answer.json["table"]["do"] == {"copy": "block", "paste": "ask text", "print": "audit"}
    found = [each for each in proxy.records() if each["id"] == answer.json["activity"]]
    if action == "allow":
        assert found == []
        return
    (record,) = found
    assert (record["activity"], record["action"], record["extra"]) == (body["activity"], action, {"via": "event"})
    assert "Secret" not in json.dumps(record) and "xxxx" not in json.dumps(record)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"copy"', {}, {"activity": "download"}, {"activity": 7}, {"activity": ["copy"]}, {"activity": "logon"}],
)  # fmt: skip
def test_what_is_no_attempt_is_refused(proxy: World, body: Any) -> None:
    assert tell(proxy, "/.casb/activity", body).status == 400


PATHS = ["activity", "alive", "clipboard", "paste"]


@pytest.mark.parametrize("path", PATHS)
def test_only_a_page_of_the_same_host_with_a_session_asks(proxy: World, path: str) -> None:
    assert tell(proxy, f"/.casb/{path}", {"activity": "copy"}, cookie="x=y").status == 401
    assert tell(proxy, f"/.casb/{path}", {"activity": "copy"}, site="cross-site").status == 403
    assert proxy.ask(f"/.casb/{path}", host=host_of("files")).status == 404


def test_nobody_fills_the_log(proxy: World) -> None:
    cookie = proxy.session("eve@contoso.example", host=host_of("files"))
    for _ in range(MOST_A_MINUTE + 5):
        assert tell(proxy, "/.casb/activity", {"activity": "copy"}, cookie=cookie).json["action"] == "block"
    mine = [each for each in proxy.records() if each["user"] and each["user"]["name"] == "eve@contoso.example"]
    assert len([each for each in mine if each["activity"] == "copy"]) == MOST_A_MINUTE


def test_text_kept_inside_is_for_the_same_person_in_such_apps(proxy: World) -> None:
    assert tell(proxy, "/.casb/clipboard", {"id": NAME, "data": DATA}, app="marked").status == 204
    assert tell(proxy, "/.casb/paste", {"id": NAME}, app="wide").json == {"data": DATA}
    assert tell(proxy, "/.casb/paste", {"id": NAME}, app="files").status == 403, "copying is refused, nothing is inside"
    assert tell(proxy, "/.casb/paste", {"id": NAME}, app="plain").status == 403, "it could be copied out there"
    host = host_of("wide")
    eve = proxy.session("eve@contoso.example", host=host)
    assert tell(proxy, "/.casb/paste", {"id": NAME}, app="wide", cookie=eve).status == 404
    managed = proxy.session(host=host, tags=(DeviceTag.COMPLIANT,))
    assert tell(proxy, "/.casb/paste", {"id": NAME}, app="wide", cookie=managed).status == 403
    assert b"kept inside" not in b"".join(path.read_bytes() for path in proxy.data.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "body",
    [{}, {"id": NAME}, {"id": "short", "data": DATA}, {"id": NAME, "data": {"a": 1}}, {"id": NAME, "data": []},
     {"id": NAME, "data": {"a": "x" * (5 * LONGEST + 1)}}, {"id": NAME, "data": {str(at): "" for at in range(9)}}],
)  # fmt: skip
def test_what_is_no_text_is_not_kept(proxy: World, body: Any) -> None:
    assert tell(proxy, "/.casb/clipboard", body, app="marked").status == 403


def test_a_guard_that_finds_itself_changed_is_recorded(proxy: World) -> None:
    told = {"page": NAME, "broken": ["copy", "<script>", 7, "print"]}
    answer = tell(proxy, "/.casb/alive", told)
    assert answer.json["table"]["do"]["copy"] == "block"
    facts = [each["reasons"][0]["fact"] for each in proxy.records() if each["reasons"] and each["reasons"][0]["code"] == "controls.tampered"]  # fmt: skip
    assert facts == ["the guard found itself changed: copy, print"]
    assert tell(proxy, "/.casb/alive", {"page": NAME}).status == 200
    for body in ({}, {"page": ""}, {"page": 7}, {"page": "x" * 65}):
        assert tell(proxy, "/.casb/alive", body).status == 400


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_body_is_read(body: bytes) -> None:
    told = _read(body)
    assert isinstance(told, dict)
    assert _is_kept(told.get("id"), told) in (True, False)
