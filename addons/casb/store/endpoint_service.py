"""Devices with an endpoint agent, as one thing: what they send, what is known of them, what they are told to block."""

from __future__ import annotations

import time as clocks
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from casb.catalog.inventory import Inventory
from casb.discovery import PARSERS
from casb.discovery.endpoint_attempts import (
    BLOCKED_TITLE,
    NOT_BLOCKED_TITLE,
    Attempt,
    InForce,
    Kind,
    attempts,
    covering,
)
from casb.discovery.endpoint_hunting import hosts_of, query_for
from casb.discovery.endpoint_indicators import Options, Plan, Rule, plan
from casb.discovery.endpoint_reading import once, read_endpoint, read_records
from casb.discovery.endpoint_records import DeviceContext, NetworkEvent
from casb.discovery.endpoint_risk import BASELINE, OBSERVED, Assessment, DayUse, assess
from casb.discovery.export import plain_app
from casb.discovery.pseudonym import Pseudonyms
from casb.discovery.streams import Stream
from casb.errors import StoreError
from casb.settings import Settings
from casb.store import discovery_expressions as ask
from casb.store.alerts_sqlite import AlertStore, NewAlert
from casb.store.discovery_book import Book
from casb.store.discovery_catalog import Known
from casb.store.discovery_ingest import TOLERANCE, Ingestor, Input, Refused, digest, discovery_folder
from casb.store.discovery_key import pseudonyms
from casb.store.discovery_pieces import Piece, opened
from casb.store.discovery_reports import Reports, Span
from casb.store.discovery_usage import UsageStore
from casb.store.endpoint_book import EndpointBook
from casb.store.endpoint_events import EndpointEvents, Writer, plain_rows
from casb.store.records_sqlite import Database, database_path

SETTLE = timedelta(minutes=10)
"""How long a handshake with a blocked app waits for the block of it: both are told by streams of their own."""
SEEN = 5000
"""Devices after which they are written down."""
MOST_WATCHED = 50_000
"""Events about blocked apps of one input that are judged together."""
DAILY_ALERTS = 500
QUIET = 5.0
"""Seconds without a change after which a dropped file is whole."""
BLOCKED_POLICY, NOT_BLOCKED_POLICY = "endpoint-blocked-app", "endpoint-not-blocked"
ALERTS = {
    Kind.BLOCKED: (BLOCKED_TITLE, BLOCKED_POLICY),
    Kind.BYPASSED: ("A warning of a monitored cloud application was bypassed", "endpoint-bypassed-warning"),
    Kind.NOT_BLOCKED: (NOT_BLOCKED_TITLE, NOT_BLOCKED_POLICY),
}


def is_endpoint(source: str | None) -> bool:
    """Whether a log format is that of an endpoint agent."""
    parser = PARSERS.find(source) if source else None
    return parser is not None and parser.name == "defender-network"


