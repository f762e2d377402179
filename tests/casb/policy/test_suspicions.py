"""Warnings are certain: a table of what is told and of what is not, and a law."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.policy.engine import decide
from casb.policy.suspicions import overlaps, suspicions
from policy_support import activity, policies

SHORT = "- {{id: p, action: block, when: {}}}"


@pytest.mark.parametrize(
    ("when", "told", "reason"),
    [
        ("{all: [{device: unmanaged}, {device: compliant}]}", True, "unmanaged is to have no tag"),
        ("{all: [{device: unmanaged}, {device: [compliant, unmanaged]}]}", False, "unmanaged satisfies both"),
        ("{all: [{device: compliant}, {device: hybrid-joined}]}", False, "a device can be both"),
        ("{user: {domain: a.example}, all: [{user: {domain: b.example}}]}", True, "one domain each"),
        ("{user: {name: '*@a.example'}, all: [{user: {name: {ends_with: b.example}}}]}", False, "patterns: not told"),
        ("{user: {name: ada@a.example}, all: [{user: {name: '*@b.example'}}]}", True, "the name is no such name"),
        ("{user: {group: a}, all: [{user: {group: b}}]}", False, "people are in several groups"),
        ("{user: {group: a}, all: [{user: {group: {not: a}}}]}", True, "in and not in"),
        ("{any: [{device: unmanaged}, {device: compliant}]}", False, "one is enough"),
    ],
)
def test_contradictions(when: str, told: bool, reason: str) -> None:
    found = [each.code for each in suspicions(policies(SHORT.format(when)).all)]
    assert found == (["P050"] if told else []), reason


@pytest.mark.parametrize(
    ("strong", "weak", "told", "reason"),
    [
        ("action: block", "action: audit, activities: download", True, "everything is blocked"),
        ("action: audit", "action: block, activities: download", False, "the milder one cannot silence"),
        ("action: block, apps: files", "action: audit", False, "other apps are left"),
        ("action: block, apps: [files, flows]", "action: audit, apps: files", True, "its app is among them"),
        ("action: block, when: {device: unmanaged}", "action: audit", False, "managed devices are left"),
        (
            "action: block, when: {device: unmanaged}",
            "action: audit, when: {device: unmanaged, client: {country: DE}}",
            True,
            "narrower",
        ),
        (
            "action: block, when: {file: {extension: [docx, xlsx]}}, activities: download",
            "action: audit, when: {file: {extension: xlsx}}, activities: download",
            True,
            "a value of the list",
        ),
        (
            "action: block, when: {file: {name: '*payroll*'}}, activities: download",
            "action: audit, when: {file: {name: 'payroll-*.xlsx'}}, activities: download",
            True,
            "every name of the one is a name of the other",
        ),
        (
            "action: block, when: {file: {name: 'payroll-*.xlsx'}}, activities: download",
            "action: audit, when: {file: {name: '*payroll*'}}, activities: download",
            False,
            "the other way round it is not",
        ),
        (
            "action: block, when: {file: {size: {at_least: 1MB}}}, activities: download",
            "action: audit, when: {file: {size: {more_than: 2MB}}}, activities: download",
            True,
            "larger is larger",
        ),
        (
            "action: block, when: {client: {country: {not: DE}}}",
            "action: audit, when: {client: {country: {not: [DE, AT]}}}",
            True,
            "excluding more",
        ),
        (
            "action: block, when: {any: [{device: unmanaged}, {client: {ip_tag: tor}}]}",
            "action: audit, when: {client: {ip_tag: tor}}",
            True,
            "one of the alternatives",
        ),
        ("action: block, rollout: shadow", "action: audit", False, "a shadow does nothing"),
        ("action: block, schedule: {until: '2030-01-01'}", "action: audit", False, "it ends one day"),
        ("action: block", "action: audit, alert: true", False, "its alert is felt"),
        ("action: step_up", "action: audit", False, "a step-up is passed one day"),
        ("action: block, when: {user: {group: a}}", "action: audit, when: {user: {group: [a, b]}}", False, "b is left"),
    ],
)
def test_policies_that_never_decide(strong: str, weak: str, told: bool, reason: str) -> None:
    found = list(suspicions(policies(f"- {{id: a-strong, {strong}}}\n- {{id: b-weak, {weak}}}").all))
    assert [each.code for each in found] == (["P053"] if told else []), reason
    if told:
        assert str(found[0]).startswith("p.yaml:4:") and "'a-strong' does too" in str(found[0])


CONDITIONS = st.sampled_from(
    [
        "device: unmanaged",
        "device: compliant",
        "user: {group: finance}",
        "user: {group: [finance, hr]}",
        "file: {name: 'pay*'}",
        "file: {name: '*.xlsx'}",
        "file: {extension: [xlsx, docx]}",
        "file: {size: {at_least: 10}}",
        "client: {country: {not: DE}}",
        "any: [{device: compliant}, {file: {extension: xlsx}}]",
        "not: {device: compliant}",
    ]
)
ACTIVITIES = [
    activity(file=name, tags=tags) for name in ("payroll.xlsx", "pay.txt", "a.docx") for tags in ((), ("compliant",))
]


@given(st.lists(CONDITIONS, max_size=2, unique=True), st.lists(CONDITIONS, max_size=3, unique=True))
def test_what_is_said_to_never_decide_never_does(strong: list[str], weak: list[str]) -> None:
    def when(conditions: list[str]) -> str:
        return f", when: {{all: [{', '.join('{' + each + '}' for each in conditions)}]}}" if conditions else ""

    both = policies(f"- {{id: a, action: block{when(strong)}}}\n- {{id: b, action: audit{when(weak)}}}")
    told = {each.code for each in suspicions(both.all)}
    for each in ACTIVITIES:
        decision = decide(each, both, final=True)
        if "P053" in told:
            assert decision.policy != "b"
        if "P050" in told:
            assert len(decision.matched) < 2


def test_overlaps_are_pairs_that_can_meet() -> None:
    found = overlaps(
        policies("""
        - {id: a, activities: download, action: block, when: {file: {name: 'payroll*'}}}
        - {id: b, activities: download, action: protect, when: {file: {extension: xlsx}}}
        - {id: c, activities: download, action: protect, when: {file: {name: notes.txt}}}
        - {id: d, activities: upload, action: block}
        - {id: e, activities: download, action: audit}
        """).all
    )
    assert [str(each) for each in found] == [
        "p.yaml:4:10: P054 'a' and 'b' can both match: 'a' wins (block); the other one is at p.yaml:3:10"
    ]
