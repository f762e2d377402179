"""One SAML provider: what it is asked, what is accepted once, and how its metadata is kept."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from casb.connectors.saml import SamlProvider
from casb.errors import ConnectorError, TokenError
from casb.identity.saml import NameId
from casb.identity.saml_claims import hint_of
from casb.identity.saml_messages import (
    from_query,
    logout_request,
    logout_response,
    read_authn_request,
    read_logout_request,
    read_logout_response,
    to_query,
)
from casb.identity.saml_metadata import OwnRole, write
from casb.identity.saml_own import own_addresses
from casb.identity.saml_signature import SigningKey
from casb.settings import Provider, SamlSource
from casb.store.sessions_memory import MemorySessions
from saml_support import IDP, NOW, Response, signer

OWN = own_addresses("https://login.casb.test")
OURS = SigningKey(key=signer("ours").key, certificate=signer("ours").certificate)
THEIRS = SigningKey(key=signer("idp").key, certificate=signer("idp").certificate)
METADATA = write(
    OwnRole(entity_id=IDP, keys=[THEIRS], sso="https://idp.example/sso?x=1", slo="https://idp.example/slo")
)


class Fetched:
    """An address with metadata that can be taken away."""

    def __init__(self) -> None:
        self.answer: bytes | ConnectorError = METADATA
        self.asked = 0

    def read(self, url: str) -> bytes:
        self.asked += 1
        if isinstance(self.answer, ConnectorError):
            raise self.answer
        return self.answer

    def close(self) -> None:
        """Nothing."""


def made(source: SamlSource | None = None, *, clock: Callable[[], Any] = lambda: NOW, **more: Any) -> SamlProvider:
    settings = Provider(id="contoso", kind="saml", saml=source or SamlSource(document=METADATA))
    given: dict[str, Any] = {"own": OWN, "clock": clock, "keys": lambda: [OURS], "store": MemorySessions()} | more
    return SamlProvider(settings, **given)


def response(request: str | None, **changes: Any) -> str:
    given: dict[str, Any] = {
        "destination": OWN.acs,
        "recipient": OWN.acs,
        "audience": OWN.entity_id,
        "in_response_to": request,
        "confirmed_request": request,
    } | changes
    return base64.b64encode(Response(**given).signed()).decode()


async def test_the_browser_is_sent_with_a_signed_request_and_comes_back_once() -> None:
    provider = made()
    url, state = await provider.begin(contexts=["urn:strong"], prompt="login", login_hint="ada")
    assert url.startswith("https://idp.example/sso?x=1&SAMLRequest=")
    asked = read_authn_request(
        from_query(url.partition("?x=1&")[2]),
        NOW,
        destination="https://idp.example/sso?x=1",
        issuer=OWN.entity_id,
        certificates=[OURS.certificate],
        must_sign=True,
    )
    assert (asked.id, asked.acs_url, asked.contexts) == (state["request"], OWN.acs, ("urn:strong",))
    assert asked.force and not asked.passive and asked.relay_state == state["state"]
    answer = {"SAMLResponse": response(state["request"], context="urn:strong")}
    claims = await provider.finish(state, answer, contexts=["urn:strong"])
    assert (claims.subject, claims.issuer, claims.session) == ("ada@contoso.example", IDP, "_session-1")
    assert claims.session_ends == int((NOW + timedelta(hours=8)).timestamp())
    with pytest.raises(TokenError, match="T060"):
        await provider.finish(state, answer, contexts=["urn:strong"])


async def test_an_answer_to_somebody_elses_request_is_refused() -> None:
    provider = made()
    _, mine = await provider.begin()
    _, theirs = await provider.begin()
    with pytest.raises(TokenError, match="T052"):
        await provider.finish(mine, {"SAMLResponse": response(theirs["request"])})
    with pytest.raises(TokenError, match="T052"):
        await provider.unsolicited(response(mine["request"]))
    assert (await provider.unsolicited(response(None))).subject
    with pytest.raises(TokenError, match="T060"):
        await provider.unsolicited(response(None))
    with pytest.raises(TokenError, match="T016"):
        await provider.finish(mine, {"SAMLResponse": response(mine["request"])}, contexts=["urn:strong"])


async def test_processes_share_what_was_seen() -> None:
    store = MemorySessions()
    text = response(None)
    await made(store=store).unsolicited(text)
    with pytest.raises(TokenError, match="T060"):
        await made(store=store).unsolicited(text)


async def test_metadata_of_an_address_is_renewed_and_outlives_an_outage() -> None:
    fetched, time = Fetched(), [0.0]
    provider = made(SamlSource(metadata="https://idp.example/metadata"), fetcher=fetched, monotonic=lambda: time[0])
    assert await provider.is_known_as(IDP)
    assert await provider.is_known_as(IDP) and fetched.asked == 1
    fetched.answer = ConnectorError("I001", "away")
    time[0] = 4000
    assert (await provider.metadata()).entity_id == IDP and fetched.asked == 2, "the last good one"
    await provider.metadata()
    assert fetched.asked == 2, "not asked again at once"
    fetched.answer = b"<html>"
    time[0] = 8000
    assert (await provider.metadata()).entity_id == IDP
    fetched.answer = METADATA.replace(b"idp.example/slo", b"idp.example/new")
    time[0] = 12000
    assert (await provider.metadata()).slo_url == "https://idp.example/new"


async def test_a_provider_that_was_never_reached_is_away() -> None:
    fetched, time = Fetched(), [0.0]
    fetched.answer = ConnectorError("I001", "away")
    provider = made(SamlSource(metadata="https://idp.example/metadata"), fetcher=fetched, monotonic=lambda: time[0])
    for _ in range(3):
        with pytest.raises(ConnectorError, match="I001"):
            await provider.begin()
    assert fetched.asked == 1, "a failing address is not hammered"
    assert not await provider.is_known_as(IDP)


async def test_signing_out_at_the_provider() -> None:
    provider = made()
    name = NameId(value="ada", format="urn:f")
    url = await provider.end_session_url(return_to="https://x", hint=hint_of(name), session="_s")
    assert url is not None
    asked = read_logout_request(
        from_query(url.partition("?")[2]),
        NOW,
        destination="https://idp.example/slo",
        issuer=OWN.entity_id,
        certificates=[OURS.certificate],
    )
    assert (asked.subject, asked.session_indexes) == (name, ("_s",))
    assert await provider.end_session_url(return_to="https://x", hint="ada@contoso.example") is None
    answer = logout_response(id="_a", issuer=IDP, destination=OWN.slo, now=NOW, in_response_to=asked.id)
    assert await provider.logged_out(from_query(to_query("SAMLResponse", answer, key=THEIRS))) == ""


async def test_the_provider_signs_out_once_and_only_signed() -> None:
    provider = made()
    document = logout_request(
        id="_l", issuer=IDP, destination=OWN.slo, now=NOW, subject=NameId(value="ada"), session_index="_s"
    )
    query = to_query("SAMLRequest", document, relay_state="back", key=THEIRS)
    request, url = await provider.logout(from_query(query))
    assert request.session_indexes == ("_s",) and "RelayState=back" in url
    answered = read_logout_response(
        from_query(url.partition("?")[2]),
        NOW,
        destination="https://idp.example/slo",
        issuer=OWN.entity_id,
        certificates=[OURS.certificate],
    )
    assert answered == ("_l", "")
    with pytest.raises(TokenError, match="T060"):
        await provider.logout(from_query(query))
    for wrong in (to_query("SAMLRequest", document), to_query("SAMLRequest", document, key=OURS)):
        with pytest.raises(TokenError, match=r"T04[46]"):
            await provider.logout(from_query(wrong))
    with pytest.raises(TokenError):
        await provider.verify_logout("x")
    await provider.close()
