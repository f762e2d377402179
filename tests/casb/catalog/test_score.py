"""Scores, against an oracle that is written from the reference text alone and shares nothing with the code."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.factors import FACTORS, Family, Kind
from casb.catalog.known import KnownApp
from casb.catalog.metrics import DEFAULTS, Importance, Metrics, Weight
from casb.catalog.score import AppScore, Handling, Scorer, rounded
from catalog_support import DAY, app, extreme, facts


def scored(values: dict[str, Any], metrics: Metrics = DEFAULTS) -> AppScore:
    return Scorer(metrics, DAY).score(app("x", **values))


def weighted(importance: str = "medium", *, exclude_na: bool = True) -> Weight:
    return Weight(importance=Importance(importance), exclude_na=exclude_na)


def metrics(families: dict[str, Weight] | None = None, **factors: Weight) -> Metrics:
    return replace(
        DEFAULTS,
        factors=factors,
        families={**DEFAULTS.families, **{Family(name): each for name, each in (families or {}).items()}},
    )


@pytest.mark.parametrize(
    ("values", "family", "score", "why"),
    [
        ({"saml": True}, "security", 10, "a flag that is true"),
        ({"saml": False}, "security", 0, "a flag that is false"),
        ({"saml": True, "user_roles": False}, "security", 5, "the mean of two"),
        ({"saml": True}, "legal", None, "nothing is known there"),
        ({"remember_password": True}, "security", None, "information only carries no weight"),
        (
            {"http_security_headers": dict.fromkeys(FACTORS["http_security_headers"].values[:3], True)},
            "security",
            6,
            "3 of 5",
        ),
        ({"encryption_protocol": "tls1_3"}, "security", 10, "the best protocol"),
        ({"encryption_protocol": "not_supported"}, "security", 0, "no encryption"),
        ({"fedramp_level": "high", "soc_2": True}, "compliance", 10, "the best level"),
        ({"hipaa": "n/a", "soc_2": True}, "compliance", 10, "what does not apply is left out"),
        ({"hipaa": "n/a"}, "compliance", None, "only what does not apply"),
        ({"consumer_popularity": 7.5}, "general", 7.5, "a number as it is"),
        ({"founded": 2016}, "general", 9, "ten years old"),
        ({"founded": 2023}, "general", 5, "three years old"),
        ({"founded": 1900}, "general", 10, "old"),
        ({"founded": 2030}, "general", 0, "not founded yet"),
        ({"domain_registered": "2006-03-02"}, "general", 10, "twenty years registered"),
    ],
)
def test_values(values: dict[str, Any], family: str, score: float | None, why: str) -> None:
    found = scored(values).family(Family(family))
    if score is None:
        assert found is None, why
    else:
        assert found == pytest.approx(score, abs=0.01), why


def test_all_true_is_ten_all_false_is_nothing_and_empty_is_unscored() -> None:
    scorer = Scorer(DEFAULTS, DAY)
    best = scorer.of_facts(extreme(best=True))
    worst = scorer.of_facts(extreme(best=False))
    assert (best.total, best.general, best.security, best.compliance, best.legal) == (10, 10, 10, 10, 10)
    assert (worst.total, worst.general, worst.security, worst.compliance, worst.legal) == (0, 0, 0, 0, 0)
    assert scorer.of_facts({}) == AppScore()
    assert scorer.of_facts({}).rounded is None


def test_the_example_of_the_reference() -> None:
    """Three fields worth 10, 0 and 10 at medium, low and high: 60 of 7 parts."""
    found = scored(
        {"saml": True, "user_roles": False, "penetration_testing": True},
        metrics(saml=weighted("medium"), user_roles=weighted("low"), penetration_testing=weighted("high")),
    )
    assert found.security == pytest.approx(60 / 7)
    assert round(60 / 7, 2) == 8.57


def test_shipped_families_general_low_the_others_medium() -> None:
    found = scored({"disaster_recovery_plan": True, "saml": False, "soc_2": False, "dmca": False})
    assert found.total == pytest.approx(10 * 1 / 7)


def test_an_ignored_field_changes_no_score_and_weighs_nothing() -> None:
    ignored = metrics(user_roles=weighted("ignored"))
    with_it: dict[str, Any] = {"saml": True, "user_roles": False}
    without: dict[str, Any] = {"saml": True}
    assert scored(with_it, ignored) == scored(without, ignored)
    found = Scorer(ignored, DAY).explain(app("x", **with_it))
    line = next(each for family in found.families for each in family.factors if each.factor.id == "user_roles")
    assert (line.weight, line.share, line.score, line.handling) == (0, 0, None, Handling.IGNORED)


def test_what_does_not_apply_counts_as_nothing_when_included() -> None:
    """And flipping the switch changes only apps that have such a value in that field."""
    included = metrics(hipaa=weighted(exclude_na=False))
    assert scored({"hipaa": "n/a", "soc_2": True}, included).compliance == 5
    assert scored({"hipaa": "n/a"}, included).compliance == 0
    for values in ({"hipaa": True, "soc_2": True}, {"soc_2": True}, {"hipaa": False, "ferpa": "n/a"}):
        assert scored(values, included) == scored(values)


def test_a_family_of_which_nothing_applies() -> None:
    values = {"hipaa": "n/a", "saml": True}
    assert scored(values).total == 10, "left out"
    assert scored(values, metrics({"compliance": weighted(exclude_na=False)})).total == 5, "counted as 0"
    unknown = metrics({"legal": weighted(exclude_na=False)})
    assert scored({"saml": True}, unknown).total == 10, "unknown is not n/a"


def test_an_ignored_family_leaves_the_total_to_the_others() -> None:
    values = {"saml": True, "soc_2": False}
    assert scored(values).total == 5
    assert scored(values, metrics({"compliance": weighted("ignored")})).total == 10
    nothing = scored(values, metrics({family.value: weighted("ignored") for family in Family}))
    assert nothing.total is None
    assert nothing.security == 10, "its part is still told"


@pytest.mark.parametrize(("exact", "shown"), [(7.49, 7), (7.5, 8), (0.4, 0), (9.5, 10), (0.0, 0), (None, None)])
def test_rounding(exact: float | None, shown: int | None) -> None:
    assert rounded(exact) == shown


def test_an_explanation_adds_up() -> None:
    found = Scorer(DEFAULTS, DAY).explain(
        app("x", saml=True, user_roles=False, hipaa="n/a", soc_2=True, fedramp_level="low", founded=2010)
    )
    assert sum(family.weight for family in found.families) == pytest.approx(100)
    assert sum(family.share for family in found.families) == pytest.approx(100)
    for family in found.families:
        scored_ones = [each for each in family.factors if each.handling is not Handling.INFORMATION]
        assert sum(each.weight for each in scored_ones) == pytest.approx(100)
        counted = [each for each in family.factors if each.score is not None]
        if counted:
            assert sum(each.share for each in counted) == pytest.approx(100)
            assert sum((each.score or 0) * each.share / 100 for each in counted) == pytest.approx(family.score)
    total = sum((family.score or 0) * family.share / 100 for family in found.families)
    assert total == pytest.approx(found.score.total)
    hipaa = next(each for each in found.families[2].factors if each.factor.id == "hipaa")
    assert hipaa.handling is Handling.NA_EXCLUDED


# --- The oracle: exact fractions, straight from sections 3.1 to 3.5 of the reference.

MULTIPLIER = {"ignored": 0, "low": 1, "medium": 2, "high": 4, "very_high": 8}
GRADED = {
    "tls1_2": Fraction(9),
    "tls1_0": Fraction(3),
    "aes": Fraction(10),
    "des3": Fraction(4),
    "moderate": Fraction(8),
    "not_supported": Fraction(0),
}
POOL = {
    Family.SECURITY: ("saml", "user_roles", "encryption_protocol", "data_at_rest_encryption", "http_security_headers"),
    Family.COMPLIANCE: ("soc_2", "hipaa", "ferpa", "fedramp_level"),
    Family.LEGAL: ("dmca", "gdpr_right_to_object"),
    Family.GENERAL: ("disaster_recovery_plan", "consumer_popularity"),
}


def oracle(values: dict[str, Any], fields: dict[str, Weight], families: dict[Family, Weight]) -> Fraction | None:
    numerator = denominator = Fraction(0)
    for family, names in POOL.items():
        top = bottom = Fraction(0)
        not_applicable = False
        for name in names:
            if name not in values or fields[name].importance == "ignored":
                continue
            weight = MULTIPLIER[fields[name].importance]
            value = values[name]
            if value == "n/a":
                not_applicable = True
                if fields[name].exclude_na:
                    continue
                worth = Fraction(0)
            elif isinstance(value, bool):
                worth = Fraction(10 if value else 0)
            elif isinstance(value, dict):
                worth = Fraction(10 * sum(value.values()), 5)
            elif isinstance(value, str):
                worth = GRADED[value]
            else:
                worth = Fraction(value)
            top += worth * weight
            bottom += weight
        importance = MULTIPLIER[families[family].importance]
        if bottom:
            part = top / bottom
        elif not_applicable and not families[family].exclude_na:
            part = Fraction(0)
        else:
            continue
        numerator += part * importance
        denominator += importance
    return numerator / denominator if denominator else None


def _value(name: str) -> st.SearchStrategy[Any]:
    factor = FACTORS[name]
    choices: st.SearchStrategy[Any]
    match factor.kind:
        case Kind.FLAG:
            choices = st.booleans()
        case Kind.FLAGS:
            choices = st.fixed_dictionaries({each: st.booleans() for each in factor.values})
        case Kind.NUMBER:
            choices = st.integers(0, 10)
        case _:
            choices = st.sampled_from([each for each in factor.values if each in GRADED])
    return st.one_of(choices, st.just("n/a")) if factor.not_applicable else choices


NAMES = [name for names in POOL.values() for name in names]
weights = st.builds(Weight, importance=st.sampled_from(list(Importance)), exclude_na=st.booleans())


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries({}, optional={name: _value(name) for name in NAMES}),
    st.fixed_dictionaries({name: weights for name in NAMES}),
    st.fixed_dictionaries({family: weights for family in Family}),
)
def test_agrees_with_the_oracle(
    values: dict[str, Any], fields: dict[str, Weight], families: dict[Family, Weight]
) -> None:
    scorer = Scorer(replace(DEFAULTS, factors=fields, families=families), DAY)
    this = KnownApp(id="x", name="X", category="crm", facts=facts(values))
    found, expected = scorer.score(this).total, oracle(values, fields, families)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert math.isclose(found, float(expected), abs_tol=1e-9)
        assert 0 <= found <= 10
    assert scorer.explain(this).score.total == found


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(NAMES), st.fixed_dictionaries({}, optional={name: _value(name) for name in NAMES}))
def test_a_true_flag_never_lowers_and_a_false_one_never_raises(name: str, values: dict[str, Any]) -> None:
    if FACTORS[name].kind is not Kind.FLAG:
        return
    low = scored({**values, name: False}).total
    high = scored({**values, name: True}).total
    assert low is not None
    assert high is not None
    assert low <= high
