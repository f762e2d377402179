"""Who may come in: read tokens for programs, local accounts, one's own password. Every change is audited."""

from __future__ import annotations

import secrets
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from casb.sidecar.auth import Admin, AdminForm, Person, PersonForm, digest, note
from casb.sidecar.bearer import Here
from casb.sidecar.pages import page
from casb.sidecar.passwords import hash_password, problem_with, verify_password
from casb.sidecar.services import Services
from casb.sidecar.signin import account_problem
from casb.store.portal_sqlite import READ, ROLES, SCOPES

router = APIRouter(prefix="/access", include_in_schema=False)


@router.get("")
async def access(request: Request, services: Here, who: Person) -> Response:
    return await _page(request, services)


@router.post("/tokens")
async def add_token(request: Request, services: Here, who: Admin, form: AdminForm) -> Response:
    label, scope = form.get("label", "").strip()[:64], form.get("scope", READ)
    if not label or scope not in SCOPES:
        return await _page(request, services, 422, problem="A token needs a label that says who uses it.")
    token, token_id = f"casb_{secrets.token_urlsafe(32)}", secrets.token_hex(4)
    await run_in_threadpool(
        services.portal.add_token, token_id, digest(token), label, who.name, services.clock(), scope=scope
    )
    await note(request, services, who.name, f"{scope} token made", token=token_id, label=label)
    return await _page(request, services, token=token)


@router.post("/tokens/revoke")
async def remove_token(request: Request, services: Here, who: Admin, form: AdminForm) -> Response:
    removed = await run_in_threadpool(services.portal.remove_token, form.get("id", ""))
    if removed:
        await note(request, services, who.name, f"{removed.scope} token revoked", token=removed.id, label=removed.label)
    return RedirectResponse("/access", 303)


@router.post("/accounts")
async def add_account(request: Request, services: Here, who: Admin, form: AdminForm) -> Response:
    _local_only(services)
    name, role, password = form.get("name", "").strip().lower()[:64], form.get("role", ""), form.get("password", "")
    problem = account_problem(name, password, form.get("again", ""))
    if problem or role not in ROLES:
        return await _page(request, services, 422, problem=problem or "There is no such role.")
    async with request.app.state.turnstile:
        kept = await run_in_threadpool(hash_password, password)
    if not await run_in_threadpool(services.portal.add_account, name, role, kept, services.clock()):
        return await _page(request, services, 409, problem="There is an account with this name.")
    await note(request, services, who.name, "account made", account=name, role=role)
    return RedirectResponse("/access", 303)


@router.post("/accounts/remove")
async def remove_account(request: Request, services: Here, who: Admin, form: AdminForm) -> Response:
    name = form.get("name", "")
    if not await run_in_threadpool(services.portal.remove_account, name):
        return await _page(
            request, services, 409, problem="The last admin stays, and unknown accounts are gone already."
        )
    await note(request, services, who.name, "account removed", account=name)
    return RedirectResponse("/access", 303)


@router.post("/password")
async def change_password(request: Request, services: Here, who: Person, form: PersonForm) -> Response:
    _local_only(services)
    account = await run_in_threadpool(services.portal.account, who.name) if who.provider == "local" else None
    if account is None:
        raise HTTPException(404, "your password is kept by the identity provider")
    password = form.get("password", "")
    async with request.app.state.turnstile:
        right = await run_in_threadpool(verify_password, form.get("present", ""), account.password)
        problem = None if right else "The present password is wrong."
        if password != form.get("again", ""):
            problem = "The two new passwords differ."
        problem = problem or problem_with(password, who.name)
        if problem:
            return await _page(request, services, 422, problem=problem)
        kept = await run_in_threadpool(hash_password, password)
    await run_in_threadpool(services.portal.set_password, who.name, kept)
    await note(request, services, who.name, "password changed")
    return RedirectResponse("/sign-in", 303)


def _local_only(services: Services) -> None:
    if not services.settings.sidecar.admins.local:
        raise HTTPException(404, "there are no local accounts here")


async def _page(
    request: Request, services: Services, status: int = 200, *, problem: str = "", token: str = ""
) -> Response:
    values: dict[str, Any] = {
        "tokens": await run_in_threadpool(services.portal.tokens),
        "accounts": await run_in_threadpool(services.portal.accounts),
        "local": services.settings.sidecar.admins.local,
        "roles": ROLES,
    }
    return page(request, "access.html", status=status, problem=problem, token=token, **values)
