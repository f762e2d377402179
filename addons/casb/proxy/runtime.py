"""What the addons of one worker process share: the snapshot in force and the services around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cachetools import TTLCache

from casb.connectors.signin import SignIn
from casb.control.exchange import Party
from casb.control.routes import Route, route
from casb.control.snapshot import Snapshot
from casb.model.identity import Session
from casb.model.record import Record
from casb.ports import SessionStore
from casb.protection.encrypt import AgeProtector
from casb.proxy.certificates import Authority
from casb.proxy.scanning import Scanner
from casb.store.keyring import Keyring

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
    log: Log
    tunnelled: Tunnelled = untold
    close: Callable[[], None] = lambda: None
    problems: list[str] = field(default_factory=list)  # why the newest configuration is not in force
    counters: Counter[str] = field(default_factory=Counter)
    routes: TTLCache[tuple[str, int, bool], Route] = field(default_factory=lambda: TTLCache(20_000, 300))
    visitors: TTLCache[tuple[str, str, str, bytes], Visitor] = field(default_factory=lambda: TTLCache(50_000, 60))
    on_swap: list[Callable[[Snapshot], None]] = field(default_factory=list)

    def route(self, host: str, port: int, *, forward: bool) -> Route:
        """The route of a host under the snapshot in force."""
        key = (host, port, forward)
        found = self.routes.get(key)
        if found is None or found.version != self.snapshot.version:
            found = self.routes[key] = route(self.snapshot, host, port, forward=forward)
        return found

    def swap(self, snapshot: Snapshot) -> None:
        """Put a new snapshot in force, at once and whole. Exchanges under way keep the one they began with."""
        self.snapshot = snapshot
        self.routes.clear()
        self.visitors.clear()
        for callback in self.on_swap:
            callback(snapshot)
