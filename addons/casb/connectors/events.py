"""The receiver of security events: who may tell us of them, and the sessions that end (OpenID Shared Signals).

Push delivery (RFC 8935). A transmitter is believed for the sessions of its own provider alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from casb.connectors.fetch import Fetcher
from casb.connectors.keys import Fetch, KeyCache
from casb.connectors.live import LiveSessions
from casb.connectors.oidc import tenants_of
from casb.errors import TokenError
from casb.identity.jose import key_id
from casb.identity.security_events import REMEMBERED, Ending, Person, SecurityEvents, issuer_of, verify_events
from casb.ports import Clock, SessionStore
from casb.settings import Provider, Transmitter

logger = logging.getLogger(__name__)

ERRORS: Final = {"T012": "invalid_issuer", "T013": "invalid_audience", "I022": "authentication_failed"} | dict.fromkeys(
    ("T005", "T007", "T008", "T009", "T010"), "invalid_key"
)
"""Error codes to those of RFC 8935 section 2.4; every other one is `invalid_request`."""


class EventReceiver:
    """Takes tokens of the configured transmitters. For one event loop."""

    def __init__(
        self,
        transmitters: Iterable[Transmitter],
        providers: Iterable[Provider],
        *,
        store: SessionStore,
        live: LiveSessions,
        clock: Clock,
    ) -> None:
        self._providers = {each.id: each for each in providers}
        self._transmitters = {each.issuer: each for each in transmitters}
        self._store, self._live, self._clock = store, live, clock
        self._fetchers = {
            each.issuer: Fetcher([urlsplit(each.jwks).netloc], ca=each.ca) for each in self._transmitters.values()
        }
        self._keys = {issuer: KeyCache(_reader(fetcher)) for issuer, fetcher in self._fetchers.items()}

    async def receive(self, token: str, authorization: str) -> int:
        """Do what a token says; the number of records removed. A token that was received before does nothing.

        Raises `TokenError` (`ERRORS`), `ConnectorError` when keys cannot be had, `StoreError`.
        """
        issuer = issuer_of(token)
        transmitter = self._transmitters.get(issuer)
        if transmitter is None:
            raise TokenError("T012", "the security event comes from another transmitter")
        if transmitter.token is not None:
            wanted = f"Bearer {transmitter.token.reveal()}".encode()
            if not hmac.compare_digest(authorization.encode("utf-8", "replace"), wanted):
                raise TokenError("I022", "the transmitter did not authenticate itself")
        events = verify_events(
            token,
            await self._keys[issuer].keys(transmitter.jwks, key_id(token)),
            self._clock(),
            issuer=issuer,
            audience=transmitter.audience,
            algorithms=transmitter.algorithms,
        )
        seen = hashlib.sha256(f"set|{issuer}|{events.token_id}".encode()).digest()
        if await self._store.get("jti", seen) is not None:
            return 0
        removed = await self._carry_out(events, transmitter)
        # Noted last: when the store fails on the way, the transmitter's next try must count.
        await self._store.add("jti", seen, b"1", ttl=REMEMBERED)
        return removed

    async def close(self) -> None:
        """Let connections go."""
        for keys in self._keys.values():
            await keys.close()
        for fetcher in self._fetchers.values():
            fetcher.close()

    async def _carry_out(self, events: SecurityEvents, transmitter: Transmitter) -> int:
        removed = 0
        for ending in events.endings:
            ended = await self._end(ending, transmitter.provider)
            logger.info("security event=%s provider=%s ended=%d", ending.event, transmitter.provider, ended)
            removed += ended
        return removed

    async def _end(self, ending: Ending, provider: str) -> int:
        """Where neither session nor device is known here, all of the person's end: rather too many than one too few."""
        removed = 0
        for sid in ending.sessions:
            removed += await self._live.revoke_sid(provider, sid)
        for device in ending.devices:
            removed += await self._live.revoke_device(provider, device)
        if not removed:
            for person in ending.people:
                removed += await self._end_person(person, provider)
        return removed

    async def _end_person(self, person: Person, provider: str) -> int:
        if person.subject:
            removed = await self._live.revoke_subject(provider, person.issuer, person.subject)
            return removed + await self._live.revoke_user(f"{person.issuer}/{person.subject}")
        if person.name:
            return await self._live.revoke_name(provider, person.name)
        known = self._providers.get(provider)
        owners = (*tenants_of(known), known.authority.rstrip("/")) if known else ()
        return sum([await self._live.revoke_user(f"{owner}/{person.id}") for owner in owners])


def _reader(fetcher: Fetcher) -> Fetch:
    async def read(url: str) -> bytes:
        return await asyncio.to_thread(fetcher.read, url)

    return read
