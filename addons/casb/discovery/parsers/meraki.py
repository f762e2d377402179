"""Cisco Meraki: URLs, flows, IP flows and security events of MX.

"Syslog Event Types and Log Samples" of the Meraki documentation: an epoch, the device, the kind, then key=value. In `flows`
and `firewall` lines a pattern that begins with 1 or `deny` was denied; an URL was requested, so it was let through.
"""

from __future__ import annotations

import re

from casb.discovery.entry import Entry, LineReader, Outcome, address, named, target, traffic
from casb.discovery.parser import LogParser
from casb.discovery.parsers.support import NO_TRAFFIC
from casb.discovery.times import Clock

_SOURCE = "meraki"
_KINDS = "urls|ip_flow_start|ip_flow_end|flows|firewall|vpn_firewall|cellular_firewall|bridge_anyconnect_client_vpn_firewall|security_event|ids-alerts|events|airmarshal_events|security_filtering_file_scanned|security_filtering_disposition_change|urls"
_LINE = re.compile(rf"(?:1 )?(\d{{10}}\.\d{{1,9}})\s+(\S+)\s+({_KINDS})\b\s*(.*)\Z", re.DOTALL)
_PAIR = re.compile(r"(\w+)='([^']*)'|(\w+)=(\"[^\"]*\"|\S+)")
_REQUEST = re.compile(r"request:\s*(\S+)\s+(\S+)")
_PATTERN = re.compile(r"pattern:\s*(.*)\Z")


def _start(clock: Clock) -> LineReader:
    def read(entry: Entry) -> Outcome:
        match = _LINE.match(entry.text)
        if match is None:
            return None
        stamp, _, kind, rest = match.groups()
        fields = {(one or two).lower(): value or other.strip('"') for one, value, two, other in _PAIR.findall(rest)}
        time = clock.epoch(stamp)
        dest = _address(fields.get("dst") or fields.get("server", ""))
        request = _REQUEST.search(rest)
        host, url = target(request[2] if request else fields.get("url"))
        if time is None or (host is None and dest is None) or (kind == "events" and "content_filtering" not in rest):
            return entry.skip(NO_TRAFFIC)
        return traffic(
            entry.number, time, _SOURCE, named(fields.get("user")), _address(fields.get("src", "")), None, host, url, dest,
            None, None, None, _allowed(kind, rest, fields),
        )  # fmt: skip

    return read


def _address(text: str) -> str | None:
    """`a.b.c.d:port`, or an IPv6 address whose port stands behind its eighth group."""
    if text.count(":") == 8 and "[" not in text:
        text = text.rpartition(":")[0]
    return address(text)


def _allowed(kind: str, rest: str, fields: dict[str, str]) -> bool:
    if kind == "events":
        return "block" not in rest[:40]
    if "action" in fields or "decision" in fields:
        return fields.get("action", fields.get("decision", "")) not in ("block", "blocked", "deny", "denied")
    pattern = _PATTERN.search(rest)
    word = rest.split(" ", 1)[0] if pattern is None else pattern[1].split(" ", 1)[0]
    return word not in ("deny", "denied", "1", "block", "drop")


MERAKI = LogParser(
    name=_SOURCE,
    title="Cisco Meraki",
    aliases=("MACHINE_ZONE_MERAKI", "MACHINE_ZONE_MERAKI_SYSLOG", "CISCO_MERAKI", "153", "154"),
    sample=(
        "<134>1 1714979289.123456789 MX urls src=192.0.2.10:50000 dst=198.51.100.7:443 mac=00:00:5E:00:53:01 "
        "request: UNKNOWN https://box.example/...\n"
        "<134>1 1714979290.123456789 MX flows deny src=192.0.2.10 dst=198.51.100.7 mac=00:00:5E:00:53:01 protocol=tcp "
        "sport=50001 dport=443"
    ),
    start=_start,
    gives=frozenset({"client_ip", "host", "url", "dest_ip", "allowed"}),
    certainty=0.98,
    marks=(" urls ", "flow", "firewall", " events ", "security_", "ids-alerts", "airmarshal"),
)

PARSERS = (MERAKI,)
