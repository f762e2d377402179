"""What is the memory store's own; the rest is in tests/contracts/test_session_store.py."""

from __future__ import annotations

from typing import Any

import pytest

from casb.errors import StoreError
from casb.store.sessions_memory import MemorySessions


class Ticking:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize("limits", [{"max_entries": 3}, {"max_bytes": 30}])
async def test_it_refuses_when_full_of_the_living(limits: Any) -> None:
    clock = Ticking()
    store = MemorySessions(clock=clock, **limits)
    for number in range(3):
        await store.put("pending", bytes([number]), b"x" * 10, ttl=10 + number)
    with pytest.raises(StoreError) as caught:
        await store.put("pending", b"new", b"x" * 10, ttl=10)
    assert caught.value.code == "S051"
    await store.put("pending", bytes([2]), b"y" * 10, ttl=12)
    clock.seconds = 10
    await store.put("pending", b"new", b"x" * 10, ttl=10)
    assert await store.get("pending", bytes([1])) == b"x" * 10
    assert await store.get("pending", bytes([2])) == b"y" * 10


async def test_nothing_is_left_behind() -> None:
    store = MemorySessions(clock=Ticking())
    for number in range(100):
        key = bytes([number])
        await store.put("login", key, b"x" * 10, ttl=10, indexes=["user:a", f"sid:{number}"])
        if number % 3 == 0:
            await store.take("login", key)
        elif number % 3 == 1:
            await store.drop("login", key)
    await store.drop_index("user:a")
    assert (store._entries, store._index, store._bytes) == ({}, {}, 0)
