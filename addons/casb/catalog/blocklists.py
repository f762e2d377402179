"""Which hosts others are to block for us: block scripts of appliances, DNS zones, host and domain lists, feeds.

A list never holds a protected host, nor one that belongs to an app that is not blocked. Formats differ in what they can
say: where one cannot leave out a name below a blocked domain, the domain's names below are left out as a whole, and
the list says so. Hosts are checked once more before they are written, so nothing breaks out of a vendor's command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from casb.catalog.domains import Layer, parents
from casb.catalog.inventory import Inventory
from casb.errors import CatalogError
from casb.hostname import is_address
from casb.model.app import AppTag
from casb.yamlfile import did_you_mean

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})+\Z")
_GROUP = 300
"""Members of one FortiGate address group; small models take no more than 600."""
RPZ_ORIGIN = "rpz.casb"
_OTHERS = "names below it belong to apps that are not blocked, or are protected; this format cannot leave them out"
_NO_WILDCARD = "this format has no wildcards; its domain and www stand for it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A blocked domain: the host itself (`exact`), all names below it (`below`), and what below must stay open.

    `keep` are patterns; the host itself is among them when it is somebody else's.
    """

    host: str
    app: str
    exact: bool = False
    below: bool = False
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A pattern that is not on a list, and why."""

    pattern: str
    app: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """What is to be blocked, by host; the same for every format."""

    domains: tuple[Domain, ...]
    left_out: tuple[LeftOut, ...] = ()
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A list in one format. `left_out` is what the format cannot say, besides what `Blocked` left out."""

    text: str
    left_out: tuple[LeftOut, ...] = ()


def blocked(inventory: Inventory) -> Blocked:
    """The unsanctioned apps' hosts. Apps that are blocked for some groups only are not on lists that block for all."""
    protected: Layer[bool] = Layer((pattern, True) for pattern in dict.fromkeys(inventory.protected))
    found: dict[str, Domain] = {}
    left_out: list[LeftOut] = []
    mine: set[str] = set()
    for entry in inventory:
        if entry.tag is not AppTag.UNSANCTIONED:
            continue
        for pattern in sorted(entry.app.domains):
            owner = inventory.index.owns(pattern)
            if owner is not None and owner.owner != entry.id:
                continue
            why = _reason(pattern, protected, scoped=entry.profile is not None)
            if why:
                left_out.append(LeftOut(pattern, entry.id, why))
                continue
            mine.add(pattern)
            host = pattern.removeprefix("*.")
            before = found.get(host) or Domain(host=host, app=entry.id)
            found[host] = Domain(
                host=host, app=before.app, exact=before.exact or host == pattern, below=before.below or host != pattern
            )
    keep = _keep(found, mine, inventory)
    domains = tuple(
        Domain(host=each.host, app=each.app, exact=each.exact, below=each.below, keep=tuple(sorted(keep.get(host, ()))))
        for host, each in sorted(found.items())
    )
    return Blocked(domains=domains, left_out=tuple(left_out), version=inventory.version)


def _reason(pattern: str, protected: Layer[bool], *, scoped: bool) -> str:
    host = pattern.removeprefix("*.")
    if scoped:
        return "blocked for some groups only"
    if "/" in pattern:
        return "has a path: hosts are blocked as a whole"
    if is_address(host) or not _HOST.match(host):
        return "is no host name"
    above = protected.covering(pattern) or protected.owns(pattern)
    return "protected" if above is not None else ""


def _keep(found: Mapping[str, Domain], mine: set[str], inventory: Inventory) -> dict[str, set[str]]:
    """The patterns below (and at) blocked domains that are others' or protected."""
    keep: dict[str, set[str]] = {}
    others = (match.pattern for layer in inventory.index.layers for match in layer.patterns())
    for pattern in (*others, *inventory.protected):
        host = pattern.removeprefix("*.")
        if pattern in mine or "/" in pattern or not _HOST.match(host):
            continue
        if host in found and host == pattern and not found[host].exact:
            keep.setdefault(host, set()).add(pattern)
        for parent in parents(host):
            if parent in found:
                keep.setdefault(parent, set()).add(pattern)
    return keep


