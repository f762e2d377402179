"""Requests for exceptions: read out of the activity log, answered by a signed file or a refusal. The pages on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from casb.errors import PolicyError, Problems
from casb.model.activity import Source
from casb.policy.exceptions import ExceptionFile, Exceptions, collect, moment
from casb.sidecar.auth import Admin, AdminForm, Person, note
from casb.sidecar.bearer import Here
from casb.sidecar.pages import page
from casb.sidecar.services import Services
from casb.store import exceptions
from casb.store.records import ActivityLog

router = APIRouter(prefix="/requests", include_in_schema=False)

MARK = "exception-request"
SINCE = timedelta(days=90)
MOST = 500
LONGEST_HOURS = 24 * 366


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request. `state`: waiting, approved, denied."""

    id: str
    time: str
    user: str
    app: str
    app_name: str
    policy: str
    file: str
    kind: str
    hours: int
    text: str
    refused: str  # the id of what was refused
    state: str = "waiting"


def read(record: Mapping[str, Any]) -> Asked | None:
    """The request that a record is; None for any other record."""
    request = (record.get("extra") or {}).get("request")
    if not isinstance(request, dict) or record.get("source") != Source.REQUEST:
        return None
    app, user = record.get("app") or {}, record.get("user") or {}
    return Asked(
        id=str(record["id"]),
        time=str(record["time"]),
        user=str(user.get("name") or ""),
        app=str(app.get("id") or ""),
        app_name=str(app.get("name") or ""),
        policy=str(record.get("policy") or ""),
        file=str(request.get("file") or ""),
        kind=str(record.get("activity") or ""),
        hours=int(request.get("hours") or 0),
        text=str(request.get("text") or ""),
        refused=str(request.get("refused") or ""),
    )


def get(records: ActivityLog, identifier: str) -> Asked | None:
    """One request by its activity id."""
    record = records.get(identifier)
    return read(record) if record is not None else None


def asked(records: ActivityLog, folder: Path, data: Path, now: datetime) -> list[Asked]:
    """The requests of the last 90 days with what became of them, newest first."""
    filters = {"text": MARK, "source": Source.REQUEST.value, "from": moment(now - SINCE)}
    found = [each for record in records.query(filters, limit=MOST).records if (each := read(record)) is not None]
    denied = exceptions.denials(data)
    granted = {grant.request for grant in in_force(folder, data, now).grants}
    states = {True: "approved", False: "waiting"}
    return [
        Asked(**{**asdict(each), "state": "denied" if each.id in denied else states[each.id in granted]})
        for each in found
    ]


def in_force(folder: Path, data: Path, now: datetime) -> Exceptions:
    """The exceptions of the folder, and what is wrong with the others."""
    texts = {str(path): path.read_bytes() for path, _ in exceptions.documents(folder)}
    return collect(texts, verify=exceptions.verifier(data), now=now)


def document_of(request: Asked, *, by: str, now: datetime, hours: int, file: str, app: str) -> ExceptionFile:
    """The exception that answers a request. Raises `PolicyError` for a length of time that is none."""
    if not 1 <= hours <= LONGEST_HOURS:
        raise PolicyError("P017", f"{hours} h is no length of time for an exception", hint="1 to 8784 hours")
    return ExceptionFile(
        version=1,
        kind="exception",
        id=f"x-{request.id.lower()}",
        policy=request.policy,
        user=request.user,
        app=app,
        file=file,
        until=moment(now + timedelta(hours=hours)),
        approved_by=by,
        approved=moment(now),
        justification="".join(char if char.isprintable() else " " for char in request.text),
        request=request.id,
    )


def to_json(request: Asked) -> dict[str, Any]:
    """For programs."""
    return asdict(request)


# --- pages


@router.get("")
def overview(request: Request, services: Here, who: Person) -> Response:
    folder, data = _places(services)
    now = services.clock()
    found = in_force(folder, data, now)
    return page(
        request,
        "requests.html",
        requests=asked(services.records, folder, data, now),
        grants=found.grants,
        refused=found.refused,
    )


@router.post("/revoke")
async def revoke(request: Request, services: Here, who: Admin, form: AdminForm) -> Response:
    identifier = form.get("exception", "")
    if not await run_in_threadpool(exceptions.revoke, _places(services)[0], identifier):
        raise HTTPException(404, "there is no exception with this id")
    await note(request, services, who.name, "exception revoked", exception=identifier)
    return RedirectResponse("/requests", 303)


@router.post("/{request_id}")
async def answer(request: Request, services: Here, who: Admin, form: AdminForm, request_id: str) -> Response:
    found = await run_in_threadpool(get, services.records, request_id)
    if found is None:
        raise HTTPException(404, "there is no request with this id")
    folder, data = _places(services)
    now = services.clock()
    if form.get("answer") == "deny":
        await run_in_threadpool(exceptions.deny, data, found.id, who.name, now, form.get("note", "").strip()[:500])
        await note(request, services, who.name, "exception denied", asked=found.id, policy=found.policy)
        return RedirectResponse("/requests", 303)
    try:
        document = document_of(
            found,
            by=who.name,
            now=now,
            hours=int(form.get("hours") or 0),
            file="" if form.get("any_file") else found.file,
            app=found.app,
        )
        await run_in_threadpool(exceptions.grant, folder, data, document, now)
    except (ValueError, PolicyError, Problems) as error:
        raise HTTPException(422, f"this cannot be allowed: {error}") from error
    detail = {"exception": document.id, "policy": document.policy, "user": document.user, "until": document.until}
    await note(request, services, who.name, "exception approved", **detail)
    return RedirectResponse("/requests", 303)


def _places(services: Services) -> tuple[Path, Path]:
    return Path(services.settings.folder), Path(services.settings.data)
