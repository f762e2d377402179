"""Netskope: transaction events (W3C with and without `#Fields`, CSV, JSON), alerts and page or network events as JSON or CEF.

"Transaction Event Fields" of the Netskope documentation: `cs-bytes` and `client_bytes` go up; times are UTC.
"""

from __future__ import annotations

from datetime import UTC

from casb.discovery import formats
from casb.discovery.entry import Entry, LineReader, Outcome, address, by_status, named, number, target, traffic
from casb.discovery.fieldmap import FieldMap
from casb.discovery.parser import LogParser
from casb.discovery.parsers.support import ALL, NO_TRAFFIC, Fields, any_of, by_vendor, from_cef, from_json, from_leef
from casb.discovery.parsers.w3c import w3c_reader
from casb.discovery.times import Clock

_SOURCE = "netskope"

FIELDS = FieldMap(
    time=("timestamp", "conn_starttime", "start_time", "rt", "devtime", "event_time", "x-cs-timestamp", "conn_endtime"),
    moments=(("date", "time"),),
    user=("user", "cs-username", "suser", "usrname", "userkey", "ur_normalized", "from_user"),
    client=("srcip", "src_ip", "userip", "c-ip", "src", "sourceip"),
    device=("hostname", "shost", "device_name", "x-cs-hostname"),
    url=("url", "request", "page"),
    host=("domain", "dsthost", "cs-host", "dhost", "dst_host", "sni"),
    scheme=("cs-uri-scheme", "protocol"),
    path=("cs-uri",),
    query=("cs-uri-query",),
    port=("dstport", "cs-uri-port", "dst_port"),
    dest=("dstip", "dst_ip", "s-ip", "dst", "x-cs-dst-ip"),
    up=("client_bytes", "cs-bytes", "out", "srcbytes"),
    down=("server_bytes", "sc-bytes", "in", "dstbytes"),
    total=("numbytes", "bytes"),
    action=("action", "act", "x-policy-action", "policy_action", "block"),
    status=("sc-status",),
    verdicts={"useralert": True, "alert": True, "detection": True, "quarantine": False, "legalhold": True, "blocktransaction": False,
              "": None, "restrictaccess": False, "proceed": True, "anomaly_detection": None, "encrypt": True, "yes": False, "no": True},
    otherwise=True,
)  # fmt: skip


def _json(fields: Fields) -> bool:
    return ("access_method" in fields and ("cci" in fields or "ccl" in fields or "app" in fields or "traffic_type" in fields)) or (
        "x-cs-access-method" in fields or ("cs-bytes" in fields and "x-cs-app" in fields) or "netskope_pop" in fields
        or ("ur_normalized" in fields and "ccl" in fields)
    )  # fmt: skip


def _refuse(fields: Fields) -> str | None:
    if fields.get("type") in ("admin_audit_logs", "audit"):
        return NO_TRAFFIC
    if not any(
        fields.get(key) for key in ("url", "domain", "dsthost", "dstip", "cs-host", "page", "request", "dst", "dhost")
    ):
        return NO_TRAFFIC
    return None


_DEFAULT = (
    "date", "time", "time-taken", "cs-bytes", "sc-bytes", "bytes", "c-ip", "s-ip", "cs-username", "cs-method", "cs-uri-scheme",
    "cs-uri-query", "cs-user-agent", "cs-content-type", "sc-status", "sc-content-type", "cs-dns", "cs-host", "cs-uri", "cs-uri-port",
)  # fmt: skip


def _headerless(clock: Clock) -> LineReader:
    """The default columns of transaction events where no `#Fields` names them."""
    utc = Clock(UTC, clock.now)

    def read(entry: Entry) -> Outcome:
        text = entry.text
        if text[4:5] != "-" or text[7:8] != "-":
            return None
        values = formats.delimited(text) if text[10:11] == "," else formats.words(text)
        if values is None or len(values) < 60 or not all(value.isdecimal() or value == "-" for value in values[2:6]):
            return None
        fields = dict(zip(_DEFAULT, values, strict=False))
        time = utc.parse(f"{fields['date']} {fields['time']}")
        if time is None:
            return entry.skip("no time that can be read")
        uri = fields["cs-uri"]
        host, url = target(
            None, fields["cs-host"] if fields["cs-host"] != "-" else fields["cs-dns"], scheme=fields["cs-uri-scheme"].replace("-", "") or None,
            path=uri if uri != "-" else None, query=fields["cs-uri-query"], port=fields["cs-uri-port"],
        )  # fmt: skip
        dest = address(fields["s-ip"])
        if host is None and dest is None:
            return entry.skip("no destination")
        return traffic(
            entry.number, time, _SOURCE, named(fields["cs-username"]), address(fields["c-ip"]), None, host, url, dest,
            number(fields["cs-bytes"]), number(fields["sc-bytes"]), None, by_status(fields["sc-status"]),
        )  # fmt: skip

    return read


NETSKOPE = LogParser(
    name=_SOURCE,
    title="Netskope",
    aliases=("NETSKOPE",),
    sample=(
        "#Fields: date time time-taken cs-bytes sc-bytes bytes c-ip s-ip cs-username cs-method cs-uri-scheme cs-uri-query "
        "sc-status cs-host cs-uri cs-uri-port x-cs-session-id x-cs-access-method x-cs-app\n"
        '2024-05-06 07:08:09 33 815 4711 5526 192.0.2.10 198.51.100.7 "alice@corp.example" GET https - 200 box.example /up 443 1 '
        '"Client" "Box"'
    ),
    start=any_of(
        w3c_reader(_SOURCE),
        from_json(_SOURCE, _json, FIELDS, _refuse),
        from_cef(_SOURCE, by_vendor("netskope"), FIELDS, _refuse),
        from_leef(_SOURCE, by_vendor("netskope"), FIELDS, _refuse),
        _headerless,
    ),
    gives=ALL,
    certainty=0.96,
)

PARSERS = (NETSKOPE,)
