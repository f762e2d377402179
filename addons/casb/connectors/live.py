"""Live sessions over a session store: found fast, kept from idling out, ended on every host at once.

Knows logins and the hosts' shares in them, and nothing of how somebody signs in; that is `connectors.signin`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from hashlib import sha256 as _sha256
from typing import Final

from cachetools import TTLCache

from casb.identity.sessions import ChildRecord, LoginRecord, dump, is_id, key_of, load, remaining
from casb.model.identity import Session
from casb.ports import Clock, NewId, SessionStore
from casb.settings import SessionLimits

CACHED: Final = 5.0  # seconds that a session is believed without asking the store
TOUCHED: Final = 30.0  # seconds between two prolongations of one session
CACHE_SIZE: Final = 10_000
FORM: Final = 600.0  # seconds that a form of ours may be left open
RETIRED: Final = 30.0  # seconds that a replaced cookie still serves requests under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A live login. `key` is where it is stored; it is no secret and no cookie."""

    key: bytes
    record: LoginRecord


class LiveSessions:
    """All sessions of a deployment, as one process sees them. Raises `StoreError`: answer 503.

    `clock` gives the present, `monotonic` seconds for the local caches, `new_id` 256 random bits in 43 characters.
    """

    def __init__(
        self,
        *,
        store: SessionStore,
        login_host: str,
        clock: Clock,
        limits: SessionLimits | None = None,
        new_id: NewId = lambda: secrets.token_urlsafe(32),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.login_host = login_host
        self.groups_for = ""  # digest of the groups that the policies in force name
        self._store = store
        self._clock = clock
        self._limits = limits or SessionLimits()
        self._new_id = new_id
        self._monotonic = monotonic
        self._epoch = store.epoch()
        # A plain dict: this is read for every request, and a TTLCache would cost more than all the rest of it.
        self._sessions: dict[bytes, tuple[str, Session, float]] = {}
        self._touched: TTLCache[bytes, bool] = TTLCache(CACHE_SIZE, TOUCHED, timer=monotonic)

    def cached(self, host: str, cookie: str) -> Session | None:
        """The session, if it was looked up in the last seconds and nothing was revoked since; no I/O. Else ask
        `session_for`."""
        epoch = self._store.epoch()
        if epoch != self._epoch:
            self._sessions.clear()
            self._epoch = epoch
            return None
        found = self._sessions.get(_sha256(cookie.encode("utf-8", "replace")).digest())
        if found is None:
            return None
        owner, session, until = found
        if owner != host or until <= self._monotonic() or session.expires <= self._clock():
            return None
        return session

    async def session_for(self, host: str, cookie: str | None, *, touch: bool = True) -> Session | None:
        """The session that a host's cookie stands for, or None: sign in.

        A use keeps it from idling out; `touch=False` only looks, e.g. whether an open connection's session still lives.
        """
        if cookie is None or not is_id(cookie):
            return None
        session = self.cached(host, cookie)
        if session is not None:
            return session
        epoch = self._store.epoch()
        found = await self._child(host, cookie, looking=not touch)
        if found is None:
            return None
        child_key, child, login = found
        session = self.session_of(login.record)
        if not touch:
            if child.retired and child_key not in self._touched:
                self._touched[child_key] = True
                await self._store.touch("child", child_key, ttl=self._ttl(login.record))
            return session
        await self._touch(*found)
        # What was dropped while we read must not be remembered: then the counter has moved on.
        if self._store.epoch() == epoch == self._epoch:
            self._remember(child_key, host, session)
        return session

    def session_of(self, record: LoginRecord) -> Session:
        """A login as the rest of the product sees it now."""
        return record.session(self._clock(), self.groups_for)

    async def gone(self, cookies: Collection[str]) -> frozenset[str]:
        """Which of many cookies stand for nothing any more: whatever ends a login ends its hosts' shares with it."""
        keys = {key_of(cookie): cookie for cookie in cookies}
        present = await self._store.present("child", list(keys))
        return frozenset(cookie for key, cookie in keys.items() if key not in present)

    async def login_for(self, cookie: str | None) -> Login | None:
        """The login behind `__Host-casb_l`, or None."""
        if cookie is None or not is_id(cookie):
            return None
        found = await self._child(self.login_host, cookie)
        if found is None:
            return None
        await self._touch(*found)
        return found[2]

    async def login_at(self, host: str, cookie: str | None) -> Login | None:
        """The login behind a host's cookie, or None; nothing is prolonged."""
        found = await self._child(host, cookie) if cookie is not None and is_id(cookie) else None
        return None if found is None else found[2]

    async def once(self, login: Login) -> str:
        """A token for a form of a login's person, good once within ten minutes."""
        token = self._new_id()
        await self._store.put("form", key_of(token), login.key, ttl=FORM)
        return token

    async def used_once(self, login: Login, token: str) -> bool:
        """Whether a token was made for this login and not used before."""
        return is_id(token) and await self._store.take("form", key_of(token)) == login.key

    async def sign_out(self, host: str, cookie: str | None) -> LoginRecord | None:
        """End the login behind a host's cookie, on every host; what it was, or None when there was none."""
        found = await self._child(host, cookie) if cookie is not None and is_id(cookie) else None
        if found is None:
            return None
        await self.end(found[2])
        return found[2].record

    async def revoke_session(self, session_id: str) -> int:
        """End the login that a logged session id names; the number of records removed."""
        return await self._store.drop_index(f"session:{session_id}")

    async def revoke_user(self, user_id: str) -> int:
        """End every login of a person (`User.id`); the number of records removed."""
        return await self._store.drop_index(f"user:{user_id}")

    async def revoke_sid(self, provider_id: str, sid: str) -> int:
        """End the logins that came of one of the provider's own sessions (front-channel logout)."""
        return await self._store.drop_index(_sid_index(provider_id, sid)) if sid else 0

    async def revoke_subject(self, provider_id: str, issuer: str, subject: str) -> int:
        """End the logins of a person as the provider names them (back-channel logout)."""
        return await self._store.drop_index(_subject_index(provider_id, issuer, subject))

    async def revoke_name(self, provider_id: str, name: str) -> int:
        """End the logins of a person by the name they sign in with."""
        return await self._store.drop_index(_name_index(provider_id, name)) if name else 0

    async def revoke_device(self, provider_id: str, device_id: str) -> int:
        """End the logins from a device, as the provider names it."""
        return await self._store.drop_index(_device_index(provider_id, device_id)) if device_id else 0

    async def revoke_app(self, app_id: str) -> int:
        """End everybody's session in one app; the logins go on."""
        return await self._store.drop_index(f"app:{app_id}") if app_id else 0

    async def save(self, login: Login) -> None:
        """Keep a login, new or changed, until it idles out."""
        record = login.record
        await self._store.put("login", login.key, dump(record), ttl=self._ttl(record), indexes=_indexes(login))

    async def end(self, login: Login) -> None:
        """End a login and every host's share in it."""
        await self._store.drop_index(_login_index(login.key))

    async def open(self, login: Login, host: str, app: str = "") -> str:
        """A new cookie value for a host's share in a login."""
        cookie = self._new_id()
        child = ChildRecord(login=login.key.hex(), host=host, app=app)
        await self._store.put(
            "child", key_of(cookie), dump(child), ttl=self._ttl(login.record), indexes=_child_indexes(login, app)
        )
        return cookie

    async def _retire(self, host: str, cookie: str | None, login: Login) -> None:
        """End a cookie that was replaced: at once if it was another login's, else in a moment."""
        found = await self._child(host, cookie) if cookie is not None and is_id(cookie) else None
        if found is None:
            return
        key, child, old = found
        if old.key == login.key:
            value = dump(replace(child, retired=True, until=self._clock().timestamp() + RETIRED))
            await self._store.put(
                "child", key, value, ttl=self._ttl(login.record), indexes=_child_indexes(login, child.app)
            )
        else:
            await self._store.drop("child", key)

    def _remember(self, key: bytes, host: str, session: Session) -> None:
        now = self._monotonic()
        if len(self._sessions) >= CACHE_SIZE:
            self._sessions = {key: found for key, found in self._sessions.items() if found[2] > now}
            if len(self._sessions) >= CACHE_SIZE:
                self._sessions.clear()
        self._sessions[key] = (host, session, now + CACHED)

    async def _child(self, host: str, cookie: str, *, looking: bool = False) -> tuple[bytes, ChildRecord, Login] | None:
        key = key_of(cookie)
        data = await self._store.get("child", key)
        if data is None:
            return None
        child = load(ChildRecord, data)
        if child.host != host:
            return None
        if child.retired and not looking and child.until <= self._clock().timestamp():
            return None
        login = await self._login_at(child.login_key)
        return None if login is None else (key, child, login)

    async def _login_at(self, key: bytes) -> Login | None:
        data = await self._store.get("login", key)
        if data is None:
            return None
        record = load(LoginRecord, data)
        return Login(key=key, record=record) if record.expires > self._clock() else None

    async def _touch(self, child_key: bytes, child: ChildRecord, login: Login) -> None:
        if child.retired or child_key in self._touched:
            return
        ttl = self._ttl(login.record)
        await self._store.touch("child", child_key, ttl=ttl)
        await self._store.touch("login", login.key, ttl=ttl)
        self._touched[child_key] = True

    def _ttl(self, record: LoginRecord) -> float:
        return remaining(self._clock(), record.expires, self._limits.idle)


def _login_index(key: bytes) -> str:
    return f"login:{key.hex()}"


def _subject_index(provider: str, issuer: str, subject: str) -> str:
    return f"sub:{provider}\0{issuer}\0{subject}"  # No claim we accept has a control character.


def _sid_index(provider: str, sid: str) -> str:
    return f"sid:{provider}\0{sid}"


def _name_index(provider: str, name: str) -> str:
    return f"name:{provider}\0{name.lower()}"


def _device_index(provider: str, device: str) -> str:
    return f"device:{provider}\0{device.lower()}"


def _child_indexes(login: Login, app: str) -> tuple[str, ...]:
    return (*_indexes(login), f"app:{app}") if app else _indexes(login)


def _indexes(login: Login) -> tuple[str, ...]:
    """The names under which a login and its hosts' shares are found to be ended."""
    record = login.record
    names = [
        _login_index(login.key),
        f"session:{record.id}",
        f"user:{record.user.id}",
        _subject_index(record.provider, record.issuer, record.subject),
    ]
    names.append(_name_index(record.provider, record.user.name))
    if record.device.id:
        names.append(_device_index(record.provider, record.device.id))
    if record.idp_session:
        names.append(_sid_index(record.provider, record.idp_session))
    return tuple(names)
