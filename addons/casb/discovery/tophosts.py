"""The hosts that no app owns, the busiest of each day, in bounded memory.

Space-Saving (Metwally, Agrawal, El Abbadi 2005): a new host takes the place of the least busy one and its count, so a
count is too high by at most the smallest count kept, and no host busier than that is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date

KEPT = 1000
"""Hosts of a day in reports and in the store."""
_SLACK = 20_000
"""Hosts counted exactly before the least busy are dropped; so ordinary days are exact."""
_DAYS = 400
"""Days counted apart; a log of wild dates cannot grow further."""


class TopHosts:
    """Day and host to number of transactions."""

    def __init__(self, kept: int = KEPT, slack: int = _SLACK) -> None:
        self._kept = kept
        self._slack = max(slack, kept)
        self._days: dict[date, Counter[str]] = {}
        self._floor: dict[date, int] = {}  # what a host that comes anew may have been counted for before

    def add(self, day: date, host: str, count: int = 1) -> None:
        """Count a host; the empty one (no host, no address) is nobody's."""
        if not host:
            return
        hosts = self._days.get(day)
        if hosts is None:
            if len(self._days) >= _DAYS:
                return
            hosts = self._days[day] = Counter()
        if host in hosts:
            hosts[host] += count
            return
        hosts[host] = count + self._floor.get(day, 0)
        if len(hosts) > self._slack:
            self._prune(day, hosts)

    def update(self, rows: Iterable[tuple[date, str, int]]) -> None:
        """Take in what another counter has kept."""
        for day, host, count in rows:
            self.add(day, host, count)

    def rows(self) -> Iterator[tuple[date, str, int]]:
        """The busiest of each day: day, host, transactions."""
        for day, hosts in sorted(self._days.items()):
            for host, count in sorted(hosts.items(), key=lambda each: (-each[1], each[0]))[: self._kept]:
                yield day, host, count

    def total(self, most: int = KEPT) -> list[tuple[str, int]]:
        """The busiest of all days."""
        sums: Counter[str] = Counter()
        for _, host, count in self.rows():
            sums[host] += count
        return sorted(sums.items(), key=lambda each: (-each[1], each[0]))[:most]

    def _prune(self, day: date, hosts: Counter[str]) -> None:
        ranked = sorted(hosts.items(), key=lambda each: (-each[1], each[0]))
        keep = ranked[: self._slack // 2]
        self._floor[day] = ranked[len(keep)][1]
        self._days[day] = Counter(dict(keep))
