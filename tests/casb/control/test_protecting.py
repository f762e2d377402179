"""What a decision to protect orders, and that one more policy never loosens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from casb.control.protecting import ProtectOrder, order_of, plan_of
from casb.model.activity import Activity, ActivityType
from casb.model.decision import Action, Decision
from casb.model.file import FileFacts
from casb.model.identity import Client, Device, User
from casb.model.record import Record
from casb.settings import SensitivityLabel
from policy_support import policies

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
LABELS = tuple(
    SensitivityLabel(id=f"{at}" * 36, name=name, tenant="t" * 36, priority=at)
    for at, name in enumerate(("Public", "Internal", "Secret"))
)
POLICIES = policies(
    """
    - {id: a, activities: download, action: protect}
    - {id: b, activities: download, action: {type: protect, using: label, label: Internal}}
    - {id: c, activities: download, action: {type: protect, using: label, label: Secret, otherwise: block}}
    - {id: d, activities: download, action: {type: protect, using: age, device: managed, expires: 2h, groups: g}}
    - {id: e, activities: download, action: {type: protect, expires: 1h}}
    - {id: f, activities: download, action: audit, unscannable: protect}
    - {id: g, activities: download, action: {type: protect, label: Unheard}}
    - {id: h, activities: download, action: audit}
    """
)


def order(*matched: str) -> ProtectOrder:
    decision = Decision(action=Action.PROTECT, policy=matched[0], matched=matched)
    return order_of(decision, POLICIES, LABELS, NOW)


@pytest.mark.parametrize(
    ("matched", "expected"),
    [
        (("a",), ProtectOrder()),
        (("a", "h"), ProtectOrder()),
        (("b",), ProtectOrder(using="label", label=LABELS[1])),
        (("a", "b"), ProtectOrder(label=LABELS[1])),
        (("b", "a"), ProtectOrder(label=LABELS[1])),
        (("b", "c"), ProtectOrder(using="label", label=LABELS[2], otherwise="block")),
        (("d",), ProtectOrder(using="age", device="managed", expires=NOW + timedelta(hours=2), groups=("g",))),
        (("a", "d", "e"), ProtectOrder(device="managed", expires=NOW + timedelta(hours=1))),
        (("f",), ProtectOrder()),
    ],
    ids=[
        "plain",
        "audit besides",
        "label",
        "encryption and label",
        "label and encryption",
        "two labels",
        "rights",
        "three",
        "unscannable",
    ],
)
def test_order_of(matched: tuple[str, ...], expected: ProtectOrder) -> None:
    assert order(*matched) == expected


@pytest.mark.parametrize("matched", ["g", "h", "z"])
def test_what_nobody_orders_is_an_error(matched: str) -> None:
    with pytest.raises(LookupError):
        order(matched)


@pytest.mark.parametrize(
    ("given", "name", "content_type", "whole"),
    [
        (ProtectOrder(), "q3.docx", "", True),
        (ProtectOrder(), "q3.bin", "application/pdf", True),
        (ProtectOrder(), "q3.bin", "application/octet-stream", False),
        (ProtectOrder(using="age"), "q3.docx", "", False),
        (ProtectOrder(using="age", label=LABELS[0]), "q3.docx", "", True),
        (ProtectOrder(using="age", label=LABELS[0]), "q3.txt", "", False),
        (ProtectOrder(using="office"), "q3.txt", "", True),
        (ProtectOrder(using="label", label=LABELS[0]), "q3.txt", "", True),
    ],
)
def test_plan_of(given: ProtectOrder, name: str, content_type: str, whole: bool) -> None:
    activity = Activity(
        id="A1",
        time=NOW,
        type=ActivityType.DOWNLOAD,
        app=None,
        device=Device(),
        client=Client(ip="192.0.2.1"),
        user=User(id="t/ada", name="ada"),
        file=FileFacts(name=f"../{name}", extension=name.rpartition(".")[2]),
    )
    record = Record(activity=activity, decision=Decision(action=Action.PROTECT, policy="a"))
    plan = plan_of(record, given, "f1", content_type)
    assert plan.whole is whole
    assert (plan.facts.name, plan.facts.user, plan.facts.file, plan.facts.policy) == (name, "t/ada", "f1", "a")
