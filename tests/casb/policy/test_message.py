"""Messages: placeholders are filled in, and values stay values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.policy.message import PLACEHOLDERS, fill, wrong_placeholder


@pytest.mark.parametrize(
    ("text", "values", "filled"),
    [
        ("plain", {}, "plain"),
        ("{file} of {user}", {"file": "a.txt", "user": "ada"}, "a.txt of ada"),
        ("{{file}}", {"file": "a.txt"}, "{file}"),
        ("{file}", {"file": "{user}", "user": "ada"}, "{user}"),
        ("{file}", {"file": "a\u202etxt.exe\n"}, "atxt.exe"),
        ("{app}!", {}, "!"),
    ],
)
def test_fill(text: str, values: dict[str, str], filled: str) -> None:
    assert fill(text, values) == filled


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", None),
        ("{user} {app} {file} {policy} {{x}}", None),
        ("{filename}", "{filename}"),
        ("{user!r}", "{user!r}"),
        ("{}", "{}"),
        ("lone { brace", "{"),
        ("lone } brace", "}"),
        ("{file} {{ok}} {0.__class__}", "{0.__class__}"),
    ],
)
def test_wrong_placeholder(text: str, wrong: str | None) -> None:
    assert wrong_placeholder(text) == wrong


@given(st.text(max_size=40), st.text(max_size=20))
def test_any_message_that_is_accepted_can_be_filled(text: str, value: str) -> None:
    if wrong_placeholder(text) is None:
        assert isinstance(fill(text, dict.fromkeys(PLACEHOLDERS, value)), str)
