"""Tagged apps to domain indicators of the Defender for Endpoint indicator API, and why some domains get none.

Indicators are domains: a URL with a path is refused, since only one browser could enforce it. A domain covers every
name below it, so one is refused, too, when a protected host or somebody else's app is at or below it.
https://learn.microsoft.com/defender-endpoint/api/ti-indicator
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from casb.hostname import domain_pattern, is_address

APPLICATION: Final = "casb"
"""Whose the indicators are: what carries another application, or none, is never touched."""
MOST: Final = 15_000
"""Active indicators of a tenant, everybody's."""
BATCH: Final = 500
"""Indicators of one import, ids of one batch deletion."""
MOST_TITLE: Final = 100
BLOCK, WARN = "Block", "Warn"
SEVERITIES: Final = {"informational": "Informational", "low": "Low", "medium": "Medium", "high": "High"}

HAS_PATH = "a URL with a path cannot be enforced on devices; only its whole domain can"
IS_ADDRESS = "only domains become indicators, not addresses"
PROTECTED = "it would cut off the protected host {}"
OTHERS = "it would cut off {}, which is not blocked"
LIMIT = "the tenant's limit of 15,000 indicators is reached"
NO_GROUPS = "its profile leaves no device group over"
UNKNOWN_GROUPS = "its profile excludes device groups, and no device group is known yet"
TAKEN = "{} has the domain already"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One tagged app. `include` and `exclude` are device groups of its profile; neither: every device."""

    app: str
    name: str
    warn: bool = False  # monitored: warn and let people go on
    patterns: tuple[str, ...] = ()
    include: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What all indicators have in common."""

    severity: str = "medium"
    alert: bool = True
    blocked_url: str | None = None  # where the block notice sends people for help
    warned_url: str | None = None
    bypass_hours: int = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """One domain that is blocked or warned of."""

    domain: str
    app: str
    name: str
    action: str
    groups: tuple[str, ...] = ()  # empty: every device

    def as_api(self, options: Options) -> dict[str, Any]:
        """As the API takes it; `bypassDurationHours` and `educateUrl` only where they mean something."""
        warn = self.action == WARN
        verb = "Warn of" if warn else "Block"
        what = "monitored" if warn else "unsanctioned"
        body: dict[str, Any] = {
            "indicatorValue": self.domain,
            "indicatorType": "DomainName",
            "action": self.action,
            "application": APPLICATION,
            "title": _plain(f"{verb} {self.name}", MOST_TITLE),
            "description": _plain(f"{self.name} is {what}. Managed by casb; changes made here are overwritten.", 500),
            "severity": SEVERITIES[options.severity],
            "recommendedActions": "Use a sanctioned app.",
            "rbacGroupNames": list(self.groups),
            "generateAlert": options.alert,
            "externalId": f"casb:{self.app}"[:200],
        }
        url = options.warned_url if warn else options.blocked_url
        if url:
            body["educateUrl"] = url
        if warn:
            body["bypassDurationHours"] = options.bypass_hours
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A domain that gets no indicator, and why."""

    app: str
    pattern: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that should be in force. Domains are unique and sorted."""

    indicators: tuple[Indicator, ...] = ()
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of one indicator of a batch."""

    domain: str
    id: str = ""
    failed: str = ""  # the reason; empty: it is there


class IndicatorApi(Protocol):
    """The agent's API. All raise `ConnectorError`; waiting and trying again is theirs."""

    def indicators(self) -> Iterator[Mapping[str, Any]]:
        """Every indicator of the tenant."""

    def submit(self, bodies: Sequence[Mapping[str, Any]]) -> list[Imported]:
        """Make or change up to 500."""

    def remove(self, ids: Sequence[str]) -> None:
        """Delete up to 500; those that are gone already are no error."""


