"""Which domains become indicators, with which scope, and which never."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.discovery import endpoint_indicators as indicators
from casb.discovery.endpoint_indicators import Options, Rule, differs, plan

OTHERS = {"docs.big.example": "Docs", "*.mail.example": "Mail"}


def rule(*patterns: str, app: str = "bad", warn: bool = False, **facts: frozenset[str]) -> Rule:
    return Rule(app=app, name=app.title(), warn=warn, patterns=patterns, **facts)


@pytest.mark.parametrize(
    ("pattern", "domain", "why"),
    [
        ("bad.example", "bad.example", None),
        ("*.bad.example", "bad.example", None),
        ("bad.example/", "bad.example", None),
        ("bad.example/*", "bad.example", None),
        ("bad.example/share", None, indicators.HAS_PATH),
        ("*.bad.example/s", None, indicators.HAS_PATH),
        ("203.0.113.9", None, indicators.IS_ADDRESS),
        ("[2001:db8::1]", None, indicators.IS_ADDRESS),
        ("login.safe.example", None, "it would cut off the protected host login.safe.example"),
        ("*.safe.example", None, "it would cut off the protected host login.safe.example"),
        ("a.portal.example", None, "it would cut off the protected host *.portal.example"),
        ("*.big.example", None, "it would cut off Docs, which is not blocked"),
        ("a.mail.example", None, "it would cut off Mail, which is not blocked"),
        ("other.big.example", "other.big.example", None),
    ],
)
def test_domains(pattern: str, domain: str | None, why: str | None) -> None:
    made = plan([rule(pattern)], protected=["login.safe.example", "*.portal.example"], others=OTHERS)
    assert [each.domain for each in made.indicators] == ([domain] if domain else [])
    assert [each.why for each in made.refused] == ([why] if why else [])


@pytest.mark.parametrize(
    ("include", "exclude", "groups", "scope", "why"),
    [
        ([], [], ["a", "b"], (), None),
        (["a"], [], ["a", "b"], ("a",), None),
        (["a", "b"], ["b"], [], ("a",), None),
        ([], ["b"], ["a", "b", "c"], ("a", "c"), None),
        ([], ["b"], [], None, indicators.UNKNOWN_GROUPS),
        (["b"], ["b"], ["a"], None, indicators.NO_GROUPS),
        ([], ["a"], ["a"], None, indicators.NO_GROUPS),
    ],
)
def test_scopes(
    include: list[str], exclude: list[str], groups: list[str], scope: tuple[str, ...] | None, why: str | None
) -> None:
    made = plan([rule("x.example", include=frozenset(include), exclude=frozenset(exclude))], groups=groups)
    assert [each.groups for each in made.indicators] == ([] if scope is None else [scope])
    assert [each.why for each in made.refused] == ([] if why is None else [why])


def test_blocking_beats_warning_of_the_same_domain() -> None:
    made = plan([rule("x.example", app="a", warn=True), rule("*.x.example", app="b")])
    assert [(each.app, each.action) for each in made.indicators] == [("b", "Block")]
    assert [(each.app, each.why) for each in made.refused] == [("a", "B has the domain already")]


def test_the_limit() -> None:
    made = plan([rule("a.example", "b.example", "c.example")], room=2)
    assert [each.domain for each in made.indicators] == ["a.example", "b.example"]
    assert made.refused[0].why == indicators.LIMIT


def test_shapes() -> None:
    options = Options(severity="informational", blocked_url="https://b.example", warned_url="https://w.example")
    made = plan([rule("a.example"), rule("b.example", app="m", warn=True, include=frozenset({"Sales"}))])
    block, warn = (each.as_api(options) for each in made.indicators)
    assert block == {
        "indicatorValue": "a.example", "indicatorType": "DomainName", "action": "Block", "application": "casb",
        "title": "Block Bad", "description": "Bad is unsanctioned. Managed by casb; changes made here are overwritten.",
        "severity": "Informational", "recommendedActions": "Use a sanctioned app.", "rbacGroupNames": [],
        "generateAlert": True, "externalId": "casb:bad", "educateUrl": "https://b.example",
    }  # fmt: skip
    assert (warn["action"], warn["bypassDurationHours"], warn["educateUrl"], warn["rbacGroupNames"]) == (
        "Warn", 24, "https://w.example", ["Sales"],
    )  # fmt: skip


def test_names_cannot_break_out() -> None:
    made = plan([Rule(app="x", name="Evil\r\n" + "x" * 500, patterns=("x.example",))])
    title = made.indicators[0].as_api(Options())["title"]
    assert len(title) <= indicators.MOST_TITLE and title.isprintable()


@pytest.mark.parametrize(
    ("change", "expected"),
    [({}, False), ({"action": "Allowed"}, True), ({"rbacGroupNames": ["x"]}, True), ({"severity": "Low"}, True),
     ({"lastUpdateTime": "now"}, False), ({"educateUrl": ""}, False), ({"bypassDurationHours": None}, False)],
)  # fmt: skip
def test_changes_by_hand(change: dict[str, object], expected: bool) -> None:
    wanted = plan([rule("a.example")]).indicators[0].as_api(Options())
    assert differs({**wanted, "id": "1", **change}, wanted) is expected
    assert not differs({"id": "1"}, wanted), "what the API does not give back is not compared"


NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(
    lambda each: ".".join([*each, "example"])
)
PATTERNS = st.builds(lambda wild, name: f"{'*.' if wild else ''}{name}", st.booleans(), NAMES)


@settings(max_examples=150, deadline=None)
@given(st.lists(PATTERNS, max_size=6), st.lists(PATTERNS, max_size=4))
def test_no_indicator_ever_covers_a_protected_host(patterns: list[str], protected: list[str]) -> None:
    made = plan([rule(*patterns)], protected=protected)
    for each in made.indicators:
        for pattern in protected:
            host = pattern.removeprefix("*.")
            below = f".{host}".endswith(f".{each.domain}")
            inside = pattern.startswith("*.") and each.domain.endswith(f".{host}")
            assert not below and not inside
    assert len(made.indicators) + len({each.pattern for each in made.refused}) <= len(set(patterns))


@settings(max_examples=100, deadline=None)
@given(
    st.frozensets(st.sampled_from("abcd")),
    st.frozensets(st.sampled_from("abcd")),
    st.frozensets(st.sampled_from("abcd")),
)
def test_a_profile_is_never_widened(include: frozenset[str], exclude: frozenset[str], groups: frozenset[str]) -> None:
    for each in plan([rule("x.example", include=include, exclude=exclude)], groups=groups).indicators:
        assert bool(each.groups) == bool(include or exclude)
        assert not set(each.groups) & exclude
        assert not include or set(each.groups) <= include
