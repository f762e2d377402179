"""Reports over kept usage: what dashboard, lists, pages, policies and exports ask. One call, one answer as plain data.

Usage comes from the store, tags, scores and categories from the catalog in force at the moment of asking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from casb.catalog.factors import FACTORS
from casb.catalog.factors import Kind as FactorKind
from casb.discovery.facts import Facts
from casb.discovery.query import AppUsage, Condition, Scales, select, sort
from casb.discovery.streams import GLOBAL, WINDOWS, Kind, Stream
from casb.discovery.suggested import INSIGHTS, SUGGESTED
from casb.errors import StoreError
from casb.store import discovery_expressions as ask
from casb.store.discovery_book import Book
from casb.store.discovery_usage import FactRow, UsageStore

TOP = 100
"""Users, addresses and devices that an app's page lists."""
LARGEST_PAGE = 1000

SCALES = Scales(
    factors=frozenset(FACTORS),
    enums={name: factor.values for name, factor in FACTORS.items() if factor.kind is FactorKind.ENUM},
)
"""What the catalog's factors can be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A report: one stream or Global, and the days from `since` to `until`, both included."""

    stream: str
    since: date
    until: date

    @property
    def days(self) -> int:
        return (self.until - self.since).days + 1

    @property
    def streams(self) -> tuple[str, ...] | None:
        """As the store takes them: None is Global."""
        return None if self.stream == GLOBAL else (self.stream,)

    @property
    def before(self) -> Span:
        """The days just before, as many: what a trend compares with."""
        return Span(
            stream=self.stream, since=self.since - timedelta(days=self.days), until=self.since - timedelta(days=1)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Part of a list, and how long the whole list is."""

    rows: list[dict[str, Any]]
    total: int


class Reports:
    """Asks the store. `facts` gives the catalog in force."""

    def __init__(
        self, book: Book, usage: UsageStore, facts: Callable[[], Facts], clock: Callable[[], datetime]
    ) -> None:
        self._book = book
        self._usage = usage
        self._facts = facts
        self._clock = clock
        self.scales = SCALES

    # What there is

    def span(self, stream: str = GLOBAL, days: int = 90, *, until: date | None = None) -> Span:
        """The window of `days` days (7, 30 or 90) that ends with `until`, today by default.

        `stream` is an id or a name. Raises `StoreError` D031 no such stream, D032 no such window.
        """
        if days not in WINDOWS:
            raise StoreError("D032", f"reports cover {', '.join(map(str, WINDOWS))} days, not {days}")
        last = until or self._clock().date()
        return Span(stream=self._stream_id(stream), since=last - timedelta(days=days - 1), until=last)

    def _stream_id(self, stream: str) -> str:
        if stream.casefold() == GLOBAL:
            return GLOBAL
        found = self._book.stream(stream) or self._book.stream_named(stream)
        if found is None:
            raise StoreError("D031", f"there is no stream {stream!r}")
        return found.id

    def streams(self) -> list[Stream]:
        """Global first, then every stream."""
        listed = self._book.streams()
        inputs = [each for each in listed if each.kind.in_global]
        now = self._clock()
        last = [each.last_data for each in inputs if each.last_data]
        whole = Stream(
            id=GLOBAL,
            name="Global report",
            kind=Kind.GLOBAL,
            created=min((each.created for each in inputs), default=now),
            modified=max((each.modified for each in inputs), default=now),
            last_data=max(last, default=None),
            files=sum(each.files for each in inputs),
            failed=sum(each.failed for each in inputs),
        )
        return [whole, *listed]

    # The dashboard

    def counters(self, span: Span) -> dict[str, Any]:
        """Apps, users, addresses, devices, transactions and traffic, each with its value in the days before."""
        now, before = self._totals(span), self._totals(span.before)
        return {name: {"value": value, "before": before[name]} for name, value in now.items()}

    def trend(self, span: Span, *, apps: Sequence[str] | None = None, **entity: str) -> list[dict[str, Any]]:
        """One row for every day of the span; days without traffic have zeros."""
        found = {
            row["day"]: row
            for row in self._ask(span, ask.trend(self._scope(span, apps=apps, **entity)), narrow=_narrow(apps, entity))
        }
        every = [span.since + timedelta(days=each) for each in range(span.days)]
        nothing = dict.fromkeys((*ask.SUMS, "apps", "users", "ips", "devices"), 0)
        return [found.get(day, {"day": day, **nothing}) for day in every]

    def categories(self, span: Span) -> list[dict[str, Any]]:
        """Each category, split into sanctioned, unsanctioned and other; the one with most traffic first."""
        rows = self._ask(span, ask.by_category_and_standing(self._scope(span)), facts=True)
        whole = {row["name"]: row for row in self._ask(span, ask.by_fact(self._scope(span), "category"), facts=True)}
        for row in rows:
            parts = whole[row["category"]].setdefault("standings", {})
            parts[row["standing"]] = {key: row[key] for key in row if key not in ("category", "standing")}
        return sorted(whole.values(), key=lambda row: (-row["total"], row["name"]))

    def risks(self, span: Span, *, category: str | None = None) -> list[dict[str, Any]]:
        """Each risk band; of one category when it is named."""
        apps = None
        if category is not None:
            apps = [each.facts.id for each in self.apps(span) if each.facts.category == category]
        return self._ask(span, ask.by_fact(self._scope(span, apps=apps), "risk"), facts=True)

    def standings(self, span: Span) -> list[dict[str, Any]]:
        """Sanctioned, unsanctioned, other."""
        return self._ask(span, ask.by_fact(self._scope(span), "standing"), facts=True)

    def unmatched(self, span: Span, limit: int = 100) -> list[dict[str, Any]]:
        """The busiest hosts of no known app."""
        rows = self._book.unmatched(span.streams, span.since, span.until, limit)
        return [{"host": host, "transactions": count} for host, count in rows]

    def countries(self, span: Span) -> list[dict[str, Any]]:
        """Apps and traffic by country of headquarters; None where nobody knows it."""
        found: dict[str | None, dict[str, Any]] = {}
        for app in self.apps(span):
            place = app.facts.headquarters
            row = found.setdefault(place, {"country": place, "apps": 0, "total": 0, "events": 0})
            row["apps"] += 1
            row["total"] += app.total
            row["events"] += app.events
        return sorted(found.values(), key=lambda row: (-row["apps"], str(row["country"])))

    # Apps

    def apps(
        self,
        span: Span,
        rows: Sequence[Condition] = (),
        *,
        by: str = "traffic",
        descending: bool = True,
        **entity: str,
    ) -> list[AppUsage]:
        """Discovered apps that the rows of a question let pass, sorted. `user=`, `ip=`, `device=` or `resource=`
        narrow it to one entity's. Raises `StoreError` D032."""
        facts = self._facts()
        found = [
            AppUsage(facts=facts.app(row.pop("app")), **row)
            for row in self._ask(span, ask.by_app(self._scope(span, **entity)), narrow=_narrow(None, entity))
        ]
        try:
            return sort(select(found, rows, SCALES), by, descending=descending)
        except ValueError as error:
            raise StoreError("D032", str(error)) from None

    def suggested(self, span: Span, query: str) -> list[AppUsage]:
        """The apps of a suggested query, those with most traffic first."""
        if query not in SUGGESTED:
            raise StoreError("D032", f"there is no suggested query {query!r}; there are {', '.join(SUGGESTED)}")
        every = self.apps(span)
        found = {each.facts.id: each for rows in SUGGESTED[query].rows for each in select(every, rows, SCALES)}
        return sort(found.values())

    def insights(self, span: Span) -> dict[str, int]:
        """The counters of the inventory: untagged risky, untagged above 1 GB, untagged generative AI."""
        return {each: len(self.suggested(span, each)) for each in INSIGHTS}

    def app(self, span: Span, app: str, *, top: int = TOP) -> dict[str, Any]:
        """An app's page: usage, trend, and its top users, addresses, devices and resources."""
        whole = next((each for each in self.apps(span) if each.facts.id == app), None)
        lists = {
            name: self.entities(span, name, apps=[app], limit=top).rows for name in ("user", "ip", "device", "resource")
        }
        return {
            "facts": self._facts().app(app),
            "usage": whole,
            "trend": self.trend(span, apps=[app]),
            "users": lists["user"],
            "ips": lists["ip"],
            "devices": lists["device"],
            "resources": lists["resource"],
        }

    def daily(self, span: Span) -> Iterator[tuple[date, AppUsage]]:
        """Each app's sums of each day: what a discovery policy's thresholds of a day are compared with."""
        facts = self._facts()
        for row in self._ask(span, ask.by_app_and_day(self._scope(span))):
            day, app = row.pop("day"), row.pop("app")
            at = datetime.combine(day, datetime.min.time(), self._clock().tzinfo)
            yield day, AppUsage(facts=facts.app(app), **row, first=at, last=at)

    # Users, addresses, devices, resources

    def entities(
        self,
        span: Span,
        entity: str,
        *,
        apps: Sequence[str] | None = None,
        search: str = "",
        by: str = "total",
        descending: bool = True,
        skip: int = 0,
        limit: int = 100,
        **within: str,
    ) -> Page:
        """A page of users (`user`), addresses (`ip`), devices (`device`) or resources (`resource`).

        `apps` and `user=` and the like narrow it: the users of an app, the addresses of a user. Raises
        `StoreError` D032.
        """
        if entity not in ask.ENTITIES or by not in ask.ENTITY_SORTS:
            raise StoreError("D032", f"there is no list of {entity!r} by {by!r}")
        if not 0 <= skip <= 10**9 or not 1 <= limit <= LARGEST_PAGE:
            raise StoreError("D032", f"a page has 1 to {LARGEST_PAGE} rows")
        rows = self._scope(span, apps=apps, **within)
        search = search[:200]
        page = ask.entity_page(rows, entity, search=search, by=by, descending=descending, skip=skip, limit=limit)
        narrow = _narrow(apps, within)
        found = self._ask(span, page, narrow=narrow)
        if skip == 0 and len(found) < limit:
            return Page(rows=found, total=len(found))
        total = self._ask(span, ask.entity_count(rows, entity, search=search), narrow=narrow)
        return Page(rows=found, total=int(total[0]["count"] or 0))

    def entity(self, span: Span, entity: str, name: str) -> dict[str, Any]:
        """The page of one user, address or device: sums, apps, trend, and the other kinds of entity seen with it."""
        if entity not in ask.ENTITIES:
            raise StoreError("D032", f"there are no pages of {entity!r}")
        others = [each for each in ("user", "ip", "device") if each != entity]
        narrow: dict[str, Any] = {entity: name}
        return {
            "name": name,
            "totals": self._totals(span, **narrow),
            "apps": self.apps(span, **narrow),
            "trend": self.trend(span, **narrow),
            **{f"{each}s": self.entities(span, each, limit=TOP, **narrow).rows for each in others},
        }

    def resources(self, span: Span, *, apps: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Discovered resources: `kind` and `name`, their app, and usage."""
        facts = self._facts()
        found = []
        for row in self._ask(span, ask.by_resource(self._scope(span, apps=apps))):
            kind, _, name = row.pop("resource").partition(":")
            found.append({"kind": kind, "name": name, "app_name": facts.app(row["app"]).name, **row})
        return found

    # For others

    def siem(self, span: Span) -> Iterator[dict[str, Any]]:
        """Rows of the table McasShadowItReporting (reference section 16)."""
        facts = self._facts()
        names = {each.id: each.name for each in self.streams()}
        for row in self._ask(span, ask.siem(self._scope(span))):
            yield siem_row(row, facts, names)

    def _totals(self, span: Span, **entity: str) -> dict[str, int]:
        rows = self._ask(span, ask.totals(self._scope(span, **entity)), narrow=_narrow(None, entity))
        return {name: int(value or 0) for name, value in rows[0].items()}

    def _scope(self, span: Span, **narrow: Any) -> Any:
        return ask.scope(span.streams, span.since, span.until, **narrow)

    def _ask(
        self, span: Span, expression: Any, *, facts: bool = False, narrow: tuple[str, str] | None = None
    ) -> list[dict[str, Any]]:
        known = self._fact_rows(span) if facts else ()
        return self._usage.ask(
            expression, streams=span.streams, since=span.since, until=span.until, facts=known, narrow=narrow
        )

    def _fact_rows(self, span: Span) -> list[FactRow]:
        """Of the apps that are in the span, and of no others: the catalog has many more."""
        facts = self._facts()
        apps = [row["app"] for row in self._ask(span, ask.apps_seen(self._scope(span)))]
        return [FactRow(app, known.category, known.standing, known.risk) for app in apps if (known := facts.app(app))]


def _narrow(apps: Sequence[str] | None, entity: Mapping[str, str]) -> tuple[str, str] | None:
    """The one app, user, address or device that a question is about."""
    if entity:
        return next(iter(entity.items()))
    return ("app", apps[0]) if apps is not None and len(apps) == 1 else None


def siem_row(row: Mapping[str, Any], facts: Facts, streams: Mapping[str, str]) -> dict[str, Any]:
    """One row of McasShadowItReporting."""
    app = facts.app(row["app"])
    return {
        "TenantId": "",
        "SourceSystem": "casb",
        "TimeGenerated": row["last"].isoformat(),
        "StreamName": streams.get(row["stream"], row["stream"]),
        "TotalEvents": row["events"],
        "BlockedEvents": row["blocked"],
        "UploadedBytes": row["up"],
        "TotalBytes": row["total"],
        "DownloadedBytes": row["down"],
        "IpAddress": row["ip"] or "",
        "UserName": row["account"] or row["user"] or "",
        "EnrichedUserName": (row["user"] or "") if row["account"] else "",
        "MachineName": row["device"] or "",
        "AppName": app.name,
        "AppId": app.id,
        "AppCategory": app.category,
        "AppTags": sorted({*app.tags, *([] if app.tag == "none" else [app.tag])}),
        "AppScore": app.score,
        "Type": "McasShadowItReporting",
    }
