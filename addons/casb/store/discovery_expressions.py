"""Every question that reports ask of kept usage, as Ibis expressions over two tables; compiled, never run, here.

One set for all engines: the embedded DuckDB and PostgreSQL run them (tests hold both to the same answers); Spark's and
ClickHouse's SQL can be shown. Ibis writes `nunique` for ClickHouse as `uniq`, which is approximate: `sql_of` puts
`uniqExact` there, because counts of users decide policies.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

import ibis

USAGE = ibis.table(
    {
        "stream": "string",
        "in_global": "boolean",
        "day": "date",
        "app": "string",
        "user": "string",
        "account": "string",
        "ip": "string",
        "device": "string",
        "resource": "string",
        "events": "int64",
        "blocked": "int64",
        "up": "int64",
        "down": "int64",
        "total": "int64",
        "first": "timestamp('UTC')",
        "last": "timestamp('UTC')",
    },
    name="usage",
)
FACTS = ibis.table({"app": "string", "category": "string", "standing": "string", "risk": "string"}, name="app_facts")
"""What the catalog in force says of the apps in `usage`, put beside it for one question."""

_EXACT = {"uniq(": "uniqExact("}
ENTITIES = ("user", "ip", "device", "resource")
SUMS = ("events", "blocked", "up", "down", "total")
ENTITY_SORTS = ("name", "apps", "events", "blocked", "up", "down", "total", "last")

type Table = Any  # an Ibis expression: the package ships no types


def scope(
    streams: Sequence[str] | None,
    since: date,
    until: date,
    *,
    apps: Sequence[str] | None = None,
    user: str | None = None,
    ip: str | None = None,
    device: str | None = None,
    resource: str | None = None,
) -> Table:
    """The rows a question is about: days `since` to `until`, both included. `streams` None is the Global report."""
    where = [USAGE.day >= ibis.literal(since), USAGE.day <= ibis.literal(until)]
    where.append(USAGE.in_global if streams is None else USAGE.stream.isin(list(streams)))
    if apps is not None:
        where.append(USAGE.app.isin(list(apps)))
    for name, value in (("user", user), ("ip", ip), ("device", device), ("resource", resource)):
        if value is not None:
            where.append(USAGE[name] == value)
    return USAGE.filter(*where)


def totals(rows: Table) -> Table:
    """One row: sums, and how many apps, users, addresses and devices."""
    return rows.aggregate(**_sums(rows), apps=rows.app.nunique(), **_distinct(rows))


def trend(rows: Table) -> Table:
    """`totals` of each day that has any."""
    return rows.group_by("day").agg(**_sums(rows), apps=rows.app.nunique(), **_distinct(rows)).order_by("day")


def by_app(rows: Table) -> Table:
    """One row per app."""
    return (
        rows.group_by("app")
        .agg(**_sums(rows), **_distinct(rows), first=rows["first"].min(), last=rows["last"].max())
        .order_by("app")
    )


def apps_seen(rows: Table) -> Table:
    """The apps there are."""
    return rows.select("app").distinct().order_by("app")


def by_app_and_day(rows: Table) -> Table:
    """One row per app and day: what discovery policies compare with their thresholds of a day."""
    return rows.group_by("day", "app").agg(**_sums(rows), **_distinct(rows)).order_by("day", "app")


def uploads(
    rows: Table, entity: str, *, more_than: int = 0, names: Sequence[str] | None = None, limit: int = 100_000
) -> Table:
    """What each user or address uploaded to each app on each day, the largest first."""
    rows = _named(rows, entity, "")
    if names is not None:
        rows = rows.filter(rows[entity].isin(list(names)))
    found = rows.group_by("day", "app", name=rows[entity]).agg(up=rows.up.sum().cast("int64"))
    return found.filter(found.up > more_than).order_by(ibis.desc("up"), "day", "app", "name").limit(limit)


def by_entity(rows: Table, entity: str, *, search: str = "") -> Table:
    """One row per user, address, device or resource. `search` is part of its name, any case."""
    rows = _named(rows, entity, search)
    return rows.group_by(name=rows[entity]).agg(
        **_sums(rows),
        apps=rows.app.nunique(),
        users=rows.user.nunique(),
        ips=rows.ip.nunique(),
        first=rows["first"].min(),
        last=rows["last"].max(),
    )


def entity_page(
    rows: Table,
    entity: str,
    *,
    search: str = "",
    by: str = "total",
    descending: bool = True,
    skip: int = 0,
    limit: int = 100,
) -> Table:
    """A page of `by_entity`, sorted; ties by name."""
    found = by_entity(rows, entity, search=search)
    order = ibis.desc(by) if descending else ibis.asc(by)
    ties = () if by == "name" else (ibis.asc("name"),)
    return found.order_by(order, *ties).limit(limit, offset=skip)


def entity_count(rows: Table, entity: str, *, search: str = "") -> Table:
    """How many entities `by_entity` has: one row, `count`."""
    rows = _named(rows, entity, search)
    return rows.aggregate(count=rows[entity].nunique())


def by_resource(rows: Table) -> Table:
    """One row per app and resource (buckets, storage accounts, web apps)."""
    rows = rows.filter(rows.resource.notnull())
    return (
        rows.group_by("app", "resource")
        .agg(**_sums(rows), **_distinct(rows), first=rows["first"].min(), last=rows["last"].max())
        .order_by(ibis.desc("total"), "app", "resource")
    )


def by_fact(rows: Table, fact: str) -> Table:
    """One row per value of `category`, `standing` or `risk`: sums and distinct counts over all its apps."""
    joined = _with_facts(rows)
    return (
        joined.group_by(name=joined[fact])
        .agg(**_sums(joined), apps=joined.app.nunique(), **_distinct(joined))
        .order_by("name")
    )


def by_category_and_standing(rows: Table) -> Table:
    """The categories chart: each category split into sanctioned, unsanctioned and other."""
    joined = _with_facts(rows)
    return (
        joined.group_by("category", "standing")
        .agg(**_sums(joined), apps=joined.app.nunique(), **_distinct(joined))
        .order_by("category", "standing")
    )


def siem(rows: Table) -> Table:
    """One row per stream, app, user, address, device and day: what McasShadowItReporting is made of."""
    return (
        rows.group_by("day", "stream", "app", "user", "account", "ip", "device")
        .agg(**_sums(rows), last=rows["last"].max())
        .order_by("day", "stream", "app", "user", "ip", "device", "account")
    )


def streams_seen() -> Table:
    """Stream, first and last day, rows: what there is."""
    return (
        USAGE.group_by("stream").agg(first=USAGE.day.min(), last=USAGE.day.max(), rows=USAGE.count()).order_by("stream")
    )


def sql_of(expression: Table, dialect: str) -> str:
    """The expression as SQL: `duckdb`, `postgres`, `clickhouse`, `pyspark`. Texts in it are quoted literals."""
    sql = str(ibis.to_sql(expression, dialect=dialect))
    if dialect != "clickhouse":
        return sql
    # Quoted texts are matched as a whole, so that what somebody is called stays as it is.
    return re.sub(r"'(?:[^'\\]|\\.|'')*'|\buniq\(", lambda found: _EXACT.get(found[0], found[0]), sql)


def _sums(rows: Table) -> dict[str, Any]:
    return {name: rows[name].sum().cast("int64") for name in SUMS}


def _distinct(rows: Table) -> dict[str, Any]:
    return {"users": rows.user.nunique(), "ips": rows.ip.nunique(), "devices": rows.device.nunique()}


def _named(rows: Table, entity: str, search: str) -> Table:
    if entity not in ENTITIES:
        raise ValueError(f"there are no lists of {entity!r}")
    rows = rows.filter(rows[entity].notnull())
    return rows.filter(rows[entity].lower().contains(search.lower())) if search else rows


def _with_facts(rows: Table) -> Table:
    return rows.inner_join(FACTS, "app")
