"""Discovery policies and detections at work: over continuous reports, after what came in, once for each app and report.

Alerts go first, tags second, and only then is a match remembered: whatever crashes, it is done again and an alert knows
that it was raised before. Snapshot reports have no part in it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from casb.control.discovery_words import words
from casb.discovery import detections as built_in
from casb.discovery.detections import Finding, Upload
from casb.discovery.policies import BUILT_IN_TAGS, DiscoveryPolicy, Match, load, matches
from casb.discovery.query import AppUsage
from casb.discovery.streams import GLOBAL, Kind, Stream
from casb.errors import CasbError, Problems
from casb.model.app import AppTag
from casb.settings import Settings
from casb.store import discovery_expressions as ask
from casb.store.alerts_sqlite import AlertStore, NewAlert
from casb.store.app_catalog import AppCatalog
from casb.store.catalog_sqlite import Actor
from casb.store.discovery_book import Book, millis, moment
from casb.store.discovery_reports import Reports, Span
from casb.store.discovery_usage import UsageStore
from casb.store.folder import load_draft

logger = logging.getLogger(__name__)

ONCE = timedelta(days=90)
"""A policy tells of an app in a report once in this time."""

type Days = list[tuple[date, AppUsage]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run did."""

    matched: int = 0
    alerts: int = 0
    tagged: tuple[tuple[str, str], ...] = ()  # app and tag
    refused: tuple[str, ...] = ()  # tags that could not be set, and why


