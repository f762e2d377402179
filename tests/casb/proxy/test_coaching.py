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


@pytest.mark.parametrize(
    ("name", "passes", "why"),
    [
        ("open", True, "its policy says allow"),
        ("shut", False, "its policy says block"),
        ("open-shut", False, "of two policies one says block"),
        ("app", False, "the app decides, and it says block"),
    ],
)
def test_what_cannot_be_carried_out_does_what_the_policy_says(proxy: World, name: str, passes: bool, why: str) -> None:
    got = proxy.ask(f"/{name}.bin", cookie=proxy.session(), headers=NAVIGATE)
    assert (got.body == b"part") is passes, why
    record = next(each for each in reversed(proxy.records()) if each["file"] and each["file"]["name"] == f"{name}.bin")
    assert record["default_behaviour"] is True
    assert record["action"] == ("audit" if passes else "block")


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
