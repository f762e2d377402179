"""What a single value of a factor is worth, from 0 (worst) to 10 (best).

The reference product documents the form of each rule and not its numbers; the numbers here are ours (decision 0012).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from datetime import date

from casb.catalog.factors import Factor, Kind
from casb.catalog.known import Value

AGE: tuple[tuple[float, float], ...] = ((0, 0), (1, 2), (3, 5), (5, 7), (10, 9), (20, 10))
"""Years since founding or registration, and what they are worth; straight lines between, flat beyond."""

GRADES: Mapping[str, Mapping[str, float]] = {
    "holding": {"private": 0, "public": 10},
    "data_at_rest_encryption": {
        "not_supported": 0,
        "rc4": 1,
        "des": 2,
        "des3": 4,
        "blowfish": 6,
        "rsa": 7,
        "bitlocker": 9,
        "aes": 10,
    },
    "encryption_protocol": {"not_supported": 0, "ssl3": 1, "tls1_0": 3, "tls1_1": 5, "tls1_2": 9, "tls1_3": 10},
    "pci_dss_version": {
        "not_supported": 0,
        "1": 3,
        "2": 5,
        "3": 7,
        "3.1": 7.5,
        "3.2": 8.5,
        "3.2.1": 9,
        "4": 10,
    },
    "fedramp_level": {"not_supported": 0, "li_saas": 4, "low": 5, "moderate": 8, "high": 10},
    "csa_star_level": {
        "self_assessment": 4,
        "c_star_assessment": 6,
        "attestation": 8,
        "certification": 9,
        "continuous_monitoring": 10,
    },
    "data_retention_policy": {
        "data_retained": 0,
        "deleted_after_more_than_3_months": 3,
        "deleted_within_3_months": 5,
        "deleted_within_1_month": 7,
        "deleted_within_2_weeks": 9,
        "deleted_immediately": 10,
    },
}
"""Graded words. A word that means `not at all` is worth nothing; the best is worth 10."""

_DAYS_A_YEAR = 365.2425


def property_score(factor: Factor, value: Value, on: date) -> float | None:
    """What `value`, which is neither unknown nor n/a, is worth on a day; None for a factor that is information only."""
    match factor.kind:
        case Kind.FLAG:
            return 10.0 if value is True else 0.0
        case Kind.ENUM:
            return _grade(factor, str(value))
        case Kind.FLAGS if isinstance(value, tuple):
            met = sum(1 for pair in value if pair[1] is True)
            return 10.0 * met / len(factor.values)
        case Kind.NUMBER if isinstance(value, int | float):
            return min(10.0, max(0.0, float(value)))
        case Kind.YEAR if isinstance(value, int):
            return along(AGE, on.year - value)
        case Kind.DATE if factor.scored:
            return along(AGE, (on - date.fromisoformat(str(value))).days / _DAYS_A_YEAR)
    return None


def along(curve: tuple[tuple[float, float], ...], at: float) -> float:
    """The height of a piecewise straight curve at `at`; before its first and behind its last point it is flat.

    >>> along(((0, 0), (10, 5)), 4)
    2.0
    """
    right = bisect_right(curve, (at, float("inf")))
    if right == 0:
        return float(curve[0][1])
    if right == len(curve):
        return float(curve[-1][1])
    (x0, y0), (x1, y1) = curve[right - 1], curve[right]
    return y0 + (y1 - y0) * (at - x0) / (x1 - x0)


def _grade(factor: Factor, word: str) -> float:
    grades = GRADES.get(factor.id)
    if grades is not None:
        return float(grades[word])
    return 10.0 * factor.values.index(word) / max(1, len(factor.values) - 1)
