"""Any CEF, LEEF, key=value, JSON or headed CSV log whose field names say what they are.

The names are those of the standards (CEF, LEEF, ECS, OCSF, CIM) and those that products keep to.
"""

from __future__ import annotations

import re

from casb.discovery.fieldmap import FieldMap
from casb.discovery.parser import LogParser
from casb.discovery.parsers.support import ALL, Fields, from_cef, from_header, from_json, from_leef, from_pairs

FIELDS = FieldMap(
    moments=(("date", "time"), ("log_date", "log_time"), ("event_date", "event_time"), ("datestamp", "timestamp")),
    time=(
        "rt", "timestamp", "@timestamp", "devtime", "time", "datetime", "date_time", "eventtime", "event_time", "start", "end",
        "starttime", "start_time", "end_time", "endtime", "event.start", "event.created", "devicereceipttime", "receive_time",
        "generated_time", "ts", "_time", "logtime", "log_time", "eventdate", "timegenerated", "creationtime", "created",
        "request_time", "date", "eventtimestamp", "event_timestamp", "receipttime", "epoch", "unixtime", "when",
    ),
    zone=("tz", "timezone", "time_zone", "devtimezone"),
    user=(
        "user", "username", "usrname", "suser", "srcuser", "src_user", "user_name", "user.name", "source.user.name", "login",
        "userid", "user_id", "account", "accountname", "useremail", "user_email", "email", "user.email", "srcusername",
        "sourceusername", "source_user", "principal", "cs-username", "identity", "duser", "actor.user.name", "requester",
        "user name", "upn", "userprincipalname", "source user",
    ),
    client=(
        "src", "srcip", "src_ip", "sourceip", "source_ip", "source.ip", "clientip", "client_ip", "client.ip", "c-ip", "cip", "srcaddr",
        "src_addr", "sourceaddress", "source_address", "client", "clientaddress", "client_address", "ipaddress", "ip_address",
        "localip", "userip", "user_ip", "src_endpoint.ip", "ip", "source", "source ip", "client ip", "src ip", "source address",
        "originalclientip", "internal_ip", "internalip", "remote_addr", "c6a2", "sip", "saddr", "srcpreNAT", "identsrc",
    ),
    device=(
        "shost", "src_host", "srchost", "sourcehostname", "source_host", "devicename", "device_name", "device", "clienthostname",
        "client_host", "computername", "computer", "machine", "machinename", "workstation", "identhostname", "device.name",
        "client.name", "source.domain", "src_name", "srcname", "hostname_client", "src_hostname",
    ),
    url=(
        "url", "request", "requesturl", "request_url", "url.full", "url.original", "uri", "cs-uri", "fullurl", "full_url",
        "destinationurl", "destination_url", "desturl", "dest_url", "dst_url", "http.url", "httpurl", "link", "http_url",
        "destination url", "requested_url", "requesturi", "page",
    ),
    host=(
        "dhost", "dsthost", "dst_host", "dest_host", "destinationhostname", "destination.domain", "url.domain", "url_domain", "host", "hostname",
        "cs-host", "domain", "destination_host", "destinationhost", "urldomain", "sni", "server_name", "servername", "fqdn",
        "remoteurl", "dst_endpoint.hostname", "dest_domain", "dstname", "dst_domain", "destinationdomain", "qname", "query",
        "http.hostname", "tls.sni", "site", "dname", "destination host", "destination", "dns.question.name", "http_host",
        "cs_host",
    ),
    scheme=("scheme", "protocol", "app", "proto", "url.scheme", "service"),
    path=("path", "uri_path", "url.path", "cs-uri-stem", "urlpath", "cs-uri-path"),
    query=("uri_query", "url.query", "cs-uri-query"),
    port=("dpt", "dstport", "dst_port", "dest_port", "destinationport", "destination_port", "destination.port", "port",
          "remoteport", "dport"),
    dest=(
        "dst", "dstip", "dst_ip", "destip", "dest_ip", "destinationip", "destination_ip", "destination.ip", "serverip",
        "server_ip", "server.ip", "s-ip", "dstaddr", "dst_addr", "destinationaddress", "destination_address", "remoteip", "remote_ip",
        "dst_endpoint.ip", "r-ip", "c6a3", "dip", "daddr", "dest", "destination", "destination ip", "target_ip", "server ip",
        "dst ip", "destination address", "ip_dst", "upstream_addr",
    ),
    up=(
        "bytes_up", "bytesup", "sentbyte", "bytessent", "bytes_sent", "sentbytes", "sent_bytes", "bytesout", "bytes_out", "out", "srcbytes",
        "src_bytes", "uploaded", "uploadedbytes", "uploaded_bytes", "upload", "uploadbytes", "upload_bytes", "cs-bytes", "client_bytes",
        "clientbytes", "source.bytes", "requestsize", "request_size", "reqsize", "sent", "traffic.bytes_out", "requestbytes",
        "request_bytes", "cs_bytes", "bytes sent", "uploaded bytes", "tx_bytes", "txbytes", "http.request.bytes",
        "client.bytes", "bytes_to_server", "orig_bytes",
    ),
    down=(
        "bytes_down", "bytesdown", "rcvdbyte", "bytesreceived", "bytes_received", "receivedbytes", "received_bytes", "recv_bytes",
        "bytesin", "bytes_in", "in", "dstbytes", "dst_bytes", "downloaded", "downloadedbytes", "downloaded_bytes", "download",
        "downloadbytes", "download_bytes", "sc-bytes", "server_bytes", "serverbytes", "destination.bytes", "responsesize", "response_size", "respsize", "rcvd", "received",
        "traffic.bytes_in", "responsebytes", "response_bytes", "sc_bytes", "bytes received", "downloaded bytes", "rx_bytes",
        "rxbytes", "http.response.bytes", "server.bytes", "bytes_to_client", "resp_bytes", "rcvdbytes", "rcvd_bytes",
    ),
    total=("bytes", "total_bytes", "totalbytes", "bytes_total", "bytestotal", "network.bytes", "size", "total bytes", "total",
           "traffic.bytes", "bytecount"),
    action=("action", "act", "event.action", "deviceaction", "disposition", "verdict", "decision", "policyaction",
            "policy_action", "status_text", "result", "outcome", "event.outcome", "allowed_blocked", "blocked_allowed",
            "eventaction", "actiontaken", "event_action", "filter_action", "access", "reason", "eventtype"),
    status=("status", "httpstatus", "http_status", "statuscode", "status_code", "responsecode", "response_code", "sc-status",
            "http.response.status_code", "http_status_code"),
)  # fmt: skip


