"""Tags: what is approved, what is not, and what may never be blocked.

Sanctioned, unsanctioned and monitored exclude each other; the last one set wins, whoever set it. Custom tags add up.
A tag blocks nothing by itself: what enforces reads `TagList`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from casb.catalog.domains import DomainIndex, Layer, bare_host, parse_pattern
from casb.catalog.known import CUSTOM_TAG
from casb.errors import CatalogError
from casb.model.app import AppTag

RESERVED_TAGS = frozenset({*(tag.value for tag in AppTag), CUSTOM_TAG, "unscored", "all"})
"""Names no custom tag may have."""

_TAG_NAME = re.compile(r"[^\x00-\x1f\x7f,;\"<>]{1,60}\Z")

ENTRA_HOSTS: tuple[str, ...] = (
    "login.microsoftonline.com",
    "login.microsoft.com",
    "login.windows.net",
    "sts.windows.net",
    "device.login.microsoftonline.com",
    "autologon.microsoftazuread-sso.com",
)
"""The hosts a browser meets while it signs in with Entra; protected where Entra is an identity provider."""

PROTECTED_SERVICES: tuple[str, ...] = (
    # Updates of operating systems and their protection.
    "*.windowsupdate.com",
    "*.update.microsoft.com",
    "update.microsoft.com",
    "*.delivery.mp.microsoft.com",
    "swscan.apple.com",
    "swcdn.apple.com",
    "gdmf.apple.com",
    "mesu.apple.com",
    # Device management: a blocked device could not be told that it is blocked no more.
    "manage.microsoft.com",
    "*.manage.microsoft.com",
    "enterpriseregistration.windows.net",
    "enterpriseenrollment.manage.microsoft.com",
    "*.push.apple.com",
    "deviceenrollment.apple.com",
    "mdmenrollment.apple.com",
    # Certificates: revocation lists and their like.
    "ocsp.digicert.com",
    "crl.microsoft.com",
)
"""Hosts that are protected unless an admin takes them off the list, besides those of the deployment itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Whom a tag concerns: members of an included device group (none: everybody) who are in no excluded one."""

    name: str
    include: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()

    def concerns(self, groups: Iterable[str]) -> bool:
        """Whether a device in `groups` is concerned.

        >>> Profile(name="p", include=frozenset({"sales"})).concerns(["it"])
        False
        """
        of = set(groups)
        return not of & self.exclude and (not self.include or bool(of & self.include))


@dataclass(frozen=True, slots=True, kw_only=True)
class TagState:
    """What was set for one app by hand, by policy or by the configuration."""

    tag: AppTag = AppTag.NONE
    custom: frozenset[str] = frozenset()
    profile: str | None = None
    by: str = ""
    at: str = ""  # RFC 3339


UNTAGGED = TagState()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedApp:
    """One app as enforcement needs it. Untagged ones are on the list where they own names below a tagged one's."""

    id: str
    name: str
    tag: AppTag
    domains: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    profile: Profile | None = None
    category: str = ""
    score: int | None = None
    alternatives: tuple[tuple[str, str], ...] = ()  # id and name of sanctioned apps of the same category


@dataclass(frozen=True, slots=True, kw_only=True)
class TagList:
    """Everything enforcement must know of tags. `protected` patterns are never blocked nor warned of, whatever else."""

    version: int = 0
    apps: tuple[TaggedApp, ...] = ()
    protected: tuple[str, ...] = ()

    def of(self, tag: AppTag) -> tuple[TaggedApp, ...]:
        """The apps with a tag."""
        return tuple(app for app in self.apps if app.tag is tag)


@dataclass(frozen=True, slots=True)
class TagIndex:
    """`TagList`, ready to be asked."""

    list: TagList
    _apps: DomainIndex[TaggedApp]
    _protected: Layer[bool]

    def match(self, host: str, path: str = "", address: str | None = None) -> TaggedApp | None:
        """The unsanctioned or monitored app that a destination belongs to; None: nothing to do with it."""
        name = bare_host(host)
        if name is not None and self._protected.host(name) is not None:
            return None
        found = self._apps.match(host, path, address)
        if found is None or found.owner.tag not in ENFORCED:
            return None
        return found.owner


BLOCKED_APP = "blocked-cloud-app"
"""The name under which attempts to reach an unsanctioned app raise alerts."""

NOT_BLOCKED = "unblocked-cloud-app"
"""The name under which traffic that did reach an unsanctioned app raises alerts."""

ENFORCED = frozenset({AppTag.UNSANCTIONED, AppTag.MONITORED})
"""The tags that something is done about."""


