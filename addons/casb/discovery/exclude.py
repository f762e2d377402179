"""Who is left out of the Global report (D24): users, groups, addresses, devices. New data only.

What is excluded still counts in the report of its own source; endpoint and proxy streams know no exclusions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Literal

from casb.discovery.people import spellings
from casb.model.network import Network, parse_network

type Entity = Literal["user", "group", "ip", "device"]
ENTITIES: tuple[Entity, ...] = ("user", "group", "ip", "device")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """One entry. `value` is a name as logged or a UPN, a group, an address or CIDR range, a device."""

    entity: Entity
    value: str
    comment: str = ""

    def __post_init__(self) -> None:
        """Raises `ValueError` with a sentence."""
        if self.entity not in ENTITIES:
            raise ValueError(f"{self.entity!r} is none of {', '.join(ENTITIES)}")
        if not self.value.strip():
            raise ValueError("an exclusion needs a value")
        if self.entity == "ip":
            parse_network(self.value)


class Exclusions:
    """The list, indexed."""

    def __init__(self, entries: Iterable[Exclusion] = ()) -> None:
        self._names: dict[str, set[str]] = {entity: set() for entity in ENTITIES}
        self._networks: list[Network] = []
        for entry in entries:
            if entry.entity == "ip":
                self._networks.append(parse_network(entry.value))
            else:
                self._names[entry.entity].add(entry.value.strip().casefold())
        self.empty = not self._networks and not any(self._names.values())

    def covers(
        self, *, names: Iterable[str] = (), groups: Iterable[str] = (), ip: str | None, device: str | None
    ) -> bool:
        """Whether one of the facts is on the list. `names` are all names of the user: as logged and the UPN."""
        if self.empty:
            return False
        users = self._names["user"]
        if users and any(spelling in users for name in names for spelling in spellings(name)):
            return True
        if self._names["group"] and any(group.casefold() in self._names["group"] for group in groups):
            return True
        if device is not None and device.casefold() in self._names["device"]:
            return True
        return bool(ip and self._networks) and within(ip or "", tuple(self._networks))


@lru_cache(maxsize=50_000)
def within(ip: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address is in one of the networks; what is no address is in none. v4-mapped v6 is v4."""
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address.version == network.version and address in network for network in networks)
