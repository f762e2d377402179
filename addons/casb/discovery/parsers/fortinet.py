"""Fortinet: FortiGate, FortiOS and FortiProxy as key=value, comma-separated key=value, or CEF.

FortiOS Log Message Reference: `sentbyte` is client to server, `rcvdbyte` back; `eventtime` counts seconds (6.0) or
nanoseconds (6.2 and later); a traffic log's `action` is what happened to the session: `close`, `client-rst`, `server-rst`,
`timeout`, `accept`, `start` were allowed, `deny` was not. `ip-conn` is a session that could not be set up behind it.
"""

from __future__ import annotations

from casb.discovery.entry import Entry
from casb.discovery.fieldmap import FieldMap
from casb.discovery.parser import LogParser
from casb.discovery.parsers.support import ALL, NO_TRAFFIC, Fields, any_of, by_vendor, from_cef, from_pairs

_SOURCE = "fortigate"
_VERDICTS = {
    "accept": True, "close": True, "client-rst": True, "server-rst": True, "timeout": True, "start": True, "deny": False,
    "ip-conn": True, "dns": True, "passthrough": True, "blocked": False, "exempt": True, "filtered": False, "log-only": True,
    "detected": True, "dropped": False, "reset": False, "reset_client": False, "reset_server": False, "drop_session": False,
    "pass_session": True, "clear_session": False, "monitored": True, "analytics": True,
}  # fmt: skip

FIELDS = FieldMap(
    exact=("eventtime",),
    moments=(("date", "time"),),
    time=("itime", "timestamp", "logtime"),
    zone=("tz",),
    user=("user", "unauthuser", "srcuser", "authuser", "dstuser"),
    client=("srcip", "src", "src_ip", "clientip", "transip"),
    device=("srcname", "srchost", "devicename", "hostname_src"),
    url=("url",),
    host=("hostname", "qname", "dstname", "domain", "dsthost", "sni"),
    scheme=("service", "httpmethod_scheme", "proto_name"),
    port=("dstport", "dst_port"),
    dest=("dstip", "dst", "dst_ip", "tranip"),
    up=("sent-since", "sentbyte", "sent", "sentdelta", "reqlength", "tx"),
    down=("rcvd-since", "rcvdbyte", "rcvd", "rcvddelta", "resplength", "rx"),
    action=("utmaction_event", "action", "utmaction", "status"),
    verdicts=_VERDICTS,
)

_CEF = FieldMap(
    exact=("eventtime",),
    moments=(("date", "time"), ("deviceexternaldate", "deviceexternaltime")),
    time=("rt", "start", "end"),
    zone=("tz",),
    user=("suser", "user", "unauthuser", "duser"),
    client=("src", "srcip"),
    device=("shost", "srcname"),
    url=("request", "url"),
    host=("dhost", "hostname", "qname"),
    scheme=("app", "service"),
    port=("dpt",),
    dest=("dst", "dstip"),
    up=("out", "sentbyte"),
    down=("in", "rcvdbyte"),
    action=("act", "action", "utmaction"),
    verdicts=_VERDICTS,
)


def _plain(fields: dict[str, str]) -> dict[str, str]:
    """Fortinet's own fields by their names in other forms: FortiOS, FortiAnalyzer and relays put prefixes in front."""
    for key in list(fields):
        for prefix in ("ftntfgt", "fortinetfortigate", "ad.", "ftnt"):
            if key.startswith(prefix) and len(key) > len(prefix):
                fields.setdefault(key[len(prefix) :], fields[key])
                break
    return fields


def _prepare(fields: dict[str, str], _: Entry) -> dict[str, str]:
    if fields.get("logid", "").endswith("0000000020") and "sentdelta" in fields:
        # Interim statistics of a long session: the counters go on from the last ones.
        fields["sent-since"], fields["rcvd-since"] = fields["sentdelta"], fields.get("rcvddelta", "")
    if "remotename" in fields:  # FortiClient: `hostname` is its own.
        fields["srcname"], fields["hostname"] = fields.get("hostname", ""), fields["remotename"]
    return fields


def _mine(fields: Fields) -> bool:
    if "logid" in fields or "log_id" in fields or "devid" in fields or "device_id" in fields:
        return "type" in fields and ("devname" in fields or "devid" in fields or "vd" in fields or "logid" in fields)
    return "subtype" in fields and "srcip" in fields and "dstip" in fields and "policyid" in fields


def _refuse(fields: Fields) -> str | None:
    kind = fields.get("type", "").lower()
    if kind in ("event", "voip", "gtp", "config", "system"):
        return NO_TRAFFIC
    return None


def _refuse_cef(fields: Fields) -> str | None:
    kind = fields.get("cat", "") or fields.get("name", "")
    return NO_TRAFFIC if kind.lower().startswith("event") else None


FORTIGATE = LogParser(
    name=_SOURCE,
    title="Fortinet FortiGate, FortiOS and FortiProxy",
    aliases=("FORTIGATE", "FORTIGATE_SYSLOG", "FORTIOS", "FORTIOS_SYSLOG", "FORTIPROXY", "108", "136", "204", "205"),
    sample=(
        'date=2024-05-06 time=07:08:09 devname="fw" devid="FGT60E0000000001" logid="0000000013" type="traffic" '
        'subtype="forward" level="notice" vd="root" eventtime=1714979289 srcip=192.0.2.10 srcport=50000 '
        'srcintf="lan" dstip=198.51.100.7 dstport=443 dstintf="wan1" policyid=1 proto=6 action="close" user="alice" '
        'service="HTTPS" sentbyte=815 rcvdbyte=4711'
    ),
    start=any_of(
        from_pairs(_SOURCE, _mine, FIELDS, _refuse, prepare=_prepare),
        from_cef(_SOURCE, by_vendor("fortinet"), _CEF, _refuse_cef, prepare=_plain),
    ),
    gives=ALL,
    certainty=0.97,
    marks=("devid=", "devname=", "logid=", "log_id=", "device_id=", "Fortinet", "policyid="),
)


PARSERS = (FORTIGATE,)
