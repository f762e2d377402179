"""The catalog as discovery needs it: who owns a destination, and what is known of an app."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from casb.catalog.domains import DomainIndex, Layer, bare_host, parents
from casb.catalog.known import KnownApp, KnownApps
from casb.discovery.facts import AppFacts, KnownFacts
from casb.errors import Problems
from casb.model.app import App, AppTag
from casb.store.catalog_files import load_shipped
from casb.store.folder import load_draft


class DestinationIndex:
    """Host, URL and address to the id of an app. Picklable. The organisation's own apps come before the catalog's."""

    def __init__(self, own: Iterable[KnownApp], shipped: Iterable[KnownApp]) -> None:
        layers = []
        self._path_hosts: set[str] = set()
        self._paths_below: set[str] = set()
        for apps in (own, shipped):
            patterns, networks = [], []
            for app in apps:
                patterns += [(pattern, app.id) for pattern in app.domains]
                networks += [(network, app.id) for network in app.addresses]
                self._note_paths(app.domains)
            layers.append(Layer(patterns, networks))
        self._index = DomainIndex(*layers)

    def _note_paths(self, patterns: Iterable[str]) -> None:
        for pattern in patterns:
            host, slash, _ = pattern.partition("/")
            if slash:
                (self._paths_below if host.startswith("*.") else self._path_hosts).add(host.removeprefix("*."))

    def app(self, host: str | None, url: str | None, address: str | None) -> str | None:
        """The id of the app, or None. Path beats host beats wildcard beats address."""
        if host is None:
            found = self._index.by_address(address) if address else None
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


def known_apps(folder: str | None) -> Known:
    """The catalog with what a configuration folder adds; None: the shipped catalog alone. Raises `Problems`."""
    shipped = load_shipped()
    own: tuple[App, ...] = ()
    if folder is not None:
        draft = load_draft(folder)
        if draft.errors:
            raise Problems(list(draft.errors))
        own = draft.apps
    return of(shipped, own)


def of(shipped: KnownApps, own: Iterable[App]) -> Known:
    """As `known_apps`, from values."""
    configured = {app.id: app for app in own}
    index = DestinationIndex(
        (
            KnownApp(id=app.id, name=app.name, category=app.category, domains=app.domains)
            for app in configured.values()
        ),
        shipped.by_id.values(),
    )

    def make(app_id: str) -> AppFacts | None:
        known, app = shipped.by_id.get(app_id), configured.get(app_id)
        if known is None and app is None:
            return None
        facts = of_known(known) if known else AppFacts(id=app_id, name=app_id)
        return facts if app is None else with_configured(facts, app)

    return Known(index=index, facts=KnownFacts(shipped.version, {}, make))


def of_known(app: KnownApp) -> AppFacts:
    """The facts of a catalog app."""
    headquarters = app.value("headquarters")
    return AppFacts(
        id=app.id,
        name=app.name,
        category=app.category,
        score=app.fixed_score,
        domains=app.domains,
        vendor=app.vendor,
        headquarters=headquarters if isinstance(headquarters, str) else None,
        factors={factor: fact.value for factor, fact in app.facts.items()},
    )


def with_configured(facts: AppFacts, app: App) -> AppFacts:
    """The same app as the configuration folder has it: what is written there counts more."""
    return AppFacts(
        id=facts.id,
        name=app.name,
        category=app.category or facts.category,
        score=facts.score if app.risk_score is None else app.risk_score,
        tag=facts.tag if app.tag is AppTag.NONE else app.tag.value,
        tags=facts.tags,
        domains=tuple(dict.fromkeys((*app.domains, *facts.domains))),
        headquarters=facts.headquarters,
        vendor=facts.vendor,
        factors=facts.factors,
    )


def path_of(url: str) -> str:
    """The path of a URL in whatever form a log has it; `/` where there is none."""
    try:
        return urlsplit(url if "://" in url else f"//{url}").path or "/"
    except ValueError:
        return "/"
