import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.catalog.factors import Family
from casb.catalog.metrics import (
    DEFAULTS,
    SCORED,
    Band,
    Bands,
    Importance,
    Metrics,
    Weight,
    metrics_to_plain,
    read_metrics,
)
from casb.errors import Problems
from casb.yamlfile import did_you_mean


def test_the_shipped_settings() -> None:
    assert {name: DEFAULTS.factor(name) for name in SCORED} == dict.fromkeys(SCORED, Weight())
    assert DEFAULTS.families[Family.GENERAL].importance is Importance.LOW
    assert {DEFAULTS.multiplier(Weight(importance=step)) for step in Importance} == {0, 1, 2, 4, 8}
    assert did_you_mean("x", []) == ""


@pytest.mark.parametrize(
    ("score", "band"),
    [
        (None, Band.UNSCORED),
        (0, Band.HIGH),
        (3, Band.HIGH),
        (4, Band.MEDIUM),
        (7, Band.MEDIUM),
        (8, Band.LOW),
        (10, Band.LOW),
    ],
)
def test_bands(score: int | None, band: Band) -> None:
    assert DEFAULTS.bands.of(score) is band


def test_a_file_in_yaml() -> None:
    text = b"""\
categories: {legal: {importance: ignored}}
factors:
  soc_2: {importance: very_high}
  hipaa: {exclude_na: false}
multipliers: {very_high: 16}
bands: {low: 9, medium: 5}
"""
    found = read_metrics(text, "weights.yaml")
    assert found.multiplier(found.factor("soc_2")) == 16
    assert not found.factor("hipaa").exclude_na
    assert found.families[Family.LEGAL].importance is Importance.IGNORED
    assert found.families[Family.GENERAL].importance is Importance.LOW
    assert found.bands.of(8) is Band.MEDIUM
    assert found.version != DEFAULTS.version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("factors: {soc2: {importance: low}}", "w.yaml:1:11: C220 'soc2' is no factor; did you mean 'soc_2'?"),
        ("factors: {homepage: {importance: low}}", "information only"),
        ("factors: {soc_2: {importance: lots}}", "C014 unknown importance 'lots'"),
        ("categories: {private: {}}", "C220 'private' is no family"),
        ("multipliers: {ignored: 1}", "C220 1 cannot be the multiplier of 'ignored'"),
        ("multipliers: {high: -1}", "C220"),
        ("bands: {low: 3, medium: 5}", "C220 bands begin"),
        ("", "C018"),
    ],
)
def test_mistakes(text: str, expected: str) -> None:
    with pytest.raises(Problems) as raised:
        read_metrics(text.encode(), "w.yaml")
    assert expected in str(raised.value)


weights = st.builds(Weight, importance=st.sampled_from(Importance), exclude_na=st.booleans())


@given(
    st.dictionaries(st.sampled_from(sorted(SCORED)), weights, max_size=5),
    st.fixed_dictionaries({family: weights for family in Family}),
    st.integers(1, 8).flatmap(lambda medium: st.builds(Bands, medium=st.just(medium), low=st.integers(medium + 1, 10))),
)
def test_round_trip(factors: dict[str, Weight], families: dict[Family, Weight], bands: Bands) -> None:
    given_ = Metrics(factors=factors, families=families, bands=bands)
    import orjson

    found = read_metrics(orjson.dumps(metrics_to_plain(given_)), "x")
    assert metrics_to_plain(found) == metrics_to_plain(given_)
    assert found.version == given_.version
