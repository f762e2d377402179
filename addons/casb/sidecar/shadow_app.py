"""The page of one app: what it is, why it has its score, who uses it, and everything an admin may say of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from casb.catalog.factors import FACTORS, Kind
from casb.catalog.inventory import Entry, Inventory, alternatives
from casb.catalog.known import to_plain
from casb.catalog.score import Scorer
from casb.discovery.streams import GLOBAL, WINDOWS
from casb.model.app import AppTag
from casb.sidecar.auth import Admin, AdminForm, Person, PersonForm, listed, person
from casb.sidecar.bearer import Here
from casb.sidecar.plots import line
from casb.sidecar.services import Services
from casb.sidecar.shadow import Catalog, actor, back, catalog_page, report
from casb.store.app_catalog import AppCatalog
from casb.store.catalog_sqlite import Actor

router = APIRouter(prefix="/catalog", include_in_schema=False, dependencies=[Depends(person)])

VIEWS = (("overview", "Overview"), ("info", "Info"), ("usage", "Usage"), ("manage", "Manage"))
WANTED = ("soc_2", "iso_27001", "gdpr_readiness_statement", "saml", "multi_factor_authentication", "admin_audit_trail")
"""Factors that a replacement can be asked to have."""
KINDS = {"score_update": "Score update", "new_factor": "New risk factor", "update_data": "Update app data"}


@router.get("/apps/{ident}")
def app(
    request: Request,
    services: Here,
    known: Catalog,
    who: Person,
    ident: str,
    view: str = "overview",
    stream: str = GLOBAL,
    days: int = 30,
) -> Response:
    view = view if view in dict(VIEWS) else "overview"
    inventory = known.inventory()
    entry = known.entry(ident)
    wanted = [each for each in request.query_params.getlist("must") if each in FACTORS]
    values: dict[str, Any] = {
        "entry": entry,
        "band": inventory.band(entry).value,
        "bands": lambda each: inventory.band(each).value,
        "views": VIEWS,
        "view": view,
        "report": None,
        "usage": None,
        "windows": WINDOWS,
        "families": _families(inventory, entry),
        "text_of": _text_of(entry),
        "alternatives": alternatives(inventory, entry.id, lambda each: _meets(each, wanted), 8),
        "wanted": [(name, FACTORS[name].name) for name in WANTED],
        "must": wanted,
        "notes": known.notes(entry.id),
        "custom_tags": sorted(known.store.local().tags),
        "kinds": KINDS,
        "factors": FACTORS,
        "alerts": services.alerts.query(app=entry.id, state="open", limit=5),
        "path_of_app": f"/catalog/apps/{quote(entry.id)}",
    }
    if services.discovery is not None:
        values |= _usage(services, entry.id, stream, days, whole=view == "usage")
    return catalog_page(request, "shadow_app.html", "", **values)


def _usage(services: Services, ident: str, stream: str, days: int, *, whole: bool) -> dict[str, Any]:
    engine: Any = services.discovery
    chosen = report(engine, stream, days)
    span = chosen.span
    may = tuple(each.id for each in engine.book.segments(span.streams, span.since, span.until))
    found = {
        "report": chosen,
        "usage": next((each for each in engine.reports.apps(span) if each.facts.id == ident), None),
    }
    trend = services.kept.get(("app trend", span, ident), 0, may, lambda: engine.reports.trend(span, apps=[ident]))
    found["plots"] = {
        "Traffic by day": (line([(row["day"], row["total"]) for row in trend]), "size"),
        "Users by day": (line([(row["day"], row["users"]) for row in trend]), "count"),
    }
    if whole and found["usage"] is not None:
        found["lists"] = services.kept.get(
            ("app lists", span, ident),
            0,
            may,
            lambda: {
                f"{kind}s": engine.reports.entities(span, kind, apps=[ident]).rows
                for kind in ("user", "ip", "device", "resource")
            },
        )
    return found


def _families(inventory: Inventory, entry: Entry) -> Any:
    return Scorer(inventory.metrics, inventory.on).explain(entry.app).families


def _text_of(entry: Entry) -> Callable[[str], str]:
    """A factor's value as people read it."""

    def text(name: str) -> str:
        fact = entry.app.facts.get(name)
        if fact is None:
            return "unknown"
        value = to_plain(FACTORS[name], fact.value)
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, list):
            return ", ".join(str(each) for each in value)
        if isinstance(value, dict):
            return ", ".join(f"{part.replace('_', ' ')}: {'yes' if truth else 'no'}" for part, truth in value.items())
        return str(value).replace("_", " ") if FACTORS[name].kind is Kind.ENUM else str(value)

    return text


def _meets(entry: Entry, wanted: list[str]) -> bool:
    return all(entry.app.value(name) not in (None, False) for name in wanted)


# Changing


