"""The catalog as one organisation has it: what ships, what was added and changed here, tags and scores, in one value.

Made whole, never changed: a change of anything makes another one. Scoring 30,000 apps takes about a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType
from urllib.parse import urlsplit

from casb.catalog.domains import DomainIndex, Layer
from casb.catalog.factors import CATEGORIES
from casb.catalog.known import CUSTOM_TAG, KnownApp, KnownApps, Origin
from casb.catalog.metrics import DEFAULTS, Band, Metrics
from casb.catalog.overlay import Overlay, apply
from casb.catalog.score import AppScore, Scorer
from casb.catalog.tagging import (
    ENFORCED,
    ENTRA_HOSTS,
    UNTAGGED,
    Profile,
    TaggedApp,
    TagList,
    TagState,
    carve_outs,
    protected_apps,
    protected_patterns,
)
from casb.hostname import is_address, normal_host
from casb.model.app import App, AppTag
from casb.settings import Settings

_ALTERNATIVES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A score that an admin put in the place of the computed one."""

    score: int
    note: str
    by: str
    at: str  # RFC 3339


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """Everything that was said here about apps. `version` grows with every change."""

    version: int = 0
    added: Mapping[str, KnownApp] = field(default_factory=dict)
    overlays: Mapping[str, Overlay] = field(default_factory=dict)
    states: Mapping[str, TagState] = field(default_factory=dict)
    overrides: Mapping[str, Override] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)  # how many an app has
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)  # custom tags and what they are for
    protected: tuple[str, ...] = ()
    unprotected: tuple[str, ...] = ()
    metrics: Metrics = DEFAULTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One app with everything that holds for it here."""

    app: KnownApp
    computed: AppScore
    override: Override | None = None
    declared: int | None = None  # `risk_score` of apps/*.yaml, or the fixed score of a custom app
    state: TagState = UNTAGGED
    profile: Profile | None = None
    configured: tuple[str, ...] = ()  # ids of apps/*.yaml that are this app
    controlled: bool = False  # under session control
    notes: int = 0
    protected: str | None = None  # the protected host it owns: it cannot be unsanctioned

    @property
    def id(self) -> str:
        """The app's id."""
        return self.app.id

    @property
    def tag(self) -> AppTag:
        """The sanctioning tag."""
        return self.state.tag

    @property
    def score(self) -> int | None:
        """The score that counts everywhere: override, declared, computed; None is unscored."""
        if self.override is not None:
            return self.override.score
        return self.declared if self.declared is not None else self.computed.rounded

    @property
    def tags(self) -> frozenset[str]:
        """All tags as words."""
        words = set(self.state.custom)
        if self.tag is not AppTag.NONE:
            words.add(self.tag.value)
        if self.app.custom:
            words.add(CUSTOM_TAG)
        return frozenset(words)

    @property
    def categories(self) -> tuple[str, ...]:
        """Its category and further ones."""
        return (self.app.category, *self.app.also)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All of it. `index` tells whose a destination is, as an app id."""

    entries: Mapping[str, Entry]
    index: DomainIndex[str]
    metrics: Metrics
    protected: tuple[str, ...]
    known_version: str
    version: int
    on: date
    aliases: Mapping[str, str]  # id of apps/*.yaml to the id it has in the catalog

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def get(self, ident: str) -> Entry | None:
        """An app by its id, or by the id that apps/*.yaml gives it."""
        return self.entries.get(ident) or self.entries.get(self.aliases.get(ident, ""))

    def match(self, host: str, path: str = "", address: str | None = None) -> Entry | None:
        """The app that owns a destination (see `DomainIndex.match`)."""
        found = self.index.match(host, path, address)
        return None if found is None else self.entries[found.owner]

    def band(self, entry: Entry) -> Band:
        """How risky the app is, in a word."""
        return self.metrics.bands.of(entry.score)


def build(
    known: KnownApps,
    local: Local,
    on: date,
    *,
    configured: Iterable[App] = (),
    own: Iterable[str] = (),
    progress: Callable[[int, int], None] | None = None,
    before: Inventory | None = None,
) -> Inventory:
    """Put it together as of the day `on`.

    `configured` are the apps of apps/*.yaml; `own` the deployment's own hosts (`own_hosts`). `progress` is told how
    many apps of how many are scored, now and then. `before` is an earlier one: scores of apps that are the very same
    are taken from it, when day and settings are.
    """
    apps = {
        ident: apply(app, overlay) if (overlay := local.overlays.get(ident)) else app
        for ident, app in {**known.by_id, **local.added}.items()
    }
    configured = tuple(configured)
    index = _index(apps, known, local, ())
    aliases = {each.id: _alias(each, apps, index) for each in configured}
    for each in configured:
        if aliases[each.id] not in apps:
            apps[aliases[each.id]] = _from_configuration(each)
    if configured:
        index = _index(apps, known, local, [(each, aliases[each.id]) for each in configured])
    protected = protected_patterns(own, local.protected, local.unprotected)
    untouchable = protected_apps(protected, index)
    scorer = Scorer(local.metrics, on)
    scored = before.entries if before and before.on == on and before.metrics == local.metrics else {}
    of_app: dict[str, list[App]] = {}
    for each in configured:
        of_app.setdefault(aliases[each.id], []).append(each)
    entries: dict[str, Entry] = {}
    for number, (ident, app) in enumerate(apps.items(), 1):
        state = local.states.get(ident, UNTAGGED)
        here = of_app.get(ident, ())
        risk = next((each.risk_score for each in here if each.risk_score is not None), None)
        entries[ident] = Entry(
            app=app,
            computed=same.computed if (same := scored.get(ident)) and same.app is app else scorer.score(app),
            override=local.overrides.get(ident),
            declared=risk if risk is not None else app.fixed_score,
            state=state,
            profile=local.profiles.get(state.profile) if state.profile else None,
            configured=tuple(each.id for each in here),
            controlled=any(each.controlled for each in here),
            notes=local.notes.get(ident, 0),
            protected=untouchable.get(ident),
        )
        if progress is not None and number % 1000 == 0:
            progress(number, len(apps))
    if progress is not None:
        progress(len(apps), len(apps))
    return Inventory(
        entries=MappingProxyType(entries),
        index=index,
        metrics=local.metrics,
        protected=protected,
        known_version=known.version,
        version=local.version,
        on=on,
        aliases=MappingProxyType(aliases),
    )


def _index(
    apps: Mapping[str, KnownApp], known: KnownApps, local: Local, configured: Iterable[tuple[App, str]]
) -> DomainIndex[str]:
    """Configured and custom apps first, then the catalog. In it, what was changed here outranks what ships."""
    first: dict[str, str] = {}
    for each, ident in configured:
        for pattern in each.domains:
            first.setdefault(pattern, ident)
    networks: tuple[dict[str, str], dict[str, str]] = ({}, {})
    then: dict[str, str] = {}
    for ident, overlay in local.overlays.items():
        if ident in apps and not apps[ident].custom:
            for pattern in overlay.add_domains:
                then.setdefault(pattern, ident)
            for network in overlay.add_addresses:
                networks[1].setdefault(network, ident)
    for ident in (*local.added, *known.by_id):
        app = apps[ident]
        mine, place = (first, 0) if app.custom else (then, 1)
        for pattern in app.domains:
            mine.setdefault(pattern, ident)
        for network in app.addresses:
            networks[place].setdefault(network, ident)
    return DomainIndex(Layer(first.items(), networks[0].items()), Layer(then.items(), networks[1].items()))


def _alias(app: App, apps: Mapping[str, KnownApp], index: DomainIndex[str]) -> str:
    """The catalog's id of a configured app: the same id, or whose its domains are; else its own."""
    if app.id in apps:
        return app.id
    for pattern in app.domains:
        owned = index.owns(pattern) or index.match(pattern.replace("*", "www", 1))
        if owned is not None:
            return owned.owner
    return app.id


def _from_configuration(app: App) -> KnownApp:
    return KnownApp(
        id=app.id,
        name=app.name,
        category=app.category if app.category in CATEGORIES else "unclassified",
        domains=app.domains,
        origin=Origin.CONFIGURED,
    )


def own_hosts(settings: Settings) -> tuple[str, ...]:
    """The hosts of the deployment itself, as patterns: the suffix and all below it, the portal, identity providers."""
    found = [settings.suffix, f"*.{settings.suffix}"]
    urls = [settings.sidecar.public_url, settings.sidecar.url, *(each.authority for each in settings.providers)]
    for url in urls:
        host = urlsplit(url).hostname if url else None
        if host:
            found.append(host)
    for provider in settings.providers:
        if provider.kind == "entra":
            found += ENTRA_HOSTS
        found += [each.rpartition(":")[0] or each for each in provider.hosts]
    names = (each if each.startswith("*.") else normal_host(each) for each in found)
    return tuple(dict.fromkeys(name for name in names if name and not is_address(name) and name != "localhost"))


def tag_list(inventory: Inventory) -> TagList:
    """What enforcement must know: unsanctioned and monitored apps, and who owns names below theirs."""
    tagged = [entry for entry in inventory if entry.tag in ENFORCED]
    owners = ((match.pattern, match.owner) for layer in inventory.index.layers for match in layer.patterns())
    mine = {entry.id: _owned(entry, inventory) for entry in tagged}
    approved = _approved(inventory)
    apps = [
        replace(
            _tagged(entry, mine[entry.id]),
            profile=entry.profile,
            alternatives=tuple((each.id, each.app.name) for each in approved.get(entry.app.category, ())),
        )
        for entry in tagged
    ]
    for ident, patterns in carve_outs(mine.items(), owners).items():
        entry = inventory.entries[ident]
        if entry.tag not in ENFORCED:
            apps.append(_tagged(entry, tuple(patterns), networks=False))
    return TagList(version=inventory.version, apps=tuple(apps), protected=inventory.protected)


def _owned(entry: Entry, inventory: Inventory) -> tuple[str, ...]:
    """The patterns that are the app's in the end: another app may have taken one of its domains over."""
    patterns = []
    for pattern in entry.app.domains:
        owner = inventory.index.owns(pattern)
        if owner is None or owner.owner == entry.id:
            patterns.append(pattern)
    return tuple(patterns)


def _tagged(entry: Entry, patterns: tuple[str, ...], *, networks: bool = True) -> TaggedApp:
    return TaggedApp(
        id=entry.id,
        name=entry.app.name,
        tag=entry.tag,
        domains=patterns,
        addresses=entry.app.addresses if networks else (),
        category=entry.app.category,
        score=entry.score,
    )


def _approved(inventory: Inventory) -> dict[str, list[Entry]]:
    """The best sanctioned apps of each category."""
    found: dict[str, list[Entry]] = {}
    for entry in inventory:
        if entry.tag is AppTag.SANCTIONED:
            for category in entry.categories:
                found.setdefault(category, []).append(entry)
    return {category: sorted(entries, key=_best_first)[:_ALTERNATIVES] for category, entries in found.items()}


def _best_first(entry: Entry) -> tuple[int, str]:
    return -(entry.score if entry.score is not None else -1), entry.app.name


def alternatives(
    inventory: Inventory, ident: str, meets: Callable[[Entry], bool] = lambda entry: True, limit: int = 10
) -> list[Entry]:
    """Apps that could take the place of one: of its category, not unsanctioned, and meeting what is required.

    Sanctioned ones come first, then the higher score.
    """
    of = inventory.get(ident)
    if of is None:
        return []
    same = [
        each
        for each in inventory
        if each.id != of.id
        and each.tag is not AppTag.UNSANCTIONED
        and of.app.category in each.categories
        and meets(each)
    ]
    return sorted(same, key=lambda each: (each.tag is not AppTag.SANCTIONED, *_best_first(each)))[:limit]
