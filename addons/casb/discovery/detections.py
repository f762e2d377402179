"""What is looked for without anybody having written a policy: exfiltration, breaches, sudden popularity, generative AI,
and traffic that reached an unsanctioned app all the same. Pure folds over sums of a day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from casb.discovery.policies import DiscoveryPolicy
from casb.discovery.query import AppUsage, Condition
from casb.model.decision import Severity

EXFILTRATION = "exfiltration-to-unsanctioned-app"
BREACHED = "breached-app"
POPULAR = "new-popular-app"
GENERATIVE_AI = "generative-ai-app"
UNBLOCKED = "unblocked-cloud-app"
NAMES: tuple[str, ...] = (EXFILTRATION, BREACHED, POPULAR, GENERATIVE_AI, UNBLOCKED)

MB = 1024**2
LEAST_UPLOAD = 100 * MB
"""Uploads of one entity to one app and day below this are never called exfiltration."""
UNUSUAL = 4
"""How many times its usual day an entity must upload."""
FIRST_UPLOAD = 500 * MB
"""What one without a history must upload."""
HISTORY = timedelta(days=30)
BREACH_AGE = timedelta(days=365)

_UNTAGGED = Condition(field="tag", op="equals", values=("none",))

POLICIES: tuple[DiscoveryPolicy, ...] = (
    DiscoveryPolicy(
        id=POPULAR,
        name="New popular app",
        severity=Severity.MEDIUM,
        conditions=(_UNTAGGED,),
        thresholds={"users": 500},
        alert_severity=Severity.MEDIUM,
    ),
    DiscoveryPolicy(
        id=GENERATIVE_AI,
        name="New generative AI app",
        severity=Severity.MEDIUM,
        conditions=(_UNTAGGED, Condition(field="category", op="equals", values=("generative_ai",))),
        thresholds={"users": 50, "traffic": 50 * MB},
        alert_severity=Severity.MEDIUM,
    ),
)
"""Those that are policies like any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What one user or address sent to one app on one day. `entity` is user or ip."""

    day: date
    app: str
    entity: str
    name: str
    up: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something to be told: what, where, by whom, and why in one sentence."""

    detection: str
    severity: Severity
    title: str
    app: str
    day: date
    why: str
    user: str = ""
    ip: str = ""


def exfiltration(uploads: Iterable[Upload], history: Iterable[Upload], names: Mapping[str, str]) -> Iterator[Finding]:
    """Uploads far above what the same entity sent to the same app on an earlier day of the last 30, on average.

    `history` may hold the uploads themselves, and later days; `names` are the apps that are not sanctioned, id to name.
    """
    days: dict[tuple[str, str, str], list[Upload]] = {}
    for each in history:
        days.setdefault((each.app, each.entity, each.name), []).append(each)
    for each in uploads:
        before = days.get((each.app, each.entity, each.name), ())
        earlier = [one.up for one in before if each.day - HISTORY <= one.day < each.day]
        mean = sum(earlier) / len(earlier) if earlier else 0.0
        edge = mean * UNUSUAL if mean else FIRST_UPLOAD
        if each.app not in names or each.up <= LEAST_UPLOAD or each.up <= edge:
            continue
        told = f"; {mean / MB:.0f} MB on a usual day" if mean else ", which never used it before"
        yield Finding(
            detection=EXFILTRATION,
            severity=Severity.HIGH,
            title="Data exfiltration to an app that is not sanctioned",
            app=each.app,
            day=each.day,
            why=f"{each.up / MB:.0f} MB were uploaded to {names[each.app]} by one {_WORD[each.entity]}{told}",
            user=each.name if each.entity == "user" else "",
            ip=each.name if each.entity == "ip" else "",
        )


_WORD = {"user": "user", "ip": "address"}


def breached(days: Iterable[tuple[date, AppUsage]], today: date) -> Iterator[Finding]:
    """Apps in use whose last known breach is at most a year old."""
    for day, usage in days:
        at = breach_of(usage)
        if at is not None and today - BREACH_AGE <= at <= day:
            yield Finding(
                detection=BREACHED,
                severity=Severity.MEDIUM,
                title=f"An app in use was breached: {usage.facts.name}",
                app=usage.facts.id,
                day=day,
                why=f"{usage.facts.name} was breached on {at.isoformat()}; {usage.users} users on {day.isoformat()}",
            )


def breach_of(usage: AppUsage) -> date | None:
    """The day of the app's last known breach."""
    try:
        return date.fromisoformat(str(usage.facts.factors.get("latest_breach")))
    except ValueError:
        return None


def unblocked(days: Iterable[tuple[date, AppUsage]], since: Mapping[str, date]) -> Iterator[Finding]:
    """Traffic that reached an unsanctioned app. `since` gives each app's day of tagging: what counts comes after it,
    for on the day itself nobody knows which came first."""
    for day, usage in days:
        tagged = since.get(usage.facts.id)
        passed = usage.events - usage.blocked
        if tagged is not None and day > tagged and passed > 0:
            yield Finding(
                detection=UNBLOCKED,
                severity=Severity.MEDIUM,
                title="Connection to an unsanctioned cloud application was not blocked",
                app=usage.facts.id,
                day=day,
                why=f"{passed} of {usage.events} transactions reached {usage.facts.name} on {day.isoformat()}",
            )
