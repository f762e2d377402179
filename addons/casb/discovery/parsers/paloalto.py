"""Palo Alto Networks: PAN-OS TRAFFIC and THREAT records as CSV, CEF, LEEF or JSON; Prisma Access and Cortex Data Lake.

PAN-OS Administrator's Guide, "Syslog Field Descriptions": the columns are the same in PAN-OS 8 to 11, later releases only
append. `bytes_sent` is client to server. CEF as in Palo Alto's configuration guide says `in` for bytes sent.
"""

from __future__ import annotations

from datetime import datetime

from casb.discovery.entry import (
    Entry,
    LineReader,
    Outcome,
    address,
    host_of_url,
    named,
    number,
    target,
    traffic,
    verdict,
)
from casb.discovery.fieldmap import FieldMap
from casb.discovery.formats import delimited
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
)
from casb.discovery.times import Clock
from casb.model.discovery import Skipped, TrafficEvent

_SOURCE = "paloalto"
_OTHERS = frozenset(
    "DNS AUTH SYSTEM CONFIG USERID HIPMATCH HIP-MATCH CORRELATION GLOBALPROTECT GTP SCTP AUTHENTICATION IPTAG AUDIT".split()
)


def _csv(clock: Clock) -> LineReader:
    def read(entry: Entry) -> Outcome:
        text = entry.text
        if text.count(",") < 6:
            return None
        columns = delimited(text[text.find(",") - 1 :] if text.find(",") > 1 else text)
        if columns is None or len(columns) < 7:
            return None
        kind = columns[3].strip().upper()
        if kind in ("TRAFFIC", "THREAT", "DECRYPTION", "TUNNEL", "START", "END", "URL"):
            return (
                _row(columns, kind, entry, clock)
                if len(columns) > 31
                else entry.skip("fewer columns than PAN-OS writes")
            )
        return entry.skip(NO_TRAFFIC) if kind in _OTHERS else None

    return read


def _row(columns: list[str], kind: str, entry: Entry, clock: Clock) -> TrafficEvent | Skipped | None:
    time = _precise(columns, clock) or clock.parse(columns[6]) or clock.parse(columns[1]) or entry.time(clock)
    dest, source = address(columns[8]), address(columns[7])
    if dest is None or time is None:
        return entry.skip("no time that can be read" if dest else "no destination")
    host = url = up = down = total = None
    if kind == "THREAT":
        host, url = _page(columns[31], columns[4], columns[25])
    elif kind == "DECRYPTION":
        host = _server_name(columns)
    elif len(columns) > 33:
        total, up, down = number(columns[31]), number(columns[32]), number(columns[33])
    return traffic(
        entry.number, time, _SOURCE, _user(columns[12]), source, None, host, url, dest, up, down,
        None if up is not None and down is not None else total, verdict(columns[30]),
    )  # fmt: skip


def _precise(columns: list[str], clock: Clock) -> datetime | None:
    """The time with its zone, which PAN-OS 10 and later append; the columns in front have the firewall's local time."""
    for column in columns[50:]:
        if len(column) == 29 and column[10] == "T":
            return clock.parse(column)
    return None


def _user(text: str) -> str | None:
    return None if text.startswith("x-fwd-for:") else named(text)


def _page(misc: str, subtype: str, port: str) -> tuple[str | None, str | None]:
    """The URL of a URL record; in other records of this type the field may be a file's name."""
    if not misc or (subtype != "url" and "/" not in misc):
        return None, None
    if host_of_url(misc) is None:
        return None, None
    return target(misc, scheme="https" if port == "443" else "http" if port == "80" else None)


def _server_name(columns: list[str]) -> str | None:
    for value in columns[60:100]:
        if "." in value and not value[:1].isdigit() and " " not in value:
            found = host_of_url(value)
            if found:
                return found
    return None


