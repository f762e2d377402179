"""Juniper: SRX (RT_FLOW as plain text and as structured data, web filter, AppTrack, WELF), SSG and NetScreen.

"Junos System Log Explorer": a session's `bytes-from-client` go up, `bytes-from-server` come down. "ScreenOS Messages Log
Reference": `sent` and `rcvd` are seen from the initiator.
"""

from __future__ import annotations

import re

from casb.discovery.entry import Entry, LineReader, Outcome, address, named, number, target, traffic, verdict
from casb.discovery.fieldmap import FieldMap
from casb.discovery.parser import Joining, LogParser, Opened
from casb.discovery.parsers.support import FLOW, NO_TRAFFIC, Fields, any_of, from_pairs
from casb.discovery.times import Clock
from casb.model.discovery import TrafficEvent

_SOURCE = "juniper-srx"

STRUCTURED = FieldMap(
    time=("event-time", "timestamp"),
    user=("username", "user-name"),
    client=("source-address", "src-address"),
    device=("source-hostname",),
    host=("url-host", "http-host", "hostname", "sni", "url"),
    url=("url-full",),
    path=("obj",),
    port=("destination-port",),
    dest=("destination-address",),
    up=("bytes-from-client", "bytes-from-initiator"),
    down=("bytes-from-server", "bytes-from-responder"),
    action=("action", "event"),
    verdicts={"permit": True, "log": True, "alarm-without-drop": True, "permitted": True, "none": None},
)
_EVENT = re.compile(r"\b(RT_FLOW_SESSION_(?:CREATE|CLOSE|DENY)(?:_LS)?|APPTRACK_SESSION_\w+|WEBFILTER_URL_\w+|RT_SCREEN_\w+|RT_\w+_ATTACK\w*|"
                    r"AV_\w+|IDP_\w+|SECINTEL_\w+|AAMW_\w+|FLOW_SESSION_\w+|CONTENT_FILTERING_\w+|ANTISPAM_\w+|APPQOS_\w+)")  # fmt: skip
_PLAIN = re.compile(
    r"session (created|closed|denied)\s{0,4}(.{0,80}?):?\s{0,4}([0-9a-fA-F.:]{2,45})/(\d{1,5})->([0-9a-fA-F.:]{2,45})/(\d{1,5})(?:,| )(.*)",
    re.DOTALL,
)
_WEB = re.compile(
    r'ACTION="?URL (\w+)"? ([0-9a-fA-F.:]{2,45})\((\d{1,5})\)->([0-9a-fA-F.:]{2,45})\((\d{1,5})\)(.*?) URL=(\S*) OBJ=(\S*)'
    r"(?: username (\S+))?"
)
_COUNTS = re.compile(r"\s(\d+)\((\d+)\) (\d+)\((\d+)\)(?:\s(.*))?")
_USER = re.compile(r"(?:^|\s)(?!\d+\()(\S+)\((?:[^)\s]*)\)\s+\S+")
_SESSION = re.compile(r"\s(\d{4,20})\s")
_INITIATED = "session start, without bytes"


class _Srx(Joining):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.opened = Opened()

    def __call__(self, entry: Entry) -> Outcome:
        text = entry.text
        kind = _EVENT.search(text) or _EVENT.search(entry.tag or "")
        if kind is None:
            if "session closed" in text or "session created" in text or "session denied" in text:
                return self._plain(text, entry) if "->" in text else None
            return None
        if "source-address=" in text:
            return self._structured(kind[1], entry)
        return self._plain(text, entry) if "->" in text else entry.skip(NO_TRAFFIC)

    def _structured(self, kind: str, entry: Entry) -> Outcome:
        fields = dict(entry.pairs)
        if "destination-address" not in fields:
            return entry.skip(NO_TRAFFIC)
        if "WEBFILTER" not in kind:
            fields.pop("url", None)
        if "obj" in fields and "url" in fields and not fields["url"].startswith("/"):
            fields["url-host"] = fields.pop("url")
        if "DENY" in kind or "BLOCKED" in kind:
            fields["action"] = "deny"
        elif "SESSION" in kind or "PERMITTED" in kind:
            fields.setdefault("action", "permit")
        event = STRUCTURED.event(fields, entry, _SOURCE, self._clock)
        return self._joined(kind, fields.get("session-id-32") or fields.get("session-id"), event, entry)

    def _plain(self, text: str, entry: Entry) -> Outcome:
        match = _PLAIN.search(text)
        if match is None:
            return self._web(text, entry)
        what, _, source, _, dest, _, rest = match.groups()
        time = entry.time(self._clock)
        if time is None:
            return entry.skip("no time that can be read")
        counts = _COUNTS.search(rest) if what == "closed" else None
        user = _USER.search((counts[5] or "") if counts else rest)
        session = _SESSION.search(rest[: counts.start() + 1] + " " if counts else rest)
        event = traffic(
            entry.number, time, _SOURCE, named(user[1]) if user else None, address(source), None, None, None, address(dest),
            number(counts[2]) if counts else None, number(counts[4]) if counts else None, None, what != "denied",
        )  # fmt: skip
        kind = {"created": "CREATE", "closed": "CLOSE"}.get(what, "")
        return self._joined(kind, session[1] if session else None, event, entry)

    def _web(self, text: str, entry: Entry) -> Outcome:
        """A web filter's verdict as plain text."""
        match = _WEB.search(text)
        if match is None:
            return None
        word, source, _, dest, port, _, page, path, user = match.groups()
        time = entry.time(self._clock)
        if time is None:
            return entry.skip("no time that can be read")
        host, url = target(None, page, path=path, port=port)
        return traffic(
            entry.number, time, _SOURCE, named(user), address(source), None, host, url, address(dest), None, None, None, verdict(word),
        )  # fmt: skip

    def _joined(self, kind: str, session: str | None, event: Outcome, entry: Entry) -> Outcome:
        if session is None or not isinstance(event, TrafficEvent):
            return event
        key = (entry.origin, session)
        if "CREATE" in kind:
            return self.opened.hold(key, event)
        if "CLOSE" in kind:
            self.opened.close(key)
        return event


