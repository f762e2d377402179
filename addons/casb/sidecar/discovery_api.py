"""Discovery over HTTP: reports and lists under `/v1/discovery`, the upload API under the reference product's own paths.

Three calls hand over a log: ask for an address, PUT the file to it, say that it is done. The address is a secret good
for one file and one hour, so the PUT carries no token.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from casb.discovery.exclude import Exclusion
from casb.discovery.export import APP_COLUMNS, ENTITY_COLUMNS, as_csv, plain_app
from casb.discovery.query import Condition, conditions
from casb.discovery.streams import GLOBAL, Kind, filter_of, stream_json
from casb.discovery.suggested import SUGGESTED
from casb.errors import StoreError
from casb.model.network import parse_network
from casb.sidecar import auth
from casb.sidecar.auth import AdminCall, Reader, Uploader, Who
from casb.sidecar.bearer import Here
from casb.sidecar.services import Services

STREAMED = "/api/v1/discovery/upload/"
"""Files are put below this path; they go to the disk piece by piece."""
MOST_CSV_ROWS = 100_000

# Who asks is settled before anything else is looked at.
reading = APIRouter(prefix="/v1/discovery", dependencies=[Depends(auth.reader)], tags=["discovery"])
changing = APIRouter(prefix="/v1/discovery", dependencies=[Depends(auth.admin_call)], tags=["discovery"])
uploading = APIRouter(dependencies=[Depends(auth.uploader)], tags=["discovery upload"])
receiving = APIRouter(tags=["discovery upload"])
classic = APIRouter(dependencies=[Depends(auth.reader)], tags=["discovery"])


def engine(services: Here) -> Any:
    """The discovery of this deployment; 501 where its extra is not installed."""
    if services.discovery is None:
        raise HTTPException(501, "discovery is not installed here: install casb[discovery]")
    return services.discovery


Engine = Annotated[Any, Depends(engine)]


def span(engine: Engine, stream: str = GLOBAL, days: Annotated[int, Query(ge=1)] = 90) -> Any:
    """The report and its window, from the query."""
    return engine.reports.span(stream, days)


Span = Annotated[Any, Depends(span)]


def rows_of(engine: Engine, filters: str | None = None, query: str | None = None) -> tuple[Condition, ...]:
    """The rows of a question: `filters` as JSON, or the name of a saved query. Raises 400."""
    try:
        plain = json.loads(filters) if filters else []
        if query is not None and query not in SUGGESTED:
            saved = engine.book.queries()
            if query not in saved:
                raise ValueError(f"there is no query {query!r}")
            plain = [*plain, *saved[query]]
        return conditions(plain, engine.reports.scales)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, str(error)) from error


Rows = Annotated[tuple[Condition, ...], Depends(rows_of)]


# Reading


@reading.get("/streams", summary="Streams")
def get_streams(engine: Engine, who: Reader) -> dict[str, Any]:
    """Global first, then every stream, in the shape of the reference's API."""
    return {"ok": True, "streams": _streams(engine)}


@reading.get("/dashboard", summary="The dashboard of a report")
def get_dashboard(engine: Engine, who: Reader, span: Span) -> dict[str, Any]:
    """Counters with those of the days before, trend, categories, risk bands, standings, top lists, open questions."""
    reports = engine.reports
    return {
        "ok": True,
        "stream": span.stream,
        "since": span.since,
        "until": span.until,
        "counters": reports.counters(span),
        "trend": reports.trend(span),
        "categories": reports.categories(span),
        "risks": reports.risks(span),
        "standings": reports.standings(span),
        "countries": reports.countries(span),
        "apps": [plain_app(each) for each in reports.apps(span)[:15]],
        "users": reports.entities(span, "user", limit=15).rows,
        "ips": reports.entities(span, "ip", limit=15).rows,
        "devices": reports.entities(span, "device", limit=15).rows,
        "insights": reports.insights(span),
        "unmatched": reports.unmatched(span, 50),
    }


