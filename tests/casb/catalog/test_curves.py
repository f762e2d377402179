import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.catalog.curves import AGE, GRADES, along, property_score
from casb.catalog.factors import FACTORS, Kind
from catalog_support import DAY


def test_every_graded_word_is_known_and_words_get_better() -> None:
    for name, grades in GRADES.items():
        assert tuple(grades) == FACTORS[name].values, name
        assert list(grades.values()) == sorted(grades.values()), name
        assert max(grades.values()) == 10, name
        assert grades.get("not_supported", 0) == 0, name


def test_every_scored_enum_is_graded() -> None:
    enums = {name for name, factor in FACTORS.items() if factor.scored and factor.kind is Kind.ENUM}
    assert enums == set(GRADES)


@pytest.mark.parametrize(
    ("at", "height"), [(-1, 0), (0, 0), (0.5, 1), (1, 2), (2, 3.5), (3, 5), (7.5, 8), (20, 10), (99, 10)]
)
def test_the_age_curve(at: float, height: float) -> None:
    assert along(AGE, at) == pytest.approx(height)


@given(st.floats(-50, 200), st.floats(-50, 200))
def test_older_is_never_worse(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert along(AGE, low) <= along(AGE, high)


def test_information_is_worth_nothing() -> None:
    assert property_score(FACTORS["latest_breach"], "2024-01-01", DAY) is None
    assert property_score(FACTORS["homepage"], "https://x.example", DAY) is None


def test_a_composite_is_its_share() -> None:
    headers = FACTORS["http_security_headers"]
    for met in range(6):
        flags = tuple((name, at < met) for at, name in enumerate(headers.values))
        assert property_score(headers, flags, DAY) == 2 * met
