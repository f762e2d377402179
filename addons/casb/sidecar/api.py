"""`/v1`: what programs call. Every answer is JSON unless its name says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from casb.sidecar import auth
from casb.sidecar.auth import Reader
from casb.sidecar.bearer import Here, from_proxy
from casb.sidecar.export import FORMATS
from casb.sidecar.ingest import MOST_RECORDS, TooMany, take
from casb.sidecar.views import app_lines, policy_lines, proxy_lines
from casb.store.filters import FILTERS
from casb.store.protected_sqlite import ProtectedFiles

EXPORT_LIMIT = 100_000  # records, as in Microsoft's export

proxy_api = APIRouter(prefix="/v1", dependencies=[Depends(from_proxy)], tags=["proxy"])
read_api = APIRouter(prefix="/v1", tags=["read"])


@proxy_api.post("/records", summary="Hand over activity records")
async def post_records(request: Request, services: Here) -> dict[str, Any]:
    """NDJSON, one record per line, up to 5000. An id that is there already is ignored.

    On a 200 each line was kept, was there already, or is named under `rejected`; what was kept is on the disk.
    """
    try:
        traffic = services.discovery.proxy.take if services.discovery is not None else None
        body, protected = await request.body(), ProtectedFiles(services.settings.data)
        receipt = await run_in_threadpool(take, body, services.records, services.alerts, traffic, protected)
    except TooMany as error:
        raise HTTPException(413, f"more than {MOST_RECORDS} records in one batch") from error
    services.counters.accepted += receipt.accepted
    services.counters.duplicates += receipt.duplicates
    services.counters.rejected += len(receipt.rejected)
    return {
        "ok": True,
        "accepted": receipt.accepted,
        "duplicates": receipt.duplicates,
        "rejected": [{"index": each.index, "error": each.error} for each in receipt.rejected],
    }


@proxy_api.post("/proxy-status", summary="A proxy's heartbeat")
async def post_status(request: Request, services: Here) -> dict[str, Any]:
    """A JSON object with the proxy's `name` and whatever it tells about itself."""
    try:
        facts = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise HTTPException(400, "not JSON") from error
    name = facts.get("name") if isinstance(facts, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= 64:
        raise HTTPException(400, "a proxy's status is an object with its name")
    await run_in_threadpool(services.portal.put_status, name, facts, services.clock())
    return {"ok": True}


def filters_of(request: Request) -> dict[str, list[str]]:
    """The filters in a query; a filter given several times means any of its values. Raises 400 for unknown ones."""
    known = {*FILTERS, "cursor", "limit", "format"}
    unknown = sorted({name for name in request.query_params if name not in known})
    if unknown:
        raise HTTPException(400, f"there is no filter '{unknown[0]}'; filters: {', '.join(FILTERS)}")
    return {name: values for name in FILTERS if (values := request.query_params.getlist(name))}


Filters = Annotated[dict[str, list[str]], Depends(filters_of)]


@read_api.get("/activities", summary="Search the activity log")
def get_activities(
    services: Here,
    who: Reader,
    filters: Filters,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Newest first; go on with `cursor`. Filters, each of which may be given several times: id, activity, app,
    user (contains), user_id, ip, action, policy, severity, device (a tag or `unmanaged`), file (contains), session,
    source, country, text (contains), from, to (RFC 3339).
    """
    page = services.records.query(filters, cursor=cursor, limit=limit)
    return {"ok": True, "records": page.records, "cursor": page.cursor}


@read_api.get("/activities/export", summary="Export the activity log")
async def export_activities(
    request: Request,
    services: Here,
    who: Reader,
    filters: Filters,
    format: Literal["csv", "json", "ndjson"] = "csv",
) -> StreamingResponse:
    """The same filters, the newest 100 000 records at most, as a file. Exports are audited."""
    await run_in_threadpool(services.records.query, filters, limit=1)  # wrong filters are told before the head has gone
    await auth.note(request, services, who.name, "exported activities", format=format, filters=len(filters))
    media_type, writer = FORMATS[format]
    name = f"activities-{services.clock():%Y%m%d-%H%M%S}.{format}"

    def chunks() -> Iterator[bytes]:
        yield from writer(services.records.stream(filters, limit=EXPORT_LIMIT))

    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(chunks(), media_type=media_type, headers=headers)


@read_api.get("/activities/{record_id}", summary="One activity")
def get_activity(services: Here, who: Reader, record_id: str) -> dict[str, Any]:
    """A record by its activity id, as the block page and `X-Casb-Activity` name it."""
    record = services.records.get(record_id)
    if record is None:
        raise HTTPException(404, "there is no activity with this id")
    return {"ok": True, "record": record}


@read_api.get("/apps", summary="The configured apps")
def get_apps(services: Here, who: Reader) -> dict[str, Any]:
    """Each with its domains, its addresses under the suffix, and what was seen of it."""
    return {"ok": True, "apps": [line.as_json() for line in app_lines(services)]}


@read_api.get("/policies", summary="The policies and whether they are valid")
def get_policies(services: Here, who: Reader) -> dict[str, Any]:
    """What is on the disk, its errors with their places, and which version each proxy has in force."""
    view = services.deployment.view()
    return {
        "ok": True,
        "valid": not view.errors,
        "version": view.version,
        "in_force": {each.name: list(each.versions) for each in proxy_lines(services)},
        "policies": [line.as_json() for line in policy_lines(services, view, timedelta(days=7))],
        "errors": [
            {
                "code": error.code,
                "message": error.message,
                "hint": error.hint,
                "file": error.where.file if error.where else None,
                "line": error.where.line if error.where else None,
                "column": error.where.column if error.where else None,
            }
            for error in view.errors
        ],
    }
