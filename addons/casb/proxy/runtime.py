"""What the addons of one worker process share: the snapshot in force and the services around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cachetools import TTLCache

from casb.catalog.tagging import TaggedApp, TagIndex
from casb.connectors.certificates import DeviceCertificates
from casb.connectors.directory import Directory
from casb.connectors.events import EventReceiver
from casb.connectors.signin import SignIn
from casb.control.exchange import Party
from casb.control.routes import Kind, Route, route
from casb.control.snapshot import Snapshot
from casb.model.identity import Session, User
from casb.model.record import Record
from casb.ports import SessionStore
from casb.protection.encrypt import AgeProtector
from casb.proxy.bodies import Bodies
from casb.proxy.certificates import Authority
from casb.proxy.converting import Converter
from casb.proxy.engines import Engines
from casb.proxy.scanning import Scanner
from casb.proxy.streaming import StreamWorkers
from casb.store.bypasses import Bypasses
from casb.store.keyring import Keyring
from casb.store.protected_sqlite import ProtectedFiles

type Log = Callable[[Record], None]
"""Where records go: durable once it returns. Raises `StoreError` when it cannot be."""


type Tunnelled = Callable[[str, str, datetime, int, int], None]
"""Where tunnels are told of: host, client address, begin, bytes up and down. Raises `StoreError`."""


def now() -> datetime:
    """The clock of the rim."""
    return datetime.now(UTC)


def untold(host: str, ip: str, began: datetime, up: int, down: int) -> None:
    """Tunnels that nobody counts."""


@dataclass(slots=True, kw_only=True)
class Visitor:
    """A party, and whether access policies let it open the app at all. Kept while nothing about it changes."""

    session: Session
    party: Party
    access: Record


@dataclass(slots=True, kw_only=True)
class Runtime:
    """One worker. `snapshot` is replaced whole by `reload`; everything else lives as long as the process."""

    snapshot: Snapshot
    sessions: SessionStore
    sign_in: SignIn
    authority: Authority
    keyring: Keyring
    protector: AgeProtector
    scanner: Scanner
    converter: Converter
    protected: ProtectedFiles
    tell: Callable[[Mapping[str, Any]], None]  # of protected files: durable once it returns; raises `StoreError`
    log: Log
    bypasses: Bypasses
    bodies: Bodies | None = None  # None: what is judged is held in memory
    streams: StreamWorkers | None = None  # None: nothing is judged while it passes
    engines: Engines | None = None  # who looks for malware
    tags: TagIndex | None = None  # as published; None: nothing ever was
    events: EventReceiver | None = None  # of security events
    certificates: DeviceCertificates | None = None  # whom device certificates are believed from
    directory: Directory | None = None  # what more is known of people and devices
    checks: dict[str, str] = field(default_factory=dict)  # what does not work, by what it is about: `Status` tells it
    tunnelled: Tunnelled = untold
    close: Callable[[], None] = lambda: None
    problems: list[str] = field(default_factory=list)  # why the newest configuration is not in force
    counters: Counter[str] = field(default_factory=Counter)
    routes: TTLCache[tuple[str, int, bool], Route] = field(default_factory=lambda: TTLCache(20_000, 300))
    visitors: TTLCache[tuple[str, str, str, bytes], Visitor] = field(default_factory=lambda: TTLCache(50_000, 60))
    # Who is at a client address; None: several people.
    people: TTLCache[str, User | None] = field(default_factory=lambda: TTLCache(50_000, 3600))
    version: str = ""  # of snapshot and tags together: a route of another one is looked up anew
    on_swap: list[Callable[[Snapshot], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._renew()

    def route(self, host: str, port: int, *, forward: bool, ip: str = "") -> Route:
        """The route of a host under the snapshot and the tags in force, for a client at `ip`."""
        key = (host, port, forward)
        found = self.routes.get(key)
        if found is None or found.version != self.version:
            fresh = route(self.snapshot, host, port, forward=forward, tags=self.tags)
            found = self.routes[key] = replace(fresh, version=self.version)
        if found.tagged is not None and not self._concerned(found.tagged, found.kind, ip):
            return replace(route(self.snapshot, host, port, forward=forward), version=self.version)
        return found

    def _concerned(self, tagged: TaggedApp, kind: Kind, ip: str) -> bool:
        """Whether a tag holds for a client: somebody unknown is concerned by every profile."""
        user = self.people.get(ip) if tagged.profile is not None else None
        if tagged.profile is not None and user is not None and not tagged.profile.concerns(user.groups):
            return False
        return kind is not Kind.MONITORED or not self.bypasses.holds(ip, tagged.id, now().timestamp())

    def met(self, ip: str, user: User) -> None:
        """Somebody signed in is at this address. Who shares it with others is nobody there."""
        before = self.people.get(ip, user)
        self.people[ip] = user if before is not None and before.id == user.id else None

    def put_tags(self, tags: TagIndex) -> None:
        """Put other tags in force, at once and whole."""
        self.tags = tags
        self.routes.clear()
        self._renew()

    def _renew(self) -> None:
        self.version = f"{self.snapshot.version} {self.tags.list.version if self.tags else '-'}"

    def swap(self, snapshot: Snapshot) -> None:
        """Put a new snapshot in force, at once and whole. Exchanges under way keep the one they began with."""
        self.snapshot = snapshot
        self._renew()
        self.routes.clear()
        self.visitors.clear()
        for callback in self.on_swap:
            callback(snapshot)
