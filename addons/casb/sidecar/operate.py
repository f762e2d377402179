"""What operators and browsers fetch without signing in: health, metrics, the PAC file."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import PlainTextResponse, Response

from casb.catalog.inventory import Inventory, tag_list
from casb.catalog.tagging import TagList
from casb.errors import StoreError
from casb.sidecar import metrics, pac
from casb.sidecar.bearer import Here
from casb.sidecar.services import Services

router = APIRouter(tags=["operate"])


@router.get("/healthz", summary="Live")
def healthz() -> dict[str, Any]:
    """The process answers."""
    return {"ok": True}


@router.get("/readyz", summary="Can serve")
def readyz(services: Here) -> JSONResponse:
    """200 when records can be kept and searched, else 503 and what is missing."""
    missing = []
    try:
        services.records.total()
        services.portal.probe(services.clock())
    except StoreError as error:
        missing.append(f"store: {error.message}")
    view = services.deployment.view()
    # A broken edit is shown, and does not make the log unavailable: the proxy still has the last good version.
    notes = [f"{len(view.errors)} errors in the configuration; see casb check"] if view.errors else []
    return JSONResponse({"ok": not missing, "missing": missing, "notes": notes}, 503 if missing else 200)


@router.get("/metrics", summary="Prometheus metrics", response_class=PlainTextResponse)
def get_metrics(services: Here) -> Response:
    """Prometheus text format."""
    text = metrics.exposition(
        services.counters,
        stored=services.records.total(),
        view=services.deployment.view(),
        proxies=services.portal.statuses(),
        now=services.clock(),
    )
    return Response(text, media_type=metrics.MEDIA_TYPE)


def _tags(request: Request, services: Services) -> TagList | None:
    """The tags in force, kept while the catalog stays: anybody may ask for the PAC file, again and again."""
    if services.catalog is None:
        return None
    inventory = services.catalog.inventory()
    kept: tuple[Inventory, TagList] | None = getattr(request.app.state, "pac_tags", None)
    if kept is None or kept[0] is not inventory:
        kept = request.app.state.pac_tags = (inventory, tag_list(inventory))
    return kept[1]


@router.get("/proxy.pac", summary="Proxy auto-configuration", response_class=PlainTextResponse)
def get_pac(request: Request, services: Here) -> Response:
    """For the forward mode: point browsers at this address."""
    host = urlsplit(f"//{request.headers['host']}").hostname or "127.0.0.1"
    text = pac.pac_file(services.settings, services.deployment.view().apps, host=host, tags=_tags(request, services))
    return Response(text, media_type=pac.MEDIA_TYPE, headers={"Cache-Control": "max-age=60"})
