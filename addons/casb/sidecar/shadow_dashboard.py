"""The dashboard of Cloud Discovery, and the board of numbers that it shows."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from casb.catalog.factors import CATEGORIES
from casb.discovery.streams import WINDOWS
from casb.errors import StoreError
from casb.sidecar.auth import Person, person
from casb.sidecar.bearer import Here
from casb.sidecar.pages import size
from casb.sidecar.plots import bars, donut, line
from casb.sidecar.services import Services
from casb.sidecar.shadow import PAGE, Chosen, Engine, discovery_page

router = APIRouter(prefix="/discovery", include_in_schema=False, dependencies=[Depends(person)])

METRICS = {"traffic": "total", "users": "users", "transactions": "events"}
"""What charts can be drawn by, and the sum that it is."""
WHO = {"user": "Users", "ip": "IP addresses", "device": "Devices"}
STANDINGS = ("sanctioned", "unsanctioned", "other")
RISKS = ("high", "medium", "low", "unscored")
TOP = 10
SHOWN_CATEGORIES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The numbers of one report."""

    counters: dict[str, Any]
    trend: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    apps: list[Any]
    tops: dict[tuple[str, str], list[dict[str, Any]]]
    insights: dict[str, int]
    made: datetime


def board(services: Services, engine: Any, span: Any) -> Board:
    """The board of a span; see `Kept` for how old it may be."""

    def make() -> Board:
        reports = engine.reports
        return Board(
            counters=reports.counters(span),
            trend=reports.trend(span),
            categories=reports.categories(span),
            apps=reports.apps(span),
            tops={
                (who, by): reports.entities(span, who, by=by, limit=PAGE).rows
                for who in WHO
                for by in ("total", "events")
            },
            insights=reports.insights(span),
            made=services.clock(),
        )

    may = tuple(each.id for each in engine.book.segments(span.streams, span.since, span.until))
    return services.kept.get(("board", span), engine.known().version, may, make)


@router.get("")
def dashboard(
    request: Request,
    services: Here,
    engine: Engine,
    who: Person,
    report: Chosen,
    by: str = "traffic",
    top: str = "user",
    category: str = "",
) -> Response:
    by = by if by in METRICS else "traffic"
    top = top if top in WHO else "user"
    category = category if category in CATEGORIES else ""
    found = board(services, engine, report.span)
    column = METRICS[by]
    listed = [each for each in found.apps if not category or each.facts.category == category]
    risks = Counter[str]()
    for each in listed:
        risks[each.facts.risk] += 1
    countries = Counter(each.facts.headquarters or "" for each in found.apps)
    return discovery_page(
        request,
        "shadow_dashboard.html",
        "",
        report=report,
        board=found,
        by=by,
        by_word={"traffic": "traffic", "users": "users", "transactions": "transactions"}[by],
        metrics=METRICS,
        top=top,
        who_words=WHO,
        category=category,
        tiles=_tiles(found),
        plot=line([(row["day"], row["total"]) for row in found.trend]),
        bars=_categories(found, column),
        slices=donut([(risk, risks[risk]) for risk in RISKS]),
        risk_total=len(listed),
        apps=sorted(listed, key=lambda each: -getattr(each, column))[:15],
        column=column,
        entities=found.tops[(top, column if column != "users" else "total")][:TOP],
        entity_column=column if column != "users" else "total",
        countries=bars([(place, {"other": count}) for place, count in countries.most_common(9) if place]),
        unplaced=countries[""],
        alerts=services.alerts.query(state="open", kind="discovery", limit=6),
        open_counts=services.alerts.open_counts(),
    )


def _tiles(found: Board) -> list[dict[str, Any]]:
    """Name, value, value before and where it leads."""
    rows = (
        ("Apps", "apps", "apps", False),
        ("Users", "users", "users", False),
        ("IP addresses", "ips", "ips", False),
        ("Devices", "devices", "devices", False),
        ("Uploaded", "up", "apps", True),
        ("Downloaded", "down", "apps", True),
        ("Transactions", "events", "apps", False),
    )
    tiles = []
    for label, name, tab, is_size in rows:
        now, before = found.counters[name]["value"], found.counters[name]["before"]
        change = round(100 * (now - before) / before) if before else None
        tiles.append({"label": label, "value": now, "change": change, "tab": tab, "size": is_size, "before": before})
    return tiles


def _categories(found: Board, column: str) -> Any:
    ordered = sorted(found.categories, key=lambda row: -row[column])[:SHOWN_CATEGORIES]
    rows = []
    for row in ordered:
        parts = row["standings"]
        rows.append((row["name"], {kind: parts[kind][column] for kind in STANDINGS if kind in parts}))
    return bars(rows)


def keep_ready(services: Services, over: threading.Event, every: float = 300.0) -> None:
    """Have the boards of the Global report made before somebody asks for them."""
    engine = services.discovery
    while engine is not None:
        for days in WINDOWS:
            if over.is_set():
                return
            try:
                board(services, engine, engine.reports.span(days=days))
            except StoreError:
                break  # told by whoever asks next
        over.wait(every)
        if over.is_set():
            return


def told(value: float, column: str) -> str:
    """A value of a column as people read it."""
    return size(value) if column in ("total", "up", "down") else f"{value:,.0f}"
