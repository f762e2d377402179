"""Coaching beside the browser tests: what a person wrote, and what a policy wants when we fail (`on_failure`)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from casb.proxy.coaching import clean
from proxy_world import World, world

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
