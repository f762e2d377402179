"""Alerts: the pages and `/v1/alerts`. Closing one says what it was; everything that changes one is audited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from casb.sidecar.auth import Admin, AdminForm, Person, Reader, note
from casb.sidecar.bearer import Here
from casb.sidecar.notify import as_json
from casb.sidecar.pages import page
from casb.sidecar.views import record_line
from casb.store.alerts_sqlite import SEVERITIES, STATES, Alert

router = APIRouter(prefix="/alerts", include_in_schema=False)
api = APIRouter(prefix="/v1/alerts", tags=["read"])

PAGE = 50
WORDS = {
    "open": "open",
    "benign": "closed: benign",
    "false_positive": "closed: false positive",
    "true_positive": "closed: true positive",
}
_FILTERS = ("state", "severity", "policy", "user", "app", "kind")


@router.get("")
def alerts(request: Request, services: Here, who: Person, before: str = "") -> Response:
    given = {name: request.query_params.get(name, "").strip() for name in _FILTERS}
    if "state" not in request.query_params:
        given["state"] = "open"
    found = services.alerts.query(**given, before=_cursor(before), limit=PAGE + 1)
    further = f"{_millis(found[PAGE - 1].last)}-{found[PAGE - 1].id}" if len(found) > PAGE else ""
    used = {name: value for name, value in given.items() if value}
    return page(
        request,
        "alerts.html",
        alerts=found[:PAGE],
        given=given,
        states=[("", "all"), ("closed", "closed"), *WORDS.items()],
        severities=SEVERITIES,
        words=WORDS,
        counts=services.alerts.open_counts(),
        suppressed=services.alerts.suppressed(services.clock() - timedelta(days=1)),
        next_query=urlencode({**used, "before": further}) if further else "",
    )


@router.get("/{alert_id}")
def alert(request: Request, services: Here, who: Person, alert_id: str) -> Response:
    found = _get(services, alert_id)
    services.alerts.set_read(alert_id)
    records = [services.records.get(each) for each in found.activities[:20]]
    return page(
        request,
        "alert.html",
        alert=found,
        words=WORDS,
        lines=[record_line(each) for each in records if each is not None],
    )


@router.post("/{alert_id}")
async def close(request: Request, services: Here, who: Admin, form: AdminForm, alert_id: str) -> Response:
    state = form.get("state", "")
    if state not in STATES:
        raise HTTPException(422, "an alert is open, benign, false_positive or true_positive")
    comment = form.get("comment", "").strip()[:500]
    if not await run_in_threadpool(services.alerts.set_state, alert_id, state, who.name, comment):
        raise HTTPException(404, "there is no alert with this id")
    await note(request, services, who.name, "alert set", alert=alert_id, state=state)
    return RedirectResponse(f"/alerts/{alert_id}", 303)


@api.get("", summary="Alerts, newest first")
def get_alerts(
    services: Here,
    who: Reader,
    state: Literal["", "open", "closed", "benign", "false_positive", "true_positive"] = "",
    severity: Literal["", "low", "medium", "high"] = "",
    policy: str = "",
    user: str = "",
    app: str = "",
    kind: str = "",
    cursor: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Filters besides the state: severity, policy, user (contains), app, kind (policy, discovery, system)."""
    found = services.alerts.query(
        state=state,
        severity=severity,
        policy=policy,
        user=user,
        app=app,
        kind=kind,
        before=_cursor(cursor),
        limit=limit,
    )
    further = f"{_millis(found[-1].last)}-{found[-1].id}" if len(found) == limit else None
    return {"ok": True, "alerts": [as_json(each) for each in found], "cursor": further}


@api.get("/{alert_id}", summary="One alert with its activities")
def get_alert(services: Here, who: Reader, alert_id: str) -> dict[str, Any]:
    """`activities` are the ids of at most 100 activities; `count` tells how many there were."""
    return {"ok": True, "alert": as_json(_get(services, alert_id))}


def _get(services: Here, alert_id: str) -> Alert:
    found = services.alerts.get(alert_id)
    if found is None:
        raise HTTPException(404, "there is no alert with this id")
    return found


def _cursor(text: str) -> tuple[datetime, str] | None:
    if not text:
        return None
    millis, _, alert_id = text.partition("-")
    if not millis.isdigit() or len(millis) > 15:
        raise HTTPException(400, "this cursor is none of ours")
    return datetime.fromtimestamp(int(millis) / 1000, UTC), alert_id


def _millis(time: datetime) -> int:
    return round(time.timestamp() * 1000)
