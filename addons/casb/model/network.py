"""Address ranges that the organisation has named, and what is known of one address."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from casb.errors import Where

type Network = IPv4Network | IPv6Network

CATEGORIES = ("administrative", "cloud-provider", "corporate", "risky", "vpn", "other")
"""MDCA IP categories."""

_MAPPED = IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class IpRange:
    """One entry of `ranges.yaml`. `country` and `isp` override what a GeoIP database says; None leaves it."""

    name: str
    networks: tuple[Network, ...]
    category: str = "other"
    tags: frozenset[str] = frozenset()
    country: str | None = None  # ISO 3166-1 alpha-2, upper case
    isp: str | None = None
    places: tuple[Where, ...] = ()  # where each network is written, in their order; for error messages only


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeFacts:
    """What is known of an address. `None` and the empty set mean that nobody said."""

    name: str | None = None
    category: str | None = None
    tags: frozenset[str] = frozenset()
    country: str | None = None
    isp: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Two networks of different ranges that share addresses; `second` comes later in the order given."""

    first: IpRange
    first_index: int
    second: IpRange
    second_index: int


def parse_network(text: str) -> Network:
    """CIDR, or one address, v4 or v6. A v4-mapped v6 network is the v4 network that it stands for.

    Raises `ValueError` with a sentence, also when bits are set below the mask: `10.0.0.7/8` is a slip of the pen more
    often than a wish.
    """
    if "%" in text:
        raise ValueError(f"{text!r} has a zone: only addresses that mean the same everywhere can be in a range")
    try:
        network = ip_network(text)
    except ValueError:
        try:
            loose = ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{text!r} is neither an IP address nor a CIDR range") from None
        raise ValueError(f"{text!r} has bits set below its mask; {str(loose)!r} is that range") from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        low = int(network.network_address) & 0xFFFF_FFFF
        return IPv4Network((low, network.prefixlen - 96))
    return network


def overlaps(ranges: Iterable[IpRange]) -> list[Overlap]:
    """All pairs of neighbouring networks, of different ranges, that share addresses."""
    listed = [
        (network, order, index, each)
        for order, each in enumerate(ranges)
        for index, network in enumerate(each.networks)
    ]
    found: list[Overlap] = []
    for version in (4, 6):
        same = [entry for entry in listed if entry[0].version == version]
        # Networks nest or are apart, so sorted by first address, wider first, an enclosing one is an open ancestor.
        same.sort(key=lambda entry: (int(entry[0].network_address), entry[0].prefixlen, entry[1], entry[2]))
        enclosing: list[tuple[Network, int, int, IpRange]] = []
        for entry in same:
            while enclosing and int(enclosing[-1][0].broadcast_address) < int(entry[0].network_address):
                enclosing.pop()
            clash = next((outer for outer in reversed(enclosing) if outer[3] is not entry[3]), None)
            if clash:
                first, second = sorted((clash, entry), key=lambda each: (each[1], each[2]))
                found.append(Overlap(first=first[3], first_index=first[2], second=second[3], second_index=second[2]))
            enclosing.append(entry)
    return found
