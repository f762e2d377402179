"""All that a decision needs, in one immutable value: an exchange keeps the one that it began with.

Built beside the traffic, from a `Configuration`, and swapped whole. Building finds every error that is left, in one go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TypedDict

from casb.catalog.agents import Agents
from casb.catalog.match import Catalog
from casb.catalog.products import NONE, products, with_product
from casb.catalog.ranges import Geo, Ranges
from casb.config import Configuration, Draft
from casb.control import saml_trust
from casb.control.discovery_policies import discovery_policies
from casb.errors import CasbError, ConfigError, Problems, Where
from casb.inspection.info_types import custom
from casb.inspection.info_types.recipe import recipe
from casb.inspection.info_types.shape import InfoType, Spec
from casb.inspection.info_types.shipped import chosen, shipped
from casb.inspection.malware import KnownBad
from casb.inspection.spec import Recipe
from casb.model.app import App, AppTag
from casb.model.identity import Client, Device
from casb.policy import conditions
from casb.policy.compile import Policies, compile_policies
from casb.policy.document import Redact
from casb.policy.exceptions import Exceptions, Verify, collect
from casb.policy.loader import Loaded, LoadedPolicy, load
from casb.rewrite.hosts import HostMap
from casb.settings import Secret, Settings


def nobody(_key: str, _signed: bytes, _signature: bytes) -> bool:
    """Where no key is at hand, no exception holds."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is in force. `version` changes with every byte of the folder but its tests."""

    version: str
    settings: Settings
    catalog: Catalog
    ranges: Ranges
    policies: Policies
    agents: Agents
    hosts: HostMap
    loaded: tuple[LoadedPolicy, ...] = ()  # the policies as written
    exceptions: Exceptions = field(default_factory=Exceptions)
    known_bad: KnownBad | None = None  # feeds of hashes and YARA rules
    warnings: tuple[CasbError, ...] = ()  # suspicions about policies; nothing in them keeps one from working
    sought: Spec = field(default_factory=Spec)  # the sensitive information types that policies ask for
    recipe: Recipe | None = None  # what a worker needs to look for them; None: nothing is asked for

    def client(self, ip: str, user_agent: str, device: Device) -> tuple[Client, Device]:
        """What the present address and program say: the client, and the device with its claimed type and system."""
        where, agent = self.ranges.lookup(ip), self.agents.lookup(user_agent)
        client = Client(
            ip=ip,
            ip_tags=where.tags,
            ip_category=where.category,
            country=where.country,
            isp=where.isp,
            user_agent=user_agent,
            agent_tags=agent.tags,
            app=agent.app,
        )
        return client, replace(device, type=agent.device_type, os=agent.os)


def build_snapshot(
    configuration: Configuration | Draft,
    *,
    geo: Geo | None = None,
    agents: Agents | None = None,
    verify: Verify = nobody,
    now: datetime | None = None,
    known_bad: KnownBad | None = None,
) -> Snapshot:
    """The snapshot of a configuration folder; raises `Problems` with everything that is wrong in it.

    `verify` checks the signatures of exceptions; those that do not hold (`now`, too) are in `exceptions.refused`.
    A `Draft` that has errors adds those of the policies to them. `known_bad` is what the organisation knows of malware,
    `geo` looks up countries; `agents` hands on what the
    snapshot before has learned.
    """
    errors = list(configuration.errors) if isinstance(configuration, Draft) else []
    loaded = Loaded(policies=())
    try:
        own: Mapping[str, InfoType] | None = load_info_types(configuration)
    except Problems as problems:
        errors += problems.errors
        own = None
    try:
        loaded = load(configuration.policy_texts, **known_to(configuration, own))
    except Problems as problems:
        errors += problems.errors
    discovery_policies(configuration.policy_texts, loaded.policies, errors)
    errors += beside_policies(configuration)
    settings = configuration.settings
    if errors or settings is None:
        raise Problems(errors)
    exceptions = Exceptions()
    if configuration.exception_texts:
        exceptions = collect(
            configuration.exception_texts,
            verify=verify,
            now=now or datetime.min.replace(tzinfo=UTC),
            policies=[each.document.id for each in loaded.policies],
            apps=[app.id for app in configuration.apps],
        )
    sought = sought_by(loaded.policies, own or {}, last_four=settings.inspection.last_four)
    return Snapshot(
        sought=sought,
        recipe=recipe(sought) if sought.types else None,
        version=configuration.version,
        settings=settings,
        catalog=Catalog(with_product(app) for app in configuration.apps),
        ranges=Ranges(configuration.ranges, geo),
        policies=compile_policies(
            loaded.policies, configuration.withdrawn if isinstance(configuration, Configuration) else ()
        ),
        agents=agents or Agents(),
        hosts=HostMap(
            suffix=settings.suffix,
            port=settings.port,
            names=[name for app in configuration.apps for name in _names(app)],
            plain=[name for app in configuration.apps for name in _names(app) if _on_http(app, name)],
            flat=settings.host_names == "flat",
        ),
        loaded=loaded.policies,
        exceptions=exceptions,
        known_bad=known_bad,
        warnings=loaded.warnings,
    )


