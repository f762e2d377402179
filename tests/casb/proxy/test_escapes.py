"""Reports of the guard: who may report, what is believed, and that nobody can fill the log with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from casb.proxy.escapes import MOST
from proxy_world import APP_HOST, FETCH, SUFFIX, World, wait_for, world

PATH = "/.casb/report"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("escapes"), start=False) as made:
        made.write(
            "apps/files.yaml",
            f"""\
id: files
name: Company Files
domains: [{APP_HOST}, "*.wild.example"]
upstream: {{connect: "127.0.0.1:{made.origin.port}", ca: {made.origin.ca}}}
""",
        )
        made.start()
        yield made


def tell(proxy: World, body: Any, *, cookie: str | None = None, site: str = "same-origin") -> int:
    told = body if isinstance(body, bytes) else json.dumps(body).encode()
    origin = f"https://{proxy.host}:{proxy.port}"
    headers = {**FETCH, "sec-fetch-site": site, "origin": origin, "content-type": "application/json"}
    sent = cookie if cookie is not None else proxy.session()
    return proxy.ask(PATH, method="POST", cookie=sent, headers=headers, body=told).status


def reports(proxy: World) -> list[dict[str, Any]]:
    return [each for each in proxy.records() if any("escape." in reason["code"] for reason in each["reasons"])]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "nothing"),
        (b"{", "no JSON"),
        (b"[1]", "no object"),
        ({"kind": "request"}, "no host"),
        ({"kind": "other", "host": APP_HOST}, "no kind of ours"),
        ({"kind": ["request"], "host": APP_HOST}, "no word"),
        ({"kind": "request", "host": 7}, "no name"),
        ({"kind": "request", "host": "other.example"}, "not a host of ours"),
        ({"kind": "request", "host": f"{APP_HOST}.{SUFFIX}"}, "under the suffix"),
        ({"kind": "request", "host": "a" * 400}, "too long"),
        (b'{"kind": "request", "host": "' + APP_HOST.encode() + b'"' + b" " * 5000 + b"}", "too much"),
    ],
)
def test_what_is_no_report_leaves_no_record(proxy: World, body: Any, why: str) -> None:
    before = len(reports(proxy))
    assert tell(proxy, body) < 500
    assert len(reports(proxy)) == before, why


def test_only_a_page_of_the_same_host_with_a_session_reports(proxy: World) -> None:
    told = {"kind": "violation", "host": APP_HOST}
    assert tell(proxy, told, cookie="") == 401
    assert tell(proxy, told, site="cross-site") == 403
    assert not [each for each in reports(proxy) if "escape.violation" in json.dumps(each)]


def test_each_kind_and_host_is_told_once_and_never_too_many(proxy: World) -> None:
    cookie = proxy.session()
    for _ in range(3):
        assert tell(proxy, {"kind": "request", "host": APP_HOST.upper()}, cookie=cookie) == 204
    (record,) = wait_for(lambda: reports(proxy), "the report", 5)
    assert (record["action"], record["reasons"][0]["fact"]) == ("audit", f"it asked for {APP_HOST}")
    for number in range(MOST + 5):
        assert tell(proxy, {"kind": "request", "host": f"h{number}.wild.example"}, cookie=cookie) == 204
    assert len(reports(proxy)) == MOST