@router.post("/tag")
async def tag(request: Request, services: Here, known: Catalog, who: Admin, form: AdminForm) -> Response:
    """Tags some apps, all or none of them; from lists and from an app's own page."""
    apps, what, by = listed(request, "app"), form.get("do", ""), actor(request, services, who)
    if not apps:
        raise HTTPException(400, "Select at least one app first.")
    if what.startswith(("+", "-")):
        change = known.add_tags if what[0] == "+" else known.drop_tags
        await run_in_threadpool(change, apps, [what[1:]], by)
    elif what in AppTag:
        await run_in_threadpool(lambda: known.tag(apps, AppTag(what), by, why=form.get("why", "").strip()[:200]))
    else:
        raise HTTPException(400, "There is no such tag.")
    return RedirectResponse(back(form, "/catalog"), 303)


@router.post("/apps/{ident}/override")
async def override(
    request: Request, services: Here, known: Catalog, who: Admin, form: AdminForm, ident: str
) -> Response:
    text = form.get("score", "").strip()
    if text and not (text.isascii() and text.isdigit() and len(text) < 3):
        raise HTTPException(400, "A score is a whole number from 0 to 10.")
    score = int(text) if text else None
    by = actor(request, services, who)
    await run_in_threadpool(known.override, ident, score, form.get("note", ""), by)
    return _to(ident, "overview")


@router.post("/apps/{ident}/notes")
async def add_note(
    request: Request, services: Here, known: Catalog, who: Admin, form: AdminForm, ident: str
) -> Response:
    await run_in_threadpool(known.add_note, ident, form.get("text", ""), actor(request, services, who))
    return _to(ident, "overview")


@router.post("/apps/{ident}/notes/delete")
async def drop_note(
    request: Request, services: Here, known: Catalog, who: Admin, form: AdminForm, ident: str
) -> Response:
    number = form.get("seq", "")
    if number.isascii() and number.isdigit():
        await run_in_threadpool(known.delete_note, int(number[:18]), actor(request, services, who))
    return _to(ident, "overview")


@router.post("/apps/{ident}/edit")
async def edit(request: Request, services: Here, known: Catalog, who: Admin, form: AdminForm, ident: str) -> Response:
    """Details, as an overlay that upgrades of the catalog leave alone."""
    by = actor(request, services, who)
    await run_in_threadpool(_edit, known, ident, form, by)
    return _to(ident, "manage")


def _edit(known: AppCatalog, ident: str, form: dict[str, str], by: Actor) -> None:
    app = known.entry(ident).app
    changes: dict[str, Any] = {}
    for name in ("name", "vendor", "about", "category", "business_unit"):
        text = form.get(name, "").strip()
        if text and text != getattr(app, name):
            changes[name] = text
    domains = form.get("domains", "").split()
    if domains:
        wanted = {each.casefold() for each in domains}
        added = [each for each in domains if each.casefold() not in app.domains]
        removed = [each for each in app.domains if each not in wanted]
        overlay = known.store.local().overlays.get(app.id)
        earlier = (overlay.add_domains, overlay.remove_domains) if overlay else ((), ())
        if added or removed:
            changes["add_domains"] = [each for each in (*earlier[0], *added) if each not in removed]
            changes["remove_domains"] = [each for each in (*earlier[1], *removed) if each.casefold() not in wanted]
    if changes:
        known.edit(ident, changes, by, take_over=form.get("take_over") == "yes")


@router.post("/apps/{ident}/facts")
async def say(request: Request, services: Here, known: Catalog, who: Admin, form: AdminForm, ident: str) -> Response:
    """What is known better here of one factor; an empty value takes one's own word back."""
    factor, text, by = form.get("factor", ""), form.get("value", "").strip(), actor(request, services, who)
    if factor not in FACTORS:
        raise HTTPException(400, "There is no such factor.")

    def change() -> None:
        if not text:
            known.drop_fact(ident, factor, by)
        else:
            known.set_facts(ident, {factor: _raw(factor, text)}, by, evidence=form.get("evidence", "").strip()[:500])

    await run_in_threadpool(change)
    return _to(ident, "info")


def _raw(factor: str, text: str) -> Any:
    kind = FACTORS[factor].kind
    folded = text.casefold()
    if folded in ("n/a", "na"):
        return "n/a"
    if kind is Kind.FLAG and folded in ("yes", "true", "no", "false"):
        return folded in ("yes", "true")
    if kind in (Kind.YEAR, Kind.NUMBER) and text.isascii() and text.isdigit():
        return int(text[:9])
    if kind is Kind.LIST:
        return [each.strip() for each in text.split(",") if each.strip()]
    if kind is Kind.FLAGS:
        chosen = {each.strip() for each in folded.split(",")}
        return {part: part in chosen for part in FACTORS[factor].values}
    return text


@router.post("/apps/{ident}/suggest")
async def suggest(
    request: Request, services: Here, known: Catalog, who: Person, form: PersonForm, ident: str
) -> Response:
    """A wish for the catalog; whoever may look may wish."""
    by = actor(request, services, who)
    text, contact = form.get("text", ""), form.get("contact") == "yes"
    await run_in_threadpool(lambda: known.suggest(form.get("kind", ""), text, by, ident=ident, contact=contact))
    return RedirectResponse("/catalog/suggestions", 303)


def _to(ident: str, view: str) -> Response:
    return RedirectResponse(f"/catalog/apps/{quote(ident)}?{urlencode({'view': view})}", 303)
