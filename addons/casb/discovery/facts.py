"""What reports know of an app: the catalog's facts in force when somebody asks, not when the log was read.

Re-scoring, tagging and editing an app therefore show at once, and no log is ever parsed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFacts:
    """One app as reports show it. `score` 0 (worst) to 10 (best), None when nobody scored it."""

    id: str
    name: str
    category: str = ""
    score: float | None = None
    risk: str = "unscored"  # high, medium, low, unscored: the catalog's bands
    tag: str = "none"  # sanctioned, unsanctioned, monitored, none
    tags: frozenset[str] = frozenset()  # custom tags
    domains: tuple[str, ...] = ()
    headquarters: str | None = None  # ISO 3166-1 alpha-2
    vendor: str = ""
    factors: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def standing(self) -> str:
        """sanctioned, unsanctioned or other: the split of the charts."""
        return self.tag if self.tag in ("sanctioned", "unsanctioned") else "other"


class Facts(Protocol):
    """The catalog in force."""

    version: str

    def app(self, app_id: str) -> AppFacts:
        """The app; one that is in the catalog no more comes with its id as its name."""


def gone(app_id: str) -> AppFacts:
    """What is known of an app that the catalog has lost."""
    return AppFacts(id=app_id, name=app_id)


class KnownFacts:
    """Facts from a mapping, or made one by one when first asked for."""

    def __init__(
        self, version: str, apps: Mapping[str, AppFacts], make: Callable[[str], AppFacts | None] = lambda app: None
    ) -> None:
        self.version = version
        self._apps = dict(apps)
        self._make = make

    def app(self, app_id: str) -> AppFacts:
        """As `Facts.app`."""
        known = self._apps.get(app_id)
        if known is None:
            known = self._apps[app_id] = self._make(app_id) or gone(app_id)
        return known
