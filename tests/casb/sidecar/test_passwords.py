"""Password hashes and what a new password must be."""

from __future__ import annotations

import pytest

from casb.sidecar import passwords
from casb.sidecar.passwords import hash_password, problem_with, verify_password


def test_only_the_password_opens_its_hash() -> None:
    kept = hash_password("correct horse battery")
    assert verify_password("correct horse battery", kept)
    assert not verify_password("correct horse batterY", kept)
    assert not verify_password("", kept)
    assert not verify_password("x" * 2000, kept)
    assert hash_password("correct horse battery") != kept
    assert "correct" not in kept


def test_parameters_are_read_from_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = hash_password("correct horse battery")
    monkeypatch.setattr(passwords, "_N", 2**6)
    assert verify_password("correct horse battery", kept)
    assert hash_password("another long one").startswith("scrypt$64$8$3$")


def test_nobody_has_no_password() -> None:
    assert not verify_password("", None)
    assert not verify_password("anything at all", None)


def test_any_text_can_be_a_password() -> None:
    for password in ("päßwörter 🙂 überall", "a\0b c d e f g h", "\ud800 alone but long"):
        assert verify_password(password, hash_password(password))


@pytest.mark.parametrize(
    ("password", "name", "told"),
    [
        ("correct horse battery", "ada", None),
        ("elevenchars", "ada", "at least 12"),
        ("x" * 1025, "ada", "at most"),
        ("abababababab", "ada", "repeats"),
        ("Ada Lovelace 1815", "ada", "name"),
    ],
)
def test_new_passwords(password: str, name: str, told: str | None) -> None:
    problem = problem_with(password, name)
    assert problem is None if told is None else told in (problem or "")