@reading.get("/apps", summary="Discovered apps", response_model=None)
async def get_apps(
    request: Request,
    services: Here,
    engine: Engine,
    who: Reader,
    span: Span,
    rows: Rows,
    query: str | None = None,
    sort: str = "traffic",
    order: Literal["asc", "desc"] = "desc",
    skip: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    format: Literal["json", "csv"] = "json",
) -> dict[str, Any] | Response:
    """`filters` is a JSON list of `{"field", "op", "values"}`; `query` names a saved or suggested query."""

    def found() -> list[Any]:
        if query in SUGGESTED:
            kept = {each.facts.id for each in engine.reports.suggested(span, query)}
            apps = engine.reports.apps(span, rows, by=sort, descending=order == "desc")
            return [each for each in apps if each.facts.id in kept]
        listed: list[Any] = engine.reports.apps(span, rows, by=sort, descending=order == "desc")
        return listed

    apps = await run_in_threadpool(found)
    if format == "csv":
        await auth.note(request, services, who.name, "exported discovered apps", stream=span.stream, rows=len(apps))
        return csv_answer([plain_app(each) for each in apps], APP_COLUMNS, "discovered-apps")
    return {"ok": True, "total": len(apps), "apps": [plain_app(each) for each in apps[skip : skip + limit]]}


@reading.get("/apps/{app}", summary="An app's page")
def get_app(engine: Engine, who: Reader, span: Span, app: str) -> dict[str, Any]:
    """Usage, trend, and the top 100 users, addresses, devices and resources."""
    page = engine.reports.app(span, app)
    usage = page.pop("usage")
    facts = page.pop("facts")
    return {"ok": True, "app": asdict_facts(facts), "usage": usage and plain_app(usage), **page}


@reading.get("/lists/{entity}", summary="Users, addresses, devices, resources", response_model=None)
async def get_entities(
    request: Request,
    services: Here,
    engine: Engine,
    who: Reader,
    span: Span,
    entity: Literal["user", "ip", "device", "resource"],
    app: Annotated[list[str] | None, Query()] = None,
    search: str = "",
    sort: str = "total",
    order: Literal["asc", "desc"] = "desc",
    skip: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    format: Literal["json", "csv"] = "json",
) -> dict[str, Any] | Response:
    """A page of a list, with how long the whole list is; as CSV all of it."""
    facts = {"apps": app, "search": search, "by": sort, "descending": order == "desc"}
    if format == "json":
        page = await run_in_threadpool(lambda: engine.reports.entities(span, entity, skip=skip, limit=limit, **facts))
        return {"ok": True, "total": page.total, "rows": page.rows}

    def every() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while len(found) < MOST_CSV_ROWS:
            page = engine.reports.entities(span, entity, skip=len(found), limit=1000, **facts)
            found += page.rows
            if len(page.rows) < 1000:
                break
        return found

    listed = await run_in_threadpool(every)
    await auth.note(request, services, who.name, f"exported discovered {entity}s", stream=span.stream, rows=len(listed))
    return csv_answer(listed, ENTITY_COLUMNS, f"discovered-{entity}s")


@reading.get("/lists/{entity}/{name:path}", summary="The page of one of them")
def get_entity(
    engine: Engine, who: Reader, span: Span, entity: Literal["user", "ip", "device", "resource"], name: str
) -> dict[str, Any]:
    """Sums, apps, trend, and the other kinds of entity seen with it."""
    page = engine.reports.entity(span, entity, name)
    page["apps"] = [plain_app(each) for each in page["apps"]]
    return {"ok": True, **page}


@reading.get("/resources", summary="Discovered resources")
def get_resources(
    engine: Engine, who: Reader, span: Span, app: Annotated[list[str] | None, Query()] = None
) -> dict[str, Any]:
    """Buckets, storage accounts, web apps, with their app and usage."""
    return {"ok": True, "resources": engine.reports.resources(span, apps=app)}


@reading.get("/siem", summary="Rows of McasShadowItReporting", response_class=StreamingResponse)
async def get_siem(request: Request, services: Here, engine: Engine, who: Reader, span: Span) -> Response:
    """NDJSON, a row per stream, app, user, address, device and day."""
    await auth.note(request, services, who.name, "exported discovery rows", stream=span.stream)

    def lines() -> Iterator[bytes]:
        for row in engine.reports.siem(span):
            yield json.dumps(row).encode() + b"\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@reading.get("/queries", summary="Suggested and saved queries")
