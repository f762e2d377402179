"""Refused uploads that are kept: admins look at them, release them to who uploaded them, or delete them.

Every change, and every file handed to an admin, is audited with who, when and why. Viewers see what is known of a file
and never its bytes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response, StreamingResponse

from casb.errors import CasbError, StoreError
from casb.sidecar.auth import Admin, AdminForm, Person, Reader, note
from casb.sidecar.bearer import Here
from casb.sidecar.pages import page
from casb.sidecar.services import Services
from casb.store.alerts_sqlite import NewAlert
from casb.store.quarantine import is_id
from casb.store.quarantine_desk import Desk
from casb.store.quarantine_sqlite import STATES, Quarantined

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/quarantine", include_in_schema=False)
api = APIRouter(prefix="/v1/quarantine", tags=["read"])

PAGE = 100
REASON = 500
"""Characters of a reason."""


@router.get("")
def quarantined(request: Request, services: Here, who: Person) -> Response:
    words, state = request.query_params.get("q", "")[:200], request.query_params.get("state", "")
    try:
        start = max(0, min(int(request.query_params.get("from", "0")), 1_000_000))
    except ValueError:
        start = 0
    rows = _desk(services).rows
    found = rows.search(words, state if state in STATES else "", limit=PAGE + 1, offset=start)
    counts = rows.counts()
    return page(
        request,
        "quarantine.html",
        files=found[:PAGE],
        words=words,
        state=state,
        states=STATES,
        start=start,
        more=start + PAGE if len(found) > PAGE else 0,
        used=sum(size for name, (_, size) in counts.items() if name in ("kept", "released")),
        limit=services.settings.quarantine.limit,
    )


@router.get("/{identifier}")
def one(request: Request, services: Here, who: Person, identifier: str) -> Response:
    return _one(request, services, identifier)


@router.post("/release")
async def release(request: Request, services: Here, who: Admin, form: AdminForm) -> Response:
    identifier, why = form.get("file", ""), form.get("why", "")[:REASON]
    try:
        done = await run_in_threadpool(_desk(services).release, identifier, who.name, why, services.clock())
    except CasbError as error:
        return await run_in_threadpool(_one, request, services, identifier, error.message)
    what = "quarantined file released" if done == "released" else "release of a quarantined file asked for"
    await note(request, services, who.name, what, file=identifier, why=why)
    return _back(identifier)


@router.post("/delete")
async def delete(request: Request, services: Here, who: Admin, form: AdminForm) -> Response:
    identifier, why = form.get("file", ""), form.get("why", "")[:REASON]
    try:
        await run_in_threadpool(_desk(services).delete, identifier, who.name, why, services.clock())
    except CasbError as error:
        return await run_in_threadpool(_one, request, services, identifier, error.message)
    await note(request, services, who.name, "quarantined file deleted", file=identifier, why=why)
    return _back(identifier)


@router.post("/fetch")
async def fetch(request: Request, services: Here, who: Admin, form: AdminForm) -> Response:
    """The file, for examination, under a name that nothing opens by itself. Audited before its first byte leaves."""
    identifier = form.get("file", "")
    try:
        file, pieces = await run_in_threadpool(_desk(services).fetch, identifier)
    except CasbError as error:
        return await run_in_threadpool(_one, request, services, identifier, error.message)
    await note(
        request, services, who.name, "quarantined file fetched", file=identifier, why=form.get("why", "")[:REASON]
    )
    return StreamingResponse(
        _told(pieces, identifier),
        media_type="application/octet-stream",
        headers={
            "content-length": str(file.size),
            "content-disposition": attachment(file),
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
        },
    )


def attachment(file: Quarantined) -> str:
    """`Content-Disposition` of a file to be examined: no program is registered for `.quarantined`."""
    name = f"{file.name[-150:] or file.id}.quarantined"
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _told(pieces: Iterator[bytes], identifier: str) -> Iterator[bytes]:
    try:
        yield from pieces
    except CasbError as error:  # it was whole a moment ago
        logger.error("a quarantined file broke off id=%s error=%s", identifier, error)
        raise


@api.get("", summary="Refused uploads that are kept")
def list_quarantined(
    services: Here,
    who: Reader,
    words: str = "",
    state: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = PAGE,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    """Newest first. `words` are looked for in id, person, app, policy, name and SHA-256; `state` is kept, released,
    failed, deleted, expired or lost. Nothing here gives the bytes of a file."""
    found = _desk(services).rows.search(words, state, limit=limit, offset=offset)
    return {"ok": True, "files": [each.as_json() for each in found]}


@api.get("/{identifier}", summary="One refused upload")
def get_quarantined(services: Here, who: Reader, identifier: str) -> dict[str, Any]:
    found = _desk(services).rows.get(identifier)
    if found is None:
        raise HTTPException(404, "there is no such file in the quarantine")
    return {"ok": True, "file": found.as_json()}


def tidy(services: Services, oldest: datetime) -> None:
    """Let go what has run out, and bring files and rows together again. A missing file raises an alert.

    Raises `StoreError`.
    """
    now = services.clock()
    ended, lost = _desk(services).tidy(now, oldest)
    if ended:
        logger.info("quarantine expired=%d", ended)
    services.alerts.raise_all(
        NewAlert(
            time=now,
            kind="system",
            policy="",
            severity="high",
            title="A file is missing from the quarantine",
            key="quarantine lost",
            activity=each.id,
            app=each.app,
            user=each.user_name,
        )
        for each in lost
    )


def _desk(services: Services) -> Desk:
    return Desk(services.settings, Path(services.settings.data))


def _back(identifier: str) -> Response:
    return RedirectResponse(f"/quarantine/{identifier}" if is_id(identifier) else "/quarantine", 303)


def _one(request: Request, services: Services, identifier: str, problem: str = "") -> Response:
    desk = _desk(services)
    try:
        file = desk.need(identifier)
    except StoreError as error:
        raise HTTPException(404, error.message) from error
    return page(
        request,
        "quarantined.html",
        status=409 if problem else 200,
        problem=problem,
        file=file,
        two=desk.two_people,
        over=file.until <= services.clock(),
    )
