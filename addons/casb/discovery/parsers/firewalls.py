"""Further firewalls that write key=value: Stormshield, Clavister, WatchGuard, Barracuda CloudGen."""

from __future__ import annotations

import re
from datetime import UTC

from casb.discovery import formats
from casb.discovery.entry import Entry, LineReader, Outcome, address, named, number, target, traffic, verdict
from casb.discovery.fieldmap import FieldMap
from casb.discovery.parser import LogParser
from casb.discovery.parsers.support import (
    ALL,
    FLOW,
    NO_TRAFFIC,
    Fields,
    any_of,
    by_vendor,
    from_json,
    from_leef,
    from_pairs,
)
from casb.discovery.times import Clock

# --- Stormshield: "Description of audit logs" (SNS): `sent` and `rcvd` are the source's; local time with `tz`.

STORMSHIELD_FIELDS = FieldMap(
    time=("startime", "time"),
    zone=("tz",),
    user=("user",),
    client=("src",),
    device=("srcname",),
    host=("host",),
    path=("arg",),
    scheme=("scheme",),
    port=("dstport",),
    dest=("origdst", "dst"),
    up=("sent",),
    down=("rcvd",),
    action=("action", "result"),
    verdicts={"pass": True, "block": False},
    otherwise=True,
)


def _stormshield(fields: Fields) -> bool:
    return ("fw" in fields and "tz" in fields and ("startime" in fields or "logtype" in fields)) or (
        "logtype" in fields and "startime" in fields
    )


def _stormshield_refuse(fields: Fields) -> str | None:
    kind = fields.get("logtype", "")
    if "dst" not in fields or kind in (
        "vpn",
        "auth",
        "system",
        "server",
        "monitor",
        "xvpn",
        "count",
        "filterstat",
        "routerstat",
    ):
        return NO_TRAFFIC
    return None


def _stormshield_prepare(fields: dict[str, str], _: Entry) -> dict[str, str]:
    name = fields.get("dstname", "")
    if "." in name and not name.startswith("host_"):
        fields["host"] = name
    proto = fields.get("proto", "").lower()
    fields["scheme"] = "https" if proto in ("https", "ssl", "tls") else "http" if proto == "http" else ""
    if fields.get("op") is None or fields.get("arg") in ("?", ""):
        fields.pop("arg", None)
    return fields


STORMSHIELD = LogParser(
    name="stormshield",
    title="Stormshield Network Security",
    aliases=("STORMSHIELD", "STORMSHIELD_SYSLOG", "212", "213"),
    sample=(
        'id=firewall time="2024-05-06 09:08:24" fw="SN000000000001" tz=+0200 startime="2024-05-06 09:08:09" pri=5 confid=01 '
        'ruleid=11 srcif="Ethernet1" ipproto=tcp proto=https src=192.0.2.10 srcport=50000 dst=198.51.100.7 dstport=443 '
        'dstname=box.example user="alice" sent=815 rcvd=4711 duration=15.00 action=pass logtype="connection"'
    ),
    start=from_pairs(
        "stormshield", _stormshield, STORMSHIELD_FIELDS, _stormshield_refuse, prepare=_stormshield_prepare
    ),
    gives=ALL,
    certainty=0.96,
    marks=("startime=", "logtype="),
)

# --- Clavister: "cOS Core Log Reference Guide": `origsent` by the originator, `termsent` by the terminator.

CLAVISTER_FIELDS = FieldMap(
    time=("dated",),
    user=("username", "user", "authuser", "srcuser", "src_username"),
    client=("connsrcip", "srcip", "client_ip", "conn_srcip"),
    url=("url",),
    host=("domain", "dest_name", "dsthost"),
    dest=("conndestip", "destip", "server", "dstip"),
    port=("conndestport",),
    up=("origsent",),
    down=("termsent",),
    action=("action", "event"),
    verdicts={"close": True, "none": None, "log": True, "conn_open": True, "conn_close": True, "drop": False, "reject": False,
              "conn_open_natsat": True, "conn_close_natsat": True, "strip_flag": True, "connecting": True},
    otherwise=True,
)  # fmt: skip
_SIZE = re.compile(r"\b(origsent|termsent)=(\d+(?:\.\d+)?) ?([KMGT])?\b")
_CLAVISTER_DATE = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\]")
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def _clavister(fields: Fields) -> bool:
    return "event" in fields and (
        "connsrcip" in fields
        or "connipproto" in fields
        or ("id" in fields and ("rev" in fields or "prio" in fields or fields["id"].isdigit()))
    )


def _clavister_prepare(fields: dict[str, str], entry: Entry) -> dict[str, str]:
    for key, value, unit in _SIZE.findall(entry.text):
        fields[key] = str(int(float(value) * _UNITS[unit]))
    fields = {key: value.rstrip("]").strip('"') for key, value in fields.items()}
    date = _CLAVISTER_DATE.match(entry.text)
    if date:
        fields["dated"] = date[1]
    return fields


