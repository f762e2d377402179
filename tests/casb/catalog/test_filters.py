from dataclasses import replace

import pytest

from casb.catalog.factors import CATEGORIES, FACTORS, Family
from casb.catalog.filters import (
    SUGGESTED,
    Condition,
    category_totals,
    compile_conditions,
    family_factors,
    insights,
    select,
)
from casb.catalog.inventory import Inventory, Local
from casb.catalog.known import Origin
from casb.catalog.tagging import TagState
from casb.errors import CatalogError
from casb.model.app import AppTag
from catalog_support import app, inventory

APPS = inventory(
    app("good", "good.example", "*.good.example", vendor="Good AG", saml=True, soc_2=True, fedramp_level="high",
        founded=1999, headquarters="CH", password_policy={"length_limit": True, "change_period": False},
        csa_star_level="attestation", gdpr_readiness_statement="https://good.example/gdpr"),
    app("bad", "bad.example", saml=False, soc_2=False, data_ownership=False, requires_user_authentication=False,
        multi_factor_authentication=False, password_policy={"length_limit": False}, latest_breach="2024-01-01",
        data_at_rest_encryption="not_supported", encryption_protocol="not_supported"),
    app("mute", "mute.example", category="crm"),
    app("game", "game.example", category="consumer", hipaa="n/a", encryption_protocol="n/a", consumer_popularity=7.5),
    replace(app("ours", "ours.example", category="generative_ai"), origin=Origin.CUSTOM, fixed_score=3,
            also=("productivity",), business_unit="Sales"),
    local=Local(states={"good": TagState(tag=AppTag.SANCTIONED, custom=frozenset({"Finance"})),
                        "bad": TagState(tag=AppTag.UNSANCTIONED)}),
)  # fmt: skip


def ids(*rows: tuple[str, str, str], known: Inventory = APPS) -> set[str]:
    conditions = [Condition(field=field, operator=how, values=tuple(values.split(","))) for field, how, values in rows]
    return {entry.id for entry in select(known, conditions)}


EVERY = {"good", "bad", "mute", "game", "ours"}


@pytest.mark.parametrize(
    ("row", "expected", "why"),
    [
        (("app", "equals", "GOOD"), {"good"}, "id or name, in any case"),
        (("app_or_domain", "contains", "good.ex"), {"good"}, "a part of a domain"),
        (("domain", "equals", "bad.example,mute.example"), {"bad", "mute"}, "values of a row are alternatives"),
        (("vendor", "contains", "ag"), {"good"}, "vendor"),
        (("tag", "equals", "none"), {"mute", "game"}, "no tag at all"),
        (("tag", "equals", "Finance"), {"good"}, "a custom tag"),
        (("tag", "equals", "custom app"), {"ours"}, "the system's"),
        (("tag", "does_not_equal", "sanctioned,unsanctioned"), {"mute", "game", "ours"}, "neither"),
        (("category", "equals", "productivity,crm"), {"ours", "mute"}, "further categories count"),
        (("score", "equals", "0-5"), {"bad", "ours"}, "a range"),
        (("score", "equals", "unscored"), {"mute"}, "no score"),
        (("score", "at_most", "3"), {"bad", "ours"}, "unscored is not low"),
        (("score", "at_least", "8"), {"good", "game"}, "high"),
        (("score", "does_not_equal", "0-5"), {"good", "game", "mute"}, "the opposite"),
        (("risk", "equals", "high"), {"bad", "ours"}, "by band"),
        (("risk", "equals", "unscored"), {"mute"}, "a band of its own"),
        (("factor:soc_2", "equals", "true"), {"good"}, "a flag"),
        (("factor:soc_2", "does_not_equal", "true"), EVERY - {"good"}, "includes the unknown"),
        (("factor:soc_2", "equals", "unknown"), {"mute", "game", "ours"}, "unknown is a value to ask for"),
        (("factor:hipaa", "equals", "n/a"), {"game"}, "so is n/a"),
        (
            ("factor:encryption_protocol", "does_not_equal", "not_supported,n/a"),
            {"good", "mute", "ours"},
            "not in a list",
        ),
        (("factor:fedramp_level", "at_least", "low"), {"good"}, "enums have an order"),
        (("factor:founded", "at_most", "2000"), {"good"}, "years too"),
        (("factor:latest_breach", "at_least", "2023-06-01"), {"bad"}, "dates too"),
        (("factor:consumer_popularity", "at_least", "7"), {"game"}, "numbers too"),
        (("factor:password_policy", "equals", "none"), {"bad"}, "a composite of which nothing is met"),
        (("factor:password_policy", "equals", "some"), {"good"}, "some of it"),
        (("factor:password_policy.length_limit", "equals", "true"), {"good"}, "one of its flags"),
        (("factor:password_policy.personal_information", "equals", "unknown"), EVERY, "a flag nobody knows"),
        (("factor:headquarters", "equals", "ch"), {"good"}, "texts in any case"),
        (("headquarters", "equals", "unknown"), EVERY - {"good"}, "for the map"),
        (("business_unit", "equals", "sales"), {"ours"}, "business unit"),
        (("origin", "equals", "custom"), {"ours"}, "where it comes from"),
    ],
)
def test_rows(row: tuple[str, str, str], expected: set[str], why: str) -> None:
    assert ids(row) == expected, why


