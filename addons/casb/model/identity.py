"""Who asks, on which device, from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class DeviceTag(StrEnum):
    """A proof that a device is managed (MDCA device tags). A device with none of them is unmanaged."""

    COMPLIANT = "compliant"
    HYBRID_JOINED = "hybrid-joined"
    CLIENT_CERTIFICATE = "client-certificate"


UNMANAGED = "unmanaged"
"""How policies spell 'carries no device tag'. Never stored as a tag."""


class DeviceType(StrEnum):
    """MDCA device types, read off the user agent: a claim, not a proof."""

    PC = "pc"
    MOBILE = "mobile"
    TABLET = "tablet"
    OTHER = "other"


class ClientApp(StrEnum):
    """MDCA 'Client app': what kind of program asks."""

    BROWSER = "browser"
    NATIVE = "native"


class AgentTag(StrEnum):
    """MDCA 'User agent tag'."""

    NATIVE_CLIENT = "native-client"
    OUTDATED_BROWSER = "outdated-browser"
    OUTDATED_OS = "outdated-os"
    ROBOT = "robot"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A signed-in person. `id` is `tenant/oid` (or `issuer/sub`): decisions never rest on the e-mail address alone."""

    id: str
    name: str  # what the person signs in with, lower case, e.g. ada@contoso.example
    display_name: str = ""
    domain: str = ""
    groups: frozenset[str] = frozenset()
    groups_known: bool = True  # False: overage or a failed look-up; group conditions answer unknown
    is_guest: bool = False
    tenant: str = ""
    organization: str = ""  # organisational unit, where a claim tells it


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """The device as proven at sign-in. `sources` says for each tag which claim or certificate gave it."""

    tags: frozenset[DeviceTag] = frozenset()
    id: str | None = None
    type: DeviceType = DeviceType.OTHER
    os: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def managed(self) -> bool:
        """True when at least one tag is proven."""
        return bool(self.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The address and program an exchange comes from; looked at anew for every exchange."""

    ip: str
    ip_tags: frozenset[str] = frozenset()
    ip_category: str | None = None  # administrative, cloud-provider, corporate, risky, vpn, other
    country: str | None = None  # ISO 3166-1 alpha-2, upper case
    isp: str | None = None
    user_agent: str = ""
    agent_tags: frozenset[AgentTag] = frozenset()
    app: ClientApp = ClientApp.BROWSER


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in as seen on one controlled host. `id` is safe to log: it is not the cookie."""

    id: str
    user: User
    device: Device
    started: datetime
    expires: datetime
    auth_contexts: frozenset[str] = frozenset()
    provider: str = ""  # the identity provider that said who it is
    ip: str = ""  # the address that signed in, or was seen at the last re-evaluation
    proven: Mapping[str, datetime] = field(default_factory=dict)  # when each context was proven last
    evaluated: datetime | None = None  # when the provider last said who and on which device; None: at `started`
    addresses: frozenset[str] = frozenset()  # where it was said to; empty: not noted
    agents: frozenset[str] = frozenset()  # digests of the user agents that it was said to
    recheck: datetime | None = None  # the provider and the device are asked anew after it; None: as `evaluated` says
