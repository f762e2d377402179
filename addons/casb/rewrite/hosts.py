"""Which host names live under the suffix, and their two forms, exactly.

    origin form   app.example            app.example:8444                what the application knows of itself
    suffix form   app.example.<suffix>   app.example--p8444.<suffix>     what the browser sees (plus our public port)

`spelling` has the other spellings (flattened, IPv6). Only names of the map are ever changed, and a name of the map
never lies under the suffix, so nothing can be mapped twice. Ports other than 80 and 443 belong to the name
(`app.example:8444` must be listed, or it is left alone: a suffix host must not reach any port of a machine) and travel
in the name, for the browser's port is ours. http and https, and their ports, are one place under the suffix: there is
only https there.

Knows nothing of headers or bodies.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple
from urllib.parse import unquote

import idna
from ahocorasick_rs import BytesAhoCorasick, MatchKind

from casb.spelling import fits, read, reserved, spell

_LABELS = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*\Z"
)
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\Z")
_DEFAULT_PORTS = frozenset({"", "80", "443"})
_SCHEME_PORTS = {"https": "443", "wss": "443", "http": "80", "ws": "80"}
_MEMO = 10_000  # answers kept; what comes after them is worked out each time
_CROWD = 8  # from so many names under one parent on, that parent is searched for instead
_SAFE = {"http": "https", "https": "https", "ws": "wss", "wss": "wss"}
_PLAIN = {"http": "http", "https": "http", "ws": "ws", "wss": "ws"}

# WHATWG URL, "special" schemes: leading C0 controls and spaces are trimmed, a backslash is a slash, extra slashes are
# skipped, the last @ ends the user information.
_URL = re.compile(
    r"(?P<lead>[\x00-\x20]*)(?:(?P<scheme>https?|wss?):)?(?P<slashes>[/\\]{2,})(?P<user>[^/\\?#]*@)?"
    r"(?P<host>[^/\\?#@:\[\]]+|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[0-9]{0,5}))?(?P<rest>(?:[/\\?#].*)?)\Z",
    re.IGNORECASE | re.DOTALL,
)
MARKUP_WORDS = (  # what else makes an HTML tag worth a look: its meaning, or that its content is not plain markup
    *b"integrity content-security-policy manifest srcdoc data:text/ <script <style <textarea <title <xmp".split(),
    *b"<iframe <noembed <noframes <noscript <plaintext <svg <math".split(),
)
_REMOVED = str.maketrans("", "", "\t\r\n")  # dropped anywhere in a URL by browsers


def canonical(host: str) -> str | None:
    """A host as browsers compare it, or None when it is none (WHATWG URL, host parsing).

    Names are lower-case A-labels without the final dot, IPv4 addresses dotted decimals whatever they were written as,
    IPv6 addresses compressed (RFC 5952) and in brackets.
    """
    if host.startswith("["):
        return _address6(host)
    if "%" in host:
        host = unquote(host)
    host = host.lower()
    if not host.isascii():
        ascii_host = _a_labels(host)
        if ascii_host is None:
            return None
        host = ascii_host
    host = host.removesuffix(".")
    if _NUMBER.match(host, host.rfind(".") + 1):
        return _address4(host)
    return host if _LABELS.match(host) else None


def _a_labels(host: str) -> str | None:
    """UTS 46 as browsers apply it; what it has no rule for (emoji) as IDNA 2003 had it, which is the same there."""
    try:
        return idna.encode(host, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        pass
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None


def _address4(host: str) -> str | None:
    """An IPv4 address in any of the spellings that browsers take: `127.1`, `0x7f000001`, `017700000001`."""
    values = []
    for part in host.split("."):
        if not _NUMBER.match(part) or len(part) > 20:
            return None
        digits, base = (part[2:], 16) if part.startswith("0x") else (part, 8 if part.startswith("0") else 10)
        try:
            values.append(int(digits or "0", base))
        except ValueError:
            return None
    *heads, last = values
    if len(values) > 4 or any(value > 255 for value in heads) or last >= 256 ** (4 - len(heads)):
        return None
    return str(IPv4Address(sum(value << 8 * (3 - at) for at, value in enumerate(heads)) + last))


def _address6(host: str) -> str | None:
    if "%" in host or not host.endswith("]"):
        return None
    try:
        return f"[{IPv6Address(host[1:-1])}]"
    except ValueError:
        return None


def split_port(authority: str) -> tuple[str, str]:
    """`host:port` as its two halves; the port is "" when absent."""
    host, colon, port = authority.rpartition(":")
    return (host, port) if colon and not port.endswith("]") else (authority, "")


def canonical_port(port: str) -> str | None:
    """A port without leading zeros ("" stays), or None when it is none."""
    if not port:
        return ""
    if not (port.isascii() and port.isdigit()) or len(port) > 5 or not 0 < int(port) < 65536:
        return None
    return str(int(port))


class _Names(NamedTuple):
    """Listed names: `host` or `host:port`, and the parents of `*.parent`, likewise."""

    exact: frozenset[str]
    parents: frozenset[str]

    def has(self, host: str, port: str) -> bool:
        tail = f":{port}" if port else ""
        if host + tail in self.exact:
            return True
        if not self.parents:
            return False
        dot = host.find(".")
        while dot >= 0:
            if host[dot + 1 :] + tail in self.parents:
                return True
            dot = host.find(".", dot + 1)
        return False


def _read(names: Iterable[str], suffix: str, *, flat: bool) -> _Names:
    exact: set[str] = set()
    parents: set[str] = set()
    for name in names:
        authority, port_text = split_port(name)
        host, port = canonical(authority.removeprefix("*.")), canonical_port(port_text)
        if host is None or port is None:
            raise ValueError(f"not a host name: {name!r}")
        if suffix and (host == suffix or host.endswith(f".{suffix}")):
            raise ValueError(f"{name!r} lies under the suffix {suffix!r}")
        if reserved(host):
            raise ValueError(f"{name!r} ends like a spelling of ours (--p<digits>, --v6, --x)")
        own = "" if port in _DEFAULT_PORTS else port
        if suffix and not fits(host, own, suffix, flat=flat):
            raise ValueError(f"{name!r} is too long for the suffix {suffix!r}")
        key = f"{host}:{own}" if own else host
        (parents if authority.startswith("*.") else exact).add(key)
    return _Names(frozenset(exact), frozenset(parents))


class Finder:
    """Says where, in a buffer, some host of a set may be: one pass, whatever the number of hosts."""

    __slots__ = ("_automaton",)

    def __init__(self, patterns: Iterable[bytes]) -> None:
        listed = sorted(set(patterns))
        self._automaton = BytesAhoCorasick(listed, matchkind=MatchKind.LeftmostLongest) if listed else None

    def starts(self, data: bytes) -> list[int]:
        """Ascending offsets at which a pattern begins, in any case; never overlapping."""
        if self._automaton is None:
            return []
        return [start for _, start, _ in self._automaton.find_matches_as_indexes(data.lower())]


def _patterns(names: _Names) -> Iterable[bytes]:
    """Byte strings one of which is in every text form of every name: U-labels too, the shortest tails only.

    The parent of many names stands for them all: a hit is looked at anyway, and a small automaton stays in the cache.
    """
    hosts = {split_port(name)[0] for name in names.exact | names.parents}
    siblings = Counter(host.partition(".")[2] for host in hosts)
    hosts |= {parent for parent, count in siblings.items() if count >= _CROWD and "." in parent}
    for host in hosts:
        if host.startswith("["):
            yield b"//["  # such an address has many spellings
            continue
        labels = host.split(".")
        if any(".".join(labels[at:]) in hosts for at in range(1, len(labels))):
            continue
        yield host.encode()
        if "xn--" in host:
            try:
                yield host.encode().decode("idna").encode()
            except UnicodeError:
                continue


def _ancestors(names: _Names) -> Iterable[str]:
    for name in names.exact | {f"*.{parent}" for parent in names.parents}:
        labels = split_port(name)[0].split(".") if "[" not in name else []
        yield from (".".join(labels[at:]) for at in range(1, len(labels)))


@dataclass(frozen=True, slots=True)
class HostMap:
    """All names that the proxy stands in for. Built once per snapshot; every look-up is a few set probes.

    `suffix` is a host name (""  maps nothing: the modes without a suffix), `port` the public port that browsers use on
    suffix hosts, `names` are `app.example`, `app.example:8444` or `*.app.example` (any depth below, not itself).
    `plain` lists, in the same form, the names whose application believes itself on http: URLs of theirs go back as
    http. `flat` spells each name as one label (`app-example--x.<suffix>`, see `spelling`). Raises ValueError for a name
    that cannot be mapped both ways.
    """

    suffix: str
    port: int
    names: Iterable[str]
    plain: Iterable[str] = ()
    flat: bool = False
    finder: Finder = field(init=False, compare=False, repr=False)
    markup_finder: Finder = field(init=False, compare=False, repr=False)
    back_finder: Finder = field(init=False, compare=False, repr=False)
    _names: _Names = field(init=False, compare=False, repr=False)
    _plain: _Names = field(init=False, compare=False, repr=False)
    _tail: str = field(init=False, compare=False, repr=False)
    _port_tail: str = field(init=False, compare=False, repr=False)
    _memo: dict[tuple[str, str], str | None] = field(init=False, compare=False, repr=False)  # pages repeat themselves
    _back_memo: dict[str, str | None] = field(init=False, compare=False, repr=False)
    _below_memo: dict[tuple[str, str], list[str]] = field(init=False, compare=False, repr=False)
    _ports: list[str] = field(init=False, compare=False, repr=False)
    _origin_memo: dict[bytes, bytes | None] = field(init=False, compare=False, repr=False)
    _ancestors: frozenset[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        suffix = canonical(self.suffix) if self.suffix else ""
        if suffix is None or (suffix and not 0 < self.port < 65536):
            raise ValueError(f"not a suffix and port: {self.suffix!r} {self.port}")
        listed, listed_plain = frozenset(self.names), frozenset(self.plain)
        names = _read(listed if suffix else (), suffix, flat=self.flat)
        for name, value in {
            "suffix": suffix,
            "names": listed,
            "plain": listed_plain,
            "finder": Finder(_patterns(names)),
            "markup_finder": Finder([*_patterns(names), *MARKUP_WORDS]),
            "back_finder": Finder([f".{suffix}".encode()] if suffix and (names.exact or names.parents) else []),
            "_names": names,
            "_plain": _read(listed_plain, suffix, flat=self.flat),
            "_memo": {},
            "_back_memo": {},
            "_below_memo": {},
            "_ports": sorted({split_port(name)[1] for name in names.exact | names.parents} - {""}),
            "_origin_memo": {},
            "_ancestors": frozenset(_ancestors(names)),
            "_tail": f".{suffix}",
            "_port_tail": "" if self.port == 443 else f":{self.port}",
        }.items():
            object.__setattr__(self, name, value)

    @property
    def port_tail(self) -> str:
        """What follows a suffix host in a URL: "" on 443, else `:port`."""
        return self._port_tail

    @property
    def exact(self) -> frozenset[str]:
        """The canonical names without a wildcard, each with its port when it has one of its own."""
        return self._names.exact

    @property
    def parents(self) -> frozenset[str]:
        """What stands behind the `*.` of the canonical wildcard names."""
        return self._names.parents

    @property
    def maps_anything(self) -> bool:
        """False in the modes without a suffix, and for an empty catalog."""
        return bool(self._names.exact or self._names.parents)

    def knows(self, host: str, port: str = "") -> bool:
        """Is this canonical host, on this canonical port, one of ours?"""
        return self._names.has(host, "" if port in _DEFAULT_PORTS else port)

    def wild(self, parent: str, port: str = "") -> bool:
        """Are all names below `parent` (canonical), on this canonical port, ours?"""
        return self._names.has(f"*.{parent}", port)

    def any_below(self, parent: str) -> bool:
        """Is any name of ours below `parent` (canonical)?"""
        return parent in self._ancestors

    def below(self, parent: str, port: str = "") -> list[str]:
        """The listed names below `parent` (canonical), wildcards as `*.name`, that have this canonical port."""
        try:
            return self._below_memo[parent, port]
        except KeyError:
            pass
        tail, found = f".{parent}", []
        for kind, names in (("", self._names.exact), ("*.", self._names.parents)):
            for name in names:
                host, own = split_port(name)
                if own == port and (host.endswith(tail) or (kind and host == parent)):
                    found.append(kind + host)
        found.sort()
        if len(self._below_memo) < _MEMO:
            self._below_memo[parent, port] = found
        return found

    @property
    def all_ports(self) -> list[str]:
        """Every port of its own that some name has."""
        return self._ports

    def suffix_host(self, host: str, port: str = "") -> str | None:
        """The suffix form without the public port, or None when the host is none of ours. Takes any spelling."""
        try:
            return self._memo[host, port]
        except KeyError:
            pass
        known, number = canonical(host), canonical_port(port)
        mapped: str | None = None
        if known is not None and number is not None and self.knows(known, number):
            own = "" if number in _DEFAULT_PORTS else number
            mapped = f"{spell(known, own, flat=self.flat)}{self._tail}"
            mapped = mapped if _LABELS.match(mapped) else None
        if len(self._memo) < _MEMO:
            self._memo[host, port] = mapped
        return mapped

    def origin_host(self, host: str) -> str | None:
        """`app.example` or `app.example:8444` for a suffix host without a port; None when it is none of ours."""
        try:
            return self._back_memo[host]
        except KeyError:
            pass
        origin = self._origin(canonical(host))
        if len(self._back_memo) < _MEMO:
            self._back_memo[host] = origin
        return origin

    def _origin(self, known: str | None) -> str | None:
        if known is None or not self.suffix or not known.endswith(self._tail):
            return None
        found = read(known[: -len(self._tail)], flat=self.flat)
        if found is None:
            return None
        name, port = found
        if port in ("80", "443") or canonical_port(port) is None or not self.knows(name, port):
            return None
        return f"{name}:{port}" if port else name

    def to_suffix(self, authority: str) -> str | None:
        """`app.example[:port]` to `app.example.<suffix>[:public port]`, or None when it is none of ours."""
        mapped = self.suffix_host(*split_port(authority))
        return mapped and mapped + self._port_tail

    def to_origin(self, authority: str) -> str | None:
        """The reverse of `to_suffix`; the public port may be left out. None when it is none of ours."""
        host, port = split_port(authority)
        if port and port != str(self.port):
            return None
        return self.origin_host(host)

    def is_plain(self, origin: str) -> bool:
        """Does the application behind this origin authority believe itself on http?"""
        host, port = split_port(origin)
        return self._plain.has(host, "" if port in _DEFAULT_PORTS else port)

    def url_to_suffix(self, url: str) -> str:
        """An absolute or scheme-relative URL with its authority mapped; anything else as it is.

        http becomes https and ws wss: there is nothing else under the suffix.
        """
        found = _URL.match(url.translate(_REMOVED) if _touched(url) else url)
        if found is None:
            return url
        scheme = (found["scheme"] or "").lower()
        port = found["port"] or ""
        mapped = self.suffix_host(found["host"], "" if port == _SCHEME_PORTS.get(scheme) else port)
        if mapped is None:
            return url
        head = f"{_SAFE[scheme]}://" if scheme else "//"
        return f"{head}{found['user'] or ''}{mapped}{self._port_tail}{found['rest']}"

    def origin_to_suffix(self, origin: bytes) -> bytes | None:
        """As `url_to_suffix` for `scheme://host[:port]` or `//host[:port]` alone; None when nothing changes."""
        try:
            return self._origin_memo[origin]
        except KeyError:
            pass
        url = origin.decode("utf-8", "surrogateescape")
        mapped = self.url_to_suffix(url)
        result = None if mapped == url else mapped.encode("utf-8", "surrogateescape")
        if len(self._origin_memo) < _MEMO:
            self._origin_memo[origin] = result
        return result

    def url_to_origin(self, url: str) -> str:
        """The reverse of `url_to_suffix`; anything that is not one of our suffix hosts stays as it is."""
        found = _URL.match(url.translate(_REMOVED) if _touched(url) else url)
        if found is None:
            return url
        port = found["port"]
        origin = self.to_origin(f"{found['host']}:{port}" if port else found["host"])
        if origin is None:
            return url
        scheme = (found["scheme"] or "").lower()
        head = f"{(_PLAIN if self.is_plain(origin) else _SAFE)[scheme]}://" if scheme else "//"
        return f"{head}{found['user'] or ''}{origin}{found['rest']}"


def _touched(url: str) -> bool:
    return "\t" in url or "\n" in url or "\r" in url
