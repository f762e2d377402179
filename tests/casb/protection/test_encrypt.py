"""Protect: what a stranger sees of a file, what the key ring finds in it, and what cannot be ordered."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pyrage  # type: ignore[import-untyped]  # ships no types
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.ports import Protecting, Protector
from casb.protection.container import Stanza, open_container
from casb.protection.encrypt import PURPOSE, AgeProtector, HandOver, casb_stanza, unwrap_stanza

KEY_ID = "00ff00ff00ff00ff"
CIPHER = AESGCM(bytes(32))
ORDER = {
    "file": "f-1",
    "user": "contoso/ada",
    "user_name": "ada@contoso.example",
    "app": "box",
    "policy": "protect-downloads",
    "activity": "01J0000000000000000000000A",
    "time": "2026-11-21T12:00:00.000Z",
}


def wrap(purpose: str, aad: bytes, data: bytes) -> tuple[str, bytes]:
    nonce = os.urandom(12)
    return KEY_ID, nonce + CIPHER.encrypt(nonce, data, purpose.encode() + aad)


def unwrap(purpose: str, key_id: str, aad: bytes, blob: bytes) -> bytes:
    try:
        return CIPHER.decrypt(blob[:12], blob[12:], purpose.encode() + aad)
    except (InvalidTag, ValueError):
        raise ContentError("F003", "no") from None


def protect(
    plain: bytes, order: Mapping[str, str] = ORDER, name: str = "q3.xlsx", recovery: str | None = None
) -> bytes:
    protector: Protector = AgeProtector(wrap, os.urandom, recovery)
    work: Protecting = protector.start(name, "application/pdf", len(plain), order)
    sealed = work.update(plain) + work.finish()
    assert work.length == len(sealed)
    return sealed


def facts_of(sealed: bytes) -> HandOver:
    found: list[HandOver] = []

    def key(stanzas: tuple[Stanza, ...]) -> bytes:
        file_key, facts = unwrap_stanza(stanzas, unwrap)
        found.append(facts)
        return file_key

    assert b"".join(open_container([sealed], lambda stanzas: key(tuple(stanzas)))) == b"plain"
    return found[0]


def test_the_facts_travel_in_the_file() -> None:
    assert facts_of(protect(b"plain")) == HandOver(name="q3.xlsx", **ORDER)


def test_name_type_and_length() -> None:
    work = AgeProtector(wrap, os.urandom).start("q3.xlsx", "text/plain", None, ORDER)
    assert (work.name, work.media_type, work.length) == ("q3.xlsx.age", "application/octet-stream", None)


def test_a_stranger_learns_two_opaque_identifiers() -> None:
    sealed = protect(b"plain")
    lines = sealed.split(b"\n")
    assert lines[1] == b"-> casb 00ff00ff00ff00ff f-1"
    for known in (b"ada@", b"q3.", b"protect-downloads", b"plain"):
        assert known not in sealed[: sealed.index(b"\n---")].replace(lines[1], b"")


def test_no_two_files_share_key_or_nonce() -> None:
    assert protect(b"plain")[-21:] != protect(b"plain")[-21:]


def test_a_missing_file_id_is_made() -> None:
    order = {key: value for key, value in ORDER.items() if key != "file"}
    made = {facts_of(protect(b"plain", order)).file for _ in range(2)}
    assert len(made) == 2


def test_the_recovery_recipient_opens_it_with_stock_age() -> None:
    identity = pyrage.x25519.Identity.generate()
    sealed = protect(b"plain", recovery=str(identity.to_public()))
    assert pyrage.decrypt(sealed, [identity]) == b"plain"
    assert facts_of(sealed).user == "contoso/ada"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"user": ""}, id="nobody could open it"),
        pytest.param({"file": "two words"}, id="space in the id"),
        pytest.param({"file": "a\nb"}, id="line break in the id"),
        pytest.param({"file": "a" * 65}, id="too long"),
    ],
)
def test_what_cannot_be_ordered(change: dict[str, str]) -> None:
    with pytest.raises(ContentError, match="F008"):
        protect(b"plain", ORDER | change)


def test_a_bad_recovery_recipient_is_found_at_the_start() -> None:
    with pytest.raises(ContentError, match="F009"):
        AgeProtector(wrap, os.urandom, "age1nonsense")


@given(st.text(max_size=400), st.text(max_size=60))
def test_any_name_comes_back(name: str, user_name: str) -> None:
    order = ORDER | {"user_name": user_name}
    facts = facts_of(protect(b"plain", order, name))
    assert (facts.name, facts.user_name) == (name[:255], user_name)


def test_a_wrapped_key_is_bound_to_its_file_id() -> None:
    stanza = casb_stanza(HandOver(file="f-1", user="contoso/ada"), bytes(16), wrap)
    moved = Stanza(kind="casb", arguments=(KEY_ID, "f-2"), body=stanza.body)
    with pytest.raises(ContentError, match="F003"):
        unwrap_stanza([moved], unwrap)


@pytest.mark.parametrize(
    "stanzas",
    [
        pytest.param([], id="none"),
        pytest.param([Stanza(kind="X25519", arguments=("a",))], id="somebody else's file"),
        pytest.param([Stanza(kind="casb", arguments=("a", "b"))] * 2, id="two of ours"),
        pytest.param([Stanza(kind="casb", arguments=("a",))], id="an argument short"),
        pytest.param([Stanza(kind="casb", arguments=("a", "b", "c"))], id="an argument more"),
        pytest.param([Stanza(kind="casb", arguments=(KEY_ID, "ä"))], id="not ASCII"),
        pytest.param([Stanza(kind="casb", arguments=(KEY_ID, "f-1"), body=b"short")], id="no wrapped key"),
    ],
)
def test_headers_that_are_not_ours(stanzas: list[Stanza]) -> None:
    with pytest.raises(ContentError, match="F003"):
        unwrap_stanza(stanzas, unwrap)


@pytest.mark.parametrize(
    "inner",
    [
        b"",
        b"[]",
        b"null",
        b'"v"',
        b'{"v":2}',
        b'{"v":1,"key":"AA=="}',
        b'{"v":1,"key":"AA==","file":"f-1","user":1}',
        b"\xff",
        b"[" * 10_000,
    ],
)
def test_wrapped_data_of_another_kind(inner: bytes) -> None:
    key_id, blob = wrap(PURPOSE, b"casb/v1|f-1", inner)
    with pytest.raises(ContentError, match="F003"):
        unwrap_stanza([Stanza(kind="casb", arguments=(key_id, "f-1"), body=blob)], unwrap)
