"""McAfee and Skyhigh Web Gateway: the default access log (brackets and quotes), its key=value form, the cloud's CSV.

"Web Gateway Product Guide", access log: `time_stamp "auth_user" src_ip status_code "req_line" "categories" "rep_level"
"media_type" bytes_to_client [bytes_from_client] "user_agent" "virus_name" "block_res"`; a header line may name others.
"Skyhigh SSE: Reporting Fields" for the cloud.
"""

from __future__ import annotations

import re

from casb.discovery import formats
from casb.discovery.entry import Entry, LineReader, Outcome, address, by_status, named, number, target, traffic
from casb.discovery.fieldmap import FieldMap
from casb.discovery.parser import HEADER, LogParser
from casb.discovery.parsers.support import (
    ALL,
    Fields,
    any_of,
    by_vendor,
    from_cef,
    from_header,
    from_json,
    from_leef,
    from_pairs,
    over,
)
from casb.discovery.times import Clock

_SOURCE = "skyhigh"

FIELDS = FieldMap(
    time=("request_timestamp_epoch", "time_stamp", "request_timestamp", "date", "timestamp", "datetime", "rt", "devtime", "time"),
    user=("auth_user", "username", "user_name", "user", "usrname", "suser"),
    client=("src_ip", "client_ip", "source_ip", "src", "c_ip"),
    device=("client_host_name", "shost"),
    url=("req_url", "url", "request"),
    host=("requested_host", "destination_host", "host", "url_host", "dhost", "request_host"),
    path=("requested_path", "path", "url_path"),
    scheme=("uri_scheme", "protocol", "scheme"),
    port=("destination_port", "port"),
    dest=("dst_ip", "destination_ip", "server_ip", "dst"),
    up=("bytes_from_client", "client_to_server_bytes", "source_bytes", "client_bytes", "bytes_sent", "srcbytes", "out"),
    down=("bytes_to_client", "server_to_client_bytes", "destination_bytes", "server_bytes", "bytes_received", "dstbytes", "in"),
    action=("result", "action", "block_result", "act", "block_reason"),
    status=("status_code", "http_status_code", "status"),
    verdicts={"observed": True, "denied": False, "blocked": False, "": None, "0": True},
)  # fmt: skip

_LINE = re.compile(
    r'\[([^\]]{10,40})\]\s+"([^"]*)"\s+([0-9a-fA-F.:]+)\s+(?:([0-9a-fA-F.:]+)\s+)?(\d{1,3})\s+"(?:([A-Z_-]+) )?(\S*?)(?: HTTP/[\d.]+)?"\s*(.*)\Z'
)
_SIZES = re.compile(r'(?:^|\s)(\d+)(?:\s+(\d+))?(?=\s+"|\s*$)')
_BLOCK = re.compile(r'"(\d{1,3})"')


def _access(clock: Clock) -> LineReader:
    columns: list[str] = []

    def read(entry: Entry) -> Outcome:
        nonlocal columns
        text = entry.text
        if text.startswith("#") and "time_stamp" in text:
            columns = [name.strip('"').lower() for name in text.lstrip("# ").split()]
            return entry.skip(HEADER)
        if text[:1] != "[":
            return None
        if columns:
            values = formats.words(text)
            if len(values) == len(columns):
                return FIELDS.event(_line_of(dict(zip(columns, values, strict=True))), entry, _SOURCE, clock)
        return _default(text, entry, clock)

    return read


def _line_of(fields: dict[str, str]) -> dict[str, str]:
    parts = fields.get("req_line", fields.get("http_request_first_line", "")).split(" ")
    if len(parts) >= 2:
        fields["req_url"] = parts[1]
    return fields


def _default(text: str, entry: Entry, clock: Clock) -> Outcome:
    match = _LINE.match(text)
    if match is None:
        return None
    stamp, user, client, dest, status, _, url, rest = match.groups()
    time = clock.parse(stamp)
    if time is None:
        return entry.skip("no time that can be read")
    host, shown = target(url)
    if host is None:
        return entry.skip("no destination")
    sizes = _SIZES.search(rest)
    block = _BLOCK.findall(rest)
    denied = bool(block) and block[-1] not in ("0", "00")
    return traffic(
        entry.number, time, _SOURCE, named(user), address(client), None, host, shown, address(dest) or address(host),
        number(sizes[2]) if sizes else None, number(sizes[1]) if sizes else None, None, False if denied else by_status(status),
    )  # fmt: skip


