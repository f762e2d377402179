"""Attempts at blocked apps: what an agent's rows say about an indicator that should be in force.

The TCP handshake comes before network protection decides, so ConnectionSuccess is told of blocked sites, too. Only when
no block is told near it, or the server's answer was seen, was an app really reached.
https://learn.microsoft.com/defender-endpoint/indicator-ip-domain#network-protection-implementation
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from casb.discovery.endpoint_records import NetworkEvent, Outcome

BLOCKED_TITLE: Final = "Connection to a blocked cloud application was detected"
NOT_BLOCKED_TITLE: Final = "Connection to an unsanctioned cloud application was NOT blocked"
GRACE: Final = timedelta(hours=3)
"""From pushing an indicator to its being in force on devices: an hour of sync and two of the device at most."""
NEAR: Final = timedelta(minutes=1)
"""Rows of one device about one host within this are one attempt."""


class Kind(StrEnum):
    """What an attempt came to."""

    BLOCKED = "blocked"
    BYPASSED = "bypassed"
    REACHED = "reached"  # but nobody has told of the block yet
    NOT_BLOCKED = "not blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """An indicator as far as alerts need it. `since`: when it was pushed; None: it was not."""

    domain: str
    app: str
    name: str
    warn: bool
    since: datetime | None
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One connection to an app with an indicator. `id` is the same however often its rows come."""

    id: str
    kind: Kind
    time: datetime
    last: datetime
    domain: str
    app: str
    name: str
    device_id: str
    device: str
    user: str
    ip: str
    host: str


def attempts(
    events: Iterable[NetworkEvent], indicators: Mapping[str, InForce], groups: Mapping[str, str]
) -> list[Attempt]:
    """The attempts among events, in the order of their times. `groups` gives the device group by device id."""
    open_: dict[tuple[str, str], Attempt] = {}
    done: list[Attempt] = []
    for event in sorted(events, key=lambda each: each.time):
        rule = covering(event.host, indicators)
        kind = None if rule is None else _kind(event, rule, groups)
        if rule is None or kind is None:
            continue
        key = (event.device_id, event.host or "")
        before = open_.get(key)
        if before is not None and event.time - before.last <= NEAR:
            stronger = kind if _WEIGHT[kind] > _WEIGHT[before.kind] else before.kind
            open_[key] = _seen(before, stronger, event)
            continue
        if before is not None:
            done.append(before)
        open_[key] = Attempt(
            id=f"{event.device_id}|{event.host}|{event.time.isoformat()}",
            kind=kind,
            time=event.time,
            last=event.time,
            domain=rule.domain,
            app=rule.app,
            name=rule.name,
            device_id=event.device_id,
            device=event.device,
            user=event.user or "",
            ip=event.local_ip or "",
            host=event.host or "",
        )
    return sorted([*done, *open_.values()], key=lambda each: (each.time, each.id))


# A block beats a mere handshake; that somebody got an answer all the same beats everything.
_WEIGHT = {Kind.REACHED: 0, Kind.BLOCKED: 1, Kind.BYPASSED: 2, Kind.NOT_BLOCKED: 3}


def covering(host: str | None, indicators: Mapping[str, InForce]) -> InForce | None:
    """The indicator of the host: of itself or of the nearest domain above it."""
    while host:
        found = indicators.get(host)
        if found is not None:
            return found
        host = host.partition(".")[2]
    return None


def _kind(event: NetworkEvent, rule: InForce, groups: Mapping[str, str]) -> Kind | None:
    if event.outcome is Outcome.BYPASSED:
        return Kind.BYPASSED
    if event.outcome in (Outcome.BLOCKED, Outcome.WARNED):
        return Kind.BLOCKED
    if rule.warn or rule.since is None or event.time < rule.since + GRACE:
        return None  # warned of only, or not in force yet
    if rule.groups and groups.get(event.device_id, "") not in rule.groups:
        return None
    if event.outcome is Outcome.SERVED or (event.outcome is Outcome.REACHED and event.down):
        return Kind.NOT_BLOCKED
    return Kind.REACHED if event.outcome is Outcome.REACHED else None


def _seen(before: Attempt, kind: Kind, event: NetworkEvent) -> Attempt:
    return Attempt(
        id=before.id, kind=kind, time=before.time, last=max(before.last, event.time), domain=before.domain,
        app=before.app, name=before.name, device_id=before.device_id, device=before.device,
        user=before.user or event.user or "", ip=before.ip or event.local_ip or "", host=before.host,
    )  # fmt: skip