def get_queries(engine: Engine, who: Reader) -> dict[str, Any]:
    """Suggested ones by id with their names; saved ones by name with their rows."""
    suggested = [{"id": each.id, "name": each.name} for each in SUGGESTED.values()]
    return {"ok": True, "suggested": suggested, "saved": engine.book.queries()}


@reading.get("/tasks", summary="The governance log of discovery")
def get_tasks(engine: Engine, who: Reader, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
    """Parsing, deleting, exporting: status, progress, error and what came of it."""
    return {"ok": True, "tasks": [each.as_json() for each in engine.tasks.latest(limit)]}


@reading.get("/tasks/{ident}", summary="One task")
def get_task(engine: Engine, who: Reader, ident: str) -> dict[str, Any]:
    """As in the list."""
    task = engine.tasks.get(ident)
    if task is None:
        raise HTTPException(404, "there is no such task")
    return {"ok": True, "task": task.as_json()}


@reading.get("/collectors", summary="Log collectors and their health")
def get_collectors(engine: Engine, who: Reader) -> dict[str, Any]:
    """Each with its last heartbeat, its sources, their status and counters."""
    return {"ok": True, "collectors": engine.collectors()}


@reading.get("/exclusions", summary="Who is left out of Global")
def get_exclusions(engine: Engine, who: Reader) -> dict[str, Any]:
    """Users, groups, addresses and devices."""
    return {"ok": True, "exclusions": [asdict(each) for each in engine.book.exclusions()]}


# Changing


async def body_of(request: Request) -> dict[str, Any]:
    """A JSON object. Raises 400."""
    try:
        plain = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "not JSON") from error
    if not isinstance(plain, dict):
        raise HTTPException(400, "a JSON object is expected")
    return plain


Body = Annotated[dict[str, Any], Depends(body_of)]


@changing.post("/queries/{name}", summary="Save a query")
async def post_query(
    request: Request, services: Here, engine: Engine, who: AdminCall, body: Body, name: str
) -> dict[str, Any]:
    """`{"rows": [...]}`, in the place of one of that name."""
    try:
        rows = conditions(body.get("rows"), engine.reports.scales)
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    await auth.note(request, services, who.name, "saved a discovery query", query=name[:100])
    await run_in_threadpool(
        engine.book.save_query, name[:100], [each.as_plain() for each in rows], who.name, services.clock()
    )
    return {"ok": True}


@changing.delete("/queries/{name}", summary="Forget a query")
async def delete_query(request: Request, services: Here, engine: Engine, who: AdminCall, name: str) -> dict[str, Any]:
    """A saved one; suggested ones stay."""
    await auth.note(request, services, who.name, "deleted a discovery query", query=name[:100])
    return {"ok": await run_in_threadpool(engine.book.drop_query, name)}


@changing.post("/tasks/{ident}/retry", summary="Try a failed task again")
async def retry_task(request: Request, services: Here, engine: Engine, who: AdminCall, ident: str) -> dict[str, Any]:
    """Its file is still there."""
    await auth.note(request, services, who.name, "retried a discovery task", task=ident[:64])
    return {"ok": await run_in_threadpool(engine.tasks.retry, ident)}


@changing.post("/views", summary="Make a custom continuous report")
async def post_view(request: Request, services: Here, engine: Engine, who: AdminCall, body: Body) -> dict[str, Any]:
    """`{"name", "comment", "filters": {"sources", "groups", "ip_tags", "networks"}}`; new data only."""
    try:
        filters = filter_of(body.get("filters") or {}, parse_network)
        name = str(body["name"]).strip()[:64]
        if not name:
            raise ValueError("a report needs a name")
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise HTTPException(400, str(error) or "a view has a name and filters") from error
    await auth.note(request, services, who.name, "made a custom discovery report", report=name)
    comment = str(body.get("comment", ""))[:500]
    stream = await run_in_threadpool(engine.create_view, name, filters, who.name, comment)
    return {"ok": True, "stream": stream_json(stream, now=services.clock())}


@changing.delete("/streams/{ident}", summary="Delete a stream and its data")
async def delete_stream(request: Request, services: Here, engine: Engine, who: AdminCall, ident: str) -> dict[str, Any]:
    """Irreversible."""
    stream = await run_in_threadpool(engine.book.stream, ident)
    if stream is None:
        raise HTTPException(404, "there is no such stream")
    await auth.note(request, services, who.name, "deleted a discovery stream", stream=stream.name)
    await run_in_threadpool(engine.delete_stream, stream, who.name)
    return {"ok": True}


