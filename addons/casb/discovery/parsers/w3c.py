"""W3C extended log files (ELFF): Blue Coat ProxySG, Forefront TMG and ISA, and any other with `#Fields:`.

https://www.w3.org/TR/WD-logfile.html; Blue Coat "Access Log Formats" (`cs-bytes`: client to appliance, `sc-bytes`:
appliance to client); TMG "Web proxy log fields" and "Firewall log fields". Times are GMT by the standard (TMG's, too).
Who wrote it is told by `#Software` or by the fields.
"""

from __future__ import annotations

from datetime import UTC

from casb.discovery.entry import Entry, LineReader, Outcome, address
from casb.discovery.fieldmap import FieldMap
from casb.discovery.formats import delimited, words
from casb.discovery.parser import HEADER, LogParser
from casb.discovery.parsers.support import ALL, Fields, Start, any_of, from_json, from_pairs
from casb.discovery.times import Clock

_MAX_COLUMNS = 500

FIELDS = FieldMap(
    moments=(("date", "time"), ("x-cs-date", "x-cs-time"), ("date-local", "time-local"), ("logdate", "logtime")),
    time=("gmttime", "x-timestamp", "timestamp", "x-cs-timestamp", "datetime", "localtime", "time", "x-timestamp-unix-utc",
          "x-timestamp-unix", "date-time", "date"),
    user=("cs-username", "cs-userdn", "x-cs-auth-user", "cs-user", "username", "x-radius-splash-username", "cs-auth-user",
          "cs(x-authenticated-user)", "x-cs-user", "user", "x-client-username", "clientusername"),
    client=("c-ip", "src-ip", "x-cs-client-ip", "x-client-address", "cs(x-forwarded-for)", "client-ip", "src-ip", "x-c-ip",
            "original client ip", "original-client-ip", "cs-ip", "clientip", "source"),
    device=("c-dns", "x-cs-client-hostname", "cs-hostname", "c-host", "cs-machinename"),
    url=("cs-uri", "c-uri", "url", "cs-url", "x-cs-uri", "cs-uri-full", "s-uri"),
    host=("cs-uri-host", "cs-host", "cs(host)", "r-host", "r-dns", "x-cs-dst-domain", "x-cs-sni", "cs-uri-hostname",
          "s-host", "dest-host", "x-r-cert-hostname", "x-sr-sni", "host"),
    scheme=("cs-uri-scheme", "x-cs-uri-scheme", "cs-protocol", "protocol"),
    path=("cs-uri-path", "cs-uri-stem", "x-cs-uri-path"),
    query=("cs-uri-query", "x-cs-uri-query"),
    port=("cs-uri-port", "r-port", "x-cs-dst-port", "x-cs-uri-port"),
    dest=("r-ip", "x-cs-dst-ip", "x-dst-ip", "cs-uri-address", "x-cs-dst-ip", "r-supplier-ip", "s-supplier-ip", "sr-ip", "dest-ip", "dst-ip",
          "x-r-ip", "x-s-dp-ip", "cs-uri-ip", "destination-ip", "destination"),
    up=("cs-bytes", "c-bytes", "x-cs-bytes", "bytes sent", "cs-bytes-total"),
    down=("sc-bytes", "s-bytes", "x-sc-bytes", "bytes received"),
    total=("bytes", "x-bytes-total", "total-bytes"),
    action=("action", "sc-filter-result", "x-ss-last-rule-action", "x-acltag", "x-resultcode-httpstatus", "sc-result-code", "x-result-code", "s-action", "x-action", "x-policy-action", "x-verdict", "x-cs-action",
            "x-bluecoat-policy-action"),
    status=("sc-status", "rs-status", "status"),
    verdicts={"-": None, "tunneled": True, "none": None, "not-inspected": True, "failed": True,
              # Of a connection in the firewall log of ISA and TMG, not of what was decided about it:
              "terminate": True, "establish": True, "intermediate": True, "bind": True, "listen": True,
              "initiated connection": True, "closed connection": True, "failed connection attempt": True},
)  # fmt: skip


def _split(text: str) -> list[str]:
    if "\t" in text and text.count("\t") >= 3:
        return [part.strip() for part in text.split("\t")]
    return words(text)


def _names(text: str) -> list[str]:
    if "\t" in text:
        found = text.split("\t")
    elif "," in text and text.count(",") > text.count(" "):
        found = text.split(",")
    else:
        found = text.split()
    return [name.strip().lower().strip('"') for name in found if name.strip()]