def _srx(clock: Clock) -> LineReader:
    return _Srx(clock)


WELF = FieldMap(
    time=("time", "start_time"),
    user=("user", "usr"),
    client=("src",),
    host=("dstname",),
    path=("arg",),
    scheme=("proto",),
    dest=("dst",),
    up=("sent",),
    down=("rcvd",),
    action=("action", "result", "msg"),
    otherwise=True,
)

NETSCREEN = FieldMap(
    time=("start_time", "time"),
    user=("user", "username", "src_user"),
    client=("src", "src_ip"),
    host=("url_host",),
    url=("url",),
    dest=("dst", "dst_ip"),
    up=("sent",),
    down=("rcvd",),
    action=("action",),
    verdicts={"permit": True, "tunnel": True},
)


def _welf(fields: Fields) -> bool:
    return (
        fields.get("id") == "firewall"
        and "fw" in fields
        and "sn" not in fields
        and "tz" not in fields
        and "logtype" not in fields
    )


def _netscreen(fields: Fields) -> bool:
    return ("device_id" in fields and "start_time" in fields and "policy_id" in fields) or "src-xlated" in fields


def _refuse(fields: Fields) -> str | None:
    return None if "dst" in fields else NO_TRAFFIC


def _netscreen_other(clock: Clock) -> LineReader:
    """ScreenOS messages about the device."""

    def read(entry: Entry) -> Outcome:
        return entry.skip(NO_TRAFFIC) if "device_id=" in entry.text and "system-" in entry.text else None

    return read


SRX = LogParser(
    name=_SOURCE,
    title="Juniper SRX",
    aliases=(
        "JUNIPER_SRX", "JUNIPER_SRX_SYSLOG", "JUNIPER_SRX_SD", "JUNIPER_SRX_SD_SYSLOG", "JUNIPER_SRX_WELF",
        "JUNIPER_SRX_WELF_SYSLOG", "129", "147", "172", "173", "174", "175",
    ),
    sample=(
        "<14>1 2024-05-06T07:08:09.123Z srx RT_FLOW - RT_FLOW_SESSION_CLOSE [junos@2636.1.1.1.2.129 reason=\"TCP FIN\" "
        'source-address="192.0.2.10" source-port="50000" destination-address="198.51.100.7" destination-port="443" '
        'service-name="junos-https" protocol-id="6" policy-name="web" session-id-32="4242" packets-from-client="10" '
        'bytes-from-client="815" packets-from-server="12" bytes-from-server="4711" elapsed-time="15" username="alice"]'
    ),
    start=_srx,
    gives=FLOW | {"user", "host", "url"},
    certainty=0.97,
    marks=("RT_", "session c", "session d", "APPTRACK", "id=firewall"),
)  # fmt: skip

SRX_WELF = LogParser(
    name="welf",
    title="WebTrends Enhanced Log Format (WELF) of firewalls",
    aliases=("WELF",),
    sample=(
        'id=firewall time="2024-05-06 07:08:09" fw=srx pri=6 rule=5 proto=https duration=15 sent=815 rcvd=4711 src=192.0.2.10 '
        'dst=198.51.100.7 dstname=box.example user=alice arg=/up msg="session closed"'
    ),
    start=from_pairs("welf", _welf, WELF, _refuse),
    gives=FLOW | {"user", "host", "url"},
    certainty=0.8,
    marks=("id=firewall",),
)

SSG = LogParser(
    name="juniper-ssg",
    title="Juniper SSG and NetScreen (ScreenOS)",
    aliases=("JUNIPER_SSG", "JUNIPER_SSG_SYSLOG", "168", "169", "NETSCREEN"),
    sample=(
        "<133>May  6 07:08:24 ssg5 ssg5: NetScreen device_id=ssg5  [Root]system-notification-00257(traffic): "
        'start_time="2024-05-06 07:08:09" duration=15 policy_id=1 service=https proto=6 src zone=Trust dst zone=Untrust '
        "action=Permit sent=815 rcvd=4711 src=192.0.2.10 dst=198.51.100.7 src_port=50000 dst_port=443 session_id=42"
    ),
    start=any_of(from_pairs("juniper-ssg", _netscreen, NETSCREEN, _refuse), _netscreen_other),
    gives=FLOW | {"user"},
    certainty=0.96,
    marks=("NetScreen", "device_id="),
)

PARSERS = (SRX, SRX_WELF, SSG)
