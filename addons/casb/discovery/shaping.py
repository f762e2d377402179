"""Usage of one input, made ready to be kept: names enriched, exclusions and views applied, pseudonyms put in.

Runs before anything touches a disk, so that a source that is pseudonymised leaves no name behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from casb.discovery.exclude import Exclusions
from casb.discovery.people import People
from casb.discovery.pseudonym import Pseudonyms
from casb.discovery.streams import Kind, Stream
from casb.discovery.usage import Usage


class Row(NamedTuple):
    """One kept row: the columns of the store's table `usage`, in its order.

    `user` is who counts as one person; `account` the name in the log where enrichment replaced it.
    """

    stream: str
    in_global: bool
    day: date
    app: str
    user: str | None
    account: str | None
    ip: str | None
    device: str | None
    resource: str | None
    events: int
    blocked: int
    up: int
    down: int
    total: int
    first: datetime
    last: datetime


def _no_tags(ip: str) -> frozenset[str]:
    return frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaper:
    """Everything that decides what a row of a stream becomes."""

    stream: Stream
    views: Sequence[Stream] = ()
    people: People = field(default_factory=People)
    exclusions: Exclusions = field(default_factory=Exclusions)
    pseudonyms: Pseudonyms | None = None  # needed where the stream pseudonymises
    ip_tags: Callable[[str], Iterable[str]] = _no_tags

    def __post_init__(self) -> None:
        """Raises `ValueError` for a stream that pseudonymises without a key: names must not slip through."""
        if self._hides and self.pseudonyms is None:
            raise ValueError("the stream pseudonymises and there is no key")

    @property
    def _hides(self) -> bool:
        # The own proxy's stream cannot be pseudonymised (reference section 12): its log has the names anyway.
        wanted = self.stream.anonymize_users or self.stream.anonymize_devices
        return wanted and self.stream.kind is not Kind.PROXY

    def rows(self, usage: Iterable[Usage]) -> Iterator[Row]:
        """The rows to keep: one for the stream, and one for each view that takes it."""
        stream = self.stream
        views = [view for view in self.views if view.filters is not None] if stream.kind is not Kind.SNAPSHOT else []
        excludable = stream.kind is Kind.INPUT
        for each in usage:
            person = self.people.find(each.user) if each.user else None
            user = person.upn if person else each.user
            account = each.user if person and each.user != person.upn else None
            groups = person.groups if person else frozenset()
            names = [name for name in (user, account) if name]
            counted = stream.kind.in_global and not (
                excludable and self.exclusions.covers(names=names, groups=groups, ip=each.ip, device=each.device)
            )
            device = each.device
            if self._hides and self.pseudonyms is not None:
                if stream.anonymize_users:
                    user = user and self.pseudonyms.of("user", user)
                    account = None
                if stream.anonymize_devices:
                    device = device and self.pseudonyms.of("device", device)
            rest = (each.day, each.app, user, account, each.ip, device, *each[5:])
            yield Row(stream.id, counted, *rest)
            if views:
                tags = frozenset(self.ip_tags(each.ip)) if each.ip else frozenset()
                for view in views:
                    if view.filters is not None and view.filters.takes(stream.id, groups, each.ip, tags):
                        yield Row(view.id, False, *rest)