@changing.post("/delete-data", summary="Delete all discovery data")
async def delete_data(request: Request, services: Here, engine: Engine, who: AdminCall, body: Body) -> dict[str, Any]:
    """`{"confirm": "delete all discovery data"}`. Irreversible."""
    if body.get("confirm") != "delete all discovery data":
        raise HTTPException(400, 'send {"confirm": "delete all discovery data"}')
    await auth.note(request, services, who.name, "deleted all discovery data")
    return {"ok": True, "task": await run_in_threadpool(engine.delete_all, who.name)}


@changing.post("/exclusions", summary="Leave somebody out of Global")
async def post_exclusion(
    request: Request, services: Here, engine: Engine, who: AdminCall, body: Body
) -> dict[str, Any]:
    """`{"entity": "user|group|ip|device", "value", "comment"}`; new data only."""
    try:
        entry = Exclusion(
            entity=body.get("entity", ""),
            value=str(body.get("value", ""))[:255],
            comment=str(body.get("comment", ""))[:500],
        )
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    await auth.note(request, services, who.name, "excluded from discovery", entity=entry.entity, value=entry.value)
    await run_in_threadpool(engine.book.exclude, entry, who.name, services.clock())
    return {"ok": True}


@changing.delete("/exclusions/{entity}/{value:path}", summary="Count somebody again")
async def delete_exclusion(
    request: Request, services: Here, engine: Engine, who: AdminCall, entity: str, value: str
) -> dict[str, Any]:
    """New data only."""
    await auth.note(request, services, who.name, "included in discovery again", entity=entity[:16], value=value[:255])
    return {"ok": await run_in_threadpool(engine.book.include, entity, value)}


# Names behind pseudonyms


@reading.get("/resolutions", summary="Requests for names behind pseudonyms")
def get_resolutions(engine: Engine, who: Reader) -> dict[str, Any]:
    """Who asked, why, who decided; never a name."""
    return {"ok": True, "requests": [each.as_json() for each in engine.desk.requests()]}


@changing.post("/resolutions", summary="Ask for names behind pseudonyms")
async def post_resolution(
    request: Request, services: Here, engine: Engine, who: AdminCall, body: Body
) -> dict[str, Any]:
    """`{"pseudonyms": [...], "reason"}`; another admin must approve."""
    names = body.get("pseudonyms")
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise HTTPException(400, "`pseudonyms` is a list of texts")
    asked = await run_in_threadpool(
        engine.desk.ask, names, str(body.get("reason", "")), person_of(who), audit_of(request, services)
    )
    return {"ok": True, "request": asked.as_json()}


@changing.post("/resolutions/{ident}/{verdict}", summary="Approve or deny somebody else's request")
async def decide_resolution(
    request: Request, services: Here, engine: Engine, who: AdminCall, ident: str, verdict: Literal["approve", "deny"]
) -> dict[str, Any]:
    """Nobody decides on a request of their own."""

    def decide() -> Any:
        return engine.desk.decide(ident, person_of(who), audit_of(request, services), approve=verdict == "approve")

    return {"ok": True, "request": (await run_in_threadpool(decide)).as_json()}


@changing.post("/resolutions/{ident}/names/read", summary="The names, for who asked, once approved")
async def read_resolution(
    request: Request, services: Here, engine: Engine, who: AdminCall, ident: str
) -> dict[str, Any]:
    """Each look is audited."""
    names = await run_in_threadpool(engine.desk.names, ident, person_of(who), audit_of(request, services))
    return {"ok": True, "names": names}


def person_of(who: Who) -> str:
    """Who asks and decides at the desk of names."""
    # Two admins of one name at two providers are two people.
    return f"{who.name} ({who.provider})"


def audit_of(request: Request, services: Services) -> Any:
    """Writes lines of the audit log for the desk of names."""
    ip = auth.client_ip(request, services.settings)

    def note(who: str, what: str, detail: dict[str, str]) -> None:
        services.portal.note(who, ip, what, services.clock(), **detail)

    return note


# Uploading


@uploading.get("/api/discovery/streams/", summary="List streams")
def list_streams(engine: Engine, who: Uploader) -> list[dict[str, Any]]:
    """In the reference's shape."""
    return _streams(engine)


