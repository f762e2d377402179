"""Tags over HTTP, and what others fetch to enforce them: block scripts, lists and feeds of gateways.

Whoever may change does so with an admin's session; the catalog audits each change in the transaction that makes it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response

from casb.catalog import blocklists
from casb.catalog.blocklists import Blocked, Format, Script
from casb.catalog.filters import Condition, select
from casb.catalog.tagging import Profile
from casb.catalog.views import summary
from casb.errors import CatalogError, Problems
from casb.model.app import AppTag
from casb.sidecar import auth
from casb.sidecar.auth import AdminCall, Reader, Who
from casb.sidecar.bearer import UNAUTHORISED, Here, bearer
from casb.sidecar.discovery_api import Body
from casb.sidecar.services import Services
from casb.store.app_catalog import AppCatalog
from casb.store.catalog_sqlite import Actor
from casb.store.portal_sqlite import FEED, READ, VIEWER

api = APIRouter(prefix="/v1/catalog", tags=["tags"])
lists = APIRouter(tags=["block lists"])

MOST_APPS = 5000
_NOT_FOUND = frozenset({"C221", "C222", "C234"})
_CONFLICT = frozenset({"C223", "C225", "C227"})


def catalog_of(services: Here) -> AppCatalog:
    """The catalog of this deployment."""
    if services.catalog is None:
        raise HTTPException(503, "the catalog is not open here")
    return services.catalog


Apps = Annotated[AppCatalog, Depends(catalog_of)]


async def asked[T](what: Callable[[], T]) -> T:
    """Do it in a thread; what the catalog refuses becomes an answer: 404 unknown, 409 not now, 422 wrong."""
    try:
        return await run_in_threadpool(what)
    except CatalogError as error:
        raise HTTPException(_status(error), str(error)) from error
    except Problems as problems:
        errors = problems.errors
        raise HTTPException(_status(errors[0]), "; ".join(str(each) for each in errors[:20])) from problems


def _status(error: object) -> int:
    code = getattr(error, "code", "")
    return 404 if code in _NOT_FOUND else 409 if code in _CONFLICT else 422


def actor_of(request: Request, services: Services, who: Who) -> Actor:
    """Who is written into the audit log."""
    return Actor(who=who.name, ip=auth.client_ip(request, services.settings))


def words(body: dict[str, Any], name: str) -> list[str]:
    """A list of texts out of a body. Raises 422."""
    value = body.get(name, [])
    if not isinstance(value, list) or len(value) > MOST_APPS or not all(isinstance(each, str) for each in value):
        raise HTTPException(422, f"'{name}' is a list of at most {MOST_APPS} texts")
    return value


def text(body: dict[str, Any], name: str) -> str:
    """A text out of a body; '' where there is none. Raises 422."""
    value = body.get(name) or ""
    if not isinstance(value, str) or len(value) > 2000:
        raise HTTPException(422, f"'{name}' is a text")
    return value


# ---------------------------------------------------------------- tags


@api.get("/tags", summary="Tags, how many apps have each, profiles, protected hosts")
async def get_tags(who: Reader, catalog: Apps) -> dict[str, Any]:
    """`version` grows with every change of tags and of anything else in the catalog."""

    def found() -> dict[str, Any]:
        inventory, local = catalog.inventory(), catalog.store.local()
        counts = {each.value: 0 for each in AppTag if each is not AppTag.NONE} | dict.fromkeys(local.tags, 0)
        for entry in inventory:
            for word in entry.tags:
                counts[word] = counts.get(word, 0) + 1
        return {
            "ok": True,
            "version": inventory.version,
            "tags": [
                {"name": name, "apps": count, "about": local.tags.get(name, "")} for name, count in counts.items()
            ],
            "profiles": [_profile(each) for each in local.profiles.values()],
            "protected": list(inventory.protected),
        }

    return await asked(found)


def _profile(profile: Profile) -> dict[str, Any]:
    return {"name": profile.name, "include": sorted(profile.include), "exclude": sorted(profile.exclude)}


@api.post("/tags", summary="Tag apps, one or many")
async def post_tags(request: Request, services: Here, who: AdminCall, catalog: Apps, body: Body) -> dict[str, Any]:
    """`{"apps": [ids]}` or `{"where": [{"field", "operator", "values"}]}`, and what to do with them: `tag` (sanctioned,
    unsanctioned, monitored, none) with `profile` and `why`; `add` and `remove` for custom tags. All of them or none.
    """
    actor = actor_of(request, services, who)
    given, rows = words(body, "apps"), _rows(body.get("where"))
    tag, add, remove = body.get("tag"), words(body, "add"), words(body, "remove")
    profile, why = text(body, "profile") or None, text(body, "why")
    if bool(given) == bool(rows):
        raise HTTPException(422, "name the apps by 'apps' or by 'where'")
    if tag is not None and tag not in [each.value for each in AppTag]:
        raise HTTPException(422, "'tag' is sanctioned, unsanctioned, monitored or none")

    def change() -> list[dict[str, Any]]:
        idents = given or [entry.id for entry in select(catalog.inventory(), rows)][:MOST_APPS]
        if add:
            catalog.add_tags(idents, add, actor)
        if remove:
            catalog.drop_tags(idents, remove, actor)
        if tag is not None:
            catalog.tag(idents, AppTag(tag), actor, profile=profile, why=why)
        inventory = catalog.inventory()
        return [summary(catalog.entry(ident), inventory) for ident in idents]

    return {"ok": True, "apps": await asked(change)}


def _rows(value: object) -> list[Condition]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise HTTPException(422, "'where' is a list of rows")
    return [
        Condition(field=text(each, "field"), operator=text(each, "operator"), values=tuple(words(each, "values")))
        for each in value
    ]


@api.post("/tags/{name}", summary="Make a custom tag")
async def post_tag(
    request: Request, services: Here, who: AdminCall, catalog: Apps, body: Body, name: str
) -> dict[str, Any]:
    """`{"about"}`: what it is for."""
    actor, about = actor_of(request, services, who), text(body, "about")
    return {"ok": True, "name": await asked(lambda: catalog.create_tag(name, actor, about))}


@api.delete("/tags/{name}", summary="Delete a custom tag")
async def delete_tag(
    request: Request, services: Here, who: AdminCall, catalog: Apps, name: str, everywhere: bool = False
) -> dict[str, Any]:
    """`everywhere` takes it off the apps that have it."""
    actor = actor_of(request, services, who)
    await asked(lambda: catalog.delete_tag(name, actor, everywhere=everywhere))
    return {"ok": True}


@api.post("/profiles/{name}", summary="Make or change a scoped profile")
async def post_profile(
    request: Request, services: Here, who: AdminCall, catalog: Apps, body: Body, name: str
) -> dict[str, Any]:
    """`{"include": [groups], "exclude": [groups]}`: whom the tags bound to it concern."""
    profile = Profile(name=name, include=frozenset(words(body, "include")), exclude=frozenset(words(body, "exclude")))
    actor = actor_of(request, services, who)
    await asked(lambda: catalog.save_profile(profile, actor))
    return {"ok": True, "profile": _profile(profile)}


@api.delete("/profiles/{name}", summary="Delete a scoped profile")
async def delete_profile(request: Request, services: Here, who: AdminCall, catalog: Apps, name: str) -> dict[str, Any]:
    """Refused while a tag is bound to it."""
    actor = actor_of(request, services, who)
    await asked(lambda: catalog.delete_profile(name, actor))
    return {"ok": True}


@api.post("/protected", summary="Change the protected list")
async def post_protected(request: Request, services: Here, who: AdminCall, catalog: Apps, body: Body) -> dict[str, Any]:
    """`{"host", "on": true|false}`: a host or wildcard that is never blocked, wherever its app is tagged."""
    actor, host, on = actor_of(request, services, who), text(body, "host"), body.get("on", True)
    if not isinstance(on, bool):
        raise HTTPException(422, "'on' is true or false")
    await asked(lambda: catalog.protect(host, actor, on=on))
    return {"ok": True, "protected": list(catalog.inventory().protected)}


# ---------------------------------------------------------------- lists


def feeder(request: Request, services: Here) -> Who:
    """Who may fetch lists: a read or feed token, a session. Gateways send the token as they can: `Bearer`, `Token`, or
    as the password of HTTP Basic."""
    token = bearer(request) or _password(request.headers.get("authorization", ""))
    if token is not None:
        found = services.portal.use_token(auth.digest(token), services.clock())
        if found is not None and found.scope in (READ, FEED):
            return Who(name=f"token {found.label}", role=VIEWER, provider="token")
    elif who := auth.session_of(request, services):
        return who
    services.counters.refused += 1
    raise HTTPException(401, "send a feed token", {"WWW-Authenticate": 'Basic realm="casb"'} | UNAUTHORISED)


def _password(header: str) -> str | None:
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "token":
        return value.strip() or None
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2] or None
    except (binascii.Error, UnicodeDecodeError):
        return None


Feeder = Annotated[Who, Depends(feeder)]


@lists.get("/api/discovery_block_scripts/", summary="A block script", response_class=PlainTextResponse)
@lists.get("/v1/block-lists/{name}", summary="A block script or list", response_class=PlainTextResponse)
async def get_script(
    request: Request,
    services: Here,
    who: Feeder,
    catalog: Apps,
    name: str = "",
    format: str = "",
    type: Annotated[str, Query(pattern="^banned$")] = "banned",
) -> Response:
    """`format` (or the path): a number (102, 104, 108, 112, 120, 129, 135) or a name. All that is banned."""
    chosen = await asked(lambda: blocklists.find(name or format))
    script = await asked(lambda: blocklists.write(chosen, blocklists.blocked(catalog.inventory())))
    file = blocklists.file_name(chosen, services.clock().date())
    headers = {"Content-Disposition": f'attachment; filename="{file}"', "X-Left-Out": str(len(script.left_out))}
    return _unless_known(request, script.text, headers)


@lists.get("/v1/block-lists", summary="Formats, and what each cannot say")
async def get_lists(who: Reader, catalog: Apps) -> dict[str, Any]:
    """What is left out of a list stands here with the reason."""

    def found() -> dict[str, Any]:
        of = blocklists.blocked(catalog.inventory())
        numbers = {each.name: each.number for each in blocklists.SCRIPTS}
        return {
            "ok": True,
            "version": of.version,
            "domains": len(of.domains),
            "lists": [
                {"name": name, "number": numbers.get(name), "left_out": _left(blocklists.write(name, of))}
                for name in blocklists.NAMES
            ],
        }

    return await asked(found)


@lists.get("/v1/feeds", summary="Gateways that fetch the list themselves")
async def get_feeds(who: Reader) -> dict[str, Any]:
    """How often each looks, and how its data source is named."""
    return {"ok": True, "feeds": [_partner(each) for each in blocklists.FEEDS]}


def _partner(each: Format) -> dict[str, Any]:
    return {"name": each.name, "url": f"/v1/feeds/{each.name}", "poll_seconds": each.poll, "about": each.about}


@lists.get("/v1/feeds/{partner}", summary="The list of a gateway", response_model=None)
async def get_feed(
    request: Request,
    who: Feeder,
    catalog: Apps,
    partner: str,
    format: Annotated[str, Query(pattern="^(text|json)$")] = "text",
) -> Response | dict[str, Any]:
    """One domain a line in the gateway's spelling; `format=json` adds the apps with their scores."""
    chosen = next((each for each in blocklists.FEEDS if each.name == partner.casefold().replace("_", "-")), None)
    if chosen is None:
        raise HTTPException(404, f"there is no feed {partner[:60]!r}")

    def found() -> tuple[Blocked, Script]:
        of = blocklists.blocked(catalog.inventory())
        return of, blocklists.feed(chosen, of)

    of, script = await asked(found)
    if format == "text":
        return _unless_known(request, script.text, {})
    inventory = catalog.inventory()
    idents = dict.fromkeys(each.app for each in of.domains)
    return {
        **_partner(chosen),
        "ok": True,
        "version": of.version,
        "domains": script.text.split(),
        "apps": [summary(entry, inventory) for ident in idents if (entry := inventory.get(ident))],
        "left_out": _left(script),
    }


def _left(script: Script) -> Sequence[dict[str, str]]:
    return [{"pattern": each.pattern, "app": each.app, "why": each.why} for each in script.left_out]


def _unless_known(request: Request, text: str, headers: dict[str, str]) -> Response:
    """The text, or 304 for whoever has it (RFC 9110 section 13.1.2)."""
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    headers = {**headers, "ETag": tag, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    if tag in [each.strip() for each in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    return PlainTextResponse(text, headers=headers)
