"""Who is asking: an admin's session (a cookie) or a program's read token; and whether a form is really theirs.

Cookies hold 256 random bits. The store knows their digests only, so that a copy of it opens nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from casb.model.forwarded import client_address
from casb.settings import Settings
from casb.sidecar.bearer import UNAUTHORISED, Here, bearer, same
from casb.sidecar.services import Services
from casb.store.portal_sqlite import ADMIN, READ, UPLOAD, VIEWER, AdminSession

IDLE = timedelta(hours=1)
ABSOLUTE = timedelta(hours=10)
FIELDS = 500
"""Fields of a form at most: a page of ticked rows, or every weight of a score."""
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Whoever is asking. `csrf` is what their forms must carry; empty for programs."""

    name: str
    role: str
    provider: str
    csrf: str = ""

    @property
    def is_admin(self) -> bool:
        return self.role == ADMIN


def is_https(settings: Settings) -> bool:
    """Whether admins' browsers reach the portal over TLS."""
    return (settings.sidecar.public_url or "").startswith("https:")


def cookie_name(settings: Settings, purpose: str) -> str:
    """`__Host-` binds a cookie to this host, its root path and TLS (RFC 6265bis section 4.1.3.2)."""
    return f"__Host-casb_{purpose}" if is_https(settings) else f"casb_{purpose}"


def digest(secret: str) -> bytes:
    """What the store knows of a cookie or token."""
    return hashlib.sha256(secret.encode()).digest()


def cookie_of(request: Request, services: Services, purpose: str) -> str | None:
    """The value of a cookie of ours, if it has the form that we give them."""
    value = request.cookies.get(cookie_name(services.settings, purpose), "")
    return value if _COOKIE.fullmatch(value) else None


def set_cookie(
    response: Response, services: Services, purpose: str, value: str, *, ttl: timedelta | None = None, lax: bool = False
) -> None:
    """Strict cookies are not sent when somebody else's page leads here; `lax` is for the way back from a provider."""
    response.set_cookie(
        cookie_name(services.settings, purpose),
        value,
        max_age=None if ttl is None else int(ttl.total_seconds()),
        path="/",
        secure=is_https(services.settings),
        httponly=True,
        samesite="lax" if lax else "strict",
    )


def drop_cookie(response: Response, services: Services, purpose: str) -> None:
    """Have the browser forget a cookie."""
    response.delete_cookie(
        cookie_name(services.settings, purpose), path="/", secure=is_https(services.settings), httponly=True
    )


def csrf_of(secret: str) -> str:
    """The form token that belongs to a cookie: nobody can make it who does not know the cookie."""
    return hmac.new(secret.encode(), b"casb form", hashlib.sha256).hexdigest()


def client_ip(request: Request, settings: Settings) -> str:
    """The address that asks: the peer's, or what trusted proxies say of it."""
    told = request.headers.getlist(settings.address_header)
    peer = request.client.host if request.client else ""
    return client_address(peer, settings.address_header, told, settings.trusted_proxies)


def safe_path(path: str | None) -> str:
    """A path of ours to go on to, or `/`. Never another host, whatever the browser thinks of backslashes."""
    return path if path and len(path) <= 2000 and _PATH.fullmatch(path) else "/"


def open_session(response: Response, services: Services, name: str, role: str, provider: str) -> None:
    """A new session with a new id; the browser gets it with `response`."""
    now = services.clock()
    secret = secrets.token_urlsafe(32)
    session = AdminSession(name=name, role=role, provider=provider, created=now, seen=now, expires=now + ABSOLUTE)
    services.portal.add_session(digest(secret), session)
    set_cookie(response, services, "admin", secret)


def session_of(request: Request, services: Services) -> Who | None:
    """Whose session the request carries; None when it carries none that is alive."""
    secret = cookie_of(request, services, "admin")
    if secret is None:
        return None
    session = services.portal.session(digest(secret), services.clock(), IDLE)
    admins = services.settings.sidecar.admins
    # A way in that has been closed since closes the sessions that came through it.
    if session is None or not (admins.local if session.provider == "local" else session.provider == admins.provider):
        return None
    who = Who(name=session.name, role=session.role, provider=session.provider, csrf=csrf_of(secret))
    request.state.who = who
    return who


