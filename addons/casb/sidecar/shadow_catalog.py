"""The cloud app catalog: the list with its filters, custom apps, tags, suggestions, import, and how scores are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.responses import RedirectResponse, Response, StreamingResponse

from casb.catalog.custom import PLATFORMS
from casb.catalog.exporting import to_csv, to_json, to_yaml
from casb.catalog.factors import CATEGORIES, Family
from casb.catalog.filters import (
    AT_LEAST,
    AT_MOST,
    CONTAINS,
    EQUALS,
    NOT_EQUALS,
    SUGGESTED,
    Condition,
    category_totals,
    family_factors,
    insights,
    select,
)
from casb.catalog.importing import What, describe, plan
from casb.catalog.inventory import Entry, Inventory
from casb.catalog.metrics import DEFAULTS, SCORED, Bands, Importance, Metrics, Weight
from casb.catalog.tables import form_of, read_rows
from casb.errors import CatalogError, Problems
from casb.model.record import rfc3339
from casb.sidecar.auth import Admin, AdminForm, Person, PersonForm, note, person
from casb.sidecar.bearer import Here
from casb.sidecar.shadow import PAGE, Catalog, actor, catalog_page, with_query
from casb.store.app_catalog import STATES, AppCatalog
from casb.store.catalog_sqlite import Actor

router = APIRouter(prefix="/catalog", include_in_schema=False, dependencies=[Depends(person)])

IMPORT = "/catalog/import"
IMPORT_BYTES = 4 * 1024 * 1024
SORTS = ("name", "score", "category", "vendor")
OPERATORS = {
    EQUALS: "equals", NOT_EQUALS: "does not equal", CONTAINS: "contains", AT_LEAST: "at least", AT_MOST: "at most",
}  # fmt: skip
FAMILY_FIELDS = (Family.GENERAL, Family.SECURITY, Family.COMPLIANCE, Family.LEGAL)


def rows_of(params: QueryParams) -> list[Condition]:
    """The filters in a query, without the category; what is empty is none."""
    rows: list[Condition] = []

    def add(field: str, operator: str, *values: str) -> None:
        rows.append(Condition(field=field, operator=operator, values=values))

    if text := params.get("app", "").strip()[:200]:
        add("app_or_domain", CONTAINS, text.casefold())
    if tag := params.get("tag", ""):
        add("tag", EQUALS, tag[:60])
    if risk := params.get("risk", ""):
        add("risk", EQUALS, risk[:20])
    low, high = params.get("low") or "0", params.get("high") or "10"
    if (low, high) != ("0", "10"):
        add("score", EQUALS, f"{low[:4]}-{high[:4]}")
    given = zip(params.getlist("f")[:20], params.getlist("o")[:20], params.getlist("v")[:20], strict=False)
    for field, operator, text in given:
        values = [each.strip() for each in text.split(",") if each.strip()]
        if field and values:
            add(field[:80], operator, *(each.casefold() for each in values[:50]))
    for query in SUGGESTED:
        if query.id == params.get("query"):
            rows += query.conditions
    return rows


@router.get("")
def apps(request: Request, services: Here, known: Catalog, who: Person, page: int = 1) -> Response:
    params = request.query_params
    inventory = known.inventory()
    problem = ""
    try:
        found = select(inventory, rows_of(params))
    except CatalogError as error:
        found, problem = [], str(error)
    totals = category_totals(found)
    whole = len(found)
    category = params.get("category", "")
    if category in CATEGORIES:
        found = [each for each in found if category in each.categories]
    by, order = params.get("sort", "name"), params.get("order", "asc")
    by, order = by if by in SORTS else "name", order if order in ("asc", "desc") else "asc"
    found = _sorted(found, by, descending=order == "desc")
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(1, page), pages)
    given = list(zip(params.getlist("f")[:20], params.getlist("o")[:20], params.getlist("v")[:20], strict=False))
    return catalog_page(
        request,
        "catalog_apps.html",
        "",
        status=400 if problem else 200,
        problem=problem,
        entries=found[(page - 1) * PAGE : page * PAGE],
        band=lambda each: inventory.band(each).value,
        total=len(found),
        whole=whole,
        totals=totals,
        category=category,
        given=params,
        advanced=[row for row in given if row[0]],
        fields=_fields(),
        operators=OPERATORS,
        suggested=SUGGESTED,
        families=list(Family),
        sort=by,
        order=order,
        sort_link=lambda column: with_query(
            request, sort=column, order="desc" if column == by and order == "asc" else "asc"
        ),
        page_link=lambda number: with_query(request) + f"&page={number}",
        category_link=lambda ident: with_query(request, category=ident or None),
        export=with_query(request),
        page=page,
        pages=pages,
        version=inventory.known_version,
        insights=insights(inventory),
        custom_tags=sorted(known.store.local().tags),
        here=f"/catalog?{with_query(request)}",
    )


def _fields() -> dict[str, str]:
    named = {"category": "category", "domain": "domain", "app": "app", "tag": "tag", "score": "score", "risk": "risk"}
    return named | {f"factor:{each.id}": each.name for family in FAMILY_FIELDS for each in family_factors(family)}


def _sorted(found: list[Entry], by: str, *, descending: bool) -> list[Entry]:
    keys = {
        "name": lambda each: each.app.name.casefold(),
        "score": lambda each: -1 if each.score is None else each.score,
        "category": lambda each: CATEGORIES.get(each.app.category, ""),
        "vendor": lambda each: each.app.vendor.casefold(),
    }
    named = sorted(found, key=keys["name"])
    return sorted(named, key=keys[by], reverse=descending)


@router.get("/export")
async def export(request: Request, services: Here, known: Catalog, who: Person, format: str = "csv") -> Response:
    """The apps that the filters leave, in a form that import reads again."""
    writers = {"csv": (to_csv, "text/csv"), "json": (to_json, "application/json"), "yaml": (to_yaml, "text/yaml")}
    if format not in writers:
        raise HTTPException(400, "There are csv, json and yaml.")
    found = await run_in_threadpool(lambda: select(known.inventory(), rows_of(request.query_params)))
    category = request.query_params.get("category", "")
    found = [each for each in found if not category or category in each.categories]
    await note(request, services, who.name, "exported the app catalog", rows=len(found), format=format)
    write, kind = writers[format]
    headers = {"Content-Disposition": f'attachment; filename="app-catalog.{format}"'}
    return StreamingResponse(write(found), media_type=f"{kind}; charset=utf-8", headers=headers)


# Custom apps


@router.get("/custom")
def custom(request: Request, known: Catalog, who: Person, edit: str = "") -> Response:
    inventory = known.inventory()
    entry = known.entry(edit) if edit else None
    return catalog_page(
        request,
        "catalog_custom.html",
        "custom",
        entries=[each for each in inventory if each.app.custom],
        band=lambda each: inventory.band(each).value,
        entry=entry if entry and entry.app.custom else None,
        platforms=PLATFORMS,
    )


@router.post("/custom")
async def save_custom(request: Request, services: Here, known: Catalog, who: Admin, form: AdminForm) -> Response:
    values: dict[str, Any] = {
        name: form[name].strip()
        for name in ("name", "about", "vendor", "category", "hosting_platform", "business_unit")
        if form.get(name, "").strip()
    }
    values |= {name: form.get(name, "").split() for name in ("domains", "addresses")}
    if score := form.get("score", "").strip():
        values["score"] = int(score) if score.isascii() and score.isdigit() and len(score) < 3 else -1
    ident, by, take = form.get("id") or None, actor(request, services, who), form.get("take_over") == "yes"
    entry = await run_in_threadpool(lambda: known.save_custom(values, by, ident=ident, take_over=take))
    return RedirectResponse(f"/catalog/apps/{entry.id}", 303)


@router.post("/custom/delete")
async def delete_custom(request: Request, services: Here, known: Catalog, who: Admin, form: AdminForm) -> Response:
    await run_in_threadpool(known.delete_added, form.get("id", ""), actor(request, services, who))
    return RedirectResponse("/catalog/custom", 303)


# Tags


@router.get("/tags")
def tags(request: Request, known: Catalog, who: Person) -> Response:
    local, inventory = known.store.local(), known.inventory()
    counts: dict[str, int] = {}
    for entry in inventory:
        for each in entry.tags:
            counts[each] = counts.get(each, 0) + 1
    return catalog_page(request, "catalog_tags.html", "tags", tags=local.tags, counts=counts)


@router.post("/tags")
async def make_tag(request: Request, services: Here, known: Catalog, who: Admin, form: AdminForm) -> Response:
    by = actor(request, services, who)
    await run_in_threadpool(known.create_tag, form.get("name", ""), by, form.get("about", ""))
    return RedirectResponse("/catalog/tags", 303)


@router.post("/tags/delete")
async def delete_tag(request: Request, services: Here, known: Catalog, who: Admin, form: AdminForm) -> Response:
    name, by, everywhere = form.get("name", ""), actor(request, services, who), form.get("everywhere") == "yes"
    await run_in_threadpool(lambda: known.delete_tag(name, by, everywhere=everywhere))
    return RedirectResponse("/catalog/tags", 303)


# Suggestions


@router.get("/suggestions")
def suggestions(request: Request, known: Catalog, who: Person, state: str = "") -> Response:
    chosen = state if state in STATES else None
    return catalog_page(
        request, "catalog_suggestions.html", "suggestions", queue=known.suggestions(chosen), states=STATES, state=state
    )


@router.post("/suggestions")
async def suggest_new(request: Request, services: Here, known: Catalog, who: Person, form: PersonForm) -> Response:
    """A new app; whoever may look may wish."""
    by = actor(request, services, who)
    name, domain, contact = form.get("name", ""), form.get("domain", ""), form.get("contact") == "yes"
    text = form.get("text", "")
    await run_in_threadpool(lambda: known.suggest("new_app", text, by, name=name, domain=domain, contact=contact))
    return RedirectResponse("/catalog/suggestions", 303)


@router.post("/suggestions/decide")
async def decide(request: Request, services: Here, known: Catalog, who: Admin, form: AdminForm) -> Response:
    number, by = form.get("seq", ""), actor(request, services, who)
    if not (number.isascii() and number.isdigit()):
        raise HTTPException(400, "There is no such suggestion.")
    state, reply = form.get("state", ""), form.get("answer", "")
    await run_in_threadpool(known.decide, int(number[:18]), state, by, reply)
    return RedirectResponse("/catalog/suggestions", 303)


# Import


@router.get("/import")
def import_form(request: Request, known: Catalog, who: Person) -> Response:
    return catalog_page(request, "catalog_import.html", "import", text="", file="apps.csv", what="apps", found=None)


@router.post("/import")
async def import_table(request: Request, services: Here, known: Catalog, who: Admin, form: AdminForm) -> Response:
    """First the diff of a table, then, with `do` of "carry out", the same once more for real."""
    text, file, kind = (
        form.get("text", ""),
        form.get("file", "apps.csv").strip()[:100] or "apps.csv",
        form.get("what", ""),
    )
    what, by = What(kind) if kind in What else What.APPS, actor(request, services, who)
    now = rfc3339(services.clock())

    def work() -> tuple[list[str], list[str], bool]:
        inventory, overlays = known.inventory(), known.store.local().overlays
        try:
            rows = read_rows(text.encode(), file, form_of(file))
            found = plan(rows, inventory, overlays, what, by=who.name, at=now)
        except CatalogError as error:
            return [str(error)], [], False
        except Problems as problems:
            return [str(each) for each in problems.errors], [], False
        lines = list(describe(found))
        if found.errors or form.get("do") != "carry out":
            return [str(each) for each in found.errors], lines, False
        known.carry_out(found, by, what=f"imported {what.value} from {file}")
        return [], lines, True

    errors, lines, done = await run_in_threadpool(work)
    result = {"errors": errors[:100], "lines": lines, "done": done}
    status = 422 if errors else 200
    return catalog_page(
        request, "catalog_import.html", "import", status=status, text=text, file=file, what=what.value, found=result
    )


# Score metrics


@router.get("/metrics")
def metrics(request: Request, known: Catalog, who: Person) -> Response:
    present = known.inventory().metrics
    return catalog_page(
        request,
        "catalog_metrics.html",
        "metrics",
        metrics=present,
        changed=present != DEFAULTS,
        families=[(family, [each for each in family_factors(family) if each.id in SCORED]) for family in Family],
        steps=list(Importance),
        tasks=known.tasks()[:10],
    )


@router.post("/metrics")
async def save_metrics(request: Request, services: Here, known: Catalog, who: Admin, form: AdminForm) -> Response:
    """New weights, or with `do` of "defaults" the shipped ones; scores all apps anew as an audited task."""
    by = actor(request, services, who)
    wanted = DEFAULTS if form.get("do") == "defaults" else _metrics(known.inventory(), form)
    await run_in_threadpool(_recalculate, known, by, wanted)
    return RedirectResponse("/catalog/metrics", 303)


def _recalculate(known: AppCatalog, by: Actor, wanted: Metrics) -> None:
    known.recalculate(by, wanted)


def _metrics(inventory: Inventory, form: Mapping[str, str]) -> Metrics:
    present = inventory.metrics

    def weight(name: str) -> Weight:
        try:
            importance = Importance(form.get(f"w.{name}", "medium"))
        except ValueError:
            raise HTTPException(400, f"There is no such importance for {name}.") from None
        return Weight(importance=importance, exclude_na=form.get(f"na.{name}") == "yes")

    try:
        low, medium = int(form.get("low", "8")), int(form.get("medium", "4"))
    except ValueError:
        raise HTTPException(400, "Risk bands begin at whole numbers.") from None
    if not 0 < medium < low <= 10:
        raise HTTPException(400, "Medium risk begins above 0 and below low risk, which begins at 10 at most.")
    factors = {name: weight(name) for name in SCORED}
    return replace(
        present,
        factors=MappingProxyType({name: each for name, each in factors.items() if each != Weight()}),
        families=MappingProxyType({family: weight(f"family.{family.value}") for family in Family}),
        bands=Bands(low=low, medium=medium),
    )
