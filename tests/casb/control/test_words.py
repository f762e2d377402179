"""Our own texts in several languages: complete, with the same values, chosen by what the browser asks for."""

from __future__ import annotations

import re

import pytest

from casb.control.words import languages, said, words_for
from casb.model.decision import Action, Decision

_VALUE = re.compile(r"\{[a-z]+\}")


@pytest.mark.parametrize("tag", sorted(languages()))
def test_every_language_says_everything(tag: str) -> None:
    english, other = languages()["en"], languages()[tag]
    assert set(other.texts) == set(english.texts)
    assert other.direction in ("ltr", "rtl")
    for name, text in english.texts.items():
        assert other.texts[name].strip(), name
        assert sorted(_VALUE.findall(other.texts[name])) == sorted(_VALUE.findall(text)), name


def test_the_four_that_come_along() -> None:
    assert {"en", "de", "fr", "es"} <= set(languages())


@pytest.mark.parametrize(
    ("accepted", "tag"),
    [
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("pt-BR,fr;q=0.5,es;q=0.7", "es"),
        ("ja", "en"),
        ("", "en"),
        ("*", "en"),
        ("de;q=0, fr", "fr"),
        ("fr;q=abc, es;q=0.1", "es"),
        ("x" * 5000, "en"),
    ],
)
def test_which_language_it_is(accepted: str, tag: str) -> None:
    assert words_for(accepted).tag == tag


def test_what_the_policy_says() -> None:
    one = Decision(action=Action.BLOCK, message="No.")
    several = Decision(action=Action.BLOCK, message="No.", messages={"en": "No.", "pt-BR": "Não."})
    assert said(one, "pt") == ("No.", "")
    assert said(several, "pt-PT, en;q=0.5") == ("Não.", "pt-BR")
    assert said(several, "ja") == ("No.", "")