def plan(
    rules: Iterable[Rule],
    *,
    protected: Sequence[str] = (),
    others: Mapping[str, str] | None = None,
    groups: Iterable[str] = (),
    room: int = MOST,
) -> Plan:
    """The indicators of `rules`. `others` are domains of apps that are not blocked, with the app's name; `groups` the
    device groups that are known (what a profile excludes is taken from them); `room` how many indicators fit.

    Where two apps have a domain, blocking beats warning, and then the lower id.
    """
    known = frozenset(each for each in groups if each)
    found: dict[str, Indicator] = {}
    refused: list[Refusal] = []
    guarded = _Below(protected)
    theirs = _Below(others or {})
    for rule in sorted(rules, key=lambda each: (each.warn, each.app)):
        scope, why = _scope(rule, known)
        for pattern in sorted(set(rule.patterns)):
            domain, reason = _domain(pattern)
            if domain is not None and domain in found and found[domain].app == rule.app:
                continue  # `x` and `*.x` are one indicator
            if domain is not None:
                hit, other = guarded.at(domain), theirs.at(domain)
                reason = why or (PROTECTED.format(hit) if hit else None)
                if reason is None and other is not None:
                    reason = OTHERS.format((others or {}).get(other, other))
                if reason is None and domain in found:
                    reason = TAKEN.format(found[domain].name)
                if reason is None and len(found) >= room:
                    reason = LIMIT
            if domain is None or reason is not None:
                refused.append(Refusal(app=rule.app, pattern=pattern, why=reason or ""))
                continue
            action = WARN if rule.warn else BLOCK
            found[domain] = Indicator(domain=domain, app=rule.app, name=rule.name, action=action, groups=scope)
    return Plan(
        indicators=tuple(found[domain] for domain in sorted(found)),
        refused=tuple(sorted(refused, key=lambda each: (each.app, each.pattern))),
    )


def _scope(rule: Rule, known: frozenset[str]) -> tuple[tuple[str, ...], str | None]:
    """The API knows only groups that an indicator is for, and an empty list is for everybody: never widen to it."""
    if not rule.include and not rule.exclude:
        return (), None
    if not rule.include and not known:
        return (), UNKNOWN_GROUPS
    left = (rule.include or known) - rule.exclude
    return tuple(sorted(left)), None if left else NO_GROUPS


def _domain(pattern: str) -> tuple[str | None, str | None]:
    host, slash, path = pattern.partition("/")
    if slash and path.strip("/*…"):
        return None, HAS_PATH
    try:
        domain = domain_pattern(host).removeprefix("*.")
    except ValueError as error:
        return None, str(error)
    return (None, IS_ADDRESS) if is_address(domain) else (domain, None)


@dataclass(slots=True)
class _Below:
    """Patterns found by any domain at or above them, or by a wildcard of theirs above it."""

    patterns: Iterable[str]
    _above: dict[str, str] = field(default_factory=dict)
    _wild: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            host = pattern.partition("/")[0].removeprefix("*.")
            if pattern.startswith("*."):
                self._wild.setdefault(host, pattern)
            labels = host.split(".")
            for at in range(len(labels)):
                self._above.setdefault(".".join(labels[at:]), pattern)

    def at(self, domain: str) -> str | None:
        """A pattern whose hosts are cut off by blocking the domain, in part or whole."""
        found = self._above.get(domain)
        if found is not None:
            return found
        labels = domain.split(".")
        for at in range(1, len(labels)):
            found = self._wild.get(".".join(labels[at:]))
            if found is not None:
                return found
        return None


SCOPE = ("action", "rbacGroupNames", "severity", "generateAlert", "educateUrl", "bypassDurationHours", "title")
"""Fields by which somebody's change of an indicator is noticed."""


def differs(remote: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an indicator in the console is not what it should be. Fields that the API does not give back are left
    out of the comparison."""
    for name in SCOPE:
        if name not in remote:
            continue
        ours, theirs = wanted.get(name), remote[name]
        if name == "rbacGroupNames":
            ours, theirs = sorted(ours or []), sorted(theirs or [])
        if (ours or None) != (theirs or None):
            return True
    return False


def _plain(text: str, most: int) -> str:
    return "".join(each if each.isprintable() else " " for each in text)[:most]
