"""Coaching beside the browser tests: what a person wrote, and what a policy wants when we fail (`on_failure`)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from casb.proxy.coaching import clean
from proxy_world import World, world

FORM = "application/x-www-form-urlencoded"
NAVIGATE = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept": "text/html"}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  because\n of\tit ", "because of it"),
        ("a\x00b\x1b[31m\u202ec", "a b [31m c"),
        ("", ""),
        ("x" * 5000, "x" * 1000),
    ],
)
def test_what_is_kept_of_a_justification(text: str, kept: str) -> None:
    assert clean(text) == kept


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("failure"), start=False) as made:
        made.write(
            "policies.yaml",
            "version: 1\npolicies:\n"
            "  - {id: open, activities: download, when: {file: 'open*'}, action: protect, on_failure: allow}\n"
            "  - {id: shut, activities: download, when: {file: 'shut*'}, action: protect, on_failure: block}\n"
            "  - {id: both, activities: download, when: {file: 'open-shut*'}, action: protect, on_failure: block}\n"
            "  - {id: door, kind: access, action: {type: coach, text: required}, when: {user: eve@contoso.example}}\n"
            "  - {id: app, activities: download, when: {file: 'app*'}, action: protect}\n",
        )
        for name in ("open", "shut", "app", "open-shut"):
            made.origin.page(
                f"/{name}.bin",
                b"part",
                status=206,
                content_range="bytes 0-3/9",
                content_type="application/octet-stream",
                content_disposition=f'attachment; filename="{name}.bin"',
            )
        made.start()
        yield made


@pytest.mark.parametrize("name", ["open", "shut", "open-shut", "app"])
def test_a_download_that_cannot_be_protected_never_leaves(proxy: World, name: str) -> None:
    """A client asks for a part of a file when it likes, so `on_failure: allow` must be no way around `protect`."""
    got = proxy.ask(f"/{name}.bin", cookie=proxy.session(), headers=NAVIGATE)
    assert got.body != b"part"
    assert told(proxy, f"{name}.bin") == (True, "block")


def told(proxy: World, file: str) -> tuple[bool, str]:
    record = next(each for each in reversed(proxy.records()) if each["file"] and each["file"]["name"] == file)
    return record["default_behaviour"], record["action"]


def test_opening_an_app_may_need_a_reason(proxy: World) -> None:
    cookie = proxy.session("eve@contoso.example")
    proxy.origin.page("/in", b"inside", content_type="text/plain")
    asked = proxy.ask("/in?x=1", cookie=cookie, headers=NAVIGATE)
    found = re.search(rb'name=c value="([A-Za-z0-9_-]{43})"', asked.body)
    assert asked.status == 403 and found is not None
    origin = f"https://{proxy.host}:{proxy.port}"
    headers = NAVIGATE | {"origin": origin, "sec-fetch-site": "same-origin", "content-type": FORM}
    body = b"c=" + found[1] + b"&text=on+call"
    done = proxy.ask("/.casb/justify", method="POST", cookie=cookie, headers=headers, body=body)
    assert done.status == 200 and b"url=/in?x=1" in done.body
    assert proxy.ask("/in?x=1", cookie=cookie, headers=NAVIGATE).body == b"inside"
    record = next(each for each in reversed(proxy.records()) if each["activity"] == "logon")
    assert (record["action"], record["extra"]["justification"]["text"]) == ("audit", "on call")
