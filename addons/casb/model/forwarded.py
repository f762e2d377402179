"""Whose connection it is behind load balancers: what `X-Forwarded-For` and `Forwarded` (RFC 7239) say, and how far.

Anybody can write these fields, so they are read from their end, where the proxy nearest to us writes, and only as far
as each address that vouches for the next is a trusted one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, Literal

from casb.model.network import Network

type AddressHeader = Literal["x-forwarded-for", "forwarded", "none"]

MAX_HOPS: Final = 64
MAX_FIELD: Final = 8192  # characters of all fields together

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR = re.compile(rf'\s*({_WORD})=({_WORD}|"(?:[^"\\]|\\.)*")\s*(;|,|\Z)')
_PORT = re.compile(r"(?:[0-9]{1,5}|_[A-Za-z0-9._-]+)\Z")


def client_address(peer: str, header: AddressHeader, values: Iterable[str], trusted: Collection[str]) -> str:
    """The address that a request comes from. `peer` is the address of the connection, `values` the fields named
    `header` in their order, `trusted` addresses and networks of proxies whose word counts.

    What is unreadable ends the reading: the last address that a trusted proxy vouched for is the answer.
    """
    address = plain_address(peer)
    if header == "none" or not is_trusted(address, trusted):
        return address
    text = ",".join(values)
    for hop in reversed(_forwarded(text) if header == "forwarded" else _listed(text)):
        if hop is None or not is_trusted(address, trusted):
            break
        address = hop
    return address


def is_trusted(address: str, trusted: Collection[str]) -> bool:
    """Whether an address is in one of the networks; text that is no address is in none."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return any(parsed in network for network in _networks(tuple(trusted)))


def plain_address(text: str) -> str:
    """An IPv4 address that came in over a socket for both families, as IPv4 (RFC 4291 section 2.5.5.2)."""
    if not text.lower().startswith("::ffff:"):
        return text
    try:
        mapped = IPv6Address(text).ipv4_mapped
    except ValueError:
        return text
    return str(mapped) if mapped else text


@lru_cache(16)
def _networks(trusted: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(each, strict=False) for each in trusted)


def _listed(text: str) -> list[str | None]:
    if len(text) > MAX_FIELD:
        return []
    return [_node(each.strip()) for each in text.split(",") if each.strip()][-MAX_HOPS:]


def _forwarded(text: str) -> list[str | None]:
    """The `for` of each element; None where there is none or it is hidden. A malformed field says nothing at all:
    where its elements end is unknown."""
    if len(text) > MAX_FIELD:
        return []
    hops: list[str | None] = []
    names: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None or match[1].lower() in names:
            return []
        value = match[2]
        names[match[1].lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        if match[3] != ";":
            hops.append(_node(names["for"]) if "for" in names else None)
            names = {}
        at = match.end()
    return [] if names else hops[-MAX_HOPS:]


def _node(text: str) -> str | None:
    """An address, perhaps with a port (RFC 7239 section 6), alone; None for `unknown` and obfuscated names."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not (rest[0] == ":" and _PORT.match(rest[1:]))):
            return None
        return _address(host, only=6)
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return _address(host, only=4) if _PORT.match(port) else None
    return _address(text)


def _address(text: str, only: int | None = None) -> str | None:
    try:
        parsed: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return None
    if "%" in text or (only is not None and parsed.version != only):
        return None
    return plain_address(str(parsed))
