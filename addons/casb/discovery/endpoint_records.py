"""Records of an endpoint agent: network events, what network protection did, facts about devices.

Reads rows of Defender's tables DeviceNetworkEvents, DeviceEvents (network protection and SmartScreen only), DeviceInfo
and DeviceNetworkInfo, as advanced hunting, Sentinel and the streaming API name them; names of columns in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

import orjson

from casb.hostname import is_address, normal_host
from casb.model.discovery import Skipped, TrafficEvent

SOURCE = "defender-endpoint"
MOST_TEXT = 2048
"""Characters kept of a column: a URL of a megabyte is cut, its event counts."""
MOST_DETAIL = 64 * 1024
"""Characters of AdditionalFields that are read."""
MOST_BYTES = 2**53
CASB_CATEGORIES = frozenset({"casbpolicy", "customblocklist"})
"""ResponseCategory or Experience of blocks that indicators caused; others are web content filtering and threats."""

OTHER_TABLE = "a record of another table"
NO_DEVICE = "no device"
NO_TIME = "no time"
NO_DESTINATION = "no destination"
INBOUND = "an inbound connection"
LOOKUP = "a name lookup"
NOT_NETWORK = "an event that is not about the network"
INSIDE = "the device's own address"
TWICE = "a connection that was told before"

_INWARD = ("inbound", "listening", "connectionacknowledged", "connectionattempt")
_SERVICES = frozenset({"s-1-5-18", "s-1-5-19", "s-1-5-20"})
_ABSENT = frozenset({"", "-", "null", "none", "n/a"})
_UP = ("sentbytes", "bytessent", "uploadedbytes", "bytesup", "request_body_len", "orig_bytes", "requestbodylen")
_DOWN = (
    "receivedbytes", "bytesreceived", "downloadedbytes", "bytesdown", "response_body_len", "resp_bytes",
    "responsebodylen",
)  # fmt: skip


class Outcome(StrEnum):
    """What became of a connection, as far as the agent tells."""

    REACHED = "reached"  # the TCP connection stands; network protection may end it right after
    SERVED = "served"  # the server's answer was seen
    BLOCKED = "blocked"
    WARNED = "warned"
    BYPASSED = "bypassed"  # the person went on past the warning
    FAILED = "failed"
    ASKED = "asked"  # begun; how it ended is not told


_OUTCOMES = {
    "connectionsuccess": Outcome.REACHED,
    "connectionfound": Outcome.REACHED,
    "sslconnectioninspected": Outcome.REACHED,
    "networksignatureinspected": Outcome.REACHED,
    "httpconnectioninspected": Outcome.REACHED,
    "connectionfailed": Outcome.FAILED,
    "connectionrequest": Outcome.ASKED,
    "connectionattempt": Outcome.ASKED,
    "exploitguardnetworkprotectionblocked": Outcome.BLOCKED,
    "connectionblocked": Outcome.BLOCKED,
    "smartscreenurlwarning": Outcome.WARNED,
    "smartscreenuseroverride": Outcome.BYPASSED,
    "networkprotectionuserbypassevent": Outcome.BYPASSED,
}
_PROTECTION = frozenset({Outcome.BLOCKED, Outcome.WARNED, Outcome.BYPASSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkEvent:
    """One row about a connection. Absent facts are None; `host` is a lower-case A-label without port."""

    line: int
    time: datetime  # aware UTC
    device_id: str
    device: str  # its name, or its id where it has none
    action: str  # ActionType as told
    outcome: Outcome
    host: str | None
    url: str | None  # without user information, query and fragment
    remote_ip: str | None
    remote_port: int | None
    local_ip: str | None
    local_port: int | None
    protocol: str | None
    user: str | None  # UPN, else account name; none for the system's own accounts
    process: str | None
    report_id: str | None
    category: str | None  # of a block: casbpolicy, customblocklist, custompolicy, phishing ...
    up: int | None
    down: int | None

    @property
    def protection(self) -> bool:
        """Told by network protection or SmartScreen, and no transaction of its own."""
        return self.outcome in _PROTECTION

    def as_traffic(self) -> TrafficEvent:
        """As discovery counts it."""
        allowed = {Outcome.BLOCKED: False, Outcome.WARNED: False, Outcome.FAILED: None, Outcome.ASKED: None}
        return TrafficEvent(
            line=self.line,
            time=self.time,
            source=SOURCE,
            user=self.user,
            client_ip=self.local_ip,
            device=self.device,
            host=self.host,
            url=self.url,
            dest_ip=self.remote_ip,
            bytes_up=self.up,
            bytes_down=self.down,
            allowed=allowed.get(self.outcome, True),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceContext:
    """What the agent tells about a device itself. Empty: not told by this row."""

    line: int
    time: datetime
    device_id: str
    device: str
    os: str = ""
    group: str = ""  # device (machine) group, to which indicators can be scoped
    risk: str = ""  # the console's own word
    users: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


type Told = NetworkEvent | DeviceContext | Skipped


def record_of(plain: Mapping[str, Any], line: int) -> Told:
    """What a row says; a row that says nothing for us is `Skipped` with the reason. Never raises."""
    table, fields = _unwrapped(plain)
    time = _time(fields.get("timestamp") or fields.get("timegenerated") or fields.get("time"))
    if table is None:
        return Skipped(line=line, why=OTHER_TABLE)
    if time is None:
        return Skipped(line=line, why=NO_TIME)
    device_id, name = _text(fields.get("deviceid")), _text(fields.get("devicename"))
    if not device_id and not name:
        return Skipped(line=line, why=NO_DEVICE)
    device_id, name = device_id or f"name:{name}", (name or device_id or "").lower()
    if table in ("deviceinfo", "devicenetworkinfo"):
        return _context(fields, line, time, device_id, name)
    return _event(fields, line, time, device_id, name)


def _unwrapped(plain: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The row out of the streaming API's envelope, and its table; None for tables that are not ours."""
    fields = {str(key).strip().lower(): value for key, value in plain.items()}
    named = _text(fields.get("category")) or _text(fields.get("type")) or _text(fields.get("$table")) or ""
    inner = fields.get("properties")
    if isinstance(inner, str):
        inner = _object(inner)
    if isinstance(inner, Mapping):
        envelope = {"time": fields.get("time")}
        fields = {**envelope, **{str(key).strip().lower(): value for key, value in inner.items()}}
    table = named.rpartition("-")[2].lower()
    if table in ("devicenetworkevents", "deviceevents", "deviceinfo", "devicenetworkinfo"):
        return table, fields
    if table.startswith(("device", "alert", "identity", "email", "cloudapp", "urlclick")) or named.startswith(
        "AdvancedHunting-"
    ):
        return None, fields
    if "actiontype" in fields and ("remoteurl" in fields or "remoteip" in fields):
        return "devicenetworkevents", fields
    if "actiontype" not in fields and ("osplatform" in fields or "loggedonusers" in fields):
        return "deviceinfo", fields
    return None, fields


