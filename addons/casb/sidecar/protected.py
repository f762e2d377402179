"""Files that were handed over protected: who has them, and an end to that. Every change is audited.

Revoking and expiry take effect when somebody opens the file next; no file is touched.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from casb.sidecar.auth import Admin, AdminForm, Person, Reader, note
from casb.sidecar.bearer import Here
from casb.sidecar.pages import page
from casb.sidecar.services import Services
from casb.store.protected_sqlite import ProtectedFiles

router = APIRouter(prefix="/protected", include_in_schema=False)
api = APIRouter(prefix="/v1/protected", tags=["read"])

PAGE = 100


@router.get("")
def protected(request: Request, services: Here, who: Person) -> Response:
    return _page(request, services)


@router.post("/revoke")
async def revoke(request: Request, services: Here, who: Admin, form: AdminForm) -> Response:
    identifier = form.get("file", "")
    if await run_in_threadpool(_files(services).revoke, identifier, who.name, services.clock()):
        await note(request, services, who.name, "protected file revoked", file=identifier)
    return _back(form)


@router.post("/restore")
async def restore(request: Request, services: Here, who: Admin, form: AdminForm) -> Response:
    identifier = form.get("file", "")
    if await run_in_threadpool(_files(services).restore, identifier):
        await note(request, services, who.name, "protected file restored", file=identifier)
    return _back(form)


@router.post("/expire")
async def expire(request: Request, services: Here, who: Admin, form: AdminForm) -> Response:
    identifier = form.get("file", "")
    try:
        when = datetime.fromisoformat(form.get("when", ""))
    except ValueError:
        problem = "Give the end as a date with a time."
        return await run_in_threadpool(_page, request, services, problem, 422)
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    if await run_in_threadpool(_files(services).expire, identifier, when):
        await note(request, services, who.name, "protected file expires", file=identifier, when=when.isoformat())
    return _back(form)


@api.get("", summary="Files that were handed over protected")
def list_protected(
    services: Here,
    who: Reader,
    words: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = PAGE,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    """Newest first. `words` are looked for in name, person, app, policy, label and id. Nothing here opens a file."""
    found = _files(services).search(words, limit=limit, offset=offset)
    return {"ok": True, "files": [each.as_json() for each in found]}


@api.get("/{identifier}", summary="One protected file")
def get_protected(services: Here, who: Reader, identifier: str) -> dict[str, Any]:
    found = _files(services).get(identifier)
    if found is None:
        raise HTTPException(404, "there is no such protected file")
    return {"ok": True, "file": found.as_json()}


def _files(services: Services) -> ProtectedFiles:
    return ProtectedFiles(services.settings.data)


def _back(form: dict[str, str]) -> Response:
    identifier = form.get("file", "")
    return RedirectResponse(f"/protected#{identifier}" if identifier.isalnum() else "/protected", 303)


def _page(request: Request, services: Services, problem: str = "", status: int = 200) -> Response:
    words = request.query_params.get("q", "")[:200]
    try:
        start = max(0, min(int(request.query_params.get("from", "0")), 1_000_000))
    except ValueError:
        start = 0
    found = _files(services).search(words, limit=PAGE + 1, offset=start)
    return page(
        request,
        "protected.html",
        status=status,
        problem=problem,
        files=found[:PAGE],
        words=words,
        start=start,
        more=start + PAGE if len(found) > PAGE else 0,
        now=services.clock(),
    )
