"""Which changes of a policy are tried, and which of them the cases notice."""

import pytest

from casb.policy.cases import read_suite
from casb.policy.loader import load
from casb.policy.mutation import mutants, survivors


def text(policy: str) -> bytes:
    return f"version: 1\npolicies:\n- {{id: p, {policy}}}\n".encode()


@pytest.mark.parametrize(
    ("policy", "changes"),
    [
        ("action: audit", ["the policy is removed"]),
        ("action: block", ["the policy is removed", "action: block becomes audit"]),
        (
            "action: audit, activities: [copy, cut]",
            [
                "the policy is removed",
                "copy is taken out of 'activities'",
                "cut is taken out of 'activities'",
                "activities is left out: it concerns every one",
            ],
        ),
        (
            "action: audit, when: {device: unmanaged}",
            ["the policy is removed", "'device: unmanaged' is dropped", "'device: unmanaged' becomes 'not'"],
        ),
        (
            "action: audit, when: {user: {group: [a, b]}}",
            [
                "the policy is removed",
                "'user: {group: [a, b]}' is dropped",
                "'group: [a, b]' becomes 'not'",
                "a is taken out of 'group'",
                "b is taken out of 'group'",
            ],
        ),
        (
            "action: audit, when: {app: {risk_score: {at_least: 3, less_than: 7}}}",
            [
                "the policy is removed",
                "'app: {risk_score: {at_least: 3, less_than: 7}}' is dropped",
                "'risk_score: {at_least: 3}' is dropped",
                "'at_least: 3' becomes 'more_than'",
                "'risk_score: {less_than: 7}' is dropped",
                "'less_than: 7' becomes 'at_most'",
            ],
        ),
        (
            "action: audit, when: {any: [{user: {is_guest: true}}, {client: {ip_tag: tor}}]}",
            [
                "the policy is removed",
                "'any' becomes 'all'",
                "'{user: {is_guest: true}}' is dropped from 'any'",
                "'is_guest: true' becomes false",
                "'{client: {ip_tag: tor}}' is dropped from 'any'",
                "'ip_tag: tor' becomes 'not'",
            ],
        ),
        (
            "action: audit, when: {not: {device: compliant}}",
            ["the policy is removed", "'not' is lost", "'device: compliant' becomes 'not'"],
        ),
        ("action: audit, when: {client: {country: {not: DE}}}",
         ["the policy is removed", "'client: {country: {not: DE}}' is dropped", "'not' of 'country' is lost"]),
        ("action: audit, when: {client: {country: {is_set: true}}}",
         ["the policy is removed", "'client: {country: {is_set: true}}' is dropped", "'is_set: true' becomes false"]),
        ("action: audit, schedule: {until: '2030-01-01'}",
         ["the policy is removed", "the schedule is left out: it counts always"]),
        ("action: block, enabled: false", []),
    ],
)  # fmt: skip
def test_changes(policy: str, changes: list[str]) -> None:
    assert [each.what for each in mutants("p.yaml", text(policy))] == changes


def test_changes_have_their_place() -> None:
    policy = "version: 1\npolicies:\n- id: p\n  action: audit\n  when:\n    user:\n      group: [a, b]\n"
    places = {each.what: (each.where.line, each.where.column) for each in mutants("p.yaml", policy.encode())}
    assert places["b is taken out of 'group'"] == (7, 18)
    assert places["'group: [a, b]' becomes 'not'"] == (7, 7)


@pytest.mark.parametrize(
    ("cases", "alive", "reason"),
    [
        (
            "- {name: blocked, given: {activity: download}, expect: {action: block}}",
            {"'device: unmanaged' is dropped", "activities is left out: it concerns every one"},
            "nothing says that managed devices and other activities are left alone",
        ),
        (
            "- {name: blocked, given: {activity: download}, expect: {action: block}}\n"
            "- {name: managed, given: {activity: download, device: compliant}, expect: {action: allow}}\n"
            "- {name: upload, given: {activity: upload}, expect: {action: allow}}",
            set(),
            "every change breaks a case",
        ),
    ],
)
def test_survivors(cases: str, alive: set[str], reason: str) -> None:
    policy = text("activities: download, when: {device: unmanaged}, action: block")
    suite = read_suite(f"version: 1\npolicies: [p.yaml]\ncases:\n{cases}\n".encode(), "t.yaml")
    loaded = load({"p.yaml": policy}).policies
    found = survivors(mutants("p.yaml", policy), {"t.yaml": loaded}, [suite])
    assert {mutant.what for mutant, survived in found if survived} == alive, reason


def test_a_suite_that_does_not_hold_the_policy_defends_nothing() -> None:
    policy = text("action: block")
    suite = read_suite(b"version: 1\npolicies: [q.yaml]\ncases: []\n", "t.yaml")
    assert all(survived for _, survived in survivors(mutants("p.yaml", policy), {"t.yaml": ()}, [suite]))