class Endpoints:
    """Raises `StoreError` D070 for a device or app that nobody knows."""

    def __init__(
        self,
        settings: Settings,
        streams: Book,
        usage: UsageStore,
        reports: Reports,
        ingestor: Ingestor,
        *,
        known: Callable[[], Known],
        clock: Callable[[], datetime],
    ) -> None:
        folder = discovery_folder(settings)
        self.settings = settings
        self.chosen = settings.discovery.endpoints
        self.book = EndpointBook.open(folder)
        self.events = EndpointEvents(folder, days=self.chosen.hunting_days, limit=self.chosen.hunting_limit)
        self.options = Options(
            severity=self.chosen.severity,
            blocked_url=self.chosen.blocked_url,
            warned_url=self.chosen.warned_url,
            bypass_hours=self.chosen.bypass_hours,
        )
        self._streams = streams
        self._usage = usage
        self._reports = reports
        self._ingestor = ingestor
        self._known = known
        self._clock = clock
        self._alerts: tuple[Database, AlertStore] | None = None

    def close(self) -> None:
        """Let go."""
        self.book.close()
        if self._alerts is not None:
            self._alerts[0].close()

    # In

    def take(self, given: Input, progress: Callable[[int], None] | None = None) -> dict[str, Any]:
        """Ingest an export, once: devices, single events, attempts at blocked apps, and usage.

        Raises `Refused` when nothing of it counts, `StoreError` when it cannot be kept: then it may come again.
        """
        given = replace(given, key=given.key or digest(given.paths))
        kept = self._keep(given)
        try:
            outcome = self._ingestor.take(given, progress, reader=read_endpoint)
        except Refused as refused:
            # Facts about devices, blocks and hosts of no app are worth keeping, too.
            if not kept["devices"] or refused.code not in ("D011", "D013"):
                raise
            outcome = {**refused.outcome, "fresh": kept["fresh"]}
        self.settle()
        return {**outcome, "endpoint": kept}

    def _keep(self, given: Input) -> dict[str, Any]:
        """Everything but usage: devices, single events, attempts."""
        key = f"{given.stream.id}:{given.key}"
        if self.book.has(key):
            return {"fresh": False, "events": 0, "contexts": 0, "devices": 1}
        run = _Run(
            self.book,
            self.events.writer(key, self._clock()) if self.chosen.hunting_days else None,
            _Hide.of(given.stream, lambda: pseudonyms(Path(self.settings.data))),
            newest=self._clock() + TOLERANCE,
            oldest=self._clock() - timedelta(days=self.settings.discovery.retention_days),
        )
        try:
            for path in given.paths:
                with opened(Piece(path=path), _nobody) as stream:
                    run.feed(read_records(stream, path))
            run.done(self._clock())
        finally:
            run.close()
        self.book.took(key, self._clock(), run.count)
        return {"fresh": True, "events": run.count, "contexts": run.contexts, "devices": run.devices}

    def dropped(self) -> Iterator[Path]:
        """Exports in the folder that is watched, once nobody writes to them any more."""
        if self.chosen.directory is None:
            return
        folder = Path(self.chosen.directory)
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            hidden = path.name.startswith(".") or path.suffix in (".part", ".tmp")
            if not hidden and path.is_file() and not path.is_symlink():
                if clocks.time() - path.stat().st_mtime >= QUIET:
                    yield path

    # Alerts

    def waiting(self) -> bool:
        """Whether an attempt is to be told about."""
        return self.book.waiting(self._clock())

    def settle(self) -> int:
        """Raise alerts about attempts that are settled; how many attempts."""
        count = 0
        while found := self.book.untold(self._clock()):
            for each in found:
                if each.kind in (Kind.BLOCKED, Kind.BYPASSED):
                    self.book.confirm(each.domain, each.time)
            self._alert_store().raise_all([self._alert(each) for each in found])
            self.book.told([each.id for each in found], self._clock())
            count += len(found)
        return count

    def _alert(self, each: Attempt) -> NewAlert:
        title, policy = ALERTS[each.kind]
        severity = self.chosen.severity
        return NewAlert(
            time=each.time,
            kind="discovery",
            policy=policy,
            severity="low" if severity == "informational" else severity,
            title=title,
            key=each.id,  # one alert for each attempt
            activity=each.id,
            app=each.app,
            user=each.user,
            ip=each.ip,
            detail={
                "severity": severity,
                "category": "SuspiciousActivity",
                "detection_source": "custom TI",
                "app": each.name,
                "domain": each.domain,
                "host": each.host,
                "device": each.device,
                "device_id": each.device_id,
                "first_activity": each.time.isoformat(),
                "last_activity": each.last.isoformat(),
                "outcome": each.kind.value,
            },
            daily_limit=DAILY_ALERTS,
        )

    def _alert_store(self) -> AlertStore:
        if self._alerts is None:
            database = Database(database_path(self.settings))
            self._alerts = (database, AlertStore(database))
        return self._alerts[1]

    # Devices

    def devices(
        self,
        span: Span,
        *,
        search: str = "",
        by: str = "total",
        descending: bool = True,
        skip: int = 0,
        limit: int = 100,
    ) -> dict[str, Any]:
        """A page of the list: usage in the window, with level, OS and group. `total` says how long the list is."""
        page = self._reports.entities(
            span, "device", search=search, by=by, descending=descending, skip=skip, limit=limit
        )
        levels = self._levels(span, [row["name"] for row in page.rows])
        return {"total": page.total, "rows": [self._listed(row, levels[row["name"]]) for row in page.rows]}

    def every_device(self, span: Span, *, search: str = "", most: int = 100_000) -> Iterator[dict[str, Any]]:
        """All of the list, for exports."""
        for skip in range(0, most, 1000):
            rows = self.devices(span, search=search, skip=skip, limit=1000)["rows"]
            yield from rows
            if len(rows) < 1000:
                return

    def device(self, span: Span, name: str) -> dict[str, Any]:
        """The page of one device, by name or id: overview, apps, users, addresses, trend, why it is risky."""
        device = self.book.device(name)
        used = device.name if device is not None else name
        page = self._reports.entity(span, "device", used)
        if device is None and not page["totals"]["events"]:
            raise StoreError("D070", f"there is no device {name!r}")
        assessment, risky = self._levels(span, [used])[used]
        apps = [plain_app(each) for each in page["apps"]]
        totals = page["totals"]
        return {
            "device": device and {**asdict(device), "first": device.first.isoformat(), "last": device.last.isoformat()},
            "name": used,
            "overview": {
                "apps": len(apps),
                "risky_apps": sum(each["app"] in risky for each in apps),
                "level": assessment.level.value,
                "events": totals["events"],
                "blocked": totals["blocked"],
                "total_mb": _megabytes(totals["total"]),
                "up_mb": _megabytes(totals["up"]),
                "down_mb": _megabytes(totals["down"]),
            },
            "signals": _signals(assessment),
            "totals": totals,
            "apps": apps,
            "users": page["users"],
            "ips": page["ips"],
            "trend": page["trend"],
        }

    def _listed(self, row: dict[str, Any], level: tuple[Assessment, set[str]]) -> dict[str, Any]:
        device = self.book.device(row["name"])
        assessment, risky = level
        return {
            **row,
            "id": device.id if device else "",
            "os": device.os if device else "",
            "group": device.group if device else "",
            "console_risk": device.risk if device else "",
            "level": assessment.level.value,
            "why": "; ".join(each.text for each in assessment.signals),
            "risky_apps": len(risky),
        }

    def _levels(self, span: Span, names: Sequence[str]) -> dict[str, tuple[Assessment, set[str]]]:
        """Level of each device, and the risky apps it uses."""
        since = span.until - timedelta(days=BASELINE + OBSERVED)
        rows = ask.scope(span.streams, since, span.until)
        rows = rows.filter(rows.device.isin(list(names)))
        found = (
            self._usage.ask(
                rows.group_by("device", "day", "app").agg(
                    events=rows.events.sum(), blocked=rows.blocked.sum(), up=rows.up.sum(), total=rows.total.sum()
                ),
                streams=span.streams,
                since=since,
                until=span.until,
            )
            if names
            else []
        )
        uses: dict[str, list[DayUse]] = {name: [] for name in names}
        for row in found:
            device = row.pop("device")
            uses[device].append(DayUse(day=_day(row.pop("day")), app=row.pop("app"), **row))
        facts = self._known().facts
        apps = {use.app: facts.app(use.app) for each in uses.values() for use in each}
        risky = {app for app, known in apps.items() if known.risk == "high" and known.tag != "sanctioned"}
        banned = {app for app, known in apps.items() if known.tag == "unsanctioned"}
        return {
            name: (
                assess(each, risky=risky, unsanctioned=banned, today=span.until),
                {use.app for use in each} & (risky | banned),
            )
            for name, each in uses.items()
        }

    # Hunting

    def hunt(self, app: str, *, days: int = 7, device: str | None = None, limit: int = 1000) -> list[dict[str, Any]]:
        """Single events about an app, the latest first, with the columns of DeviceNetworkEvents."""
        now = self._clock()
        hosts = hosts_of(self._domains(app))
        return plain_rows(
            self.events.find(hosts, since=now - timedelta(days=days), until=now + TOLERANCE, device=device, limit=limit)
        )

    def query(self, app: str, *, days: int = 7) -> str:
        """The query for the console's advanced hunting."""
        return query_for(self._domains(app), days=days)

    def _domains(self, app: str) -> tuple[str, ...]:
        inventory = self._known().inventory
        patterns = _patterns(inventory) if inventory is not None else {}
        found = patterns.get(app)
        if found is None and inventory is not None:
            named = [each.id for each in inventory if each.app.name.casefold() == app.casefold()]
            found = patterns.get(named[0]) if named else None
        if not found:
            raise StoreError("D070", f"there is no app {app!r} with domains")
        return tuple(found)

    # Indicators

    def plan(self) -> Plan:
        """What should be in force on devices, by the tags of now; nothing where it is switched off."""
        inventory = self._known().inventory
        if not self.chosen.enforce or inventory is None:
            return Plan()
        facts = self._known().facts
        rules, others = [], {}
        patterns = _patterns(inventory)
        for entry in inventory:
            tag = facts.app(entry.id).tag
            owned = patterns.get(entry.id, [])
            if tag not in ("unsanctioned", "monitored") or entry.protected:
                others.update(dict.fromkeys(owned, entry.app.name))
                continue
            profile = entry.profile
            rules.append(
                Rule(
                    app=entry.id,
                    name=entry.app.name,
                    warn=tag == "monitored",
                    patterns=tuple(owned),
                    include=profile.include if profile else frozenset(),
                    exclude=profile.exclude if profile else frozenset(),
                )
            )
        return plan(
            rules,
            protected=inventory.protected,
            others=others,
            groups=self.book.groups().values(),
        )

    def export(self) -> list[dict[str, Any]]:
        """The planned indicators in the shape of the API."""
        return [each.as_api(self.options) for each in self.plan().indicators]

    def status(self, app: str | None = None) -> list[dict[str, Any]]:
        """How far each app is: the state of its indicators, refused domains, attempts."""
        planned = self.plan()
        found: dict[str, dict[str, Any]] = {}
        for each in self.book.indicators(app):
            row = found.setdefault(each.app, _app_row(each.app, each.name, each.action))
            row["indicators"].append(each.as_json())
        for one in planned.indicators:
            if app not in (None, one.app):
                continue
            row = found.setdefault(one.app, _app_row(one.app, one.name, one.action))
            if all(each["domain"] != one.domain for each in row["indicators"]):
                row["indicators"].append({"domain": one.domain, "state": "pending", "reason": ""})
        for refusal in planned.refused:
            if app in (None, refusal.app):
                row = found.setdefault(refusal.app, _app_row(refusal.app, refusal.app, ""))
                row["refused"].append({"domain": refusal.pattern, "why": refusal.why})
        for row in found.values():
            row["state"] = _state([each["state"] for each in row["indicators"]], bool(row["refused"]))
            row["controls"] = self.book.controls(row["app"])
        return [found[each] for each in sorted(found)]

    def tidy(self) -> None:
        """Retention."""
        self.settle()
        self.events.tidy(self._clock())
        self.book.tidy(self._clock())