@uploading.get("/api/v1/discovery/upload_url/", summary="1: where to put a log")
async def upload_url(
    request: Request, services: Here, engine: Engine, who: Uploader, filename: str, source: str
) -> dict[str, Any]:
    """`source` is a log type by name or number, or a log parser's name."""
    await run_in_threadpool(engine.check_source, source)
    secret = await run_in_threadpool(engine.uploads.begin, filename, source, who.name, services.clock())
    base = services.settings.sidecar.public_url or f"{request.url.scheme}://{request.headers['host']}"
    return {"url": f"{base.rstrip('/')}{STREAMED}{secret}", "provider": "aws"}


@receiving.put(STREAMED + "{secret}", summary="2: put it there")
async def put_upload(request: Request, services: Here, engine: Engine, secret: str) -> dict[str, Any]:
    """At most 5 GB, as it is or compressed. On a 200 it is on the disk."""
    try:
        upload = await engine.uploads.receive(secret, request.stream(), services.clock())
    except StoreError as error:
        if error.code != "D050":
            raise
        full, known = "disk" in error.message or "kept" in error.message, "address" not in error.message
        raise HTTPException(507 if full else 413 if known else 404, error.message) from error
    return {"ok": True, "size": upload.size, "sha256": upload.sha256}


@uploading.post("/api/v1/discovery/done_upload/", summary="3: say that it is done")
async def done_upload(request: Request, services: Here, engine: Engine, who: Uploader, body: Body) -> dict[str, Any]:
    """`{"uploadUrl", "inputStreamName", "uploadAsSnapshot"}`; `uploadId` makes a repeated call count once."""
    name = body.get("inputStreamName")
    if not isinstance(name, str) or not 0 < len(name.strip()) <= 64:
        raise HTTPException(400, "`inputStreamName` is a text of 1 to 64 characters")
    secret = upload_secret(body.get("uploadUrl"))
    key = body.get("uploadId")
    task = await run_in_threadpool(_hand_over, engine, services, who, secret, name.strip(), body, key)
    return {"success": True, "ok": True, **task}


def _hand_over(
    engine: Any, services: Services, who: Who, secret: str, name: str, body: dict[str, Any], key: object
) -> dict[str, Any]:
    upload = engine.uploads.find(secret, services.clock())
    if upload.size is None:
        raise HTTPException(409, "nothing has been put to this address yet")
    source = None if upload.source.casefold() in ("auto", "") else upload.source
    if body.get("uploadAsSnapshot"):
        stream, task = engine.snapshot(
            name,
            [upload.path],
            who.name,
            source=source,
            description=str(body.get("description", ""))[:500],
            anonymize=body.get("anonymize") if isinstance(body.get("anonymize"), bool) else None,
        )
    else:
        stream = engine.input_stream(name, source=source)
        if stream.kind not in (Kind.INPUT, Kind.ENDPOINT):
            raise HTTPException(409, f"{name!r} is the name of a report that takes no logs")
        # Without an id of its own, an upload counts once by its content.
        ident = str(key)[:128] if isinstance(key, str) and key else upload.sha256
        task = engine.continuous(
            stream, [upload.path], who.name, key=ident, source=source, title=f"Parse {upload.file} of {name}"
        )
    engine.uploads.done(secret)
    return {"stream": stream.id, "task": task}


@uploading.post("/api/v1/discovery/snapshots/", summary="A snapshot report of several uploads")
async def post_snapshot(request: Request, services: Here, engine: Engine, who: Uploader, body: Body) -> dict[str, Any]:
    """`{"name", "description", "source", "anonymize", "uploads": [up to 20 addresses that files were put to]}`."""
    addresses = body.get("uploads")
    if not isinstance(addresses, list) or not addresses:
        raise HTTPException(400, "`uploads` is a list of addresses")
    secrets = [upload_secret(each) for each in addresses]

    def make() -> tuple[Any, str]:
        files = [engine.uploads.find(secret, services.clock()) for secret in secrets]
        if any(each.size is None for each in files):
            raise HTTPException(409, "nothing has been put to one of the addresses yet")
        source = body.get("source")
        made = engine.snapshot(
            str(body.get("name", ""))[:64],
            [each.path for each in files],
            who.name,
            description=str(body.get("description", ""))[:500],
            source=str(source) if source and str(source).casefold() != "auto" else None,
            anonymize=body.get("anonymize") if isinstance(body.get("anonymize"), bool) else None,
        )
        for secret in secrets:
            engine.uploads.done(secret)
        return made  # type: ignore[no-any-return]

    stream, task = await run_in_threadpool(make)
    return {"ok": True, "stream": stream.id, "task": task}