# ---------------------------------------------------------------- appliances


def _blue_coat(domains: Iterable[Domain], script: _Lines) -> None:
    """ProxySG Content Policy Language. `url.domain` takes the names below along."""
    script.add("; Cloud apps that are not sanctioned", "<Proxy>")
    for each in domains:
        spared = [f"url.domain=!{name}" for name in dict.fromkeys(map(_bare, each.keep)) if name != each.host]
        if each.host in each.keep:
            spared.append(f"url.host.exact=!{each.host}")
        script.add(" ".join([f"url.domain={each.host}", *spared, "deny"]))


def _asa(domains: Iterable[Domain], script: _Lines) -> None:
    """FQDN network objects (ASA 8.4(2) and later), a group, and an access list to be bound to an interface."""
    script.add("! Cloud apps that are not sanctioned")
    names = list(_hosts(domains, script))
    for number, host in enumerate(names, 1):
        script.add(f"object network CASB-{number:05}", f" fqdn {host}")
    if names:
        script.add("object-group network CASB-UNSANCTIONED")
        script.add(*(f" network-object object CASB-{number:05}" for number in range(1, len(names) + 1)))
        script.add("access-list CASB-BLOCK extended deny ip any object-group CASB-UNSANCTIONED")


def _fortigate(domains: Iterable[Domain], script: _Lines) -> None:
    """FQDN addresses with wildcards (FortiOS 6.2.2 and later), groups, and a policy that denies."""
    listed = list(domains)
    names = [name for each in listed for name in _patterns(each)]
    spared = sorted({name for each in listed if each.below for name in each.keep if name != each.host})
    script.add("# Cloud apps that are not sanctioned")
    if not names:
        return
    script.add("config firewall address")
    for kind, hosts in (("casb", names), ("casb-keep", spared)):
        for number, name in enumerate(hosts, 1):
            script.add(
                f'    edit "{kind}-{number:05}"', "        set type fqdn", f'        set fqdn "{name}"', "    next"
            )
    script.add("end", "config firewall addrgrp")
    groups = []
    for start in range(0, len(names), _GROUP):
        members = " ".join(f'"casb-{number + 1:05}"' for number in range(start, min(start + _GROUP, len(names))))
        groups.append(f'"casb-unsanctioned-{start // _GROUP + 1}"')
        script.add(f"    edit {groups[-1]}", f"        set member {members}")
        if spared:
            excluded = " ".join(f'"casb-keep-{number + 1:05}"' for number in range(len(spared)))
            script.add("        set exclude enable", f"        set exclude-member {excluded}")
        script.add("    next")
    script.add(
        "end",
        "config firewall policy",
        "    edit 0",
        '        set name "casb-block-unsanctioned"',
        '        set srcintf "any"',
        '        set dstintf "any"',
        '        set srcaddr "all"',
        f"        set dstaddr {' '.join(groups)}",
        "        set action deny",
        '        set schedule "always"',
        '        set service "ALL"',
        "    next",
        "end",
    )


def _palo_alto(domains: Iterable[Domain], script: _Lines) -> None:
    """A custom URL category and a rule that denies it, at the top. The slash ends an entry, so nothing longer fits."""
    names = [name for each in domains for name in _sparing(each, script)]
    if not names:
        return
    script.add('set profiles custom-url-category CASB-Unsanctioned type "URL List"')
    script.add(*(f"set profiles custom-url-category CASB-Unsanctioned list {name}/" for name in names))
    rule = "set rulebase security rules CASB-Block-Unsanctioned"
    script.add(f"{rule} from any to any source any destination any application any service any")
    script.add(f"{rule} category CASB-Unsanctioned", f"{rule} action deny")
    script.add("move rulebase security rules CASB-Block-Unsanctioned top")


def _juniper_srx(domains: Iterable[Domain], script: _Lines) -> None:
    """DNS names in the global address book, a set, and a global policy that denies, before all others."""
    script.add("# Cloud apps that are not sanctioned")
    names = list(_hosts(domains, script))
    if not names:
        return
    book, policy = "set security address-book global", "set security policies global policy casb-block-unsanctioned"
    for number, host in enumerate(names, 1):
        script.add(f"{book} address casb-{number:05} dns-name {host}")
        script.add(f"{book} address-set casb-unsanctioned address casb-{number:05}")
    script.add(
        f"{policy} match source-address any",
        f"{policy} match destination-address casb-unsanctioned",
        f"{policy} match application any",
        f"{policy} then deny",
    )