class _Run:
    """One input on its way in."""

    def __init__(
        self, book: EndpointBook, writer: Writer | None, hide: _Hide, *, newest: datetime, oldest: datetime
    ) -> None:
        self._book = book
        self._writer = writer
        self._hide = hide
        self._newest = newest
        self._oldest = oldest
        self._seen: dict[str, tuple[str, datetime, datetime]] = {}
        self._contexts: dict[str, DeviceContext] = {}
        self._watched: list[NetworkEvent] = []
        self._indicators: dict[str, InForce] = book.in_force()
        self._found: list[Attempt] = []
        self.count = self.contexts = self.devices = 0

    def feed(self, records: Iterable[Any]) -> None:
        """Read them to the end."""
        for told in once(records):
            if isinstance(told, NetworkEvent | DeviceContext) and self._oldest <= told.time <= self._newest:
                if isinstance(told, NetworkEvent):
                    self._event(self._hide.event(told))
                else:
                    self._contexts[told.device_id] = self._hide.context(told)
                    self.contexts += 1
            if len(self._seen) + len(self._contexts) >= SEEN:
                self._write_devices()

    def _event(self, event: NetworkEvent) -> None:
        self.count += 1
        if self._writer is not None:
            self._writer.add(event)
        name, first, last = self._seen.get(event.device_id, (event.device, event.time, event.time))
        self._seen[event.device_id] = (name, min(first, event.time), max(last, event.time))
        if covering(event.host, self._indicators) is not None:
            self._watched.append(event)
            if len(self._watched) >= MOST_WATCHED:
                self._judge()

    def _judge(self) -> None:
        groups = {**self._book.groups(), **{each.device_id: each.group for each in self._contexts.values()}}
        self._found += attempts(self._watched, self._indicators, groups)
        self._watched.clear()

    def _write_devices(self) -> None:
        self.devices += len(self._seen.keys() | self._contexts.keys())
        self._book.see(self._seen, self._contexts.values())
        self._seen.clear()
        self._contexts.clear()

    def done(self, now: datetime) -> None:
        """Put everything in force. All of it may come again: nothing counts twice."""
        if self._writer is not None:
            self._writer.done()
        self._judge()
        self._write_devices()
        self._book.note(self._found, now, SETTLE)

    def close(self) -> None:
        """Let go of files."""
        if self._writer is not None:
            self._writer.close()


