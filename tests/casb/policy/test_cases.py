"""Tests beside policies: cases become activities, outcomes say what differs and why, gaps are found."""

from __future__ import annotations

import pytest

from casb.errors import Problems
from casb.model.activity import Activity, TextFacts
from casb.model.app import AppTag
from casb.model.file import VerdictStatus
from casb.policy.cases import Outcome, activity_of, check_suite, gaps, read_suite, run, why
from policy_support import policies

POLICIES = """
- {id: block-x, action: block, activities: download, when: {device: unmanaged, file: x*}, alert: true,
   message: 'No {file}'}
- {id: step, action: {type: step_up, context: c2}, activities: download, when: {file: y*}}
- {id: read, action: block, activities: download, when: {file: {label: secret}}, unscannable: ignore}
"""


def suite(cases: str) -> str:
    return f"policies: [p.yaml]\ncases:\n{cases}"


def outcomes(cases: str) -> tuple[Outcome, ...]:
    loaded = read_suite(suite(cases).encode(), "t.yaml")
    compiled = policies(POLICIES)
    assert check_suite(loaded, compiled) == []
    return run(loaded, compiled)


def given_activity(text: str) -> Activity:
    case = f"  - {{name: n, given: {{{text}}}, expect: {{action: allow}}}}"
    return activity_of(read_suite(suite(case).encode(), "t.yaml").cases[0].given)


def test_the_shortest_given() -> None:
    found = given_activity("activity: view")
    assert (found.app, found.file, found.device.managed) == (None, None, False)
    assert found.user is not None and found.user.domain == "example.test"


def test_short_forms() -> None:
    found = given_activity(
        "activity: download, app: files, user: ada@contoso.example, device: compliant, client: '2001:db8::1', "
        "file: A.TXT"
    )
    assert found.app is not None and found.app.id == "files"
    assert found.user is not None and (found.user.name, found.user.domain) == ("ada@contoso.example", "contoso.example")
    assert found.device.tags == {"compliant"}
    assert found.client.ip == "2001:db8::1"
    assert found.file is not None and (found.file.name, found.file.extension) == ("A.TXT", "txt")
    assert not found.file.inspected


def test_long_forms() -> None:
    found = given_activity(
        "activity: upload, app: {id: x, tag: monitored, category: c, risk_score: 3}, "
        "user: {name: a@b.example, domain: d.example, groups: [g], groups_known: false, is_guest: true, tenant: t}, "
        "device: {tags: [unmanaged], type: pc, os: Windows}, "
        "client: {ip: 192.0.2.9, ip_tags: [tor], ip_category: risky, country: DE, isp: i, user_agent: u, "
        "agent_tags: [robot], app: native}, "
        "file: {name: a, extension: b, size: 2KB, declared_type: text/plain, detected_type: spreadsheet, label: l, "
        "signs: [macro], properties: {author: Ada}}, "
        "auth_contexts: [c1]"
    )
    assert found.app is not None and (found.app.tag, found.app.risk_score) == (AppTag.MONITORED, 3)
    assert found.user is not None and (found.user.domain, found.user.groups_known) == ("d.example", False)
    assert found.device.tags == frozenset() and found.device.os == "Windows"
    assert found.client.ip_category == "risky" and found.client.app == "native"
    assert found.file is not None and found.file.inspected
    assert (found.file.size, found.file.extension, found.file.detected_type) == (2048, "b", "application/vnd.ms-excel")
    assert found.file.signs == {"macro"} and found.file.properties == (("author", "Ada"),)
    assert found.auth_contexts == {"c1"}


def test_findings_and_unreadable_files() -> None:
    found = given_activity("activity: download, file: {name: a.csv, findings: {credit-card: 4}}").file
    assert found is not None and found.verdict is not None and found.inspected
    assert (found.verdict.status, found.verdict.findings[0].count) == (VerdictStatus.SENSITIVE, 4)
    found = given_activity("activity: download, device: [], file: {name: a, unreadable: true}").file
    assert found is not None and found.verdict is not None
    assert (found.verdict.status, found.extension) == (VerdictStatus.UNSCANNABLE, "")


def test_a_case_that_holds() -> None:
    (outcome,) = outcomes(
        "  - {name: n, given: {activity: download, file: x1}, expect: {action: block, policy: block-x, "
        "matched: [block-x], reasons: [file.name, device.tag], alerts: [block-x], message: No x1}}"
    )
    assert outcome.passed
    assert str(outcome.where) == "t.yaml:3:5"