FIELDS = FieldMap(
    time=("time generated", "timegenerated", "time_generated", "generated_time", "generatetime", "devicetime", "start",
          "start time", "rt", "receive time", "receive_time", "timereceived", "devtime", "log_time", "time_received",
          "timestamp", "sessionstarttime", "end", "@timestamp", "event.created"),
    user=("usrname", "source user", "sourceuser", "source_user", "srcuser", "suser", "sourceusername", "source_user_info.name",
          "users", "srcusername", "src_user", "user"),
    client=("src", "source address", "source_address", "sourceaddress", "source_ip.value", "source_ip", "srcip", "sourceip",
            "src_ip", "c6a2", "source ip"),
    device=("shost", "srchost", "source_device_host", "sourcedevicehost", "source hostname", "src_host",
            "source_device_hostname", "sourcehostname"),
    url=("request", "url", "misc", "requesturl", "uri", "url/filename", "url_or_filename"),
    host=("dhost", "url_domain", "urldomain", "destinationhostname", "sni", "server_name_indication", "dsthost",
          "panosurldomain"),
    dest=("dst", "destination address", "destination_address", "dest_address", "destinationaddress", "dest_ip.value", "dest_ip",
          "dstip", "destinationip", "dst_ip", "c6a3", "destination_ip", "destination ip"),
    port=("dpt", "destination port", "dest_port", "destinationport", "dstport"),
    up=("srcbytes", "bytes sent", "bytes_sent", "bytessent", "sentbytes", "panosbytessent"),
    down=("dstbytes", "bytes received", "bytes_received", "bytesreceived", "receivedbytes", "panosbytesreceived"),
    total=("totalbytes", "bytes", "bytes_total", "bytestotal", "total bytes", "flexnumber1"),
    action=("action", "act", "action.value", "deviceaction", "panosaction", "signature"),
)  # fmt: skip
_CEF = FieldMap(**{
    **{name: getattr(FIELDS, name) for name in ("user", "client", "device", "url", "host", "dest", "port", "total", "action")},
    "time": ("rt", "start", "panostimegenerated", "end", "devicetime"),
    "up": ("in", *FIELDS.up), "down": ("out", *FIELDS.down),
})  # fmt: skip


_KINDS = ("type", "logtype", "log_type", "log_type.value", "name", "signature", "cat")


def _refuse(fields: Fields) -> str | None:
    kinds = {fields.get(key, "").upper() for key in _KINDS}
    return NO_TRAFFIC if kinds & _OTHERS and not kinds & {"TRAFFIC", "THREAT", "DECRYPTION"} else None


def _mine_json(fields: Fields) -> bool:
    kind = (
        fields.get("logtype") or fields.get("log_type") or fields.get("log_type.value") or fields.get("type") or ""
    ).upper()
    if kind.isdecimal() and {"time_generated", "sub_type", "source_ip", "dest_ip"} <= fields.keys():
        return True  # Cortex Data Lake may write the type's number.
    if kind not in ("TRAFFIC", "THREAT", "URL", "DECRYPTION", "FILE", *_OTHERS):
        return False
    return any(
        key in fields
        for key in (
            "vendorname",
            "vendor_name",
            "deviceseverity",
            "panosvirtualsystem",
            "logsubtype",
            "devicesn",
            "log_source_id",
            "logsourceid",
            "sourceaddress",
            "source_address",
            "device_sn",
            "subtype",
            "log_subtype",
            "log_source",
            "virtual_system",
            "vsys",
        )
    )


def _mine_header(fields: Fields) -> bool:
    return (
        "source address" in fields
        and "destination address" in fields
        and ("generate time" in fields or "type" in fields)
    )


PALOALTO = LogParser(
    name=_SOURCE,
    title="Palo Alto Networks (PAN-OS, Prisma Access, Cortex Data Lake)",
    aliases=("PALO_ALTO", "PALO_ALTO_SYSLOG", "PALO_ALTO_LEEF", "112", "126", "208", "209", "PAN", "PANOS", "PRISMA"),
    sample=(
        "1,2024/05/06 07:08:09,007000000001,TRAFFIC,end,2305,2024/05/06 07:08:09,192.0.2.10,198.51.100.7,0.0.0.0,0.0.0.0,"
        "web,corp\\alice,,ssl,vsys1,trust,untrust,ae1,ae2,fwd,2024/05/06 07:08:09,4711,1,50000,443,0,0,0x19,tcp,allow,"
        "5526,815,4711,20,2024/05/06 07:07:54,15,storage,,1,0x0,US,US,,9,11,tcp-fin"
    ),
    start=any_of(
        _csv,
        from_cef(_SOURCE, by_vendor("palo alto"), _CEF, _refuse),
        from_leef(_SOURCE, by_vendor("palo alto"), FIELDS, _refuse),
        from_json(_SOURCE, _mine_json, FIELDS, _refuse),
        from_header(_SOURCE, _mine_header, FIELDS, _refuse),
    ),
    gives=ALL,
    certainty=0.98,
)

PARSERS = (PALOALTO,)
