"""Everything that can be plugged in, as Protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

type Clock = Callable[[], datetime]
"""Gives the present as aware UTC."""

type NewId = Callable[[], str]
"""Gives a fresh opaque identifier."""


class SessionStore(Protocol):
    """Short-lived secrets and sessions, shared by all proxy processes of a deployment.

    Keys are digests, never the cookies themselves. `kind` separates namespaces (`login`, `child`, `flow`, `pending`,
    `code`, `resume`, `jti`). Values are opaque bytes. Raises `StoreError` when it is away; callers answer 503.
    """

    async def put(self, kind: str, key: bytes, value: bytes, *, ttl: float, indexes: Sequence[str] = ()) -> None:
        """Keep `value` for `ttl` seconds, findable through `indexes` for `drop_index`. Replaces an older value."""

    async def add(self, kind: str, key: bytes, value: bytes, *, ttl: float) -> bool:
        """As `put`, but only when nothing is there: False on replay."""

    async def get(self, kind: str, key: bytes) -> bytes | None:
        """The value, or None when absent or expired."""

    async def present(self, kind: str, keys: Sequence[bytes]) -> frozenset[bytes]:
        """Which of many keys are still there; one question for all of them."""

    async def take(self, kind: str, key: bytes) -> bytes | None:
        """The value, removed in the same step: of many callers exactly one gets it."""

    async def touch(self, kind: str, key: bytes, *, ttl: float) -> None:
        """Prolong, when still there."""

    async def drop(self, kind: str, key: bytes) -> None:
        """Remove, if there."""

    async def drop_index(self, index: str) -> int:
        """Remove everything kept under an index, e.g. `login:<id>`; the number removed."""

    def epoch(self) -> int:
        """Grows whenever anything was dropped, in any process: local caches are void when it has changed. No I/O."""

    async def purge(self) -> int:
        """Remove what has expired."""


class RecordStore(Protocol):
    """The activity log: append-only. Records are JSON objects as `model.record.to_json` makes them."""

    def append(self, records: Iterable[Mapping[str, Any]]) -> int:
        """Store durably; a record whose id is already there is left alone. The number newly stored."""

    def get(self, record_id: str) -> dict[str, Any] | None:
        """One record by its activity id."""

    def query(self, filters: Mapping[str, Any], *, cursor: str | None = None, limit: int = 100) -> Page:
        """Newest first."""

    def purge(self, before: datetime) -> int:
        """Drop what is older; the number dropped."""


class Page(Protocol):
    """A page of records and where to go on."""

    records: Sequence[dict[str, Any]]
    cursor: str | None


class Protector(Protocol):
    """Hands a file over changed."""

    name: str

    def start(self, name: str, media_type: str, length: int | None, order: Mapping[str, str]) -> Protecting:
        """Begin one file. `order` says who and why: file id, user, app, policy, label."""


class Protecting(Protocol):
    """One file on its way through a protector: push style, so that it streams."""

    name: str  # the new file name
    media_type: str
    length: int | None  # final length in bytes when the plain length was known

    def update(self, chunk: bytes) -> bytes:
        """Cipher text that is ready; may be empty."""

    def finish(self) -> bytes:
        """The rest."""
