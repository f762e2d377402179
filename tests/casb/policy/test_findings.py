"""Conditions on findings: three-valued, growing, across types and categories; and how they are written wrongly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from casb.errors import Problems
from casb.model.activity import ActivityType, TextFacts
from casb.model.decision import Truth
from casb.model.file import FileFacts, Finding, Verdict, VerdictStatus
from casb.policy.cases import Given, activity_of
from casb.policy.compile import compile_policies
from casb.policy.conditions import asked
from casb.policy.engine import decide
from casb.policy.findings import told
from casb.policy.found import Found
from casb.policy.loader import load

NO, UNKNOWN, YES = Truth.NO, Truth.UNKNOWN, Truth.YES
CARDS = Finding(info_type="credit-card", count=4, confidence=85, total=6, levels=((65, 4), (75, 3), (85, 1)))
IBAN = Finding(info_type="iban", count=1, confidence=85)


def policies(when: str, own: tuple[str, ...] | None = ()) -> Any:
    text = f"version: 1\npolicies: [{{id: p, activities: [upload, paste], action: block, when: {{{when}}}}}]"
    return load({"p.yaml": text.encode()}, info_types=own).policies


def verdict(*findings: Finding, status: VerdictStatus = VerdictStatus.SENSITIVE) -> Verdict:
    return Verdict(status=status, findings=findings)


READ = FileFacts(name="a", inspected=True, verdict=verdict(CARDS, IBAN))
UNREAD = FileFacts(name="a")
HALF = FileFacts(name="a", verdict=verdict(CARDS))
CLOSED = FileFacts(name="a", inspected=True, verdict=verdict(status=VerdictStatus.UNSCANNABLE))
CLEAN = FileFacts(name="a", inspected=True, verdict=verdict(status=VerdictStatus.CLEAN))


@pytest.mark.parametrize(
    ("when", "read", "unread", "half", "closed", "clean"),
    [
        ("credit-card", YES, UNKNOWN, YES, UNKNOWN, NO),
        ("[credit-card, jwt]", YES, UNKNOWN, YES, UNKNOWN, NO),
        ("[jwt, de-tax-id]", NO, UNKNOWN, UNKNOWN, UNKNOWN, NO),
        ("financial", YES, UNKNOWN, YES, UNKNOWN, NO),
        ("secret", NO, UNKNOWN, UNKNOWN, UNKNOWN, NO),
        ("{credit-card: 3}", YES, UNKNOWN, YES, UNKNOWN, NO),
        ("{credit-card: 4}", NO, UNKNOWN, UNKNOWN, UNKNOWN, NO),
        ("{credit-card: {at_least: 4, confidence: low}}", YES, UNKNOWN, YES, UNKNOWN, NO),
        ("{credit-card: {at_least: 2, confidence: high}}", NO, UNKNOWN, UNKNOWN, UNKNOWN, NO),
        ("{credit-card: {more_than: 2}}", YES, UNKNOWN, YES, UNKNOWN, NO),
        ("{credit-card: {at_most: 2}}", NO, UNKNOWN, NO, UNKNOWN, YES),
        ("{credit-card: {at_most: 5}}", YES, UNKNOWN, UNKNOWN, UNKNOWN, YES),
        ("{credit-card: {at_least: 1, less_than: 4}}", YES, UNKNOWN, UNKNOWN, UNKNOWN, NO),
        ("{credit-card: 1, iban: 1}", YES, UNKNOWN, UNKNOWN, UNKNOWN, NO),
        ("{financial: {at_least: 4}}", YES, UNKNOWN, UNKNOWN, UNKNOWN, NO),
        ("{financial: {at_least: 5}}", NO, UNKNOWN, UNKNOWN, UNKNOWN, NO),
    ],
)
def test_what_is_known_decides(when: str, read: Truth, unread: Truth, half: Truth, closed: Truth, clean: Truth) -> None:
    (policy,) = policies(f"file: {{findings: {when}}}")
    base = activity_of(Given(activity=ActivityType.UPLOAD))
    answers = [policy.when.check(replace(base, file=file)) for file in (READ, UNREAD, HALF, CLOSED, CLEAN)]
    assert answers == [read, unread, half, closed, clean]
    assert policy.when.check(base) is NO  # no file at all


def test_a_text_is_searched_likewise() -> None:
    (policy,) = policies("text: {findings: {credit-card: 2}}")
    base = activity_of(Given(activity=ActivityType.PASTE))
    for text, truth in (
        (TextFacts(content="x"), UNKNOWN),
        (TextFacts(content="x", findings=(CARDS,)), YES),
        (TextFacts(content="x", findings=()), NO),
    ):
        assert policy.when.check(replace(base, text=text)) is truth


def test_content_is_asked_for_and_reasons_show_no_value() -> None:
    in_force = compile_policies(policies("file: {findings: {credit-card: 2}}"))
    base = activity_of(Given(activity=ActivityType.UPLOAD))
    assert decide(replace(base, file=UNREAD), in_force).needs
    decision = decide(replace(base, file=READ), in_force, final=True)
    (reason,) = decision.reasons
    assert (reason.code, reason.condition) == ("file.findings", "file: {findings: {credit-card: 2}}")
    assert reason.fact == "credit-card 4 (85 %), iban 1 (85 %)"
    assert decide(replace(base, file=CLOSED), in_force, final=True).action.word == "block"


@pytest.mark.parametrize(
    ("when", "error"),
    [
        ("credit-cards", "P014 unknown sensitive information type 'credit-cards'; did you mean 'credit-card'?"),
        ("[iban, 7]", "p.yaml:2:95: P016 'findings' names types"),
        ("[]", "P037"),
        ("{}", "P037"),
        ("{iban: {}}", "P037"),
        ("{iban: many}", "P016"),
        ("{iban: 1.5}", "P017"),
        ("{iban: -1}", "P017"),
        ("{iban: {atleast: 2}}", "P013 'findings' has no operator 'atleast'; did you mean 'at_least'?"),
        ("{iban: {confidence: sure}}", "P014 unknown confidence 'sure'; known: low, medium, high"),
        ("{iban: {at_least: 5, at_most: 2}}", "P017 no count of 'iban'"),
        ("{iban: true}", "P016"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(when: str, error: str) -> None:
    with pytest.raises(Problems) as caught:
        policies(f"file: {{findings: {when}}}")
    assert error in str(caught.value)


def test_types_of_an_organisation_are_known() -> None:
    assert policies("file: {findings: aurora}", ("aurora",))
    assert policies("file: {findings: aurora}", None)
    with pytest.raises(Problems):
        policies("file: {findings: aurora}")


def test_what_policies_ask_for() -> None:
    loaded = policies("any: [{file: {findings: [iban, secret]}}, {not: {text: {findings: {jwt: 2}}}}]")
    assert asked(each.when for each in loaded) == {"iban", "secret", "jwt"}


def test_told_is_short() -> None:
    many = tuple(Finding(info_type=f"t{number}", count=1) for number in range(20))
    assert told(Found(many, complete=False)).endswith("and 12 more (not all has been read)")
    assert told(Found()) == "nothing found"
