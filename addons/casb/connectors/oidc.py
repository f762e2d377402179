"""One OpenID Connect provider: where to send a browser, and who came back.

MSAL builds the request and exchanges the code (PKCE, state, nonce); it does not validate the ID token, so nothing of
what it read from one is used: the token goes through `casb.identity.tokens.verify_token`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlencode, urlsplit

import msal

from casb.connectors.fetch import Fetcher, Reply
from casb.connectors.keys import KeyCache
from casb.errors import CasbError, ConnectorError, TokenError
from casb.identity.claims import Claims, LogoutClaims, claims_wanted, contexts_wanted
from casb.identity.jose import SUPPORTED, key_id
from casb.identity.tokens import SKEW, TENANT_TEMPLATE, hashed_nonce, verify_logout_token, verify_token
from casb.model.identity import DeviceTag
from casb.ports import Clock
from casb.settings import ContextRule, Provider, tenants_named

logger = logging.getLogger(__name__)

METADATA_FRESH: Final = 3600.0
FAILED_PAUSE: Final = 5.0  # seconds during which a failure is answered without trying again
EXCHANGE_TIMEOUT: Final = 15.0
WATCH: Final = 30.0  # seconds between looks at a provider that sign-ins are sent to
WATCH_AWAY: Final = 5.0  # the same while it does not answer
WATCHED: Final = 600.0  # seconds after a sign-in that it is looked at
MISSES: Final = 2  # looks in a row that come to nothing before people are told
_RESERVED_SCOPES: Final = frozenset({"openid", "profile", "offline_access"})  # MSAL adds them itself
_ERROR = re.compile(r"[a-z_]{1,40}", re.ASCII)
_AADSTS = re.compile(r"AADSTS[0-9]{1,8}", re.ASCII)
_ACR: frozenset[str] = frozenset({"acr"})
_NOTHING: frozenset[str] = frozenset()
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)


class NullCache(msal.TokenCache):  # type: ignore[misc] # its base is untyped
    """Keeps nothing: MSAL would otherwise hold every user's tokens in memory."""

    def add(self, event: Any, now: Any = None) -> None:
        """Forget it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What we use of a provider's discovery document (OpenID Connect Discovery section 3)."""

    issuer: str
    jwks_uri: str
    end_session_endpoint: str | None
    sends_issuer: bool  # RFC 9207