def _event(fields: Mapping[str, Any], line: int, time: datetime, device_id: str, name: str) -> NetworkEvent | Skipped:
    action = _text(fields.get("actiontype")) or ""
    folded = action.lower().removesuffix("aggregatedreport")
    outcome = _OUTCOMES.get(folded)
    detail = _object(fields.get("additionalfields"))
    if folded.startswith("dnsconnection"):
        return Skipped(line=line, why=LOOKUP)
    inward = str(detail.get("direction", "")).lower() == "in"
    if inward or (folded.startswith(_INWARD) and not _outward_attempt(folded, fields)):
        return Skipped(line=line, why=INBOUND)
    if outcome is None:
        return Skipped(line=line, why=NOT_NETWORK)
    host, url, served = _destination(fields, detail)
    remote = _address(fields.get("remoteip"))
    if host is None and remote is None:
        return Skipped(line=line, why=NO_DESTINATION)
    if host is None and remote is not None and _local(remote):
        return Skipped(line=line, why=INSIDE)
    if served and outcome is Outcome.REACHED:
        outcome = Outcome.SERVED
    category = _text(detail.get("responsecategory")) or _text(detail.get("experience"))
    return NetworkEvent(
        line=line,
        time=time,
        device_id=device_id,
        device=name,
        action=action,
        outcome=outcome,
        host=host,
        url=url,
        remote_ip=remote,
        remote_port=_whole(fields.get("remoteport"), 65535),
        local_ip=_address(fields.get("localip")),
        local_port=_whole(fields.get("localport"), 65535),
        protocol=_text(fields.get("protocol")),
        user=_user(fields),
        process=_text(fields.get("initiatingprocessfilename")),
        report_id=_text(fields.get("reportid")),
        category=category and category.lower(),
        up=_first(_UP, fields, detail),
        down=_first(_DOWN, fields, detail),
    )


def _outward_attempt(folded: str, fields: Mapping[str, Any]) -> bool:
    """Attempts are told for both directions; one with a name is the device's own."""
    return folded == "connectionattempt" and bool(_text(fields.get("remoteurl")))


