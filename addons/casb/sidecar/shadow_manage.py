"""Cloud Discovery's settings: snapshot reports, data sources, tasks, exclusions, names behind pseudonyms, deletion."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from casb.codes_discovery import ROWS
from casb.discovery.exclude import ENTITIES, Exclusion
from casb.discovery.streams import Kind, filter_of
from casb.model.network import parse_network
from casb.sidecar.auth import Admin, AdminForm, Person, listed, note, person
from casb.sidecar.bearer import Here
from casb.sidecar.discovery_api import STREAMED, audit_of, person_of, upload_secret
from casb.sidecar.shadow import Engine, discovery_page

router = APIRouter(prefix="/discovery", include_in_schema=False, dependencies=[Depends(person)])

CONFIRM = "delete all discovery data"
MOST_FILES = 20
MEANING = {code: (meaning, cure) for code, meaning, _, cure, _ in ROWS}
"""Error classes of an upload: what they mean, and what to do."""


@router.get("/snapshots")
def snapshots(request: Request, engine: Engine, who: Person, source: str = "") -> Response:
    """The upload form with a sample of the chosen source's log, and the reports there are."""
    known = engine.parsers.parsers()
    chosen = known.get(source)
    reports = [each for each in engine.book.streams() if each.kind is Kind.SNAPSHOT]
    tasks = {each.stream: each for each in reversed(engine.tasks.latest(200))}
    return discovery_page(
        request,
        "shadow_snapshots.html",
        "snapshots",
        sources=sorted(known.values(), key=lambda each: each.title.casefold()),
        source=source,
        sample=chosen.sample if chosen else "",
        gives=sorted(chosen.gives) if chosen else [],
        reports=sorted(reports, key=lambda each: each.created, reverse=True),
        tasks=tasks,
        most=MOST_FILES,
        anonymize=engine.settings.discovery.anonymize_users,
        meaning=MEANING,
        place=STREAMED,
    )


@router.post("/snapshots")
async def make_snapshot(request: Request, services: Here, engine: Engine, who: Admin, form: AdminForm) -> Response:
    """A report of files that the page's script has put to their addresses."""
    addresses = listed(request, "upload")
    if not 0 < len(addresses) <= MOST_FILES:
        raise HTTPException(400, f"Choose 1 to {MOST_FILES} files; uploading them needs JavaScript, or the API.")
    name, source = form.get("name", "").strip()[:64], form.get("source", "")
    secrets = [upload_secret(each) for each in addresses]

    def make() -> None:
        files = [engine.uploads.find(each, services.clock()) for each in secrets]
        if any(each.size is None for each in files):
            raise HTTPException(409, "One of the files has not arrived.")
        engine.snapshot(
            name,
            [each.path for each in files],
            who.name,
            description=form.get("description", "")[:500],
            source=source or None,
            anonymize=form.get("anonymize") == "yes",
        )
        for each in secrets:
            engine.uploads.done(each)

    await note(request, services, who.name, "made a snapshot report", report=name, files=len(secrets))
    await run_in_threadpool(make)
    return RedirectResponse("/discovery/snapshots", 303)


@router.get("/sources")
def sources(request: Request, services: Here, engine: Engine, who: Person) -> Response:
    """Streams with their data, collectors with the health of each source, custom reports."""
    streams = engine.book.streams()
    ingests = engine.book.ingests(limit=200)
    last = {each.stream: each for each in reversed(ingests)}
    return discovery_page(
        request,
        "shadow_sources.html",
        "sources",
        streams=[each for each in streams if each.kind is not Kind.SNAPSHOT],
        inputs=[each for each in streams if each.kind in (Kind.INPUT, Kind.PROXY, Kind.ENDPOINT)],
        names={each.id: each.name for each in streams},
        last=last,
        configured=services.settings.discovery.sources,
        collectors=engine.book.collectors(),
        now=services.clock(),
    )


@router.post("/views")
async def make_view(request: Request, services: Here, engine: Engine, who: Admin, form: AdminForm) -> Response:
    """A custom continuous report; new data only."""
    name = form.get("name", "").strip()[:64]
    words = {key: [each.strip() for each in form.get(key, "").split(",") if each.strip()] for key in _LISTS}
    try:
        filters = filter_of({"sources": listed(request, "sources"), **words}, parse_network)
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    if not name:
        raise HTTPException(400, "A report needs a name.")
    await note(request, services, who.name, "made a custom discovery report", report=name)
    await run_in_threadpool(engine.create_view, name, filters, who.name, form.get("comment", "")[:500])
    return RedirectResponse("/discovery/sources", 303)


_LISTS = ("groups", "ip_tags", "networks")


@router.post("/streams/delete")
async def delete_stream(request: Request, services: Here, engine: Engine, who: Admin, form: AdminForm) -> Response:
    stream = await run_in_threadpool(engine.book.stream, form.get("id", ""))
    if stream is None:
        raise HTTPException(404, "There is no such stream.")
    if form.get("confirm", "").strip() != stream.name:
        raise HTTPException(400, "Type the name of the report to delete it with all its data.")
    await note(request, services, who.name, "deleted a discovery stream", stream=stream.name)
    await run_in_threadpool(engine.delete_stream, stream, who.name)
    return RedirectResponse("/discovery/snapshots" if stream.kind is Kind.SNAPSHOT else "/discovery/sources", 303)


