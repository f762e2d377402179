"""The executive report as values: what a management reads on six pages, and what it is advised to do.

Pure: whoever has a report's numbers makes it, whoever draws pages shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from casb.discovery.query import AppUsage

LEADING = 4
"""Categories whose leading apps and users are shown."""
TOP = 10
LISTED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A leading category: its sums, and its apps and users with most traffic."""

    id: str
    apps: int
    users: int
    total: int
    standings: Mapping[str, int]  # sanctioned, unsanctioned, other: traffic
    leaders: tuple[AppUsage, ...] = ()
    people: tuple[tuple[str, int], ...] = ()  # name and traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Executive:
    """One report. Pairs of numbers are of the period and of the one before it."""

    name: str
    report: str
    since: date
    until: date
    made: datetime
    counters: Mapping[str, tuple[int, int]]
    trend: tuple[tuple[date, int, int], ...]  # day, traffic, users
    risks: Mapping[str, int]  # band to apps
    risk_traffic: Mapping[str, int]
    categories: tuple[Category, ...]
    top_apps: tuple[AppUsage, ...]
    top_users: tuple[tuple[str, int, int, int], ...]  # name, apps, traffic, uploaded
    new_apps: tuple[AppUsage, ...]
    risky_apps: tuple[AppUsage, ...]
    recommendations: tuple[str, ...] = ()

    @property
    def days(self) -> int:
        return (self.until - self.since).days + 1


def bands(apps: Iterable[AppUsage]) -> tuple[dict[str, int], dict[str, int]]:
    """Apps and traffic by risk band."""
    count: dict[str, int] = {}
    traffic: dict[str, int] = {}
    for app in apps:
        count[app.facts.risk] = count.get(app.facts.risk, 0) + 1
        traffic[app.facts.risk] = traffic.get(app.facts.risk, 0) + app.total
    return count, traffic


def risky(apps: Iterable[AppUsage], limit: int = TOP) -> tuple[AppUsage, ...]:
    """Apps of high risk, those with most uploads first."""
    return tuple(sorted((app for app in apps if app.facts.risk == "high"), key=lambda app: -app.up)[:limit])


def fresh(apps: Iterable[AppUsage], before: Iterable[str], limit: int = TOP) -> tuple[AppUsage, ...]:
    """Apps that were not seen in the period before, those with most users first; none where that was empty."""
    known = set(before)
    if not known:
        return ()
    return tuple(sorted((app for app in apps if app.facts.id not in known), key=lambda app: -app.users)[:limit])


def recommendations(apps: Sequence[AppUsage], new: Sequence[AppUsage]) -> tuple[str, ...]:
    """What the numbers advise, the most pressing first."""
    said: list[str] = []
    blocked = [app for app in apps if app.facts.tag == "unsanctioned" and app.events > app.blocked]
    if blocked:
        said.append(
            f"{_apps(len(blocked))} tagged unsanctioned {_was(blocked)} still reached: {_names(blocked)}. "
            "Export the block lists to every gateway, or put the users behind the forward proxy."
        )
    untagged = [app for app in apps if app.facts.tag == "none" and app.facts.risk == "high"]
    if untagged:
        said.append(
            f"{_apps(len(untagged))} of high risk {_was(untagged)} used without anybody having decided on them: "
            f"{_names(sorted(untagged, key=lambda app: -app.users))}. Sanction, monitor or unsanction each."
        )
    storage = [
        app for app in apps if app.facts.category == "cloud_storage" and app.facts.tag != "sanctioned" and app.up
    ]
    if len(storage) > 1:
        most = sorted(storage, key=lambda app: -app.up)
        said.append(
            f"Data left for {len(storage)} storage apps that are not sanctioned; most of it for {_names(most)}. "
            "Name one of them the approved one and guide people there."
        )
    models = [app for app in apps if app.facts.category == "generative_ai" and app.facts.tag == "none"]
    if models:
        said.append(
            f"{_apps(len(models))} of generative AI {_was(models)} used untagged: "
            f"{_names(sorted(models, key=lambda app: -app.users))}. Decide which may see the organisation's data."
        )
    if new:
        said.append(
            f"{_apps(len(new))} {_was(new)} not seen in the period before, among them {_names(new)}. "
            "A discovery policy tells of the next ones on the day they appear."
        )
    sanctioned = sum(app.total for app in apps if app.facts.tag == "sanctioned")
    whole = sum(app.total for app in apps)
    if whole and sanctioned * 2 < whole:
        said.append(
            f"Only {100 * sanctioned // whole}% of the traffic went to sanctioned apps. "
            "Tag the apps that the organisation itself chose; what is left is the shadow."
        )
    return tuple(said) or ("Nothing stands out: keep reviewing new apps as they come.",)


def _apps(count: int) -> str:
    return f"{count} app{'s' if count > 1 else ''}"


def _was(apps: Sequence[AppUsage]) -> str:
    return "were" if len(apps) > 1 else "was"


def _names(apps: Sequence[AppUsage], limit: int = 3) -> str:
    names = ", ".join(app.facts.name for app in apps[:limit])
    return f"{names} and {len(apps) - limit} more" if len(apps) > limit else names
