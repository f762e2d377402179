"""Discovered apps with their filters, and the lists and pages of users, addresses, devices and resources."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.responses import RedirectResponse, Response

from casb.catalog.factors import CATEGORIES, FACTORS, Family, Kind
from casb.catalog.filters import family_factors
from casb.discovery.export import APP_COLUMNS, plain_app
from casb.discovery.query import DAYS, FACTOR, NUMBERS, SORTS, WORDS, AppUsage, conditions, select, sort
from casb.discovery.suggested import SUGGESTED
from casb.sidecar.auth import Admin, AdminForm, Person, note, person
from casb.sidecar.bearer import Here
from casb.sidecar.discovery_api import csv_answer
from casb.sidecar.plots import line
from casb.sidecar.services import Services
from casb.sidecar.shadow import ENTITY, PAGE, Chosen, Engine, Report, back, discovery_page, with_query

router = APIRouter(prefix="/discovery", include_in_schema=False, dependencies=[Depends(person)])

COLUMNS = (
    ("name", "App"), ("score", "Score"), ("tag", "Tags"), ("traffic", "Traffic"), ("uploaded", "Uploaded"),
    ("transactions", "Transactions"), ("users", "Users"), ("ips", "IP addresses"), ("devices", "Devices"),
    ("last_seen", "Last seen"),
)  # fmt: skip
FIELDS = {
    **{name: name.replace("_", " ") for name in (*WORDS, *NUMBERS, *DAYS)},
    **{f"{FACTOR}{name}": factor.name for name, factor in FACTORS.items()},
}
"""Fields of an advanced row and how people call them."""
OPERATOR_WORDS = {
    "equals": "equals", "not_equals": "does not equal", "contains": "contains", "not_contains": "does not contain",
    "gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most", "between": "between",
    "at_least": "at least (rank)", "below": "below (rank)", "known": "is known", "unknown": "is unknown",
}  # fmt: skip
ENTITY_SORTS = ("name", "apps", "events", "blocked", "up", "down", "total", "last")
WORDS_OF = {"users": "user", "ips": "IP address", "devices": "device"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What the filters of the page say. `rows` are those without the category, which the tree chooses."""

    rows: list[dict[str, Any]]
    advanced: list[tuple[str, str, str]]
    category: str
    query: str
    problem: str = ""

    @property
    def every(self) -> list[dict[str, Any]]:
        """All rows, the category among them."""
        chosen = [{"field": "category", "op": "equals", "values": [self.category]}] if self.category else []
        return [*self.rows, *chosen]


def search_of(params: QueryParams) -> Search:
    """The filters in a query. What is empty is no filter."""
    rows: list[dict[str, Any]] = []
    if text := params.get("app", "").strip()[:200]:
        rows.append({"field": "app", "op": "contains", "values": [text]})
    if tag := params.get("tag", ""):
        rows.append({"field": "tag", "op": "equals", "values": [tag[:60]]})
    if risk := params.get("risk", ""):
        rows.append({"field": "risk", "op": "equals", "values": [risk[:20]]})
    if country := params.get("country", ""):
        rows.append({"field": "headquarters", "op": "equals", "values": [country[:2]]})
    low, high = params.get("low", ""), params.get("high", "")
    if low and low != "0":
        rows.append({"field": "score", "op": "ge", "values": [low]})
    if high and high != "10":
        rows.append({"field": "score", "op": "le", "values": [high]})
    for family in ("compliance", "security"):
        if factor := params.get(family, ""):
            wanted = params.get(f"{family}_is", "true")
            op = "equals" if wanted == "true" else "not_equals"
            rows.append({"field": f"{FACTOR}{factor}", "op": op, "values": ["true"]})
    given = zip(params.getlist("f")[:20], params.getlist("o")[:20], params.getlist("v")[:20], strict=False)
    advanced = [(field, op, text.strip()[:500]) for field, op, text in given if field]
    for field, op, text in advanced:
        values = [] if op in ("known", "unknown") else [each.strip() for each in text.split(",") if each.strip()]
        rows.append({"field": field, "op": op, "values": values})
    category = params.get("category", "")
    return Search(
        rows=rows,
        advanced=advanced,
        category=category if category in CATEGORIES else "",
        query=params.get("query", "")[:100],
    )


