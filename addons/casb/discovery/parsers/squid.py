"""Squid access.log: native, common and combined; and the combined logs of other proxies.

Native: https://wiki.squid-cache.org/Features/LogFormat `%ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt`.
`%<st` is what went to the client; common and combined carry the same count. Squid appends `%Ss:%Sh` to both.
"""

from __future__ import annotations

import re

from casb.discovery.entry import (
    Entry,
    LineReader,
    Outcome,
    address,
    by_status,
    host_of,
    named,
    number,
    target,
    traffic,
)
from casb.discovery.parser import LogParser
from casb.discovery.parsers.support import ALL, Start, any_of
from casb.discovery.times import Clock

_RESULT = re.compile(r"(?:TCP|UDP|NONE|ICP|TAG)(?:_[A-Z0-9]+)*(?:/-?\d{1,3}|:[A-Z_]+)?\Z")


def _native(source: str) -> Start:
    def start(clock: Clock) -> LineReader:
        epoch = clock.epoch

        def read(entry: Entry) -> Outcome:
            parts = entry.text.split(None, 9)
            if len(parts) < 9:
                return None
            stamp, _, client, result, size, _, url, user, hierarchy = parts[:9]
            allowed = decided(result)
            if allowed is None or "/" not in hierarchy:
                return None
            time = epoch(stamp) or clock.parse(stamp)
            if time is None:
                return entry.skip("no time that can be read")
            host, shown = target(url) if not url.startswith("error:") else (None, None)
            dest = address(hierarchy.partition("/")[2])
            if host is None:
                return entry.skip("no destination")
            ip = address(client)
            return traffic(
                entry.number,
                time,
                source,
                named(user),
                ip,
                None if ip else named(client),
                host,
                shown,
                dest or (address(host) if host[-1].isdigit() or ":" in host else None),
                None,
                number(size),
                None,
                allowed,
            )

        return read

    return start


def decided(result: str) -> bool | None:
    """Whether `TCP_MISS/200` and the like let the request through; None for what is no result of Squid's."""
    code, slash, status = result.partition("/")
    return _allowed(code, status) if slash and _RESULT.match(code) else None


def _allowed(code: str, status: str) -> bool:
    if "DENIED" in code:
        return False
    return not (code == "NONE" and status in ("403", "407"))


_COMBINED = re.compile(
    r"(\S+) (\S+) (.+?) \[(\d{1,2}/[A-Za-z]{3}/\d{4}:\d\d:\d\d:\d\d(?: ?[+-]\d{4})?)\] "
    r'"([A-Z_\-]{1,32}) (\S+)(?: ([^"]*))?" (\d{3}|-|000|0) (-?\d+|-)'
    r'(?: "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)")?(?:\s+(.*))?\Z'
)


def _combined(source: str, squid: bool) -> Start:
    def start(clock: Clock) -> LineReader:
        def read(entry: Entry) -> Outcome:
            text = entry.text
            if "] " not in text:
                return None
            match = _COMBINED.match(text)
            if match is None:
                return None
            client, _, user, stamp, _, url, _, status, size, _, _, rest = match.groups()
            code = (rest or "").strip().partition(":")[0]
            if squid is not bool(_RESULT.match((rest or "").strip().split(" ")[0] or "x")):
                return None
            if url.startswith("/"):
                return None if squid else entry.skip("a request to this server itself: no destination")
            time = clock.parse(stamp)
            if time is None:
                return entry.skip("no time that can be read")
            host, shown = target(url)
            if host is None:
                return entry.skip("no destination")
            ip = address(client)
            return traffic(
                entry.number,
                time,
                source,
                named(user),
                ip,
                None if ip else named(client),
                host,
                shown,
                address(host) if host[-1].isdigit() or ":" in host else None,
                None,
                number(size),
                None,
                _allowed(code, status) if squid else by_status(status),
            )

        return read

    return start


def _virtual_host(source: str) -> Start:
    """`vhost:port` in front of a combined line: the host is told although the request is a path."""

    def start(clock: Clock) -> LineReader:
        def read(entry: Entry) -> Outcome:
            first, _, rest = entry.text.partition(" ")
            match = _COMBINED.match(rest) if "] " in rest else None
            if match is None or "." not in first:
                return None
            client, _, user, stamp, _, url, _, status, size, *_ = match.groups()
            name, port = host_of(first), first.rpartition(":")[2]
            time = clock.parse(stamp)
            if name is None or time is None or address(client) is None:
                return None
            host, shown = target(url, name, port=port)
            return traffic(
                entry.number,
                time,
                source,
                named(user),
                address(client),
                None,
                host,
                shown,
                None,
                None,
                number(size),
                None,
                by_status(status),
            )

        return read

    return start


SQUID = LogParser(
    name="squid",
    title="Squid (native, common, combined)",
    aliases=(
        "SQUID",
        "SQUID_NATIVE",
        "SQUID_COMMON",
        "SQUID_SYSLOG",
        "SQUID_NATIVE_SYSLOG",
        "114",
        "146",
        "155",
        "156",
    ),
    sample=(
        "1714979289.586    921 192.0.2.10 TCP_MISS/200 4711 POST https://box.example/up alice HIER_DIRECT/198.51.100.7 -\n"
        '192.0.2.10 - alice [06/May/2024:07:08:09 +0000] "GET http://box.example/ HTTP/1.1" 200 4711 TCP_MISS:DIRECT'
    ),
    start=any_of(_native("squid"), _combined("squid", squid=True)),
    gives=frozenset({"user", "client_ip", "host", "url", "dest_ip", "bytes_down", "allowed"}),
    certainty=0.95,
    marks=("TCP_", "NONE", "UDP_", "TAG_", "ICP_"),
)

COMBINED = LogParser(
    name="combined",
    title="Common and combined log of a web proxy (nginx, Apache, others)",
    aliases=("COMMON", "NGINX", "APACHE", "NCSA"),
    sample='192.0.2.10 - alice [06/May/2024:07:08:09 +0000] "GET http://box.example/up HTTP/1.1" 200 4711 "-" "curl/8"',
    start=any_of(_combined("combined", squid=False), _virtual_host("combined")),
    gives=ALL - {"bytes_up", "dest_ip"},
    certainty=0.7,
    marks=("] ",),
)

PARSERS = (SQUID, COMBINED)