def index_of(tags: TagList) -> TagIndex:
    """The list with its look-up. The first app that claims a pattern keeps it."""
    claimed: dict[str, TaggedApp] = {}
    networks: dict[str, TaggedApp] = {}
    for app in tags.apps:
        for pattern in app.domains:
            claimed.setdefault(pattern, app)
        for network in app.addresses:
            networks.setdefault(network, app)
    return TagIndex(
        tags,
        DomainIndex(Layer(claimed.items(), networks.items())),
        Layer((pattern, True) for pattern in dict.fromkeys(tags.protected)),
    )


def carve_outs(
    tagged: Iterable[tuple[str, tuple[str, ...]]], owners: Iterable[tuple[str, str]]
) -> dict[str, list[str]]:
    """Names of other apps below the wildcards (and paths below the hosts) of the tagged ones, by their app.

    `tagged` are ids and patterns, `owners` are pairs of pattern and app id of the whole catalog. Without them a
    blocked `*.example.com` would take `docs.example.com` with it, which belongs to somebody else.
    """
    mine = {pattern: ident for ident, patterns in tagged for pattern in patterns}
    layer = Layer(mine.items())
    found: dict[str, list[str]] = {}
    for pattern, ident in owners:
        if pattern in mine:
            continue
        above = layer.covering(pattern)
        host, slash, _ = pattern.partition("/")
        if above is None and slash and not host.startswith("*."):
            above = layer.owns(host)
        if above is not None and above.owner != ident:
            found.setdefault(ident, []).append(pattern)
    return found


def check_tag_name(name: str) -> str:
    """A custom tag's name, spaces trimmed. Raises `CatalogError` C222."""
    name = " ".join(name.split())
    if name.casefold() in RESERVED_TAGS:
        raise CatalogError("C222", f"'{name}' is a tag of the system", hint="choose another name")
    if not _TAG_NAME.match(name):
        raise CatalogError("C222", "a tag's name has 1 to 60 characters, without commas, semicolons and quotes")
    return name


def protected_patterns(
    own: Iterable[str], added: Iterable[str], removed: Iterable[str], shipped: Iterable[str] = PROTECTED_SERVICES
) -> tuple[str, ...]:
    """The protected list: the deployment's own hosts (nobody can take them off), ours, the admins'."""
    gone = set(removed)
    return tuple(dict.fromkeys([*own, *(each for each in shipped if each not in gone), *added]))


def protected_apps(patterns: Iterable[str], index: DomainIndex[str]) -> dict[str, str]:
    """The apps that cannot be unsanctioned, each with the protected pattern that would be lost with it.

    `index` gives app ids for the whole catalog: what counts is whose a protected host really is. Below a protected
    wildcard everybody is protected.
    """
    found: dict[str, str] = {}
    wildcards: list[tuple[str, str]] = []
    for pattern in patterns:
        host = pattern.removeprefix("*.")
        if host != pattern:
            wildcards.append((host, pattern))
        owner = index.match(host if host == pattern else f"x.{host}")
        if owner is not None:
            found.setdefault(owner.owner, pattern)
    covering = Layer((f"*.{host}", pattern) for host, pattern in wildcards)
    for layer in index.layers:
        for match in layer.patterns():
            above = covering.covering(match.pattern) or covering.owns(match.pattern)
            if above is not None:
                found.setdefault(match.owner, above.owner)
    return found


def taglist_to_plain(tags: TagList) -> dict[str, Any]:
    """As JSON data."""
    return {
        "version": tags.version,
        "protected": list(tags.protected),
        "apps": [
            {
                "id": app.id,
                "name": app.name,
                "tag": app.tag.value,
                "domains": list(app.domains),
                "addresses": list(app.addresses),
                "profile": app.profile
                and {
                    "name": app.profile.name,
                    "include": sorted(app.profile.include),
                    "exclude": sorted(app.profile.exclude),
                },
                "category": app.category,
                "score": app.score,
                "alternatives": [list(each) for each in app.alternatives],
            }
            for app in tags.apps
        ],
    }


def taglist_from_plain(plain: Mapping[str, Any]) -> TagList:
    """What `taglist_to_plain` wrote; `KeyError`, `TypeError` or `ValueError` when it is something else."""
    return TagList(
        version=int(plain["version"]),
        protected=tuple(parse_pattern(each) for each in plain["protected"]),
        apps=tuple(
            TaggedApp(
                id=str(each["id"]),
                name=str(each["name"]),
                tag=AppTag(each["tag"]),
                domains=tuple(parse_pattern(pattern) for pattern in each["domains"]),
                addresses=tuple(each["addresses"]),
                profile=_profile(each["profile"]),
                category=str(each["category"]),
                score=each["score"],
                alternatives=tuple((str(ident), str(name)) for ident, name in each["alternatives"]),
            )
            for each in plain["apps"]
        ),
    )


def _profile(plain: Mapping[str, Any] | None) -> Profile | None:
    if plain is None:
        return None
    return Profile(name=plain["name"], include=frozenset(plain["include"]), exclude=frozenset(plain["exclude"]))
