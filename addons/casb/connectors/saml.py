"""One SAML identity provider: where to send a browser, and who came back.

We are its service provider: one entity id and one address for answers in the whole deployment, whatever the number of
providers. Needs the extra `casb[saml]`.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from casb.connectors.fetch import Fetcher
from casb.errors import ConnectorError, TokenError
from casb.identity.claims import Claims, LogoutClaims, claims_wanted
from casb.identity.saml import Assertion, verify_response
from casb.identity.saml_claims import claims_of, name_of
from casb.identity.saml_messages import (
    LogoutRequest,
    Received,
    authn_request,
    logout_request,
    logout_response,
    read_logout_request,
    read_logout_response,
    to_query,
)
from casb.identity.saml_metadata import IdpMetadata, configured_idp
from casb.identity.saml_own import OwnAddresses
from casb.identity.saml_signature import SigningKey
from casb.ports import Clock, NewId, SessionStore
from casb.settings import Provider, SamlSource

FRESH: Final = 3600.0  # seconds between two looks at a metadata address
FAILED_PAUSE: Final = 5.0


class SamlProvider:
    """One configured provider; an `IdentityProvider` of `connectors.signin`.

    All methods raise `ConnectorError` (it is away or not set up) or `TokenError`. `keys` gives our signing keys, the
    one in use first; `keep` names further attributes to remember, because apps are told them. `store` remembers every
    assertion until it is too old to be accepted, for all processes together.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        own: OwnAddresses,
        clock: Clock,
        keys: Callable[[], Sequence[SigningKey]],
        store: SessionStore,
        keep: Collection[str] = (),
        fetcher: Fetcher | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        new_id: NewId = lambda: secrets.token_urlsafe(32),
    ) -> None:
        if provider.saml is None:
            raise ConnectorError("I006", f"provider {provider.id} has no `saml`")
        self.settings = provider
        self._source: SamlSource = provider.saml
        self.own = own
        self._clock = clock
        self._keys = keys
        self._store = store
        self._keep = frozenset(keep) | claims_wanted(provider.device)
        self._monotonic = monotonic
        self._new_id = new_id
        self._fetcher = fetcher or Fetcher([urlsplit(self._source.metadata).netloc, *provider.hosts], ca=provider.ca)
        self._metadata: tuple[IdpMetadata, float] | None = None
        self._tried = -FRESH
        self._lock = asyncio.Lock()

    async def is_known_as(self, entity_id: str) -> bool:
        """Whether this is its entity id; a provider that is away is nobody's."""
        try:
            return (await self.metadata()).entity_id == entity_id
        except ConnectorError:
            return False

    # --- sign-in ------------------------------------------------------------------------------------------------------

    async def begin(
        self,
        *,
        contexts: Collection[str] = (),
        prompt: str | None = None,
        login_hint: str | None = None,
        domain_hint: str | None = None,
        max_age: int | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """The address to send the browser to, and the state to keep for `finish`."""
        metadata = await self.metadata()
        request, relay = f"_{secrets.token_hex(20)}", self._new_id()
        document = authn_request(
            id=request,
            issuer=self.own.entity_id,
            destination=metadata.sso_url,
            acs=self.own.acs,
            now=self._clock(),
            name_id_format=self._source.name_id_format,
            contexts=sorted(contexts),
            force=prompt == "login" or max_age is not None,
            passive=prompt == "none",
            subject=login_hint or "",
        )
        key = self._signing() if self._source.sign_requests or metadata.wants_signed_requests else None
        url = with_query(metadata.sso_url, to_query("SAMLRequest", document, relay_state=relay, key=key))
        return url, {"state": relay, "request": request}

    async def finish(
        self,
        flow: Mapping[str, Any],
        params: Mapping[str, str],
        *,
        contexts: Collection[str] = (),
        max_age: int | None = None,
    ) -> Claims:
        """The checked claims for what the browser brought back to the sign-in that `flow` began."""
        return await self._accept(
            params.get("SAMLResponse", ""),
            in_response_to=str(flow["request"]),
            contexts=tuple(contexts),
            max_age=max_age,
        )

    async def unsolicited(self, response: str) -> Claims:
        """The checked claims of a response that nobody asked for; whether that is allowed, the caller knows."""
        return await self._accept(response, in_response_to=None, contexts=(), max_age=None)

    async def _accept(
        self, response: str, *, in_response_to: str | None, contexts: Collection[str], max_age: int | None
    ) -> Claims:
        metadata, now = await self.metadata(), self._clock()
        found: Assertion = await asyncio.to_thread(
            verify_response,
            response.encode("ascii", "replace"),
            metadata.certificates,
            now,
            issuer=metadata.entity_id,
            audience=self.own.entity_id,
            recipient=self.own.acs,
            in_response_to=in_response_to,
            unsolicited=in_response_to is None,
            contexts=contexts,
            max_age=max_age,
        )
        claims = claims_of(found, self._source, tenants=self.settings.tenants, keep=self._keep)
        await self._once("assertion", found.id, (found.expires - now).total_seconds())
        return claims

    async def _once(self, kind: str, identifier: str, seconds: float) -> None:
        key = hashlib.sha256(f"{kind}|{self.settings.id}|{identifier}".encode()).digest()
        if not await self._store.add("saml", key, b"1", ttl=max(seconds, 1.0)):
            raise TokenError("T060", "the answer of the identity provider was used before")

    # --- sign-out -----------------------------------------------------------------------------------------------------

    async def verify_logout(self, token: str) -> LogoutClaims:
        """SAML has no logout tokens."""
        raise TokenError("T018", "a SAML provider sends no logout tokens")

    async def end_session_url(self, *, return_to: str, hint: str = "", session: str = "") -> str | None:
        """Where the browser signs out at the provider; it comes back to our sign-out address, which shows the end."""
        metadata, subject = await self.metadata(), name_of(hint)
        if not metadata.slo_url or subject is None:
            return None
        document = logout_request(
            id=f"_{secrets.token_hex(20)}",
            issuer=self.own.entity_id,
            destination=metadata.slo_url,
            now=self._clock(),
            subject=subject,
            session_index=session,
        )
        return with_query(metadata.slo_url, to_query("SAMLRequest", document, key=self._signing()))

    async def logout(self, received: Received) -> tuple[LogoutRequest, str]:
        """A provider's request to sign somebody out: what it says, and where to send the browser with our answer."""
        metadata, now = await self.metadata(), self._clock()
        request = read_logout_request(
            received, now, destination=self.own.slo, issuer=metadata.entity_id, certificates=metadata.certificates
        )
        await self._once("logout", request.id, timedelta(minutes=12).total_seconds())
        answer = logout_response(
            id=f"_{secrets.token_hex(20)}",
            issuer=self.own.entity_id,
            destination=metadata.slo_response_url,
            now=now,
            in_response_to=request.id,
        )
        if not metadata.slo_response_url:
            return request, ""
        query = to_query("SAMLResponse", answer, relay_state=request.relay_state, key=self._signing())
        return request, with_query(metadata.slo_response_url, query)

    async def logged_out(self, received: Received) -> str:
        """The provider's answer to our request: '' or the words of its failure."""
        metadata = await self.metadata()
        _, words = read_logout_response(
            received,
            self._clock(),
            destination=self.own.slo,
            issuer=metadata.entity_id,
            certificates=metadata.certificates,
        )
        return words

    # --- metadata -----------------------------------------------------------------------------------------------------

    async def metadata(self) -> IdpMetadata:
        """Who the provider is. From an address: at most an hour old if it answers, else the last good one."""
        source = self._source
        async with self._lock:
            if self._metadata and (not source.metadata or self._monotonic() - self._metadata[1] < FRESH):
                return self._metadata[0]
            if source.metadata and self._monotonic() - self._tried < FAILED_PAUSE and self._metadata is None:
                raise ConnectorError("I001", "the identity provider's metadata could not be read a moment ago")
            try:
                self._tried = self._monotonic()
                found = await self._read()
            except (ConnectorError, TokenError) as error:
                last = self._metadata
                if last is None or (last[0].valid_until and last[0].valid_until <= self._clock()):
                    raise ConnectorError(error.code, error.message) from error
                self._metadata = (last[0], self._monotonic() - FRESH + 60)  # again in a minute
                return last[0]
            self._metadata = (found, self._monotonic())
            return found

    async def _read(self) -> IdpMetadata:
        source, document = self._source, None
        if source.metadata:
            document = await asyncio.to_thread(self._fetcher.read, source.metadata)
        return configured_idp(source, self._clock(), document)

    async def close(self) -> None:
        """Let connections go."""
        self._fetcher.close()

    def _signing(self) -> SigningKey:
        return self._keys()[0]


def with_query(url: str, query: str) -> str:
    """An address with more parameters."""
    return f"{url}{'&' if '?' in url else '?'}{query}"
