"""The portal's pages: the same queries as `/v1`, for people."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import Response

from casb.errors import StoreError
from casb.model.activity import ActivityType
from casb.model.decision import Action, Severity
from casb.model.identity import UNMANAGED, DeviceTag
from casb.model.logged import from_json
from casb.model.record import rfc3339
from casb.policy import otherwise
from casb.policy.compile import compile_policies
from casb.sidecar.auth import Person
from casb.sidecar.bearer import Here
from casb.sidecar.chart import chart_of
from casb.sidecar.pages import page
from casb.sidecar.services import Services
from casb.sidecar.story import story_of
from casb.sidecar.views import app_lines, proxy_lines, record_line
from casb.store.filters import FILTERS

PAGE = 50

router = APIRouter(include_in_schema=False)


@router.get("/")
def overview(request: Request, services: Here, who: Person) -> Response:
    now = services.clock()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    hours = services.records.histogram(now - timedelta(hours=23), now + timedelta(microseconds=1))
    return page(
        request,
        "overview.html",
        now=now,
        midnight=rfc3339(midnight),
        today=services.records.counts("action", midnight, now + timedelta(hours=1)),
        chart=chart_of(hours),
        blocked=[record_line(each) for each in services.records.query({"action": "block"}, limit=6).records],
        proxies=proxy_lines(services),
        view=services.deployment.view(),
        total=services.records.total(),
    )


@router.get("/activities")
def activities(request: Request, services: Here, who: Person, cursor: str | None = None) -> Response:
    given = {name: request.query_params.get(name, "").strip() for name in FILTERS}
    used = {name: value for name, value in given.items() if value}
    problem = ""
    try:
        found = services.records.query(_as_filters(used), cursor=cursor, limit=PAGE)
        records, further = found.records, found.cursor
    except StoreError as error:
        if error.code not in ("S032", "S033"):
            raise
        records, further, problem = [], None, f"{error.message}; {error.hint}"
    export = urlencode(_as_filters(used))
    return page(
        request,
        "activities.html",
        status=400 if problem else 200,
        records=[record_line(each) for each in records],
        given=given,
        used=used,
        problem=problem,
        first=cursor is None,
        next_query=urlencode({**used, "cursor": further}) if further else "",
        export_query=f"&{export}" if export else "",
        without={name: urlencode({key: each for key, each in used.items() if key != name}) for name in used},
        choices=_choices(services),
    )


@router.get("/activities/{record_id}")
def activity(request: Request, services: Here, who: Person, record_id: str) -> Response:
    record = services.records.get(record_id)
    if record is None:
        raise HTTPException(404, "There is no activity with this id. It may not have arrived yet, or be too old.")
    return page(
        request,
        "activity.html",
        line=record_line(record),
        version=str(record.get("policy_version") or ""),
        story=story_of(record),
        raw=orjson.dumps(record, option=orjson.OPT_INDENT_2).decode(),
        pivots=_pivots(record),
        again=_again(services, record),
        done=otherwise.DONE,
    )


@router.get("/apps")
def apps(request: Request, services: Here, who: Person) -> Response:
    return page(request, "apps.html", lines=app_lines(services), settings=services.settings)


@router.get("/audit")
def audit(request: Request, services: Here, who: Person, before: Annotated[int | None, Query(ge=1)] = None) -> Response:
    entries = services.portal.audit(before=before, limit=PAGE + 1)
    further = entries[PAGE - 1].seq if len(entries) > PAGE else None
    return page(request, "audit.html", entries=entries[:PAGE], further=further, first=before is None)


def _again(services: Services, record: dict[str, Any]) -> otherwise.Explanation | None:
    """The recorded activity under the folder's policies of today; None for a record that lacks too much."""
    try:
        activity = from_json(record)
    except ValueError:
        return None
    return otherwise.explanation(activity, compile_policies(services.deployment.view().loaded))


def _as_filters(used: dict[str, str]) -> dict[str, str]:
    """Times from a browser's date field have no zone: they are meant in UTC, as the pages show them."""
    filters = dict(used)
    for name in ("from", "to"):
        value = filters.get(name, "")
        if value and len(value) in (16, 19) and "T" in value:
            filters[name] = value + (":00Z" if len(value) == 16 else "Z")
    return filters


def _choices(services: Services) -> dict[str, list[tuple[str, str]]]:
    """What the filter form offers: the words of the model, and the names in configuration and log."""
    view = services.deployment.view()
    names = {each.app: each.name for each in services.records.apps_seen()} | {app.id: app.name for app in view.apps}
    policies = {each.id for each in view.policies} | set(
        services.records.policy_hits(services.clock() - timedelta(days=7))
    )
    return {
        "activity": [(each.value, each.value.replace("_", " ")) for each in ActivityType],
        "action": [(each.word, each.word.replace("_", "-")) for each in Action],
        "app": sorted(names.items(), key=lambda item: item[1].lower()),
        "policy": [(each, each) for each in sorted(policies)],
        "device": [(UNMANAGED, UNMANAGED), *((each.value, each.value) for each in DeviceTag)],
        "severity": [(each.value, each.value) for each in Severity],
    }


def _pivots(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Links to what else there is of the same kind (MDCA's drawer: same type, user, address, 48 hours)."""
    wanted = [
        ("Same user", "user_id", (record.get("user") or {}).get("id")),
        ("Same session", "session", record.get("session")),
        ("Same address", "ip", (record.get("client") or {}).get("ip")),
        ("Same app", "app", (record.get("app") or {}).get("id")),
        ("Same activity", "activity", record.get("activity")),
        ("Same policy", "policy", record.get("policy")),
        ("Same file name", "file", (record.get("file") or {}).get("name")),
    ]
    links = [(label, urlencode({name: value})) for label, name, value in wanted if value]
    try:
        time = datetime.fromisoformat(str(record.get("time")))
        around = {"from": rfc3339(time - timedelta(hours=24)), "to": rfc3339(time + timedelta(hours=24))}
        links.append(("Same 48 hours", urlencode(around)))
    except ValueError:
        pass
    return links