def test_rows_combine_with_and() -> None:
    assert ids(("category", "equals", "cloud_storage"), ("factor:saml", "equals", "true")) == {"good"}
    assert ids() == EVERY


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("catgory", "equals", "crm"), "there is no filter 'catgory'; did you mean 'category'?"),
        (("category", "is", "crm"), "'is' is no operator"),
        (("category", "equals", "krm"), "'krm' is no category; did you mean 'crm'?"),
        (("risk", "equals", "huge"), "'huge' is no risk"),
        (("factor:samml", "equals", "true"), "there is no factor 'samml'; did you mean 'saml'?"),
        (("factor:saml", "equals", "yes"), "'saml' is never 'yes'"),
        (("factor:saml", "at_least", "true"), "no order"),
        (("factor:fedramp_level", "at_least", "mid"), "never 'mid'"),
        (("factor:founded", "at_least", "old"), "no number"),
        (("factor:saml.x", "equals", "true"), "has no part 'x'"),
        (("score", "equals", "low"), "no number"),
        (("vendor", "at_least", "a"), "no order"),
    ],
)
def test_mistakes(row: tuple[str, str, str], message: str) -> None:
    with pytest.raises(CatalogError) as raised:
        ids(row)
    assert raised.value.code == "C230"
    assert message in str(raised.value)


def test_limits() -> None:
    with pytest.raises(CatalogError, match="at most"):
        compile_conditions([Condition(field="app", operator="equals", values=("x",))] * 51)
    with pytest.raises(CatalogError, match="values"):
        compile_conditions([Condition(field="app", operator="equals", values=())])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("anonymous_use", {"bad"}),
        ("csa_star", {"good"}),
        ("fedramp", {"good"}),
        ("vendor_owns_data", {"bad"}),
        ("risky_storage", {"bad"}),
        ("weak_authentication", {"bad"}),
        ("weak_encryption", {"bad"}),
        ("gdpr_ready", {"good"}),
    ],
)
def test_suggested_queries(query: str, expected: set[str]) -> None:
    (found,) = [each for each in SUGGESTED if each.id == query]
    assert {entry.id for entry in select(APPS, found.conditions)} == expected


def test_a_categorys_counter_is_what_its_filter_leaves() -> None:
    totals = category_totals(APPS)
    assert set(totals) == set(CATEGORIES)
    for category in CATEGORIES:
        assert totals[category] == len(ids(("category", "equals", category)))


def test_pickers_and_counters() -> None:
    assert sum(len(family_factors(family)) for family in Family) == len(FACTORS)
    assert insights(APPS) == {"untagged_high_risk": 1, "untagged_generative_ai": 1}
