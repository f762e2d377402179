"""What a page must know beforehand, and what is decided at each attempt."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.control.in_page import LONGEST, attempt, concerned, rules
from casb.control.snapshot import Snapshot
from casb.model.activity import ActivityType, TextFacts
from casb.model.decision import Action
from control_support import NOW, party, snapshot

FILES = snapshot().catalog.by_id["files"]
PARTY = party()


@functools.cache
def world(policies: str) -> Snapshot:
    return snapshot(rules=f"version: 1\npolicies: {policies}\n")


def told(policies: str) -> dict[str, str]:
    return dict(rules(world(policies), FILES, PARTY, clock=lambda: NOW, new_id=lambda: "01"))


TABLE = [
    ("[]", {}, "no policy"),
    ("[{id: a, activities: upload, action: block}]", {}, "about something else"),
    ("[{id: a, activities: copy, action: block}]", {"copy": "block"}, "refused whatever the text"),
    ("[{id: a, activities: copy, action: audit}]", {"copy": "audit"}, "watched"),
    ("[{id: a, activities: copy, action: step_up}]", {"copy": "block"}, "not without more proof"),
    ("[{id: a, activities: copy, when: {device: compliant}, action: block}]", {}, "another device"),
    ("[{id: a, apps: intra, activities: copy, action: block}]", {}, "another app"),
    ("[{id: a, activities: paste, when: {text: {contains: x}}, action: block}]", {"paste": "ask text"}, "by the text"),
    ("[{id: a, activities: paste, when: {text: {contains: x}}, action: audit}]", {"paste": "ask text"}, "to record"),
    ("[{id: a, activities: copy, rollout: shadow, action: block}]", {"copy": "audit"}, "only watched"),
    (
        "[{id: a, activities: print, action: block}, "
        "{id: b, activities: print, when: {text: {contains: x}}, action: audit, alert: true}]",
        {"print": "block text"},
        "refused, and the text raises an alert",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("policies", "expected", "why"), TABLE, ids=[each[2] for each in TABLE])
def test_the_rules_of_a_page(policies: str, expected: dict[str, str], why: str) -> None:
    assert told(policies) == expected, why


def test_a_look_up_tells_whether_there_is_anything_to_decide() -> None:
    assert not concerned(world("[{id: a, activities: upload, action: block}]"), FILES)
    assert not concerned(world("[{id: a, apps: intra, activities: copy, action: block}]"), FILES)
    assert concerned(world("[{id: a, apps: files, activities: copy, action: block}]"), FILES)
    assert concerned(world("[{id: a, activities: print, action: audit}]"), FILES)


WORDS = "[{id: a, activities: copy, when: {text: {contains: secret}}, action: block, unscannable: audit}]"


@pytest.mark.parametrize(
    ("text", "action", "why"),
    [
        (TextFacts(content="a SECRET", length=8), Action.BLOCK, "in any case"),
        (TextFacts(content="se\u00adcret", length=7), Action.BLOCK, "invisible characters make no difference"),
        (TextFacts(content="harmless", length=8), Action.ALLOW, "another text"),
        (TextFacts(content="", length=0), Action.ALLOW, "no text at all"),
        (TextFacts(length=9), Action.AUDIT, "not told"),
        (TextFacts(content="x" * LONGEST + "secret", length=LONGEST + 6), Action.AUDIT, "too long to be looked at"),
    ],
)
def test_an_attempt_is_decided_by_its_text(text: TextFacts, action: Action, why: str) -> None:
    record = attempt(
        world(WORDS), FILES, PARTY, ActivityType.COPY, text, clock=lambda: NOW, new_id=lambda: "01", via="api"
    )
    assert record.decision.action is action, why
    assert record.extra == {"via": "api"}


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=40), action=st.sampled_from(["audit", "block", "step_up"]), asks=st.booleans())
def test_what_the_rules_let_pass_the_decision_lets_pass(text: str, action: str, asks: bool) -> None:
    when = "when: {text: {contains: a}}, " if asks else ""
    policies = f"[{{id: a, activities: [copy, print], {when}action: {action}}}]"
    rule = told(policies)["copy"]
    facts = TextFacts(content=text, length=len(text))
    decided = attempt(
        world(policies), FILES, PARTY, ActivityType.COPY, facts, clock=lambda: NOW, new_id=lambda: "01"
    ).decision.action
    if rule.startswith("block"):
        assert decided > Action.AUDIT
    if rule == "audit":
        assert decided is Action.AUDIT
