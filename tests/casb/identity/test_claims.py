from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from casb.identity.claims import Claims, claims_wanted, contexts_wanted, device_of, user_of
from casb.model.identity import DeviceTag
from casb.settings import DeviceRules, Provider

COMPLIANT, JOINED = DeviceTag.COMPLIANT, DeviceTag.HYBRID_JOINED
CLAIMS = Claims(
    issuer="https://op.example",
    subject="sub-ada",
    audience="client-1",
    issued=1,
    expires=2,
    username="Ada@Corp.example",
)
ENTRA = replace(CLAIMS, tenant="t1", object_id="o1", name="Ada", groups=("a", "b"))
PROVIDER = Provider(id="idp", domains=("corp.example", "Corp.Other.example"))


def test_user_of_entra() -> None:
    user = user_of(ENTRA, PROVIDER)
    assert (user.id, user.name, user.display_name, user.domain) == ("t1/o1", "ada@corp.example", "Ada", "corp.example")
    assert (user.groups, user.groups_known, user.tenant, user.is_guest) == (frozenset("ab"), True, "t1", False)


def test_user_of_any_other_provider() -> None:
    assert user_of(CLAIMS, PROVIDER).id == "https://op.example/sub-ada"
    assert user_of(replace(CLAIMS, tenant="t1"), PROVIDER).id == "https://op.example/sub-ada"
    assert user_of(replace(CLAIMS, object_id="o1"), PROVIDER).id == "https://op.example/sub-ada"


def test_the_mail_address_is_no_identity() -> None:
    other = user_of(replace(ENTRA, object_id="o2"), PROVIDER)
    assert other.name == user_of(ENTRA, PROVIDER).name
    assert other.id != user_of(ENTRA, PROVIDER).id


def test_a_user_without_a_name_goes_by_the_id() -> None:
    user = user_of(replace(CLAIMS, username=""), PROVIDER)
    assert (user.name, user.domain) == (user.id, "")


def test_overage_is_passed_on() -> None:
    user = user_of(replace(ENTRA, groups=(), groups_known=False), PROVIDER)
    assert (user.groups, user.groups_known) == (frozenset(), False)


def test_groups_are_the_users_own_at_every_sign_in() -> None:
    assert user_of(replace(ENTRA, groups=("c",)), PROVIDER).groups == {"c"}


@pytest.mark.parametrize(
    ("username", "said", "domains", "guest"),
    [
        ("ada@corp.example", None, ("corp.example",), False),
        ("ada@CORP.example", None, ("corp.EXAMPLE",), False),
        ("ada@badcorp.example", None, ("corp.example",), True),
        ("ada@sub.corp.example", None, ("corp.example",), True),
        ("ada@evil@corp.example", None, ("corp.example",), True),
        ("ada", None, ("corp.example",), True),
        ("", None, ("corp.example",), True),
        ("eve@elsewhere.example", None, (), False),
        ("ada@corp.example", True, ("corp.example",), True),
        ("eve@elsewhere.example", False, ("corp.example",), False),
        ("eve_elsewhere.example#EXT#@corp.example", True, ("corp.example",), True),
    ],
)
def test_guests(username: str, said: bool | None, domains: tuple[str, ...], guest: bool) -> None:
    claims = replace(ENTRA, username=username, guest=said)
    assert user_of(claims, Provider(id="idp", domains=domains)).is_guest is guest


RULES = DeviceRules(
    compliant=("c1", "c9"),
    hybrid_joined=("c2",),
    claims={"compliant": {"device_compliant": (True, "yes")}, "client-certificate": {"amr": ("swk", "x509")}},
)


@pytest.mark.parametrize(
    ("changes", "rules", "sources"),
    [
        ({}, RULES, {}),
        ({"contexts": {"c3"}}, RULES, {}),
        ({"contexts": {"c1"}}, RULES, {"compliant": "acrs:c1"}),
        ({"contexts": {"c9", "c2"}}, RULES, {"compliant": "acrs:c9", "hybrid-joined": "acrs:c2"}),
        ({"contexts": {"c1"}}, DeviceRules(), {}),
        ({"extra": {"device_compliant": (True,)}}, RULES, {"compliant": "claim:device_compliant"}),
        ({"extra": {"device_compliant": ("yes",)}}, RULES, {"compliant": "claim:device_compliant"}),
        ({"extra": {"device_compliant": ("Yes", "true", 1, False)}}, RULES, {}),
        ({"extra": {"amr": ("pwd", "x509")}}, RULES, {"client-certificate": "claim:amr"}),
        ({"extra": {"amr": ("c1",)}, "signin_state": {"dvc_cmp"}}, RULES, {}),
        (
            {"contexts": {"c1"}, "extra": {"device_compliant": (True,)}},
            RULES,
            {"compliant": "acrs:c1"},
        ),
        ({"signin_state": {"dvc_cmp", "dvc_mngd", "dvc_dmjd", "kmsi"}}, DeviceRules(), {}),
        (
            {"signin_state": {"dvc_cmp", "dvc_dmjd", "kmsi"}},
            DeviceRules(signin_state=True),
            {"compliant": "signin_state:dvc_cmp", "hybrid-joined": "signin_state:dvc_dmjd"},
        ),
        ({"signin_state": {"dvc_mngd", "inknownntwk", "kmsi"}}, DeviceRules(signin_state=True), {}),
    ],
)
def test_device_tags_and_where_they_come_from(
    changes: dict[str, Any], rules: DeviceRules, sources: dict[str, str]
) -> None:
    device = device_of(replace(ENTRA, **changes), rules)
    assert dict(device.sources) == sources
    assert {tag.value for tag in device.tags} == set(sources)
    assert device.managed is bool(sources)


def test_device_id() -> None:
    assert device_of(replace(ENTRA, device_id="d1"), RULES).id == "d1"
    assert device_of(ENTRA, RULES).id is None


def test_what_rules_ask_for() -> None:
    assert contexts_wanted(RULES) == ("c1", "c9", "c2")
    assert claims_wanted(RULES) == {"device_compliant", "amr"}
    assert (contexts_wanted(DeviceRules()), claims_wanted(DeviceRules())) == ((), frozenset())
