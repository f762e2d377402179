"""Check Point: log exporter syslog, CEF, LEEF, Splunk, XML; SmartView Tracker exports; OPSEC LEA (`loc=…|time=…`).

Check Point "Log Exporter CP_R80/R81 Administration Guide" and "Log fields" (sk144192). `client_outbound_bytes` and
`sent_bytes` are client to server, `received_bytes` and `server_outbound_bytes` back. Rule actions are Accept, Drop, Reject, Encrypt …
"""

from __future__ import annotations

import re

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from casb.discovery import formats
from casb.discovery.entry import Entry, LineReader, Outcome
from casb.discovery.fieldmap import FieldMap
from casb.discovery.parser import HEADER, LogParser
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
)
from casb.discovery.times import Clock

_SOURCE = "checkpoint"

FIELDS = FieldMap(
    moments=(("date", "time"),),
    time=("time", "rt", "devtime", "start_time", "creation_time", "start", "lastupdatetime", "timestamp", "date", "end_time", "segment_time"),
    user=("src_user_name", "suser", "usrname", "user", "src user name", "source user name", "user_name", "auth_user", "source_user_name",
          "src_user", "sourceusername", "source user", "username", "src_user_dn"),
    client=("src", "source", "client_ip", "source_ip", "proxy_src_ip", "source ip", "sourceip"),
    device=("src_machine_name", "source_machine_name", "shost", "identhostname", "source machine name", "endpoint_hostname"),
    url=("resource", "url", "request", "web_server_type_url", "site_url"),
    host=("dst_domain_name", "dst_machine_hostname", "destinationdnsdomain", "dhost", "tls_server_host_name", "host_name", "sni", "domain_name", "host", "site"),
    port=("service", "dpt", "dstport", "destination port", "d_port"),
    dest=("dst", "destination", "dst_ip", "server_ip", "destination ip", "destinationip", "proxied_dst_ip"),
    up=("client_outbound_bytes", "sent_bytes", "out", "srcbytes", "client outbound bytes", "sent bytes", "bytesout", "client_to_server_bytes"),
    down=("server_outbound_bytes", "received_bytes", "in", "dstbytes", "server outbound bytes", "received bytes", "bytesin"),
    total=("bytes", "total_bytes", "browse_bytes", "totalbytes", "total bytes", "traffic"),
    action=("action", "act", "rule_action", "signature", "cef_action"),
    verdicts={
        "encrypt": True, "decrypt": True, "inspect": True, "bypass": True, "authorize": True, "detect": True,
        "key install": None, "ctl": None, "log in": None, "log out": None, "update": None, "prevent": False, "inform user": True,
        "inform": True, "ask user": True, "ask": True, "block": False, "redirect": False, "monitor": True, "allow": True,
    },
)  # fmt: skip

_MARKS = frozenset(
    "loguid origin ifdir rule_uid product service_id logid originsicname sequencenum i/f_dir orig flags "
    "has_accounting i/f_name blade uuid xlatesrc log_id".split()
)


def _mine(fields: Fields) -> bool:
    return len(_MARKS & fields.keys()) >= 2 and (
        "src" in fields or "dst" in fields or "product" in fields or "action" in fields
    )


def _refuse(fields: Fields) -> str | None:
    if not any(
        name in fields
        for name in (
            "dst",
            "destination",
            "resource",
            "url",
            "request",
            "dhost",
            "dst_domain_name",
            "destination ip",
            "destination_ip",
            "dst_ip",
        )
    ):
        return NO_TRAFFIC
    return None


def _exporter(clock: Clock) -> LineReader:
    """`[action:"Accept"; ifdir:"inbound"; …]`, also with `=` as the exporter's Splunk and generic forms have it."""

    def read(entry: Entry) -> Outcome:
        text = entry.text
        fields = formats.colon_pairs(text) if ':"' in text else None
        if not fields or not _mine(fields):
            return None
        why = _refuse(fields)
        return entry.skip(why) if why else FIELDS.event(fields, entry, _SOURCE, clock)

    return read


def _loggrabber(clock: Clock) -> LineReader:
    """`loc=1|time=10Apr2024 …|action=accept|orig=…`: fw1-loggrabber; and the exporter's `time=…|hostname=…` form."""

    def read(entry: Entry) -> Outcome:
        text = entry.text
        if text.count("|") >= 4 and "time=" in text and not text.startswith(("CEF:", "LEEF:")):
            fields = _barred(text)
        elif "time=" in text and ("loguid=" in text or "loc=" in text):
            fields = entry.pairs
        else:
            return None
        if not _mine(fields):
            return None
        why = _refuse(fields)
        return entry.skip(why) if why else FIELDS.event(fields, entry, _SOURCE, clock)

    return read