def _websense(domains: Iterable[Domain], script: _Lines) -> None:
    """Content Gateway's filter.config: one rule a line."""
    for each in domains:
        if each.exact:
            script.add(f"dest_host={each.host} action=deny")
        if each.below and _spares_none(each, script):
            script.add(f"dest_domain={each.host} action=deny")


def _zscaler(domains: Iterable[Domain], script: _Lines) -> None:
    """Entries of a custom URL category; a leading dot takes the names below along."""
    for each in domains:
        if each.exact:
            script.add(each.host)
        if each.below and _spares_none(each, script):
            script.add(f".{each.host}")


# ---------------------------------------------------------------- for everybody


def _rpz(domains: Iterable[Domain], script: _Lines, serial: int) -> None:
    """A response policy zone: blocked names do not exist (`CNAME .`), spared ones pass (`rpz-passthru.`)."""
    script.add("$TTL 300", f"@ IN SOA localhost. hostmaster.localhost. {serial} 3600 600 86400 300")
    script.add("@ IN NS localhost.")
    listed = list(domains)
    rules: dict[str, str] = {}
    for each in listed:
        rules |= dict.fromkeys(_patterns(each), ".")
    for each in listed:
        if each.below:
            rules |= {name: "rpz-passthru." for name in each.keep if name != each.host}
    for name, answer in sorted(rules.items()):
        if len(name) + len(RPZ_ORIGIN) > 250:
            script.left_out.append(LeftOut(name, "", "is too long for a zone"))
        else:
            script.add(f"{name} IN CNAME {answer}")


def _hosts_file(domains: Iterable[Domain], script: _Lines) -> None:
    """Lines of /etc/hosts."""
    for host in _hosts(domains, script):
        script.add(f"0.0.0.0 {host}", f":: {host}")


def _domains(domains: Iterable[Domain], script: _Lines) -> None:
    """One pattern a line."""
    script.add(*(name for each in domains for name in _sparing(each, script)))


def _suffixes(domains: Iterable[Domain], script: _Lines) -> None:
    """One domain a line, for gateways that take the names below along."""
    script.add(*(each.host for each in domains if _spares_none(each, script)))


