"""One line on its way to an event: what a log parser is offered, and what it makes of single values.

Knows how logs write hosts, addresses, numbers, names and verdicts; knows no format and no vendor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import cast

from casb.discovery import formats
from casb.discovery.times import Clock
from casb.hostname import is_address, normal_host
from casb.model.discovery import Skipped, TrafficEvent

BLANK = frozenset(
    {
        "",
        "-",
        "--",
        "N/A",
        "n/a",
        "NA",
        "(null)",
        "null",
        "NULL",
        "None",
        "none",
        "(empty)",
        "undefined",
        "Not available",
    }
)
NOBODY = BLANK | {
    "anonymous",
    "Anonymous",
    "unknown",
    "Unknown",
    "UNKNOWN",
    "(unknown)",
    "-\\-",
    "unauthenticated",
    "No Authentication Required",
    "Not Found",
    "Unknown (SSO failed)",
}


class Entry:
    """A line, or what is left of it below a wrapper: `above` is the entry that it was taken out of.

    `stamp` and `origin` are the time (text) and the host that wrappers told, `tag` is the program, `data` RFC 5424's
    structured data.
    The decoded forms (`pairs`, `cef`, …) are made when first asked for, once for all parsers.
    """

    __slots__ = ("_cef", "_json", "_leef", "_pairs", "data", "number", "origin", "path", "stamp", "tag", "text")

    def __init__(
        self,
        number: int,
        text: str,
        stamp: str | None = None,
        origin: str | None = None,
        tag: str | None = None,
        data: Mapping[str, str] | None = None,
    ) -> None:
        self._pairs: dict[str, str]  # These four are unset until asked for.
        self._cef: formats.Event | None
        self._leef: formats.Event | None
        self._json: dict[str, str] | None
        self.number = number
        self.text = text
        self.stamp = stamp
        self.origin = origin
        self.tag = tag
        self.data = data
        self.path: tuple[int, ...] = ()  # which reading of each layer led here; see `casb.discovery.syslog`

    def below(
        self,
        text: str,
        *,
        stamp: str | None = None,
        origin: str | None = None,
        tag: str | None = None,
        data: Mapping[str, str] | None = None,
    ) -> Entry:
        """The entry inside this one; what its own wrapper does not tell is known from this one's."""
        return Entry(self.number, text, stamp or self.stamp, origin or self.origin, tag or self.tag, data or self.data)

    @property
    def pairs(self) -> dict[str, str]:
        """The line as key=value pairs, keys in lower case; of a repeated key the first."""
        try:
            return self._pairs
        except AttributeError:
            self._pairs = formats.pairs(self.text)
            return self._pairs

    @property
    def cef(self) -> formats.Event | None:
        """The line as CEF, or None."""
        try:
            return self._cef
        except AttributeError:
            self._cef = formats.cef(self.text)
            return self._cef

    @property
    def leef(self) -> formats.Event | None:
        """The line as LEEF, or None."""
        try:
            return self._leef
        except AttributeError:
            self._leef = formats.leef(self.text)
            return self._leef

    @property
    def json(self) -> dict[str, str] | None:
        """The line as a JSON object, flattened (`a.b`), keys in lower case, values as text; or None."""
        try:
            return self._json
        except AttributeError:
            self._json = formats.flat_json(self.text)
            return self._json

    def skip(self, why: str) -> Skipped:
        return Skipped(line=self.number, why=why)

    def time(self, clock: Clock) -> datetime | None:
        """When the wrapper says that it was written."""
        return clock.parse(self.stamp) if self.stamp else None


type Outcome = TrafficEvent | Skipped | None
type LineReader = Callable[[Entry], Outcome]


class _Draft:
    """A `TrafficEvent` in the making: a frozen dataclass takes five times as long to fill."""

    __slots__ = TrafficEvent.__slots__

    def __init__(
        self,
        line: int,
        time: datetime,
        source: str,
        user: str | None,
        client_ip: str | None,
        device: str | None,
        host: str | None,
        url: str | None,
        dest_ip: str | None,
        bytes_up: int | None,
        bytes_down: int | None,
        bytes_total: int | None,
        allowed: bool | None,
    ) -> None:
        self.line = line
        self.time = time
        self.source = source
        self.user = user
        self.client_ip = client_ip
        self.device = device
        self.host = host
        self.url = url
        self.dest_ip = dest_ip
        self.bytes_up = bytes_up
        self.bytes_down = bytes_down
        self.bytes_total = bytes_total
        self.allowed = allowed
        self.__class__ = TrafficEvent  # type: ignore[assignment]  # Same slots, so Python allows it.


traffic = cast(Callable[..., TrafficEvent], _Draft)
"""A `TrafficEvent` from its fields in the order of the class."""


def named(text: str | None) -> str | None:
    """A user or device as logged; None for the ways in which logs say that there is none."""
    if text is None or text in NOBODY:
        return None
    text = text.strip().strip('"')
    return None if text in NOBODY else text


