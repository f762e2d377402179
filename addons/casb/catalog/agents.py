"""What a user agent says of itself: device type, system, kind of program.

All of it is a claim and no proof; a policy that must hold rests on device tags. An agent that is not a known browser
counts as a native client, and so does one that says nothing: a program that does not want to be taken for a browser
must not slip through policies made for native clients (S109, S110). Embedded browsers (a web view in a mobile app,
Electron) are part of a native client and count as one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import ua_parser
from cachetools import LRUCache

from casb.model.identity import AgentTag, ClientApp, DeviceType

LONGEST = 1024
"""Characters of a user agent that are looked at. Real ones are shorter."""

_BROWSERS: Mapping[str, int] = {
    # Family as uap-core names it: oldest major version that is not outdated. Below it no vendor mends anything.
    "Chrome": 130,
    "Chrome Mobile": 130,
    "Chrome Mobile iOS": 130,
    "HeadlessChrome": 130,
    "Chromium": 130,
    "Edge": 130,
    "Edge Mobile": 130,
    "Firefox": 128,
    "Firefox Mobile": 128,
    "Firefox iOS": 128,
    "Firefox Focus": 0,
    "Safari": 17,
    "Mobile Safari": 16,
    "Opera": 114,
    "Opera Mobile": 80,
    "Opera Mini": 0,
    "Samsung Internet": 26,
    "Vivaldi": 6,
    "Brave": 0,
    "DuckDuckGo Mobile": 0,
    "DuckDuckGo": 0,
    "Yandex Browser": 24,
    "UC Browser": 13,
    "MiuiBrowser": 13,
    "Huawei Browser": 13,
    "Silk": 120,
    "Epiphany": 0,
    "Konqueror": 0,
    "Iron": 0,
    "SeaMonkey": 0,
    "PaleMoon": 33,
    "Waterfox": 6,
    "IE": 99,
    "IE Mobile": 99,
    "Edge Legacy": 99,
}
_OLD_WINDOWS = frozenset("95 98 ME NT 2000 XP Vista CE 7 8 8.1 RT".split()) | {"RT 8.1", "NT 4.0"}
_SYSTEMS: Mapping[str, tuple[int, int]] = {
    # Oldest version whose maker still mends it. macOS has said 10.15 since Catalina, whatever it is: no finer.
    "Mac OS X": (10, 15),
    "iOS": (16, 0),
    "Android": (12, 0),
    "Windows Phone": (99, 0),
}
_PC_SYSTEMS = frozenset("Windows Linux Ubuntu Debian Fedora SUSE Gentoo FreeBSD OpenBSD NetBSD Solaris".split()) | {
    "Mac OS X",
    "Chrome OS",
    "Red Hat",
    "Arch Linux",
}
_ROBOT = re.compile(r"bot\b|\bbot[/-]|crawl|spider|slurp|\+https?://", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFacts:
    """What one user agent claims. `os` is name and major version, e.g. `Windows 10`; None when it does not say."""

    device_type: DeviceType = DeviceType.OTHER
    os: str | None = None
    app: ClientApp = ClientApp.NATIVE
    tags: frozenset[AgentTag] = frozenset({AgentTag.NATIVE_CLIENT})


class Agents:
    """User agents to facts, with the most recent ones kept. Not for use by several threads at once."""

    __slots__ = ("_known",)

    def __init__(self, size: int = 4096) -> None:
        self._known: LRUCache[str, AgentFacts] = LRUCache(size)
        ua_parser.parse("")  # Loads its table now (about 0.1 s, once in a process), not in somebody's first request.

    def lookup(self, user_agent: str) -> AgentFacts:
        """What `user_agent` (the header's value, empty when there was none) claims."""
        facts = self._known.get(user_agent)
        if facts is None:
            facts = self._known[user_agent] = read_agent(user_agent)
        return facts


def read_agent(user_agent: str) -> AgentFacts:
    """What `user_agent` claims, without keeping it."""
    text = user_agent[:LONGEST]
    parsed = ua_parser.parse(text)
    family = parsed.user_agent.family if parsed.user_agent else ""
    major = _number(parsed.user_agent.major) if parsed.user_agent else None
    system = parsed.os.family if parsed.os else ""
    device = parsed.device.family if parsed.device else ""

    tags = set()
    robot = device == "Spider" or bool(_ROBOT.search(text))
    if robot:
        tags.add(AgentTag.ROBOT)
    oldest = None if robot else _BROWSERS.get(family)
    if oldest is None:
        tags.add(AgentTag.NATIVE_CLIENT)
    elif major is not None and major < oldest:
        tags.add(AgentTag.OUTDATED_BROWSER)
    if parsed.os and _outdated_os(system, parsed.os.major, parsed.os.minor):
        tags.add(AgentTag.OUTDATED_OS)
    version = parsed.os.major if parsed.os else None
    return AgentFacts(
        device_type=_device_type(text, system, device),
        os=(f"{system} {version}" if version else system) or None,
        app=ClientApp.NATIVE if oldest is None else ClientApp.BROWSER,
        tags=frozenset(tags),
    )


def _device_type(text: str, system: str, device: str) -> DeviceType:
    if device == "Spider":
        return DeviceType.OTHER
    if device == "iPad" or "Tablet" in text:
        return DeviceType.TABLET
    if system == "Android":  # "Mobile" stands in the agents of phones and not in those of tablets.
        return DeviceType.MOBILE if "Mobile" in text or "Mozilla" not in text else DeviceType.TABLET
    if system in ("iOS", "Windows Phone", "KaiOS"):
        return DeviceType.MOBILE
    return DeviceType.PC if system in _PC_SYSTEMS else DeviceType.OTHER


def _outdated_os(system: str, major: str | None, minor: str | None) -> bool:
    if system == "Windows":
        return major in _OLD_WINDOWS
    oldest = _SYSTEMS.get(system)
    number = _number(major)
    if oldest is None or number is None:
        return False
    return (number, _number(minor) or 0) < oldest


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None
