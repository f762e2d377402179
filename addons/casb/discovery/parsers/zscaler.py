"""Zscaler NSS: web and firewall feeds as CSV, tabs, key=value, CEF, LEEF (QRadar) or JSON.

Zscaler "NSS Feed Output Format: Web Logs" and "Firewall Logs": `reqsize` is client to server, `respsize` back; `login` may be
a location instead of a person. The default web CSV begins `time, login, proto, url, action, …`.
"""

from __future__ import annotations

from casb.discovery.entry import Entry, LineReader, Outcome, address, named, number, target, traffic, verdict
from casb.discovery.fieldmap import FieldMap
from casb.discovery.formats import Event, delimited
from casb.discovery.parser import LogParser
from casb.discovery.parsers.support import (
    ALL,
    NO_TRAFFIC,
    Fields,
    any_of,
    by_vendor,
    from_cef,
    from_header,
    from_json,
    from_leef,
    from_pairs,
)
from casb.discovery.times import Clock

_SOURCE = "zscaler"
_TIMES = (
    "devtime",
    "datetime",
    "event.datetime",
    "event.time",
    "time",
    "event.epochtime",
    "epochtime",
    "rt",
    "eventtime",
    "start",
    "timestamp",
    "start_time",
    "sourcetime",
)

FIELDS = FieldMap(
    time=_TIMES,
    user=("usrname", "login", "user", "elogin", "event.user", "event.login", "event.elogin", "suser", "username",
          "ztunnel_user"),
    client=("src", "cip", "cintip", "event.cintip", "event.cip", "clientip", "csip", "event.csip", "clientinternalip", "srcip", "event.clientip",
            "event.clientpublicip", "cpubip", "event.cpubip", "clientpublicip", "ssip", "tsip", "src_ip",
            "src_internal_ip", "clt_sip", "event.clt_sip", "clientsourceip"),
    device=("devicehostname", "event.devicehostname", "shost", "devname"),
    url=("url", "eurl", "event.url", "event.eurl", "request", "requesturl"),
    host=("host", "ehost", "dns_req", "event.dns_req", "dns_reqname", "event.host", "event.hostname", "hostname", "fqdn", "dhost", "event.cdfqdn", "cdfqdn", "ecdfqdn", "domain"),
    scheme=("proto", "event.proto", "event.protocol", "protocol", "app"),
    port=("dpt", "cdport", "event.cdport"),
    dest=("dst", "sip", "event.sip", "serverip", "event.serverip", "cdip", "event.cdip", "srv_dip", "event.srv_dip", "sdip", "event.sdip", "destinationip", "dst_ip", "dest_ip"),
    up=("srcbytes", "reqsize", "event.reqsize", "requestsize", "event.requestsize", "out", "outbytes", "event.outbytes",
        "bytes_out", "uploadedbytes"),
    down=("dstbytes", "respsize", "event.respsize", "responsesize", "event.responsesize", "in", "inbytes", "event.inbytes",
          "bytes_in", "downloadedbytes"),
    total=("totalsize", "transactionsize", "event.transactionsize", "event.totalsize", "bytes", "totalbytes"),
    action=("action", "event.action", "act", "reqaction", "event.reqaction", "policy", "event.reason", "signature"),
)  # fmt: skip


def _mine_pairs(fields: Fields) -> bool:
    vendor = fields.get("vendor", "").lower()
    if vendor.startswith("zscaler"):
        return True
    return (
        ("urlsupercategory" in fields or "urlsupercat" in fields) and ("url" in fields or "hostname" in fields)
    ) or ("reqsize" in fields and "respsize" in fields and "login" in fields)


def _mine_json(fields: Fields) -> bool:
    if fields.get("sourcetype", "").startswith("zscaler"):
        return True
    if fields.get("vendor", fields.get("event.vendor", "")).lower().startswith("zscaler"):
        return True
    keys = {key.removeprefix("event.") for key in fields}
    return (
        {"reqsize", "respsize"} <= keys
        or {"urlsupercategory"} <= keys
        or {"urlsupercat"} <= keys
        or ({"cdip", "csip"} <= keys or {"dns_req", "clt_sip"} <= keys)
    )


