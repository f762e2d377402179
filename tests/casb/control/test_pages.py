"""What a user sees: the form fits the reader, the text is encoded for its place."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.catalog.filenames import parse_disposition
from casb.control.pages import (
    Page,
    Refusal,
    attachment,
    error_page,
    html,
    message_of,
    notice,
    redirect,
    refusal_page,
    sign_in_needed,
    title_of,
)
from casb.model.activity import RequestMode
from casb.model.decision import Action, Decision
from control_support import get

EVIL = '<script>alert("x")</script>'


def refusal(mode: RequestMode = RequestMode.NAVIGATION, action: Action = Action.BLOCK, **more: Any) -> Refusal:
    facts: dict[str, Any] = {
        "activity_id": "A1",
        "decision": Decision(action=action, policy="p-1", message=more.pop("message", "Not here.")),
        "facts": get(mode=mode),
        "app_name": "Files",
        "file_name": "a.xlsx",
    }
    return Refusal(**(facts | more))


def header(page: Page, name: str) -> str:
    return next(value for key, value in page.headers if key == name)


@pytest.mark.parametrize(
    ("given_refusal", "status", "kind", "why"),
    [
        (refusal(), 403, "text/html; charset=utf-8", "a page for a person"),
        (refusal(is_download=True), 200, "text/plain; charset=utf-8", "a text file in place of the file"),
        (refusal(RequestMode.FETCH, is_download=True), 403, "application/json", "a script is told"),
        (refusal(RequestMode.OTHER), 403, "application/json", "a program is told"),
    ],
)
def test_the_form_fits_its_reader(given_refusal: Refusal, status: int, kind: str, why: str) -> None:
    page = refusal_page(given_refusal)
    assert (page.status, header(page, "content-type")) == (status, kind), why
    assert header(page, "x-casb-activity") == "A1"
    assert header(page, "cache-control") == "no-store"
    assert b"Not here." in page.body
    assert b"A1" in page.body


@pytest.mark.parametrize(
    ("given_refusal", "title", "message"),
    [
        (refusal(message="", is_download=True), "Download blocked", "Downloading this file is not allowed by your organisation's policy."),
        (refusal(message=""), "Action blocked", "This action is not allowed by your organisation's policy."),
        (refusal(message="", is_logon=True), "Access to Files was refused", "Opening Files is not allowed by your organisation's policy."),
        (refusal(action=Action.STEP_UP, message=""), "Action blocked", "This action needs a stronger sign-in first."),
    ],
)  # fmt: skip
def test_words_of_our_own(given_refusal: Refusal, title: str, message: str) -> None:
    assert (title_of(given_refusal), message_of(given_refusal)) == (title, message)


def test_a_failure_of_ours_says_so() -> None:
    decision = Decision(action=Action.BLOCK, default_behaviour=True)
    text = message_of(Refusal(activity_id="1", decision=decision, facts=None, app_name=""))
    assert "could not examine" in text


@pytest.mark.parametrize(
    ("action", "casb", "kind"), [(Action.BLOCK, "blocked", "block"), (Action.STEP_UP, "step-up", "step-up")]
)
def test_scripts_and_the_dialog_can_tell_them_apart(action: Action, casb: str, kind: str) -> None:
    given_refusal = refusal(RequestMode.FETCH, action)
    value = json.loads(refusal_page(given_refusal).body)
    assert (value["casb"], value["activity"], value["message"]) == (casb, "A1", "Not here.")
    assert notice(given_refusal)["kind"] == kind


def test_nothing_breaks_out_of_a_page() -> None:
    page = refusal_page(refusal(message=EVIL, app_name=EVIL, file_name=EVIL, user_name=EVIL))
    assert b"<script" not in page.body
    assert b"&lt;script&gt;" in page.body


def test_a_page_allows_its_own_style_and_script_and_nothing_else() -> None:
    page = html(200, "T", "<p>x</p>", script="go()")
    policy = header(page, "content-security-policy")
    body = page.body.decode()
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        found = re.search(f"<{tag}>(.*?)</{tag}>", body, re.DOTALL)
        assert found is not None
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in header(html(200, "T", ""), "content-security-policy")


def test_small_answers() -> None:
    assert redirect("/x").status == 303
    assert header(redirect("/x"), "location") == "/x"
    assert json.loads(sign_in_needed("https://a/").body) == {"casb": "sign-in", "url": "https://a/"}
    assert sign_in_needed("https://a/").status == 401


@pytest.mark.parametrize(
    ("mode", "kind"), [(RequestMode.NAVIGATION, "text/html"), (RequestMode.FETCH, "application/json")]
)
def test_an_error_page(mode: RequestMode, kind: str) -> None:
    page = error_page(502, "Away", "It is away.", "A9", facts=get(mode=mode))
    assert header(page, "content-type").startswith(kind)
    assert header(page, "x-casb-activity") == "A9"
    assert b"It is away." in page.body
    assert not any(name == "x-casb-activity" for name, _ in error_page(404, "T", "m", "").headers)


@given(st.text(min_size=1, max_size=60))
def test_any_file_name_survives_its_header(name: str) -> None:
    """RFC 6266: no control character, no quote, and the name as it was in the extended form."""
    try:
        name.encode()
    except UnicodeEncodeError:
        name = "x"
    value = attachment(name)
    assert value.isascii()
    assert value.isprintable()
    assert parse_disposition(value).attachment
    extended = value.partition("filename*=UTF-8''")[2]
    assert re.fullmatch(r"(?:[A-Za-z0-9._-]|%[0-9A-F]{2})*", extended)