def _clavister_refuse(fields: Fields) -> str | None:
    return None if any(key in fields for key in ("conndestip", "destip", "url")) else NO_TRAFFIC


CLAVISTER = LogParser(
    name="clavister",
    title="Clavister NGFW",
    aliases=("CLAVISTER", "CLAVISTER_SYSLOG", "164", "165"),
    sample=(
        "<134>[2024-05-06 07:08:24] FW: CONN: prio=1 id=00600005 rev=1 event=conn_close_natsat action=close rule=web conn=close "
        "connipproto=TCP connrecvif=lan connsrcip=192.0.2.10 connsrcport=50000 conndestif=wan conndestip=198.51.100.7 "
        "conndestport=443 origsent=815 termsent=4711 conntime=15 username=alice"
    ),
    start=from_pairs("clavister", _clavister, CLAVISTER_FIELDS, _clavister_refuse, prepare=_clavister_prepare),
    gives=FLOW | {"user", "host", "url"},
    certainty=0.93,
    marks=("event=",),
)

# --- WatchGuard: "Fireware Log Catalog". The time in parentheses is UTC.

WATCHGUARD_FIELDS = FieldMap(
    time=("devtime", "time"),
    user=("src_user", "usrname", "user"),
    client=("src", "src_ip"),
    device=("src_host",),
    host=("dstname", "sni", "question", "cn"),
    path=("arg",),
    port=("dstport", "dst_port"),
    dest=("dst", "dst_ip"),
    up=("sent_bytes", "srcbytes"),
    down=("rcvd_bytes", "dstbytes"),
    action=("disp", "action"),
)
_WATCHGUARD = re.compile(
    r"(?:\((\d{4}-\d\d-\d\dT[\d:.]+)\)\s+)?(?:[\w-]+(?:\[\d+\])?:\s+)?(?:msg_id=\"([^\"]*)\"\s+)?(Allow|Deny|Block|Drop|ProxyAllow|ProxyDeny|"
    r"ProxyDrop|ProxyBlock|ProxyStrip|ProxyAvScan)\w*\s+(?:.*?\s)(tcp|udp|icmp|icmpv6|igmp|esp|gre|\d{1,3})\s(?:\d+\s+\d+\s+)?"
    r"([0-9a-fA-F.:]+)\s+([0-9a-fA-F.:]+)(?:\s+(\d+)\s+(\d+))?(?:\s+(.*))?\Z"
)


def _watchguard(clock: Clock) -> LineReader:
    utc = Clock(UTC, clock.now)

    def read(entry: Entry) -> Outcome:
        text = entry.text
        if "msg_id=" not in text and "firewall" not in text and "proxy" not in text:
            return None
        match = _WATCHGUARD.search(text)
        if match is None:
            return entry.skip(NO_TRAFFIC) if 'msg_id="' in text else None
        stamp, _, action, _, source, dest, _, port, rest = match.groups()
        if address(source) is None or address(dest) is None:
            return None
        time = (utc.parse(stamp) if stamp else None) or entry.time(clock)
        if time is None:
            return entry.skip("no time that can be read")
        fields = formats.pairs(rest or "")
        name = fields.get("dstname") or fields.get("host") or fields.get("sni")
        host, url = target(None, name, path=fields.get("arg") or fields.get("path"), port=port)
        return traffic(
            entry.number, time, "watchguard", named(fields.get("src_user")), address(source), None, host, url,
            address(dest), number(fields.get("sent_bytes")), number(fields.get("rcvd_bytes")), None,
            verdict(action.removeprefix("Proxy")),
        )  # fmt: skip

    return read


def _watchguard_refuse(fields: Fields) -> str | None:
    return None if "dst" in fields and "src" in fields else NO_TRAFFIC


WATCHGUARD = LogParser(
    name="watchguard",
    title="WatchGuard XTM and Firebox (Fireware)",
    aliases=("WATCHGUARD_XTM", "WATCHGUARD_XTM_SYSLOG", "WATCHGUARD", "225", "226", "119"),
    sample=(
        '<142>May  6 07:08:09 fb 80BE00000001 (2024-05-06T07:08:09) http-proxy[42]: msg_id="1AFF-0024" Allow 1-Trusted '
        '0-External tcp 192.0.2.10 198.51.100.7 50000 80 msg="HTTP request" proxy_act="HTTP-Client" op="GET" '
        'dstname="box.example" arg="/up" sent_bytes="815" rcvd_bytes="4711" src_user="alice@Firebox-DB" (HTTP-proxy-00)'
    ),
    start=any_of(from_leef("watchguard", by_vendor("watchguard"), WATCHGUARD_FIELDS, _watchguard_refuse), _watchguard),
    gives=ALL,
    certainty=0.95,
    marks=("msg_id=", "WatchGuard", "Allow ", "Deny "),
)