class _Hide:
    """Pseudonyms in the place of names, where the stream asks for them; before anything is kept."""

    def __init__(self, key: Pseudonyms | None, *, users: bool, devices: bool) -> None:
        self._key = key
        self._users = users
        self._devices = devices

    @classmethod
    def of(cls, stream: Stream, key: Callable[[], Pseudonyms]) -> _Hide:
        """What a stream asks for."""
        hides = stream.anonymize_users or stream.anonymize_devices
        return cls(key() if hides else None, users=stream.anonymize_users, devices=stream.anonymize_devices)

    def event(self, event: NetworkEvent) -> NetworkEvent:
        """With pseudonyms."""
        if self._key is None:
            return event
        user = self._key.of("user", event.user) if self._users and event.user else event.user
        if not self._devices:
            return replace(event, user=user)
        device = self._key.of("device", event.device)
        return replace(event, user=user, device=device, device_id=self._key.of("device", event.device_id))

    def context(self, told: DeviceContext) -> DeviceContext:
        """With pseudonyms."""
        if self._key is None:
            return told
        users = tuple(self._key.of("user", each) for each in told.users) if self._users else told.users
        if not self._devices:
            return replace(told, users=users)
        device = self._key.of("device", told.device)
        return replace(told, users=users, device=device, device_id=self._key.of("device", told.device_id))


