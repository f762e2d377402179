"""Kleene's logic, by its tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import pytest

from casb.model.activity import Activity
from casb.model.decision import Truth
from casb.policy.truths import NO, UNKNOWN, YES, Check, all_of, always, any_of, none_of, unknown
from policy_support import activity

ANY = activity()


def says(truth: Truth) -> Check:
    return lambda _: truth


@pytest.mark.parametrize("truths", [truths for size in (1, 2, 3) for truths in product(Truth, repeat=size)])
def test_all_any_and_none_are_minimum_maximum_and_its_opposite(truths: tuple[Truth, ...]) -> None:
    checks = [says(truth) for truth in truths]
    values = [truth.value for truth in truths]
    assert all_of(checks)(ANY) is Truth(min(values))
    assert any_of(checks)(ANY) is Truth(max(values))
    assert none_of(checks)(ANY) is Truth(2 - max(values))


@pytest.mark.parametrize(("combine", "decisive"), [(all_of, NO), (any_of, YES), (none_of, YES)])
@pytest.mark.parametrize("size", [2, 3])
def test_what_cannot_change_the_answer_is_not_asked(
    combine: Callable[[Sequence[Check]], Check], decisive: Truth, size: int
) -> None:
    def never(_: Activity) -> Truth:
        raise AssertionError("asked in vain")

    combine([says(decisive), *[never] * (size - 1)])(ANY)


def test_the_constants() -> None:
    assert always(ANY) is YES
    assert unknown(ANY) is UNKNOWN