# --- Barracuda CloudGen (NextGen) Firewall F-series: "Firewall Activity Log", key=value between bars.

CLOUDGEN_FIELDS = FieldMap(
    time=("timestamp", "time"),
    user=("user",),
    client=("srcip",),
    url=("url",),
    host=("target", "host", "domain", "sni"),
    dest=("dstip",),
    port=("dstport",),
    up=("sentbytes",),
    down=("receivedbytes",),
    action=("action", "msgaction", "info"),
    verdicts={"detect": True, "remove": True, "terminate": True, "fail": False, "local_block": False, "local_deny": False, "arp": None},
)  # fmt: skip
_CLOUDGEN = re.compile(r"(\d{4}[ /-]\d\d[ /-]\d\d[ T]\d\d:\d\d:\d\d)\s+\w+\s+(?:([+-]\d\d:?\d\d)\s)?")


_CLOUDGEN_COLUMNS = (
    "type", "proto", "srcif", "srcip", "srcport", "srcmac", "dstip", "dstport", "dstservice", "dstif", "rule", "info", "srcnat",
    "dstnat", "duration", "count", "receivedbytes", "sentbytes", "receivedpackets", "sentpackets", "user", "protocol", "application",
    "target", "content", "urlcat",
)  # fmt: skip
_CLOUDGEN_PLAIN = re.compile(r"(\w+):\s+((?:LIN|LOUT|LB|FWD|IFWD|PXY|IPXY|TAP|<cumulative>|[A-Z]{2,5})\|[^|\s]*\|.*)\Z")


def _cloudgen(clock: Clock) -> LineReader:
    def read(entry: Entry) -> Outcome:
        text = entry.text
        if "type=" in text and "srcIP=" in text:
            at = text.find("type=")
            fields = formats.pairs(text[at:])
            fields["action"] = text[:at].strip().rstrip(":").rpartition(" ")[2]
        else:
            plain = _CLOUDGEN_PLAIN.search(text) if text.count("|") >= 19 else None
            if plain is None:
                return None
            fields = dict(zip(_CLOUDGEN_COLUMNS, plain[2].split("|"), strict=False))
            fields["action"] = plain[1]
        if not fields.get("dstip"):
            return entry.skip(NO_TRAFFIC)
        match = _CLOUDGEN.match(text)
        if match:
            fields["timestamp"] = match[1] + (f" {match[2]}" if match[2] else "")
        return CLOUDGEN_FIELDS.event(fields, entry, "barracuda-firewall", clock)

    return read


CLOUDGEN_JSON = FieldMap(
    time=("timestamp",),
    user=("user",),
    client=("src_ip", "source_ip"),
    url=("name", "url"),
    host=("domain",),
    dest=("dst_ip", "destination_ip"),
    up=("fwd_bytes",),
    down=("rev_bytes", "size"),
    action=("action",),
    verdicts={"0": True, "1": False, "end": True, "fail": False, "remove": True, "terminate": True},
)


def _cloudgen_json(fields: Fields) -> bool:
    return "fw_rule" in fields and "app_rule" in fields


CLOUDGEN = LogParser(
    name="barracuda-firewall",
    title="Barracuda CloudGen (NextGen) Firewall F-series",
    aliases=("BARRACUDA_NEXT_GEN_FW", "BARRACUDA_NEXT_GEN_FW_SYSLOG", "BARRACUDA_NEXT_GEN_FW_WEBLOG",
             "BARRACUDA_NEXT_GEN_FW_WEBLOG_SYSLOG", "191", "192", "193", "194"),
    sample=(
        "2024 05 06 07:08:24 Info +00:00 Remove: type=FWD|proto=TCP|srcIF=eth1|srcIP=192.0.2.10|srcPort=50000|srcMAC=|"
        "dstIP=198.51.100.7|dstPort=443|dstService=https|dstIF=eth0|rule=web|info=Normal Operation|srcNAT=203.0.113.9|"
        "dstNAT=198.51.100.7|duration=15|count=1|receivedBytes=4711|sentBytes=815|receivedPackets=9|sentPackets=7|user=alice|"
        "protocol=HTTPS|application=Box|target=box.example|content=|urlcat=storage"
    ),
    start=any_of(_cloudgen, from_json("barracuda-firewall", _cloudgen_json, CLOUDGEN_JSON)),
    gives=ALL,
    certainty=0.96,
    marks=("srcIP=", "|", "fw_rule"),
)  # fmt: skip

PARSERS = (STORMSHIELD, CLAVISTER, WATCHGUARD, CLOUDGEN)
