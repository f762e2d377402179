"""Back-pressure: how far a connection is read while what came from it is worked on."""

from __future__ import annotations

import asyncio

import pytest

from casb.proxy.gates import AHEAD, Gate


class Endless:
    """A connection that always has something."""

    async def read(self, size: int) -> bytes:
        await asyncio.sleep(0)
        return bytes(size)


async def read_while_held(gate: Gate, queued: int) -> int:
    """Bytes that come while somebody holds the gate."""
    got = 0

    async def reading() -> None:
        nonlocal got
        while True:
            got += len(await gate.read(65_536))

    with gate.held(queued):
        task = asyncio.ensure_future(reading())
        await asyncio.sleep(0.05)
        task.cancel()
    return got


@pytest.mark.parametrize(("queued", "comes"), [(0, AHEAD), (AHEAD // 2, AHEAD // 2), (AHEAD, 0), (5 * AHEAD, 0)])
async def test_what_waits_already_counts(queued: int, comes: int) -> None:
    gate = Gate(Endless())
    for _ in range(3):  # holding it again and again lets in no more
        assert await read_while_held(gate, queued) == comes
