import pytest

from casb.catalog.factors import CATEGORIES, FACTORS
from casb.catalog.interop import GRAPH, GRAPH_PARTS, VALUES, category_of, classic_category, graph_category

ABSENT_THERE = {
    "safe_harbor", "iso_27002", "gapp", "jericho_forum", "heartbleed_patched", "drown_protected",
    "enforce_transport_encryption", "consumer_popularity", "homepage", "terms_of_service", "privacy_policy",
    "caa_record", "dmarc_policy", "spf_record",
}  # fmt: skip


def test_every_factor_is_there_or_known_to_be_absent() -> None:
    assert set(FACTORS) == {*GRAPH, *GRAPH_PARTS, *ABSENT_THERE}
    for name, words in VALUES.items():
        assert set(words) <= set(FACTORS[name].values)
    for name, parts in GRAPH_PARTS.items():
        assert tuple(parts) == FACTORS[name].values or set(parts) == set(FACTORS[name].values)


@pytest.mark.parametrize(
    ("ours", "graph", "classic"),
    [
        ("cloud_storage", "cloudStorage", "SAASDB_CATEGORY_CLOUD_STORAGE"),
        ("ecommerce", "eCommerce", "SAASDB_CATEGORY_ECOMMERCE"),
        ("supply_chain_and_logistics", "supplyChainAndLogistics", "SAASDB_CATEGORY_SUPLLY_CHAIN_AND_LOGISTICS"),
        ("webmail", "webemail", "SAASDB_CATEGORY_WEBMAIL"),
        ("generative_ai", "generativeAi", "SAASDB_CATEGORY_GENERATIVE_AI"),
    ],
)
def test_categories(ours: str, graph: str, classic: str) -> None:
    assert (graph_category(ours), classic_category(ours)) == (graph, classic)
    assert category_of(graph) == category_of(classic) == category_of(CATEGORIES[ours]) == ours


def test_an_unknown_spelling() -> None:
    assert category_of("nothing") is None
    assert category_of("accountingAndFinance") == "accounting_and_finance"