@router.get("/tasks")
def tasks(request: Request, services: Here, engine: Engine, who: Person) -> Response:
    """The governance log: parsing, views, deletion, exports; recalculations of the catalog."""
    found = engine.tasks.latest(200)
    return discovery_page(
        request,
        "shadow_tasks.html",
        "tasks",
        tasks=found,
        names={each.id: each.name for each in engine.book.streams()},
        scoring=services.catalog.tasks()[:20] if services.catalog else [],
        meaning=MEANING,
        busy=any(each.status in ("queued", "running") for each in found),
    )


@router.post("/tasks/retry")
async def retry(request: Request, services: Here, engine: Engine, who: Admin, form: AdminForm) -> Response:
    ident = form.get("id", "")[:64]
    await note(request, services, who.name, "retried a discovery task", task=ident)
    await run_in_threadpool(engine.tasks.retry, ident)
    return RedirectResponse("/discovery/tasks", 303)


@router.get("/exclusions")
def exclusions(request: Request, engine: Engine, who: Person) -> Response:
    return discovery_page(
        request, "shadow_exclusions.html", "exclusions", entries=engine.book.exclusions(), entities=ENTITIES
    )


@router.post("/exclusions")
async def exclude(request: Request, services: Here, engine: Engine, who: Admin, form: AdminForm) -> Response:
    entity = form.get("entity", "")
    if entity not in ENTITIES:
        raise HTTPException(400, "There is nothing of this kind to exclude.")
    try:
        entry = Exclusion(
            entity=entity,
            value=form.get("value", "").strip()[:255],
            comment=form.get("comment", "").strip()[:500],
        )
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    await note(request, services, who.name, "excluded from discovery", entity=entry.entity, value=entry.value)
    await run_in_threadpool(engine.book.exclude, entry, who.name, services.clock())
    return RedirectResponse("/discovery/exclusions", 303)


@router.post("/exclusions/remove")
async def include(request: Request, services: Here, engine: Engine, who: Admin, form: AdminForm) -> Response:
    entity, value = form.get("entity", "")[:16], form.get("value", "")[:255]
    await note(request, services, who.name, "included in discovery again", entity=entity, value=value)
    await run_in_threadpool(engine.book.include, entity, value)
    return RedirectResponse("/discovery/exclusions", 303)


# Names behind pseudonyms


def _names(
    request: Request, services: Here, engine: Any, who: Any, *, names: dict[str, str | None] | None = None
) -> Response:
    return discovery_page(
        request,
        "shadow_names.html",
        "names",
        requests=engine.desk.requests(),
        me=person_of(who),
        now=services.clock(),
        found=names,
        wanted=request.query_params.get("name", ""),
    )


@router.get("/names")
def names(request: Request, services: Here, engine: Engine, who: Person) -> Response:
    """Requests for names, who asked and who decided; the names are in none of it."""
    return _names(request, services, engine, who)


@router.post("/names")
async def ask_names(request: Request, services: Here, engine: Engine, who: Admin, form: AdminForm) -> Response:
    wanted, audit = form.get("pseudonyms", "").split(), audit_of(request, services)
    await run_in_threadpool(engine.desk.ask, wanted, form.get("reason", ""), person_of(who), audit)
    return RedirectResponse("/discovery/names", 303)


@router.post("/names/{verdict}")
async def decide_names(
    request: Request,
    services: Here,
    engine: Engine,
    who: Admin,
    form: AdminForm,
    verdict: Literal["approve", "deny", "read"],
) -> Response:
    """Approve or deny somebody else's request, or read what was approved; each is audited before it happens."""
    ident, me, audit = form.get("id", "")[:64], person_of(who), audit_of(request, services)
    if verdict == "read":
        found = await run_in_threadpool(engine.desk.names, ident, me, audit)
        return await run_in_threadpool(lambda: _names(request, services, engine, who, names=found))
    await run_in_threadpool(lambda: engine.desk.decide(ident, me, audit, approve=verdict == "approve"))
    return RedirectResponse("/discovery/names", 303)


@router.get("/data")
def data(request: Request, engine: Engine, who: Person) -> Response:
    return discovery_page(request, "shadow_data.html", "data", confirm=CONFIRM, streams=engine.reports.streams())


@router.post("/data/delete")
async def delete_data(request: Request, services: Here, engine: Engine, who: Admin, form: AdminForm) -> Response:
    if form.get("confirm", "").strip() != CONFIRM:
        raise HTTPException(400, f"Type “{CONFIRM}” to delete it. Nothing was deleted.")
    await note(request, services, who.name, "deleted all discovery data")
    await run_in_threadpool(engine.delete_all, who.name)
    return RedirectResponse("/discovery/tasks", 303)