def _barred(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in text.split("|"):
        key, equals, value = part.partition("=")
        if equals:
            fields.setdefault(key.strip().lower().rpartition(" ")[2], value.strip().strip('"'))
    return fields


def _xml(clock: Clock) -> LineReader:
    """One XML element a line, its fields as attributes or as children."""

    def read(entry: Entry) -> Outcome:
        text = entry.text
        start = text.find("<")
        if start < 0 or not text.rstrip().endswith(">") or len(text) > 64 * 1024:
            return None
        try:
            root = ElementTree.fromstring(text[start:])
        except (ElementTree.ParseError, DefusedXmlException, ValueError):
            return None
        fields = {str(key).lower(): str(value) for key, value in root.attrib.items()}
        for child in root:
            name = (child.get("name") or child.tag).lower()
            fields.setdefault(name, (child.get("value") or child.text or "").strip())
        if not _mine(fields):
            return None
        why = _refuse(fields)
        return entry.skip(why) if why else FIELDS.event(fields, entry, _SOURCE, clock)

    return read


_TRACKER = ("num", "date", "time", "interface", "origin", "type", "action", "service", "s_port", "src", "dst", "proto", "rule",
            "rule name", "current rule", "user", "info", "product", "src_machine_name", "src_user_name")  # fmt: skip
_TRACKED = re.compile(r'"\d+"\s+"(\d{1,2}[A-Z][a-z]{2}\d{4})"\s+"(\d{1,2}:\d\d:\d\d)"\s')


def _tracker(clock: Clock) -> LineReader:
    """SmartView Tracker's text export: quoted columns between blanks, a header or the default order."""
    columns: list[str] = list(_TRACKER)

    def read(entry: Entry) -> Outcome:
        nonlocal columns
        text = entry.text
        if text[:1] != '"' or '" "' not in text:
            return None
        if text.startswith('"Number"'):
            columns = [_TRACKED_NAMES.get(name, name) for name in (word.lower() for word in formats.words(text))]
            return entry.skip(HEADER)
        if not _TRACKED.match(text):
            return None
        fields = dict(zip(columns, _QUOTED.findall(text), strict=False))
        if "dst" not in fields:
            return entry.skip("no destination")
        return FIELDS.event(fields, entry, _SOURCE, clock)

    return read


_QUOTED = re.compile(r'"([^"]*)"')
_TRACKED_NAMES = {
    "number": "num", "source": "src", "destination": "dst", "source port": "s_port", "protocol": "proto", "information": "info",
    "source machine name": "src_machine_name", "source user name": "src_user_name",
}  # fmt: skip


def _columns(fields: Fields) -> bool:
    """SmartView Tracker's and SmartLog's exports."""
    known = fields.keys()
    return (
        {"source", "destination", "action"} <= known
        and bool(known & {"blade", "origin", "interface", "rule", "orig", "product"})
    ) or ({"src", "dst", "orig", "action"} <= known)


CHECKPOINT = LogParser(
    name=_SOURCE,
    title="Check Point",
    aliases=(
        "CHECKPOINT", "CHECKPOINT_SYSLOG", "CHECKPOINT_XML", "CHECKPOINT_XML_SYSLOG", "CHECKPOINT_SMART_VIEW_TRACKER",
        "CHECKPOINT_SMART_VIEW_TRACKER_SYSLOG", "CHECKPOINT_CEF", "CHECKPOINT_CEF_SYSLOG", "CHECKPOINT_OPSEC_LEA",
        "CHECKPOINT_OPSEC_LEA_SYSLOG", "SMART_VIEW_TRACKER", "OPSEC_LEA", "103", "140", "187", "188", "189", "190", "218",
        "219", "125", "145",
    ),
    sample=(
        '[action:"Accept"; flags:"444676"; ifdir:"inbound"; ifname:"eth1"; loguid:"{0x0,0x0,0x0,0x0}"; origin:"192.0.2.1"; '
        'time:"1714979289"; version:"5"; dst:"198.51.100.7"; product:"VPN-1 & FireWall-1"; proto:"6"; s_port:"50000"; '
        'service:"443"; src:"192.0.2.10"; src_user_name:"Alice (alice)"; sent_bytes:"815"; received_bytes:"4711"]'
    ),
    start=any_of(
        from_cef(_SOURCE, by_vendor("check point"), FIELDS, _refuse),
        from_leef(_SOURCE, by_vendor("check point"), FIELDS, _refuse),
        _exporter,
        _loggrabber,
        from_json(_SOURCE, _mine, FIELDS, _refuse),
        _xml,
        _tracker,
        from_header(_SOURCE, _columns, FIELDS, _refuse),
    ),
    gives=ALL,
    certainty=0.95,
)  # fmt: skip

PARSERS = (CHECKPOINT,)