def _patterns(inventory: Inventory) -> dict[str, list[str]]:
    """The patterns that are an app's in the end, by its id: those of the configuration folder are among them."""
    found: dict[str, list[str]] = {}
    for layer in inventory.index.layers:
        for match in layer.patterns():
            owner = inventory.index.owns(match.pattern)
            if owner is not None and owner.owner == match.owner:
                mine = found.setdefault(match.owner, [])
                if match.pattern not in mine:
                    mine.append(match.pattern)
    return found


def _app_row(app: str, name: str, action: str) -> dict[str, Any]:
    return {"app": app, "name": name, "action": action, "state": "", "indicators": [], "refused": [], "controls": {}}


def _state(states: Sequence[str], refused: bool) -> str:
    """That of an app: failed when one indicator failed, else that of the one that is farthest behind."""
    for state in ("failed", "pending", "removing", "pushed", "confirmed"):
        if state in states:
            return state
    return "refused" if refused else "none"


def _signals(assessment: Assessment) -> list[dict[str, Any]]:
    return [{**asdict(each), "day": each.day.isoformat()} for each in assessment.signals]


def _megabytes(count: int) -> float:
    return round(count / 1024 / 1024, 2)


def _day(value: date | datetime) -> date:
    return value.date() if isinstance(value, datetime) else value


def _nobody(count: int) -> None:
    """Progress that nobody looks at: usage tells it."""
