"""Whose a host, URL or address is: the one matcher of log parsers, proxy and block lists.

Patterns are hosts, `*.` wildcards (every name below, not the name itself), either with a path prefix in whole segments,
and networks. The most specific wins: a path beats an exact host beats a wildcard beats a network; among equals the
longest. Layers given first win over later ones in each of host and address, and any host beats any address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import unquote_to_bytes

from casb.hostname import domain_pattern, is_address, normal_host
from casb.model.network import Network, parse_network

DEEPEST_PATH = 8
"""Segments a pattern's path may have."""

_PATH = re.compile(r"/[!$&'()+,./0-9:;=@A-Z_a-z~-]*\Z")
_PORT = re.compile(r":[0-9]{0,5}\Z")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def parse_pattern(text: str) -> str:
    """A pattern in its one form: host part as `hostname.domain_pattern` has it, path without its last slash.

    `/` and a trailing `/*` or `/…` mean the same as nothing behind them. Raises `ValueError` with a sentence.

    >>> parse_pattern("*.Example.com/s/…")
    '*.example.com/s'
    """
    host, slash, path = text.partition("/")
    pattern = domain_pattern(host)
    if not slash:
        return pattern
    path = "/" + path.removesuffix("…").removesuffix("*")
    path = path.rstrip("/")
    if not path:
        return pattern
    if not _PATH.match(path) or "//" in path or {".", ".."} & set(path.split("/")):
        raise ValueError(f"{text!r} has a path that is no plain prefix: letters, digits and slashes, without a query")
    if path.count("/") > DEEPEST_PATH:
        raise ValueError(f"{text!r} has more than {DEEPEST_PATH} path segments")
    return pattern + path


@dataclass(frozen=True, slots=True)
class Match[T]:
    """Who owns it, and by which pattern. `kind` is path, host, wildcard or address."""

    owner: T
    pattern: str
    kind: str


class Layer[T]:
    """Patterns and networks of equal rank. Immutable once built; a look-up costs a few dictionary probes a label."""

    __slots__ = ("_below", "_deepest", "_exact", "_networks", "_paths", "_paths_below")

    def __init__(
        self, patterns: Iterable[tuple[str, T]] = (), networks: Iterable[tuple[Network | str, T]] = ()
    ) -> None:
        """`patterns` are in the form of `parse_pattern`. Raises `ValueError` when two owners claim the same one."""
        self._exact: dict[str, Match[T]] = {}
        self._below: dict[str, Match[T]] = {}
        self._paths: dict[str, _Paths[T]] = {}
        self._paths_below: dict[str, _Paths[T]] = {}
        self._deepest = 0  # dots in the longest name that a wildcard stands before
        self._networks = _Networks[T]()
        for pattern, owner in patterns:
            self._add(pattern, owner)
        for network, owner in networks:
            self._networks.add(parse_network(network) if isinstance(network, str) else network, owner)

    def _add(self, pattern: str, owner: T) -> None:
        host, slash, path = pattern.partition("/")
        wildcard = host.startswith("*.")
        name = host[2:] if wildcard else host
        if wildcard:
            self._deepest = max(self._deepest, name.count("."))
        if slash:
            index = self._paths_below if wildcard else self._paths
            paths = index.setdefault(name, _Paths())
            found = paths.by_path.setdefault("/" + path, Match(owner, pattern, "path"))
            paths.deepest = max(paths.deepest, path.count("/") + 1)
        else:
            single = self._below if wildcard else self._exact
            found = single.setdefault(name, Match(owner, pattern, "wildcard" if wildcard else "host"))
        if found.owner is not owner and found.owner != owner:
            raise ValueError(f"{pattern!r} belongs to two owners")

    def host(self, name: str, path: str = "") -> Match[T] | None:
        """The owner of a host in its one form, and of `path` on it (in the form of `normal_path`)."""
        if path and (self._paths or self._paths_below):
            found = self._by_path(name, path)
            if found is not None:
                return found
        match = self._exact.get(name)
        if match is not None or not self._below:
            return match
        below = self._below
        for parent in parents(self._near(name)):
            match = below.get(parent)
            if match is not None:
                return match
        return None

    def _near(self, name: str) -> str:
        """The end of a name that is long enough for every wildcard here: a long name costs no more than a short one."""
        if name.count(".") <= self._deepest + 1:
            return name
        return ".".join(name.rsplit(".", self._deepest + 2)[1:])

    def exactly(self, host: str) -> Match[T] | None:
        """The owner of a host that stands here just as it is spelt, which the common case is; else None."""
        return self._exact.get(host)

    def _by_path(self, name: str, path: str) -> Match[T] | None:
        paths = self._paths.get(name)
        found = paths.find(path) if paths else None
        if found is None and self._paths_below:
            for parent in parents(self._near(name)):
                paths = self._paths_below.get(parent)
                found = paths.find(path) if paths else None
                if found is not None:
                    break
        return found

    def address(self, address: IPv4Address | IPv6Address) -> Match[T] | None:
        """The owner of the narrowest network that holds the address."""
        return self._networks.find(address)

    def covering(self, pattern: str) -> Match[T] | None:
        """The closest wildcard above a pattern, which would own it if the pattern were not there."""
        host = pattern.partition("/")[0]
        for parent in parents(host.removeprefix("*.")):
            match = self._below.get(parent)
            if match is not None:
                return match
        return None

    def owns(self, pattern: str) -> Match[T] | None:
        """The owner of exactly this pattern."""
        host, slash, path = pattern.partition("/")
        wildcard = host.startswith("*.")
        name = host.removeprefix("*.")
        if slash:
            paths = (self._paths_below if wildcard else self._paths).get(name)
            return paths.by_path.get("/" + path) if paths else None
        return (self._below if wildcard else self._exact).get(name)

    def patterns(self) -> Iterator[Match[T]]:
        """Every pattern with its owner; networks are not among them."""
        yield from self._exact.values()
        yield from self._below.values()
        for index in (self._paths, self._paths_below):
            for paths in index.values():
                yield from paths.by_path.values()


