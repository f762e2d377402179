"""Sessions of a single proxy process, in its memory; gone when it ends. Knows no cookies and no records."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from casb.errors import StoreError

MAX_ENTRIES = 200_000
MAX_BYTES = 256 * 1024 * 1024


@dataclass(slots=True)
class _Entry:
    value: bytes
    ends: float
    indexes: tuple[str, ...] = ()


@dataclass(slots=True)
class MemorySessions:
    """A `SessionStore` over dicts. `clock` gives monotonic seconds. Full of live entries it refuses (`StoreError`)."""

    clock: Callable[[], float] = time.monotonic
    max_entries: int = MAX_ENTRIES
    max_bytes: int = MAX_BYTES
    _entries: dict[tuple[str, bytes], _Entry] = field(default_factory=dict)
    _index: dict[str, set[tuple[str, bytes]]] = field(default_factory=dict)
    _bytes: int = 0
    _epoch: int = 0

    async def put(self, kind: str, key: bytes, value: bytes, *, ttl: float, indexes: Sequence[str] = ()) -> None:
        """Keep `value` for `ttl` seconds."""
        self._remove((kind, key))
        if len(self._entries) >= self.max_entries or self._bytes + len(value) > self.max_bytes:
            await self.purge()
            if len(self._entries) >= self.max_entries or self._bytes + len(value) > self.max_bytes:
                raise StoreError("S051", "the session store is full", hint="use the sqlite store, or raise its limits")
        self._entries[kind, key] = _Entry(value, self.clock() + ttl, tuple(indexes))
        self._bytes += len(value)
        for index in indexes:
            self._index.setdefault(index, set()).add((kind, key))

    async def add(self, kind: str, key: bytes, value: bytes, *, ttl: float) -> bool:
        """As `put`, but only when nothing is there."""
        if self._live((kind, key)) is not None:
            return False
        await self.put(kind, key, value, ttl=ttl)
        return True

    async def get(self, kind: str, key: bytes) -> bytes | None:
        """The value, or None."""
        entry = self._live((kind, key))
        return entry.value if entry else None

    async def present(self, kind: str, keys: Sequence[bytes]) -> frozenset[bytes]:
        """Which of many are there."""
        return frozenset(key for key in keys if self._live((kind, key)) is not None)

    async def take(self, kind: str, key: bytes) -> bytes | None:
        """The value, removed in the same step."""
        entry = self._live((kind, key))
        if entry is None:
            return None
        self._remove((kind, key))
        return entry.value

    async def touch(self, kind: str, key: bytes, *, ttl: float) -> None:
        """Prolong, when still there."""
        entry = self._live((kind, key))
        if entry is not None:
            entry.ends = self.clock() + ttl

    async def drop(self, kind: str, key: bytes) -> None:
        """Remove, if there."""
        if self._remove((kind, key)):
            self._epoch += 1

    async def drop_index(self, index: str) -> int:
        """Remove everything kept under an index."""
        places = tuple(self._index.get(index, ()))
        removed = 0
        for place in places:
            alive = self._live(place) is not None
            removed += self._remove(place) and alive
        self._epoch += bool(removed)
        return removed

    def epoch(self) -> int:
        """Grows with every drop."""
        return self._epoch

    async def purge(self) -> int:
        """Remove what has expired."""
        now = self.clock()
        gone = [place for place, entry in self._entries.items() if entry.ends <= now]
        for place in gone:
            self._remove(place)
        return len(gone)

    def _live(self, place: tuple[str, bytes]) -> _Entry | None:
        entry = self._entries.get(place)
        if entry is None or entry.ends > self.clock():
            return entry
        self._remove(place)
        return None

    def _remove(self, place: tuple[str, bytes]) -> bool:
        entry = self._entries.pop(place, None)
        if entry is None:
            return False
        self._bytes -= len(entry.value)
        for index in entry.indexes:
            members = self._index[index]
            members.discard(place)
            if not members:
                del self._index[index]
        return True
