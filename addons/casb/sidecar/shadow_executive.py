"""The executive report: a form, and the PDF; the tables of a report as Parquet."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from casb.sidecar.auth import Person, Reader, note, person, reader
from casb.sidecar.bearer import Here
from casb.sidecar.services import Services
from casb.sidecar.shadow import Chosen, Engine, Report, discovery_page

router = APIRouter(prefix="/discovery", include_in_schema=False, dependencies=[Depends(person)])
api = APIRouter(prefix="/v1/discovery", tags=["discovery"], dependencies=[Depends(reader)])


@router.get("/executive")
def executive_form(request: Request, engine: Engine, who: Person, report: Chosen) -> Response:
    return discovery_page(request, "shadow_executive.html", "", report=report)


@router.get("/executive.pdf")
async def executive_page(
    request: Request, services: Here, engine: Engine, who: Person, report: Chosen, name: str = ""
) -> Response:
    return await _pdf(request, services, engine, who.name, report, name)


@api.get("/executive", summary="The executive report as PDF", response_class=Response)
async def get_executive(
    request: Request, services: Here, engine: Engine, who: Reader, report: Chosen, name: str = ""
) -> Response:
    """Key figures, risk mix, leading apps, users and categories, new and risky apps, recommendations."""
    return await _pdf(request, services, engine, who.name, report, name)


@api.get("/parquet", summary="Apps or entities of a report as Parquet", response_class=Response)
async def get_parquet(
    request: Request,
    services: Here,
    engine: Engine,
    who: Reader,
    report: Chosen,
    table: Literal["apps", "user", "ip", "device", "resource"] = "apps",
) -> Response:
    """The whole list, zstd-compressed."""
    parquet = import_module("casb.store.discovery_tables").parquet
    content = await run_in_threadpool(parquet, engine.reports, report.span, table)
    await note(request, services, who.name, f"exported discovered {table} as Parquet", stream=report.span.stream)
    headers = {"Content-Disposition": f'attachment; filename="discovered-{table}.parquet"'}
    return Response(content, media_type="application/vnd.apache.parquet", headers=headers)


async def _pdf(request: Request, services: Services, engine: Any, who: str, report: Report, name: str) -> Response:
    # Here, for both come with the extra `discovery`, which a sidecar need not have.
    draw = import_module("casb.sidecar.executive_pdf").draw
    executive = import_module("casb.store.discovery_executive").executive
    content = await run_in_threadpool(
        lambda: draw(executive(engine.reports, report.span, services.clock(), name[:100]))
    )
    await note(request, services, who, "made an executive report", stream=report.span.stream, days=report.days)
    file = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "executive-report"
    headers = {"Content-Disposition": f'attachment; filename="{file}.pdf"'}
    return Response(content, media_type="application/pdf", headers=headers)
