from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.factors import FACTORS
from casb.catalog.known import (
    NOT_APPLICABLE,
    Fact,
    KnownApp,
    Origin,
    Source,
    app_to_plain,
    apps_from_plain,
    pack,
    parse_value,
    to_plain,
    unpack,
)
from catalog_support import app

FLAGS = (("length_limit", True), ("change_period", False))


@pytest.mark.parametrize(
    ("factor", "raw", "value"),
    [
        ("saml", True, True),
        ("saml", "false", False),
        ("hipaa", "N/A", NOT_APPLICABLE),
        ("headquarters", "NO", "NO"),
        ("founded", 2007, 2007),
        ("founded", "2007", 2007),
        ("consumer_popularity", 7, 7.0),
        ("consumer_popularity", "7.5", 7.5),
        ("latest_breach", "2024-04-24", "2024-04-24"),
        ("pci_dss_version", 3.2, "3.2"),
        ("pci_dss_version", 4, "4"),
        ("data_types", ["documents", "documents"], ("documents",)),
        ("homepage", "https://example.com/", "https://example.com/"),
        (
            "password_policy",
            {"length_limit": True, "change_period": "false"},
            (("length_limit", True), ("change_period", False)),
        ),
    ],
)
def test_values(factor: str, raw: Any, value: Any) -> None:
    found = parse_value(FACTORS[factor], raw)
    assert found == value
    assert type(found) is type(value)
    assert parse_value(FACTORS[factor], to_plain(FACTORS[factor], found)) == value


@pytest.mark.parametrize(
    ("factor", "raw", "word"),
    [
        ("saml", "maybe", "true or false"),
        ("saml", 1, "true or false"),
        ("saml", "n/a", "cannot be n/a"),
        ("headquarters", "UK", "ISO 3166"),
        ("founded", 12, "year"),
        ("founded", True, "year"),
        ("consumer_popularity", 11, "0 to 10"),
        ("latest_breach", "2024-02-30", "YYYY-MM-DD"),
        ("latest_breach", "24.4.2024", "YYYY-MM-DD"),
        ("fedramp_level", "mid", "one of"),
        ("fedramp_level", True, "one of"),
        ("data_types", ["cats"], "holds"),
        ("data_types", [], "list"),
        ("homepage", "javascript:alert(1)", "http"),
        ("homepage", "https://user@example.com/", "http"),
        ("password_policy", {"length": True}, "has"),
        ("password_policy", {}, "mapping"),
    ],
)  # fmt: skip
def test_refused(factor: str, raw: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_value(FACTORS[factor], raw)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(list(FACTORS)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    ),
)
def test_any_value_is_one_or_a_sentence(factor: str, raw: Any) -> None:
    try:
        value = parse_value(FACTORS[factor], raw)
    except ValueError as error:
        assert str(error)
    else:
        hash(value)
        assert parse_value(FACTORS[factor], to_plain(FACTORS[factor], value)) == value


def test_round_trip() -> None:
    given_ = [
        app("box", "box.com", "*.box.com", saml=True, founded=2005, consumer_popularity=1, data_types=["documents"],
            password_policy={"length_limit": True}, hipaa="n/a"),
        KnownApp(id="own", name="Own", category="crm", origin=Origin.CUSTOM, fixed_score=0, business_unit="Sales",
                 facts={"saml": Fact(value=False, source=Source.OPERATOR, by="ada", as_of="x", evidence="y")}),
    ]  # fmt: skip
    found = apps_from_plain([app_to_plain(each) for each in given_])
    assert list(found.values()) == given_
    assert list(unpack(pack(given_)).values()) == given_
    assert found["own"].custom
    assert found["box"].value("saml") is True
    assert found["box"].value("dmca") is None


def test_equal_facts_are_one_object_and_types_stay_apart() -> None:
    rows = [app_to_plain(app("a", saml=True)), app_to_plain(app("b", user_roles=True, consumer_popularity=1))]
    found = apps_from_plain(rows)
    assert found["a"].facts["saml"] is found["b"].facts["user_roles"]
    assert found["b"].value("consumer_popularity") == 1.0
    assert found["b"].value("consumer_popularity") is not True
