"""What networks log beside the gateways: Zeek, Suricata, flow logs of clouds, packet filters, Windows, Defender for Endpoint."""

from __future__ import annotations

import re

from casb.discovery.entry import Entry, LineReader, Outcome, address, traffic
from casb.discovery.fieldmap import FieldMap
from casb.discovery.parser import HEADER, LogParser
from casb.discovery.parsers.support import FLOW, NO_TRAFFIC, Fields, any_of, from_header, from_json, from_pairs
from casb.discovery.parsers.w3c import w3c_reader
from casb.discovery.times import Clock

# --- Zeek: https://docs.zeek.org/en/master/logs/ ; the originator is the client. It watches and decides nothing.

ZEEK_FIELDS = FieldMap(
    time=("ts", "@timestamp"),
    user=("username",),
    client=("id.orig_h", "id_orig_h"),
    host=("host", "server_name", "query"),
    path=("uri",),
    port=("id.resp_p", "id_resp_p"),
    dest=("id.resp_h", "id_resp_h"),
    up=("request_body_len", "orig_bytes"),
    down=("response_body_len", "resp_bytes"),
)  # fmt: skip


def _zeek_tsv(clock: Clock) -> LineReader:
    columns: list[str] = []
    separator = "\t"

    def read(entry: Entry) -> Outcome:
        nonlocal columns, separator
        text = entry.text
        if text.startswith("#"):
            if text.startswith("#separator"):
                separator = " " if "x20" in text else "," if "x2c" in text.lower() else "\t"
            elif text.startswith("#fields"):
                columns = text.replace("#fields", "", 1).strip().lower().split(separator)
            elif not text.startswith(
                ("#set_separator", "#empty_field", "#unset_field", "#path", "#open", "#close", "#types")
            ):
                return None
            return entry.skip(HEADER)
        if "id.orig_h" not in columns:
            return None
        values = text.split(separator)
        if len(values) != len(columns):
            return None
        return ZEEK_FIELDS.event(dict(zip(columns, values, strict=True)), entry, "zeek", clock)

    return read


ZEEK = LogParser(
    name="zeek",
    title="Zeek (Bro) http, conn, ssl, dns",
    aliases=("BRO",),
    sample=(
        "#separator \\x09\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tmethod\thost\turi\trequest_body_len\tresponse_body_len\n"
        "1714979289.123456\tC1\t192.0.2.10\t50000\t198.51.100.7\t80\tPOST\tbox.example\t/up\t815\t4711"
    ),
    start=any_of(
        _zeek_tsv,
        from_json("zeek", lambda fields: "id.orig_h" in fields or "id_orig_h" in fields, ZEEK_FIELDS),
    ),
    gives=frozenset({"client_ip", "host", "url", "dest_ip", "bytes_up", "bytes_down"}),
    certainty=0.96,
)

# --- Suricata: https://docs.suricata.io/en/latest/output/eve/eve-json-format.html

SURICATA = LogParser(
    name="suricata",
    title="Suricata EVE",
    aliases=("SURICATA", "116"),
    sample=(
        '{"timestamp":"2024-05-06T07:08:09.123456+0000","flow_id":1,"event_type":"http","src_ip":"192.0.2.10","src_port":50000,'
        '"dest_ip":"198.51.100.7","dest_port":80,"proto":"TCP","http":{"hostname":"box.example","url":"/up","http_method":"GET","status":200,"length":4711}}'
    ),
    start=from_json(
        "suricata",
        lambda fields: (
            "event_type" in fields
            and "timestamp" in fields
            and ("flow_id" in fields or "src_ip" in fields or "stats.uptime" in fields)
        ),
        FieldMap(
            time=("timestamp",),
            client=("src_ip",),
            host=("http.hostname", "tls.sni", "dns.rrname", "dns.query.rrname", "quic.sni"),
            url=("http.url",),
            port=("dest_port",),
            dest=("dest_ip",),
            up=("flow.bytes_toserver", "netflow.bytes"),
            down=("flow.bytes_toclient", "http.length"),
            action=("alert.action", "drop.reason", "verdict.action"),
        ),
        lambda fields: None if "dest_ip" in fields else NO_TRAFFIC,
    ),
    gives=FLOW | {"host", "url"},
    certainty=0.95,
    marks=("event_type",),
)

