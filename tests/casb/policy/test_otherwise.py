"""The explanation of a decision as people and programs read it."""

from casb.policy.otherwise import explanation, to_json, told
from policy_support import activity, policies

SOME = policies("""
    - {id: a, activities: download, action: block, when: {device: unmanaged, file: {extension: xlsx}}}
    - {id: b, activities: download, action: audit, when: {device: unmanaged}, rollout: shadow}
    - {id: c, activities: download, action: audit, schedule: {until: '2025-01-01'}}
    - {id: d, activities: download, action: step_up, when: {device: unmanaged}}
    """)


def test_in_words() -> None:
    lines = list(told(explanation(activity(file="q.xlsx", contexts=("c1",)), SOME)))
    assert lines[0] == "It is blocked by a."
    for line in (
        "  a (p.yaml:3:10) matches: blocked",
        "    p.yaml:3:57: device: unmanaged — is so: no device tags",
        "  b (p.yaml:4:10) matches: would be let through and recorded, but it is in shadow",
        "  c (p.yaml:5:10) is out of season",
        "  d (p.yaml:6:10) does not apply any more: its step-up has been passed",
        "  device.tag were compliant (is: no device tags): then allowed",
        "  switch 'a' off, or put it in shadow (p.yaml:3:10): then allowed",
    ):
        assert line in lines, "\n".join(lines)


def test_a_policy_that_does_not_match() -> None:
    lines = list(told(explanation(activity(file="q.txt"), SOME)))
    assert lines[0] == "It is stopped for a stronger sign-in by d."
    assert "    p.yaml:3:83: file: {extension: xlsx} — is not so: txt" in lines
    assert "Closest policies that did not match" in lines


def test_as_data() -> None:
    found = to_json(explanation(activity(file="q.xlsx"), SOME))
    assert (found["action"], found["policy"], found["shadow"]) == ("block", "a", [{"policy": "b", "action": "audit"}])
    assert found["flips"][0]["changes"][0] | {"file": "", "line": 0, "column": 0} == {
        "fact": "device.tag",
        "was": "no device tags",
        "becomes": "compliant",
        "condition": "device: unmanaged",
        "file": "",
        "line": 0,
        "column": 0,
    }
    assert {trace["policy"]: trace["out_of_season"] for trace in found["traces"]} == {
        "a": False,
        "b": False,
        "c": True,
        "d": False,
    }
