"""SonicWall SonicOS: enhanced syslog (`id=firewall sn=… m=…`), and its ArcSight (CEF) form.

"SonicOS Log Events Reference Guide": `src` and `dst` are `address:port:interface:name`; `sent` is what the initiator sent,
`rcvd` what it got; `m` is the message (97 a web request, 98 a connection opened, 537 closed).
"""

from __future__ import annotations

from casb.discovery.entry import Entry
from casb.discovery.fieldmap import FieldMap
from casb.discovery.parser import LogParser
from casb.discovery.parsers.support import ALL, NO_TRAFFIC, Fields, any_of, by_vendor, from_cef, from_pairs

_SOURCE = "sonicwall"
_WEB = {"http": "http", "https": "https"}

FIELDS = FieldMap(
    time=("time", "rt", "start"),
    user=("usr", "user", "usrname", "suser", "susr", "duser"),
    client=("src", "srcv6", "natsrc_orig"),
    device=("srcname", "shost"),
    url=("url", "request"),
    host=("dstname", "dhost", "name_of_dst", "referer_host"),
    path=("arg",),
    scheme=("scheme",),
    port=("dport",),
    dest=("dst", "dstv6"),
    up=("sent", "out"),
    down=("rcvd", "in"),
    action=("fw_action", "af_action", "act", "result_text", "msg", "name"),
    verdicts={
        "na": None,
        "n/a": None,
        "mgmt": None,
        "web site hit": True,
        "syslog website accessed": True,
        "pass": True,
    },
    otherwise=True,
)


def _mine(fields: Fields) -> bool:
    return "sn" in fields and "fw" in fields and "pri" in fields and ("m" in fields or fields.get("id") == "firewall")


def _prepare(fields: dict[str, str], _: Entry) -> dict[str, str]:
    for key, name, port in (("src", "srcname", "sport"), ("dst", "dstname", "dport")):
        parts = fields.get(key, "").split(":")
        if len(parts) in (2, 3, 4) and parts[0].count(".") == 3:
            fields.setdefault(port, parts[1])
            if len(parts) == 4 and "." in parts[3]:
                fields.setdefault(name, parts[3])
    if "." not in fields.get("dstname", ""):
        fields.pop("dstname", None)
    fields["scheme"] = _WEB.get(fields.get("proto", "").rpartition("/")[2].lower(), "")
    return fields


def _refuse(fields: Fields) -> str | None:
    return None if "dst" in fields or "dstv6" in fields or "dstname" in fields or "request" in fields else NO_TRAFFIC


SONICWALL = LogParser(
    name=_SOURCE,
    title="SonicWall",
    aliases=("SONICWALL", "SONICWALL_SYSLOG", "113", "160"),
    sample=(
        'id=firewall sn=18B169000001 time="2024-05-06 07:08:09 UTC" fw=203.0.113.9 pri=6 c=1024 m=97 n=42 '
        "src=192.0.2.10:50000:X0 dst=198.51.100.7:443:X1 proto=tcp/https op=GET sent=815 rcvd=4711 result=200 "
        'dstname=box.example arg=/up usr="alice" code=27 Category="Online Storage"'
    ),
    start=any_of(
        from_pairs(_SOURCE, _mine, FIELDS, _refuse, prepare=_prepare),
        from_cef(_SOURCE, by_vendor("sonicwall", "dell sonicwall"), FIELDS, _refuse),
    ),
    gives=ALL,
    certainty=0.97,
    marks=("sn=", "SonicWall", "SONICWALL"),
)

PARSERS = (SONICWALL,)
