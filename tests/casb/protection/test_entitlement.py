"""Who may open a file again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.model.identity import Device, DeviceTag, User
from casb.protection.encrypt import HandOver
from casb.protection.entitlement import may_open

MANAGED = Device(tags=frozenset({DeviceTag.COMPLIANT}))
ADA = User(id="contoso/ada", name="ada@contoso.example")


def handed_to(user: str) -> HandOver:
    return HandOver(file="f-1", user=user, user_name="ada@contoso.example")


@pytest.mark.parametrize(
    ("facts", "user", "device", "allowed", "code"),
    [
        pytest.param(handed_to("contoso/ada"), ADA, None, True, "open.same-person", id="the person"),
        pytest.param(handed_to("contoso/ada"), ADA, MANAGED, True, "open.same-person", id="on any device"),
        pytest.param(handed_to("contoso/bob"), ADA, MANAGED, False, "open.other-person", id="somebody else, managed"),
        pytest.param(handed_to("fabrikam/ada"), ADA, None, False, "open.other-person", id="same name, other tenant"),
        pytest.param(handed_to("CONTOSO/ADA"), ADA, None, False, "open.other-person", id="ids are exact"),
        pytest.param(handed_to("contoso/ada"), None, None, False, "open.not-signed-in", id="nobody"),
        pytest.param(
            handed_to(""), User(id="", name=""), None, False, "open.not-signed-in", id="empty ids never match"
        ),
    ],
)
def test_may_open(facts: HandOver, user: User | None, device: Device | None, allowed: bool, code: str) -> None:
    answer = may_open(facts, user, device)
    assert (answer.allowed, answer.code) == (allowed, code)
    assert answer.reason.endswith(".")


@given(st.text(), st.text())
def test_only_equal_ids_open(owner: str, asking: str) -> None:
    user = User(id=asking, name="ada@contoso.example")
    assert may_open(handed_to(owner), user).allowed == (owner == asking != "")