@uploading.post("/api/v1/discovery/collector-status/", summary="A collector's heartbeat")
async def post_collector(services: Here, engine: Engine, who: Uploader, body: Body) -> dict[str, Any]:
    """A JSON object with the collector's `name` and what it tells about itself."""
    name = body.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= 64:
        raise HTTPException(400, "a collector's status is an object with its name")
    await run_in_threadpool(engine.book.put_collector, name, body, services.clock())
    return {"ok": True}


@classic.post("/api/v1/discovery/discovered_apps/", summary="Discovered apps, as clients of the reference ask")
def discovered_apps(engine: Engine, who: Reader, body: Body) -> dict[str, Any]:
    """`{"streamId", "timeframe", "skip", "limit", "category", "sortField", "sortDirection"}`."""
    span = engine.reports.span(str(body.get("streamId") or GLOBAL), _whole(body, "timeframe", 90))
    column = _SORT_FIELDS.get(str(body.get("sortField", "trafficTotalEvents")))
    if column is None:
        raise HTTPException(400, f"`sortField` is one of {', '.join(_SORT_FIELDS)}")
    apps = engine.reports.apps(span, by=column, descending=body.get("sortDirection", "desc") != "asc")
    category = str(body.get("category") or "").removeprefix("SAASDB_CATEGORY_").lower()
    if category:
        apps = [each for each in apps if each.facts.category == category]
    skip, limit = _whole(body, "skip", 0), min(_whole(body, "limit", 100), 100)
    return {
        "total": len(apps),
        "hasNext": skip + limit < len(apps),
        "data": [plain_app(each) for each in apps[skip : skip + limit]],
    }


@classic.post("/api/v1/discovery/discovered_apps/categories/", summary="Categories with how many apps each has")
def app_categories(engine: Engine, who: Reader, body: Body) -> list[dict[str, Any]]:
    """`{"streamId", "timeframe"}`."""
    span = engine.reports.span(str(body.get("streamId") or GLOBAL), _whole(body, "timeframe", 90))
    return [
        {"id": f"SAASDB_CATEGORY_{row['name'].upper()}", "total": row["apps"]}
        for row in engine.reports.categories(span)
    ]


_SORT_FIELDS = {
    "name": "name",
    "usersCount": "users",
    "ipAddressesCount": "ips",
    "lastUsed": "last_seen",
    "trafficUploadedBytes": "uploaded",
    "trafficDownloadedBytes": "downloaded",
    "trafficTotalBytes": "traffic",
    "trafficTotalEvents": "transactions",
    "score": "score",
}


def _whole(body: dict[str, Any], name: str, default: int) -> int:
    value = body.get(name, default)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise HTTPException(400, f"`{name}` is a number")
    return value


def upload_secret(url: object) -> str:
    """The secret of an upload address of ours. Raises 400."""
    try:
        path = urlsplit(url).path if isinstance(url, str) else ""
    except ValueError:
        path = ""
    if not path.startswith(STREAMED):
        raise HTTPException(400, "this is no upload address of ours")
    return path.removeprefix(STREAMED)


def _streams(engine: Any) -> list[dict[str, Any]]:
    return [stream_json(each, now=engine.clock()) for each in engine.reports.streams()]


def asdict_facts(facts: Any) -> dict[str, Any]:
    """An app's facts as JSON data."""
    plain = {
        name: getattr(facts, name)
        for name in ("id", "name", "category", "score", "risk", "tag", "headquarters", "vendor")
    }
    return {**plain, "tags": sorted(facts.tags), "domains": list(facts.domains), "factors": dict(facts.factors)}


def csv_answer(rows: Sequence[dict[str, Any]], columns: Sequence[str], name: str) -> Response:
    """A table as a file for spreadsheets; no cell is a formula."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(as_csv(rows, columns), media_type="text/csv; charset=utf-8", headers=headers)