# --- AWS VPC flow logs: one record is one direction, from `srcaddr` to `dstaddr`.

VPC_FIELDS = FieldMap(
    time=("start", "end"),
    client=("pkt-srcaddr", "pkt_srcaddr", "srcaddr"),
    dest=("pkt-dstaddr", "pkt_dstaddr", "dstaddr"),
    up=("bytes",),
    action=("action",),
)
_VPC = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status".split()


def _vpc(clock: Clock) -> LineReader:
    columns = _VPC

    def read(entry: Entry) -> Outcome:
        nonlocal columns
        values = entry.text.split()
        if "srcaddr" in values and "dstaddr" in values:
            columns = [value.lower() for value in values]
            return entry.skip(HEADER)
        if len(values) != len(columns):
            return None
        fields = dict(zip(columns, values, strict=True))
        if fields.get("log-status") in ("NODATA", "SKIPDATA"):
            return entry.skip(NO_TRAFFIC)
        if fields.get("action", "ACCEPT") not in ("ACCEPT", "REJECT") or address(fields.get("srcaddr", "")) is None:
            return None
        return VPC_FIELDS.event(fields, entry, "aws-vpc", clock)

    return read


AWS = LogParser(
    name="aws-vpc",
    title="AWS VPC flow logs",
    aliases=("AWS_VPC", "VPCFLOW"),
    sample="2 123456789012 eni-00000000 192.0.2.10 198.51.100.7 50000 443 6 10 815 1714979289 1714979349 ACCEPT OK",
    start=any_of(_vpc, from_json("aws-vpc", lambda fields: "srcaddr" in fields and "dstaddr" in fields, VPC_FIELDS)),
    gives=frozenset({"client_ip", "dest_ip", "bytes_up", "allowed"}),
    certainty=0.94,
)

# --- Azure Firewall: diagnostic logs, structured (AZFW…) and with a sentence in `msg`.

AZURE_FIELDS = FieldMap(
    time=("time", "timegenerated", "timegenerated [utc]", "properties.timegenerated"),
    client=("properties.sourceip", "sourceip", "from"),
    host=("properties.fqdn", "fqdn", "to-host", "properties.queryname", "queryname"),
    url=("properties.targeturl", "targeturl"),
    port=("properties.destinationport", "destinationport"),
    dest=("properties.destinationip", "destinationip", "to"),
    action=("properties.action", "action", "said"),
)  # fmt: skip
_AZURE = re.compile(r"request from (\S+) to (\S+?)(?:\.(?=\s|$))?(?:\s|$)")
_AZURE_ACTION = re.compile(r"Action: (\w+)")


def _azure(clock: Clock) -> LineReader:
    def read(entry: Entry) -> Outcome:
        if "zureFirewall" not in entry.text and "AZFW" not in entry.text and "AZUREFIREWALLS" not in entry.text:
            return None
        value = entry.json
        if value is None:
            return None
        fields = dict(value)
        said = fields.get("properties.msg", fields.get("msg_s", fields.get("msg", "")))
        match = _AZURE.search(said)
        if match:
            fields["from"] = match[1]
            fields["to" if address(match[2]) else "to-host"] = match[2]
            action = _AZURE_ACTION.search(said)
            fields["said"] = action[1] if action else ""
        return AZURE_FIELDS.event(fields, entry, "azure-firewall", clock)

    return read


AZURE = LogParser(
    name="azure-firewall",
    title="Azure Firewall",
    aliases=("AZURE_FIREWALL", "AZFW"),
    sample=(
        '{"category":"AzureFirewallApplicationRule","time":"2024-05-06T07:08:09.123Z","resourceId":"/X/PROVIDERS/MICROSOFT.NETWORK/AZUREFIREWALLS/FW",'
        '"operationName":"AzureFirewallApplicationRuleLog","properties":{"msg":"HTTPS request from 192.0.2.10:50000 to box.example:443. Action: Allow. Rule: web"}}'
    ),
    start=_azure,
    gives=frozenset({"client_ip", "host", "dest_ip", "allowed"}),
    certainty=0.96,
    marks=("zureFirewall", "AZFW", "AZUREFIREWALLS"),
)

# --- Google Cloud VPC flow logs.