def _mine_columns(fields: Fields) -> bool:
    return (
        "reqsize" in fields
        or "respsize" in fields
        or {"urlsupercat", "login"} <= set(fields)
        or {"event time", "transaction size", "user"} <= set(fields)
    )


def _refuse(fields: Fields) -> str | None:
    """Tunnels' own records: counters of a GRE or IPSec tunnel, which carries the traffic of the other feeds."""
    kind = fields.get("recordtype") or fields.get("event.recordtype") or fields.get("tunnelactionname") or ""
    return NO_TRAFFIC if kind.lower().startswith(("tunnel", "ipsec", "ike", "gre")) else None


def _mine_event(event: Event) -> bool:
    return by_vendor("zscaler")(event)


# The default web CSV: "%s{time}","%s{login}","%s{proto}","%s{eurl}","%s{action}","%s{appname}","%s{appclass}","%d{reqsize}",
# "%d{respsize}","%s{urlclass}","%s{urlsupercat}","%s{urlcat}","%s{malwarecat}","%s{threatname}",…,"%s{cintip}"/"%s{cip}",…
_WEB_PROTOCOLS = frozenset(
    "HTTP HTTPS FTP FTPOVERHTTP HTTP_PROXY TUNNEL TUNNEL_SSL SSL DNSOVERHTTPS WEBSOCKET WEBSOCKET_SSL".split()
)
_ACTIONS = frozenset(("allowed", "blocked"))


def _positional(clock: Clock) -> LineReader:
    def read(entry: Entry) -> Outcome:
        text = entry.text
        delimiter = "\t" if text.count("\t") > 8 else ","
        if text.count(delimiter) < 9:
            return None
        columns = delimited(text, delimiter)
        if columns is None or len(columns) < 10:
            return None
        columns = [column.strip() for column in columns]
        shift = _offset(columns)
        if shift is None:
            return None
        user, protocol, url, action = columns[shift : shift + 4]
        time = clock.parse(columns[0]) or entry.time(clock)
        if time is None:
            return entry.skip("no time that can be read")
        host, shown = target(url, scheme=protocol if protocol in ("HTTP", "HTTPS") else None)
        if host is None:
            return entry.skip("no destination")
        addresses = [found for found in map(_address, columns[shift + 6 :]) if found]
        return traffic(
            entry.number,
            time,
            _SOURCE,
            named(user),
            addresses[0] if addresses else None,
            None,
            host,
            shown,
            addresses[-1] if len(addresses) > 1 else None,
            number(columns[shift + 6]),
            number(columns[shift + 7]),
            None,
            verdict(action),
        )

    return read


def _address(text: str) -> str | None:
    return address(text) if "." in text or ":" in text else None


def _offset(columns: list[str]) -> int | None:
    """Where the user stands, recognised by protocol and action behind it."""
    for at in (1, 2):
        if columns[at + 1].upper() in _WEB_PROTOCOLS and columns[at + 3].lower() in _ACTIONS:
            return at
    return None


ZSCALER = LogParser(
    name=_SOURCE,
    title="Zscaler Internet Access (NSS)",
    aliases=(
        "ZSCALER",
        "ZSCALER_SYSLOG",
        "ZSCALER_CEF",
        "ZSCALER_QRADAR",
        "120",
        "143",
        "196",
        "197",
        "170",
        "171",
        "NSS",
    ),
    sample=(
        '"Mon May 06 07:08:09 2024","alice@corp.example","HTTPS","box.example/up","Allowed","Box","File Share","815","4711",'
        '"Business Use","Internet","File Share","None","None","0","192.0.2.10","203.0.113.9","198.51.100.7"'
    ),
    start=any_of(
        from_cef(_SOURCE, _mine_event, FIELDS, _refuse),
        from_leef(_SOURCE, _mine_event, FIELDS),
        _positional,
        from_pairs(_SOURCE, _mine_pairs, FIELDS, _refuse),
        from_json(_SOURCE, _mine_json, FIELDS, _refuse),
        from_header(_SOURCE, _mine_columns, FIELDS),
    ),
    gives=ALL,
    certainty=0.96,
)

PARSERS = (ZSCALER,)
