"""Hunting for an app: the query for the console's advanced hunting, and the columns our own answer has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

COLUMNS: Final = (
    "Timestamp", "DeviceId", "DeviceName", "ActionType", "InitiatingProcessAccountUpn", "InitiatingProcessFileName",
    "RemoteUrl", "RemoteIP", "RemotePort", "LocalIP", "LocalPort", "Protocol", "SentBytes", "ReceivedBytes", "ReportId",
)  # fmt: skip
"""As in DeviceNetworkEvents; the bytes stand in AdditionalFields there."""
DEVICE_COLUMNS: Final = (
    "id", "name", "os", "group", "console_risk", "level", "why", "apps", "risky_apps", "events", "blocked", "total",
    "up", "down", "users", "ips", "first", "last",
)  # fmt: skip
"""Of the list of devices as a file."""
MOST_DOMAINS: Final = 500


def query_for(domains: Iterable[str], *, days: int = 7) -> str:
    """KQL that finds connections to an app by its domains (patterns with `*.` and paths are taken at their host).

    Raises `ValueError` for an app without domains.
    """
    hosts = hosts_of(domains)
    if not hosts:
        raise ValueError("an app without domains cannot be hunted for")
    listed = ", ".join(map(quoted, hosts[:MOST_DOMAINS]))
    return (
        "DeviceNetworkEvents\n"
        f"| where Timestamp > ago({max(1, min(int(days), 180))}d)\n"
        f"| where RemoteUrl has_any ({listed})\n"
        "| project Timestamp, DeviceId, DeviceName, ActionType, InitiatingProcessAccountUpn, "
        "InitiatingProcessFileName, RemoteUrl, RemoteIP, RemotePort, LocalIP, AdditionalFields, ReportId\n"
        "| sort by Timestamp desc"
    )


def hosts_of(domains: Iterable[str]) -> Sequence[str]:
    """Host names out of patterns, without the names that another of them covers."""
    hosts = sorted({each.partition("/")[0].removeprefix("*.") for each in domains if each} - {""}, key=len)
    kept: list[str] = []
    for host in hosts:
        if not any(host == each or host.endswith("." + each) for each in kept):
            kept.append(host)
    return sorted(kept)


def quoted(text: str) -> str:
    """A KQL string literal: what is no letter, digit, dot, hyphen or underscore is escaped, so that nothing ends it.

    https://learn.microsoft.com/kusto/query/scalar-data-types/string
    """
    return '"' + "".join(_safe(each) for each in text) + '"'


def _safe(char: str) -> str:
    if char.isascii() and (char.isalnum() or char in ".-_ "):
        return char
    code = ord(char)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
