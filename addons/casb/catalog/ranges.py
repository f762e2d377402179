"""Which named range an address is in: category, tags, country, provider. IPv4 and IPv6 alike.

Knows addresses as text and the operator's ranges. A GeoIP database is read at the rim and handed in as a function.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from casb.model.network import IpRange, RangeFacts, overlaps

type Geo = Callable[[str], tuple[str | None, str | None]]
"""Gives country (ISO 3166-1 alpha-2, upper case) and provider of an address; None where it does not know."""

_UNKNOWN = RangeFacts()
_MAPPED = 0xFFFF << 32  # ::ffff:0:0/96, RFC 4291 section 2.5.5.2


class Ranges:
    """The named ranges, compiled to sorted spans: a look-up is one bisection."""

    __slots__ = ("_geo", "_v4", "_v6", "ranges")

    ranges: tuple[IpRange, ...]

    def __init__(self, ranges: Iterable[IpRange] = (), geo: Geo | None = None) -> None:
        """Raises `ValueError` when two ranges share addresses; the configuration's reader says where they are."""
        self.ranges = tuple(ranges)
        for clash in overlaps(self.ranges):
            raise ValueError(f"{clash.second.name!r} overlaps {clash.first.name!r}")
        self._geo = geo
        self._v4 = _Spans(self.ranges, 4)
        self._v6 = _Spans(self.ranges, 6)

    def lookup(self, ip: str) -> RangeFacts:
        """What is known of an address. Text that is no address is an unknown one: it is in no range.

        A v4-mapped v6 address counts as the v4 address in it; a zone (`%eth0`) is left out.
        """
        number = _parse(ip)
        if number is None:
            return _UNKNOWN
        version, value = number
        facts = (self._v4 if version == 4 else self._v6).find(value)
        if self._geo is None or (facts.country and facts.isp):
            return facts
        country, isp = self._geo(str(IPv4Address(value)) if version == 4 else ip.partition("%")[0])
        return RangeFacts(
            name=facts.name,
            category=facts.category,
            tags=facts.tags,
            country=facts.country or country,
            isp=facts.isp or isp,
        )


class _Spans:
    """Spans of one IP version that do not overlap, sorted by first address."""

    __slots__ = ("_facts", "_first", "_last")

    def __init__(self, ranges: Sequence[IpRange], version: int) -> None:
        spans: list[tuple[int, int, RangeFacts]] = []
        for each in ranges:
            facts = RangeFacts(
                name=each.name, category=each.category, tags=each.tags, country=each.country, isp=each.isp
            )
            mine = sorted(
                (int(network.network_address), int(network.broadcast_address))
                for network in each.networks
                if network.version == version
            )
            end = -1
            for first, last in mine:
                if last > end:  # Networks nest or are apart: one that ends inside is covered already.
                    spans.append((first, last, facts))
                    end = last
        spans.sort(key=lambda span: span[0])
        self._first = [span[0] for span in spans]
        self._last = [span[1] for span in spans]
        self._facts = [span[2] for span in spans]

    def find(self, value: int) -> RangeFacts:
        at = bisect_right(self._first, value) - 1
        if at >= 0 and value <= self._last[at]:
            return self._facts[at]
        return _UNKNOWN


def _parse(ip: str) -> tuple[int, int] | None:
    try:
        if ":" not in ip:
            return 4, int(IPv4Address(ip))
        value = int(IPv6Address(ip))
    except AddressValueError:
        return None
    if value >> 32 == _MAPPED >> 32:
        return 4, value & 0xFFFF_FFFF
    return 6, value
