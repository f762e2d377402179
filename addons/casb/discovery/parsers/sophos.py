"""Sophos: UTM (SG), Firewall (XG, SFOS) and Cyberoam.

"Sophos UTM logfile reference": `httpproxy` lines, `size` is what was sent to the client; "Sophos Firewall Syslog Guide":
`sent_bytes` leaves the client, `recv_bytes` comes back, the time zone stands in `timezone`.
"""

from __future__ import annotations

from casb.discovery.entry import Entry
from casb.discovery.fieldmap import FieldMap
from casb.discovery.parser import LogParser
from casb.discovery.parsers.support import ALL, NO_TRAFFIC, Fields, from_pairs

UTM = FieldMap(
    time=("timestamp",),
    user=("user", "srcuser"),
    client=("srcip",),
    device=("device_name", "srchost"),
    url=("url",),
    host=("dsthost",),
    dest=("dstip",),
    down=("size",),
    action=("action", "name"),
    status=("statuscode",),
    verdicts={"log": True, "dns request": True, "nat": True, "wifi": None, "masq": True, "warn": False},
)

FIREWALL = FieldMap(
    moments=(("date", "time"),),
    time=("timestamp", "start_time", "eventtime"),
    zone=("timezone",),
    user=("user_name", "user", "username"),
    client=("src_ip", "srcip"),
    device=("src_host", "hostname_client"),
    url=("url", "http_url"),
    host=("domain", "domainname", "host", "sni", "httphost", "server_name"),
    dest=("dst_ip", "dstip"),
    port=("dst_port",),
    scheme=("log_component_scheme", "app_protocol"),
    up=("sent_bytes", "bytes_sent"),
    down=("recv_bytes", "received_bytes", "bytes_received"),
    action=("log_subtype", "status", "action", "con_event"),
    verdicts={
        "allowed": True, "denied": False, "allow": True, "deny": False, "start": True, "stop": True, "interim": True, "detect": True,
        "drop": False, "clean": True, "virus": False, "pua": False, "do not decrypt": True, "decrypt": True, "reject": False,
        "information": None, "allow session": True, "deny session": False, "warned": False, "overridden": True, "would deny": True,
    },
)  # fmt: skip


def _utm(fields: Fields) -> bool:
    return "id" in fields and "sys" in fields and "sub" in fields


def _utm_refuse(fields: Fields) -> str | None:
    return None if "dstip" in fields or "url" in fields else NO_TRAFFIC


def _prepare_utm(fields: dict[str, str], _: Entry) -> dict[str, str]:
    if fields.get("url", "").startswith("/") and fields.get("server"):
        fields["dsthost"] = fields["server"]
    return fields


def _firewall(fields: Fields) -> bool:
    return (
        "log_type" in fields
        and "log_component" in fields
        and ("log_id" in fields or "device_id" in fields or "device_model" in fields)
    )


def _cyberoam(fields: Fields) -> bool:
    return _firewall(fields) and (
        fields.get("device_name", "").upper().startswith("CR")
        or "deployment_mode" in fields
        or fields.get("device") == "CR"
    )


def _xg(fields: Fields) -> bool:
    return _firewall(fields) and not _cyberoam(fields)


def _refuse(fields: Fields) -> str | None:
    if any(fields.get(key) for key in ("dst_ip", "dstip", "url", "domain", "domainname")):
        return NO_TRAFFIC if fields["log_type"].lower() in ("event", "system health", "wireless protection") else None
    return NO_TRAFFIC


SG = LogParser(
    name="sophos-sg",
    title="Sophos UTM (SG)",
    aliases=("SOPHOS_SG", "SOPHOS_SG_SYSLOG", "130", "148", "SOPHOS_UTM"),
    sample=(
        '2024:05:06-07:08:09 utm httpproxy[4711]: id="0001" severity="info" sys="SecureWeb" sub="http" name="http access" '
        'action="pass" method="GET" srcip="192.0.2.10" dstip="198.51.100.7" user="alice" statuscode="200" cached="0" '
        'size="4711" request="0x1" url="https://box.example/up" category="175"'
    ),
    start=from_pairs("sophos-sg", _utm, UTM, _utm_refuse, prepare=_prepare_utm),
    gives=ALL - {"bytes_up"},
    certainty=0.96,
    marks=("sys=",),
)

XG = LogParser(
    name="sophos-xg",
    title="Sophos Firewall (XG, XGS, SFOS)",
    aliases=("SOPHOS_XG", "SOPHOS_XG_SYSLOG", "198", "199", "SFOS"),
    sample=(
        'device="SFW" date=2024-05-06 time=07:08:09 timezone="UTC" device_name="XG" device_id=S000000000000A '
        'log_id=050901616001 log_type="Content Filtering" log_component="HTTP" log_subtype="Allowed" priority=Information '
        'user_name="alice" url="https://box.example/up" domain=box.example src_ip=192.0.2.10 dst_ip=198.51.100.7 '
        "protocol=TCP src_port=50000 dst_port=443 sent_bytes=815 recv_bytes=4711"
    ),
    start=from_pairs("sophos-xg", _xg, FIREWALL, _refuse),
    gives=ALL,
    certainty=0.96,
    marks=("log_component=",),
)

CYBEROAM = LogParser(
    name="cyberoam",
    title="Sophos Cyberoam",
    aliases=("SOPHOS_CYBEROAM", "SOPHOS_CYBEROAM_SYSLOG", "162", "163"),
    sample=(
        'date=2024-05-06 time=07:08:09 timezone="UTC" device_name="CR50iNG" device_id=C000000000-AAAAAA '
        'deployment_mode="Route" log_id=050901616001 log_type="Content Filtering" log_component="HTTP" '
        'log_subtype="Allowed" priority=Information fw_rule_id=1 user_name="alice" url="http://box.example/up" '
        "src_ip=192.0.2.10 dst_ip=198.51.100.7 src_port=50000 dst_port=80 sent_bytes=815 recv_bytes=4711"
    ),
    start=from_pairs("cyberoam", _cyberoam, FIREWALL, _refuse),
    gives=ALL,
    certainty=0.97,
    marks=("log_component=",),
)

PARSERS = (SG, XG, CYBEROAM)
