"""When a connection is an attempt at a blocked app, and what it came to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from casb.discovery.endpoint_attempts import GRACE, InForce, attempts, covering
from casb.discovery.endpoint_records import NetworkEvent, record_of
from endpoint_support import NOW, blocked, row

PUSHED = NOW - GRACE - timedelta(minutes=5)


def rule(domain: str = "bad.example", **facts: Any) -> dict[str, InForce]:
    given = {"app": "bad", "name": "Bad", "warn": False, "since": PUSHED, **facts}
    return {domain: InForce(domain=domain, **given)}


def kinds(rows: list[dict[str, Any]], rules: dict[str, InForce], groups: dict[str, str] | None = None) -> list[str]:
    events = [event for each in rows if isinstance(event := record_of(each, 1), NetworkEvent)]
    return [each.kind.value for each in attempts(events, rules, groups or {})]


def later(seconds: int) -> Any:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("rows", "rules", "expected", "why"),
    [
        ([row("x.bad.example")], rule(), ["reached"], "a handshake alone says little"),
        ([row("x.bad.example", ReceivedBytes=9)], rule(), ["not blocked"], "an answer came"),
        ([row("bad.example", AdditionalFields='{"status_code":200}')], rule(), ["not blocked"], "a page was served"),
        ([blocked("x.bad.example")], rule(), ["blocked"], "network protection says so"),
        ([row("x.bad.example"), blocked("x.bad.example", at=later(2))], rule(), ["blocked"], "one attempt"),
        ([blocked("x.bad.example"), row("x.bad.example", at=later(2))], rule(), ["blocked"], "in any order"),
        ([blocked("x.bad.example"), row("x.bad.example", at=later(2), ReceivedBytes=1)], rule(), ["not blocked"], "got through"),
        ([blocked("x.bad.example"), blocked("x.bad.example", at=later(600))], rule(), ["blocked"] * 2, "two attempts"),
        ([blocked("x.bad.example"), blocked("y.bad.example")], rule(), ["blocked"] * 2, "two hosts"),
        ([blocked("x.bad.example", ActionType="SmartScreenUserOverride")], rule(warn=True), ["bypassed"], "went on"),
        ([row("bad.example", ReceivedBytes=9)], rule(warn=True), [], "a warning lets people go on"),
        ([row("bad.example", ReceivedBytes=9)], rule(since=None), [], "not pushed yet"),
        ([row("bad.example", ReceivedBytes=9)], rule(since=NOW - timedelta(hours=1)), [], "not in force yet"),
        ([blocked("bad.example")], rule(since=NOW - timedelta(hours=1)), ["blocked"], "in force sooner than promised"),
        ([row("good.example", ReceivedBytes=9)], rule(), [], "another app"),
        ([row("notbad.example", ReceivedBytes=9)], rule(), [], "no name below it"),
        ([row("bad.example", ActionType="ConnectionFailed")], rule(), [], "failed for whatever reason"),
    ],
)  # fmt: skip
def test_kinds(rows: list[dict[str, Any]], rules: dict[str, InForce], expected: list[str], why: str) -> None:
    assert kinds(rows, rules) == expected, why


@pytest.mark.parametrize(("group", "expected"), [("Sales", ["not blocked"]), ("IT", []), ("", [])])
def test_devices_outside_the_profile_may_connect(group: str, expected: list[str]) -> None:
    rules = rule(groups=frozenset({"Sales"}))
    assert kinds([row("bad.example", ReceivedBytes=1)], rules, {"d1": group}) == expected


def test_an_attempt_has_one_id_whatever_came_with_it() -> None:
    events = [record_of(each, 1) for each in (row("bad.example"), row("bad.example", at=later(3)))]
    told = [each for each in events if isinstance(each, NetworkEvent)]
    assert attempts(told, rule(), {})[0].id == attempts(told[:1], rule(), {})[0].id


def test_the_nearest_indicator_covers() -> None:
    rules = rule() | rule("x.bad.example", app="nearer")
    found = covering("a.x.bad.example", rules)
    assert found is not None and found.app == "nearer"
    assert covering(None, rules) is None
