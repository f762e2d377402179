"""Lines of tables, put together from the configuration and the log; the portal and `/v1` show the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from casb.model.app import App
from casb.model.record import rfc3339
from casb.settings import Settings
from casb.sidecar.deployment import PolicyView, View
from casb.sidecar.services import Services
from casb.spelling import spell
from casb.store.row import millis

STALE = timedelta(seconds=30)  # a proxy that has been silent for longer is told to be away


@dataclass(frozen=True, slots=True, kw_only=True)
class AppLine:
    """A configured app, or one that the log knows and the configuration does not (`app` None)."""

    id: str
    name: str
    app: App | None
    addresses: tuple[str, ...]
    first: datetime | None = None
    last: datetime | None = None
    count: int = 0
    week: int = 0  # activities in the last seven days

    def as_json(self) -> dict[str, Any]:
        """As `/v1/apps` gives it."""
        app = self.app
        return {
            "id": self.id,
            "name": self.name,
            "configured": app is not None,
            "category": app and app.category,
            "tag": app and app.tag.value,
            "controlled": app and app.controlled,
            "domains": list(app.domains) if app else [],
            "addresses": list(self.addresses),
            "first": self.first and rfc3339(self.first),
            "last": self.last and rfc3339(self.last),
            "activities": self.count,
            "activities_7d": self.week,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordLine:
    """A record as a line of the log: texts only, empty where the record says nothing. `time` is RFC 3339 in UTC."""

    id: str
    time: str
    action: str
    activity: str
    user: str
    app: str
    file: str
    tags: tuple[str, ...]
    ip: str
    policy: str
    severity: str
    by_default: bool  # our own failure decided, not a policy


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyLine:
    """What a proxy last said of itself. `versions` are the configurations that its workers have in force."""

    name: str
    time: datetime
    alive: bool
    versions: tuple[str, ...]
    workers: str  # "2 of 2", empty when it did not say
    problems: tuple[str, ...]
    pending_bytes: float
    lag: float  # seconds
    rejected: int  # records put aside, torn lines among them


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLine:
    """A policy and how often it matched."""

    policy: PolicyView
    hits: int

    def as_json(self) -> dict[str, Any]:
        """As `/v1/policies` gives it."""
        each = self.policy
        return {
            "id": each.id,
            "name": each.name,
            "kind": each.kind,
            "action": each.action,
            "severity": each.severity,
            "enabled": each.enabled,
            "apps": list(each.apps),
            "file": each.file,
            "line": each.line,
            "hits_7d": self.hits,
        }


def record_line(record: Mapping[str, Any]) -> RecordLine:
    """A kept record, whatever it lacks."""

    def text(*path: str) -> str:
        value: Any = record
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value if isinstance(value, str) else ""

    device = record.get("device") or {}
    return RecordLine(
        id=text("id"),
        time=rfc3339(datetime.fromtimestamp(millis(record.get("time")) / 1000, UTC)),
        action=text("action"),
        activity=text("activity").replace("_", " "),
        user=text("user", "name"),
        app=text("app", "name") or text("app", "id"),
        file=text("file", "name"),
        tags=tuple(device.get("tags") or ()),
        ip=text("client", "ip"),
        policy=text("policy"),
        severity=text("severity"),
        by_default=record.get("default_behaviour") is True,
    )


def _spelt(domain: str, settings: Settings) -> str:
    return spell(f"[{domain}]" if ":" in domain else domain, "", flat=settings.host_names == "flat")


def app_lines(services: Services) -> list[AppLine]:
    """The configured apps in their order, then those that only the log knows."""
    settings, now = services.settings, services.clock()
    seen = {each.app: each for each in services.records.apps_seen()}
    week = services.records.counts("app", now - timedelta(days=7), now)
    lines = []
    for app in services.deployment.view().apps:
        known = seen.pop(app.id, None)
        lines.append(
            AppLine(
                id=app.id,
                name=app.name,
                app=app,
                addresses=tuple(
                    settings.address_of(f"{_spelt(domain, settings)}.{settings.suffix}") + app.start
                    for domain in app.domains
                    if app.controlled and not domain.startswith("*.")
                ),
                first=known.first if known else None,
                last=known.last if known else None,
                count=known.count if known else 0,
                week=week.get(app.id, 0),
            )
        )
    for known in seen.values():
        lines.append(
            AppLine(
                id=known.app,
                name=known.name,
                app=None,
                addresses=(),
                first=known.first,
                last=known.last,
                count=known.count,
                week=week.get(known.app, 0),
            )
        )
    return lines


def proxy_lines(services: Services) -> list[ProxyLine]:
    """Every proxy that ever reported. Facts that are not of their form are left out."""
    now = services.clock()
    lines = []
    for status in services.portal.statuses():
        facts = status.facts
        spool = facts.get("spool")
        numbers = {
            name: value
            for name, value in (spool.items() if isinstance(spool, dict) else ())
            if isinstance(value, int | float)
        }
        known = isinstance(facts.get("workers"), int) and isinstance(facts.get("wanted"), int)
        lines.append(
            ProxyLine(
                name=status.name,
                time=status.time,
                alive=now - status.time < STALE,
                versions=_texts(facts.get("versions")),
                workers=f"{facts['workers']} of {facts['wanted']}" if known else "",
                problems=_texts(facts.get("problems")),
                pending_bytes=numbers.get("pending_bytes", 0),
                lag=numbers.get("lag", 0),
                rejected=int(numbers.get("rejected", 0) + numbers.get("torn", 0)),
            )
        )
    return lines


def _texts(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def policy_lines(services: Services, view: View, span: timedelta) -> list[PolicyLine]:
    """The configured policies, with their hits in the time before now."""
    hits = services.records.policy_hits(services.clock() - span)
    alerts = services.alerts.policy_days(services.clock() - span)

    def count(policy: PolicyView) -> int:
        return sum(alerts.get(policy.id, {}).values()) if policy.afterwards else hits.get(policy.id, 0)

    return [PolicyLine(policy=each, hits=count(each)) for each in view.policies]
