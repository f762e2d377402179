"""When a policy counts and for whom."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import Problems
from casb.model.decision import Action, Need
from casb.model.identity import User
from casb.policy.document import Schedule
from casb.policy.engine import decide, explain
from casb.policy.loader import load
from casb.policy.matchers import Malformed
from casb.policy.rollout import bucket, duration, expired, season, share
from policy_support import ADA, activity, policies, policy_when


@pytest.mark.parametrize(
    ("schedule", "moment", "counts", "reason"),
    [
        (Schedule(begin="2026-04-01"), "2026-03-31T23:59:59Z", False, "the day before"),
        (Schedule(begin="2026-04-01"), "2026-04-01T00:00:00Z", True, "from the first instant"),
        (Schedule(until="2026-06-30"), "2026-06-30T23:59:59Z", True, "the last day counts whole"),
        (Schedule(until="2026-06-30"), "2026-07-01T00:00:00Z", False, "expired"),
        (Schedule(until="2026-06-30T18:00"), "2026-06-30T18:00:00Z", False, "expires at the minute"),
        (Schedule(until="2026-06-30", zone="Europe/Berlin"), "2026-06-30T22:00:00Z", False, "midnight in Berlin"),
        (Schedule(begin="2026-04-01T00:00+02:00"), "2026-03-31T22:00:00Z", True, "a zone of its own"),
        (Schedule(hours="08:00-18:00"), "2026-01-01T08:00:00Z", True, "opening time"),
        (Schedule(hours="08:00-18:00"), "2026-01-01T18:00:00Z", False, "closing time"),
        (Schedule(hours="08:00-24:00"), "2026-01-01T23:59:59Z", True, "to the end of the day"),
        (Schedule(hours="08:00-18:00", zone="Europe/Berlin"), "2026-07-01T06:30:00Z", True, "summer time"),
        (Schedule(hours="08:00-18:00", zone="Europe/Berlin"), "2026-01-01T06:30:00Z", False, "winter time"),
        (Schedule(days=("mon",)), "2026-01-05T12:00:00Z", True, "a Monday"),
        (Schedule(days=("mon",)), "2026-01-06T12:00:00Z", False, "a Tuesday"),
        (Schedule(days=("fri",), hours="22:00-06:00"), "2026-01-10T05:00:00Z", True, "Friday's night ends on Saturday"),
        (Schedule(days=("fri",), hours="22:00-06:00"), "2026-01-09T05:00:00Z", False, "that was Thursday's night"),
        (Schedule(days=("fri",), hours="22:00-06:00"), "2026-01-09T23:00:00Z", True, "Friday evening"),
    ],
)
def test_seasons(schedule: Schedule, moment: str, counts: bool, reason: str) -> None:
    counted = season(schedule)
    assert counted is not None
    assert counted(datetime.fromisoformat(moment)) is counts, reason


@pytest.mark.parametrize(
    ("more", "at", "told"),
    [
        ("schedule: {until: tomorrow}", "{until", "P017 'tomorrow' is no date"),
        ("schedule: {zone: Mars/Olympus}", "{zone", "P017 unknown time zone 'Mars/Olympus'"),
        ("schedule: {hours: 8-18}", "{hours", "P017 '8-18' is no span of hours"),
        ("schedule: {hours: '08:00-08:00'}", "{hours", "P017 '08:00-08:00' is an empty span of hours"),
        ("schedule: {begin: '2026-02-01', until: '2026-01-01'}", "{begin", "P050 the schedule ends before it begins"),
        ("rollout: {share: 110%}", "{share", "P017 '110%' is no share"),
        ("rollout: {share: 0%}", "{share", "P037 'rollout' is for nobody"),
        ("rollout: {}", "{}", "P037 'rollout' is for nobody"),
        ("rollout: sometimes", "sometimes", "rollout"),
        ("budget: {window: 1h}", "{window", "P037 'budget' sets no limit"),
        ("budget: {blocks: 3, window: soon}", "soon", "P017 'soon' is no length of time"),
        ("budget: {block_rate: many}", "many", "P017 'many' is no share"),
    ],
)
def test_mistakes_have_a_place(more: str, at: str, told: str) -> None:
    line = f"- {{id: p, activities: download, action: block, {more}}}"
    with pytest.raises(Problems) as problems:
        load({"p.yaml": f"version: 1\npolicies:\n{line}\n".encode()})
    first = problems.value.errors[0]
    assert told in str(first)
    assert first.where is not None
    assert (first.where.line, first.where.column) == (3, line.index(at) + 1)


def test_shadow_records_and_changes_nothing() -> None:
    found = decide(activity(), policy_when("device: unmanaged", more="rollout: shadow, alert: true"))
    assert (found.action, found.matched, found.alerts) == (Action.ALLOW, (), ())
    assert [(each.policy, each.action) for each in found.shadow] == [("p", Action.BLOCK)]
    assert found.shadow[0].reasons[0].condition == "device: unmanaged"


def test_a_shadow_beside_an_enforced_policy() -> None:
    both = policies("""
        - {id: a, activities: download, action: block, rollout: shadow}
        - {id: b, activities: download, action: audit}
        """)
    found = decide(activity(), both)
    assert (found.action, found.policy, found.matched) == (Action.AUDIT, "b", ("b",))
    assert [each.policy for each in found.shadow] == ["a"]
    assert [(each.policy, each.matched, each.shadow) for each in explain(activity(), both)] == [
        ("a", False, True),
        ("b", True, False),
    ]


def test_a_shadow_on_content_reads_the_file_so_that_it_tells_the_truth() -> None:
    found = decide(
        activity(file="a.pdf"),
        policy_when("file: {detected_type: document}", more="rollout: shadow, activities: download"),
    )
    assert found.needs == {Need.CONTENT}


@given(st.text(max_size=20), st.integers(1, 100))
def test_a_canary_is_stable_and_grows_with_its_share(name: str, percent: int) -> None:
    user = User(id=name, name=name, domain="", groups=frozenset(), tenant="")
    party = activity(user=user)
    chosen = decide(party, policy_when("device: unmanaged", more=f"rollout: {{share: {percent}%}}"))
    enforced = chosen.action is Action.BLOCK
    assert enforced == (bucket("p", name) < percent * 100)
    assert enforced != bool(chosen.shadow), "either enforced or watched, never neither"
    if enforced:
        wider = decide(party, policy_when("device: unmanaged", more="rollout: {share: 100%}"))
        assert wider.action is Action.BLOCK


def test_shares_are_what_they_say() -> None:
    hit = sum(bucket("p", f"user-{number}") < share("10%") for number in range(20_000))
    assert 0.09 < hit / 20_000 < 0.11


def test_two_policies_do_not_choose_the_same_people() -> None:
    first = {number for number in range(2000) if bucket("a", str(number)) < 1000}
    second = {number for number in range(2000) if bucket("b", str(number)) < 1000}
    assert len(first & second) < len(first) / 2


def test_a_canary_for_a_group() -> None:
    pilot = policy_when("device: unmanaged", more="rollout: {groups: [FINANCE]}")
    assert decide(activity(user=ADA), pilot).action is Action.BLOCK
    other = replace(ADA, groups=frozenset({"it"}))
    assert decide(activity(user=other), pilot).action is Action.ALLOW


def test_out_of_season_is_as_if_it_were_not_there() -> None:
    over = policy_when("device: unmanaged", more="schedule: {until: '2025-12-31'}")
    assert decide(activity(), over).action is Action.ALLOW
    assert explain(activity(), over)[0].dormant
    assert expired(Schedule(until="2025-12-31"), datetime(2026, 1, 1, tzinfo=UTC))
    assert not expired(Schedule(until="2026-01-01"), datetime(2026, 1, 1, tzinfo=UTC))


def test_lengths_of_time() -> None:
    assert duration("90m") == timedelta(minutes=90)
    assert duration("7d") == timedelta(days=7)
    with pytest.raises(Malformed):
        duration("0h")
