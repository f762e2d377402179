from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.catalog.custom import Owner, check_domains, check_networks, is_id, read_custom, slug
from casb.catalog.known import KnownApp, Source
from casb.errors import Problems

GOOD: dict[str, Any] = {
    "name": "Payroll",
    "about": "Salaries",
    "category": "human_resource_management",
    "domains": ["Payroll.contoso.example", "*.pay.contoso.example"],
    "addresses": ["10.1.0.0/16", "2001:db8::/48"],
    "hosting_platform": "azure",
    "business_unit": "HR",
    "score": 8,
    "facts": {"saml": True},
}
OWNERS = {"box.com": Owner("box", "*.box.com", False), "ours.example": Owner("ours", "ours.example", True)}


def read(changes: dict[str, Any], *, take_over: bool = False) -> KnownApp:
    return read_custom("payroll", {**GOOD, **changes}, OWNERS.get, by="ada", at="now", take_over=take_over)


def test_all_fields() -> None:
    app = read({})
    assert app.custom
    assert app.domains == ("payroll.contoso.example", "*.pay.contoso.example")
    assert app.addresses == ("10.1.0.0/16", "2001:db8::/48")
    assert (app.hosting_platform, app.business_unit, app.fixed_score) == ("azure", "HR", 8)
    assert (app.facts["saml"].source, app.facts["saml"].by) == (Source.OPERATOR, "ada")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": " "}, "needs a name"),
        ({"name": "a\nb"}, "on one line"),
        ({"category": "hr"}, "'hr' is no category"),
        ({"domains": []}, "needs a domain"),
        ({"domains": ["*.com"]}, "domain: '*.com' covers"),
        ({"domains": ["co.uk"]}, "public suffix"),
        ({"domains": "a.example"}, "a list"),
        ({"addresses": ["10.0.0.1/8"]}, "address: '10.0.0.1/8' has bits set"),
        ({"addresses": ["0.0.0.0/0"]}, "larger than one app"),
        ({"hosting_platform": "ibm"}, "no hosting platform"),
        ({"score": 11}, "0 to 10"),
        ({"score": True}, "0 to 10"),
        ({"score": None}, "0 to 10"),
        ({"facts": {"sml": True}}, "'sml' is no factor; did you mean 'saml'?"),
        ({"facts": {"saml": "x"}}, "true or false"),
        ({"colour": "red"}, "'colour' is no field"),
        ({"domains": ["box.com"]}, "C225 'box.com' overlaps with *.box.com of 'box'"),
    ],
)
def test_mistakes(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Problems) as raised:
        read(changes)
    assert message in str(raised.value)


def test_all_mistakes_at_once() -> None:
    with pytest.raises(Problems) as raised:
        read({"name": "", "score": 99, "domains": ["*"]})
    assert len(raised.value.errors) == 3


def test_precedence_over_the_catalog_is_a_choice_and_over_another_custom_app_is_none() -> None:
    assert read({"domains": ["box.com"]}, take_over=True).domains == ("box.com",)
    with pytest.raises(Problems, match="overlaps with ours"):
        read({"domains": ["ours.example"]}, take_over=True)


def test_lists_alone() -> None:
    assert check_domains(["A.example", "a.example"]) == ("a.example",)
    assert check_networks(["192.0.2.1"]) == ("192.0.2.1/32",)
    with pytest.raises(Problems):
        check_domains(["*"])
    with pytest.raises(Problems):
        check_networks(["x"])


@given(st.text(max_size=200))
def test_any_name_gives_an_id(name: str) -> None:
    assert is_id(slug(name))


@pytest.mark.parametrize(("name", "ident"), [("Größe & Co.", "grosse-co"), ("日本", "app"), ("A  B", "a-b")])
def test_ids(name: str, ident: str) -> None:
    assert slug(name) == ident