class Known(TypedDict):
    """What policies may name, as `load` takes it; None where that is not known."""

    known_apps: Collection[str] | None
    ip_tags: Collection[str] | None
    info_types: Collection[str] | None
    known_labels: Collection[str] | None
    known_recipients: Collection[str] | None


def known_to(configuration: Configuration | Draft, info_types: Collection[str] | None) -> Known:
    """What the deployment has that policies may name. `info_types` are its own."""
    complete = not isinstance(configuration, Draft) or configuration.complete
    settings = configuration.settings
    return Known(
        known_apps=[app.id for app in configuration.apps] if complete else None,
        ip_tags=sorted({tag for each in configuration.ranges for tag in each.tags}) if complete else None,
        info_types=info_types,
        known_labels=[each.name for each in settings.labels] if settings else None,
        known_recipients=[each.name for each in settings.recipients] if settings else None,
    )


def beside_policies(configuration: Configuration | Draft) -> list[CasbError]:
    """What is wrong between the files beside the policies: each of them is good by itself."""
    settings = configuration.settings
    trust = saml_trust.problems(settings, configuration.apps) if settings is not None else ()
    return [*trust, *_unknown_products(configuration.apps, settings)]


def _unknown_products(apps: Iterable[App], settings: Settings | None) -> list[CasbError]:
    where = Where(file=f"{settings.folder}/apps" if settings else "apps")
    return [
        ConfigError("C129", f"app {app.id!r}: no product {app.product!r} is known", where, _hint(app.product))
        for app in apps
        if app.product and app.product != NONE and app.product not in products()
    ]


def _hint(product: str) -> str:
    near = get_close_matches(product, products(), 1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(products())}"


def load_info_types(configuration: Configuration | Draft) -> Mapping[str, InfoType]:
    """The organisation's own sensitive information types. Raises `Problems`."""
    settings = configuration.settings
    secret = settings.inspection.exact_match_key if settings is not None else Secret("")
    key = None if secret is None else secret.reveal().encode()
    return custom.load(configuration.info_type_texts, key=key, label=configuration.label)


def sought_by(policies: Iterable[LoadedPolicy], own: Mapping[str, InfoType], *, last_four: bool) -> Spec:
    """The types that the conditions of some policies name, and what they mask."""
    every = list(policies)
    asked = conditions.asked(each.when for each in every)
    masked = (each.document.action for each in every if isinstance(each.document.action, Redact))
    asked = asked.union(*(action.types for action in masked))
    return Spec(types=chosen(asked, {**shipped(), **own}), last_four=last_four)


def _names(app: App) -> tuple[str, ...]:
    """The names of an app that live under the suffix, each with its port when it has one of its own."""
    if not app.controlled or app.tag is AppTag.UNSANCTIONED:
        return ()
    bare = app.domains if app.bare is None else [domain for domain in app.domains if domain in app.bare]
    return (*(f"[{domain}]" if ":" in domain else domain for domain in bare), *app.ports)


def _on_http(app: App, name: str) -> bool:
    """Does the app take itself to be on http? Its own word, or what we connect with."""
    if app.upstream.scheme:
        return app.upstream.scheme == "http"
    connect = app.upstream.hosts.get(name.strip("[]")) or app.upstream.connect or ""
    return connect.startswith("http://") and app.upstream.forwarded == "none"