def test_a_case_that_fails_says_what_differs_where_and_why() -> None:
    (outcome,) = outcomes("""  - name: n
    given: {activity: download, device: compliant, file: x1}
    expect:
      action: block
      policy: block-x
      matched: [step, block-x]
      alerts: [block-x]
      message: 'No'
      reasons: [file.name]
""")
    assert [(each.what, each.expected, each.actual, str(each.where)) for each in outcome.differences] == [
        ("action", "block", "allow", "t.yaml:6:7"),
        ("policy", "block-x", "none", "t.yaml:7:7"),
        ("matched", "block-x, step", "", "t.yaml:8:7"),
        ("alerts", "block-x", "", "t.yaml:9:7"),
        ("message", "No", "", "t.yaml:10:7"),
        ("reasons", "file.name", "none", "t.yaml:11:7"),
    ]
    assert list(why(outcome)) == [
        "block-x did not match: p.yaml:3:63 device: unmanaged — compliant",
        "read stayed unknown, which it ignores",
        "step did not match: p.yaml:5:83 file: y* — x1",
    ]


def test_why_of_matches_and_of_passed_step_ups() -> None:
    matched, passed, nobody = outcomes("""
  - {name: a, given: {activity: download, file: {name: x, read: true}}, expect: {action: block}}
  - {name: b, given: {activity: download, file: {name: y, read: true}, auth_contexts: [c2]}, expect: {action: allow}}
  - {name: c, given: {activity: print}, expect: {action: allow}}
""")
    assert list(why(matched))[:3] == [
        "block-x matched (block)",
        "  p.yaml:3:63 device: unmanaged — no device tags",
        "  p.yaml:3:82 file: x* — x",
    ]
    assert "step does not apply any more: its step-up has been passed" in list(why(passed))
    assert list(why(nobody)) == ["no policy concerns this app and activity"]
    assert passed.passed and nobody.passed


def test_impossible_cases_are_errors_with_places() -> None:
    loaded = read_suite(
        suite("""
  - {name: a, given: {activity: download, file: {name: a, size: huge}}, expect: {action: block, policy: blok-x}}
""").encode(),
        "t.yaml",
    )
    assert [str(error) for error in check_suite(loaded, policies(POLICIES))] == [
        "t.yaml:4:105: P060 no policy 'blok-x' in the files of this test; did you mean 'block-x'?",
        "t.yaml:4:65: P033 'huge' is not a file size; write 500KB, 10MB or 1.5GB",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            suite("  - {name: a, given: {activity: dowload}, expect: {action: block}}"),
            "t.yaml:3:33: P014 unknown activity 'dowload'; did you mean 'download'?",
        ),
        (
            suite("  - {name: a, given: {activity: view}, expect: {acton: block}}"),
            "t.yaml:3:49: P013 unknown key 'acton'; did you mean 'action'?",
        ),
        (
            suite("  - {name: a, given: {activity: view, device: complaint}, expect: {action: block}}"),
            "t.yaml:3:47: P014 unknown device 'complaint'; did you mean 'compliant'?",
        ),
        ("cases: []", "t.yaml:1:1: P015 key 'policies' is missing"),
    ],
)
def test_broken_test_files(text: str, message: str) -> None:
    with pytest.raises(Problems) as caught:
        read_suite(text.encode(), "t.yaml")
    assert message in str(caught.value).splitlines()


def test_gaps() -> None:
    compiled = policies(POLICIES)
    loaded = read_suite(
        suite("""
  - {name: a, given: {activity: download, file: x}, expect: {action: block}}
  - {name: b, given: {activity: download, file: {name: z, label: other}}, expect: {action: allow}}
""").encode(),
        "t.yaml",
    )
    found = gaps(compiled.all, [(compiled, case.given) for case in loaded.cases])
    assert [(gap.policy, gap.condition, gap.missing, gap.where.line) for gap in found] == [
        ("block-x", "device: unmanaged", "fails", 3),
        ("read", "file: {label: secret}", "holds", 6),
        ("step", "file: y*", "holds", 5),
    ]
    assert len(gaps(compiled.all, [])) == 8
    assert loaded.policy_place(0).column == 12


@pytest.mark.parametrize(
    ("given", "text", "why"),
    [
        ("activity: copy, text: abc", TextFacts(content="abc", length=3), "the short form"),
        ("activity: copy, text: {content: abc}", TextFacts(content="abc", length=3), "counted"),
        ("activity: paste, text: {length: 9}", TextFacts(length=9), "not told"),
        ("activity: print", TextFacts(), "nothing is told"),
        ("activity: download", None, "has none"),
        ("activity: copy, text: ''", TextFacts(content="", length=0), "a picture"),
    ],
)
def test_texts(given: str, text: TextFacts | None, why: str) -> None:
    assert given_activity(given).text == text, why
