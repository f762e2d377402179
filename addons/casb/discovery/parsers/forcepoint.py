"""Forcepoint and Websense: web security (CEF, LEEF, key=value, report CSV), NGFW (CEF, LEEF, CSV).

"Integrating Web Protection Solutions with SIEM": `bytes_out`/`out`/`srcBytes` were sent by the client, `bytes_in`/`in`/
`dstBytes` received; the user may be a directory path. "Forcepoint NGFW: Log fields": AccelapsedBytes as `Bytes Sent/Rcvd`.
"""

from __future__ import annotations

import re

from casb.discovery.entry import Entry, LineReader, Outcome, address
from casb.discovery.fieldmap import FieldMap
from casb.discovery.formats import Event, delimited, spaced
from casb.discovery.parser import LogParser
from casb.discovery.parsers.support import (
    ALL,
    FLOW,
    NO_TRAFFIC,
    Fields,
    any_of,
    from_cef,
    from_header,
    from_json,
    from_leef,
    from_pairs,
)
from casb.discovery.times import Clock

_WEB = "forcepoint"
_NGFW = "forcepoint-ngfw"

WEB = FieldMap(
    moments=(("date", "time"), ("day", "time"), ("date", "hour")),
    time=("rt", "devtime", "timestamp", "date & time", "date/time", "datetime", "date time", "time", "date", "start"),
    user=("suser", "usrname", "loginid", "user", "username", "user name", "login name", "full name"),
    client=("src", "src_host", "source ip", "source ip address", "srcip", "src_ip", "connection ip", "client ip", "source", "connection ip address"),
    device=("shost", "source host name", "workstation", "device name", "hostname_client"),
    url=("request", "url", "full url", "requested url", "http_url", "url - full"),
    host=("dhost", "dst_host", "hostname", "url hostname", "domain", "host", "destination", "site", "url host"),
    scheme=("app", "protocol", "scheme"),
    path=("url path", "path"),
    port=("dpt", "dstport", "dst_port", "port"),
    dest=("dst", "dst_ip", "destination ip", "destination ip address", "destination", "server ip", "origin server ip"),
    up=("out", "bytes_out", "srcbytes", "bytes sent", "sent bytes", "bytes out", "request bytes", "data sent", "bytes_sent"),
    down=("in", "bytes_in", "dstbytes", "bytes received", "received bytes", "bytes in", "response bytes", "data received", "bytes_received"),
    total=("bandwidth", "total bytes", "bytes", "browse bandwidth"),
    action=("act", "action", "disposition", "policy action", "name", "signature", "cat"),
    status=("http_response", "http status", "http_status_code", "status", "response code"),
    verdicts={"permitted": True, "blocked": False, "1025": False, "1026": True},
)  # fmt: skip

NGFW = FieldMap(
    time=("rt", "devtime", "timestamp", "creation time", "time", "creationtime", "reception time"),
    user=("suser", "usrname", "user", "username", "srcuser"),
    client=("src", "src addr", "src addrs", "srcip", "source", "src_addr"),
    device=("shost", "srchost"),
    url=("request", "url", "http url"),
    host=("dhost", "requestclienthost", "sni", "http request host", "dns qname", "hostname"),
    dest=("dst", "dst addr", "dst addrs", "dstip", "destination", "dst_addr"),
    up=("out", "srcbytes", "accelapsedbytessent", "bytes sent", "acctxbytes", "bytessent", "acc tx bytes", "bytes_sent"),
    down=("in", "dstbytes", "bytes rcvd", "accrxbytes", "bytesreceived", "acc rx bytes", "bytes received", "bytes_received"),
    action=("act", "action", "signature", "name", "event", "situation"),
    port=("dpt", "dstport"),
    verdicts={"allow": True, "discard": False, "refuse": False, "terminate": False, "permit": True, "terminate (passive)": True,
              "wait for further actions": None, "wait for rpc reply": None, "continue": True, "block": False, "connection_closed": True,
              "connection_allowed": True, "connection_discarded": False, "connection_refused": False, "blacklist": False},
)  # fmt: skip


def _web_event(event: Event) -> bool:
    vendor, product = event.vendor.lower(), event.product.lower()
    return (vendor.startswith(("websense", "forcepoint")) and not _is_firewall(product)) or vendor == "forcepoint csg"


def _is_firewall(product: str) -> bool:
    return product.startswith(
        ("firewall", "ngfw", "ips", "alert", "audit", "next generation", "security engine", "engine")
    )


def _ngfw_event(event: Event) -> bool:
    vendor, product = event.vendor.lower(), event.product.lower()
    if vendor.startswith("stonesoft") or (vendor.startswith("mcafee") and _is_firewall(product)):
        return True
    return vendor.startswith("forcepoint") and _is_firewall(product)


def _refuse(fields: Fields) -> str | None:
    return None if any(key in fields for key in ("dst", "request", "dhost", "dst addr", "dst addrs")) else NO_TRAFFIC


