"""Whose sessions end."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from casb.connectors.revocation import revoke
from casb.errors import TokenError
from casb.store.sessions_memory import MemorySessions


def now() -> datetime:
    return datetime(2026, 3, 2, tzinfo=UTC)


async def test_a_name_is_looked_for_at_every_provider() -> None:
    store = MemorySessions()
    for at, index in enumerate(("name:one\0ada@x.example", "name:two\0ada@x.example", "name:two\0eve@x.example")):
        await store.put("login", bytes([at]), b"1", ttl=60, indexes=[index])
    assert await revoke(store, "user", " ADA@x.example ", providers=["one", "two"], clock=now) == 2
    assert await store.get("login", b"\2") == b"1"


@pytest.mark.parametrize(("what", "value"), [("user", ""), ("user", "  "), ("all", "x"), ("app", "x" * 513)])
async def test_it_must_be_said_whose(what: str, value: str) -> None:
    with pytest.raises(TokenError) as caught:
        await revoke(MemorySessions(), what, value, providers=[], clock=now)
    assert caught.value.code == "I023"
