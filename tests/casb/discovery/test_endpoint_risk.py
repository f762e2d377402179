"""A device against its own past."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.discovery.endpoint_risk import BASELINE, DayUse, Level, assess, p95
from usage_support import TODAY

MB = 1024 * 1024
ORDER = list(Level)


def use(back: int, app: str = "mail", up: int = 1, events: int = 1, blocked: int = 0) -> DayUse:
    return DayUse(day=TODAY - timedelta(days=back), app=app, up=up * MB, total=up * MB, events=events, blocked=blocked)


def level(uses: list[DayUse], *, unsanctioned: tuple[str, ...] = ("bad",)) -> tuple[Level, set[str]]:
    found = assess(uses, risky={"risky"}, unsanctioned=set(unsanctioned), today=TODAY)
    return found.level, {each.code for each in found.signals}


PAST = [use(back) for back in range(8, 20)]


@pytest.mark.parametrize(
    ("uses", "expected", "codes", "why"),
    [
        ([], Level.INFORMATIONAL, set(), "nothing happened"),
        ([*PAST, use(0)], Level.INFORMATIONAL, set(), "as always"),
        ([*PAST, use(0, "new")], Level.INFORMATIONAL, set(), "a new app that is not risky"),
        ([*PAST, use(0, "risky")], Level.MEDIUM, {"new-risky-app"}, "a risky app for the first time"),
        ([*PAST, use(0, "bad")], Level.MEDIUM, {"new-risky-app"}, "an unsanctioned one"),
        ([use(0, "bad")], Level.LOW, {"new-risky-app"}, "still learning: everything is new"),
        ([*PAST, use(9, "risky"), use(0, "risky")], Level.INFORMATIONAL, set(), "known of old"),
        ([*PAST, use(0, up=150)], Level.MEDIUM, {"upload-volume"}, "three times the floor"),
        ([*PAST, use(0, up=400)], Level.HIGH, {"upload-volume"}, "far above"),
        ([*PAST, use(0, up=90)], Level.INFORMATIONAL, set(), "little, however unusual"),
        ([use(back, up=500) for back in range(20)], Level.INFORMATIONAL, set(), "much, as always: its own baseline"),
        ([use(0, up=4000)], Level.INFORMATIONAL, set(), "volumes need a baseline"),
        ([*PAST, use(9, "bad", 0), use(0, "bad", up=30)], Level.MEDIUM, {"risky-upload"}, "data to a bad app"),
        ([*PAST, use(0, blocked=3, events=3)], Level.LOW, {"blocked"}, "tried a blocked app"),
        ([*PAST, use(0, "bad", 0, 2, 2)], Level.LOW, {"blocked"}, "blocked throughout: never used"),
        ([*PAST, use(3, up=400)], Level.HIGH, {"upload-volume"}, "within the last week"),
        ([*PAST, use(-1, up=400)], Level.INFORMATIONAL, set(), "a clock in the future"),
    ],
)
def test_levels(uses: list[DayUse], expected: Level, codes: set[str], why: str) -> None:
    assert level(uses) == (expected, codes), why


USES = st.lists(
    st.builds(
        use, st.integers(0, BASELINE + 10), st.sampled_from(["mail", "bad", "risky"]), st.integers(0, 800), st.just(3),
        st.integers(0, 3),
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(USES, st.randoms(use_true_random=False))
def test_order_does_not_matter(uses: list[DayUse], random: object) -> None:
    mixed = list(uses)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert assess(uses, risky={"risky"}, unsanctioned={"bad"}, today=TODAY) == assess(
        mixed, risky={"risky"}, unsanctioned={"bad"}, today=TODAY
    )


@settings(max_examples=80, deadline=None)
@given(USES, st.integers(0, 2000))
def test_uploading_more_today_never_lowers_the_level(uses: list[DayUse], more: int) -> None:
    before, after = level(uses)[0], level([*uses, use(0, up=more)])[0]
    assert ORDER.index(after) >= ORDER.index(before)


@settings(max_examples=80, deadline=None)
@given(USES)
def test_every_level_above_informational_has_a_reason(uses: list[DayUse]) -> None:
    found = assess(uses, risky={"risky"}, unsanctioned={"bad"}, today=TODAY)
    assert bool(found.signals) == (found.level is not Level.INFORMATIONAL)
    assert found.points == sum(each.points for each in found.signals)


@given(st.lists(st.integers(0, 1000), max_size=40))
def test_p95_is_one_of_the_values(values: list[int]) -> None:
    assert p95(values) in [*values, 0]
    assert sum(each > p95(values) for each in values) <= 0.05 * len(values)