GCP = LogParser(
    name="gcp-vpc",
    title="Google Cloud VPC flow logs",
    aliases=("GCP_VPC",),
    sample=(
        '{"timestamp":"2024-05-06T07:08:09.123Z","logName":"projects/p/logs/compute.googleapis.com%2Fvpc_flows","jsonPayload":{"connection":'
        '{"src_ip":"192.0.2.10","src_port":50000,"dest_ip":"198.51.100.7","dest_port":443,"protocol":6},"bytes_sent":"815",'
        '"start_time":"2024-05-06T07:08:09Z","reporter":"SRC"}}'
    ),
    start=from_json(
        "gcp-vpc",
        lambda fields: (
            "jsonpayload.connection.dest_ip" in fields or ("connection.dest_ip" in fields and "bytes_sent" in fields)
        ),
        FieldMap(
            time=("jsonpayload.start_time", "start_time", "timestamp"),
            client=("jsonpayload.connection.src_ip", "connection.src_ip"),
            dest=("jsonpayload.connection.dest_ip", "connection.dest_ip"),
            up=("jsonpayload.bytes_sent", "bytes_sent"),
            action=("jsonpayload.disposition",),
        ),
    ),
    gives=frozenset({"client_ip", "dest_ip", "bytes_up"}),
    certainty=0.95,
    marks=("connection",),
)

# --- pf's filterlog (OPNsense, pfSense): https://docs.netgate.com/pfsense/en/latest/monitoring/logs/raw-filter-format.html


def _filterlog(clock: Clock) -> LineReader:
    def read(entry: Entry) -> Outcome:
        text = entry.text
        at = text.find("filterlog")
        if at >= 0:
            text = text[text.find(":", at) + 1 :].strip() if ":" in text[at:] else text
        if text.count(",") < 16:
            return None
        columns = text.split(",")
        if (
            len(columns) < 17
            or columns[6] not in ("pass", "block", "rdr", "nat", "binat", "match")
            or columns[8] not in ("4", "6")
        ):
            return None
        source, dest = (18, 19) if columns[8] == "4" else (15, 16)
        time = entry.time(clock)
        if time is None or len(columns) <= dest or address(columns[dest]) is None:
            return entry.skip("no destination" if time else "no time that can be read")
        return traffic(
            entry.number, time, "filterlog", None, address(columns[source]), None, None, None, address(columns[dest]),
            None, None, None, columns[6] != "block",
        )  # fmt: skip

    return read


FILTERLOG = LogParser(
    name="filterlog",
    title="OPNsense and pfSense filter log",
    aliases=("PFSENSE", "OPNSENSE"),
    sample=(
        "May  6 07:08:09 fw filterlog[4711]: 5,,,1000000103,em0,match,block,in,4,0x0,,64,4711,0,DF,6,tcp,60,192.0.2.10,198.51.100.7,"
        "50000,443,0,S,1,,65535,,mss"
    ),
    start=_filterlog,
    gives=frozenset({"client_ip", "dest_ip", "allowed"}),
    certainty=0.95,
    marks=(",match,", ",pass,", ",block,"),
)

# --- Linux: netfilter's LOG target, ufw, firewalld and what is built on them.

NETFILTER_FIELDS = FieldMap(
    client=("src",),
    dest=("dst",),
    port=("dpt",),
    action=("said",),
    verdicts={"": None, "a": True, "d": False, "r": False},
)
_SAID = re.compile(
    r"(ACCEPT|ALLOW\w*|PERMIT\w*|PASS\w*|AUDIT|DROP\w*|DEN\w+|BLOCK\w*|REJECT\w*|(?<=-)[ADR](?=\]))", re.IGNORECASE
)


def _said(fields: dict[str, str], entry: Entry) -> dict[str, str]:
    at = entry.text.find("IN=")
    words = _SAID.findall(entry.text[max(0, at - 120) : at]) if at >= 0 else []
    fields["said"] = words[-1].replace("AUDIT", "allow") if words else ""
    return fields


