"""What can be observed of an app instead of believed: transport, certificate, headers, DNS, age of its domain.

Whoever observes (a probe, or the proxy at handshakes it sees anyway) says it as an `Observation`; `facts` folds what
was seen of all of an app's hosts into measured facts. Knows no socket.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from casb.catalog.factors import FACTORS
from casb.catalog.known import Fact, Source, Value
from casb.hostname import is_address

_PROTOCOLS = {
    "SSLv3": "ssl3",
    "TLSv1": "tls1_0",
    "TLSv1.0": "tls1_0",
    "TLSv1.1": "tls1_1",
    "TLSv1.2": "tls1_2",
    "TLSv1.3": "tls1_3",
}
_ORDER = FACTORS["encryption_protocol"].values


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was seen of one host at one time. What was not looked at is None."""

    host: str
    time: str  # RFC 3339
    protocol: str | None = None  # as OpenSSL names it (TLSv1.3), or `none` when the host speaks no TLS
    name_valid: bool | None = None  # the certificate is for this host
    trusted: bool | None = None  # it leads to a root that is trusted here, and is valid now
    headers: Mapping[str, str] | None = None  # of the main page, names in lower case
    https_enforced: bool | None = None  # plain HTTP is refused or sent to HTTPS
    caa: bool | None = None
    dmarc: str | None = None  # none, quarantine, reject; `missing` without a record
    spf: bool | None = None
    registered: str | None = None  # ISO date
    main: bool = False  # the app's main page is here: its headers count before others'


def facts(observations: Iterable[Observation]) -> dict[str, Fact]:
    """The measured facts of one app. Of one host the later observation counts; a flag must hold everywhere.

    The protocol is the worst that any of its hosts has for its best: a chain is as strong as its weakest link.
    """
    latest: dict[str, Observation] = {}
    for each in sorted(observations, key=lambda each: each.time):
        before = latest.get(each.host)
        latest[each.host] = each if before is None else _merged(before, each)
    found = sorted(latest.values(), key=lambda each: (not each.main, each.host))
    values: dict[str, tuple[Value, str]] = {}

    def everywhere(factor: str, name: str) -> None:
        truths = [(getattr(each, name), each.time) for each in found if getattr(each, name) is not None]
        if truths:
            values[factor] = (all(truth for truth, _ in truths), max(time for _, time in truths))

    protocols = [(protocol_of(each.protocol), each.time) for each in found if each.protocol is not None]
    spoken = [(protocol, time) for protocol, time in protocols if protocol is not None]
    if spoken:
        values["encryption_protocol"] = (min(spoken, key=lambda each: _ORDER.index(each[0]))[0], max(spoken)[1])
    everywhere("valid_certificate_name", "name_valid")
    everywhere("trusted_certificate", "trusted")
    everywhere("enforce_transport_encryption", "https_enforced")
    everywhere("caa_record", "caa")
    everywhere("spf_record", "spf")
    page = next((each for each in found if each.headers is not None), None)
    if page is not None and page.headers is not None:
        values["http_security_headers"] = (security_headers(page.headers), page.time)
    mail = next((each for each in found if each.dmarc is not None), None)
    if mail is not None and mail.dmarc is not None:
        values["dmarc_policy"] = ("not_supported" if mail.dmarc == "missing" else mail.dmarc, mail.time)
    dates = sorted((each.registered, each.time) for each in found if each.registered is not None)
    if dates:
        values["domain_registered"] = dates[0]
    return {name: Fact(value=value, source=Source.MEASURED, as_of=time) for name, (value, time) in values.items()}


def _merged(before: Observation, after: Observation) -> Observation:
    """The later one, with what only the earlier one looked at."""
    values = {
        name: getattr(before, name) if getattr(after, name) is None else getattr(after, name)
        for name in Observation.__slots__
        if name != "main"
    }
    return Observation(**values, main=before.main or after.main)


def protocol_of(name: str) -> str | None:
    """A protocol's name to the factor's word; None for one that is not known.

    >>> protocol_of("TLSv1.3"), protocol_of("none")
    ('tls1_3', 'not_supported')
    """
    return "not_supported" if name == "none" else _PROTOCOLS.get(name)


