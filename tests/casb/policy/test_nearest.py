"""Nearest misses and smallest changes, each one tried."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.model.decision import Action
from casb.policy.engine import decide
from casb.policy.nearest import edits, flips, misses
from policy_support import activity, policies

SOME = policies("""
    - {id: a, activities: download, action: block, when: {device: unmanaged, file: {extension: [xlsx, docx]}}}
    - {id: b, activities: download, action: audit, when: {client: {country: DE}}}
    - {id: c, activities: download, action: protect, when: {any: [{user: {group: hr}}, {client: {ip: 10.0.0.0/8}}]}}
    - id: d
      activities: download
      action: block
      when: {user: {group: temps}, device: unmanaged, client: {country: FR}}
    """)


def test_the_closest_policy_comes_first() -> None:
    found = misses(activity(file="x.xlsx", tags=("compliant",)), SOME)
    assert [(each.policy, len(each.failing)) for each in found] == [("a", 1), ("c", 1), ("b", 1), ("d", 3)]
    assert (found[0].failing[0].condition, found[0].failing[0].fact) == ("device: unmanaged", "compliant")
    assert str(found[0].failing[0].where).startswith("p.yaml:3:")


def test_one_fact_that_would_have_been_enough() -> None:
    found = flips(activity(file="x.xlsx"), SOME)
    told = {(each.changes[0].fact, each.changes[0].becomes, each.action) for each in found}
    assert ("device.tag", "compliant", Action.ALLOW) in told, "a managed device would have got the file"
    assert ("file.extension", "txt", Action.ALLOW) in told
    assert all(len(each.changes) == 1 for each in found)


def test_two_facts_when_one_is_not_enough() -> None:
    only = policies("- {id: d, action: block, when: {user: {group: temps}, client: {country: FR}}}")
    (found,) = flips(activity(file="x.txt"), only)
    assert {each.fact for each in found.changes} == {"user.group", "client.country"}
    assert (found.action, found.policy) == (Action.BLOCK, "d")


def test_the_policy_to_change() -> None:
    (found,) = edits(activity(file="x.xlsx"), SOME)
    assert (found.policy, found.action) == ("a", Action.ALLOW)
    assert "switch 'a' off" in found.what


def test_a_condition_to_take_out() -> None:
    found = edits(activity(file="x.xlsx", tags=("compliant",)), SOME)
    assert [(each.what, each.action) for each in found] == [
        ("take 'client: {country: DE}' out of 'b'", Action.AUDIT),
        ("take 'device: unmanaged' out of 'a'", Action.BLOCK),
    ], "an alternative under 'any' is no condition to take out"


def test_nothing_turns_a_policy_without_conditions() -> None:
    always = policies("- {id: p, activities: download, action: block}")
    assert flips(activity(), always) == ()
    assert edits(activity(), always)[0].action is Action.ALLOW


@given(
    st.sampled_from([(), ("compliant",)]),
    st.sampled_from(["x.xlsx", "x.txt", "q.docx"]),
    st.sampled_from(["download", "upload"]),
)
def test_what_is_told_is_true(tags: tuple[str, ...], name: str, kind: str) -> None:
    given = activity(kind, file=name, tags=tags)
    before = decide(given, SOME, final=True).action
    assert all(flip.action is not before for flip in flips(given, SOME))
    assert all(edit.action is not before for edit in edits(given, SOME))


@pytest.mark.parametrize("count", [200])
def test_many_policies_stay_bounded(count: int) -> None:
    rows = "\n".join(
        f"- {{id: p{n}, activities: download, action: block, when: {{user: {{group: g{n}}}, device: unmanaged}}}}"
        for n in range(count)
    )
    assert flips(activity(), policies(rows))
