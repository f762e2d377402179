"""The catalog in force as discovery needs it: who owns a destination, and what is known of an app."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

from casb.catalog.domains import DomainIndex, bare_host, parents
from casb.catalog.inventory import Entry, Inventory, Local, build, own_hosts
from casb.discovery.facts import AppFacts, KnownFacts
from casb.errors import Problems, StoreError
from casb.model.app import App, AppTag
from casb.settings import Settings
from casb.store.catalog_files import load_shipped
from casb.store.catalog_sqlite import CatalogStore
from casb.store.folder import load_draft
from casb.store.records_sqlite import Database, database_path


class DestinationIndex:
    """Host, URL and address to the id of an app: `Matcher` of `discovery_run`. Picklable."""

    def __init__(self, index: DomainIndex[str], *, networks: bool = True) -> None:
        """`networks` False says that no app is known by its addresses, which saves looking for them."""
        self._index = index
        self._networks = networks
        self._path_hosts: set[str] = set()
        self._paths_below: set[str] = set()
        for layer in index.layers:
            for match in layer.patterns():
                host, slash, _ = match.pattern.partition("/")
                if slash:
                    (self._paths_below if host.startswith("*.") else self._path_hosts).add(host.removeprefix("*."))

    def app(self, host: str | None, url: str | None, address: str | None) -> str | None:
        """The id of the app, or None. Path beats host beats wildcard beats address."""
        if host is None:
            found = self._index.by_address(address) if address and self._networks else None
        else:
            found = self._index.match(host, path_of(url) if url and self.by_path(host) else "", address)
        return found.owner if found else None

    def by_path(self, host: str) -> bool:
        """Whether apps share this host and the URL's path tells which is which."""
        if not self._path_hosts and not self._paths_below:
            return False
        name = bare_host(host) or host
        return name in self._path_hosts or any(parent in self._paths_below for parent in parents(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The catalog in force, both ways."""

    index: DestinationIndex
    facts: KnownFacts
    version: str
    inventory: Inventory | None = None


class Following:
    """The catalog of somebody who keeps one in memory, made anew only when theirs has changed."""

    def __init__(self, inventory: Callable[[], Inventory], configured: Callable[[], Iterable[App]] = tuple) -> None:
        self._inventory = inventory
        self._configured = configured
        self._made: tuple[Inventory, tuple[App, ...], Known] | None = None

    def __call__(self) -> Known:
        """The catalog in force."""
        inventory, apps, made = self._inventory(), tuple(self._configured()), self._made
        if made is None or made[0] is not inventory or made[1] != apps:
            made = self._made = inventory, apps, of_inventory(inventory, apps)
        return made[2]


def known_apps(folder: str | None, on: date) -> Known:
    """The catalog with what a configuration folder and its portal add; None: the shipped catalog alone.

    Raises `Problems` for a broken folder.
    """
    if folder is None:
        return of_inventory(build(load_shipped(), Local(), on), ())
    draft = load_draft(folder)
    if draft.errors:
        raise Problems(list(draft.errors))
    local = Local()
    own: tuple[str, ...] = ()
    if draft.settings is not None:
        local, own = local_of(draft.settings), own_hosts(draft.settings)
    return of_inventory(build(load_shipped(), local, on, configured=draft.apps, own=own), draft.apps)


def local_of(settings: Settings) -> Local:
    """What the portal keeps about apps; nothing where there is no database, or an older one, yet."""
    path = database_path(settings)
    if not Path(path).exists():
        return Local()
    database = Database(path, read_only=True)
    try:
        return CatalogStore(database).local()
    except StoreError:
        return Local()
    finally:
        database.close()


def of_inventory(inventory: Inventory, configured: Iterable[App]) -> Known:
    """The catalog as one value of the catalog room has it. Tags of `configured` apps count where nobody tagged here."""
    declared = {
        entry.id: app.tag.value for app in configured if app.tag is not AppTag.NONE and (entry := inventory.get(app.id))
    }

    def make(app_id: str) -> AppFacts | None:
        entry = inventory.get(app_id)
        if entry is None:
            return None
        facts = facts_of(entry, inventory)
        return replace(facts, tag=declared.get(entry.id, "none")) if facts.tag == "none" else facts

    version = f"{inventory.known_version}+{inventory.version}"
    networks = any(entry.app.addresses for entry in inventory)
    return Known(
        index=DestinationIndex(inventory.index, networks=networks),
        facts=KnownFacts(version, {}, make),
        version=version,
        inventory=inventory,
    )


def facts_of(entry: Entry, inventory: Inventory) -> AppFacts:
    """What reports show of an app."""
    headquarters = entry.app.value("headquarters")
    return AppFacts(
        id=entry.id,
        name=entry.app.name,
        category=entry.app.category,
        score=entry.score,
        risk=inventory.band(entry).value,
        tag=entry.tag.value,
        tags=entry.tags - {entry.tag.value},
        domains=entry.app.domains,
        headquarters=headquarters if isinstance(headquarters, str) else None,
        vendor=entry.app.vendor,
        factors={factor: fact.value for factor, fact in entry.app.facts.items()},
    )


def path_of(url: str) -> str:
    """The path of a URL in whatever form a log has it; `/` where there is none."""
    try:
        return urlsplit(url if "://" in url else f"//{url}").path or "/"
    except ValueError:
        return "/"
