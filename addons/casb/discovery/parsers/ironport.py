"""Cisco web proxies: IronPort WSA (Secure Web Appliance) access logs, Cloud Web Security (ScanSafe).

"User Guide for AsyncOS for Cisco Secure Web Appliance", access log: Squid's columns, the ACL decision tag and the scanning
verdict in angle brackets; the three variants differ in what administrators append. A W3C log has names of its own.
"""

from __future__ import annotations

import re

from casb.discovery.entry import Entry, LineReader, Outcome, address, named, number, target, traffic
from casb.discovery.parser import LogParser
from casb.discovery.parsers.support import ALL, any_of
from casb.discovery.parsers.w3c import w3c_reader
from casb.discovery.times import Clock

_SOURCE = "ironport"
_LINE = re.compile(
    r"(?:\w+: )?(\d{10}\.\d{3})\s+(-?\d+(?:\.\d+)?)\s+(\S+)\s+([A-Z_]+)/(\d{1,3})\s+(-?\d+)\s+(\S+)\s+(\S+)\s+"
    r"(\"(?:[^\"\\]|\\.)*\"|\S+)\s+(\w+)/(\S*)\s+(\S+)\s+(.*)\Z"
)
_TAGS = (
    "ALLOW", "BLOCK", "DECRYPT", "DEFAULT_CASE", "DROP", "MONITOR", "NO_AUTHORIZATION", "NO_PASSWORD", "OTHER", "PASSTHRU",
    "REDIRECT", "SAAS_AUTH", "WARN", "ERR",
)  # fmt: skip
_TAG = re.compile(rf"((?:{'|'.join(_TAGS)})[A-Z0-9_]*)-[^<>\s]*\s*<")
_TABLE = re.compile(
    r"(?:\w+: )?(\d{10}\.\d{3})\s+-?\d+(?:\.\d+)?\s+(\S+)\s+([0-9a-fA-F.:]+)\s+([A-Z_]+)/\d{1,3}\s+(-?\d+)\s+\S+\s+(\S+)\s+"
    r"(\S+)\s+(\S+)\s+(\S+)\s+\S+\s+([A-Z_]+)[A-Z0-9_]*-\S+\s"
)
"""Without angle brackets, the server's address in front of the client's: what Splunk's add-on asks administrators to log."""
_DENIED = ("BLOCK", "DROP", "NO_AUTHORIZATION", "NO_PASSWORD")


def _access(clock: Clock) -> LineReader:
    def read(entry: Entry) -> Outcome:
        text = entry.text
        if "<" not in text:
            return _bare(entry, clock)
        match = _LINE.match(text)
        tag = _TAG.search(match[13]) if match else None
        if match is None or tag is None:
            return None
        stamp, _, client, code, _, size, _, url, user, _, server, _, rest = match.groups()
        time = clock.epoch(stamp)
        if time is None:
            return entry.skip("no time that can be read")
        host, shown = _page(url)
        if host is None:
            return entry.skip("no destination")
        after = rest.rpartition(">")[2].split()
        dest = address(server) or next((found for found in map(_address, after) if found), None) or address(host)
        denied = tag[1].startswith(_DENIED) or "DENIED" in code
        return traffic(
            entry.number, time, _SOURCE, named(user.strip('"')), address(client), None if address(client) else named(client),
            host, shown, dest, None, number(size), None, not denied,
        )  # fmt: skip

    return read


def _page(url: str) -> tuple[str | None, str | None]:
    return target(url[9:].rstrip("/") if url.startswith("tunnel://") else url)


def _bare(entry: Entry, clock: Clock) -> Outcome:
    match = _TABLE.match(entry.text)
    if match is None:
        return None
    stamp, dest, client, code, size, url, _, user, other, tag = match.groups()
    time = clock.epoch(stamp)
    host, shown = _page(url)
    if time is None or host is None or not tag.startswith(_TAGS):
        return (
            entry.skip("no time that can be read" if time is None else "no destination")
            if tag.startswith(_TAGS)
            else None
        )
    return traffic(
        entry.number, time, _SOURCE, named(user) or named(other), address(client), None, host, shown, address(dest) or address(host),
        None, number(size), None, not (tag.startswith(_DENIED) or "DENIED" in code),
    )  # fmt: skip


def _address(text: str) -> str | None:
    return address(text) if text.count(".") == 3 or text.count(":") > 1 else None


IRONPORT = LogParser(
    name=_SOURCE,
    title="Cisco IronPort WSA (Secure Web Appliance)",
    aliases=(
        "CISCO_IRONPORT_PROXY", "CISCO_IRONPORT_PROXY_SYSLOG", "CISCO_IRONPORT_WSA_II", "CISCO_IRONPORT_WSA_II_SYSLOG",
        "CISCO_IRONPORT_WSA_III", "CISCO_IRONPORT_WSA_III_SYSLOG", "106", "133", "206", "207", "216", "217", "WSA",
    ),
    sample=(
        '1714979289.123 97 192.0.2.10 TCP_MISS/200 4711 GET http://box.example/up "CORP\\alice@AD" DIRECT/box.example text/plain '
        'DEFAULT_CASE_11-Web-Staff-NONE-NONE-NONE-DefaultGroup-NONE <"IW_osb",6.9,1,"-",-,-,-,-,"-",-,-,-,"-",-,-,"-","-",-,-,'
        '"IW_osb",-,"-","-","-","-","-","-","-",198.34,0,-,"-","-",-,"-",-,-,"-","-",-,-,"-",-,-> - - 198.51.100.7'
    ),
    start=any_of(_access, w3c_reader(_SOURCE)),
    gives=ALL - {"bytes_up"},
    certainty=0.98,
)  # fmt: skip

SCANSAFE = LogParser(
    name="scansafe",
    title="Cisco Cloud Web Security (ScanSafe)",
    aliases=("CISCO_SCAN_SAFE", "CISCO_SCAN_SAFE_SYSLOG", "124", "142", "CWS"),
    sample=(
        "#Fields: datetime\tc-ip\tcs(X-Forwarded-For)\tcs-username\tcs-method\tcs-uri-scheme\tcs-host\tcs-uri-port\tcs-uri-path\t"
        "cs-uri-query\tcs-bytes\tsc-bytes\tsc-status\ts-ip\tx-ss-category\tx-ss-last-rule-name\tx-ss-last-rule-action\t"
        "x-ss-external-ip\n"
        "2024-05-06 07:08:09 GMT\t192.0.2.10\t-\tWinNT://CORP\\alice\tGET\thttps\tbox.example\t443\t/up\t-\t815\t4711\t200\t"
        "198.51.100.7\tStorage\tweb\tallow\t203.0.113.9"
    ),
    start=w3c_reader("scansafe"),
    gives=ALL,
    certainty=0.98,
)

PARSERS = (IRONPORT, SCANSAFE)
