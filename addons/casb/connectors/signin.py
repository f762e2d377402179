"""A sign-in from the first refused request to the session on every host, over a session store and the providers.

The order of calls (host A is a controlled host, L the login host):

    A  start_pending   no session: keep the request, send the browser to L with the pending id
    L  login_for       somebody is signed in already and it suffices: hand_off; else:
    L  begin           send the browser to the provider
    L  callback        the browser is back: a login
    L  hand_off        a one-time code for A
    A  redeem          the code for a cookie, and the request that was asked for
    A  keep_body, resume   a POST body on its way through one page of ours
    A  cached, session_for   every request after that

Pages, headers and routes belong to the caller. Refusals are `TokenError` (this cannot be right: start again),
`ConnectorError` (the provider is away or said no) and `StoreError` (answer 503); nothing is ever let through instead.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

import orjson

from casb.connectors.live import LiveSessions, Login
from casb.errors import CasbError, ConfigError, ConnectorError, TokenError
from casb.identity.claims import Claims, LogoutClaims, device_of, user_of
from casb.identity.sessions import (
    ChildRecord,
    Flow,
    HandOffCode,
    LoginRecord,
    PendingRequest,
    Resume,
    agent_digest,
    dump,
    is_id,
    is_safe_fragment,
    key_of,
    load,
    proves,
    renewed,
    same_secret,
)
from casb.model.identity import Device, Session, User
from casb.ports import Clock, NewId, SessionStore
from casb.settings import Provider, SessionLimits

BODIES: Final = 64 * 1024 * 1024  # bytes of bodies kept for people who have not signed in, per process
BODIES_KNOWN: Final = 512 * 1024 * 1024  # the same of people who have
ANSWER: Final = 16 * 1024  # characters of a provider's answer
RESUME: Final = 60.0  # seconds that a body waits for our form
PIECE: Final = 1024 * 1024  # bytes of a large body kept in one value
TRIED: Final = 300.0  # seconds that attempts at a step-up are remembered
TRIES: Final = 2  # of them that came to nothing
PASSES: Final = 12
LOGOUT_REPLAY: Final = 1500.0  # a logout token is believed for less than this


class IdentityProvider(Protocol):
    """What `SignIn` asks of a provider; `connectors.oidc.OidcProvider` is one."""

    @property
    def settings(self) -> Provider:
        """Its configuration."""

    async def begin(
        self,
        *,
        contexts: Collection[str] = (),
        prompt: str | None = None,
        login_hint: str | None = None,
        domain_hint: str | None = None,
        max_age: int | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """Where to send the browser, and the state to keep."""

    async def finish(
        self,
        flow: Mapping[str, Any],
        params: Mapping[str, str],
        *,
        contexts: Collection[str] = (),
        max_age: int | None = None,
    ) -> Claims:
        """Who came back."""

    async def verify_logout(self, token: str) -> LogoutClaims:
        """Whom the provider signs out."""

    async def end_session_url(self, *, return_to: str, hint: str = "", session: str = "") -> str | None:
        """Where to sign out at the provider. `hint` says who, `session` which of its sessions."""

    async def close(self) -> None:
        """Let threads and connections go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A request that waits. `id` goes into the address on the login host, `bind` into `__Host-casb_p`."""

    id: str
    bind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A sign-in under way. `url` is the provider's, `cookie` the value of `__Host-casb_f`."""

    url: str
    cookie: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginResult:
    """A login just made or renewed. `cookie` is for `__Host-casb_l`; `pending` names what waits, or is ''."""

    cookie: str
    login: Login
    pending: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Who and which device a sign-in is about. `groups_for` names the groups that were looked up beyond the token."""

    user: User
    device: Device
    groups_for: str = ""


type Enrich = Callable[[Provider, Claims], Awaitable[Known]]
"""Adds what directories and files know to checked claims; raises `TokenError` for whom the directory knows no more."""


async def as_claimed(provider: Provider, claims: Claims) -> Known:
    """What the claims say, and nothing else."""
    return Known(user=user_of(claims, provider), device=device_of(claims, provider.device))


class Declined(TokenError):
    """The provider said no to somebody who is signed in. `ended`: the session is over; `pending` names what waits."""

    def __init__(self, code: str, message: str, *, pending: str, ended: bool) -> None:
        super().__init__(code, message)
        self.pending, self.ended = pending, ended


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOff:
    """Send the browser to `https://{host}/.casb/session?code={code}`."""

    host: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeemed:
    """A session on a host. `cookie` is the value of `__Host-casb_s`; go on with `pending`."""

    cookie: str
    session: Session
    pending: PendingRequest
    pending_id: str = ""


def _pieces(body: bytes) -> tuple[memoryview, ...]:
    view = memoryview(body)
    return tuple(view[at : at + PIECE] for at in range(0, len(body), PIECE))


def _piece_key(pending_id: str, number: int) -> bytes:
    return hashlib.sha256(f"{pending_id}.{number}".encode()).digest()


def parse_answer(text: str) -> dict[str, str]:
    """The parameters of a provider's answer, from a query or a form; raises `TokenError` when one is there twice
    (RFC 6749 section 3.1) or there are too many."""
    try:
        pairs = (
            parse_qsl(text, keep_blank_values=True, max_num_fields=20, errors="strict") if len(text) <= ANSWER else []
        )
    except ValueError as error:
        raise TokenError("I018", "the provider's answer is malformed") from error
    params = dict(pairs)
    if len(params) != len(pairs) or not params:
        raise TokenError("I018", "the provider's answer is malformed")
    return params


class SignIn(LiveSessions):
    """All that happens to sessions. One per process and event loop; every process of a deployment shares the store.

    See `LiveSessions` for the other parameters.
    """

    def __init__(
        self,
        *,
        store: SessionStore,
        providers: Iterable[IdentityProvider],
        login_host: str,
        clock: Clock,
        limits: SessionLimits | None = None,
        new_id: NewId = lambda: secrets.token_urlsafe(32),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            store=store, login_host=login_host, clock=clock, limits=limits, new_id=new_id, monotonic=monotonic
        )
        self.providers = {each.settings.id: each for each in providers}
        self.enrich: Enrich = as_claimed
        self._bodies: tuple[deque[tuple[float, int]], ...] = (deque(), deque())

    # --- before the sign-in -------------------------------------------------------------------------------------------

    async def start_pending(
        self,
        *,
        host: str,
        path: str,
        app: str = "",
        provider: str = "",
        method: str = "GET",
        body: bytes | None = None,
        content_type: str = "",
        bind: str | None = None,
        contexts: Collection[str] = (),
        body_lost: bool = False,
        more_id: str = "",
        **more: Any,
    ) -> Started:
        """Keep a request until somebody has signed in. `path` includes the query and must be safe (`TokenError`).

        `bind` is the browser's `__Host-casb_p`, if it sent one: tabs that sign in at the same time share it. `contexts`
        are what a step-up must meet. A body that is too large, or for which there is no room, is left out. `more_id` is
        the id where the caller has drawn one; `more` are further fields of `PendingRequest`: with `session` somebody is
        signed in already, and more of a body is kept.
        """
        bind = bind if bind is not None and is_id(bind) else self._new_id()
        most = self._limits.step_up_body if more.get("session") else self._limits.resume_body
        kept = body if body and self._room_for(len(body), most, bool(more.get("session"))) else None
        pieces = _pieces(kept) if kept is not None and len(kept) > PIECE else ()
        try:
            pending = PendingRequest(
                host=host,
                path=path,
                bind=key_of(bind).hex(),
                app=app,
                provider=provider,
                method=method,
                body=None if pieces else kept,
                content_type=content_type,
                body_lost=body_lost or (bool(body) and kept is None),
                parts=len(pieces),
                contexts=tuple(contexts),
                **more,
            )
        except ValueError as error:
            raise TokenError("I010", "the address cannot be returned to after a sign-in") from error
        pending_id = more_id or self._new_id()
        for number, piece in enumerate(pieces):
            await self._store.put("piece", _piece_key(pending_id, number), bytes(piece), ttl=self._limits.pending)
        await self._store.put("pending", key_of(pending_id), dump(pending), ttl=self._limits.pending)
        return Started(id=pending_id, bind=bind)

    async def claim_pending(self, pending_id: str, session: Session, bind: str | None) -> Started:
        """Bind a request that waits for a step-up to the browser of its session, which is on its way to prove more.

        `bind` is the browser's `__Host-casb_p`, if it sent one. Raises `TokenError` when it waits no longer, or waits
        for somebody else.
        """
        pending = await self.pending(pending_id)
        if pending is None:
            raise TokenError("I011", "the request that led here has been forgotten; open the app again")
        if not pending.session or pending.session != session.id:
            raise TokenError("I015", "this was asked of another session")
        bind = bind if bind is not None and is_id(bind) else self._new_id()
        changed = dump(replace(pending, bind=key_of(bind).hex()))
        await self._store.put("pending", key_of(pending_id), changed, ttl=self._limits.pending)
        return Started(id=pending_id, bind=bind)

    async def pending(self, pending_id: str) -> PendingRequest | None:
        """A request that waits, or None when it is over or never was."""
        return await self._get(PendingRequest, "pending", pending_id)

    async def remember_fragment(self, pending_id: str, fragment: str) -> None:
        """Add what followed `#` in the browser, which no server is sent. Anything unusable is left out."""
        pending = await self.pending(pending_id)
        if pending is not None and is_safe_fragment(fragment):
            changed = dump(replace(pending, fragment=fragment))
            await self._store.put("pending", key_of(pending_id), changed, ttl=self._limits.pending)

    def suffices(self, login: Login, pending: PendingRequest) -> bool:
        """Whether a login needs no further sign-in for what is asked."""
        record, now = login.record, self._clock()
        if pending.provider not in ("", record.provider):
            return False
        if pending.since and (record.evaluated or record.started).timestamp() < pending.since:
            return False
        return proves(record, pending.contexts, pending.fresh, now)

    async def try_step_up(self, login: Login, contexts: Collection[str]) -> None:
        """Count one more attempt to prove `contexts`; raises `TokenError` I021 when there were enough of them.

        Two that came to nothing, or twelve that did not, within five minutes: a person who cannot prove it is told so,
        and two policies that take each other's proof away do not send a browser round in circles.
        """
        key, tries = await self._tries(login.key, contexts)
        if len(tries["begun"]) >= TRIES or len(tries["passed"]) >= PASSES:
            raise TokenError("I021", "the proof asked for was not given; it can be tried again in five minutes")
        tries["begun"].append(self._clock().timestamp())
        await self._store.put("tries", key, orjson.dumps(tries), ttl=TRIED)

    async def _tries(self, login: bytes, contexts: Collection[str]) -> tuple[bytes, dict[str, list[float]]]:
        key = hashlib.sha256(login + "|".join(sorted(contexts)).encode()).digest()
        data = await self._store.get("tries", key)
        told = orjson.loads(data) if data else {}
        since = self._clock().timestamp() - TRIED
        return key, {name: [each for each in told.get(name, ()) if each > since] for name in ("begun", "passed")}

    async def _passed(self, login: bytes, contexts: Collection[str]) -> None:
        key, tries = await self._tries(login, contexts)
        tries = {"begun": [], "passed": [*tries["passed"], self._clock().timestamp()]}
        await self._store.put("tries", key, orjson.dumps(tries), ttl=TRIED)

    async def begin(
        self,
        pending_id: str = "",
        provider_id: str = "",
        *,
        flow_cookie: str | None = None,
        prompt: str | None = None,
        login_hint: str | None = None,
        domain_hint: str | None = None,
        max_age: int | None = None,
    ) -> Begun:
        """Begin a sign-in for a request that waits ('' for none) at a provider ('' for the request's, or the first).

        `flow_cookie` is the browser's `__Host-casb_f`, if it sent one: tabs share it. A request that waits no longer
        raises `TokenError`.
        """
        pending = await self.pending(pending_id) if pending_id else None
        if pending_id and pending is None:
            raise TokenError("I011", "the request that led here has been forgotten; open the app again")
        contexts = pending.contexts if pending else ()
        provider = self._provider(provider_id or (pending.provider if pending else ""))
        url, state = await provider.begin(
            contexts=contexts, prompt=prompt, login_hint=login_hint, domain_hint=domain_hint, max_age=max_age
        )
        cookie = flow_cookie if flow_cookie is not None and is_id(flow_cookie) else self._new_id()
        flow = Flow(
            provider=provider.settings.id,
            bind=key_of(cookie).hex(),
            state=state,
            pending=pending_id,
            contexts=tuple(contexts),
            max_age=max_age,
            silent=prompt == "none",
        )
        await self._store.put("flow", key_of(str(state["state"])), dump(flow), ttl=self._limits.pending)
        return Begun(url=url, cookie=cookie)

    # --- the browser is back ------------------------------------------------------------------------------------------

    async def callback(
        self,
        flow_cookie: str | None,
        params: Mapping[str, str],
        *,
        login_cookie: str | None = None,
        ip: str = "",
        user_agent: str = "",
    ) -> LoginResult:
        """The login for what the provider sent the browser back with. A sign-in ends here, whatever comes of it.

        A person who was signed in here already (`login_cookie`) keeps the login and its hosts, with everything that is
        known about them replaced; another person ends it. The login cookie is a new one always. Raises `Declined` when
        the provider did not confirm a session, which has ended, or a step-up came to nothing, and the session goes on.
        """
        data = await self._store.take("flow", key_of(params.get("state", "")))
        if data is None:
            raise TokenError("I012", "the sign-in was answered before, took too long, or was never begun here")
        flow = load(Flow, data)
        if not same_secret(flow_cookie, flow.bind):
            raise TokenError("I013", "the sign-in was begun in another browser")
        provider = self._provider(flow.provider)
        old = await self.login_for(login_cookie)
        pending = await self.pending(flow.pending) if flow.pending else None
        try:
            claims = await provider.finish(flow.state, params, contexts=flow.contexts, max_age=flow.max_age)
        except (TokenError, ConnectorError) as error:
            refused = error.code == "I004" or isinstance(error, TokenError)
            if old is None or not refused or not (flow.silent or (flow.contexts and pending and pending.session)):
                raise
            if flow.silent:
                await self.end(old)
            raise Declined(error.code, error.message, pending=flow.pending, ended=flow.silent) from error
        login = await self._login(provider.settings, claims, old, ip, user_agent, asked=flow.contexts, pending=pending)
        if flow.contexts or flow.silent:
            await self._passed(login.key, flow.contexts)
        cookie = await self.open(login, self.login_host)
        if login_cookie is not None and is_id(login_cookie):
            await self._store.drop("child", key_of(login_cookie))
        return LoginResult(cookie=cookie, login=login, pending=flow.pending)

    async def admit(
        self,
        provider: Provider,
        claims: Claims,
        *,
        login_cookie: str | None = None,
        ip: str = "",
        user_agent: str = "",
    ) -> LoginResult:
        """The login for checked claims of a sign-in that the provider began, for which nothing waits here."""
        login = await self._login(provider, claims, await self.login_for(login_cookie), ip, user_agent)
        cookie = await self.open(login, self.login_host)
        if login_cookie is not None and is_id(login_cookie):
            await self._store.drop("child", key_of(login_cookie))
        return LoginResult(cookie=cookie, login=login, pending="")

    async def hand_off(self, login: Login, pending_id: str) -> HandOff:
        """A one-time code with which the host of a waiting request gets its session; raises `TokenError` when the
        request is over or the login does not suffice."""
        pending = await self.pending(pending_id)
        if pending is None:
            raise TokenError("I011", "the request that led here has been forgotten; open the app again")
        if not self.suffices(login, pending):
            raise TokenError("T016", "the authentication context asked for was not met")
        code = self._new_id()
        record = HandOffCode(login=login.key.hex(), host=pending.host, bind=pending.bind, pending=pending_id)
        await self._store.put("code", key_of(code), dump(record), ttl=self._limits.code)
        return HandOff(host=pending.host, code=code)

    async def redeem(self, host: str, code: str, bind: str | None, *, previous: str | None = None) -> Redeemed:
        """The session for a code, on the host and in the browser (`bind` is its `__Host-casb_p`) it was made for.

        A code is worth one try. `previous` is the browser's `__Host-casb_s`, if it sent one, which ends. Leave
        `__Host-casb_p` in place: another tab may still need it, and it dies by itself.
        """
        data = await self._store.take("code", key_of(code)) if is_id(code) else None
        if data is None:
            raise TokenError("I014", "the code was used before, is too old, or was never given out")
        record = load(HandOffCode, data)
        if record.host != host or not same_secret(bind, record.bind):
            raise TokenError("I015", "the code was made for another host or browser")
        login = await self._login_at(record.login_key)
        waiting = await self._store.take("pending", key_of(record.pending))
        if login is None or waiting is None:
            raise TokenError("I011", "the request that led here has been forgotten; open the app again")
        pending = load(PendingRequest, waiting)
        cookie = await self.open(login, host, pending.app)
        await self._retire(host, previous, login)
        return Redeemed(
            cookie=cookie, session=self.session_of(login.record), pending=pending, pending_id=record.pending
        )

    async def invite(self, session_host: str, cookie: str, hosts: Iterable[str]) -> dict[str, str]:
        """One-time codes with which the browser of a session gets one on further hosts of the same app, by host."""
        found = await self._child(session_host, cookie)
        codes: dict[str, str] = {}
        if found is None:
            return codes
        for host in hosts:
            code = self._new_id()
            record = HandOffCode(login=found[2].key.hex(), host=host, bind=session_host, pending="")
            await self._store.put("join", key_of(code), dump(record), ttl=self._limits.code)
            codes[host] = code
        return codes

    async def join(self, host: str, code: str, inviter: str, app: str, *, previous: str | None = None) -> str:
        """The cookie for a code of `invite`; raises `TokenError` for another host or inviter."""
        data = await self._store.take("join", key_of(code)) if is_id(code) else None
        record = load(HandOffCode, data) if data is not None else None
        if record is None or (record.host, record.bind) != (host, inviter):
            raise TokenError("I015", "the code was made for another host or browser")
        login = await self._login_at(record.login_key)
        if login is None:
            raise TokenError("I011", "the request that led here has been forgotten; open the app again")
        cookie = await self.open(login, host, app)
        await self._retire(host, previous, login)
        return cookie

    async def vouch(self, host: str, cookie: str, key: bytes, *, ttl: float) -> None:
        """Remember under `key` (address, browser and app, digested) that this session has a page open."""
        found = await self._child(host, cookie)
        if found is not None:
            record = ChildRecord(login=found[2].key.hex(), host=host)
            await self._store.put("vouch", key, dump(record), ttl=ttl, indexes=(f"login:{found[2].key.hex()}",))

    async def vouched(self, key: bytes) -> Session | None:
        """The session that has a page open under `key`, if it still lives."""
        data = await self._store.get("vouch", key)
        login = await self._login_at(load(ChildRecord, data).login_key) if data is not None else None
        return None if login is None else self.session_of(login.record)

    async def keep_body(self, session: Session, pending: PendingRequest, pending_id: str = "") -> str | None:
        """A token, good once within a minute, for a form that brings the browser back with the same method, or None
        when the request had no body."""
        if pending.body is None and not pending.parts:
            return None
        token = self._new_id()
        record = Resume(
            session=session.id,
            host=pending.host,
            path=pending.path,
            method=pending.method,
            content_type=pending.content_type,
            body=pending.body or b"",
            parts=pending.parts,
            parts_of=pending_id,
        )
        await self._store.put("resume", key_of(token), dump(record), ttl=RESUME)
        return token

    async def resume(self, session: Session, host: str, path: str, token: str) -> Resume:
        """What to send to the app in place of our form; raises `TokenError` for another session, host or path."""
        data = await self._store.take("resume", key_of(token)) if is_id(token) else None
        record = load(Resume, data) if data is not None else None
        if record is None or (record.session, record.host, record.path) != (session.id, host, path):
            raise TokenError("I016", "what was to be sent has been forgotten; send it again")
        if not record.parts:
            return record
        pieces = [await self._store.take("piece", _piece_key(record.parts_of, at)) for at in range(record.parts)]
        if None in pieces:
            raise TokenError("I016", "what was to be sent has been forgotten; send it again")
        return replace(record, body=b"".join(each for each in pieces if each is not None))

    # --- the end ------------------------------------------------------------------------------------------------------

    async def backchannel_logout(self, provider_id: str, token: str) -> int:
        """Do what a provider's logout token says; the number of records removed. Raises `TokenError` on a replay.

        '' leaves it to the token's signature and issuer which provider it is.
        """
        provider_id, claims = await self._logout_claims([provider_id] if provider_id else list(self.providers), token)
        jti = hashlib.sha256(f"{provider_id}|{claims.issuer}|{claims.token_id}".encode()).digest()
        if await self._store.get("jti", jti) is not None:
            raise TokenError("T018", "the logout token was used before")
        if claims.session:
            removed = await self.revoke_sid(provider_id, claims.session)
        else:
            removed = await self.revoke_subject(provider_id, claims.issuer, claims.subject)
        # Noted last: when the store fails on the way, the provider's next try must count.
        await self._store.add("jti", jti, b"1", ttl=LOGOUT_REPLAY)
        return removed

    async def end_session_url(self, record: LoginRecord, return_to: str) -> str | None:
        """Where to send the browser to sign out at the provider too; None when there is no such place or it is away."""
        try:
            return await self._provider(record.provider).end_session_url(
                return_to=return_to, hint=record.logout_hint or record.user.name, session=record.idp_session
            )
        except ConnectorError:
            return None

    # --- inside -------------------------------------------------------------------------------------------------------

    def _provider(self, provider_id: str) -> IdentityProvider:
        if not self.providers:
            raise ConfigError("I007", "no identity provider is configured", hint="add one under `providers`")
        if not provider_id:
            return next(iter(self.providers.values()))
        if provider_id not in self.providers:
            raise TokenError("I017", "there is no such identity provider")
        return self.providers[provider_id]

    async def _logout_claims(self, candidates: list[str], token: str) -> tuple[str, LogoutClaims]:
        refused: CasbError = TokenError("I017", "there is no such identity provider")
        for provider_id in candidates:
            try:
                return provider_id, await self._provider(provider_id).verify_logout(token)
            except (TokenError, ConnectorError) as error:
                refused = error
        raise refused

    async def _login(
        self,
        provider: Provider,
        claims: Claims,
        old: Login | None,
        ip: str,
        user_agent: str,
        *,
        asked: Collection[str] = (),
        pending: PendingRequest | None = None,
    ) -> Login:
        now = self._clock()
        key = key_of(self._new_id())
        try:
            known = await self.enrich(provider, claims)
        except TokenError:
            if old is not None:
                await self.end(old)
            raise
        ends = now + timedelta(seconds=self._limits.absolute)
        if claims.session_ends is not None:
            ends = min(ends, datetime.fromtimestamp(claims.session_ends, UTC))
        record = LoginRecord(
            id=key.hex()[:32],
            provider=provider.id,
            user=known.user,
            device=known.device,
            groups_for=known.groups_for,
            started=now,
            expires=ends,
            contexts=claims.contexts,
            auth_time=None if claims.auth_time is None else datetime.fromtimestamp(claims.auth_time, UTC),
            idp_session=claims.session,
            issuer=claims.issuer,
            subject=claims.subject,
            ip=ip,
            agent=agent_digest(user_agent),
            key=claims.key,
            logout_hint=claims.logout_hint,
            attributes={name: _texts(values) for name, values in claims.extra.items()},
            proven=dict.fromkeys(sorted(claims.contexts), now),
            evaluated=now,
            asked_ip=pending.ip if pending else "",
            asked_agent=pending.agent if pending else "",
        )
        if old is not None:
            if (old.record.provider, old.record.user.id) == (provider.id, record.user.id):
                key, record = old.key, renewed(old.record, record, asked)
            else:
                await self.end(old)
        login = Login(key=key, record=record)
        await self.save(login)
        return login

    async def _get[R: (PendingRequest, Flow)](self, record: type[R], kind: str, value: str) -> R | None:
        data = await self._store.get(kind, key_of(value)) if is_id(value) else None
        return None if data is None else load(record, data)

    def _room_for(self, size: int, most: int, known: bool) -> bool:
        """Whether one more body may be kept, and if so, counts it: of people unknown, or of those with a session."""
        now = self._monotonic()
        kept = self._bodies[known]
        while kept and kept[0][0] <= now:
            kept.popleft()
        if size > most or sum(each for _, each in kept) + size > (BODIES_KNOWN if known else BODIES):
            return False
        kept.append((now + self._limits.pending, size))
        return True


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    """Claim values as an app is told them."""
    return tuple(dict.fromkeys(str(each).lower() if isinstance(each, bool) else str(each) for each in values))