def number(text: str | None) -> int | None:
    """A count of bytes; None when the text is none."""
    if not text or len(text) > 20:
        return None
    if text.isdecimal() and text.isascii():
        return int(text)
    text = text.strip().replace(",", "")
    if text.isdecimal() and text.isascii():
        return int(text)
    whole, _, fraction = text.partition(".")
    return int(whole) if whole.isdecimal() and whole.isascii() and fraction.strip("0") == "" else None


@lru_cache(65536)
def address(text: str | None) -> str | None:
    """An IP address in its one form, from a field that may carry brackets, a port, a mask or a name after a slash."""
    if not text:
        return None
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif ":" in text and text.partition(":")[0].count(".") == 3:
        text = text.partition(":")[0]
    text = text.partition(",")[0].partition("(")[0].partition("/")[0].partition("%")[0]
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(parsed)


@lru_cache(65536)
def host_of(authority: str) -> str | None:
    """The host of `user@host:port`, in its one form; None when it is none."""
    name = authority.strip().rpartition("@")[2]
    if name.startswith("["):
        name = name.partition("]")[0] + "]"
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if not name or name in BLANK or len(name) > 500:
        return None
    return normal_host(name)


_AUTHORITY = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]{0,10}://|//)?([^/?#\\]*)")


def authority_of(url: str) -> str:
    """`host:port` of a URL, with or without a scheme."""
    return _AUTHORITY.match(url)[1]  # type: ignore[index]  # It matches any text.


def host_of_url(url: str) -> str | None:
    """The host of a URL, with or without a scheme; None for a bare path."""
    return host_of(authority_of(url))


def target(
    url: str | None,
    host: str | None = None,
    *,
    scheme: str | None = None,
    path: str | None = None,
    query: str | None = None,
    port: str | None = None,
) -> tuple[str | None, str | None]:
    """Host and URL out of what a source gives of them, whole or in pieces."""
    name = host_of(authority_of(host)) if host else None
    if url:
        if "://" in url[:12]:
            own = host_of_url(url)
            return (own if own and not (name and is_address(own)) else name), url
        if not url.startswith("/"):
            own = host_of_url(url)
            if own is None:
                return name, None
            name = name or own
            if scheme and name and _is_web(scheme):
                return name, f"{scheme.lower()}://{url}"
            return name, url if name else None
        path, query = url, query if query and "?" not in url else None
    if name is None:
        return None, None
    if path is None:
        return name, None
    return name, f"{_scheme(scheme, port)}://{_bracketed(name)}{_port(scheme, port)}{_path(path)}{_query(query)}"


def _is_web(scheme: str) -> bool:
    return scheme.lower() in ("http", "https", "ftp", "ws", "wss")


def _scheme(scheme: str | None, port: str | None) -> str:
    if scheme and _is_web(scheme):
        return scheme.lower()
    return "https" if port == "443" or (scheme and scheme.lower() in ("ssl", "tls", "https-connect")) else "http"


def _port(scheme: str | None, port: str | None) -> str:
    return f":{port}" if port and port.isdecimal() and port not in ("80", "443", "0") else ""


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _path(path: str) -> str:
    return path if path.startswith("/") else "/" + path


def _query(query: str | None) -> str:
    if not query or query in BLANK:
        return ""
    return query if query.startswith("?") else "?" + query


_ALLOWED = frozenset(
    "allow allowed permit permitted accept accepted pass passed passthrough passthru pass-through ok success observed "
    "proxied tunneled tunnelled monitor monitored alert alerted warn warned continue continued isolate isolated bypass "
    "bypassed close closed start started end ended open opened built teardown created trust trusted forwarded forward "
    "client-rst server-rst timeout ip-conn decrypt encrypt authorize authorised authorized logged log notice scanned "
    "inspect detect detected useralert user-alert coach coached caution cautioned override delivered "
    "success-allowed conn-opened conn-closed connection-allowed".split()
)
_DENIED = frozenset(
    "deny denied block blocked drop dropped reject rejected reset reset-both reset-client reset-server refuse "
    "refused prevent prevented quarantine quarantined forbid forbidden terminate terminated block-url blockurl "
    "block-continue block-override blocked-override drop-all-packets drop-icmp sinkhole sinkholed discard discarded "
    "failed failure unauthorized intercepted ask asked rst kill killed virus infected violation".split()
)


_ALLOWING = ("allow", "permit", "accept", "pass", "bypass")
_DENYING = ("block", "den", "drop", "reject", "reset", "prevent", "forbid")


@lru_cache(4096)
def verdict(text: str | None) -> bool | None:
    """True for a word that means allowed, False for one that means blocked, None for any other."""
    if not text:
        return None
    word = text.strip().strip('"').lower().replace(" ", "-").replace("_", "-")
    if word in _ALLOWED:
        return True
    if word in _DENIED:
        return False
    if word.startswith(_ALLOWING):
        return True
    if word.startswith(_DENYING):
        return False
    for part in word.replace(":", "-").replace("/", "-").replace(".", "-").split("-"):
        if part in _DENIED:
            return False
        if part in _ALLOWED:
            return True
    return None


def by_status(status: str | None) -> bool | None:
    """What an HTTP status says of the verdict, for proxies that log no other: refused by it or let through."""
    if not status or not status.isdecimal() or len(status) != 3:
        return None
    return status not in ("403", "407", "451")
