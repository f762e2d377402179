"""One line of the activity log, and its JSON form: the same in the spool, in the store, in exports and for replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from casb.model.activity import Activity
from casb.model.decision import Decision, Reason
from casb.model.file import Finding
from casb.model.identity import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An activity with its decision. `extra` holds what only one kind has, e.g. bytes sent."""

    activity: Activity
    decision: Decision
    policy_version: str = ""
    mode: str = ""  # suffix, forward, host
    extra: Mapping[str, Any] = field(default_factory=dict)


def to_json(record: Record) -> dict[str, Any]:
    """The record as plain JSON data. Absent facts are `None`; nothing secret is in a `Record` to begin with."""
    activity, decision = record.activity, record.decision
    app, user, device, client = activity.app, activity.user, activity.device, activity.client
    file, request, response = activity.file, activity.request, activity.response
    return {
        "id": activity.id,
        "time": rfc3339(activity.time),
        "activity": activity.type.value,
        "source": activity.source.value,
        "app": app
        and {
            "id": app.id,
            "name": app.name,
            "tag": app.tag.value,
            "category": app.category,
            "risk_score": app.risk_score,
        },
        "instance": activity.instance,
        "user": user and user_json(user),
        "device": {
            "id": device.id,
            "tags": sorted(device.tags),
            "managed": device.managed,
            "type": device.type.value,
            "os": device.os,
            "sources": dict(device.sources),
        },
        "client": {
            "ip": client.ip,
            "ip_tags": sorted(client.ip_tags),
            "ip_category": client.ip_category,
            "country": client.country,
            "isp": client.isp,
            "user_agent": client.user_agent,
            "agent_tags": sorted(client.agent_tags),
            "app": client.app.value,
        },
        "session": activity.session_id,
        "auth_contexts": sorted(activity.auth_contexts),
        **({"proven": _proven(activity.proven)} if activity.proven else {}),
        "objects": [{"type": each.type, "id": each.id, "name": each.name} for each in activity.objects],
        "justified": sorted(activity.justified),
        "excepted": dict(sorted(activity.excepted.items())),
        "file": file
        and {
            "name": file.name,
            "extension": file.extension,
            "size": file.size,
            "declared_type": file.declared_type,
            "detected_type": file.detected_type,
            "inspected": file.inspected,
            "sha256": file.sha256,
            "label": file.label or (file.verdict.label if file.verdict else None),
            "label_id": file.label_id,
            "signs": sorted(file.signs),
            **({"properties": True} if file.properties or file.properties is None else {}),
            "verdict": file.verdict
            and {"status": file.verdict.status.value, "inspector": file.verdict.inspector, "why": file.verdict.why},
            **_findings(file.verdict.findings if file.verdict else ()),
            "malware": [
                {"engine": each.engine, "status": each.status.value, "threat": each.threat, "why": each.why}
                for each in file.engines
            ],
        },
        "admin": activity.admin,
        "impersonated": activity.impersonated,
        "text": activity.text
        and {
            "length": activity.text.length,
            **({} if activity.text.findings is None else _findings(activity.text.findings)),
        },
        "request": request
        and {
            "method": request.method,
            "url": request.url,
            "mode": request.mode.value,
            "content_type": request.content_type,
            "content_length": request.content_length,
        },
        "response": response
        and {
            "status": response.status,
            "content_type": response.content_type,
            "content_length": response.content_length,
            "attachment": response.attachment,
        },
        "action": decision.action.word,
        "policy": decision.policy,
        "matched": list(decision.matched),
        "severity": decision.severity and decision.severity.value,
        "reasons": [reason_json(reason) for reason in decision.reasons],
        "alerts": [
            {
                "policy": each.policy,
                "severity": each.severity.value,
                "title": each.title,
                "daily_limit": each.daily_limit,
                "email": list(each.email),
            }
            for each in decision.alerts
        ],
        "shadow": [
            {
                "policy": each.policy,
                "action": each.action.word,
                "reasons": [reason_json(reason) for reason in each.reasons],
            }
            for each in decision.shadow
        ],
        "exempted": [
            {
                "policy": each.policy,
                "action": each.action.word,
                "exception": each.exception,
                "reasons": [reason_json(reason) for reason in each.reasons],
            }
            for each in decision.exempted
        ],
        "message": decision.message,
        "default_behaviour": decision.default_behaviour,
        "policy_version": record.policy_version,
        "mode": record.mode,
        "extra": dict(record.extra),
    }


def user_json(user: User) -> dict[str, Any]:
    """A person as plain JSON data, all of it: `User(**user_json(user) | {"groups": frozenset(...)})` is the reverse."""
    return {
        "id": user.id,
        "name": user.name,
        "display_name": user.display_name,
        "domain": user.domain,
        "groups": sorted(user.groups),
        "groups_known": user.groups_known,
        "is_guest": user.is_guest,
        "tenant": user.tenant,
        "organization": user.organization,
    }


def reason_json(reason: Reason) -> dict[str, Any]:
    """A reason as plain JSON data."""
    return {
        "code": reason.code,
        "policy": reason.policy,
        "file": reason.where.file,
        "line": reason.where.line,
        "column": reason.where.column,
        "condition": reason.condition,
        "fact": reason.fact,
        "truth": reason.truth.name.lower(),
    }


def _proven(proven: Mapping[str, datetime]) -> dict[str, str]:
    return {context: rfc3339(proven[context]) for context in sorted(proven)}


def rfc3339(time: datetime) -> str:
    """RFC 3339 UTC with milliseconds and a Z."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"


def _findings(findings: tuple[Finding, ...]) -> dict[str, Any]:
    """Types and how many different values, and, where they are not equally sure, how many are at least how sure."""
    counts = {each.info_type: each.count for each in findings}
    levels = {each.info_type: dict(each.levels) for each in findings if each.levels}
    told = {name: {str(level): count for level, count in each.items()} for name, each in levels.items()}
    return {"findings": counts, "confidence": told} if told else {"findings": counts}
