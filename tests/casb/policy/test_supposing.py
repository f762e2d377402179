"""Every condition can be supposed to hold and to fail."""

import pytest

from casb.policy.supposing import _SETTERS, plain, suppose, supposed
from casb.policy.truths import NO, YES
from casb.policy.vocabulary import FIELDS
from policy_support import activity, policy_for, policy_when, read_file


def test_there_is_a_setter_for_every_condition() -> None:
    assert set(_SETTERS) == {field.code for field in FIELDS}


@pytest.mark.parametrize(("code", "example"), [(field.code, each) for field in FIELDS for each in field.examples])
def test_values_for_both_answers(code: str, example: str) -> None:
    leaf = next(policy_for(code, example).when.leaves())
    start = activity(file=read_file("a.bin"))
    for holding, truth in ((True, YES), (False, NO)):
        found = list(supposed(leaf, start, holding=holding))
        assert found, f"{example}: no value for which it {'holds' if holding else 'fails'}"
        assert all(leaf.check(changed) is truth for _, changed in found)


def test_words_in_any_case() -> None:
    leaf = next(policy_when("device: {tag: [Compliant]}").all[0].when.leaves())
    assert next(supposed(leaf, activity(), holding=True))[1].device.managed


def test_a_fact_of_somebody_who_is_not_there() -> None:
    changed = suppose(activity(user=None, file=None), "user.group", frozenset({"hr"}))
    assert changed.user is not None and changed.user.groups == {"hr"}


@pytest.mark.parametrize(
    ("value", "told"), [(None, "absent"), (frozenset(), "none"), (frozenset("ba"), "a, b"), (True, "true"), (3, "3")]
)
def test_values_are_told(value: object, told: str) -> None:
    assert plain(value) == told
