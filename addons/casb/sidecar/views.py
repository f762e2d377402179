"""Lines of tables, put together from the configuration and the log; the portal and `/v1` show the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from casb.model.app import App
from casb.model.record import rfc3339
from casb.sidecar.deployment import PolicyView, View
from casb.sidecar.services import Services


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
                    settings.address_of(f"{domain}.{settings.suffix}") + app.start
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


def policy_lines(services: Services, view: View, span: timedelta) -> list[PolicyLine]:
    """The configured policies, with their hits in the time before now."""
    hits = services.records.policy_hits(services.clock() - span)
    return [PolicyLine(policy=each, hits=hits.get(each.id, 0)) for each in view.policies]