def _usable(fields: Fields) -> bool:
    """True where a destination and the time or the client are told."""
    return _any(fields, FIELDS.dest + FIELDS.host + FIELDS.url) and (
        _any(fields, FIELDS.client) or _any(fields, FIELDS.user)
    )


def _traffic(fields: Fields) -> bool:
    """As above for pairs, which any text can hold by chance."""
    return len(fields) >= 4 and _any(fields, FIELDS.dest + FIELDS.host + FIELDS.url) and _any(fields, FIELDS.client)


def _any(fields: Fields, names: tuple[str, ...]) -> bool:
    return any(name in fields for name in names)


def _columns(fields: Fields) -> bool:
    """A header: its cells are names, not values."""
    named = [name for name in fields if _NAME.match(name)]
    return len(named) >= 4 and len(named) * 4 >= len(fields) * 3 and _usable(fields) and (
        _any(fields, FIELDS.time) or ("date" in fields and "time" in fields)
    )  # fmt: skip


_NAME = re.compile(r"[a-z][a-z0-9 _.()@/\-]{0,60}\Z")


def _always(_: object) -> bool:
    return True


CEF = LogParser(
    name="cef",
    title="Generic CEF",
    aliases=("GENERIC_CEF", "179", "180"),
    sample=(
        "CEF:0|Example|Gateway|1.0|100|web request|3|rt=May 06 2024 07:08:09 UTC src=192.0.2.10 suser=alice "
        "dst=198.51.100.7 dhost=box.example request=https://box.example/up out=815 in=4711 act=allowed"
    ),
    start=from_cef("cef", _always, FIELDS),
    gives=ALL,
    certainty=0.6,
    marks=("CEF:",),
)

LEEF = LogParser(
    name="leef",
    title="Generic LEEF",
    aliases=("GENERIC_LEEF", "181", "182"),
    sample=(
        "LEEF:1.0|Example|Gateway|1.0|100|devTime=May 06 2024 07:08:09 UTC\tsrc=192.0.2.10\tusrName=alice\t"
        "dst=198.51.100.7\turl=https://box.example/up\tsrcBytes=815\tdstBytes=4711\taction=allowed"
    ),
    start=from_leef("leef", _always, FIELDS),
    gives=ALL,
    certainty=0.6,
    marks=("LEEF:",),
)

PAIRS = LogParser(
    name="keyvalue",
    title="Generic key=value",
    aliases=("KV", "KEY_VALUE"),
    sample=(
        'time="2024-05-06T07:08:09Z" src_ip=192.0.2.10 user="alice" dst_ip=198.51.100.7 host=box.example '
        "bytes_out=815 bytes_in=4711 action=allowed"
    ),
    start=from_pairs("keyvalue", _traffic, FIELDS),
    gives=ALL,
    certainty=0.35,
    marks=("=",),
)

JSON = LogParser(
    name="json",
    title="Generic JSON lines",
    aliases=("NDJSON", "GENERIC_JSON"),
    sample=(
        '{"timestamp":"2024-05-06T07:08:09Z","src_ip":"192.0.2.10","user":"alice","url":"https://box.example/up",'
        '"dst_ip":"198.51.100.7","bytes_out":815,"bytes_in":4711,"action":"allowed"}'
    ),
    start=from_json("json", _usable, FIELDS),
    gives=ALL,
    certainty=0.4,
    marks=("{",),
)

CSV = LogParser(
    name="csv",
    title="Generic CSV with a header",
    aliases=("GENERIC_CSV",),
    sample=(
        "timestamp,user,client_ip,url,dst_ip,bytes_sent,bytes_received,action\n"
        "2024-05-06T07:08:09Z,alice,192.0.2.10,https://box.example/up,198.51.100.7,815,4711,allowed"
    ),
    start=from_header("csv", _columns, FIELDS),
    gives=ALL,
    certainty=0.5,
)

PARSERS = (CEF, LEEF, PAIRS, JSON, CSV)
