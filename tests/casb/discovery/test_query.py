"""The advanced filters: every field, every operator, and what cannot be asked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.discovery.facts import AppFacts
from casb.discovery.query import SORTS, AppUsage, Scales, condition, conditions, select, sort
from casb.discovery.suggested import SUGGESTED

SCALES = Scales(
    factors=frozenset({"soc_2", "fedramp_level", "encryption_protocol", "password_policy", "founded"}),
    enums={"encryption_protocol": ("not_supported", "ssl3", "tls1_0", "tls1_1", "tls1_2", "tls1_3")},
)


def app(ident: str = "box", **facts: Any) -> AppUsage:
    known = {
        "name": ident.title(),
        "category": "cloud_storage",
        "score": 8,
        "risk": "low",
        "domains": (f"{ident}.com",),
    }
    sums = {"events": 10, "blocked": 0, "up": 5, "down": 6, "total": 11, "users": 3, "ips": 2, "devices": 0}
    own = {name: facts.pop(name) for name in list(facts) if name in sums}
    times: dict[str, Any] = {"first": datetime(2026, 3, 1, 8, tzinfo=UTC), "last": datetime(2026, 3, 9, 8, tzinfo=UTC)}
    return AppUsage(facts=AppFacts(**{"id": ident, **known, **facts}), **{**sums, **own}, **times)


BOX = app(tag="sanctioned", tags=frozenset({"Finance"}), factors={"soc_2": True, "encryption_protocol": "tls1_3"})
MEGA = app("mega", score=2, risk="high", users=90, factors={"soc_2": False, "encryption_protocol": "tls1_0"})
NEW = app(
    "new",
    score=None,
    risk="unscored",
    total=10**10,
    factors={"password_policy": (("length_limit", True), ("x", False))},
)
ALL = [BOX, MEGA, NEW]


@pytest.mark.parametrize(
    ("field", "op", "values", "expected"),
    [
        ("tag", "equals", ["sanctioned"], "box"),
        ("tag", "equals", ["finance"], "box"),
        ("tag", "not_equals", ["sanctioned"], "mega new"),
        ("tag", "equals", ["none"], "mega new"),
        ("app", "contains", ["MEG"], "mega"),
        ("app", "equals", ["box.com", "new"], "box new"),
        ("category", "equals", ["cloud_storage"], "box mega new"),
        ("risk", "equals", ["high", "low"], "box mega"),
        ("score", "lt", [6], "mega"),
        ("score", "between", [0, 10], "box mega"),
        ("score", "equals", [8], "box"),
        ("users", "gt", ["50"], "mega"),
        ("traffic", "gt", [1024**3], "new"),
        ("last_seen", "gt", ["2026-03-08"], "box mega new"),
        ("first_seen", "lt", ["2026-03-01"], ""),
        ("factor.soc_2", "equals", [True], "box"),
        ("factor.soc_2", "equals", ["true"], "box"),
        ("factor.soc_2", "not_equals", [True], "mega new"),
        ("factor.soc_2", "unknown", [], "new"),
        ("factor.soc_2", "known", [], "box mega"),
        ("factor.encryption_protocol", "below", ["tls1_2"], "mega"),
        ("factor.encryption_protocol", "at_least", ["tls1_2"], "box"),
        ("factor.password_policy", "equals", ["length_limit"], "new"),
        ("factor.password_policy", "equals", ["x"], ""),
    ],
)
def test_filters(field: str, op: str, values: list[Any], expected: str) -> None:
    rows = conditions([{"field": field, "op": op, "values": values}], SCALES)
    assert " ".join(each.facts.id for each in select(ALL, rows, SCALES)) == expected
    assert conditions([each.as_plain() for each in rows], SCALES) == rows, "what is saved is read again"


def test_rows_are_joined_by_and() -> None:
    rows = conditions(
        [{"field": "score", "op": "le", "values": [8]}, {"field": "users", "op": "lt", "values": [50]}], SCALES
    )
    assert [each.facts.id for each in select(ALL, rows, SCALES)] == ["box"]


@pytest.mark.parametrize(
    "plain",
    [
        {"field": "colour", "op": "equals", "values": ["red"]},
        {"field": "factor.nothing", "op": "equals", "values": [1]},
        {"field": "score", "op": "contains", "values": [1]},
        {"field": "score", "op": "lt", "values": ["many"]},
        {"field": "score", "op": "lt", "values": ["nan"]},
        {"field": "score", "op": "lt", "values": []},
        {"field": "score", "op": "between", "values": [1]},
        {"field": "last_seen", "op": "gt", "values": ["yesterday"]},
        {"field": "tag", "op": "equals", "values": [1]},
        {"field": "tag", "more": 1},
        "tag",
        None,
    ],
)
def test_what_cannot_be_asked_is_told(plain: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        condition(plain, SCALES)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=9),
        lambda each: st.lists(each) | st.dictionaries(st.sampled_from(["field", "op", "values"]), each),
        max_leaves=9,
    )
)
def test_any_data_is_a_question_or_a_sentence(plain: Any) -> None:
    try:
        select(ALL, conditions(plain, SCALES), SCALES)
    except ValueError as error:
        assert str(error)


def test_sorting() -> None:
    for column in SORTS:
        assert sort(ALL, column) == list(reversed(sort(ALL, column, descending=False))) or column != "name"
    assert [each.facts.id for each in sort(ALL)] == ["new", "box", "mega"], "ties by name"
    assert [each.facts.id for each in sort(ALL, "score")] == ["box", "mega", "new"]
    with pytest.raises(ValueError, match="columns"):
        sort(ALL, "colour")


def test_suggested_queries_are_questions() -> None:
    assert {"anonymous-use", "gdpr-ready", "untagged-generative-ai"} <= set(SUGGESTED)
    assert len(SUGGESTED) == 11
