"""From an assertion to a person and a device."""

from __future__ import annotations

from typing import Any

import pytest

from casb.errors import TokenError
from casb.identity.claims import ADFS_COMPLIANT, ADFS_TRUST, claims_wanted, device_of, user_of
from casb.identity.saml import TRANSIENT, Assertion, NameId
from casb.identity.saml_claims import GROUPS_ELSEWHERE, METHODS, OBJECT_ID, TENANT_ID, claims_of, hint_of, name_of
from casb.settings import DeviceRules, Provider, SamlSource
from saml_support import IDP, NOW

UPN = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"
GROUPS = "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups"
TENANT, OBJECT = "11111111-2222-4333-8444-555555555555", "aaaaaaaa-0000-4000-8000-000000000001"


def assertion(*, format: str = "urn:x", subject: str = "opaque-1", **attributes: Any) -> Assertion:
    named: dict[str, tuple[str, ...]] = attributes.pop("named", {})
    return Assertion(
        id="_a",
        issuer=IDP,
        subject=NameId(value=subject, format=format),
        issued=NOW,
        expires=NOW,
        attributes={name: (value,) for name, value in attributes.items()} | named,
        session_index="_s",
        authenticated=NOW,
        context="urn:strong",
    )


def test_the_person_is_issuer_and_name_never_the_mail_address() -> None:
    claims = claims_of(assertion(mail="Ada@Contoso.example", displayName="Ada"), SamlSource())
    user = user_of(claims, Provider(id="x", kind="saml", domains=("contoso.example",)))
    assert (user.id, user.name, user.display_name) == (f"{IDP}/opaque-1", "ada@contoso.example", "Ada")
    assert (user.is_guest, user.tenant, claims.session) == (False, "", "_s")
    assert claims.contexts == {"urn:strong"}
    guest = claims_of(assertion(mail="eve@evil.example"), SamlSource())
    assert user_of(guest, Provider(id="x", kind="saml", domains=("contoso.example",))).is_guest


def test_groups_by_the_usual_names_or_the_admins() -> None:
    named = {GROUPS: ("a", "b", "a"), "team": ("c",)}
    assert claims_of(assertion(named=named), SamlSource()).groups == ("a", "b")
    assert claims_of(assertion(named=named), SamlSource(groups=("team",))).groups == ("c",)


def test_groups_that_were_left_out_are_unknown_and_nothing_is_asked_of_the_address() -> None:
    found = claims_of(assertion(named={GROUPS_ELSEWHERE: ("https://evil.example/",)}), SamlSource())
    assert not found.groups_known and found.groups == ()


def test_a_transient_name_needs_an_attribute_that_stays() -> None:
    with pytest.raises(TokenError, match="T056"):
        claims_of(assertion(format=TRANSIENT), SamlSource())
    found = claims_of(assertion(format=TRANSIENT, uid="ada"), SamlSource(subject="uid"))
    assert found.subject == "ada"
    with pytest.raises(TokenError, match="T056"):
        claims_of(assertion(named={"uid": ("ada", "eve")}), SamlSource(subject="uid"))


def test_tenants_are_believed_only_where_they_are_listed() -> None:
    named = {TENANT_ID: (TENANT,), OBJECT_ID: (OBJECT,)}
    assert claims_of(assertion(named=named), SamlSource()).tenant == ""
    found = claims_of(assertion(named=named), SamlSource(), tenants=[TENANT])
    assert user_of(found, Provider(id="x")).id == f"{TENANT}/{OBJECT}"
    for wrong in ({}, {TENANT_ID: ("99999999-2222-4333-8444-555555555555",)}, {TENANT_ID: (TENANT, TENANT[:-1] + "6")}):
        with pytest.raises(TokenError, match="T012"):
            claims_of(assertion(named=wrong), SamlSource(), tenants=[TENANT])
    with pytest.raises(TokenError, match="T011"):
        claims_of(assertion(named={TENANT_ID: (TENANT,)}), SamlSource(), tenants=[TENANT])


@pytest.mark.parametrize(
    ("named", "rules", "sources"),
    [
        ({ADFS_COMPLIANT: ("true",)}, DeviceRules(adfs=True), {"compliant": f"claim:{ADFS_COMPLIANT}"}),
        ({ADFS_COMPLIANT: ("TRUE",)}, DeviceRules(adfs=True), {"compliant": f"claim:{ADFS_COMPLIANT}"}),
        ({ADFS_COMPLIANT: ("false",)}, DeviceRules(adfs=True), {}),
        ({ADFS_COMPLIANT: ("1",)}, DeviceRules(adfs=True), {}),
        ({ADFS_COMPLIANT: ("true",)}, DeviceRules(), {}),
        ({ADFS_TRUST: ("ServerAd",)}, DeviceRules(adfs=True), {"hybrid-joined": f"claim:{ADFS_TRUST}"}),
        ({ADFS_TRUST: ("Workplace",)}, DeviceRules(adfs=True), {}),
        (
            {"managed": ("true",)},
            DeviceRules(claims={"compliant": {"managed": (True,)}}),
            {"compliant": "claim:managed"},
        ),
        ({"kind": ("laptop",)}, DeviceRules(claims={"compliant": {"kind": ("laptop",)}}), {"compliant": "claim:kind"}),
        ({"kind": ("phone",)}, DeviceRules(claims={"compliant": {"kind": ("laptop",)}}), {}),
    ],
    ids=["true", "upper case", "false", "one", "switched off", "joined", "workplace", "rule", "word", "another word"],
)
def test_device_tags(named: dict[str, tuple[str, ...]], rules: DeviceRules, sources: dict[str, str]) -> None:
    claims = claims_of(assertion(named=named), SamlSource(), keep=claims_wanted(rules))
    assert device_of(claims, rules).sources == sources


def test_attributes_that_nobody_needs_are_forgotten() -> None:
    found = claims_of(assertion(department="Research", secret="x"), SamlSource(), keep={"department"})
    assert found.extra == {"department": ("Research",)}


def test_methods_count_as_contexts() -> None:
    found = claims_of(assertion(named={METHODS: ("http://schemas.microsoft.com/claims/multipleauthn",)}), SamlSource())
    assert "http://schemas.microsoft.com/claims/multipleauthn" in found.contexts


@pytest.mark.parametrize("text", ["", "x", "[]", "[1,2,3,4]", "{}", '["a","b","c"]'])
def test_a_hint_that_is_none(text: str) -> None:
    assert name_of(text) is None
    name = NameId(value="a", format="b", name_qualifier="c", sp_name_qualifier="d")
    assert name_of(hint_of(name)) == name
