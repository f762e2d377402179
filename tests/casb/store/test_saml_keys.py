"""SAML signing keys: made once, shared, changed with overlap."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from casb.errors import StoreError
from casb.store.saml_keys import FILE, LIFE, SamlKeys

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("keys")
    SamlKeys.load_or_create(folder, "login.casb.test", NOW)
    return (folder / FILE).read_bytes()


@pytest.fixture
def folder(made: bytes, tmp_path: Path) -> Path:
    (tmp_path / FILE).write_bytes(made)
    (tmp_path / FILE).chmod(0o600)
    return tmp_path


def opened(folder: Path) -> SamlKeys:
    return SamlKeys.load_or_create(folder, "login.casb.test", NOW)


def test_a_key_is_made_once_for_the_owner_alone(folder: Path) -> None:
    keys = opened(folder)
    (only,) = keys.keys()
    assert only.signs and keys.stage == "steady"
    assert only.key.key_size >= 2048 and only.certificate.not_valid_after_utc == NOW + LIFE
    assert os.stat(folder / FILE).st_mode & 0o077 == 0
    assert opened(folder).keys()[0].id == only.id


def test_a_rollover_lists_both_and_other_processes_follow(folder: Path) -> None:
    one, other = opened(folder), opened(folder)
    old = one.keys()[0].id
    new = one.begin(NOW + timedelta(days=1)).id
    assert [each.id for each in other.keys()] == [old, new], "both published, the old one signs"
    assert [each.signs for each in other.keys()] == [True, False] and other.stage == "begun"
    one.switch()
    assert [each.id for each in other.keys()] == [new, old] and other.keys()[0].signs
    one.finish()
    assert [each.id for each in other.keys()] == [new] and other.stage == "steady"


def test_steps_out_of_order_are_refused_and_change_nothing(folder: Path) -> None:
    keys = opened(folder)
    for step in (keys.switch, keys.finish, keys.cancel):
        with pytest.raises(StoreError, match="K010"):
            step()
    keys.begin(NOW + timedelta(days=1))
    with pytest.raises(StoreError, match="K010"):
        keys.begin(NOW)
    with pytest.raises(StoreError, match="K010"):
        keys.finish()
    assert keys.stage == "begun" and len(keys.keys()) == 2


@pytest.mark.parametrize("switched", [False, True])
def test_cancelling_keeps_the_old_key(folder: Path, switched: bool) -> None:
    keys = opened(folder)
    old = keys.keys()[0].id
    keys.begin(NOW + timedelta(days=1))
    if switched:
        keys.switch()
    keys.cancel()
    assert [each.id for each in keys.keys()] == [old]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: b"",
        lambda text: b"[]",
        lambda text: text.replace(b"BEGIN PRIVATE", b"BEGIN PUBLIC"),
        lambda text: text.replace(b'"steady"', b'"begun"'),
        lambda text: json.dumps({**json.loads(text), "active": "x"}).encode(),
    ],
    ids=["empty", "list", "no key", "another stage", "no active key"],
)
def test_a_spoilt_file_is_refused_not_replaced(folder: Path, spoil: object) -> None:
    assert callable(spoil)
    text = spoil((folder / FILE).read_bytes())
    (folder / FILE).write_bytes(text)
    with pytest.raises(StoreError, match="K010"):
        opened(folder)
    assert (folder / FILE).read_bytes() == text


def test_a_file_that_others_can_read_is_refused(folder: Path) -> None:
    (folder / FILE).chmod(0o644)
    with pytest.raises(StoreError, match="can be read by others"):
        opened(folder)
