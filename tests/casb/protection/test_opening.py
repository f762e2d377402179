"""Opening again: for the person entitled and nobody else, before any plain text is given out."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.model.identity import User
from casb.protection.encrypt import AgeProtector
from casb.protection.entitlement import may_open
from casb.protection.opening import Opener, plain_name, read_facts
from casb.store.keyring import Keyring

ADA = User(id="contoso/ada", name="ada@contoso.example")
BOB = User(id="contoso/bob", name="bob@contoso.example")
PLAIN = b"payroll" * 50_000


def sealed_for(user: User, keyring: Keyring) -> bytes:
    work = AgeProtector(keyring.wrap, os.urandom).start("payroll.xlsx", "", None, {"user": user.id})
    return work.update(PLAIN) + work.finish()


def opener_for(user: User | None, keyring: Keyring) -> Opener:
    return Opener(keyring.unwrap, partial(may_open, user=user))


def test_the_person_entitled_gets_the_file(tmp_path: Path) -> None:
    keyring = Keyring.load_or_create(tmp_path)
    opener = opener_for(ADA, keyring)
    sealed = sealed_for(ADA, keyring)
    pieces = [opener.update(sealed[at : at + 1000]) for at in range(0, len(sealed), 1000)]
    assert b"".join(pieces) + opener.finish() == PLAIN
    assert opener.facts is not None
    assert opener.facts.name == "payroll.xlsx"


@pytest.mark.parametrize("user", [BOB, None])
def test_nobody_else_gets_a_byte(user: User | None, tmp_path: Path) -> None:
    keyring = Keyring.load_or_create(tmp_path)
    opener = opener_for(user, keyring)
    with pytest.raises(ContentError, match="F007"):
        opener.update(sealed_for(ADA, keyring))
    assert opener.answer is not None
    assert not opener.answer.allowed
    with pytest.raises(ValueError, match="failed"):
        opener.finish()


def test_the_answer_is_known_from_the_header_alone(tmp_path: Path) -> None:
    keyring = Keyring.load_or_create(tmp_path)
    opener = opener_for(ADA, keyring)
    sealed = sealed_for(ADA, keyring)
    opener.update(sealed[: sealed.index(b"\n---") + 60])
    assert opener.answer is not None
    assert opener.answer.allowed


def test_another_deployment_cannot_open_it(tmp_path: Path) -> None:
    ours, theirs = Keyring.load_or_create(tmp_path / "a"), Keyring.load_or_create(tmp_path / "b")
    with pytest.raises(ContentError, match="F004"):
        opener_for(ADA, theirs).update(sealed_for(ADA, ours))


def test_the_facts_can_be_looked_at_without_opening(tmp_path: Path) -> None:
    keyring = Keyring.load_or_create(tmp_path)
    sealed = sealed_for(ADA, keyring)
    assert read_facts(sealed[:70_000], keyring.unwrap).user == "contoso/ada"
    with pytest.raises(ContentError, match="F006"):
        read_facts(sealed[:50], keyring.unwrap)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a/b.txt", "b.txt"), ("a\\b.txt", "b.txt"), ("..", "opened"), ("", "opened"), ("a\u202eb\n.txt", "ab.txt")],
)
def test_plain_name(name: str, expected: str) -> None:
    assert plain_name(name) == expected


@given(st.text(max_size=40))
def test_any_name_becomes_one_in_this_folder(name: str) -> None:
    plain = plain_name(name)
    assert plain
    assert not plain.startswith(".")
    assert "/" not in plain
    assert plain.isprintable()
