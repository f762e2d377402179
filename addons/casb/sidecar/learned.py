"""Hosts that pages of controlled apps asked for and that no app owns: the list, its export, the way to attach one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from casb.catalog.match import Catalog
from casb.errors import CasbError, Problems
from casb.sidecar.auth import Admin, AdminForm, Person, client_ip
from casb.sidecar.bearer import Here
from casb.sidecar.pages import page
from casb.sidecar.services import Services
from casb.store.attach import Attached, attach
from casb.store.learned_sqlite import LearnedHost, LearnedHosts, learned_csv

router = APIRouter(prefix="/learned", include_in_schema=False)


@router.get("")
def learned(request: Request, services: Here, who: Person) -> Response:
    return _page(request, services)


@router.get("/export.csv")
def export(services: Here, who: Person) -> Response:
    text = learned_csv(each.as_json() for each in unowned(services))
    headers = {"Content-Disposition": 'attachment; filename="learned-hosts.csv"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


@router.post("/attach")
async def attach_host(request: Request, services: Here, who: Admin, form: AdminForm) -> Response:
    ip = client_ip(request, services.settings)

    def write_down(done: Attached) -> None:
        detail = {"host": done.domain, "app": done.app, "file": done.file}
        services.portal.note(who.name, ip, "host attached", services.clock(), **detail)

    def work() -> str:
        try:
            attach(Path(services.settings.folder), form.get("host", ""), form.get("app", ""), write_down)
        except (CasbError, Problems, OSError) as error:
            return str(error)
        return ""

    problem = await run_in_threadpool(work)
    if problem:
        return await run_in_threadpool(_page, request, services, problem, 409)
    return RedirectResponse("/learned", 303)


def unowned(services: Services) -> list[LearnedHost]:
    """What was learned and belongs to no app of the present configuration."""
    catalog = Catalog(services.deployment.view().apps)
    return [each for each in LearnedHosts(services.settings.data).all() if catalog.match(each.host) is None]


def _page(request: Request, services: Services, problem: str = "", status: int = 200) -> Response:
    apps = services.deployment.view().apps
    names = {app.id: app.name for app in apps}
    values: dict[str, Any] = {
        "lines": unowned(services),
        "names": names,
        "modes": [(app.name, app.unknown_hosts) for app in apps if app.controlled],
    }
    return page(request, "learned.html", status=status, problem=problem, **values)