def found_apps(engine: Any, span: Any, search: Search) -> tuple[list[AppUsage], Counter[str], str]:
    """The apps of a search, how many each category would have, and what is wrong with the search."""
    reports = engine.reports
    every = reports.apps(span)
    problem = ""
    try:
        rows = conditions(search.rows, reports.scales)
        saved = engine.book.queries()
        if search.query in SUGGESTED:
            sets = SUGGESTED[search.query].rows
            kept = {each.facts.id for each in (app for one in sets for app in select(every, one, reports.scales))}
            every = [each for each in every if each.facts.id in kept]
        elif search.query in saved:
            rows = (*rows, *conditions(saved[search.query], reports.scales))
        elif search.query:
            problem = f"There is no query {search.query!r}."
        every = select(every, rows, reports.scales)
    except ValueError as error:
        every, problem = [], str(error)
    totals = Counter(each.facts.category for each in every)
    if search.category:
        every = [each for each in every if each.facts.category == search.category]
    return every, totals, problem


@router.get("/apps")
def apps(request: Request, services: Here, engine: Engine, who: Person, report: Chosen, page: int = 1) -> Response:
    search = search_of(request.query_params)
    listed, totals, problem = found_apps(engine, report.span, search)
    by, order = _sorting(request, SORTS, "traffic")
    listed = sort(listed, by, descending=order == "desc")
    pages = max(1, -(-len(listed) // PAGE))
    page = min(max(1, page), pages)
    return discovery_page(
        request,
        "shadow_apps.html",
        "apps",
        status=400 if problem else 200,
        report=report,
        apps=listed[(page - 1) * PAGE : page * PAGE],
        total=len(listed),
        totals=totals,
        whole=sum(totals.values()),
        search=search,
        problem=problem,
        given=request.query_params,
        columns=COLUMNS,
        sort=by,
        order=order,
        sort_link=_sort_link(request, by, order),
        page_link=lambda number: with_query(request) + f"&page={number}",
        category_link=lambda ident: with_query(request, category=ident or None),
        export=with_query(request),
        page=page,
        pages=pages,
        fields=FIELDS,
        operators=OPERATOR_WORDS,
        suggested=SUGGESTED,
        saved=sorted(engine.book.queries()),
        rows_json=json.dumps(search.every),
        factors={
            family.value: [each for each in family_factors(family) if each.kind is Kind.FLAG]
            for family in (Family.COMPLIANCE, Family.SECURITY)
        },
        custom_tags=_custom_tags(services),
        here=f"{request.url.path}?{with_query(request)}",
    )


@router.get("/apps/export")
async def export_apps(
    request: Request, services: Here, engine: Engine, who: Person, report: Chosen, format: Literal["csv"] = "csv"
) -> Response:
    """All apps that the filters leave, domains and custom tags included."""

    def found() -> list[dict[str, Any]]:
        by, order = _sorting(request, SORTS, "traffic")
        listed, _, problem = found_apps(engine, report.span, search_of(request.query_params))
        if problem:
            raise HTTPException(400, problem)
        return [plain_app(each) for each in sort(listed, by, descending=order == "desc")]

    rows = await run_in_threadpool(found)
    await note(request, services, who.name, "exported discovered apps", stream=report.span.stream, rows=len(rows))
    return csv_answer(rows, APP_COLUMNS, "discovered-apps")


@router.post("/queries")
async def save_query(request: Request, services: Here, engine: Engine, who: Admin, form: AdminForm) -> Response:
    name = form.get("name", "").strip()[:100]
    try:
        rows = conditions(json.loads(form.get("rows", "[]")), engine.reports.scales)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, str(error)) from error
    if not name or name in SUGGESTED:
        raise HTTPException(400, "A query needs a name of its own.")
    await note(request, services, who.name, "saved a discovery query", query=name)
    plain = [each.as_plain() for each in rows]
    await run_in_threadpool(engine.book.save_query, name, plain, who.name, services.clock())
    return RedirectResponse(f"/discovery/apps?{urlencode({'query': name})}", 303)


@router.post("/queries/delete")
async def delete_query(request: Request, services: Here, engine: Engine, who: Admin, form: AdminForm) -> Response:
    name = form.get("name", "")[:100]
    if await run_in_threadpool(engine.book.drop_query, name):
        await note(request, services, who.name, "deleted a discovery query", query=name)
    return RedirectResponse(back(form, "/discovery/apps"), 303)


# Users, addresses, devices


@router.get("/resources")
def resources(
    request: Request, services: Here, engine: Engine, who: Person, report: Chosen, app: str = "", search: str = ""
) -> Response:
    every = engine.reports.resources(report.span)
    kind = request.query_params.get("kind", "")
    listed = [
        row
        for row in every
        if (not app or row["app"] == app)
        and (not kind or row["kind"] == kind)
        and search.casefold() in row["name"].casefold()
    ]
    return discovery_page(
        request,
        "shadow_resources.html",
        "resources",
        report=report,
        rows=listed[:500],
        total=len(listed),
        apps=sorted({(row["app"], row["app_name"]) for row in every}, key=lambda each: each[1].casefold()),
        kinds=sorted({row["kind"] for row in every}),
        app=app,
        kind=kind,
        search=search,
    )


type Which = Literal["users", "ips", "devices"]


@router.get("/{which}")
def entities(
    request: Request,
    services: Here,
    engine: Engine,
    who: Person,
    report: Chosen,
    which: Which,
    search: str = "",
    page: int = 1,
) -> Response:
    by, order = _sorting(request, ENTITY_SORTS, "total")
    page = min(max(1, page), 10**6)

    def ask() -> Any:
        return engine.reports.entities(
            report.span, ENTITY[which], search=search, by=by, descending=order == "desc", skip=(page - 1) * PAGE,
            limit=PAGE,
        )  # fmt: skip

    found = services.kept.get(("list", report.span, which, search, by, order, page), 0, _stamp(engine, report), ask)
    return discovery_page(
        request,
        "shadow_entities.html",
        which,
        report=report,
        rows=found.rows,
        total=found.total,
        which=which,
        word=WORDS_OF[which],
        search=search,
        sort=by,
        order=order,
        sort_link=_sort_link(request, by, order),
        page_link=lambda number: with_query(request) + f"&page={number}",
        page=page,
        pages=max(1, -(-found.total // PAGE)),
        title=dict((("users", "Users"), ("ips", "IP addresses"), ("devices", "Devices")))[which],
        anonymous=any(str(row["name"]).startswith("anon-") for row in found.rows),
        export=urlencode(
            {"stream": report.span.stream, "days": report.days, "search": search, "sort": by, "order": order}
        ),
    )


@router.get("/{which}/{name:path}")
def entity(
    request: Request, services: Here, engine: Engine, who: Person, report: Chosen, which: Which, name: str
) -> Response:
    """One user, address or device: its apps, trend, what else was seen with it, and what was reached when."""
    key = ENTITY[which]
    found = services.kept.get(
        ("entity", report.span, which, name),
        engine.known().version,
        _stamp(engine, report),
        lambda: engine.reports.entity(report.span, key, name),
    )
    if not found["totals"]["events"]:
        raise HTTPException(404, "Nobody of this name was seen in this report and period.")
    risky = [each for each in found["apps"] if each.facts.risk == "high"]
    return discovery_page(
        request,
        "shadow_entity.html",
        which,
        report=report,
        found=found,
        which=which,
        word=WORDS_OF[which],
        risky=risky,
        plot=line([(row["day"], row["total"]) for row in found["trend"]]),
        others=[each for each in ("users", "ips", "devices") if each != which],
        labels={"users": "Users", "ips": "IP addresses", "devices": "Devices"},
        days=[row for row in reversed(found["trend"]) if row["events"]],
    )


def _stamp(engine: Any, report: Report) -> tuple[str, ...]:
    span = report.span
    return tuple(each.id for each in engine.book.segments(span.streams, span.since, span.until))


def _custom_tags(services: Services) -> list[str]:
    return sorted(services.catalog.store.local().tags) if services.catalog else []


def _sorting(request: Request, columns: Any, default: str) -> tuple[str, str]:
    by, order = request.query_params.get("sort", default), request.query_params.get("order", "desc")
    return by if by in columns else default, order if order in ("asc", "desc") else "desc"


def _sort_link(request: Request, by: str, order: str) -> Callable[[str], str]:
    def link(column: str) -> str:
        turned = "asc" if (column == by and order == "desc") else "desc"
        if column != by and column == "name":
            turned = "asc"
        return with_query(request, sort=column, order=turned)

    return link