def reader(request: Request, services: Here) -> Who:
    """A session or a read token; 401 for everybody else."""
    token = bearer(request)
    if token is not None:
        found = services.portal.use_token(digest(token), services.clock())
        if found is not None and found.scope == READ:
            return Who(name=f"token {found.label}", role=VIEWER, provider="token")
    elif who := session_of(request, services):
        return who
    services.counters.refused += 1
    raise HTTPException(401, "sign in, or send a read token", UNAUTHORISED)


def uploader(request: Request, services: Here) -> Who:
    """Who may hand over logs: an upload token, this deployment's own collector, an admin's session; 401 for others.

    The reference product's clients write `Authorization: Token …`, so that spelling counts, too.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip() if scheme.lower() in ("bearer", "token") else ""
    if token:
        if same(token, services.ingest_token):
            return Who(name="collector", role=VIEWER, provider="token")
        found = services.portal.use_token(digest(token), services.clock())
        if found is not None and found.scope == UPLOAD:
            return Who(name=f"token {found.label}", role=VIEWER, provider="token")
    elif (who := session_of(request, services)) and who.is_admin:
        if request.method not in ("GET", "HEAD"):
            check_csrf({"csrf": request.headers.get("x-csrf", "")}, who.csrf)
        return who
    services.counters.refused += 1
    raise HTTPException(401, "send an upload token", UNAUTHORISED)


def admin_call(request: Request, services: Here) -> Who:
    """An admin's session, on a call of a script: `X-CSRF` carries what forms carry in a field. Raises 401 or 403."""
    who = session_of(request, services)
    if who is None:
        services.counters.refused += 1
        raise HTTPException(401, "sign in", UNAUTHORISED)
    if not who.is_admin:
        raise HTTPException(403, "only admins may do this")
    check_csrf({"csrf": request.headers.get("x-csrf", "")}, who.csrf)
    return who


class SignInFirst(Exception):
    """A page was asked for without a session."""


def person(request: Request, services: Here) -> Who:
    """A session; everybody else is led to the sign-in page."""
    who = session_of(request, services)
    if who is None:
        raise SignInFirst
    return who


def admin(who: Annotated[Who, Depends(person)]) -> Who:
    """A session of an admin; 403 for viewers."""
    if not who.is_admin:
        raise HTTPException(403, "only admins may do this")
    return who


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that was posted from a page of ours. Raises 415 or 403."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "a form is expected")
    origin = request.headers.get("origin")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") or (
        origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    ):
        raise HTTPException(403, "the form was not sent from this portal")
    try:
        pairs = parse_qsl(
            (await request.body()).decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=FIELDS
        )
    except ValueError as error:
        raise HTTPException(400, "the form cannot be read") from error
    form: dict[str, str] = {}
    request.state.lists = lists = dict[str, list[str]]()
    for name, value in pairs:
        form[name] = value
        lists.setdefault(name, []).append(value)
    return form


def listed(request: Request, name: str) -> list[str]:
    """All values of a field that a form had several times; `form_of` has read it before."""
    found: list[str] = getattr(request.state, "lists", {}).get(name, [])
    return found


def check_csrf(form: dict[str, str], secret_csrf: str) -> None:
    """The form must carry the token of the cookie that came with it. Raises 403."""
    if not secret_csrf or not hmac.compare_digest(form.get("csrf", "").encode(), secret_csrf.encode()):
        raise HTTPException(403, "the form has expired; go back, reload the page and try again")


async def admin_form(request: Request, who: Annotated[Who, Depends(admin)]) -> dict[str, str]:
    """The fields of an admin's form."""
    form = await form_of(request)
    check_csrf(form, who.csrf)
    return form


async def person_form(request: Request, who: Annotated[Who, Depends(person)]) -> dict[str, str]:
    """The fields of a signed-in person's form."""
    form = await form_of(request)
    check_csrf(form, who.csrf)
    return form


async def note(request: Request, services: Services, who: str, what: str, **detail: str | int) -> None:
    """A line in the audit log."""
    ip = client_ip(request, services.settings)
    await run_in_threadpool(services.portal.note, who, ip, what, services.clock(), **detail)


Reader = Annotated[Who, Depends(reader)]
Person = Annotated[Who, Depends(person)]
Admin = Annotated[Who, Depends(admin)]
Uploader = Annotated[Who, Depends(uploader)]
AdminCall = Annotated[Who, Depends(admin_call)]
PersonForm = Annotated[dict[str, str], Depends(person_form)]
AdminForm = Annotated[dict[str, str], Depends(admin_form)]
