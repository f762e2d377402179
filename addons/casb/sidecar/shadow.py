"""What the pages of Cloud Discovery share: which report is looked at, its tabs, and the catalog behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, HTTPException, Request
from starlette.responses import Response

from casb.catalog.factors import CATEGORIES
from casb.discovery.streams import GLOBAL, WINDOWS, Kind
from casb.sidecar.auth import Who, client_ip, safe_path
from casb.sidecar.bearer import Here
from casb.sidecar.pages import page
from casb.sidecar.services import Services
from casb.store.app_catalog import AppCatalog
from casb.store.catalog_sqlite import Actor

TABS = (
    ("", "Dashboard"),
    ("apps", "Discovered apps"),
    ("users", "Users"),
    ("ips", "IP addresses"),
    ("devices", "Devices"),
    ("resources", "Resources"),
)
SETTINGS = (
    ("snapshots", "Snapshot reports"),
    ("sources", "Data sources"),
    ("tasks", "Tasks"),
    ("exclusions", "Exclusions"),
    ("names", "Resolve names"),
    ("data", "Delete data"),
)
CATALOG_TABS = (
    ("", "Apps"),
    ("custom", "Custom apps"),
    ("tags", "App tags"),
    ("suggestions", "Suggestions"),
    ("import", "Import"),
    ("metrics", "Score metrics"),
)
ENTITY = {"users": "user", "ips": "ip", "devices": "device"}
"""A tab to the entity it lists."""
PAGE = 50


def engine(services: Here) -> Any:
    """The discovery of this deployment; 501 where its extra is not installed."""
    if services.discovery is None:
        raise HTTPException(501, "Discovery is not installed here: install casb[discovery].")
    return services.discovery


def catalog(services: Here) -> AppCatalog:
    """The app catalog; 501 where the sidecar was started without."""
    if services.catalog is None:
        raise HTTPException(501, "This sidecar was started without the app catalog.")
    return services.catalog


Engine = Annotated[Any, Depends(engine)]
Catalog = Annotated[AppCatalog, Depends(catalog)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A stream or Global, and how many days of it. `query` is that as the query of links."""

    span: Any
    stream: Any
    streams: list[Any]
    days: int

    @property
    def query(self) -> str:
        return urlencode({"stream": self.span.stream, "days": self.days})

    @property
    def has_devices(self) -> bool:
        """Only endpoints tell devices; other streams may, too, so that nothing is hidden."""
        return bool(self.stream.kind is Kind.ENDPOINT)


def report(engine: Engine, stream: str = GLOBAL, days: int = 30) -> Report:
    """Which report the query means. Raises `StoreError` D031, D032."""
    span = engine.reports.span(stream, days)
    streams = engine.reports.streams()
    chosen = next(each for each in streams if each.id == span.stream)
    return Report(span=span, stream=chosen, streams=streams, days=days)


Chosen = Annotated[Report, Depends(report)]


def discovery_page(request: Request, template: str, tab: str, *, status: int = 200, **values: Any) -> Response:
    """A page of Cloud Discovery; `tab` is the one that is open."""
    known = {"categories": CATEGORIES, "windows": WINDOWS, "tabs": TABS, "settings_tabs": SETTINGS, "tab": tab}
    return page(request, template, status=status, **known, **values)


def catalog_page(request: Request, template: str, tab: str, *, status: int = 200, **values: Any) -> Response:
    """A page of the catalog."""
    return page(request, template, status=status, categories=CATEGORIES, tabs=CATALOG_TABS, tab=tab, **values)


def actor(request: Request, services: Services, who: Who) -> Actor:
    """Who changes the catalog, as its audit lines name them."""
    return Actor(who=who.name, ip=client_ip(request, services.settings))


def back(form: dict[str, str], otherwise: str) -> str:
    """Where a form wants to return to: a path of ours."""
    path = safe_path(form.get("next"))
    return otherwise if path == "/" else path


def with_query(request: Request, **changes: str | None) -> str:
    """The present query with some parameters changed, None for without; the page number always goes."""
    gone = {*changes, "page"}
    pairs = [(name, value) for name, value in request.query_params.multi_items() if name not in gone and value]
    return urlencode([*pairs, *((name, value) for name, value in changes.items() if value is not None)])
