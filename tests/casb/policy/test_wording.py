"""Policies and their changes in words."""

import pytest

from casb.policy.loader import LoadedPolicy, load
from casb.policy.wording import differences, sentence


def loaded(text: str) -> tuple[LoadedPolicy, ...]:
    return load({"p.yaml": f"version: 1\npolicies: [{text}]\n".encode()}).policies


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("{id: p, action: block}", "blocks every activity in every app"),
        (
            "{id: p, apps: [files, flows], activities: [copy, cut], action: audit, when: {device: unmanaged}}",
            "records copy and cut in files and flows when device: unmanaged",
        ),
        (
            "{id: p, kind: access, action: step_up, when: {any: [{user: {group: a}}, {not: {device: compliant}}]}}",
            "asks for a stronger sign-in before opening in every app when "
            "(user: {group: a} or not (device: compliant))",
        ),
        (
            "{id: p, activities: download, action: protect, rollout: {share: 10%}, schedule: {until: '2027-01-01'}}",
            "hands over encrypted download in every app, until 2027-01-01 (UTC) (canary: 10% of the people)",
        ),
        ("{id: p, action: block, enabled: false}", "blocks every activity in every app (switched off)"),
    ],
)
def test_sentences(policy: str, told: str) -> None:
    assert sentence(loaded(policy)[0]) == told


BASE = "{id: p, apps: [files, flows], activities: download, action: block, when: {device: unmanaged}%s}"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("", "{id: p, action: block}", [("tighter", "is new: it blocks every activity in every app")]),
        ("{id: p, action: block}", "", [("looser", "is removed: it blocks every activity in every app")]),
        ("{id: p, action: audit}", "", [("other", "is removed: it records every activity in every app")]),
        ("{id: p, action: block}", "{id: p, action: audit}", [("looser", "records where it was: blocks")]),
        ("{id: p, action: audit}", "{id: p, action: block}", [("tighter", "blocks where it was: records")]),
        ("{id: p, action: block}", "{action: block, id: p}", []),
        ("{id: p, action: block}", "{id: p, action: block, enabled: false}", [("looser", "is switched off")]),
        (
            "{id: p, action: block, apps: files}",
            "{id: p, action: block, apps: [files, flows]}",
            [("tighter", "apps: files, flows where it was files")],
        ),
        ("{id: p, action: block}", "{id: p, action: block, apps: a}", [("looser", "apps: a where it was every app")]),
        (
            "{id: p, action: block, activities: [copy, cut]}",
            "{id: p, action: block, activities: copy}",
            [("looser", "activities: copy where it was copy, cut")],
        ),
        (
            "{id: p, action: block}",
            "{id: p, action: block, when: {device: unmanaged}}",
            [("looser", "new condition: device: unmanaged")],
        ),
        (
            "{id: p, action: block, when: {user: {group: a}}}",
            "{id: p, action: block, when: {user: {group: [a, b]}}}",
            [("tighter", "condition: user: {group: [a, b]} where it was: user: {group: a}")],
        ),
        (
            "{id: p, action: block, when: {device: unmanaged, user: {group: a}}}",
            "{id: p, action: block, when: {device: {not: compliant}}}",
            [
                ("other", "condition: device: {not: compliant} where it was: device: unmanaged"),
                ("tighter", "condition dropped: user: {group: a}"),
            ],
        ),
        (
            "{id: p, action: block, rollout: shadow}",
            "{id: p, action: block, rollout: {share: 5%}}",
            [("tighter", "rolled out: canary: 5% of the people where it was shadow")],
        ),
        (
            "{id: p, action: block}",
            "{id: p, action: block, schedule: {hours: '08:00-18:00'}}",
            [("looser", "counts at 08:00-18:00 (UTC) where it was: always")],
        ),
        (
            "{id: p, action: block, unscannable: match}",
            "{id: p, action: block, unscannable: ignore}",
            [("looser", "what cannot be judged: ignore where it was match")],
        ),
        ("{id: p, action: block}", "{id: p, action: block, message: Sorry}", [("other", "its message is another")]),
        (
            "{id: p, action: block}",
            "{id: p, action: block, description: why}",
            [("other", "is written otherwise and means the same")],
        ),
    ],
)
def test_differences(before: str, after: str, told: list[tuple[str, str]]) -> None:
    assert [(each.direction.value, each.what) for each in differences(loaded(before), loaded(after))] == told
