"""Policies: indexed, immutable, and with a version that follows what they say."""

from __future__ import annotations

import dataclasses

import pytest

from casb.model.app import App
from casb.model.decision import Action
from casb.policy.compile import compile_policies
from casb.policy.loader import load
from policy_support import FILES, activity, policies

SEVERAL = """
- {id: c, apps: [files, flows], activities: download, action: audit}
- {id: a, action: block}
- {id: b, apps: files, activities: [download, upload], action: audit}
- {id: d, kind: access, action: block}
- {id: e, enabled: false, action: block}
- {id: f, kind: access, apps: flows, action: audit}
"""
FLOWS = App(id="flows", name="Flows", domains=())
OTHER = App(id="other", name="Other", domains=())


@pytest.mark.parametrize(
    ("kind", "app", "ids"),
    [
        ("download", FILES, "abc"),
        ("download", FLOWS, "ac"),
        ("download", OTHER, "a"),
        ("download", None, "a"),
        ("upload", FILES, "ab"),
        ("logoff", FILES, "a"),
        ("logon", FILES, "d"),
        ("logon", FLOWS, "df"),
        ("logon", None, "d"),
    ],
)
def test_only_what_concerns_app_and_activity_is_asked(kind: str, app: App | None, ids: str) -> None:
    found = policies(SEVERAL).concerning(activity(kind, app=app))
    assert [policy.id for policy in found] == list(ids)


def test_nothing_concerns_anybody_without_policies() -> None:
    empty = compile_policies(load({}).policies)
    assert empty.concerning(activity()) == ()
    assert empty.all == ()


def test_disabled_policies_are_kept_apart() -> None:
    compiled = policies(SEVERAL)
    assert [policy.id for policy in compiled.all] == list("abcdf")
    assert [policy.document.id for policy in compiled.disabled] == ["e"]


def test_session_policies_of_an_app() -> None:
    assert [policy.id for policy in policies(SEVERAL).session_policies("flows")] == ["a", "c"]


def version(*texts: str) -> str:
    files = {f"{number}.yaml": f"version: 1\npolicies:\n{text}\n".encode() for number, text in enumerate(texts)}
    return compile_policies(load(files).policies).version


def test_the_version_follows_what_is_said_and_nothing_else() -> None:
    one, two = "  - {id: a, action: block}", "  - {id: b, action: audit}"
    assert len(version(one)) == 12
    assert version(one, two) == version(two, one) == version(f"{two}\n{one}")
    assert version(one) == version("  - action: block  # a comment\n    id: a")
    assert version(one) != version("  - {id: a, action: audit}")
    assert version(one) != version("  - {id: a, action: block, enabled: false}")


@pytest.mark.parametrize(
    ("text", "action", "unknown", "strictest", "using", "context"),
    [
        ("action: block", Action.BLOCK, Action.BLOCK, Action.BLOCK, "auto", "c1"),
        ("action: block, unscannable: ignore", Action.BLOCK, None, Action.BLOCK, "auto", "c1"),
        ("action: audit, unscannable: block", Action.AUDIT, Action.BLOCK, Action.BLOCK, "auto", "c1"),
        (
            "action: {type: protect, using: zip_aes}, activities: download, unscannable: audit",
            Action.PROTECT,
            Action.AUDIT,
            Action.PROTECT,
            "zip_aes",
            "c1",
        ),
        ("action: {type: step_up, context: c7}", Action.STEP_UP, Action.STEP_UP, Action.STEP_UP, "auto", "c7"),
        ("action: step_up", Action.STEP_UP, Action.STEP_UP, Action.STEP_UP, "auto", "c1"),
    ],
)
def test_actions(
    text: str, action: Action, unknown: Action | None, strictest: Action, using: str, context: str
) -> None:
    (policy,) = policies(f"- {{id: p, {text}}}").all
    assert (policy.action, policy.unknown, policy.strictest) == (action, unknown, strictest)
    assert (policy.using, policy.context) == (using, context)


def test_alerts() -> None:
    compiled = policies("""
- {id: a, action: audit}
- {id: b, action: audit, alert: true}
- {id: c, action: audit, alert: {title: T, severity: low}}
- {id: d, action: audit, alert: false}
""")
    a, b, c, d = (policy.alert for policy in compiled.all)
    assert a is None and d is None
    assert b is not None and (b.title, b.severity) == ("", None)
    assert c is not None and (c.title, c.severity) == ("T", "low")


def test_policies_are_immutable() -> None:
    compiled = policies("- {id: a, action: audit}")
    with pytest.raises(dataclasses.FrozenInstanceError):
        compiled.version = "x"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        compiled.all[0].action = Action.ALLOW  # type: ignore[misc]
