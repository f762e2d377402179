"""Asks kept usage for everything an executive report shows."""

from __future__ import annotations

from datetime import datetime

from casb.discovery.executive import LEADING, LISTED, TOP, Category, Executive, bands, fresh, recommendations, risky
from casb.store.discovery_reports import Reports, Span


def executive(reports: Reports, span: Span, now: datetime, name: str = "") -> Executive:
    """The report of a span. `name` is its title. Raises `StoreError` D021."""
    apps = reports.apps(span)
    counters = reports.counters(span)
    new = fresh(apps, [each.facts.id for each in reports.apps(span.before)], len(apps))
    risks, traffic = bands(apps)
    stream = next((each.name for each in reports.streams() if each.id == span.stream), span.stream)
    categories = []
    for row in reports.categories(span)[:LEADING]:
        own = [each for each in apps if each.facts.category == row["name"]]
        people = reports.entities(span, "user", apps=[each.facts.id for each in own], limit=LISTED).rows
        categories.append(
            Category(
                id=row["name"],
                apps=row["apps"],
                users=row["users"],
                total=row["total"],
                standings={kind: part["total"] for kind, part in row["standings"].items()},
                leaders=tuple(own[:LISTED]),
                people=tuple((str(each["name"]), int(each["total"])) for each in people),
            )
        )
    users = reports.entities(span, "user", limit=TOP).rows
    return Executive(
        name=name.strip() or "Cloud Discovery executive report",
        report=stream,
        since=span.since,
        until=span.until,
        made=now,
        counters={key: (int(each["value"]), int(each["before"])) for key, each in counters.items()},
        trend=tuple((row["day"], int(row["total"]), int(row["users"])) for row in reports.trend(span)),
        risks=risks,
        risk_traffic=traffic,
        categories=tuple(categories),
        top_apps=tuple(apps[:TOP]),
        top_users=tuple((str(row["name"]), int(row["apps"]), int(row["total"]), int(row["up"])) for row in users),
        new_apps=new[:TOP],
        risky_apps=risky(apps),
        recommendations=recommendations(apps, new),
    )