def _destination(fields: Mapping[str, Any], detail: Mapping[str, Any]) -> tuple[str | None, str | None, bool]:
    """Host, URL, and whether the server's answer was seen.

    Behind a forward proxy the address is the proxy's: the name in RemoteUrl, or in the CONNECT that was inspected,
    tells whom the device talked to.
    """
    status = _whole(detail.get("status_code"), 999)
    served = status is not None and 200 <= status < 400
    if str(detail.get("method", "")).upper() == "CONNECT":
        host, _ = _split(_text(detail.get("uri")) or _text(detail.get("host")) or "")
        if host is not None:
            return host, None, False
    host, url = _split(_text(fields.get("remoteurl"), MOST_DETAIL) or "")
    if host is not None:
        return host, url, served
    for key in ("host", "server_name", "sni"):
        host, _ = _split(_text(detail.get(key)) or "")
        if host is not None:
            return host, None, served
    return None, None, served


def _split(text: str) -> tuple[str | None, str | None]:
    """Host and URL (None for a bare name) of what stands in RemoteUrl; an address is no host name."""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host = normal_host(parts.hostname or "") if parts.hostname else None
    except ValueError:
        return None, None
    if host is None or is_address(host):
        return None, None
    url = f"{parts.scheme or 'https'}://{host}{parts.path}"[:MOST_TEXT] if parts.path.strip("/") else None
    return host, url


def _context(fields: Mapping[str, Any], line: int, time: datetime, device_id: str, name: str) -> DeviceContext:
    found = [_text(fields.get("publicip"))]
    addresses = fields.get("ipaddresses")
    for each in _list(addresses):
        found.append(_text(each.get("IPAddress")) if isinstance(each, Mapping) else _text(each))
    users = []
    for each in _list(fields.get("loggedonusers")):
        user = _text(each.get("UserName") or each.get("userName")) if isinstance(each, Mapping) else _text(each)
        if user:
            users.append(user)
    os = " ".join(filter(None, (_text(fields.get("osplatform")), _text(fields.get("osversion")))))
    return DeviceContext(
        line=line,
        time=time,
        device_id=device_id,
        device=name,
        os=os[:100],
        group=(_text(fields.get("machinegroup")) or "")[:200],
        risk=(_text(fields.get("riskscore")) or _text(fields.get("exposurelevel")) or "")[:40],
        users=tuple(dict.fromkeys(users))[:20],
        addresses=tuple(dict.fromkeys(ip for ip in map(_address, found) if ip))[:20],
    )


def _user(fields: Mapping[str, Any]) -> str | None:
    upn = _text(fields.get("initiatingprocessaccountupn"))
    if upn:
        return upn[:256]
    if str(fields.get("initiatingprocessaccountsid", "")).lower() in _SERVICES:
        return None
    name = _text(fields.get("initiatingprocessaccountname"))
    # Daemons of macOS run as accounts whose names begin with an underscore, or as root.
    if not name or name.startswith("_") or name.lower() in ("root", "system", "local service", "network service"):
        return None
    return name[:256]


def _first(names: tuple[str, ...], *places: Mapping[str, Any]) -> int | None:
    for place in places:
        for name in names:
            value = _whole(place.get(name), MOST_BYTES)
            if value is not None:
                return value
    return None


def _object(value: object) -> dict[str, Any]:
    """AdditionalFields: an object, or the text of one; keys in lower case. What it cannot be is empty."""
    if isinstance(value, str) and len(value) <= MOST_DETAIL and value.lstrip()[:1] == "{":
        try:
            value = orjson.loads(value)
        except ValueError:
            return {}
    return {str(key).lower(): each for key, each in value.items()} if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    if isinstance(value, str) and len(value) <= MOST_DETAIL and value.lstrip()[:1] == "[":
        try:
            value = orjson.loads(value)
        except ValueError:
            return []
    return value[:200] if isinstance(value, list) else []


def _text(value: object, most: int = MOST_TEXT) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    text = value[:most].strip()
    if not text.isprintable():  # whoever named a device or an account must not steer a terminal
        text = "".join(char if char.isprintable() else " " for char in text).strip()
    return None if text.lower() in _ABSENT else text


def _whole(value: object, most: int) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else None


def _address(value: object) -> str | None:
    text = _text(value)
    if text is None:
        return None
    try:
        address = ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:  # dual-stack sockets tell it so
        address = address.ipv4_mapped
    return str(address)


def _local(address: str) -> bool:
    parsed = ip_address(address)
    return parsed.is_loopback or parsed.is_unspecified or parsed.is_link_local or parsed.is_multicast


_EXPORTED = ("%m/%d/%Y, %I:%M:%S %p", "%m/%d/%Y %I:%M:%S %p", "%b %d, %Y %I:%M:%S %p", "%b %d, %Y, %I:%M:%S %p")


def _time(value: object) -> datetime | None:
    text = _text(value)
    if text is None:
        return None
    time: datetime | None = None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        for form in _EXPORTED:
            try:
                time = datetime.strptime(text.replace("\u202f", " "), form)  # noqa: DTZ007 - exports are in UTC
                break
            except ValueError:
                continue
    if time is None:
        return None
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (OverflowError, ValueError):
        return None
