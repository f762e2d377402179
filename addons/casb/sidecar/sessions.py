"""Sessions that an admin ends: by user, by session, by app. Every worker of every node hears of it at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from casb.connectors.revocation import revoke
from casb.errors import ConfigError, TokenError
from casb.sidecar.auth import Admin, AdminCall, AdminForm, Person, Who, note
from casb.sidecar.bearer import Here
from casb.sidecar.discovery_api import Body
from casb.sidecar.pages import page
from casb.sidecar.services import Services
from casb.store.sessions import close_sessions, open_sessions

api = APIRouter(prefix="/v1/sessions", tags=["sessions"])
router = APIRouter(prefix="/sessions", include_in_schema=False)


@api.post("/revoke", summary="End sessions at once")
async def post_revoke(request: Request, services: Here, who: AdminCall, body: Body) -> dict[str, Any]:
    """`{"user": id or name}`, `{"session": id as in the activity log}` or `{"app": id}`; `ended` counts records."""
    if len(body) != 1 or not all(isinstance(each, str) for each in body.values()):
        raise HTTPException(422, "give one of 'user', 'session' and 'app'")
    ((what, value),) = body.items()
    try:
        return {"ok": True, "ended": await _ended(request, services, who, what, value)}
    except TokenError as error:
        raise HTTPException(422, error.message) from error


@router.get("")
async def sessions(request: Request, services: Here, who: Person) -> Response:
    return _page(request, services)


@router.post("/revoke")
async def revoke_form(request: Request, services: Here, who: Admin, form: AdminForm) -> Response:
    what, value = form.get("what", ""), form.get("value", "")
    try:
        ended = await _ended(request, services, who, what, value)
    except TokenError as error:
        return _page(request, services, 422, problem=error.message.capitalize() + ".")
    told = f"Ended: {what} {value.strip()}." if ended else f"There is no live session of {what} {value.strip()}."
    return _page(request, services, done=told)


async def _ended(request: Request, services: Services, who: Who, what: str, value: str) -> int:
    """Audited before it is done."""
    settings = services.settings
    await note(request, services, who.name, "sessions revoked", of=what[:16], value=value.strip()[:200])
    try:
        store = open_sessions(settings, Path(settings.data))
    except ConfigError as error:
        raise HTTPException(503, str(error)) from error
    try:
        providers = [each.id for each in settings.providers]
        return await revoke(store, what, value, providers=providers, clock=services.clock)
    finally:
        await close_sessions(store)


def _page(request: Request, services: Services, status: int = 200, *, problem: str = "", done: str = "") -> Response:
    apps = sorted((each.id, each.name) for each in services.deployment.view().apps if each.controlled)
    limits = services.settings.session
    return page(request, "sessions.html", status=status, problem=problem, done=done, apps=apps, limits=limits)
