"""Cloud gateways and web filters whose records name their fields: Cloudflare, Menlo, iboss, Corrata, Open Systems,
ContentKeeper, Wandera, Cato.

Each is recognised by its CEF or LEEF vendor, or by field names of its own; Cloudflare by "Logpush: Gateway DNS, HTTP, Network,
Zero Trust Network Sessions". Where a vendor publishes no list of names, those of the generic parsers are looked into as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields as attributes

from casb.discovery.fieldmap import FieldMap
from casb.discovery.formats import Event
from casb.discovery.parser import LogParser
from casb.discovery.parsers.generic import FIELDS as GENERIC
from casb.discovery.parsers.support import (
    ALL,
    NO_TRAFFIC,
    Fields,
    Refusal,
    any_of,
    from_cef,
    from_header,
    from_json,
    from_leef,
    from_pairs,
)


def _before(first: FieldMap) -> FieldMap:
    """A field map that looks into these fields first, then into those of the generic parsers."""
    merged: dict[str, object] = {}
    for attribute in attributes(FieldMap):
        own, common = getattr(first, attribute.name), getattr(GENERIC, attribute.name)
        merged[attribute.name] = own + common if isinstance(own, tuple) else own
    return FieldMap(**merged)  # type: ignore[arg-type]


def _vendor(*words: str) -> Callable[[Event], bool]:
    def mine(event: Event) -> bool:
        vendor = event.vendor.lower().replace(" ", "").replace("-", "")
        return vendor.startswith(words)

    return mine


def _named(word: str, *others: tuple[str, ...]) -> Callable[[Fields], bool]:
    """True for fields whose vendor or product is this word, or which have all of one of these sets of names."""

    def mine(fields: Fields) -> bool:
        for key in (
            "vendor",
            "product",
            "devicevendor",
            "device_vendor",
            "deviceproduct",
            "source_type",
            "sourcetype",
            "log_source",
            "event.provider",
        ):
            if word in fields.get(key, "").lower().replace(" ", ""):
                return True
        return any(all(name in fields for name in names) for names in others)

    return mine


def _parser(
    name: str, title: str, aliases: tuple[str, ...], sample: str, fields: FieldMap, *sets: tuple[str, ...], refuse: Refusal | None = None,
) -> LogParser:  # fmt: skip
    word = name.replace("-", "")
    mine = _named(word, *sets)
    return LogParser(
        name=name,
        title=title,
        aliases=aliases,
        sample=sample,
        start=any_of(
            from_cef(name, _vendor(word), fields, refuse),
            from_leef(name, _vendor(word), fields, refuse),
            from_json(name, mine, fields, refuse),
            from_pairs(name, mine, fields, refuse),
            from_header(name, _named("\0", *sets), fields, refuse),
        ),
        gives=ALL,
        certainty=0.93,
    )


CLOUDFLARE_FIELDS = FieldMap(
    time=("datetime", "sessionstarttime", "timestamp", "sessionendtime"),
    user=("email", "useremail"),
    client=("sourceip", "srcip", "sourceinternalip", "clientip"),
    device=("devicename",),
    url=("url",),
    host=("httphost", "queryname", "sni", "httphostname", "detectedhost"),
    port=("destinationport", "dstport"),
    dest=("destinationip", "originip", "dstip"),
    up=("clientbytes", "bytessent", "uploadedbytes"),
    down=("originbytes", "bytesreceived", "downloadedbytes"),
    action=("action", "resolverdecision", "connectionclosereason", "policydecision", "resourcerecordsdecision"),
    verdicts={"isolate": True, "noisolate": True, "noscan": True, "nodlp": True, "on": True, "off": True, "override": True, "l4_override": True,
              "safesearch": True, "egress": True, "scan": True, "unknown": None, "client_closed": True, "origin_closed": True, "client_idle_timeout": True},
    otherwise=True,
)  # fmt: skip

CLOUDFLARE = LogParser(
    name="cloudflare",
    title="Cloudflare Gateway (DNS, HTTP, network)",
    aliases=("CLOUDFLARE", "CLOUDFLARE_GATEWAY"),
    sample=(
        '{"AccountID":"0000","Action":"allow","Datetime":"2024-05-06T07:08:09Z","DestinationIP":"198.51.100.7","DestinationPort":443,'
        '"DeviceID":"d","DeviceName":"PC1","Email":"alice@corp.example","HTTPHost":"box.example","HTTPMethod":"POST","HTTPStatusCode":200,'
        '"SourceIP":"192.0.2.10","SourcePort":50000,"URL":"https://box.example/up"}'
    ),
    start=from_json(
        "cloudflare",
        lambda fields: (
            ("datetime" in fields or "sessionstarttime" in fields)
            and any(key in fields for key in ("queryname", "httphost", "sni", "sourceip"))
            and any(key in fields for key in ("email", "deviceid", "policyid", "accountid", "coloid", "sessionid"))
        ),
        CLOUDFLARE_FIELDS,
    ),
    gives=ALL,
    certainty=0.95,
    marks=("Datetime", "SessionStartTime", "datetime"),
)

MENLO = _parser(
    "menlo-security",
    "Menlo Security",
    ("MENLO", "MENLO_SECURITY_CEF", "224"),
    "CEF:0|Menlo Security|MSIP|2.0|100|web access|5|rt=1714979289000 suser=alice@corp.example src=192.0.2.10 dst=198.51.100.7 "
    "dhost=box.example request=https://box.example/up out=815 in=4711 act=allow",
    _before(
        FieldMap(
            time=("event_time", "rt"),
            user=("userid", "suser", "duser"),
            client=("x-client-ip", "client_ip", "src"),
            host=("domain",),
            url=("url", "request"),
            dest=("dst",),
            up=("bytes_uploaded", "file_size_up", "out"),
            down=("bytes_downloaded", "in"),
            action=("pe_action", "act", "filteraction", "rbi_action"),
            verdicts={"isolate": True, "readonly": True, "custom": None},
        )
    ),
    ("pe_action",),
    ("x-client-ip", "userid"),
)

IBOSS = _parser(
    "iboss",
    "iboss Secure Web Gateway",
    ("IBOSS", "IBOSS_SYSLOG", "200", "201"),
    '{"iboss":"swg.example","ibossIpAddress":"192.0.2.1","logType":"WEB_LOG","logTime":"2024-05-06","time":"07:08:09","username":"alice",'
    '"sourceIpAddress":"192.0.2.10","ipAddress":"198.51.100.7","host":"box.example","url":"https://box.example/up","action":"Allowed",'
    '"upstreamByteUsage":"815","downstreamByteUsage":"4711","totalByteUsage":"5526","requestMethod":"POST","computerName":"PC1"}',
    _before(
        FieldMap(
            moments=(("logtime", "time"),),
            time=("timestamp", "rt"),
            user=("username", "user", "suser"),
            client=("sourceipaddress", "privateip", "sourceip", "localip", "src"),
            device=("computername", "machinename", "shost"),
            url=("url", "request"),
            host=("host", "domain", "dhost"),
            scheme=("scheme",),
            dest=("ipaddress", "destip", "destinationip", "dst"),
            up=("upstreambyteusage", "bytesout", "uploadbytes", "bytesuploaded", "out"),
            down=("downstreambyteusage", "bytesin", "downloadbytes", "bytesdownloaded", "in"),
            total=("totalbyteusage", "totalbytecount"),
            action=("saction", "action", "act", "blocked", "filtereventtype"),
            verdicts={"true": False, "false": True, "yes": False, "no": True, "1": False, "0": True, "sb": False, "a": True, "b": False},
        )
    ),
    ("ibossipaddress",),
    ("upstreambyteusage", "downstreambyteusage"),
)  # fmt: skip

CORRATA = _parser(
    "corrata",
    "Corrata",
    ("CORRATA", "CORRATA_SYSLOG", "220", "221"),
    "CEF:0|Corrata|Mobile Security|1.0|100|traffic|3|rt=1714979289000 suser=alice@corp.example src=192.0.2.10 dst=198.51.100.7 "
    "dhost=box.example request=https://box.example/up out=815 in=4711 act=allowed",
    _before(FieldMap(time=("rt",), user=("suser",), client=("src",), up=("out",), down=("in",))),
    ("corrata_device_id",),
)

OPEN_SYSTEMS = _parser(
    "open-systems",
    "Open Systems Secure Web Gateway",
    ("OPEN_SYSTEMS_SECURE_WEB_GATEWAY", "OPEN_SYSTEMS"),
    '{"vendor":"Open Systems","timestamp":"2024-05-06T07:08:09Z","username":"alice","client_ip":"192.0.2.10","url":"https://box.example/up",'
    '"destination_ip":"198.51.100.7","bytes_sent":815,"bytes_received":4711,"action":"allowed"}',
    _before(FieldMap(time=("timestamp",), user=("username",), client=("client_ip",))),
    ("mission_control_ticket",),
)

CONTENTKEEPER = _parser(
    "contentkeeper",
    "ContentKeeper",
    ("CONTENTKEEPER", "CONTENTKEEPER_SYSLOG", "214", "215"),
    "CEF:0|ContentKeeper|Web Filter|1.0|100|web|3|rt=1714979289000 suser=alice src=192.0.2.10 dst=198.51.100.7 dhost=box.example "
    "request=https://box.example/up out=815 in=4711 act=Allowed",
    _before(FieldMap(time=("rt",), user=("suser",), client=("src",), up=("out",), down=("in",))),
    ("ck_category",),
    ("ckpolicy",),
)

WANDERA = _parser(
    "wandera",
    "Wandera (Jamf)",
    ("WANDERA", "WANDERA_SYSLOG"),
    "CEF:0|Wandera|Data Policy|1.0|100|traffic|3|rt=1714979289000 suser=alice@corp.example src=192.0.2.10 dst=198.51.100.7 "
    "dhost=box.example request=https://box.example/up out=815 in=4711 act=allowed",
    _before(
        FieldMap(
            time=("rt", "event.receipttime", "receipttime", "event.timestamp"),
            user=("suser", "event.device.useremail", "device.useremail", "event.device.userdevicename", "useremail"),
            client=("src", "event.source.ip", "source.ip"),
            device=("event.device.devicename", "device.devicename"),
            host=("dhost", "event.destination.name", "destination.name", "event.destination.domain"),
            dest=("dst", "event.destination.ip", "destination.ip"),
            up=("out",),
            down=("in",),
            action=("act", "event.action", "event.eventtype.name"),
        )
    ),
    ("event.device.deviceid", "event.eventtype.name"),
)

CATO = LogParser(
    name="cato",
    title="Cato Networks SASE",
    aliases=("CATO", "CATO_NETWORKS"),
    sample=(
        '{"event_time":"2024-05-06T07:08:09Z","account_id":"1","action":"Monitor","event_type":"Security","event_sub_type":"Internet Firewall",'
        '"dest_ip":"198.51.100.7","domain_name":"box.example","src_ip":"192.0.2.10","user_name":"alice","internalId":"a1"}'
    ),
    start=from_json(
        "cato",
        lambda fields: "event_sub_type" in fields and ("internalid" in fields or "account_id" in fields),
        _before(
            FieldMap(
                time=("event_time", "time"),
                user=("vpn_user_email", "user_name", "ad_name"),
                client=("src_ip",),
                device=("device_name", "host_name"),
                url=("full_path_url", "url"),
                host=("domain_name",),
                dest=("dest_ip",),
                up=("traffic_upstream", "upstream_bytes"),
                down=("traffic_downstream", "downstream_bytes"),
                action=("action",),
            )
        ),
        lambda fields: (
            None if any(fields.get(key) for key in ("dest_ip", "domain_name", "full_path_url")) else NO_TRAFFIC
        ),
    ),
    gives=ALL,
    certainty=0.94,
    marks=("event_sub_type",),
)

PARSERS = (CLOUDFLARE, MENLO, IBOSS, CORRATA, OPEN_SYSTEMS, CONTENTKEEPER, WANDERA, CATO)
