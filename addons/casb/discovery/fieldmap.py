"""Named fields to an event: the table that most products' parsers are.

A `FieldMap` names, for each attribute of an event, the fields to look into, the best first. Knows no product.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from dataclasses import fields as attributes
from datetime import datetime

from casb.discovery.entry import (
    BLANK,
    NOBODY,
    Entry,
    address,
    by_status,
    host_of,
    named,
    number,
    target,
    traffic,
    verdict,
)
from casb.discovery.times import Clock, zone_of
from casb.model.discovery import Skipped, TrafficEvent

type Names = tuple[str, ...]
type Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMap:
    """Which fields (lower case) give which attribute. `moments` are pairs of a date and a time field."""

    time: Names = ()
    exact: Names = ()  # an instant that needs no zone: looked into before all others
    moments: tuple[tuple[str, str], ...] = ()
    zone: Names = ()
    user: Names = ()
    client: Names = ()
    device: Names = ()
    host: Names = ()
    url: Names = ()
    scheme: Names = ()
    path: Names = ()
    query: Names = ()
    port: Names = ()
    dest: Names = ()
    up: Names = ()
    down: Names = ()
    total: Names = ()
    action: Names = ()
    status: Names = ()  # An HTTP status, where no action is told
    verdicts: Mapping[str, bool | None] = field(
        default_factory=dict
    )  # words (lower case) that mean otherwise, or nothing
    otherwise: bool | None = None  # where neither action nor status says anything

    def narrowed(self, known: Collection[str]) -> FieldMap:
        """This map for records that have these fields and no others: nothing is looked for in vain."""
        names: dict[str, object] = {}
        for attribute in attributes(self):
            value = getattr(self, attribute.name)
            if attribute.name == "moments":
                names["moments"] = tuple(pair for pair in value if pair[0] in known and pair[1] in known)
            elif isinstance(value, tuple):
                names[attribute.name] = tuple(name for name in value if name in known)
        return replace(self, **names)  # type: ignore[arg-type]

    def event(self, fields: Fields, entry: Entry, source: str, clock: Clock) -> TrafficEvent | Skipped:
        """The event that the fields tell of, or the reason why they tell of none."""
        moment = self.moment(fields, entry, clock)
        if moment is None:
            return entry.skip("no time that can be read")
        host, url = self.target(fields)
        dest = self.address(fields, self.dest)
        if dest is None and host is not None and host[-1:].isdigit() | (":" in host):
            dest = address(host)
        if host is None and dest is None:
            return entry.skip("no destination")
        client = self.address(fields, self.client)
        client_text = pick(fields, self.client) if client is None else None
        device = named(pick(fields, self.device))
        if client is None and client_text and device is None and host_of(client_text):
            device = client_text
        up, down = number(pick(fields, self.up)), number(pick(fields, self.down))
        return traffic(
            entry.number,
            moment,
            source,
            named(pick(fields, self.user, NOBODY)),
            client,
            device,
            host,
            url,
            dest,
            up,
            down,
            number(pick(fields, self.total)) if up is None or down is None else None,
            self.allowed(fields),
        )

    def moment(self, fields: Fields, entry: Entry, clock: Clock) -> datetime | None:
        """When it happened, by the line itself or else by its wrapper."""
        for key in self.exact:
            moment = clock.parse(fields[key]) if key in fields else None
            if moment is not None:
                return moment
        zone = None
        for key in self.zone:
            if key in fields:
                zone = zone_of(fields[key])
        for date, time in self.moments:
            if date in fields and time in fields:
                moment = clock.parse(f"{fields[date]} {fields[time]}", zone)
                if moment is not None:
                    return moment
        for key in self.time:
            text = fields.get(key)
            if text:
                moment = clock.parse(text, zone)
                if moment is not None:
                    return moment
        return entry.time(clock)

    def target(self, fields: Fields) -> tuple[str | None, str | None]:
        """Host and URL."""
        url = pick(fields, self.url)
        host = pick(fields, self.host)
        if url is None and host is None:
            return None, None
        return target(
            url,
            host,
            scheme=pick(fields, self.scheme),
            path=pick(fields, self.path),
            query=pick(fields, self.query),
            port=pick(fields, self.port),
        )

    def address(self, fields: Fields, names: Names) -> str | None:
        """The first of the fields that holds an address."""
        for key in names:
            text = fields.get(key)
            if text:
                found = address(text)
                if found is not None and found not in ("0.0.0.0", "::"):  # noqa: S104  # «no address» in logs.
                    return found
        return None

    def allowed(self, fields: Fields) -> bool | None:
        """What was decided: the first action field with a word that says it, else the HTTP status."""
        for key in self.action:
            text = fields.get(key)
            if not text:
                continue
            word = text.strip().lower()
            found = self.verdicts[word] if word in self.verdicts else verdict(text)
            if found is not None:
                return found
        decided = by_status(pick(fields, self.status)) if self.status else None
        return self.otherwise if decided is None else decided


def pick(fields: Fields, names: Names, blank: frozenset[str] = BLANK) -> str | None:
    """The first of the fields that says something."""
    for key in names:
        value = fields.get(key)
        if value and value not in blank:
            return value
    return None