class _W3C:
    """The state of one W3C file: whose it is and which columns it has at the moment."""

    def __init__(self, source: str, clock: Clock) -> None:
        self._source = source
        self._clock = clock if source == "windows-firewall" else Clock(UTC, clock.now)
        self._columns: list[str] = []
        self._map = FIELDS
        self._software = ""
        self._mine = False

    def __call__(self, entry: Entry) -> Outcome:
        text = entry.text
        if text.startswith("#"):
            return self._directive(entry)
        if not self._mine or text[:1] in "<{":
            return None
        columns = self._columns
        values = _split(text)
        if len(values) != len(columns):
            values = self._repaired(text, values)
            if not values:
                return entry.skip("not the columns that its header names") if len(columns) > 4 else None
        fields = _fitted(dict(zip(columns, values, strict=False)), self._source)
        return self._map.event(fields, entry, self._source, self._clock)

    def _repaired(self, text: str, values: list[str]) -> list[str]:
        """The values of a line whose count does not fit: separated otherwise; or with values too many or missing at its
        end, which must still begin as the header says.
        """
        width = len(self._columns)
        for other in (text.split("\t"), text.split(" "), delimited(text, ",") or []):
            if len(other) == width:
                return [each.strip('"') for each in other]
        dates = [position for position, name in enumerate(self._columns[:12]) if name == "date"]
        clients = [position for position, name in enumerate(self._columns[:12]) if name in ("c-ip", "src-ip")]
        if not dates or not clients or len(values) <= max(*dates, *clients) or len(values) * 2 < width:
            return []
        if address(values[clients[0]]) is None or not values[dates[0]][:2].isdecimal():
            return []
        return values

    def _directive(self, entry: Entry) -> Outcome:
        word, _, rest = entry.text[1:].partition(":")
        word = word.strip().lower()
        if word == "software":
            self._software = rest.strip().lower()
        elif word == "fields":
            columns = _names(rest)[:_MAX_COLUMNS]
            if len(columns) < 3:
                return None
            self._columns = columns
            self._map = FIELDS.narrowed({*columns, *_ADDED})
            self._mine = whose(columns, self._software) == self._source
        elif word not in (
            "version",
            "date",
            "start-date",
            "end-date",
            "remark",
            "end",
            "time format",
            "s-computername",
        ):
            return None
        return entry.skip(HEADER) if self._mine or not self._columns else None


def whose(columns: list[str], software: str) -> str:
    """The name of the parser whose file has these fields."""
    known = set(columns)
    if "sgos" in software or "blue coat" in software or "proxysg" in software or "symantec" in software:
        return "bluecoat"
    if "isa server" in software or "forefront" in software or "tmg" in software:
        return "tmg"
    if any(name.startswith("x-ss-") for name in columns):
        return "scansafe"
    if {"x-resultcode-httpstatus", "x-acltag", "x-hierarchy-origin"} & known or "ironport" in software:
        return "ironport"
    if (
        "netskope" in software
        or any(name.startswith("x-cs-") or name.startswith("x-sc-") for name in columns)
        or ("x-category" in known and "x-other-category" in known)
    ):
        return "netskope"
    if any(name.startswith(("x-bluecoat", "x-virus", "x-exception", "s-supplier")) for name in columns):
        return "bluecoat"
    if {"cs-categories", "sc-filter-result"} & known or {"s-action", "cs-uri-scheme"} <= known:
        return "bluecoat"
    if (
        {"s-operation", "r-host", "original client ip"} & known
        or {"rule", "filterinfo"} & known
        or "error info" in known
    ):
        return "tmg"
    if {"src-ip", "dst-ip", "action", "protocol"} <= known and "tcpflags" in known:
        return "windows-firewall"
    return "w3c"


_ADDED = ("action", "r-ip", "cs-uri-path")
"""Fields that `_fitted` may add."""


def _fitted(fields: dict[str, str], source: str) -> dict[str, str]:
    """What the standard leaves open: IIS-like files put the host elsewhere; TMG's firewall log names addresses `r-host`."""
    if fields.get("cs-uri", "").startswith("/") and "cs-uri-stem" not in fields:
        fields["cs-uri-path"] = fields.pop("cs-uri")
    if source in ("scansafe", "netskope", "w3c") and "r-ip" not in fields and fields.get("s-ip"):
        fields["r-ip"] = fields["s-ip"]
    if "x-hierarchy-origin" in fields:
        fields.setdefault("r-ip", fields["x-hierarchy-origin"].rpartition("/")[2])
    if source == "bluecoat" and fields.get("s-action", "-") != "-" and "DENIED" not in fields["s-action"]:
        fields.setdefault("action", fields.get("sc-filter-result", "-"))
        if fields["action"] not in ("DENIED", "OBSERVED", "PROXIED"):
            fields["action"] = "allowed"
    if fields.get("cs-url", "").startswith("tunnel://"):
        fields["cs-url"] = fields["cs-url"][9:].rstrip("/")
    if fields.get("cs-method") == "CONNECT":
        for key in ("cs-uri-path", "cs-uri-stem"):
            if fields.get(key) in ("/", "-"):
                fields[key] = ""
    return fields


def w3c_reader(source: str) -> Start:
    """The reader of those W3C files that are this source's."""

    def start(clock: Clock) -> LineReader:
        return _W3C(source, clock)

    return start