def _web_pairs(fields: Fields) -> bool:
    return (
        fields.get("vendor", "").lower() in ("websense", "forcepoint")
        or {"src_host", "dst_host", "disposition"} <= fields.keys()
    )


_USER = re.compile(r"\buser=(.{1,300}?)\s(?:loginID|src_host)=", re.IGNORECASE)


def _whole_user(fields: dict[str, str], entry: Entry) -> dict[str, str]:
    """A user may be a directory path, with equals signs of its own."""
    user = _USER.search(entry.text)
    if user:
        fields["user"] = user[1]
    return fields


_NAMED = frozenset(("url hostname", "url", "full url", "hostname", "destination", "domain", "url - full", "site"))


def _web_columns(fields: Fields) -> bool:
    known = fields.keys()
    if not known & _NAMED:
        return False
    return bool(known & {"disposition", "policy action", "risk class", "super category", "parent category", "cloud app name", "filtering source",
                         "cloud app risk level", "web category", "connection name", "filter reason"}) or (
        bool(known & {"category", "categories"}) and bool(known & {"source ip", "source ip address", "connection ip"}) and bool(known & {"action"})
    )  # fmt: skip


def _ngfw_columns(fields: Fields) -> bool:
    return ("src addr" in fields and "dst addr" in fields) or ("src addrs" in fields and "dst addrs" in fields)


_CLOUD = (
    "date", "time", "user", "workstation", "category", "action", "risk class", "policy", "url", "connection ip", "destination ip", "source ip",
    "threat type", "filename", "user agent", "status", "request method",
)  # fmt: skip


def _cloud(clock: Clock) -> LineReader:
    """The cloud's exported report where no header names its columns."""

    def read(entry: Entry) -> Outcome:
        if entry.text.count(",") < 15:
            return None
        values = delimited(entry.text)
        if values is None or len(values) != len(_CLOUD) or ":" not in values[1]:
            return None
        if values[5].lower() not in ("allowed", "blocked", "permitted") or address(values[9]) is None:
            return None
        return WEB.event(dict(zip(_CLOUD, values, strict=True)), entry, _WEB, clock)

    return read


FORCEPOINT = LogParser(
    name=_WEB,
    title="Forcepoint and Websense web security",
    aliases=(
        "FORCEPOINT", "FORCEPOINT_SYSLOG", "FORCEPOINT_LEEF", "FORCEPOINT_LEEF_SYSLOG", "WEBSENSE_SIEM_CEF", "WEBSENSE_SIEM_CEF_SYSLOG",
        "WEBSENSE_V7_5", "WEBSENSE_V7_5_SYSLOG", "202", "203", "210", "211", "138", "152", "135", "151", "118", "150", "WEBSENSE",
    ),
    sample=(
        "CEF:0|Forcepoint|Security|8.5.4|222|Transaction permitted|1| act=permitted app=https dvc=192.0.2.1 dst=198.51.100.7 "
        "dhost=box.example dpt=443 src=192.0.2.10 spt=50000 suser=LDAP://192.0.2.2 OU\\=Users,DC\\=corp/Alice loginID=alice "
        "destinationTranslatedPort=50001 rt=1714979289000 in=4711 out=815 requestMethod=POST reason=- cs1Label=Policy "
        "cs1=Default request=https://box.example/up"
    ),
    start=any_of(
        from_cef(_WEB, _web_event, WEB, _refuse),
        from_leef(_WEB, _web_event, WEB),
        from_pairs(_WEB, _web_pairs, WEB, split=spaced, prepare=_whole_user),
        _cloud,
        from_header(_WEB, _web_columns, WEB),
        from_json(_WEB, _web_pairs, WEB),
    ),
    gives=ALL,
    certainty=0.95,
)  # fmt: skip

FORCEPOINT_NGFW = LogParser(
    name=_NGFW,
    title="Forcepoint NGFW (Stonesoft)",
    aliases=("FORCEPOINT_NGFW", "STONESOFT"),
    sample=(
        "CEF:0|FORCEPOINT|Firewall|6.10.0|70021|Connection_Closed|0|deviceExternalId=fw node 1 dvchost=192.0.2.1 dvc=192.0.2.1 "
        "src=192.0.2.10 dst=198.51.100.7 spt=50000 dpt=443 proto=6 act=Allow out=815 in=4711 rt=May 06 2024 07:08:09 app=HTTPS "
        "suser=alice"
    ),
    start=any_of(
        from_cef(_NGFW, _ngfw_event, NGFW, _refuse),
        from_leef(_NGFW, _ngfw_event, NGFW, _refuse),
        from_header(_NGFW, _ngfw_columns, NGFW, _refuse),
    ),
    gives=FLOW | {"user", "host", "url"},
    certainty=0.96,
)

PARSERS = (FORCEPOINT, FORCEPOINT_NGFW)
