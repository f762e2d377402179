"""Session records and the one-time things around a sign-in, as values; cookies as text.

Nothing here stores, draws or tells the time: random ids and the present are passed in. What a browser holds is an
opaque 256-bit id; what a store holds is kept under the SHA-256 of that id, so a copy of a store is no set of cookies.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson

from casb.errors import StoreError
from casb.identity.devices import CertificateCheck, check_json, with_check
from casb.model.identity import Device, DeviceTag, DeviceType, Session, User
from casb.model.record import user_json

PREFIX: Final = "__Host-casb_"
SESSION_COOKIE: Final = "__Host-casb_s"  # on a controlled host: its session
LOGIN_COOKIE: Final = "__Host-casb_l"  # on the login host: its session
FLOW_COOKIE: Final = "__Host-casb_f"  # on the login host: binds a sign-in to the browser that began it
PENDING_COOKIE: Final = "__Host-casb_p"  # on a controlled host: binds a hand-off to the browser that asked

_ID = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)  # 32 bytes as secrets.token_urlsafe writes them
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)
_FRAGMENT = re.compile(r"[!-~]{0,2048}", re.ASCII)
_METHOD = re.compile(r"[A-Z]{1,16}", re.ASCII)
MAX_PATH: Final = 8192


def is_id(value: str | None) -> bool:
    """Whether a browser's value has the form of our ids; anything else is not even looked up."""
    return value is not None and _ID.fullmatch(value) is not None


def key_of(value: str) -> bytes:
    """The store key of an id."""
    return hashlib.sha256(value.encode("ascii", "replace")).digest()


def agent_digest(user_agent: str) -> str:
    """A user agent as it is kept: only to see that it has changed."""
    return hashlib.sha256(user_agent.encode("utf-8", "replace")).hexdigest()


def same_secret(value: str | None, digest: str) -> bool:
    """Whether `digest` is the one of `value`, in constant time."""
    return is_id(value) and hmac.compare_digest(key_of(value or "").hex(), digest)


