"""Cisco Umbrella: DNS, proxy (web), IP and cloud firewall logs as CSV of any version, with or without a header.

"Log Formats and Versioning" of the Umbrella documentation; versions only append columns. Times are UTC.
"""

from __future__ import annotations

from datetime import UTC

from casb.discovery import formats
from casb.discovery.entry import Entry, LineReader, Outcome, address, host_of, named, number, target, traffic, verdict
from casb.discovery.fieldmap import FieldMap
from casb.discovery.parser import LogParser
from casb.discovery.parsers.support import ALL, Fields, any_of, from_header, from_json
from casb.discovery.times import Clock

_SOURCE = "umbrella"
_USERS = frozenset(
    ("AD Users", "Directory Users", "Chromebook Users", "SAML Users", "Users", "G Suite Users", "AD User", "User")
)
_DEVICES = frozenset(
    ("Roaming Computers", "AD Computers", "Anyconnect Roaming Client", "Mobile Devices", "Roaming Computer", "Cisco Secure Client", "Cisco Mobile Device",
     "Devices", "Computers")
)  # fmt: skip
_VERDICTS = frozenset(("ALLOWED", "BLOCKED", "PROXIED", "ALLOW", "BLOCK", "WARN", "ISOLATED"))


def _csv(clock: Clock) -> LineReader:
    utc = Clock(UTC, clock.now)

    def read(entry: Entry) -> Outcome:
        text = entry.text
        if text.count(",") < 6 or not text.lstrip('" ')[:2].isdecimal():
            return None
        columns = formats.delimited(text.strip())
        if columns is None or len(columns) < 7:
            return None
        columns = [column.strip() for column in columns]
        time = utc.parse(columns[0])
        if time is None or len(columns[0]) > 30:
            return None
        for layout in (_dns, _proxy, _firewall, _ip):
            fields = layout(columns)
            if fields is not None:
                user, device, client, host, url, dest, up, down, allowed = fields
                return traffic(
                    entry.number, time, _SOURCE, user, client, device, host, url, dest, up, down, None, allowed
                )
        return None

    return read


type _Facts = tuple[
    str | None, str | None, str | None, str | None, str | None, str | None, int | None, int | None, bool | None
]


def _who(identity: str, kind: str) -> tuple[str | None, str | None]:
    """User and device; an identity of neither kind is a network or a site."""
    first = kind.partition(",")[0].strip()
    if first in _DEVICES:
        return None, named(identity)
    if first in _USERS or "User" in first:
        return named(identity), None
    return (named(identity), None) if not first else (None, None)


def _kind(columns: list[str]) -> str:
    for column in columns:
        first = column.partition(",")[0].strip()
        if (
            first in _USERS
            or first in _DEVICES
            or first in ("Networks", "Sites", "Internal Networks", "Network Tunnels", "Network Devices")
        ):
            return first
    return ""


def _dns(columns: list[str]) -> _Facts | None:
    """ "ts","identity","identities","internal ip","external ip","action","query type","code","domain","categories",…"""
    if len(columns) < 10 or columns[5].upper() not in _VERDICTS or address(columns[4]) is None:
        return None
    host = host_of(columns[8])
    if host is None or "." not in host:
        return None
    user, device = _who(columns[1], _kind(columns[10:]))
    return user, device, address(columns[3]) or address(columns[4]), host, None, None, None, None, verdict(columns[5])


def _proxy(columns: list[str]) -> _Facts | None:
    """ "ts","identity","internal ip","external ip","destination ip","content type","verdict","url","referer","agent",
    "status","request size","response size",…; the oldest have all identities behind the first.
    """
    at = next((at for at in (6, 7) if len(columns) > at + 6 and columns[at].upper() in _VERDICTS), 0)
    client = address(columns[at - 4]) or address(columns[at - 3])
    if not at or client is None:
        return None
    host, url = target(columns[at + 1].replace("\\n", "").replace("\n", ""))
    user, device = _who(columns[1], _kind(columns[at + 9 :]))
    return (
        user, device, client, host, url, address(columns[at - 2]), number(columns[at + 5]), number(columns[at + 6]),
        verdict(columns[at]),
    )  # fmt: skip


def _firewall(columns: list[str]) -> _Facts | None:
    """ "ts","origin id","identity","identity type","direction","protocol","size","src","port","dst","port",…,"verdict"."""
    if len(columns) < 13 or columns[4].upper() not in (
        "FROM_TUNNEL",
        "TO_TUNNEL",
        "OUTBOUND",
        "INBOUND",
        "TO_INTERNET",
        "FROM_INTERNET",
    ):
        return None
    dest = address(columns[9])
    if dest is None:
        return None
    user, device = _who(columns[2], columns[3])
    said = next((column for column in columns[11:] if column.upper() in _VERDICTS), "")
    return user, device, address(columns[7]), None, None, dest, number(columns[6]), None, verdict(said)


def _ip(columns: list[str]) -> _Facts | None:
    """ "ts","identity","source ip","source port","destination ip","destination port","categories",…"""
    if not columns[3].isdecimal() or not columns[5].isdecimal() or address(columns[2]) is None:
        return None
    dest = address(columns[4])
    if dest is None:
        return None
    user, device = _who(columns[1], _kind(columns[7:]))
    return user, device, address(columns[2]), None, None, dest, None, None, None


FIELDS = FieldMap(
    time=("timestamp", "datetime", "time", "date"),
    user=("most granular identity", "policy identity", "identity", "identities", "aduser"),
    client=(
        "internalip",
        "internal ip",
        "internal client ip",
        "sourceip",
        "source ip",
        "externalip",
        "external ip",
        "external client ip",
    ),
    url=("url",),
    host=("domain", "host", "hostname"),
    dest=("destinationip", "destination ip"),
    up=("requestsize", "request size"),
    down=("responsesize", "response size"),
    action=("verdict", "action"),
)


def _columns(fields: Fields) -> bool:
    known = fields.keys()
    return bool(
        known
        & {
            "most granular identity",
            "policy identity",
            "most granular identity type",
            "policy identity type",
            "identity types",
        }
    )


def _json(fields: Fields) -> bool:
    return "mostgranularidentity" in fields or (
        "internalip" in fields and "externalip" in fields and "verdict" in fields
    )


UMBRELLA = LogParser(
    name=_SOURCE,
    title="Cisco Umbrella (DNS, proxy, IP, firewall)",
    aliases=("UMBRELLA", "CISCO_UMBRELLA", "CISCO_UMBRELLA_DNS", "CISCO_UMBRELLA_PROXY"),
    sample=(
        '"2024-05-06 07:08:09","Alice (alice@corp.example)","192.0.2.10","203.0.113.9","198.51.100.7","text/html","ALLOWED",'
        '"https://box.example/up","","Mozilla/5.0","200","815","4711","4000","","File Storage","","","","","","AD Users",""\n'
        '"2024-05-06 07:08:10","Alice (alice@corp.example)","Alice (alice@corp.example),PC1","192.0.2.10","203.0.113.9",'
        '"Blocked","1 (A)","NOERROR","box.example.","File Storage","AD Users","AD Users,Roaming Computers","File Storage"'
    ),
    start=any_of(_csv, from_header(_SOURCE, _columns, FIELDS), from_json(_SOURCE, _json, FIELDS)),
    gives=ALL,
    certainty=0.93,
)

PARSERS = (UMBRELLA,)
