"""Streams: where usage comes from and which reports it feeds (D8).

An input stream per data source; Global, the union of the inputs without endpoints; views, which copy what passes their
filters from the day they are made; snapshots, which feed nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from casb.discovery.exclude import within
from casb.model.network import Network

GLOBAL = "global"
"""The id of the Global report; no stream of its own."""
WINDOWS = (7, 30, 90)
"""Days of the report windows."""


class Kind(StrEnum):
    """What a stream is."""

    INPUT = "input"
    VIEW = "view"
    SNAPSHOT = "snapshot"
    ENDPOINT = "endpoint"
    PROXY = "proxy"
    GLOBAL = "global"

    @property
    def continuous(self) -> bool:
        """Feeds policies and detections."""
        return self is not Kind.SNAPSHOT

    @property
    def in_global(self) -> bool:
        """Counts in the Global report."""
        return self in (Kind.INPUT, Kind.PROXY)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewFilter:
    """Include-only: each field that is not empty must fit; several values of one field mean any of them."""

    sources: frozenset[str] = frozenset()  # ids of input streams
    groups: frozenset[str] = frozenset()
    ip_tags: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def takes(self, stream: str, groups: Iterable[str], ip: str | None, tags: Iterable[str]) -> bool:
        """Whether a row passes."""
        if self.sources and stream not in self.sources:
            return False
        if self.groups and self.groups.isdisjoint(groups):
            return False
        if self.ip_tags and self.ip_tags.isdisjoint(tags):
            return False
        return not self.networks or (ip is not None and within(ip, self.networks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One stream. Times aware UTC; `log_type` is the numeric id of the source's type (`log_types`)."""

    id: str
    name: str
    kind: Kind
    created: datetime
    modified: datetime
    source: str | None = None  # log parser; None: found by itself
    log_type: int = 0
    receiver: str = ""  # ftp | ftps | syslogUdp | syslogTcp | syslogTls | directory | upload
    comment: str = ""
    anonymize_users: bool = False
    anonymize_devices: bool = False
    filters: ViewFilter | None = None  # of a view
    last_data: datetime | None = None
    files: int = 0
    failed: int = 0


_TYPES = {Kind.INPUT: 1, Kind.PROXY: 1, Kind.ENDPOINT: 1, Kind.GLOBAL: 3, Kind.VIEW: 3, Kind.SNAPSHOT: 5}
_BUILT_IN = {Kind.PROXY: 0, Kind.ENDPOINT: 1}
_PROTOCOLS = {"syslogUdp": "udp", "syslogTcp": "tcp", "syslogTls": "tcp"}


def stream_json(stream: Stream, *, now: datetime, days: Iterable[int] = WINDOWS) -> dict[str, Any]:
    """The stream as the list-streams API shows it (reference section 5.4); times in milliseconds."""
    valid = list(days)
    entities = [1, 2] + ([3] if stream.kind is Kind.ENDPOINT else []) + [4]
    silent = None if stream.last_data is None else max(0, round((now - stream.last_data).total_seconds()))
    return {
        "_id": stream.id,
        "displayName": stream.name,
        "logType": stream.log_type,
        "receiverType": "syslog" if stream.receiver.startswith("syslog") else stream.receiver[:3] or None,
        "receiverTypeFull": stream.receiver or None,
        "protocol": _PROTOCOLS.get(stream.receiver),
        "streamType": _TYPES[stream.kind],
        "builtInStreamType": _BUILT_IN.get(stream.kind),
        "anonymizeUsers": stream.anonymize_users,
        "anonymizeMachines": stream.anonymize_devices,
        "comment": stream.comment,
        "isManual": stream.kind is Kind.SNAPSHOT,
        "created": _millis(stream.created),
        "lastModified": _millis(stream.modified),
        "lastDataReceived": _millis(stream.last_data),
        "lastAlertProcessingTime": None,
        "logFilesHistoryCount": stream.files,
        "logFilesFailsCount": stream.failed,
        "supportedEntityTypes": entities,
        "supportedTrafficTypes": [1, 2, 3],
        "globalAggregated": stream.kind is Kind.GLOBAL,
        "snapshotData": stream.kind is Kind.SNAPSHOT,
        "timeWithoutLogs": silent,
        "sourceStreams": sorted(stream.filters.sources) if stream.filters else [],
        "timeFrames": {str(each): True for each in valid},
        "validTimeFrames": valid,
        "timeFrames2": {str(each): True for each in valid},
        "validTimeFrames2": valid,
        "readTimeFramesFromSecond": False,
        "currentServicesCollectionName": "usage",
        "userTags": sorted(stream.filters.groups) if stream.filters else [],
    }


def filter_json(filters: ViewFilter) -> dict[str, list[str]]:
    """A view's filter as plain data; `filter_of` reads it again."""
    return {
        "sources": sorted(filters.sources),
        "groups": sorted(filters.groups),
        "ip_tags": sorted(filters.ip_tags),
        "networks": [str(each) for each in filters.networks],
    }


def filter_of(plain: Mapping[str, Any], parse: Any) -> ViewFilter:
    """A view's filter from plain data; `parse` reads a network. Raises `ValueError` with a sentence."""
    unknown = set(plain) - {"sources", "groups", "ip_tags", "networks"}
    if unknown:
        raise ValueError(f"a view has no filter {sorted(unknown)[0]!r}")
    for name, values in plain.items():
        if not isinstance(values, list | tuple) or not all(isinstance(each, str) for each in values):
            raise ValueError(f"{name!r} needs a list of texts")
    return ViewFilter(
        sources=frozenset(plain.get("sources", ())),
        groups=frozenset(plain.get("groups", ())),
        ip_tags=frozenset(plain.get("ip_tags", ())),
        networks=tuple(map(parse, plain.get("networks", ()))),
    )


def _millis(time: datetime | None) -> int | None:
    return None if time is None else round(time.timestamp() * 1000)
