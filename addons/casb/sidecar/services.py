"""What every endpoint works with, in one value; made once by `build_app`'s caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from casb.ports import Clock
from casb.settings import Secret, Settings
from casb.sidecar.deployment import Deployment
from casb.sidecar.kept import Kept
from casb.store.alerts_sqlite import AlertStore
from casb.store.app_catalog import AppCatalog
from casb.store.portal_sqlite import PortalStore
from casb.store.records import ActivityLog

if TYPE_CHECKING:  # its engines come with the extra `discovery`, which a sidecar need not have
    from casb.store.discovery_service import Discovery


@dataclass(slots=True, kw_only=True)
class Counters:
    """What the sidecar has done since it started, for `/metrics`."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    refused: int = 0  # requests without a valid token or session


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The stores, the deployment, the token of the proxy, and the clock."""

    settings: Settings
    records: ActivityLog
    portal: PortalStore
    alerts: AlertStore
    deployment: Deployment
    ingest_token: Secret
    clock: Clock
    catalog: AppCatalog | None = None
    discovery: Discovery | None = None
    counters: Counters = field(default_factory=Counters)
    kept: Kept = field(default_factory=Kept)