class DomainIndex[T]:
    """Layers of patterns, the first ones first: custom apps before the catalog."""

    __slots__ = ("layers",)

    def __init__(self, *layers: Layer[T]) -> None:
        self.layers = layers

    def match(self, host: str, path: str = "", address: str | None = None) -> Match[T] | None:
        """Who owns a destination, in whatever spelling it comes: case, trailing dot, port, U-labels.

        `path` may carry a query and a fragment, which do not count. `address` is asked when no host pattern holds; a
        host that is an address is asked as one as well. Anything unreadable is nobody's.
        """
        name = host if host and self._is_known(host) else bare_host(host)
        if name is not None:
            place = normal_path(path) if path else "/"
            for layer in self.layers:
                found = layer.host(name, place)
                if found is not None:
                    return found
        literal = address or (name if name is not None and is_address(name) else None)
        return self.by_address(literal) if literal else None

    def by_address(self, text: str) -> Match[T] | None:
        """Who owns an address."""
        try:
            address = ip_address(text.strip("[]").partition("%")[0])
        except ValueError:
            return None
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        for layer in self.layers:
            found = layer.address(address)
            if found is not None:
                return found
        return None

    def _is_known(self, host: str) -> bool:
        # A host that stands in an index as it came is in its one form already, which is the common case.
        return any(layer.exactly(host) is not None for layer in self.layers)

    def owns(self, pattern: str) -> Match[T] | None:
        """The owner of exactly this pattern, in the first layer that has it."""
        return next((found for layer in self.layers if (found := layer.owns(pattern))), None)


def parents(name: str) -> Iterator[str]:
    """The names above a host, the longest first: `a.b.c` gives `b.c` and `c`. An address has none."""
    if is_address(name):
        return
    dot = name.find(".")
    while dot >= 0:
        yield name[dot + 1 :]
        dot = name.find(".", dot + 1)


def bare_host(text: str) -> str | None:
    """A host in its one form, its port dropped; None when there is none."""
    name = normal_host(text)
    if name is None and ":" in text and (text.startswith("[") or text.count(":") == 1):
        name = normal_host(_PORT.sub("", text))
    return name


def normal_path(path: str) -> str:
    """A path to compare with patterns: no query, needless escapes undone, dot segments taken out (RFC 3986, 6.2.2).

    >>> normal_path("/%73/../s//x?q=1")
    '/s/x'
    """
    path = re.split(r"[?#]", path, maxsplit=1)[0]
    if "%" in path:
        path = _ESCAPE.sub(_unescaped, path)
    if "//" in path or "/." in path:
        kept: list[str] = []
        for segment in path.split("/"):
            if segment == "..":
                kept = kept[:-1]
            elif segment not in ("", "."):
                kept.append(segment)
        path = "/".join(kept)
    return path if path.startswith("/") else f"/{path}"


def _unescaped(found: re.Match[str]) -> str:
    byte = unquote_to_bytes(found[0])
    return byte.decode("ascii") if byte[0] in _UNRESERVED else found[0].upper()


class _Paths[T]:
    """The path prefixes of one host."""

    __slots__ = ("by_path", "deepest")

    def __init__(self) -> None:
        self.by_path: dict[str, Match[T]] = {}
        self.deepest = 0

    def find(self, path: str) -> Match[T] | None:
        """The longest prefix that ends where a segment of `path` ends."""
        ends: list[int] = []
        at = 0
        while len(ends) < self.deepest:
            at = path.find("/", at + 1)
            if at < 0:
                ends.append(len(path))
                break
            ends.append(at)
        for end in reversed(ends):
            found = self.by_path.get(path[:end])
            if found is not None:
                return found
        return None


class _Networks[T]:
    """Networks by version and prefix length: one probe for each length that occurs."""

    __slots__ = ("_by_length", "_lengths")

    def __init__(self) -> None:
        self._by_length: dict[tuple[int, int], dict[int, Match[T]]] = {}
        self._lengths: Mapping[int, tuple[int, ...]] = {4: (), 6: ()}

    def add(self, network: Network, owner: T) -> None:
        version, length = network.version, network.prefixlen
        table = self._by_length.setdefault((version, length), {})
        key = int(network.network_address) >> (network.max_prefixlen - length)
        found = table.setdefault(key, Match(owner, str(network), "address"))
        if found.owner is not owner and found.owner != owner:
            raise ValueError(f"{str(network)!r} belongs to two owners")
        lengths = sorted((each for kind, each in self._by_length if kind == version), reverse=True)
        self._lengths = {**self._lengths, version: tuple(lengths)}

    def find(self, address: IPv4Address | IPv6Address) -> Match[T] | None:
        number, bits, version = int(address), address.max_prefixlen, address.version
        for length in self._lengths[version]:
            found = self._by_length[version, length].get(number >> (bits - length))
            if found is not None:
                return found
        return None
