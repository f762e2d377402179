"""Records in plain words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.model.activity import ActivityType
from casb.model.decision import Action
from casb.sidecar.story import OUTCOMES, WORDS, size, story_of
from sample_records import record

ADA = {"user": {"name": "ada@contoso.example"}, "app": {"name": "Files"}, "file": {"name": "payroll.xlsx"}}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"activity": "download"}, "ada@contoso.example wanted to download payroll.xlsx from Files."),
        ({"activity": "upload"}, "ada@contoso.example wanted to upload payroll.xlsx to Files."),
        ({"activity": "logon", "file": None}, "ada@contoso.example wanted to sign in to Files."),
        ({"activity": "view", "file": None}, "ada@contoso.example wanted to open Files."),
        ({"activity": "paste", "file": None}, "ada@contoso.example wanted to paste into Files."),
        ({"activity": "view", "user": None}, "Somebody who was not signed in wanted to open payroll.xlsx in Files."),
        ({"activity": "dance", "app": None, "file": None}, "ada@contoso.example wanted to dance in an unknown app."),
    ],
)
def test_headlines(changed: dict[str, Any], expected: str) -> None:
    assert story_of({**ADA, **changed}).headline == expected


@pytest.mark.parametrize(
    ("given_record", "expected"),
    [
        ({"action": "allow"}, "It was allowed: no policy matched."),
        ({"action": "block", "policy": "a", "matched": ["a"]}, "It was blocked by the policy a."),
        ({"action": "audit", "policy": "a", "matched": ["a", "b", "c"]}, "by the policy a; 2 others matched too."),
        ({"action": "block", "default_behaviour": True}, "It was blocked, by default"),
    ],
)
def test_outcomes(given_record: dict[str, Any], expected: str) -> None:
    assert expected in story_of(given_record).outcome


def test_every_word_of_the_model_is_known() -> None:
    assert set(WORDS) == {each.value for each in ActivityType}
    assert set(OUTCOMES) == {each.word for each in Action}


def test_policies_with_their_conditions() -> None:
    first, second = story_of(record(1, action=Action.BLOCK)).policies
    assert (first.policy, first.decided) == ("block-downloads-on-unmanaged-devices", True)
    condition = first.conditions[0]
    assert (condition.place, condition.written) == ("policies/unmanaged.yaml:14:5", "device: unmanaged")
    assert (second.policy, second.decided, second.conditions) == ("watch-everything", False, ())


def test_a_device_without_tags_is_called_unmanaged() -> None:
    facts = dict(story_of({"device": {"tags": []}}).facts)
    assert ("Device tag", "unmanaged") in facts["Device"]


def test_sizes() -> None:
    assert [size(count) for count in (0, 1023, 1024, 5 * 1024**2, 3 * 1024**4)] == [
        "0 B",
        "1023 B",
        "1.0 KB",
        "5.0 MB",
        "3072.0 GB",
    ]


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "tags", "line"]), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(sorted(record(1))), odd, max_size=8))
def test_any_json_object_has_a_story(given_record: dict[str, Any]) -> None:
    story = story_of(given_record)
    assert story.headline.endswith(".")
    assert all(value for _, lines in story.facts for _, value in lines)
