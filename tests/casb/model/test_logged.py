"""Deciding again from the log gives what was decided then."""

import json
from datetime import UTC, datetime

import pytest

from casb.model.activity import TextFacts
from casb.model.decision import ALLOWED
from casb.model.file import Finding, Verdict, VerdictStatus
from casb.model.logged import from_json
from casb.model.record import Record, to_json
from casb.policy.engine import decide
from casb.policy.supposing import supposed
from casb.policy.vocabulary import AFTERWARDS, FIELDS
from policy_support import activity, policies, policy_for, read_file

UNLOGGED = ("text.content", "file.property")
EVERY = [(field.code, example) for field in FIELDS for example in field.examples if field.code not in UNLOGGED]


@pytest.mark.parametrize(("code", "example"), EVERY)
def test_each_condition_answers_the_same_from_the_log(code: str, example: str) -> None:
    if code in AFTERWARDS:
        leaf = next(policy_for(code, example).when.leaves())
        for _, done in (pair for holding in (True, False) for pair in supposed(leaf, activity(), holding=holding)):
            assert done.outcome is not None
            told = {**to_json(Record(activity=done, decision=ALLOWED)), "action": done.outcome.action}
            told["matched"] = sorted(done.outcome.policies)
            told["alerts"] = [{"policy": each} for each in sorted(done.outcome.alerts)]
            assert leaf.check(from_json(json.loads(json.dumps(told)))) is leaf.check(done)
        return
    asked = policies(f"- {{id: p, action: block, unscannable: audit, when: {{{example}}}}}")
    leaf = next(iter(asked.all[0].when.leaves()))
    start = activity(file=read_file("a.bin", detected_type="image/png"))
    tried = [start, activity(), activity(file="a.bin"), activity(user=None)]
    tried += [changed for holding in (True, False) for _, changed in supposed(leaf, start, holding=holding)]
    assert len(tried) > 5, "there are values for both answers"
    for each in tried:
        decision = decide(each, asked)
        told = json.loads(json.dumps(to_json(Record(activity=each, decision=decision))))
        assert decide(from_json(told), asked) == decision


def test_the_text_itself_is_not_in_the_log() -> None:
    given = activity("copy", text=TextFacts(content="a secret", length=8))
    asked = policies("- {id: p, action: block, unscannable: audit, when: {text: {contains: secret}}}")
    told = json.dumps(to_json(Record(activity=given, decision=decide(given, asked))))
    assert "secret" not in told.replace("contains: secret", "")
    assert from_json(json.loads(told)).text == TextFacts(length=8)
    assert decide(from_json(json.loads(told)), asked, final=True).action.word == "audit"


@pytest.mark.parametrize(("kind", "text"), [("copy", TextFacts()), ("print", TextFacts()), ("download", None)])
def test_a_record_of_old_has_an_unknown_text_where_there_was_one(kind: str, text: TextFacts | None) -> None:
    told = to_json(Record(activity=activity(kind), decision=decide(activity(kind), policies("[]"))))
    del told["text"]
    assert from_json(told).text == text


def test_findings_come_back() -> None:
    verdict = Verdict(
        status=VerdictStatus.SENSITIVE, findings=(Finding(info_type="iban", count=3),), label="Secret", inspector="i"
    )
    given = activity(file=read_file("a.txt", verdict=verdict))
    told = json.loads(
        json.dumps(to_json(Record(activity=given, decision=decide(given, policies("- {id: p, action: audit}")))))
    )
    file = from_json(told).file
    assert file is not None and file.verdict is not None
    assert file.verdict.findings == verdict.findings
    assert file.label == "Secret"


def test_times_are_aware() -> None:
    given = activity()
    told = to_json(Record(activity=given, decision=decide(given, policies("- {id: p, action: audit}"))))
    assert from_json(told).time == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("data", [{}, {"id": "1"}, {"id": "1", "time": 3, "activity": "view"}, {"time": "x"}])
def test_what_is_no_record_says_so(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"no activity record|isoformat"):
        from_json(data)