def security_headers(headers: Mapping[str, str]) -> Value:
    """Which of the five headers do their work: one that switches itself off counts as absent."""
    policy = headers.get("content-security-policy", "")
    transport = headers.get("strict-transport-security", "")
    age = next(
        (each.strip()[8:].strip('"') for each in transport.lower().split(";") if each.strip().startswith("max-age=")),
        "",
    )
    framing = headers.get("x-frame-options", "").strip().lower()
    truths = {
        "content_security_policy": bool(policy.strip()),
        "strict_transport_security": age.isdigit() and int(age) > 0,
        "x_content_type_options": headers.get("x-content-type-options", "").strip().lower() == "nosniff",
        "x_frame_options": framing in ("deny", "sameorigin"),
        "x_xss_protection": headers.get("x-xss-protection", "").strip().startswith("1"),
    }
    return tuple((name, truths[name]) for name in FACTORS["http_security_headers"].values)


def certificate_covers(names: Iterable[str], host: str) -> bool:
    """Whether a certificate for `names` is for `host` (RFC 6125, 6.4.3: a wildcard is one whole leftmost label).

    >>> certificate_covers(["*.example.com"], "a.example.com"), certificate_covers(["*.example.com"], "a.b.example.com")
    (True, False)
    """
    for raw in names:
        name = raw.lower().removesuffix(".")
        if name == host:
            return True
        if is_address(host):
            continue
        label, _, rest = host.partition(".")
        if name.startswith("*.") and label and rest.count(".") >= 1 and name[2:] == rest:
            return True
    return False


def may_be_asked(address: str) -> bool:
    """Whether a probe may connect to an address: only what everybody can reach, never an inner or special one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        # Addresses that carry an IPv4 address are judged by it: 64:ff9b::/96 and 2002::/16 would lead inside as well.
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
        if inner is not None:
            return may_be_asked(str(inner))
    return found.is_global and not found.is_multicast and not found.is_reserved


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def dmarc_of(records: Iterable[str]) -> str:
    """The policy in the TXT records of `_dmarc.<domain>` (RFC 7489, 6.6.3); `missing` without exactly one record."""
    found = [each for each in records if each.lower().replace(" ", "").startswith("v=dmarc1")]
    if len(found) != 1:
        return "missing"
    tags = dict(part.strip().partition("=")[::2] for part in found[0].lower().split(";") if "=" in part)
    policy = {name.strip(): value.strip() for name, value in tags.items()}.get("p", "")
    return policy if policy in ("none", "quarantine", "reject") else "missing"


def spf_of(records: Iterable[str]) -> bool:
    """Whether the TXT records of a domain have an SPF record (RFC 7208, 4.5), just one."""
    return sum(each.lower() == "v=spf1" or each.lower().startswith("v=spf1 ") for each in records) == 1


def registered_of(answer: bytes) -> str | None:
    """The day of registration in an RDAP answer (RFC 9083, 4.5); None when it says none or is no RDAP answer."""
    try:
        content: Any = orjson.loads(answer)
        for event in content["events"]:
            if event["eventAction"] == "registration":
                day = str(event["eventDate"])[:10]
                year, month, date_ = day.split("-")
                if len(year) == 4 and 1 <= int(month) <= 12 and 1 <= int(date_) <= 31:
                    return day
    except (ValueError, KeyError, TypeError):
        pass
    return None


def rdap_server(bootstrap: bytes, domain: str) -> str | None:
    """The RDAP service for a domain, out of IANA's bootstrap file (RFC 9224): the longest entry that holds it."""
    try:
        services: Any = orjson.loads(bootstrap)["services"]
        found = [
            (str(entry), str(url))
            for entries, urls in services
            for entry in entries
            for url in urls
            if (domain == entry or domain.endswith(f".{entry}")) and str(url).startswith("https://")
        ]
    except (ValueError, KeyError, TypeError):
        return None
    return max(found, key=lambda each: len(each[0]))[1] if found else None