_MAIN = (
    "date time time-taken c-ip sc-status s-action sc-bytes cs-bytes cs-method cs-uri-scheme cs-host cs-uri-port cs-uri-path "
    "cs-uri-query cs-username cs-auth-group s-hierarchy s-supplier-name"
).split()
_PORT = 11
_HIERARCHY = frozenset("DIRECT NONE DEFAULT_PARENT FIRSTUP_PARENT SINGLE_PARENT ROUNDROBIN_PARENT SOCKS CARP".split())


def _main(values: list[str]) -> list[str]:
    """The columns of `main`: older releases have neither the port nor the user's group."""
    columns = list(_MAIN)
    if not values[_PORT].isdecimal() and values[_PORT][:1] in "/-":
        del columns[_PORT]
    group = columns.index("cs-auth-group")
    if values[group] in _HIERARCHY:
        del columns[group]
    return columns


_BEHIND_ACTION = (
    "s-action cs-method rs(content-type) cs-uri-scheme cs-host cs-uri-port cs-uri-path cs-uri-query cs-uri-extension "
    "cs(user-agent) s-ip sc-bytes cs-bytes"
).split()


def _headerless(clock: Clock) -> LineReader:
    """ProxySG's `main` and `bcreportermain_v1` formats where nothing says so: syslog carries no `#Fields`."""
    utc = Clock(UTC, clock.now)

    def read(entry: Entry) -> Outcome:
        text = entry.text
        if text[4:5] != "-" or text[10:11] != " " or not text[:4].isdecimal():
            return None
        values = words(text)
        action = next(
            (at for at, value in enumerate(values[:20]) if value.startswith("TCP_") or value == "TUNNELED"), 0
        )
        if action < 5 or address(values[3]) is None or len(values) < 18:
            return None
        if action == 5:
            fields = dict(zip(_main(values), values, strict=False))
        else:
            fields = dict(zip(_BEHIND_ACTION, values[action:], strict=False))
            fields |= {"date": values[0], "time": values[1], "c-ip": values[3], "cs-username": values[4]}
            fields |= {"sc-status": values[action - 1], "sc-filter-result": values[action - 4]}
        return FIELDS.event(_fitted(fields, "bluecoat"), entry, "bluecoat", utc)

    return read


def _named(fields: Fields) -> bool:
    """The appliance's and the cloud service's fields as JSON or key=value."""
    return (
        "cs-host" in fields
        and ("c-ip" in fields or "cs-ip" in fields)
        and ("s-action" in fields or "cs-uri-scheme" in fields or "x-bluecoat-appliance-name" in fields)
    )


BLUECOAT = LogParser(
    name="bluecoat",
    title="Blue Coat (Symantec, Broadcom) ProxySG",
    aliases=("BLUECOAT", "BLUECOAT_SYSLOG", "102", "139", "PROXYSG"),
    sample=(
        "#Software: SGOS 6.7.4.2\n"
        "#Fields: date time time-taken c-ip cs-username sc-status s-action sc-bytes cs-bytes cs-method cs-uri-scheme "
        "cs-host cs-uri-port cs-uri-path cs-uri-query sc-filter-result r-ip\n"
        "2024-05-06 07:08:09 120 192.0.2.10 alice 200 TCP_NC_MISS 4711 815 GET https box.example 443 /up ?a=1 OBSERVED "
        "198.51.100.7"
    ),
    start=any_of(
        w3c_reader("bluecoat"),
        _headerless,
        from_json("bluecoat", _named, FIELDS),
        from_pairs("bluecoat", _named, FIELDS),
    ),
    gives=ALL,
    certainty=0.97,
)

TMG = LogParser(
    name="tmg",
    title="Microsoft Forefront TMG and ISA Server (W3C)",
    aliases=("MICROSOFT_ISA_W3C", "ISA", "159", "161", "111", "149", "MICROSOFT_ISA"),
    sample=(
        "#Software: Microsoft Forefront Threat Management Gateway\n"
        "#Fields: c-ip\tcs-username\tc-agent\tdate\ttime\ts-computername\tcs-referred\tr-host\tr-ip\tr-port\ttime-taken\t"
        "cs-bytes\tsc-bytes\tcs-protocol\ts-operation\tcs-uri\taction\tsc-status\n"
        "192.0.2.10\tCORP\\alice\tMozilla\t2024-05-06\t07:08:09\tTMG1\t-\tbox.example\t198.51.100.7\t80\t15\t815\t4711\t"
        "http\tGET\thttp://box.example/up\tAllowed\t200"
    ),
    start=w3c_reader("tmg"),
    gives=ALL,
    certainty=0.97,
)

W3C = LogParser(
    name="w3c",
    title="Generic W3C extended log",
    aliases=("GENERIC_W3C", "ELFF", "IIS", "183", "184"),
    sample=(
        "#Version: 1.0\n"
        "#Fields: date time c-ip cs-username cs-host cs-uri-stem cs-uri-query sc-status sc-bytes cs-bytes\n"
        "2024-05-06 07:08:09 192.0.2.10 alice box.example /up a=1 200 4711 815"
    ),
    start=w3c_reader("w3c"),
    gives=ALL,
    certainty=0.9,
)

PARSERS = (BLUECOAT, TMG, W3C)
