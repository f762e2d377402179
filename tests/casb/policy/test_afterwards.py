"""Activity policies: what matches once, and what only when it happens again and again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest

from casb.errors import Problems
from casb.model.activity import Activity, ActivityObject, ActivityType, Outcome
from casb.model.app import App
from casb.model.identity import Client, User
from casb.policy import afterwards
from casb.policy.afterwards import Counted, observe, reach
from casb.policy.engine import decide
from policy_support import NOW, activity, policies

MASS = """
- {id: mass, kind: activity, activities: download, action: audit, repeated: {at_least: 3, within: 1m%s}}
"""


def at(seconds: float, name: str = "", **facts: object) -> Activity:
    moment = NOW + timedelta(seconds=seconds)
    return replace(activity(file=name or f"{seconds}.txt"), id=f"{seconds}", time=moment, **facts)  # type: ignore[arg-type]


EVE = User(id="t/eve", name="eve@contoso.example")
OTHER = App(id="other", name="Other", domains=())


@pytest.mark.parametrize(
    ("more", "seen", "expected", "reason"),
    [
        ("", [at(0), at(1), at(2)], ["0", "1", "2"], "three within a minute"),
        ("", [at(0), at(1)], [], "only two"),
        ("", [at(0), at(30), at(60)], [], "the first is a whole minute old by then"),
        ("", [at(0), at(30), at(59)], ["0", "30", "59"], "just within"),
        ("", [at(0), at(0), at(0)], [], "the same one, told three times"),
        ("", [at(0), at(1), at(2, user=EVE)], [], "two people"),
        (", per: ip", [at(0), at(1), at(2, user=EVE)], ["0", "1", "2"], "one address"),
        (", per: ip", [at(0), at(1), at(2, client=Client(ip="198.51.100.1"))], [], "two addresses"),
        ("", [at(0), at(1, user=None), at(2)], [], "nobody is counted for nobody"),
        ("", [at(0), at(1, app=OTHER), at(2)], ["0", "1", "2"], "across apps"),
        (", in_one_app: true", [at(0), at(1, app=OTHER), at(2)], [], "two apps"),
        (", unique_files: true", [at(0, "a"), at(1, "a"), at(2, "a")], [], "one file, three times"),
        (", unique_files: true", [at(0, "a"), at(1, "b"), at(2, "a"), at(3, "c")], ["1", "2", "3"], "three files"),
        ("", [at(2), at(0), at(1)], ["0", "1", "2"], "told out of order"),
        ("", [at(0), at(1), at(1.5, type=ActivityType.VIEW), at(2)], ["0", "1", "2"], "a view is not counted"),
    ],
)
def test_again_and_again(more: str, seen: list[Activity], expected: list[str], reason: str) -> None:
    counted, found = Counted(), list[str]()
    for each in seen:
        for match in observe(counted, each, policies(MASS % more)):
            found += match.activities
    assert found == expected, reason


def test_after_a_match_the_count_begins_anew() -> None:
    counted, rules = Counted(), policies(MASS % "")
    matches = [list(observe(counted, at(each), rules)) for each in range(9)]
    assert [len(each) for each in matches] == [0, 0, 1, 0, 0, 1, 0, 0, 1]


def test_law_the_order_within_the_window_makes_no_difference() -> None:
    rules = policies(MASS % "")
    for order in permutations([at(0), at(10), at(20)]):
        counted = Counted()
        assert [match.activities for each in order for match in observe(counted, each, rules)] == [("0", "10", "20")]


def test_a_single_activity_matches_at_once() -> None:
    rules = policies(
        "- {id: p, kind: activity, action: audit, when: {activity: {action: block, policy: q}, object: board*}}"
    )
    board = (ActivityObject(type="folder", id="1", name="Board"),)
    refused = replace(activity(), objects=board, outcome=Outcome(action="block", policies=frozenset({"q"})))
    assert [match.policy.id for match in observe(Counted(), refused, rules)] == ["p"]
    assert not list(observe(Counted(), replace(refused, outcome=None), rules))
    assert decide(refused, rules).action.word == "allow"  # It refuses nothing.


def test_what_the_log_does_not_know_matches_nothing() -> None:
    rules = policies("- {id: p, kind: activity, action: audit, when: {file: {label: {not: public}}}}")
    assert not list(observe(Counted(), activity(file="a.docx"), rules))


def test_state_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(afterwards, "MOST_SERIES", 10)
    counted, rules = Counted(), policies(MASS % "")
    for each in range(1000):
        list(observe(counted, at(each / 100, user=User(id=f"u{each}", name="x")), rules))
    assert len(counted.series) == 10


def test_how_far_back_it_looks() -> None:
    assert reach(policies(MASS % "").afterwards) == timedelta(minutes=1)
    assert reach(()) == timedelta()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("action: audit, repeated: {at_least: 3, within: 1m}", "P035 'repeated' is for activity policies"),
        ("kind: activity, action: block", "P035 an activity policy comes afterwards and can only audit"),
        ("kind: activity, action: audit, message: hello", "P035 an activity policy has no 'message'"),
        ("kind: activity, action: audit, unscannable: block", "P035 an activity policy has no 'unscannable'"),
        ("kind: activity, action: audit, repeated: {at_least: 1, within: 1m}", "P017 'at_least' is 2 to 10000"),
        ("kind: activity, action: audit, repeated: {at_least: 3, within: soon}", "P017 'soon' is no length of time"),
        ("kind: activity, action: audit, repeated: {at_least: 3, within: 2d}", "P017 'within' is at most a day"),
        ("action: audit, when: {activity: {action: block}}", "P035 'action' is known only afterwards"),
        ("kind: access, action: audit, when: {request: a.example}", "P035 'request' cannot be known at sign-in"),
        ("kind: access, action: audit, when: {app: {instance: x}}", "P035 'instance' cannot be known at sign-in"),
    ],
)
def test_mistakes(written: str, message: str) -> None:
    with pytest.raises(Problems) as caught:
        policies(f"- {{id: p, {written}}}")
    assert message in str(caught.value)