class _Lines:
    """A script in the making."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.left_out: list[LeftOut] = []

    def add(self, *lines: str) -> None:
        self.lines += lines


def _bare(pattern: str) -> str:
    return pattern.removeprefix("*.")


def _patterns(each: Domain) -> Iterator[str]:
    if each.exact:
        yield each.host
    if each.below:
        yield f"*.{each.host}"


def _spares_none(each: Domain, script: _Lines) -> bool:
    if each.keep:
        script.left_out.append(LeftOut(f"*.{each.host}", each.app, _OTHERS))
    return not each.keep


def _sparing(each: Domain, script: _Lines) -> Iterator[str]:
    """Its patterns, without the wildcard where that would take others along."""
    if each.exact:
        yield each.host
    if each.below and _spares_none(each, script):
        yield f"*.{each.host}"


def _hosts(domains: Iterable[Domain], script: _Lines) -> Iterator[str]:
    """Single names; a wildcard is stood for by its domain and `www`, where those are nobody else's."""
    listed = list(domains)
    names = {each.host for each in listed if each.exact}
    for each in listed:
        if each.below:
            script.left_out.append(LeftOut(f"*.{each.host}", each.app, _NO_WILDCARD))
            names |= {name for name in (each.host, f"www.{each.host}") if name not in each.keep and _HOST.match(name)}
    yield from sorted(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A kind of list. `number` is the reference product's, where it has one; `words` are other names for it."""

    name: str
    label: str
    number: int | None = None
    words: tuple[str, ...] = ()
    write: Callable[[Iterable[Domain], _Lines], None]
    poll: int = 0  # seconds between the looks that a gateway takes at its feed
    about: str = ""

    def file_name(self, day: date) -> str:
        """As the reference product names its files: `2026-03-01_CAS_Fortigate_block_script.txt`."""
        return f"{day.isoformat()}_CAS_{self.label}_block_script.txt"


SCRIPTS: tuple[Format, ...] = (
    Format(name="blue-coat", label="Bluecoat", number=102, words=("bluecoat", "bluecoat-syslog"), write=_blue_coat),
    Format(name="cisco-asa", label="Cisco_ASA", number=104, words=("asa", "cisco-asa-syslog"), write=_asa),
    Format(name="fortigate", label="Fortigate", number=108, words=("fortinet", "fortigate-syslog"), write=_fortigate),
    Format(name="palo-alto", label="Palo_Alto", number=112, words=("paloalto", "palo-alto-syslog"), write=_palo_alto),
    Format(name="juniper-srx", label="Juniper_SRX", number=129, words=("srx", "juniper-srx-sd"), write=_juniper_srx),
    Format(name="websense", label="Websense", number=135, words=("websense-v7-5", "forcepoint"), write=_websense),
    Format(name="zscaler", label="Zscaler", number=120, words=("zscaler-nss",), write=_zscaler),
)
"""Block scripts of appliances."""

PLAIN: tuple[Format, ...] = (
    Format(name="hosts", label="Hosts", write=_hosts_file),
    Format(name="domains", label="Domains", write=_domains),
)
"""Lists for everybody, besides `rpz`."""

FEEDS: tuple[Format, ...] = (
    Format(
        name="zscaler",
        label="Zscaler",
        poll=7200,
        write=_zscaler,
        about="Custom URL category; data source NSS, Zscaler QRadar LEEF over syslog UDP",
    ),
    Format(name="iboss", label="iboss", poll=600, write=_suffixes, about="Block list; data source iboss, syslog UDP"),
    Format(name="menlo", label="Menlo", poll=7200, write=_suffixes, about="Custom category; data source Menlo CEF"),
    Format(name="corrata", label="Corrata", poll=3600, write=_suffixes, about="Block list; data source Corrata, FTP"),
    Format(
        name="open-systems", label="Open_Systems", poll=3600, write=_suffixes, about="Secure web gateway block list"
    ),
)
"""Secure web gateways that fetch the list themselves."""

NAMES: tuple[str, ...] = (*(each.name for each in SCRIPTS), "rpz", *(each.name for each in PLAIN))
"""Every format of `write`."""


def find(text: str) -> str:
    """A format's name from a name, another product's name of it, or a number. Raises `CatalogError` C234."""
    word = text.strip().casefold().replace("_", "-").replace(" ", "-")
    for each in SCRIPTS:
        if word in (each.name, *each.words, str(each.number)):
            return each.name
    if word in NAMES:
        return word
    numbers = ", ".join(f"{each.number} {each.name}" for each in SCRIPTS)
    hint = did_you_mean(word, NAMES) or f"known: {numbers}, rpz, hosts, domains"
    raise CatalogError("C234", f"there is no block list format {text[:60]!r}", None, hint)


def write(name: str, of: Blocked) -> Script:
    """The list in a format of `NAMES`."""
    if name == "rpz":
        return _written(of, lambda domains, script: _rpz(domains, script, max(1, of.version)))
    return _written(of, next(each for each in (*SCRIPTS, *PLAIN) if each.name == name).write)


def feed(partner: Format, of: Blocked) -> Script:
    """The list as a gateway fetches it."""
    return _written(of, partner.write)


def file_name(name: str, day: date) -> str:
    """What a list is called when it is kept."""
    if name == "rpz":
        return f"{day.isoformat()}_CAS_RPZ_block_script.txt"
    return next(each for each in (*SCRIPTS, *PLAIN) if each.name == name).file_name(day)


def _written(of: Blocked, how: Callable[[Iterable[Domain], _Lines], None]) -> Script:
    made = _Lines()
    how(of.domains, made)
    text = "".join(f"{line}\n" for line in made.lines)
    return Script(text=text, left_out=(*of.left_out, *made.left_out))
