"""Getting into the portal and out again: the first admin, local accounts, the identity provider."""

from __future__ import annotations

import asyncio
import functools
import hmac
import json
import logging
import re
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from casb.errors import CasbError, StoreError
from casb.settings import Settings
from casb.sidecar import auth
from casb.sidecar.auth import Person, PersonForm, digest, note, safe_path
from casb.sidecar.bearer import Here
from casb.sidecar.pages import page
from casb.sidecar.passwords import hash_password, problem_with, verify_password
from casb.sidecar.services import Services
from casb.store.atomic import create_private
from casb.store.portal_sqlite import ADMIN, PortalStore
from casb.store.token import data_folder

logger = logging.getLogger(__name__)

FLOW = timedelta(minutes=10)
SHORTEST_CODE = 16  # characters
FIRST_PAUSE = timedelta(seconds=30)  # after too many failures; doubled by each further one
LONGEST_PAUSE = timedelta(minutes=15)
CODE_FILE = "first-run-code"
NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{1,62}[a-z0-9]")
WAITING = 16  # sign-ins that may wait for their turn; more are sent away at once


class SignedIn(Protocol):
    """What a provider says about who came back. `connectors.oidc` gives its `Claims`."""

    @property
    def username(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def groups(self) -> tuple[str, ...]: ...
    @property
    def groups_known(self) -> bool: ...


class AdminProvider(Protocol):
    """The identity provider that admins sign in with; `connectors.oidc.OidcProvider` is one. Raises `CasbError`."""

    async def begin(self) -> tuple[str, dict[str, Any]]:
        """Where to send the browser, and what to keep for `finish`."""

    async def finish(self, flow: Mapping[str, Any], params: Mapping[str, str]) -> SignedIn:
        """Who came back, verified."""


def first_run_code(settings: Settings, portal: PortalStore) -> str | None:
    """The code that makes the first local admin, made and written to the data folder; None once there is one."""
    if not settings.sidecar.admins.local or portal.accounts():
        return None
    path = data_folder(settings) / CODE_FILE
    create_private(path, "-".join(secrets.token_hex(3) for _ in range(4)).encode() + b"\n")
    code = path.read_text(encoding="utf-8", errors="replace").strip()
    if len(code) < SHORTEST_CODE:
        # An emptied file must not let an empty code in.
        raise StoreError("S043", f"{path} holds no set-up code", hint="remove the file; a new one is made")
    return code


class Turnstile:
    """One password at a time: hashing costs memory and time, and attempts made at once must not outrun the lock."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    async def __aenter__(self) -> None:
        if self._waiting >= WAITING:
            raise HTTPException(429, "too many sign-ins at once; try again", {"Retry-After": "5"})
        self._waiting += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self._waiting -= 1
            raise

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
        self._waiting -= 1


router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
async def sign_in_page(request: Request, services: Here, next: str = "/") -> Response:
    if await run_in_threadpool(auth.session_of, request, services):
        return RedirectResponse(safe_path(next), 303)
    fresh = services.settings.sidecar.admins.local and not await run_in_threadpool(services.portal.accounts)
    if fresh and request.app.state.provider is None:
        return RedirectResponse("/set-up", 303)
    return _form_page(request, services, "sign-in.html", next=safe_path(next), problem="", name="", fresh=fresh)


@router.post("/sign-in")
async def sign_in(request: Request, services: Here) -> Response:
    form = await _anonymous_form(request, services)
    if not services.settings.sidecar.admins.local:
        raise HTTPException(404, "there are no local accounts here")
    name, path = form.get("name", "").strip().lower()[:64], safe_path(form.get("next"))
    async with request.app.state.turnstile:
        if wait := await _locked(request, services, name):
            problem = f"Too many attempts. Try again in {wait} seconds."
            return _form_page(request, services, "sign-in.html", 429, wait, next=path, problem=problem, name=name)
        account = await run_in_threadpool(services.portal.account, name)
        right = await run_in_threadpool(
            verify_password, form.get("password", ""), account.password if account else None
        )
        if account is None or not right:
            await _failed(request, services, name, known=account is not None)
            problem = "Name or password is wrong."
            return _form_page(request, services, "sign-in.html", 401, next=path, problem=problem, name=name)
    await run_in_threadpool(services.portal.forgive, _keys(request, services, name))
    return await _enter(request, services, RedirectResponse(path, 303), account.name, account.role, "local")


@router.get("/set-up")
async def set_up_page(request: Request, services: Here) -> Response:
    if await run_in_threadpool(first_run_code, services.settings, services.portal) is None:
        return RedirectResponse("/sign-in", 303)
    return _form_page(request, services, "set-up.html", problem="", name="")


@router.post("/set-up")
async def set_up(request: Request, services: Here) -> Response:
    form = await _anonymous_form(request, services)
    name, password = form.get("name", "").strip().lower()[:64], form.get("password", "")
    async with request.app.state.turnstile:
        code = await run_in_threadpool(first_run_code, services.settings, services.portal)
        if code is None:
            return RedirectResponse("/sign-in", 303)
        if wait := await _locked(request, services, ""):
            problem = f"Too many attempts. Try again in {wait} seconds."
            return _form_page(request, services, "set-up.html", 429, wait, problem=problem, name=name)
        if not hmac.compare_digest(form.get("code", "").strip().encode(), code.encode()):
            await _failed(request, services, "")
            problem = "That is not the set-up code. It stands on the console of casb serve."
            return _form_page(request, services, "set-up.html", 401, problem=problem, name=name)
        if trouble := account_problem(name, password, form.get("again", "")):
            return _form_page(request, services, "set-up.html", 422, problem=trouble, name=name)
        kept = await run_in_threadpool(hash_password, password)
        added = await run_in_threadpool(
            lambda: services.portal.add_account(name, ADMIN, kept, services.clock(), first=True)
        )
    if not added:
        return RedirectResponse("/sign-in", 303)
    (data_folder(services.settings) / CODE_FILE).unlink(missing_ok=True)
    await note(request, services, name, "first admin made")
    return await _enter(request, services, RedirectResponse("/", 303), name, ADMIN, "local")


@router.post("/sign-out")
async def sign_out(request: Request, services: Here, who: Person, form: PersonForm) -> Response:
    response = RedirectResponse("/sign-in", 303)
    await _forget(request, services)
    auth.drop_cookie(response, services, "admin")
    await note(request, services, who.name, "signed out")
    return response


@router.get("/auth/start")
async def start(request: Request, services: Here, next: str = "/") -> Response:
    provider = _provider(request)
    try:
        url, flow = await provider.begin()
    except CasbError as error:
        logger.error("sign-in could not begin error=%r", str(error))
        raise HTTPException(502, f"the identity provider cannot be used: {error.message}") from error
    secret = secrets.token_urlsafe(32)
    kept = json.dumps({"flow": flow, "next": safe_path(next)})
    await run_in_threadpool(services.portal.put_flow, digest(secret), kept, services.clock(), FLOW)
    response = RedirectResponse(url, 303)
    auth.set_cookie(response, services, "flow", secret, ttl=FLOW, lax=True)
    return response


@router.get("/auth/callback")
async def callback(request: Request, services: Here) -> Response:
    provider = _provider(request)
    secret = auth.cookie_of(request, services, "flow")
    kept = secret and await run_in_threadpool(services.portal.take_flow, digest(secret), services.clock())
    if not kept:
        raise HTTPException(400, "this sign-in has expired or was begun in another browser; begin again")
    state = json.loads(kept)
    try:
        claims = await provider.finish(state["flow"], dict(request.query_params))
    except CasbError as error:
        await note(request, services, "", "sign-in failed", why=error.code)
        raise HTTPException(403, f"the sign-in was not accepted: {error.message}") from error
    admins = services.settings.sidecar.admins
    name = (claims.username or claims.subject)[:128]
    if not admins.group or not claims.groups_known or admins.group not in claims.groups:
        await note(request, services, name, "sign-in refused", why="not in the admins' group")
        raise HTTPException(403, "your account is not in the group that may use this portal")
    # Not a redirect: it would still count as coming from the provider's site, and our strict cookie would stay behind.
    response = page(request, "continue.html", target=state["next"])
    auth.drop_cookie(response, services, "flow")
    return await _enter(request, services, response, name, ADMIN, admins.provider or "")


async def sign_in_first(request: Request, error: Exception) -> Response:
    """A page without a session. To somebody led here from elsewhere, one reload from here brings the strict cookie."""
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method != "GET":
        path = "/"
    elif request.headers.get("sec-fetch-site") == "cross-site":
        return page(request, "continue.html", target=safe_path(path))
    return RedirectResponse(f"/sign-in?{urlencode({'next': safe_path(path)})}", 303)


def account_problem(name: str, password: str, again: str) -> str | None:
    """What is wrong with a new account, as a sentence."""
    if not NAME.fullmatch(name):
        return "A name has 3 to 64 characters: letters, digits, and . _ @ - between them."
    if password != again:
        return "The two passwords differ."
    return problem_with(password, name)


def _form_page(
    request: Request, services: Services, template: str, status: int = 200, retry: int = 0, **values: Any
) -> Response:
    """A form for somebody who is not signed in; its token hangs on a cookie of its own."""
    secret = auth.cookie_of(request, services, "form") or secrets.token_urlsafe(32)
    request.state.csrf = auth.csrf_of(secret)
    admins = services.settings.sidecar.admins
    provider = getattr(request.app.state, "provider", None)
    response = page(request, template, status=status, local=admins.local, provider=provider is not None, **values)
    auth.set_cookie(response, services, "form", secret)
    if retry:
        response.headers["Retry-After"] = str(retry)
    return response


async def _anonymous_form(request: Request, services: Services) -> dict[str, str]:
    form = await auth.form_of(request)
    secret = auth.cookie_of(request, services, "form")
    auth.check_csrf(form, auth.csrf_of(secret) if secret else "")
    return form


async def _enter(
    request: Request, services: Services, response: Response, name: str, role: str, provider: str
) -> Response:
    """Never keep a session id from before the sign-in, nor an older session of this browser."""
    await _forget(request, services)
    await run_in_threadpool(auth.open_session, response, services, name, role, provider)
    auth.drop_cookie(response, services, "form")
    await note(request, services, name, "signed in", provider=provider)
    return response


async def _forget(request: Request, services: Services) -> None:
    if old := auth.cookie_of(request, services, "admin"):
        await run_in_threadpool(services.portal.drop_session, digest(old))


def _keys(request: Request, services: Services, name: str) -> list[str]:
    return [f"ip {auth.client_ip(request, services.settings)}", *([f"name {name}"] if name else [])]


async def _locked(request: Request, services: Services, name: str) -> int:
    """Seconds to wait; 0: go ahead."""
    now = services.clock()
    until = await run_in_threadpool(services.portal.locked_until, _keys(request, services, name), now)
    return max(1, round((until - now).total_seconds())) if until else 0


async def _failed(request: Request, services: Services, name: str, *, known: bool = False) -> None:
    """Five failures from an address, twenty for a name: a stranger cannot lock somebody out as easily as himself."""
    for key in _keys(request, services, name):
        free = 5 if key.startswith("ip ") else 20
        await run_in_threadpool(
            functools.partial(services.portal.note_failure, free=free, first=FIRST_PAUSE, most=LONGEST_PAUSE),
            [key],
            services.clock(),
        )
    # What is no account's name may be a password typed into the wrong field.
    await note(request, services, name if known else "", "sign-in failed")


def _provider(request: Request) -> AdminProvider:
    provider: AdminProvider | None = getattr(request.app.state, "provider", None)
    if provider is None:
        raise HTTPException(404, "no identity provider is configured for admins")
    return provider
