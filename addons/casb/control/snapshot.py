"""All that a decision needs, in one immutable value: an exchange keeps the one that it began with.

Built beside the traffic, from a `Configuration`, and swapped whole. Building finds every error that is left, in one go.
"""

from __future__ import annotations

from dataclasses import dataclass

from casb.catalog.agents import Agents
from casb.catalog.match import Catalog
from casb.catalog.ranges import Geo, Ranges
from casb.config import Configuration, Draft
from casb.errors import CasbError, Problems
from casb.policy.compile import Policies, compile_policies
from casb.policy.loader import Loaded, load
from casb.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is in force. `version` changes with every byte of the folder but its tests."""

    version: str
    settings: Settings
    catalog: Catalog
    ranges: Ranges
    policies: Policies
    agents: Agents
    warnings: tuple[CasbError, ...] = ()  # suspicions about policies; nothing in them keeps one from working


def build_snapshot(
    configuration: Configuration | Draft, *, geo: Geo | None = None, agents: Agents | None = None
) -> Snapshot:
    """The snapshot of a configuration folder; raises `Problems` with everything that is wrong in it.

    A `Draft` that has errors adds those of the policies to them. `geo` looks up countries; `agents` hands on what the
    snapshot before has learned.
    """
    errors = list(configuration.errors) if isinstance(configuration, Draft) else []
    complete = not isinstance(configuration, Draft) or configuration.complete
    loaded = Loaded(policies=())
    try:
        loaded = load(
            configuration.policy_texts,
            known_apps=[app.id for app in configuration.apps] if complete else None,
            ip_tags=sorted({tag for each in configuration.ranges for tag in each.tags}) if complete else None,
        )
    except Problems as problems:
        errors += problems.errors
    settings = configuration.settings
    if errors or settings is None:
        raise Problems(errors)
    return Snapshot(
        version=configuration.version,
        settings=settings,
        catalog=Catalog(configuration.apps),
        ranges=Ranges(configuration.ranges, geo),
        policies=compile_policies(loaded.policies),
        agents=agents or Agents(),
        warnings=loaded.warnings,
    )