NETFILTER = LogParser(
    name="netfilter",
    title="Linux netfilter (iptables, nftables, ufw)",
    aliases=("IPTABLES", "UFW"),
    sample=(
        "May  6 07:08:09 host kernel: [ 4711.123456] [UFW BLOCK] IN=eth0 OUT=eth1 MAC=00:00:5e:00:53:01 SRC=192.0.2.10 DST=198.51.100.7 "
        "LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=4711 DF PROTO=TCP SPT=50000 DPT=443 WINDOW=64240 RES=0x00 SYN URGP=0"
    ),
    start=from_pairs(
        "netfilter",
        lambda fields: "src" in fields and "dst" in fields and "in" in fields and "out" in fields and "proto" in fields,
        NETFILTER_FIELDS,
        prepare=_said,
    ),
    gives=frozenset({"client_ip", "dest_ip", "allowed"}),
    certainty=0.95,
    marks=("IN=",),
)

# --- Windows Defender Firewall: pfirewall.log, local time.

WINDOWS = LogParser(
    name="windows-firewall",
    title="Windows Defender Firewall (pfirewall.log)",
    aliases=("PFIREWALL", "WINDOWS_FIREWALL"),
    sample=(
        "#Version: 1.5\n#Software: Microsoft Windows Firewall\n#Time Format: Local\n"
        "#Fields: date time action protocol src-ip dst-ip src-port dst-port size tcpflags tcpsyn tcpack tcpwin icmptype icmpcode info path\n"
        "2024-05-06 07:08:09 ALLOW TCP 192.0.2.10 198.51.100.7 50000 443 0 - 0 0 0 - - - SEND"
    ),
    start=w3c_reader("windows-firewall"),
    gives=frozenset({"client_ip", "dest_ip", "allowed"}),
    certainty=0.97,
)

# --- Defender for Endpoint: DeviceNetworkEvents, from advanced hunting or the streaming API.

DEFENDER_FIELDS = FieldMap(
    time=("timestamp", "properties.timestamp", "timegenerated", "time"),
    user=("initiatingprocessaccountupn", "properties.initiatingprocessaccountupn", "initiatingprocessaccountname", "properties.initiatingprocessaccountname"),
    client=("localip", "properties.localip"),
    device=("devicename", "properties.devicename"),
    url=("remoteurl", "properties.remoteurl"),
    dest=("remoteip", "properties.remoteip"),
    port=("remoteport", "properties.remoteport"),
    action=("actiontype", "properties.actiontype"),
    verdicts={"connectionsuccess": True, "connectionfailed": None, "connectionrequest": None, "connectionfound": True, "connectionattempt": None,
              "httpconnectioninspected": True, "sslconnectioninspected": True, "dnsconnectioninspected": True, "networksignatureinspected": True,
              "connectionacknowledged": True},
)  # fmt: skip


def _defender(fields: Fields) -> bool:
    if "NetworkEvents" not in fields.get("category", "NetworkEvents"):
        return False
    return ("actiontype" in fields and "remoteip" in fields) or (
        "properties.actiontype" in fields and "properties.remoteip" in fields
    )


def _not_outward(fields: Fields) -> str | None:
    kind = (fields.get("actiontype") or fields.get("properties.actiontype") or "").lower()
    if kind.startswith(("inbound", "listening", "connectionacknowledged")):
        return "an inbound connection"
    aims = ("remoteip", "remoteurl", "properties.remoteip", "properties.remoteurl")
    return None if any(fields.get(key) for key in aims) else NO_TRAFFIC


DEFENDER = LogParser(
    name="defender-network",
    title="Microsoft Defender for Endpoint (DeviceNetworkEvents)",
    aliases=("WDATP", "195", "DEVICENETWORKEVENTS"),
    sample=(
        '{"Timestamp":"2024-05-06T07:08:09.123Z","DeviceId":"d","DeviceName":"pc1.corp.example","ActionType":"ConnectionSuccess",'
        '"RemoteIP":"198.51.100.7","RemotePort":443,"RemoteUrl":"box.example","LocalIP":"192.0.2.10","InitiatingProcessAccountUpn":"alice@corp.example"}'
    ),
    start=any_of(
        from_json("defender-network", _defender, DEFENDER_FIELDS, _not_outward),
        from_header("defender-network", _defender, DEFENDER_FIELDS, _not_outward),
    ),
    gives=frozenset({"user", "client_ip", "device", "host", "url", "dest_ip", "allowed"}),
    certainty=0.96,
)


PARSERS = (ZEEK, SURICATA, AWS, AZURE, GCP, FILTERLOG, NETFILTER, WINDOWS, DEFENDER)