class Overheard:
    """The fetcher as MSAL is given it, which knows what the token endpoint answered to the same thread."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._said = threading.local()

    def get(self, url: str, **options: Any) -> Reply:
        """One GET."""
        return self._fetcher.get(url, **options)

    def post(self, url: str, **options: Any) -> Reply:
        """One POST, remembered."""
        reply = self._said.reply = self._fetcher.post(url, **options)
        return reply

    def close(self) -> None:
        """The fetcher is not ours to close."""

    def forget(self) -> None:
        """Another exchange begins."""
        self._said.reply = None

    def id_token(self) -> str | None:
        """The ID token in the last answer, if that was a success with one."""
        reply: Reply | None = getattr(self._said, "reply", None)
        try:
            token = json.loads(reply.text)["id_token"] if reply is not None and reply.status_code == 200 else None
        except (ValueError, RecursionError, KeyError, TypeError):
            return None
        return token if isinstance(token, str) else None


class OidcProvider:
    """One configured provider. All methods raise `ConnectorError` (it is away or refused) or `TokenError`.

    `redirect_uri` is where browsers come back; `clock` gives the present; `keep` names further claims to remember,
    because apps are told them. For one event loop.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        redirect_uri: str,
        clock: Clock,
        fetcher: Fetcher | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        response_mode: Literal["query", "form_post"] = "query",
        keep: Collection[str] = (),
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.settings = provider
        self._authority = provider.authority.rstrip("/")
        parts = urlsplit(self._authority)
        if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
            raise ConnectorError("I006", f"the authority of provider {provider.id} is not an https address")
        if not set(provider.device.claims) <= {tag.value for tag in DeviceTag}:
            raise ConnectorError("I006", f"provider {provider.id} names a device tag that does not exist")
        if not provider.algorithms or not set(provider.algorithms) <= set(SUPPORTED):
            raise ConnectorError("I006", f"provider {provider.id} names a signature algorithm that is not supported")
        self._fetcher = fetcher or Fetcher([parts.netloc, *provider.hosts], ca=provider.ca)
        self._wire = Overheard(self._fetcher)
        self._redirect_uri = redirect_uri
        self._clock = clock
        self._monotonic = monotonic
        self._response_mode = response_mode
        self._keep = frozenset(keep)
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix=f"idp-{provider.id}")
        self._keys = KeyCache(self._read, monotonic=monotonic)
        self._app: msal.ConfidentialClientApplication | None = None
        self._metadata: tuple[Metadata, float] | None = None
        self._failure: tuple[ConnectorError, float] | None = None
        self._lock = asyncio.Lock()
        self._pause = pause
        self._asked = 0.0
        self._misses = 0
        self._watching: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """The name in the configuration."""
        return self.settings.id

    @property
    def tenants(self) -> tuple[str, ...]:
        """The allowed tenants (Entra): those listed, or the one that the authority names."""
        return tenants_of(self.settings)

    async def begin(
        self,
        *,
        contexts: Collection[str] = (),
        prompt: str | None = None,
        login_hint: str | None = None,
        domain_hint: str | None = None,
        max_age: int | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """The address to send the browser to, and the state to keep for `finish`.

        `contexts` must be met (step-up); those that device tags hang on are asked for besides, without insisting.
        """
        await self.metadata()
        self._watch()
        if self._misses >= MISSES:
            raise ConnectorError("I001", "the identity provider does not answer at present")
        app = await self._application()
        rules = self.settings.contexts
        flow: dict[str, Any] = app.initiate_auth_code_flow(
            [scope for scope in self.settings.scopes if scope not in _RESERVED_SCOPES],
            redirect_uri=self._redirect_uri,
            prompt=prompt,
            login_hint=login_hint,
            domain_hint=domain_hint,
            max_age=max_age,
            claims_challenge=None if rules else _claims_parameter(contexts, contexts_wanted(self.settings.device)),
            response_mode="form_post",
        )
        flow.pop("max_age", None)  # MSAL would check it against its own clock and print the token when it fails.
        url = str(flow.pop("auth_uri"))
        if self._response_mode == "query":
            # The answer is bound to the browser by the flow cookie, which is not sent with a cross-site POST, and to us
            # by PKCE. MSAL warns on every sign-in when told so itself.
            url = url.replace("response_mode=form_post", "response_mode=query")
        if rules and contexts:
            url += _acr_parameters([rules[each] for each in sorted(contexts) if each in rules])
        if not self._fetcher.allows(url):
            raise ConnectorError("I003", "the provider's authorization endpoint is not https on a configured host")
        return url, flow

    async def finish(
        self,
        flow: Mapping[str, Any],
        params: Mapping[str, str],
        *,
        contexts: Collection[str] = (),
        max_age: int | None = None,
    ) -> Claims:
        """The checked claims for what the browser brought back (`params`) to the sign-in that `flow` began."""
        metadata = await self.metadata()
        self._check_answer(flow, params, metadata)
        app = await self._application()
        # MSAL changes the dict, and reads whatever else the browser sends: it gets a copy and two parameters.
        answer = {name: params[name] for name in ("code", "state") if name in params}
        result = await self._call(_exchange, app, self._wire, dict(flow), answer)
        token = result.get("id_token")
        if "error" in result or not isinstance(token, str):
            raise ConnectorError("I004", f"the identity provider refused the sign-in: {_reason(result)}")
        claims = verify_token(
            token,
            await self._keys.keys(metadata.jwks_uri, key_id(token)),
            self._clock(),
            issuer=self._issuer(metadata),
            client_id=self.settings.client_id,
            nonce=hashed_nonce(str(flow["nonce"])),
            tenants=self.tenants,
            algorithms=self.settings.algorithms,
            max_age=max_age,
            contexts=() if self.settings.contexts else contexts,
            groups_claim=self.settings.groups_claim,
            names=self.settings.claims,
            require=self.settings.require,
            keep=claims_wanted(self.settings.device) | self._keep | (_ACR if self.settings.contexts else _NOTHING),
        )
        if self.settings.contexts:
            claims = replace(claims, contexts=_proven(claims, self.settings.contexts, self._clock()))
            if not claims.contexts.issuperset(contexts):
                raise TokenError("T016", "the authentication context asked for was not met")
        if "refused" in result:  # MSAL alone dislikes something: that decides as well.
            raise ConnectorError("I002", f"the identity provider's answer is unusable: {result['refused']}")
        if params.get("iss", claims.issuer) != claims.issuer:
            raise TokenError("T012", "the answer and the token name different issuers")
        return claims

    async def verify_logout(self, token: str) -> LogoutClaims:
        """The checked claims of a back-channel logout token."""
        metadata = await self.metadata()
        return verify_logout_token(
            token,
            await self._keys.keys(metadata.jwks_uri, key_id(token)),
            self._clock(),
            issuer=self._issuer(metadata),
            client_id=self.settings.client_id,
            tenants=self.tenants,
            algorithms=self.settings.algorithms,
        )

    async def end_session_url(self, *, return_to: str, hint: str = "", session: str = "") -> str | None:
        """Where the browser signs out at the provider (RP-Initiated Logout 1.0); None: it has no such place."""
        endpoint = (await self.metadata()).end_session_endpoint
        if endpoint is None or not self._fetcher.allows(endpoint):
            return None
        query = {"client_id": self.settings.client_id, "post_logout_redirect_uri": return_to}
        if hint:
            query["logout_hint"] = hint
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def metadata(self) -> Metadata:
        """The discovery document, at most an hour old if the provider answers, else the last good one."""
        async with self._lock:
            if self._metadata and self._monotonic() - self._metadata[1] < METADATA_FRESH:
                return self._metadata[0]
            try:
                self._raise_recent()
                found = self._parse(await self._read(f"{self._authority}/.well-known/openid-configuration"))
            except ConnectorError as error:
                self._remember(error)
                if self._metadata:
                    return self._metadata[0]
                raise
            self._metadata = (found, self._monotonic())
            return found

    def _watch(self) -> None:
        """Look at the provider from time to time, as long as people are sent there: nobody waits for a look."""
        self._asked = self._monotonic()
        if self._watching is None:
            self._watching = asyncio.create_task(self._look())
            self._watching.add_done_callback(self._seen)

    def _seen(self, task: asyncio.Task[None]) -> None:
        self._watching, self._misses = None, 0
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("no more looks at provider %s: %s", self.id, type(error).__name__)

    async def _look(self) -> None:
        while self._monotonic() - self._asked < WATCHED:
            await self._pause(WATCH_AWAY if self._misses else WATCH)
            try:
                found = self._parse(await self._read(f"{self._authority}/.well-known/openid-configuration"))
            except ConnectorError as error:
                self._misses += 1
                if self._misses == MISSES:
                    logger.warning("provider %s does not answer: %s", self.id, error)
            else:
                self._misses = 0
                self._metadata = (found, self._monotonic())

    async def close(self) -> None:
        """Let threads and connections go."""
        if self._watching is not None:
            self._watching.cancel()
        await self._keys.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._fetcher.close()

    def _issuer(self, metadata: Metadata) -> str:
        """What `iss` must be. For Entra it follows from the configuration alone, whatever the provider says."""
        if self.settings.kind == "entra":
            parts = urlsplit(self._authority)
            return f"https://{parts.netloc}/{TENANT_TEMPLATE}/v2.0"
        return metadata.issuer

    def _check_answer(self, flow: Mapping[str, Any], params: Mapping[str, str], metadata: Metadata) -> None:
        if not flow.get("state") or params.get("state") != flow["state"]:
            raise TokenError("T015", "the answer belongs to another sign-in request")
        issuer = params.get("iss")
        if issuer is None and metadata.sends_issuer:
            raise TokenError("T012", "the answer does not name its issuer")
        allowed = {self._issuer(metadata).replace(TENANT_TEMPLATE, tenant) for tenant in self.tenants or ("",)}
        if issuer is not None and issuer not in allowed:
            raise TokenError("T012", "the answer comes from another issuer")
        if params.get("error") in ("temporarily_unavailable", "server_error"):
            raise ConnectorError("I001", f"the identity provider cannot answer now: {_reason(params)}")
        if "error" in params or "code" not in params:
            raise ConnectorError("I004", f"the identity provider refused the sign-in: {_reason(params)}")

    def _parse(self, data: bytes) -> Metadata:
        try:
            document = json.loads(data)
            issuer, jwks_uri = document["issuer"], document["jwks_uri"]
            end_session = document.get("end_session_endpoint")
            sends = document.get("authorization_response_iss_parameter_supported", False)
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise ConnectorError("I002", "the provider's discovery document is malformed") from error
        if not isinstance(issuer, str) or not isinstance(jwks_uri, str) or not self._fetcher.allows(jwks_uri):
            raise ConnectorError(
                "I003",
                "the provider's key set is not https on a configured host",
                hint="list further hosts of the provider under `hosts`",
            )
        if self.settings.kind != "entra" and issuer.rstrip("/") != self._authority:
            raise ConnectorError("I002", "the provider calls itself by another name than the configured authority")
        return Metadata(
            issuer=issuer,
            jwks_uri=jwks_uri,
            end_session_endpoint=end_session if isinstance(end_session, str) else None,
            sends_issuer=sends is True,
        )

    async def _application(self) -> msal.ConfidentialClientApplication:
        async with self._lock:
            if self._app is None:
                self._raise_recent()
                try:
                    self._app = await self._call(self._build)
                except ConnectorError as error:
                    self._remember(error)
                    raise
            return self._app

    def _build(self) -> msal.ConfidentialClientApplication:
        # MSAL wants a path segment; urllib3 drops a segment of one dot again.
        path = self._authority if urlsplit(self._authority).path else f"{self._authority}/."
        return msal.ConfidentialClientApplication(
            self.settings.client_id,
            client_credential=self._credential(),
            oidc_authority=path,
            http_client=self._wire,
            token_cache=NullCache(),
            exclude_scopes=["offline_access"],
        )

    def _credential(self) -> str | dict[str, str]:
        if self.settings.client_certificate:
            blocks = {match[1]: match[0] for match in _PEM.finditer(Path(self.settings.client_certificate).read_text())}
            key = next((text for name, text in blocks.items() if name.endswith("PRIVATE KEY")), "")
            return {"private_key": key, "public_certificate": blocks.get("CERTIFICATE", "")}
        if self.settings.client_secret is None:
            raise ConnectorError("I006", f"provider {self.settings.id} has neither client secret nor certificate")
        return self.settings.client_secret.reveal()

    async def _read(self, url: str) -> bytes:
        return await self._call(self._fetcher.read, url)

    async def _call[T](self, work: Callable[..., T], *arguments: object) -> T:
        """Blocking work on a thread of the provider's own, within a time."""
        try:
            async with asyncio.timeout(EXCHANGE_TIMEOUT):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        except TimeoutError as error:
            raise ConnectorError("I001", "the identity provider does not answer in time") from error
        except CasbError:
            raise
        except Exception as error:
            # MSAL lets through what it trips over, and its messages can hold parts of a token: only the kind is told.
            raise ConnectorError(
                "I002", f"the identity provider's answer is unusable: {type(error).__name__}"
            ) from None

    def _raise_recent(self) -> None:
        if self._failure and self._monotonic() - self._failure[1] < FAILED_PAUSE:
            error = self._failure[0]
            raise ConnectorError(error.code, error.message, error.where, error.hint)

    def _remember(self, error: ConnectorError) -> None:
        if self._failure is None or self._monotonic() - self._failure[1] >= FAILED_PAUSE:
            self._failure = (error, self._monotonic())


def tenants_of(provider: Provider) -> tuple[str, ...]:
    """The allowed tenants of a provider (Entra): those listed, or the one that the authority names."""
    return tenants_named(provider.authority, provider.tenants) if provider.kind == "entra" else provider.tenants


def _exchange(app: Any, wire: Overheard, flow: dict[str, Any], answer: dict[str, str]) -> dict[str, Any]:
    """What came back. Where MSAL trips over the ID token, the token as it came: our own check says what is wrong."""
    wire.forget()
    try:
        result = app.acquire_token_by_auth_code_flow(flow, answer)
    except CasbError:
        raise
    except Exception as error:
        token = wire.id_token()
        if token is None:
            raise
        # MSAL's messages can hold parts of a token: only the kind is told.
        return {"id_token": token, "refused": type(error).__name__}
    return {name: result[name] for name in ("id_token", "error", "error_description") if name in result}


def _claims_parameter(must: Collection[str], wanted: Collection[str]) -> str | None:
    """The `claims` request parameter (OpenID Connect Core section 5.5; Entra "claims challenge")."""
    if must:
        names = sorted(must)
        asked: dict[str, Any] = {"essential": True} | ({"value": names[0]} if len(names) == 1 else {"values": names})
    elif wanted:
        asked = {"values": sorted(wanted)}
    else:
        return None
    return json.dumps({"id_token": {"acrs": asked}, "access_token": {"acrs": asked}}, separators=(",", ":"))


def _acr_parameters(rules: Collection[ContextRule]) -> str:
    """`acr_values` and `max_age` (OpenID Connect Core section 3.1.2.1), for the end of an address."""
    query = {}
    values = list(dict.fromkeys(value for rule in rules for value in rule.acr))
    ages = [rule.max_age for rule in rules if rule.max_age is not None]
    if values:
        query["acr_values"] = " ".join(values)
    if ages:
        query["max_age"] = str(min(ages))
    return f"&{urlencode(query)}" if query else ""


def _proven(claims: Claims, rules: Mapping[str, ContextRule], now: datetime) -> frozenset[str]:
    """The contexts that a token proves by `acr` and `auth_time`. `acr` is believed as a whole value, never by rank."""
    acr = claims.extra.get("acr", ())
    age = None if claims.auth_time is None else now.timestamp() - claims.auth_time
    return frozenset(
        name
        for name, rule in rules.items()
        if (rule.acr or rule.max_age is not None)
        and (not rule.acr or any(value in rule.acr for value in acr))
        and (rule.max_age is None or (age is not None and age <= rule.max_age + SKEW))
    )


def _reason(answer: Mapping[str, Any]) -> str:
    """The error code of an answer, and Entra's number; never its free text, which anybody may have written."""
    code, text = str(answer.get("error", "")), str(answer.get("error_description", ""))
    number = _AADSTS.search(text)
    known = code if _ERROR.fullmatch(code) else "no reason given"
    return f"{known} ({number[0]})" if number else known