class Evaluator:
    """Runs them. Raises `StoreError` when a store is away."""

    def __init__(
        self,
        *,
        settings: Settings,
        book: Book,
        usage: UsageStore,
        reports: Reports,
        alerts: AlertStore,
        catalog: AppCatalog,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._book = book
        self._usage = usage
        self._reports = reports
        self._alerts = alerts
        self._catalog = catalog
        self._clock = clock
        self._policies: tuple[DiscoveryPolicy, ...] = ()
        self._cache: dict[tuple[str, date], Days] = {}

    def policies(self) -> tuple[DiscoveryPolicy, ...]:
        """Those of the configuration folder; while it has errors in them, the last good ones."""
        if self._settings.folder:
            try:
                self._policies = load(load_draft(self._settings.folder).policy_texts, words())
            except (Problems, CasbError) as problem:
                logger.error("discovery policies stay as they were: %s", problem)
        return self._policies

    def due(self) -> bool:
        """Whether something came in, or a policy changed, since the last run."""
        last = self._last_run()
        newest = self._book.ingests(limit=1)
        if last is None or (newest and newest[0].time >= last):
            return bool(newest)
        known = self._runs()
        return any(known.get(each.id) != (_streams(each), _says(each)) for each in self._all())

    def run(self) -> Outcome:
        """Evaluate everything that is new; what was done."""
        now = self._clock()
        until = now.astimezone(UTC).date()
        since = self._since(until)
        self._cache = {}
        chosen = self._all()
        self._forget(chosen, now)
        known = self._runs()
        fresh: list[tuple[Match, str]] = []
        for policy in chosen:
            whole = policy.id not in known or known[policy.id][1] != _says(policy)
            begin = until - timedelta(days=89) if whole else since
            for stream in self._streams(policy):
                days = self._days(stream, begin, until)
                fresh += [(each, stream) for each in matches(policy, days, words().scales)]
        fresh = self._unseen(fresh)
        found = self._findings(since, until)
        raised = self._alerts.raise_all(
            [*self._alerts_of(fresh, now), *(self._alert_of(each, stream, now) for each, stream in found)]
        )
        tagged, refused = self._tag(fresh)
        self._remember(fresh, chosen, now)
        return Outcome(matched=len(fresh) + len(found), alerts=raised, tagged=tuple(tagged), refused=tuple(refused))

    # What is looked at

    def _all(self) -> list[DiscoveryPolicy]:
        names = self._settings.discovery.detections
        own = [each for each in self.policies() if each.enabled]
        mine = {each.id for each in own}
        return [*(each for each in built_in.POLICIES if each.id in names and each.id not in mine), *own]

    def _streams(self, policy: DiscoveryPolicy) -> list[str]:
        known = [each for each in self._book.streams() if each.kind.continuous]
        if policy.streams is None:
            return [GLOBAL, *(each.id for each in known)]
        wanted = {each.casefold() for each in policy.streams}
        found = [each.id for each in known if {each.id.casefold(), each.name.casefold()} & wanted]
        return [GLOBAL, *found] if wanted & {GLOBAL, "global report"} else found

    def _days(self, stream: str, since: date, until: date) -> Days:
        key = (stream, since)
        if key not in self._cache:
            self._cache[key] = list(self._reports.daily(Span(stream=stream, since=since, until=until)))
        return self._cache[key]

    def _since(self, until: date) -> date:
        """The first day that something new is about: logs may come late."""
        last, first = self._last_run(), until - timedelta(days=1)
        for each in self._book.ingests(limit=1000):
            if last is not None and each.time < last:
                break
            oldest = each.outcome.get("oldest")
            if isinstance(oldest, str):
                first = min(first, datetime.fromisoformat(oldest).date())
        return max(first, until - timedelta(days=89))

    # Detections

    def _findings(self, since: date, until: date) -> list[tuple[Finding, str]]:
        names = self._settings.discovery.detections
        inventory = self._catalog.inventory()
        unsanctioned = {
            entry.id: datetime.fromisoformat(entry.state.at).date()
            for entry in inventory
            if entry.tag is AppTag.UNSANCTIONED and entry.profile is None and entry.state.at
        }
        open_apps = {entry.id: entry.app.name for entry in inventory if entry.tag is not AppTag.SANCTIONED}
        found: list[tuple[Finding, str]] = []
        for stream in self._book.streams():
            if not stream.kind.continuous or stream.kind is Kind.VIEW:
                continue  # A view copies what its sources hold.
            days = self._days(stream.id, since, until)
            if built_in.UNBLOCKED in names:
                found += [(each, stream.name) for each in built_in.unblocked(days, unsanctioned)]
            if built_in.BREACHED in names:
                found += [(each, stream.name) for each in built_in.breached(days, until)]
            if built_in.EXFILTRATION in names:
                found += [(each, stream.name) for each in self._exfiltration(stream, since, until, open_apps)]
        return self._once(found)

    def _exfiltration(self, stream: Stream, since: date, until: date, apps: Mapping[str, str]) -> Iterator[Finding]:
        for entity in ("user", "ip"):
            rows = self._uploads(stream.id, entity, since, until, more_than=built_in.LEAST_UPLOAD)
            large = [each for each in rows if each.app in apps]
            if not large:
                continue
            names = sorted({each.name for each in large})
            history = self._uploads(stream.id, entity, since - built_in.HISTORY, until, names=names)
            yield from built_in.exfiltration(large, history, apps)

    def _uploads(
        self,
        stream: str,
        entity: str,
        since: date,
        until: date,
        *,
        more_than: int = 0,
        names: Sequence[str] | None = None,
    ) -> list[Upload]:
        rows = ask.scope((stream,), since, until)
        expression = ask.uploads(rows, entity, more_than=more_than, names=names)
        found = self._usage.ask(expression, streams=(stream,), since=since, until=until)
        return [Upload(entity=entity, **each) for each in found]

    def _once(self, found: list[tuple[Finding, str]]) -> list[tuple[Finding, str]]:
        """Breaches once for an app and breach; the others once a day and whom they are about."""
        seen: dict[tuple[str, ...], tuple[Finding, str]] = {}
        for each, stream in found:
            about = "" if each.detection == built_in.BREACHED else each.day.isoformat()
            seen.setdefault((each.detection, each.app, each.user, each.ip, about), (each, stream))
        return list(seen.values())

    # What is done

    def _alerts_of(self, fresh: Iterable[tuple[Match, str]], now: datetime) -> Iterator[NewAlert]:
        names = {each.id: each.name for each in self._book.streams()} | {GLOBAL: "Global report"}
        for match, stream in fresh:
            policy, usage = match.policy, match.usage
            if not policy.alert:
                continue
            yield NewAlert(
                time=now,
                kind="discovery",
                policy=policy.id,
                severity=policy.alert_severity.value,
                title=f"{policy.name}: {usage.facts.name}"[:200],
                key=stream,
                activity=_digest(policy.id, usage.facts.id, stream, _says(policy), _quarter(now)),
                app=usage.facts.id,
                detail={
                    "report": names.get(stream, stream),
                    "day": match.day.isoformat(),
                    "users": usage.users,
                    "ips": usage.ips,
                    "transactions": usage.events,
                    "traffic": usage.total,
                    "uploads": usage.up,
                    "downloads": usage.down,
                    "score": usage.facts.score,
                    "category": usage.facts.category,
                    "tags": list(policy.tags),
                },
                daily_limit=policy.daily_limit,
                email=policy.email,
            )

    def _alert_of(self, found: Finding, stream: str, now: datetime) -> NewAlert:
        severity = found.severity.value
        if found.detection == built_in.UNBLOCKED:
            severity = self._settings.enforcement.severity
        about = "" if found.detection == built_in.BREACHED else found.day.isoformat()
        return NewAlert(
            time=now,
            kind="discovery",
            policy=found.detection,
            severity=severity,
            title=found.title[:200],
            key=f"{found.user}{found.ip}{about}",
            activity=_digest(found.detection, found.app, found.user, found.ip, about or found.why.partition(";")[0]),
            app=found.app,
            user=found.user,
            ip=found.ip,
            detail={"report": stream, "day": found.day.isoformat(), "why": found.why},
            daily_limit=100,
        )

    def _tag(self, fresh: Sequence[tuple[Match, str]]) -> tuple[list[tuple[str, str]], list[str]]:
        """Each policy in the order of their ids: the last one wins."""
        tagged: list[tuple[str, str]] = []
        refused: list[str] = []
        for match, stream in fresh:
            for tag in match.policy.tags:
                try:
                    if self._put(match, tag, stream):
                        tagged.append((match.usage.facts.id, tag))
                except (Problems, CasbError) as problem:
                    logger.error("a discovery policy cannot tag policy=%s: %s", match.policy.id, problem)
                    refused.append(f"{match.policy.id}: {problem}")
        return tagged, refused

    def _put(self, match: Match, tag: str, stream: str) -> bool:
        app, actor = match.usage.facts.id, Actor(who=f"policy {match.policy.id}")
        entry = self._catalog.entry(app)
        if tag in BUILT_IN_TAGS:
            if entry.tag is AppTag(tag):
                return False
            self._catalog.tag([app], AppTag(tag), actor, why=f"matched on {match.day.isoformat()}")
            return True
        if tag in entry.tags:
            return False
        if tag.casefold() not in {each.casefold() for each in self._catalog.store.local().tags}:
            self._catalog.create_tag(tag, actor, f"by the policy {match.policy.id}")
        self._catalog.add_tags([app], [tag], actor)
        return True

    # What is remembered

    def _last_run(self) -> datetime | None:
        with self._book.database.reading() as reader:
            row = reader.execute("SELECT time FROM policy_runs WHERE policy = ''").fetchone()
        return moment(row[0]) if row else None

    def _runs(self) -> dict[str, tuple[str, str]]:
        with self._book.database.reading() as reader:
            rows = reader.execute("SELECT policy, streams, says FROM policy_runs WHERE policy <> ''").fetchall()
        return {each[0]: (each[1], each[2]) for each in rows}

    def _forget(self, chosen: Iterable[DiscoveryPolicy], now: datetime) -> None:
        """A policy whose reports changed starts afresh; so does every match after its time."""
        known = self._runs()
        changed = [each.id for each in chosen if each.id in known and known[each.id][0] != _streams(each)]
        with self._book.database.writing() as writer:
            writer.execute("DELETE FROM policy_matches WHERE time < ?", (millis(now - ONCE),))
            writer.executemany("DELETE FROM policy_matches WHERE policy = ?", [(each,) for each in changed])

    def _unseen(self, found: Sequence[tuple[Match, str]]) -> list[tuple[Match, str]]:
        with self._book.database.reading() as reader:
            seen = {tuple(each) for each in reader.execute("SELECT policy, app, stream FROM policy_matches")}
        return [
            (match, stream) for match, stream in found if (match.policy.id, match.usage.facts.id, stream) not in seen
        ]

    def _remember(self, fresh: Iterable[tuple[Match, str]], chosen: Iterable[DiscoveryPolicy], now: datetime) -> None:
        at = millis(now)
        with self._book.database.writing() as writer:
            writer.executemany(
                "INSERT OR REPLACE INTO policy_matches VALUES (?, ?, ?, ?)",
                [(match.policy.id, match.usage.facts.id, stream, at) for match, stream in fresh],
            )
            writer.execute("DELETE FROM policy_runs")
            writer.executemany(
                "INSERT INTO policy_runs VALUES (?, ?, ?, ?)",
                [("", "", "", at), *((each.id, _streams(each), _says(each), at) for each in chosen)],
            )


def _streams(policy: DiscoveryPolicy) -> str:
    return json.dumps(sorted(policy.streams)) if policy.streams is not None else "all"


def _says(policy: DiscoveryPolicy) -> str:
    """Changes with what the policy matches, not with what it is called."""
    rows = [each.as_plain() for each in policy.conditions]
    return _digest(json.dumps(rows), json.dumps(dict(policy.thresholds)), json.dumps(policy.tags), _streams(policy))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _quarter(now: datetime) -> str:
    """The stretch of `ONCE` that a moment is in."""
    return str(int(now.timestamp() // ONCE.total_seconds()))
