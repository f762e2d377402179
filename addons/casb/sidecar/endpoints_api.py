"""Devices with an endpoint agent over HTTP, under `/v1/endpoints`: events in, devices, hunting, indicators out."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from casb.connectors.defender import Defender
from casb.discovery.endpoint_hunting import COLUMNS, DEVICE_COLUMNS
from casb.discovery.export import as_csv
from casb.errors import ConnectorError, StoreError
from casb.sidecar import auth
from casb.sidecar.auth import AdminCall, Reader, Uploader
from casb.sidecar.bearer import Here
from casb.sidecar.discovery_api import Engine
from casb.store.endpoint_push import push

EVENTS = "/v1/endpoints/events"
LARGEST = 4 * 1024 * 1024
"""Bytes of one batch as it is sent (the agent's own batches have 4 MB); the worker bounds what is in it."""
_KEY = re.compile(r"[\x21-\x7e]{1,200}\Z")

receiving = APIRouter(dependencies=[Depends(auth.uploader)], tags=["endpoints"])
reading = APIRouter(prefix="/v1/endpoints", dependencies=[Depends(auth.reader)], tags=["endpoints"])
changing = APIRouter(prefix="/v1/endpoints", dependencies=[Depends(auth.admin_call)], tags=["endpoints"])


@receiving.post(EVENTS, summary="Hand over events of endpoint agents", status_code=202)
async def post_events(
    request: Request,
    services: Here,
    engine: Engine,
    who: Uploader,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> dict[str, Any]:
    """NDJSON, advanced-hunting JSON or CSV, or a batch of the streaming API; plain or gzip; 4 MB at most.

    The same content, or the same `Idempotency-Key`, counts once. On a 202 it is on the disk.
    """
    if idempotency_key is not None and not _KEY.match(idempotency_key):
        raise HTTPException(400, "`Idempotency-Key` has 1 to 200 visible characters")
    body = await request.body()
    if not body:
        raise HTTPException(400, "the body is empty")

    async def chunks() -> Any:
        yield body

    now = services.clock()
    secret = await run_in_threadpool(engine.uploads.begin, "events", "endpoint", who.name, now)
    try:
        upload = await engine.uploads.receive(secret, chunks(), now)
    except StoreError as error:
        raise HTTPException(507, error.message) from error
    stream = await run_in_threadpool(engine.endpoint_stream)
    key = f"key:{idempotency_key}" if idempotency_key else f"sha256:{upload.sha256}"
    task = await run_in_threadpool(lambda: engine.continuous(stream, [upload.path], who.name, key=key))
    await run_in_threadpool(engine.uploads.done, secret)
    return {"ok": True, "task": task, "stream": stream.id}


@reading.get("/devices", summary="Devices", response_model=None)
async def get_devices(
    request: Request,
    services: Here,
    engine: Engine,
    who: Reader,
    stream: str | None = None,
    days: Annotated[int, Query(ge=1)] = 30,
    search: str = "",
    sort: str = "total",
    order: Literal["asc", "desc"] = "desc",
    skip: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    format: Literal["json", "csv"] = "json",
) -> dict[str, Any] | Response:
    """Each with OS, group, level and why, transactions, bytes and apps; as CSV all of them."""
    endpoints = engine.endpoints
    span = await run_in_threadpool(_span, engine, stream, days)
    if format == "csv":
        rows = await run_in_threadpool(lambda: list(endpoints.every_device(span, search=search)))
        await auth.note(request, services, who.name, "exported devices", stream=span.stream, rows=len(rows))
        return _csv(rows, DEVICE_COLUMNS, "devices")
    descending = order == "desc"
    found = await run_in_threadpool(
        lambda: endpoints.devices(span, search=search, by=sort, descending=descending, skip=skip, limit=limit)
    )
    return {"ok": True, **found}


@reading.get("/devices/{name:path}", summary="The page of a device", response_model=None)
async def get_device(
    request: Request,
    services: Here,
    engine: Engine,
    who: Reader,
    name: str,
    stream: str | None = None,
    days: Annotated[int, Query(ge=1)] = 30,
    format: Literal["json", "csv"] = "json",
) -> dict[str, Any] | Response:
    """Overview, level with its reasons, discovered apps, users, addresses, trend; as CSV its apps."""
    span = await run_in_threadpool(_span, engine, stream, days)
    page = await run_in_threadpool(engine.endpoints.device, span, name)
    if format == "csv":
        await auth.note(request, services, who.name, "exported a device", device=page["name"], rows=len(page["apps"]))
        columns = (
            "app",
            "name",
            "category",
            "score",
            "risk",
            "tag",
            "transactions",
            "traffic",
            "uploaded",
            "downloaded",
        )
        return _csv(page["apps"], columns, "device-apps")
    return {"ok": True, **page}


@reading.get("/hunt", summary="Single events about an app", response_model=None)
async def get_hunt(
    request: Request,
    services: Here,
    engine: Engine,
    who: Reader,
    app: str,
    days: Annotated[int, Query(ge=1, le=180)] = 7,
    device: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 1000,
    format: Literal["json", "csv"] = "json",
) -> dict[str, Any] | Response:
    """The columns of DeviceNetworkEvents, the latest first."""
    rows = await run_in_threadpool(lambda: engine.endpoints.hunt(app, days=days, device=device, limit=limit))
    await auth.note(request, services, who.name, "hunted for an app", app=app[:100], rows=len(rows))
    return _csv(rows, COLUMNS, "hunt") if format == "csv" else {"ok": True, "columns": list(COLUMNS), "rows": rows}


@reading.get("/query", summary="The query for the console's advanced hunting", response_class=PlainTextResponse)
def get_query(engine: Engine, who: Reader, app: str, days: Annotated[int, Query(ge=1, le=180)] = 7) -> Response:
    """KQL."""
    return PlainTextResponse(engine.endpoints.query(app, days=days) + "\n")


@reading.get("/indicators", summary="Indicators", response_model=None)
def get_indicators(
    engine: Engine, who: Reader, app: str | None = None, format: Literal["state", "api", "csv"] = "state"
) -> dict[str, Any] | Response:
    """How far each app is; as `api` what would be imported, in batches of any size; as `csv` for the console."""
    endpoints = engine.endpoints
    if format == "api":
        return {"Indicators": endpoints.export()}
    if format == "csv":
        return Response(console_csv(endpoints.export()), media_type="text/csv; charset=utf-8")
    return {
        "ok": True,
        "enforce": endpoints.chosen.enforce,
        "last_push": endpoints.book.last_push(),
        "apps": endpoints.status(app),
    }


@changing.post("/push", summary="Bring indicators to the agent's API")
async def post_push(request: Request, services: Here, engine: Engine, who: AdminCall) -> dict[str, Any]:
    """Imports, changes and removes; goes on where an earlier push was cut off."""
    endpoints = engine.endpoints
    await auth.note(request, services, who.name, "pushed indicators to endpoints")

    def go() -> dict[str, Any]:
        api = Defender(endpoints.chosen)
        try:
            return push(endpoints.book, endpoints.plan(), endpoints.options, api, services.clock)
        finally:
            api.close()

    try:
        return {"ok": True, **await run_in_threadpool(go)}
    except ConnectorError as error:
        raise HTTPException(502, str(error)) from error


_CONSOLE = ("IndicatorType", "IndicatorValue", "ExpirationTime", "Action", "Severity", "Title", "Description",
            "RecommendedActions", "RbacGroups", "Category", "MitreTechniques", "GenerateAlert")  # fmt: skip


def console_csv(bodies: Iterable[dict[str, Any]]) -> str:
    """Indicators as the console's import takes them (500 rows a file)."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_CONSOLE)
    for each in bodies:
        writer.writerow(
            [each["indicatorType"], each["indicatorValue"], "", each["action"], each["severity"], each["title"],
             each["description"], each["recommendedActions"], json.dumps(each["rbacGroupNames"]), "SuspiciousActivity",
             "", str(each["generateAlert"]).upper()]
        )  # fmt: skip
    return out.getvalue()


def _span(engine: Any, stream: str | None, days: int) -> Any:
    return engine.reports.span(stream or engine.endpoint_stream().id, days)


def _csv(rows: list[dict[str, Any]], columns: tuple[str, ...], name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(as_csv(rows, columns), media_type="text/csv; charset=utf-8", headers=headers)
