"""Pages about tagged apps: what they say, to whom in which form, and that names cannot become markup."""

from __future__ import annotations

import json

import pytest

from casb.control.pages import Page
from casb.control.tag_pages import CONTINUE, Notice, blocked_page, hours_of, warned_page
from casb.model.activity import RequestFacts, RequestMode

EVIL = '"><script>alert(1)</script>'


def notice(mode: RequestMode = RequestMode.NAVIGATION, **facts: object) -> Notice:
    request = RequestFacts(method="GET", scheme="https", host="mega.example", port=443, path="/", mode=mode)
    given = {"app": "Mega", "host": "mega.example", "activity_id": "01A", "facts": request} | facts
    return Notice(**given)  # type: ignore[arg-type]


def header(page: Page, name: str) -> str:
    return dict(page.headers)[name]


def test_the_blocked_page_says_why_and_what_else() -> None:
    page = blocked_page(
        notice(
            category="cloud_storage",
            score=3,
            user="ada@contoso.example",
            alternatives=(("Files", "https://files.example/"), ("Box", "")),
            help="https://help.example/a?b&c",
        )
    )
    text = page.body.decode()
    assert page.status == 403
    assert header(page, "x-casb-activity") == "01A"
    assert "frame-ancestors 'none'" in header(page, "content-security-policy")
    for part in (
        "Mega is blocked", "marked Mega as unsanctioned", "Cloud storage", "3 (0 to 10, 10 is safest)", "ada@contoso.example", "01A",
        '<a href="https://files.example/" rel=noreferrer>Files</a>', "<li>Box</li>", "https://help.example/a?b&amp;c",
    ):  # fmt: skip
        assert part in text, part
    assert "<form" not in text


def test_nothing_known_leaves_no_gaps() -> None:
    text = blocked_page(notice()).body.decode()
    assert "Approved for the same purpose" not in text
    assert "Risk score" not in text
    assert "None" not in text


def test_the_warning_has_a_way_on() -> None:
    page = warned_page(notice(), token="k.a+b/=", path="/x?y=1&z", hours="2 hours")
    text = page.body.decode()
    assert f'<form method=post action="{CONTINUE}?t=k.a%2Bb%2F%3D&amp;to=%2Fx%3Fy%3D1%26z">' in text
    assert "opens the application for 2 hours" in text


@pytest.mark.parametrize("mode", [each for each in RequestMode if each is not RequestMode.NAVIGATION])
def test_scripts_and_programs_get_json(mode: RequestMode) -> None:
    for page, code in (
        (blocked_page(notice(mode, alternatives=(("Box", ""),))), "blocked"),
        (warned_page(notice(mode, alternatives=(("Box", ""),)), token="t", path="/", hours="2 hours"), "warned"),
    ):
        found = json.loads(page.body)
        assert (page.status, found["casb"], found["activity"], found["alternatives"]) == (403, code, "01A", ["Box"])
    assert json.loads(blocked_page(notice(facts=None)).body)["casb"] == "blocked"


def test_names_are_no_markup() -> None:
    facts = notice(app=EVIL, host=EVIL, user=EVIL, alternatives=((EVIL, EVIL),), help=EVIL, category=EVIL)
    for page in (blocked_page(facts), warned_page(facts, token=EVIL, path=EVIL, hours=EVIL)):
        assert b"<script" not in page.body


@pytest.mark.parametrize(
    ("seconds", "text"), [(3600, "1 hour"), (7200, "2 hours"), (60, "1 minute"), (5400, "90 minutes"), (61, "1 minute")]
)
def test_spans_in_words(seconds: int, text: str) -> None:
    assert hours_of(seconds) == text
