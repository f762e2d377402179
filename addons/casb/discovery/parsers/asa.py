r"""Cisco ASA, PIX and FWSM syslog messages; FTD's and FirePOWER's connection events.

"Cisco Secure Firewall ASA Series Syslog Messages": 302013 to 302016 connections (for outbound ones the first address is the
far end, for inbound ones the near end is second), 106xxx denials, 304001/304002 URLs. A connection's bytes stand in its
teardown, its direction in its set-up: the two lines are joined. "Threat Defense Syslog Messages": 430001 to 430005.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from casb.discovery.entry import Entry, LineReader, Outcome, address, host_of, named, number, target, traffic
from casb.discovery.fieldmap import FieldMap
from casb.discovery.parser import Joining, LogParser, Opened
from casb.discovery.parsers.support import NO_TRAFFIC, Start, any_of
from casb.discovery.times import Clock
from casb.model.discovery import Skipped, TrafficEvent

_MESSAGE = re.compile(r"%?(ASA|PIX|FWSM|FTD)-(?:[a-z]+-)?(?:(\d)-)?(\d{5,6})\b:?\s*(.*)", re.DOTALL)
_END = r"([^\s:,/()]*:)?([\w.:\-]+?)(?:/(\d+|[a-z][\w-]*))?"
_USER = r"(?:\s*\(([^)]*)\))?"
_CONNECTION = re.compile(
    r"(Built|Teardown)(?: (?P<way>inbound|outbound))?(?: (?:local-host|dynamic|static))? ?(?P<proto>\S+?)(?: state-bypass)? "
    r"connection (?P<id>\d+) (?:for|from) "
    r"(?P<a_if>[^:\s]+):(?P<a>[\w.:\-]+?)(?:/(?P<a_port>\d+))?(?P<a_more>(?:\s*\([^)]*\))*) "
    r"to (?P<b_if>[^:\s]+):(?P<b>[\w.:\-]+?)(?:/(?P<b_port>\d+))?(?P<b_more>(?:\s*\([^)]*\))*)(?=\s|$)(?P<rest>.*)"
)
_BYTES = re.compile(r"\bbytes (\d+)")
_PARENS = re.compile(r"\(([^)]*)\)")
_ICMP = re.compile(
    r"(Built|Teardown)(?: (inbound|outbound))? ICMP connection(?: \d+)? for faddr ([\w.:\-]+?)/\d+(?:\s*\(([^)]*)\))? "
    r"gaddr ([\w.:\-]+?)/\d+ laddr ([\w.:\-]+?)/\d+(?:\s*\(([^)]*)\))?"
)
_SRC_DST = re.compile(
    r"(?:src|from) (?:(?![0-9a-fA-F]{1,4}:)[^\s:]+:)?([\w.:\-]+?)(?:/(?:\d+|[a-z][\w-]*))?" + _USER + r"[,\s]+"
    r"(?:dst|to|dest) (?:(?![0-9a-fA-F]{1,4}:)[^\s:]+:)?([\w.:\-]+?)(?:/(?:\d+|[a-z][\w-]*))?"
    + _USER
    + r"(?=[\s,;]|\.?$|\.\s)"
)
_ACL = re.compile(
    r"access-list \S+ (permitted|denied|est-allowed)\b.*? [^\s/]+/([0-9a-fA-F.:]+)\([^)]*\)(?:\(([^)]*)\)|\s*\(([^)]*)\))?\s*->\s*"
    r"[^\s/]+/([0-9a-fA-F.:]+)\([^)]*\)"
)
_URL = re.compile(
    r"(?:(\S+?)@|(\S+) )?([0-9a-fA-F.:]+)(?:\(([^)]*)\))? Accessed (?:JAVA )?URL ([\w.\-]+|\[[^\]]+\]|[0-9a-fA-F:]+?(?=:(?:http|/))):(.*)"
)
_URL_DENIED = re.compile(r"Access denied URL (.*?) SRC ([0-9a-fA-F.:]+)(?:\(([^)]*)\))? DEST ([0-9a-fA-F.:]+)")

_DENIALS = frozenset(
    "106001 106002 106006 106007 106010 106012 106013 106014 106015 106016 106017 106021 106022 106023 106102 106103 710003 "
    "313001 313004 313005 322001 338002 338004 338006 419001 507003 108003 733102 305006 106018 106020".split()
)


class _Asa(Joining):
    def __init__(self, source: str, families: tuple[str, ...], clock: Clock) -> None:
        self._source = source
        self._families = families
        self._clock = clock
        self.opened = Opened()

    def __call__(self, entry: Entry) -> Outcome:
        at = entry.text.find("%")
        match = _MESSAGE.search(entry.text, at if at >= 0 else 0)
        if match is None or match[1] not in self._families or (at < 0 and match.start() > 0):
            return None
        reader = _READERS.get(match[3])
        if match[3].startswith("4300"):
            return None
        time = entry.time(self._clock) or self._clock.parse(entry.text[: match.start()].strip(" :"))
        outcome: Outcome = None
        if match[3] in _CONNECTIONS:
            outcome = self._connection(match[4], entry, time)
        elif reader is not None or match[3] in _DENIALS:
            outcome = (reader or _denied)(match[4], entry, time, self._source)
        if outcome is None:
            return entry.skip(NO_TRAFFIC)
        return outcome

    def _connection(self, text: str, entry: Entry, time: datetime | None) -> Outcome:
        match = _CONNECTION.match(text)
        if match is None:
            return None
        if time is None:
            return entry.skip("no time that can be read")
        key = (entry.origin or "", match["id"])
        if match[1] == "Built":
            client, dest = _ends(match, outbound=match["way"] != "inbound")
            event = _event(entry, time, self._source, client, dest, user=_user(match), allowed=True)
            return self.opened.hold(key, event) if isinstance(event, TrafficEvent) else event
        built = self.opened.close(key)
        total = _BYTES.search(match["rest"])
        client, dest = _ends(match, outbound=_outbound(match))
        if built is not None and address(client) == built.dest_ip and built.dest_ip:
            client, dest = dest, client  # The line that set it up knows who began.
        user = _user(match) or (built.user if built else None)
        return _event(
            entry, time, self._source, client, dest, user=user, allowed=True, total=number(total[1]) if total else None
        )


_CONNECTIONS = frozenset("302013 302014 302015 302016 302017 302018 302303 302304 302305 302306 302035 302036".split())


def _ends(match: re.Match[str], *, outbound: bool) -> tuple[str, str]:
    """Client and destination as logged: addresses, or names that the firewall was given for them."""
    return (match["b"], match["a"]) if outbound else (match["a"], match["b"])


def _outbound(match: re.Match[str]) -> bool:
    """Whether the first address is the far end, when no set-up line said so: by the ports."""
    first, second = int(match["a_port"] or 0), int(match["b_port"] or 0)
    if (first < 1024) != (second < 1024):
        return first < 1024
    return True


def _user(match: re.Match[str]) -> str | None:
    for part in ("b_more", "a_more", "rest"):
        for text in _PARENS.findall(match[part]):
            if text and "/" not in text.replace("\\", "") and not address(text):
                return named(text.removeprefix("LOCAL\\"))
    return None


def _icmp(text: str, entry: Entry, time: datetime | None, source: str) -> Outcome:
    match = _ICMP.match(text)
    if match is None:
        return None
    if match[1] == "Teardown":
        return entry.skip("the end of an exchange of pings, told without bytes")
    client, dest = (match[3], match[6]) if match[2] == "inbound" else (match[6], match[3])
    return _event(entry, time, source, client, dest, user=named(match[7] or match[4]), allowed=True)


def _denied(text: str, entry: Entry, time: datetime | None, source: str) -> Outcome:
    match = _SRC_DST.search(text)
    if match is None:
        return None
    return _event(entry, time, source, match[1], match[3], user=named(match[2] or match[4]), allowed=False)


def _listed(text: str, entry: Entry, time: datetime | None, source: str) -> Outcome:
    match = _ACL.search(text)
    if match is None:
        return None
    return _event(
        entry, time, source, match[2], match[5], user=named(match[3] or match[4]), allowed=match[1] != "denied"
    )


def _accessed(text: str, entry: Entry, time: datetime | None, source: str) -> Outcome:
    match = _URL.match(text)
    if match is None:
        return None
    user = named(match[1] or match[2] or match[4])
    return _event(entry, time, source, match[3], match[5], user=user, allowed=True, url=match[6].strip())


def _refused(text: str, entry: Entry, time: datetime | None, source: str) -> Outcome:
    match = _URL_DENIED.match(text)
    if match is None:
        return None
    return _event(entry, time, source, match[2], match[4], user=named(match[3]), allowed=False, url=match[1].strip())


def _event(
    entry: Entry, time: datetime | None, source: str, client: str, dest: str, *, user: str | None, allowed: bool,
    url: str | None = None, total: int | None = None,
) -> TrafficEvent | Skipped:  # fmt: skip
    if time is None:
        return entry.skip("no time that can be read")
    client_ip, dest_ip = address(client), address(dest)
    if url is not None:
        host, shown = target(url, dest if url.startswith("/") else None)
    else:
        host, shown = None if dest_ip else host_of(dest), None
    if dest_ip is None and host is None:
        return entry.skip("no destination")
    device = None if client_ip else named(client)
    return traffic(
        entry.number, time, source, user, client_ip, device, host, shown, dest_ip, None, None, total, allowed
    )


_READERS: dict[str, Callable[[str, Entry, datetime | None, str], Outcome]] = {
    "302020": _icmp, "302021": _icmp, "106100": _listed, "304001": _accessed, "304002": _refused, "303002": _denied,
}  # fmt: skip


def _start(source: str, *families: str) -> Start:
    def start(clock: Clock) -> LineReader:
        return _Asa(source, families, clock)

    return start


# --- FTD and FirePOWER

_FTD = FieldMap(
    time=("firstpacketsecond", "eventtime", "first packet", "firstpacket"),
    user=("user",),
    client=("srcip", "initiatorip", "initiator ip", "src"),
    device=("client_host",),
    url=("url", "uri"),
    host=("dnsquery", "referencedhost", "http_hostname", "dns query", "referenced host", "ssl server name", "sslservername"),
    port=("dstport",),
    dest=("dstip", "responderip", "responder ip", "dst"),
    up=("initiatorbytes", "initiator bytes"),
    down=("responderbytes", "responder bytes"),
    action=("accesscontrolruleaction", "access control rule action", "action", "inlineresult", "fileaction"),
    verdicts={"trust": True, "monitor": True, "interactive block": False, "interactive bypass": True, "block with reset": False,
              "malware cloud lookup": True, "fastpath": True, "would have dropped": True, "default action": None},
)  # fmt: skip
_COLON = re.compile(r"(?:^|,\s*|:\s|\]\s*)([A-Z][A-Za-z0-9_ /]{0,40}?): (.*?)(?=,\s+[A-Z][A-Za-z0-9_ /]{0,40}?: |$)")
_ARROW = re.compile(r"\{(\w+)\}\s+([0-9a-fA-F.:]+?):(\d+)(?:\s*\([^)]*\))?\s*->\s*([0-9a-fA-F.:]+?):(\d+)(?:\s|$)")


def _ftd(clock: Clock) -> LineReader:
    def read(entry: Entry) -> Outcome:
        text = entry.text
        at = text.find("-43000")
        if at > 0 and ("FTD" in text[max(0, at - 12) : at] or "NGIPS" in text[max(0, at - 12) : at]):
            body = text[at + 7 :].lstrip(": ")
        elif "Connection Type:" in text or ("AccessControlRuleAction:" in text and "SrcIP:" in text):
            body = text
        else:
            return None
        fields = {key.lower(): value for key, value in _COLON.findall(body)}
        arrow = _ARROW.search(body)
        if arrow:
            fields.setdefault("srcip", arrow[2])
            fields.setdefault("dstip", arrow[4])
            fields["url"] = fields.get("url", "").partition(" {")[0]
        return _FTD.event(fields, entry, "cisco-ftd", clock) if fields else None

    return read


ASA = LogParser(
    name="cisco-asa",
    title="Cisco ASA and PIX",
    aliases=("CISCO_ASA", "CISCO_ASA_SYSLOG", "104", "141", "ASA"),
    sample=(
        "<166>May 06 2024 07:08:09 fw : %ASA-6-302013: Built outbound TCP connection 42 for outside:198.51.100.7/443 "
        "(198.51.100.7/443) to inside:192.0.2.10/50000 (203.0.113.9/50000)\n"
        "<166>May 06 2024 07:08:24 fw : %ASA-6-302014: Teardown TCP connection 42 for outside:198.51.100.7/443 to "
        "inside:192.0.2.10/50000 duration 0:00:15 bytes 5526 TCP FINs"
    ),
    start=_start("cisco-asa", "ASA", "PIX"),
    gives=frozenset({"client_ip", "dest_ip", "bytes_total", "allowed"}),
    certainty=0.98,
    marks=("ASA-", "PIX-"),
)

FWSM = LogParser(
    name="cisco-fwsm",
    title="Cisco FWSM",
    aliases=("CISCO_FWSM", "CISCO_FWSM_SYSLOG", "157", "158", "FWSM"),
    sample=(
        "<166>May 06 2024 07:08:24: %FWSM-6-302014: Teardown TCP connection 42 for outside:198.51.100.7/443 to "
        "inside:192.0.2.10/50000 duration 0:00:15 bytes 5526 TCP FINs"
    ),
    start=_start("cisco-fwsm", "FWSM"),
    gives=frozenset({"client_ip", "dest_ip", "bytes_total", "allowed"}),
    certainty=0.98,
    marks=("FWSM-",),
)

FTD = LogParser(
    name="cisco-ftd",
    title="Cisco Firepower: FTD, ASA with FirePOWER",
    aliases=("CISCO_ASA_FIREPOWER", "CISCO_ASA_FIREPOWER_SYSLOG", "CISCO_FIREPOWER_V6", "CISCO_FIREPOWER_V6_SYSLOG", "177",
             "178", "222", "223", "FTD", "FIREPOWER"),
    sample=(
        "<113>2024-05-06T07:08:09Z ftd %FTD-1-430003: AccessControlRuleAction: Allow, SrcIP: 192.0.2.10, DstIP: 198.51.100.7, "
        "SrcPort: 50000, DstPort: 443, Protocol: tcp, User: alice, InitiatorBytes: 815, ResponderBytes: 4711, "
        "URL: https://box.example/up"
    ),
    start=any_of(_ftd, _start("cisco-ftd", "FTD")),
    gives=frozenset({"user", "client_ip", "host", "url", "dest_ip", "bytes_up", "bytes_down", "allowed"}),
    certainty=0.97,
    marks=("FTD-", "NGIPS", "Connection Type:", "AccessControlRuleAction"),
)  # fmt: skip

PARSERS = (ASA, FWSM, FTD)
