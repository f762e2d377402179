"""The folder of the quarantine: whole files or none, room, and what happens to files that somebody has touched."""

from __future__ import annotations

import os
from pathlib import Path

import pyrage  # type: ignore[import-untyped]  # ships no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import CasbError, ContentError, StoreError
from casb.protection.encrypt import HandOver
from casb.store.keyring import Keyring
from casb.store.quarantine import Vault

FACTS = HandOver(file="01A", user="t/ada", name="a.txt", time="2026-03-02T08:00:00Z", expires="2026-04-01T08:00:00Z")
IDENTITY = pyrage.x25519.Identity.generate()


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring.load_or_create(tmp_path)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "q", limit=1_000_000)


def put(vault: Vault, ring: Keyring, *pieces: bytes, recovery: str | None = None) -> None:
    vault.keep(FACTS, pieces, ring.wrap, os.urandom, recovery)


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 300_000])
def test_what_is_kept_comes_back(vault: Vault, ring: Keyring, size: int) -> None:
    plain = bytes(size)
    put(vault, ring, plain[: size // 2], plain[size // 2 :])
    assert b"".join(vault.open("01A", ring.unwrap)) == plain
    assert vault.check("01A", ring.unwrap).size == size
    assert vault.facts("01A", ring.unwrap) == FACTS
    assert list(vault.ids()) == ["01A"]


def test_the_recovery_key_opens_it_and_the_key_of_protected_files_does_not(vault: Vault, ring: Keyring) -> None:
    put(vault, ring, b"plain", recovery=str(IDENTITY.to_public()))
    raw = (vault.folder / "01A.age").read_bytes()
    assert pyrage.decrypt(raw, [IDENTITY]) == b"plain"
    from casb.protection.container import open_container
    from casb.protection.encrypt import unwrap_stanza

    with pytest.raises(ContentError):
        list(open_container([raw], lambda stanzas: unwrap_stanza(stanzas, ring.unwrap)[0]))


def test_without_room_nothing_is_left(vault: Vault, ring: Keyring) -> None:
    vault.limit = 1000
    with pytest.raises(StoreError) as caught:
        put(vault, ring, bytes(1001))
    assert caught.value.code == "S081"
    assert not list(vault.folder.iterdir())
    vault.limit, vault.floor = 10**9, 2**60
    with pytest.raises(StoreError, match="nearly full"):
        put(vault, ring, b"x")


def test_a_source_that_breaks_leaves_nothing(vault: Vault, ring: Keyring) -> None:
    def broken() -> object:
        yield b"x" * 100_000
        raise OSError(5, "Input/output error")

    with pytest.raises(StoreError) as caught:
        vault.keep(FACTS, broken(), ring.wrap, os.urandom, None)  # type: ignore[arg-type]
    assert caught.value.code == "S082"
    assert not list(vault.folder.iterdir())


@pytest.mark.parametrize("name", ["../keyring", "a/b", "", "x" * 65, "a.b"])
def test_ids_are_no_paths(vault: Vault, ring: Keyring, name: str) -> None:
    vault.folder.mkdir()
    with pytest.raises(StoreError):
        list(vault.open(name, ring.unwrap))
    assert not vault.delete(name)
    with pytest.raises(StoreError):
        vault.keep(HandOver(file=name, user="u"), [b""], ring.wrap, os.urandom, None)


def test_a_file_under_another_name_does_not_open(vault: Vault, ring: Keyring) -> None:
    put(vault, ring, b"x")
    (vault.folder / "01A.age").rename(vault.folder / "01B.age")
    with pytest.raises(ContentError, match="another name"):
        list(vault.open("01B", ring.unwrap))


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 400))
def test_whatever_lies_there_reads_as_an_error(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    folder = tmp_path_factory.mktemp("noise")
    vault, ring = Vault(folder / "q", limit=10**6), Keyring.load_or_create(folder)
    put(vault, ring, b"some text")
    path = vault.folder / "01A.age"
    raw = path.read_bytes()
    changed = raw[:at] + noise
    path.write_bytes(changed)
    if changed != raw:
        with pytest.raises(CasbError):
            list(vault.open("01A", ring.unwrap))
