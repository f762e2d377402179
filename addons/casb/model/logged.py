"""A line of the activity log back to the activity it tells of: what replay and explanations decide on again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from casb.model.activity import (
    IN_PAGE,
    Activity,
    ActivityObject,
    ActivityType,
    Outcome,
    RequestFacts,
    RequestMode,
    Source,
    TextFacts,
)
from casb.model.app import App, AppTag
from casb.model.file import EngineVerdict, FileFacts, Finding, Verdict, VerdictStatus
from casb.model.identity import AgentTag, Client, ClientApp, Device, DeviceTag, DeviceType, User


def from_json(data: Mapping[str, Any]) -> Activity:
    """The activity of a line of the log: deciding on it again gives what was decided then.

    Facts that no condition asks for (what the app answered, where findings stood) are left out. Raises
    `ValueError` for what is no record of an activity.
    """
    try:
        return _activity(data)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no activity record: {type(error).__name__} {error}") from None


def _activity(data: Mapping[str, Any]) -> Activity:
    app, user, device, client = (data.get(name) for name in ("app", "user", "device", "client"))
    device, client = device or {}, client or {}
    return Activity(
        id=data["id"],
        time=datetime.fromisoformat(data["time"]),
        type=ActivityType(data["activity"]),
        source=Source(data.get("source") or Source.SESSION_CONTROL),
        app=app
        and App(
            id=app["id"],
            name=app["name"],
            domains=(),
            tag=AppTag(app["tag"]),
            category=app.get("category") or "",
            risk_score=app.get("risk_score"),
        ),
        instance=data.get("instance"),
        user=user and User(**{**user, "groups": frozenset(user["groups"])}),
        device=Device(
            id=device.get("id"),
            tags=frozenset(DeviceTag(tag) for tag in device.get("tags", ())),
            type=DeviceType(device.get("type") or DeviceType.OTHER),
            os=device.get("os"),
            sources=device.get("sources") or {},
        ),
        client=Client(
            ip=client.get("ip") or "",
            ip_tags=frozenset(client.get("ip_tags", ())),
            ip_category=client.get("ip_category"),
            country=client.get("country"),
            isp=client.get("isp"),
            user_agent=client.get("user_agent") or "",
            agent_tags=frozenset(AgentTag(tag) for tag in client.get("agent_tags", ())),
            app=ClientApp(client.get("app") or ClientApp.BROWSER),
        ),
        objects=tuple(ActivityObject(**each) for each in data.get("objects") or ()),
        request=_request(data.get("request")),
        admin=bool(data.get("admin")),
        impersonated=bool(data.get("impersonated")),
        outcome=outcome(data),
        session_id=data.get("session"),
        auth_contexts=frozenset(data.get("auth_contexts", ())),
        justified=frozenset(data.get("justified") or ()),
        excepted=dict(data.get("excepted") or {}),
        proven={name: datetime.fromisoformat(when) for name, when in (data.get("proven") or {}).items()},
        file=_file(data.get("file")),
        text=_text(data),
    )


def outcome(data: Mapping[str, Any]) -> Outcome:
    """What was done to it."""
    return Outcome(
        action=data.get("action") or "allow",
        policies=frozenset(data.get("matched") or ()),
        alerts=frozenset(each["policy"] for each in data.get("alerts") or ()),
    )


def _request(data: Mapping[str, Any] | None) -> RequestFacts | None:
    if not data:
        return None
    scheme, _, rest = data["url"].partition("://")
    authority, slash, path = rest.partition("/")
    host, colon, port = authority.rpartition(":")
    if not colon or "]" in port:
        host, port = authority, ""
    return RequestFacts(
        method=data["method"],
        scheme=scheme,
        host=host,
        port=int(port) if port else 443 if scheme == "https" else 80,
        path=slash + path,
        mode=RequestMode(data.get("mode") or RequestMode.OTHER),
        content_type=data.get("content_type") or "",
        content_length=data.get("content_length"),
    )


def _text(data: Mapping[str, Any]) -> TextFacts | None:
    """What the log does not keep is not known."""
    told = data.get("text")
    if told:
        findings = _findings(told) if told.get("findings") is not None else None
        return TextFacts(content="" if told.get("length") == 0 else None, length=told.get("length"), findings=findings)
    return TextFacts() if data["activity"] in IN_PAGE else None


def _findings(told: Mapping[str, Any]) -> tuple[Finding, ...]:
    sure = told.get("confidence") or {}
    found = []
    for name, count in (told.get("findings") or {}).items():
        levels = tuple(sorted((int(level), number) for level, number in sure.get(name, {}).items()))
        best = max((level for level, _ in levels), default=100)
        found.append(Finding(info_type=name, count=count, confidence=best, levels=levels))
    return tuple(found)


def _file(data: Mapping[str, Any] | None) -> FileFacts | None:
    if not data:
        return None
    verdict = data.get("verdict")
    return FileFacts(
        name=data["name"],
        extension=data.get("extension") or "",
        size=data.get("size"),
        declared_type=data.get("declared_type"),
        detected_type=data.get("detected_type"),
        inspected=bool(data.get("inspected")),
        sha256=data.get("sha256"),
        label=data.get("label"),
        label_id=data.get("label_id"),
        signs=frozenset(data.get("signs") or ()),
        properties=None if data.get("properties") else (),
        engines=tuple(
            EngineVerdict(**{**each, "status": VerdictStatus(each["status"])}) for each in data.get("malware") or ()
        ),
        verdict=verdict
        and Verdict(
            status=VerdictStatus(verdict["status"]),
            findings=_findings(data),
            inspector=verdict.get("inspector") or "",
            why=verdict.get("why") or "",
        ),
    )
