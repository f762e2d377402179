"""Providers' signing keys: fetched, judged, kept, and served on while a provider is away.

Fresh for an hour, then refreshed behind the scenes; usable for a day while refreshing fails. A `kid` never seen asks
the provider once, at most every five minutes (Entra "signing key rollover"). For one event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cachetools import TTLCache

from casb.errors import ConnectorError, TokenError
from casb.identity.jose import MAX_KEYS, usable_key

logger = logging.getLogger(__name__)

FRESH: Final = 3600.0  # seconds that a set is used without asking
USABLE: Final = 24 * 3600.0  # seconds that a set is used while asking fails
UNKNOWN_PAUSE: Final = 300.0  # seconds between attempts caused by unknown kids
FAILED_PAUSE: Final = 10.0  # seconds after a failure before the next attempt

type JwkSet = Mapping[str, Any]
type Fetch = Callable[[str], Awaitable[bytes]]


def parse_keys(data: bytes) -> dict[str, Mapping[str, Any]]:
    """The usable keys of a JWK set by `kid`; raises `ConnectorError` when it is no set or none is usable.

    Keys that may not verify signatures are left out, and so are those that share a `kid`: which is meant is unknown.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConnectorError("I005", "the provider's key set is not JSON") from error
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise ConnectorError("I005", "the provider's key set is not a key set, or too large")
    kids = [jwk.get("kid") for jwk in keys if isinstance(jwk, dict)]
    usable = {}
    for jwk in keys:
        kid = jwk.get("kid") if isinstance(jwk, dict) else None
        if isinstance(kid, str) and kids.count(kid) == 1:
            try:
                usable_key(jwk)
            except TokenError:
                continue
            usable[kid] = jwk
    if not usable:
        raise ConnectorError("I005", "the provider's key set has no usable key")
    return usable


@dataclass(slots=True)
class _Set:
    keys: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    fetched: float | None = None
    attempted: float | None = None
    task: asyncio.Task[None] | None = None


class KeyCache:
    """JWK sets by address. `fetch` gets the bytes of one; `monotonic` gives seconds."""

    def __init__(self, fetch: Fetch, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._sets: dict[str, _Set] = {}
        self._unknown: TTLCache[tuple[str, str], bool] = TTLCache(1024, UNKNOWN_PAUSE, timer=monotonic)

    async def keys(self, url: str, kid: str) -> JwkSet:
        """The set at `url`, tried to be recent enough to know `kid`; raises `ConnectorError` when there is none.

        The set may still lack `kid`; whoever verifies finds out and refuses.
        """
        entry = self._sets.setdefault(url, _Set())
        age = self._age(entry.fetched)
        if age >= USABLE:
            await self._refresh(url, entry, pause=FAILED_PAUSE)
        elif kid not in entry.keys:
            if (url, kid) not in self._unknown:
                asked = await self._refresh(url, entry, pause=UNKNOWN_PAUSE)
                if asked and kid not in entry.keys:
                    self._unknown[url, kid] = True
        elif age >= FRESH:
            self._start(url, entry, pause=FAILED_PAUSE)
        if self._age(entry.fetched) >= USABLE:
            raise ConnectorError("I005", "the provider's signing keys cannot be had", hint="is the provider reachable?")
        return {"keys": list(entry.keys.values())}

    def _age(self, since: float | None) -> float:
        return float("inf") if since is None else self._monotonic() - since

    def _start(self, url: str, entry: _Set, *, pause: float) -> asyncio.Task[None] | None:
        """The refresh under way, or a new one if the last attempt is long enough ago."""
        if entry.task is None and self._age(entry.attempted) >= pause:
            entry.attempted = self._monotonic()
            entry.task = asyncio.create_task(self._load(url, entry))
        return entry.task

    async def _refresh(self, url: str, entry: _Set, *, pause: float) -> bool:
        """Whether the provider was asked."""
        task = self._start(url, entry, pause=pause)
        if task is None:
            return False
        await asyncio.shield(task)  # One caller giving up must not end it for the others.
        return True

    async def _load(self, url: str, entry: _Set) -> None:
        try:
            entry.keys = parse_keys(await self._fetch(url))
            entry.fetched = self._monotonic()
        except ConnectorError as error:
            logger.warning("signing keys not refreshed: %s", error)
        finally:
            entry.task = None

    async def close(self) -> None:
        """End refreshes under way."""
        tasks = [entry.task for entry in self._sets.values() if entry.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
