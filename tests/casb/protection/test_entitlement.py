"""Who may open a file again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.model.identity import Device, DeviceTag, User
from casb.protection.encrypt import HandOver
from casb.protection.entitlement import Standing, may_open

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


NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
KIM = User(id="contoso/kim", name="kim@contoso.example", groups=frozenset({"auditors", "all"}))
UNKNOWN = User(id="contoso/kim", name="kim@contoso.example", groups=frozenset({"auditors"}), groups_known=False)


def ruled(**facts: str) -> HandOver:
    return HandOver(file="f-1", user="contoso/ada", **facts)


@pytest.mark.parametrize(
    ("facts", "user", "device", "standing", "code", "error"),
    [
        pytest.param(ruled(), ADA, None, Standing(revoked=True), "open.revoked", "F016", id="revoked"),
        pytest.param(ruled(groups="auditors"), KIM, None, None, "open.group", "", id="a group"),
        pytest.param(ruled(groups="audit\nx"), KIM, None, None, "open.other-person", "F007", id="another group"),
        pytest.param(ruled(groups="auditors"), UNKNOWN, None, None, "open.other-person", "F007", id="groups unknown"),
        pytest.param(ruled(groups=""), KIM, None, None, "open.other-person", "F007", id="no group"),
        pytest.param(ruled(expires="2026-03-02T08:00:01Z"), ADA, None, None, "open.same-person", "", id="in time"),
        pytest.param(ruled(expires="2026-03-02T08:00:00Z"), ADA, None, None, "open.expired", "F016", id="over"),
        pytest.param(ruled(expires="soon"), ADA, None, None, "open.expired", "F016", id="an end that is none"),
        pytest.param(
            ruled(expires="2026-03-02T07:00:00Z"),
            ADA,
            None,
            Standing(expires=NOW + timedelta(days=1)),
            "open.same-person",
            "",
            id="prolonged",
        ),
        pytest.param(ruled(), ADA, None, Standing(expires=NOW), "open.expired", "F016", id="ended by an admin"),
        pytest.param(ruled(device="managed"), ADA, MANAGED, None, "open.same-person", "", id="managed"),
        pytest.param(ruled(device="managed"), ADA, Device(), None, "open.unmanaged", "F017", id="unmanaged"),
        pytest.param(ruled(device="managed"), ADA, None, None, "open.unmanaged", "F017", id="no device"),
    ],
)
def test_rights(
    facts: HandOver, user: User, device: Device | None, standing: Standing | None, code: str, error: str
) -> None:
    answer = may_open(facts, user, device, now=NOW, standing=standing)
    assert (answer.code, answer.allowed) == (code, not error)
    assert not error or answer.error == error


def test_without_a_clock_what_expires_does_not_open() -> None:
    assert not may_open(ruled(expires="2999-01-01T00:00:00Z"), ADA).allowed
