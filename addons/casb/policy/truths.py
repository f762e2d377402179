"""Kleene's logic over conditions: yes, no and not known yet (house.md section 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from casb.model.activity import Activity
from casb.model.decision import Truth

NO: Final = Truth.NO
UNKNOWN: Final = Truth.UNKNOWN
YES: Final = Truth.YES

type Check = Callable[[Activity], Truth]
"""A compiled condition. It never raises and keeps nothing."""


def always(activity: Activity) -> Truth:
    """Holds for everything."""
    return YES


def unknown(activity: Activity) -> Truth:
    """Is never known."""
    return UNKNOWN


def all_of(checks: Sequence[Check]) -> Check:
    """NO as soon as one says no; YES only when all say yes."""
    if len(checks) == 1:
        return checks[0]
    if len(checks) == 2:
        return _both(*checks)
    every = tuple(checks)

    def check(activity: Activity) -> Truth:
        result = YES
        for each in every:
            truth = each(activity)
            if truth is NO:
                return NO
            if truth is UNKNOWN:
                result = UNKNOWN
        return result

    return check


def _both(first: Check, second: Check) -> Check:
    def check(activity: Activity) -> Truth:
        truth = first(activity)
        if truth is NO:
            return NO
        other = second(activity)
        return truth if other is YES else other

    return check


def any_of(checks: Sequence[Check]) -> Check:
    """YES as soon as one says yes; NO only when all say no."""
    if len(checks) == 1:
        return checks[0]
    every = tuple(checks)

    def check(activity: Activity) -> Truth:
        result = NO
        for each in every:
            truth = each(activity)
            if truth is YES:
                return YES
            if truth is UNKNOWN:
                result = UNKNOWN
        return result

    return check


def none_of(checks: Sequence[Check]) -> Check:
    """The opposite of `any_of`."""
    positive = any_of(checks)

    def check(activity: Activity) -> Truth:
        truth = positive(activity)
        if truth is UNKNOWN:
            return UNKNOWN
        return NO if truth is YES else YES

    return check
