"""Names to pseudonyms and back: the same name the same pseudonym, and nothing without the key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.discovery.pseudonym import KINDS, NotAPseudonym, Pseudonyms, is_pseudonym

CIPHER = Pseudonyms(bytes(range(64)))


@given(st.sampled_from(KINDS), st.text(min_size=1, max_size=100))
def test_there_and_back(kind: str, name: str) -> None:
    pseudonym = CIPHER.of(kind, name)
    assert is_pseudonym(pseudonym) and pseudonym.isascii()
    assert name.casefold() not in pseudonym or len(name) < 4
    assert CIPHER.resolve(pseudonym) == name.casefold()


def test_equal_names_are_equal_and_all_else_differs() -> None:
    assert CIPHER.of("user", "Ada") == CIPHER.of("user", "ADA")
    assert CIPHER.of("user", "ada")[7:] != CIPHER.of("device", "ada")[7:]
    assert CIPHER.of("user", "ada") != Pseudonyms(bytes(64)).of("user", "ada")


@given(st.text(max_size=80))
def test_what_was_made_up_does_not_open(text: str) -> None:
    for candidate in (text, f"anon-u-{text}", f"anon-d-{text}"):
        with pytest.raises(NotAPseudonym):
            CIPHER.resolve(candidate)


def test_a_changed_pseudonym_does_not_open() -> None:
    pseudonym = CIPHER.of("user", "ada")
    for place in range(7, len(pseudonym)):
        for other in "a2":
            changed = pseudonym[:place] + other + pseudonym[place + 1 :]
            if changed != pseudonym:
                with pytest.raises(NotAPseudonym):
                    CIPHER.resolve(changed)
    with pytest.raises(NotAPseudonym):
        CIPHER.resolve(pseudonym.replace("anon-u-", "anon-d-"))


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        Pseudonyms(b"short")
