"""Recorded activities under other policies."""

import json
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from casb.control.timemachine import Comparison, Frequent, compare, identical, to_json
from casb.model.activity import TextFacts
from casb.model.decision import Action
from casb.model.record import Record
from casb.model.record import to_json as record_json
from casb.policy.compile import Policies
from casb.policy.engine import decide
from policy_support import NOW, activity, policies, read_file
from sample_records import record

BLOCK = policies("- {id: p, activities: download, action: block, when: {device: unmanaged}}")
AUDIT = policies("- {id: p, activities: download, action: audit, when: {device: unmanaged}}")
SHADOW = policies("- {id: p, activities: download, action: block, when: {device: unmanaged}, rollout: shadow}")


def line(in_force: Policies, **facts: Any) -> dict[str, Any]:
    """A line of the log as these policies would have written it."""
    given = activity(**facts)
    told = record_json(Record(activity=given, decision=decide(given, in_force, final=True)))
    read: dict[str, Any] = json.loads(json.dumps(told))
    return read


def last(records: list[dict[str, Any]], after: Policies, before: Policies | None = None) -> Comparison:
    *_, found = [Comparison(), *compare(records, after, before)]
    return found


def test_stricter_and_for_whom() -> None:
    lines = [line(AUDIT, file="a.xlsx"), line(AUDIT, file="a.xlsx", tags=("compliant",)), line(AUDIT, file="b.xlsx")]
    told = to_json(last(lines, BLOCK))
    assert (told["total"], told["changed"], told["tighter"], told["looser"]) == (3, 2, 2, 0)
    assert told["transitions"] == [{"before": "audit", "after": "block", "activities": 2}]
    assert told["people"] == {
        "affected": 1,
        "most": [{"user": "ada@contoso.example", "activities": 2, "tighter": 2, "looser": 0}],
    }
    assert told["files"] == [{"file": "a.xlsx", "activities": 1}, {"file": "b.xlsx", "activities": 1}]
    assert told["policies"]["tighter"] == [{"policy": "p", "activities": 2}]
    assert [each["id"] for each in told["samples"][0]["activities"]] == ["01", "01"]


def test_milder_names_the_policy_that_was_strict() -> None:
    told = to_json(last([line(BLOCK, file="a")], AUDIT))
    assert (told["looser"], told["policies"]["looser"]) == (1, [{"policy": "p", "activities": 1}])


def test_a_draft_against_the_folder_does_not_ask_what_happened() -> None:
    assert last([line(BLOCK, file="a")], AUDIT, AUDIT).changed == 0
    assert last([line(AUDIT, file="a")], BLOCK, AUDIT).changed == 1


def test_what_a_shadow_would_have_done() -> None:
    found = last([line(AUDIT, file="a")], SHADOW)
    assert to_json(found)["policies"]["shadow"] == [{"policy": "p", "action": "block", "activities": 1}]
    assert found.looser == 1, "in shadow it is not even recorded as a match"


def test_what_no_policy_decided_is_left_out() -> None:
    failure = line(BLOCK, file="a") | {"default_behaviour": True}
    found = last([failure, {}, {"id": 3}], BLOCK)
    assert (found.total, found.left_out) == (0, 3)


def test_what_the_log_does_not_keep_is_told_and_counts_as_the_same() -> None:
    rules = "- {{id: p, activities: [download, copy], action: block, when: {{{}}}}}"
    unread = line(AUDIT, file="a.xlsx")
    authored = line(AUDIT, file=read_file("a.docx", properties=(("author", "Ada"),)))
    plain = line(AUDIT, file=read_file("a.txt"))
    copied = line(AUDIT, kind="copy", text=TextFacts(content="a secret", length=8))
    for when, told, sure in (
        ("file: {findings: iban}", [unread], []),
        ("file: {property: '*ada*'}", [authored], [plain]),
        ("text: {contains: secret}", [copied], []),
    ):
        after = policies(rules.format(when))
        found = last(told + sure, after)
        assert (found.total, found.unsure) == (len(told) + len(sure), len(told)), when
        assert last(told + sure, after, policies("- {id: p, action: audit}")).unsure == len(told), when
    assert last([plain], policies(rules.format("file: {property: '*ada*'}"))).transitions == {
        (Action.AUDIT, Action.ALLOW): 1
    }
    assert "Ada" not in json.dumps(authored["file"])


def test_days_in_order() -> None:
    lines = [line(AUDIT, file="a") | {"time": (NOW + timedelta(days=day)).isoformat()} for day in (2, 0, 1)]
    told = to_json(last(lines, BLOCK))
    assert [(each["day"], each["before"], each["after"]) for each in told["days"]] == [
        ("2026-01-01", {"audit": 1}, {"block": 1}),
        ("2026-01-02", {"audit": 1}, {"block": 1}),
        ("2026-01-03", {"audit": 1}, {"block": 1}),
    ]


@given(st.integers(0, 500))
def test_the_log_alone_gives_the_same_decision(number: int) -> None:
    facts = record(number)
    found = last([facts], BLOCK)
    assert found.total + found.left_out == 1


def test_identical_to_the_last_reason() -> None:
    kept = line(BLOCK, file="a.xlsx")
    assert identical(kept, BLOCK)
    assert not identical(kept, AUDIT)
    kept["reasons"][0]["column"] += 1
    assert not identical(kept, BLOCK), "a reason that stands elsewhere is another reason"


def test_frequent_names_stay_bounded() -> None:
    counted = Frequent(most=10)
    for number in range(1000):
        counted.add("often")
        counted.add(f"once-{number}")
    assert counted.top(1) == [("often", 1000)]
    assert len(counted.top(100)) <= 10