def _digest(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except (ValueError, TypeError) as error:
        raise StoreError("S052", "a stored record names its login wrongly") from error


def is_safe_path(path: str) -> bool:
    """Whether a path, with its query, stays on the host it is sent to as a relative `Location`.

    Printable ASCII without a backslash, one leading slash and no second one: so no scheme, no authority, no character
    that a browser drops or reads as a slash (WHATWG URL, section 4.4).
    """
    return len(path) <= MAX_PATH and _PATH.fullmatch(path) is not None


def is_safe_fragment(fragment: str) -> bool:
    """Whether a fragment may be put after a safe path."""
    return _FRAGMENT.fullmatch(fragment) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRecord:
    """One sign-in of one person in one browser; all hosts' sessions hang on it.

    `id` is safe to log. `expires` is the absolute end; the idle end is the store's.
    """

    id: str
    provider: str
    user: User
    device: Device
    started: datetime
    expires: datetime
    contexts: frozenset[str] = frozenset()
    auth_time: datetime | None = None
    idp_session: str = ""
    issuer: str = ""
    subject: str = ""
    ip: str = ""
    agent: str = ""  # digest of the user agent
    key: str = ""  # thumbprint of the key that signed the ID token
    logout_hint: str = field(default="", repr=False)  # see `Claims.logout_hint`
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)  # those that apps are told
    proven: Mapping[str, datetime] = field(default_factory=dict)  # when each context was proven last
    evaluated: datetime | None = None  # when the provider last said all this; None: at `started`
    asked_ip: str = ""  # where the request came from that led to the sign-in: another family's address, perhaps
    asked_agent: str = ""  # and its user agent, digested
    certificate: CertificateCheck | None = None  # what asking the browser for one came to
    groups_for: str = ""  # digest of the group names that were looked up; '': the token told all

    def session(self, now: datetime | None = None, groups_for: str = "") -> Session:
        """As the rest of the product sees it at a time. `groups_for` is the digest of the groups that matter now: when
        others were looked up, the person's are not known until they sign in again."""
        device, user, recheck = with_check(self.device, self.certificate, now), self.user, None
        if self.certificate is not None and self.certificate.tags:
            recheck = datetime.fromtimestamp(self.certificate.until, UTC)
        if self.groups_for and groups_for and self.groups_for != groups_for:
            user, recheck = replace(user, groups_known=False), self.started
        return Session(
            id=self.id,
            user=user,
            device=device,
            recheck=recheck,
            started=self.started,
            expires=self.expires,
            auth_contexts=self.contexts,
            ip=self.ip,
            provider=self.provider,
            proven=self.proven,
            evaluated=self.evaluated or self.started,
            addresses=frozenset(filter(None, (self.ip, self.asked_ip))),
            agents=frozenset(filter(None, (self.agent, self.asked_agent))),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRecord:
    """What a host's cookie stands for: that host's share in a login. `login` is the login's store key in hex.

    `retired` ones were replaced: they serve requests until `until` (seconds since 1970), so that those under way come
    through, and connections that were opened with them as long as these are open.
    """

    login: str
    host: str
    app: str = ""
    retired: bool = False
    until: float = 0.0

    @property
    def login_key(self) -> bytes:
        """The login's store key."""
        return _digest(self.login)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRequest:
    """What was asked for before the sign-in, kept to be answered after it.

    `path` includes the query, which is kept here for ten minutes and logged nowhere. `bind` is the digest of the
    pending cookie. `body` is None when there was none, or it was too large (`body_lost`).
    """

    host: str
    path: str
    bind: str
    app: str = ""
    method: str = "GET"
    body: bytes | None = field(default=None, repr=False)
    content_type: str = ""
    body_lost: bool = False
    parts: int = 0  # pieces in which a large body is kept beside this
    provider: str = ""  # the identity provider that the app asks for; empty: any
    contexts: tuple[str, ...] = ()  # authentication contexts that a step-up must meet
    fragment: str = ""
    session: str = ""  # id of the session that must prove more, or again; empty: there is none yet
    fresh: int | None = None  # seconds that the proof of `contexts` may be old
    since: float = 0.0  # seconds since 1970: what the provider said before is not enough
    window: bool = False  # asked by a script of the page: a window of its own, to be closed at the end
    back: str = ""  # path of the page it was asked on, to return to for whoever gives up
    saved: bool = False  # the answer is a file to be saved: the browser stays on the page before
    ip: str = ""
    agent: str = ""  # digest of the user agent

    def __post_init__(self) -> None:
        if self.back and not is_safe_path(self.back):
            raise ValueError("a page to return to must have a safe path")
        if not is_safe_path(self.path) or not is_safe_fragment(self.fragment) or not _METHOD.fullmatch(self.method):
            raise ValueError("a pending request must have a safe path, fragment and method")

    @property
    def target(self) -> str:
        """Where on the host to go on, as a relative `Location`."""
        return f"{self.path}#{self.fragment}" if self.fragment else self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A sign-in under way at a provider.

    `state` is what the library needs to finish it, `bind` the digest of the flow cookie, `pending` what waits for it.
    """

    provider: str
    bind: str
    state: Mapping[str, Any] = field(repr=False)
    pending: str = field(default="", repr=False)
    contexts: tuple[str, ...] = ()
    max_age: int | None = None
    silent: bool = False  # no page was allowed at the provider: a refusal ends the session


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOffCode:
    """What a one-time code stands for: one login, one host, one pending request, one browser."""

    login: str
    host: str
    bind: str
    pending: str = field(repr=False)

    @property
    def login_key(self) -> bytes:
        """The login's store key."""
        return _digest(self.login)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """A body waiting to be sent after the sign-in, for one session, host, method and path."""

    session: str
    host: str
    path: str
    method: str
    content_type: str
    body: bytes = field(repr=False)
    parts: int = 0  # the body is kept in so many pieces under the id `parts_of`
    parts_of: str = field(default="", repr=False)


def renewed(record: LoginRecord, fresh: LoginRecord, asked: Collection[str] = ()) -> LoginRecord:
    """The same login after the person proved themself again: everything said is replaced, nothing merged.

    A context that still holds without having been asked for (`asked`) is as old as it was.
    """
    proven = {
        context: when if context in asked else record.proven.get(context, when)
        for context, when in fresh.proven.items()
    }
    ends = min(record.expires, fresh.expires)  # a provider may have set an earlier end than before
    return replace(
        fresh,
        id=record.id,
        started=record.started,
        expires=ends,
        proven=proven,
        certificate=record.certificate,
    )


def proves(record: LoginRecord, contexts: Iterable[str], fresh: int | None, now: datetime) -> bool:
    """Whether a login has proven all of `contexts`, within the last `fresh` seconds where that matters."""
    for context in contexts:
        when = record.proven.get(context)
        if context not in record.contexts or (fresh is not None and (when is None or not _within(when, fresh, now))):
            return False
    return True


def _within(when: datetime, seconds: int, now: datetime) -> bool:
    return (now - when).total_seconds() <= seconds


def remaining(now: datetime, expires: datetime, idle: float) -> float:
    """Seconds to keep a record: until it is idle too long or ends absolutely, whichever is first; 0 when over."""
    return max(0.0, min(idle, (expires - now).total_seconds()))


# --- records as bytes -------------------------------------------------------------------------------------------------


def dump(record: LoginRecord | ChildRecord | PendingRequest | Flow | HandOffCode | Resume) -> bytes:
    """A record as bytes for a store."""
    if isinstance(record, LoginRecord):
        return orjson.dumps(_login_json(record))
    members = {name: getattr(record, name) for name in record.__dataclass_fields__}
    if isinstance(record, (PendingRequest, Resume)) and record.body is not None:
        members["body"] = base64.b64encode(record.body).decode("ascii")
    return orjson.dumps(members)


def load[R: (LoginRecord, ChildRecord, PendingRequest, Flow, HandOffCode, Resume)](kind: type[R], data: bytes) -> R:
    """The record that `dump` wrote; raises `StoreError` on anything else."""
    try:
        members = orjson.loads(data)
        if kind is LoginRecord:
            return kind(**_login_members(members))
        if kind in (PendingRequest, Resume) and members["body"] is not None:
            members["body"] = base64.b64decode(members["body"], validate=True)
        if "contexts" in members:
            members["contexts"] = tuple(members["contexts"])
        return kind(**members)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError("S052", f"a stored {kind.__name__} cannot be read") from error


def _login_json(record: LoginRecord) -> dict[str, Any]:
    user, device = record.user, record.device
    return {
        "id": record.id,
        "provider": record.provider,
        "user": user_json(user),
        "device": {
            "tags": sorted(device.tags),
            "id": device.id,
            "type": device.type,
            "os": device.os,
            "sources": dict(device.sources),
        },
        "started": record.started.timestamp(),
        "expires": record.expires.timestamp(),
        "contexts": sorted(record.contexts),
        "auth_time": record.auth_time.timestamp() if record.auth_time else None,
        "idp_session": record.idp_session,
        "issuer": record.issuer,
        "subject": record.subject,
        "ip": record.ip,
        "agent": record.agent,
        "key": record.key,
        "logout_hint": record.logout_hint,
        "attributes": {name: list(values) for name, values in record.attributes.items()},
        "proven": {context: when.timestamp() for context, when in record.proven.items()},
        "evaluated": record.evaluated.timestamp() if record.evaluated else None,
        "asked_ip": record.asked_ip,
        "asked_agent": record.asked_agent,
        "certificate": check_json(record.certificate),
        "groups_for": record.groups_for,
    }


def _login_members(members: dict[str, Any]) -> dict[str, Any]:
    user, device = dict(members["user"]), dict(members["device"])
    user["groups"] = frozenset(user["groups"])
    device["tags"] = frozenset(DeviceTag(each) for each in device["tags"])
    device["type"] = DeviceType(device["type"])
    auth_time, evaluated = members["auth_time"], members.get("evaluated")
    check = members.get("certificate")
    proven = {context: datetime.fromtimestamp(when, UTC) for context, when in (members.get("proven") or {}).items()}
    return members | {
        "user": User(**user),
        "device": Device(**device),
        "started": datetime.fromtimestamp(members["started"], UTC),
        "expires": datetime.fromtimestamp(members["expires"], UTC),
        "contexts": frozenset(members["contexts"]),
        "certificate": None if check is None else CertificateCheck(**check),
        "proven": proven,
        "evaluated": None if evaluated is None else datetime.fromtimestamp(evaluated, UTC),
        "auth_time": None if auth_time is None else datetime.fromtimestamp(auth_time, UTC),
        "attributes": {name: tuple(values) for name, values in members.get("attributes", {}).items()},
    }


# --- cookies (RFC 6265) -----------------------------------------------------------------------------------------------


def cookie(header: str | None, name: str) -> str | None:
    """The value of the one cookie of that name in a `Cookie` header; None when there is none, or more than one."""
    found = [value for key, value in _pairs(header or "") if key == name]
    return found[0] if len(found) == 1 and is_id(found[0]) else None


def without_ours(header: str) -> str:
    """A `Cookie` header without our cookies, in any spelling; the others unchanged and in order. May be empty."""
    parts = [part for part in header.split(";") if not part.strip(" \t").lower().startswith(PREFIX.lower())]
    return ";".join(parts).strip(" \t")


def is_ours(set_cookie: str) -> bool:
    """Whether a `Set-Cookie` header of an app names a cookie of ours; such a header is not let through."""
    return set_cookie.lstrip(" \t").lower().startswith(PREFIX.lower())


def set_cookie(
    name: str, value: str, *, max_age: int | None = None, same_site: Literal["Lax", "Strict", "None"] = "Lax"
) -> str:
    """A `Set-Cookie` value: `__Host-` rules (this host only, all paths, TLS), out of reach of scripts."""
    if not is_id(value):
        raise ValueError("a cookie of ours carries an id and nothing else")
    age = "" if max_age is None else f"; Max-Age={max_age}"
    return f"{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site}{age}"


def clear_cookie(name: str) -> str:
    """A `Set-Cookie` value that removes a cookie of ours."""
    return f"{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"


def _pairs(header: str) -> list[tuple[str, str]]:
    pairs = (part.strip(" \t").partition("=") for part in header.split(";"))
    return [(name, value) for name, _, value in pairs]