def _pairs_mine(fields: Fields) -> bool:
    return ("http_request_first_line" in fields and "source_ip" in fields) or (
        "client_to_server_bytes" in fields and "server_to_client_bytes" in fields
    )


def _prepare(fields: dict[str, str], _: Entry) -> dict[str, str]:
    return _line_of(fields)


def _siem_mine(fields: Fields) -> bool:
    return {"srcip", "urlp", "mtd", "bytes", "rule"} <= fields.keys()


def _siem(fields: dict[str, str], _: Entry) -> dict[str, str]:
    """`bytes` is from the client, to the server, from the server, to the client; `status` the code and the block's."""
    sizes = fields.pop("bytes").split("/")
    if len(sizes) == 4:
        fields["bytes_from_client"], fields["bytes_to_client"] = sizes[0], sizes[3]
    fields["status"], _slash, block = fields.get("status", "").partition("/")
    if block:
        fields["action"] = "allowed" if block == "0" else "blocked"
    return fields


SIEM = over(FIELDS, client=("srcip",), dest=("destip",), host=("dhost",), scheme=(), action=("action",), port=("urlp",))


def _spaced(text: str) -> dict[str, str]:
    return formats.spaced(text) if "_bytes=" in text else {}


# The cloud's columns where no header tells them.
_CLOUD = (
    "user_id", "username", "source_ip", "http_action", "server_to_client_bytes", "client_to_server_bytes", "requested_host",
    "requested_path", "result", "virus", "request_timestamp_epoch", "request_timestamp", "uri_scheme", "category", "media_type",
    "application_type", "reputation", "last_rule", "http_status_code", "client_ip", "location", "block_reason",
)  # fmt: skip


def _cloud(clock: Clock) -> LineReader:
    def read(entry: Entry) -> Outcome:
        if entry.text.count(",") < 18:
            return None
        values = formats.delimited(entry.text)
        if values is None or len(values) < 19 or values[8] not in ("OBSERVED", "DENIED") or not values[10].isdecimal():
            return None
        return FIELDS.event(dict(zip(_CLOUD, values, strict=False)), entry, _SOURCE, clock)

    return read


def _columns(fields: Fields) -> bool:
    return "server_to_client_bytes" in fields or {"requested_host", "requested_path"} <= fields.keys()


SKYHIGH = LogParser(
    name=_SOURCE,
    title="McAfee and Skyhigh (Secure) Web Gateway",
    aliases=("MCAFEE_SWG", "MCAFEE_SWG_SYSLOG", "121", "144", "MCAFEE", "MWG"),
    sample=(
        '[06/May/2024:07:08:09 +0000] "CORP\\alice" 192.0.2.10 200 "GET https://box.example/up HTTP/1.1" "Online Storage" '
        '"Minimal Risk" "text/html" 4711 815 "Mozilla/5.0" "" "0" "Box"'
    ),
    start=any_of(
        _access,
        from_pairs(_SOURCE, _pairs_mine, FIELDS, prepare=_prepare, split=_spaced),
        from_pairs(_SOURCE, _siem_mine, SIEM, prepare=_siem),
        _cloud,
        from_header(_SOURCE, _columns, FIELDS),
        from_cef(
            _SOURCE,
            by_vendor("mcafee", "skyhigh", product=("web gateway", "secure web", "swg", "mwg", "gateway")),
            FIELDS,
        ),
        from_leef(
            _SOURCE,
            by_vendor("mcafee", "skyhigh", product=("web gateway", "secure web", "swg", "mwg", "gateway")),
            FIELDS,
        ),
        from_json(_SOURCE, _columns, FIELDS),
    ),
    gives=ALL,
    certainty=0.93,
)

PARSERS = (SKYHIGH,)
