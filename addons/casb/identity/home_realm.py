"""At which identity provider a person signs in, where several could do it (home realm discovery).

Pure: what the app, the request and the browser say, in; the providers that fit, out. A hint chooses among providers
that are trusted alike, so it may come from anybody; an app that names its provider has no choice to offer.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from casb.settings import Provider

REALM_COOKIE: Final = "__Host-casb_r"
REMEMBERED: Final = 180 * 86400  # seconds that a browser keeps its choice

_DOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+", re.ASCII)
_NAME = re.compile(r"[^\s\x00-\x1f\x7f<>\"'\\]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What a request says of who wants to sign in. Each is '' or well formed; none is believed for anything else."""

    login: str = ""  # `login_hint`: a user name
    domain: str = ""  # `domain_hint` or `whr`: a mail domain; or what follows the `@` of the user name
    told: str = ""  # the domain as it was given, to be passed on; '' when it was concluded

    def __or__(self, other: Hints) -> Hints:
        return self if self.login or self.domain else other


def hints_of(query: str) -> Hints:
    """The hints in a query (OpenID Connect Core 3.1.2.1 `login_hint`; Entra `domain_hint`; WS-Federation `whr`).

    Malformed ones, and those given twice, are left out.
    """
    try:
        pairs = parse_qsl(query[:8192], max_num_fields=200)
    except ValueError:
        return Hints()
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    only = {name: values[0] for name, values in given.items() if len(values) == 1}
    login = only.get("login_hint", "")
    login = login if login.isprintable() and _NAME.fullmatch(login) else ""
    told = next((only[name].lower() for name in ("domain_hint", "whr") if name in only), "")
    told = told if _DOMAIN.fullmatch(told) else ""
    _, _, domain = login.partition("@") if login.count("@") == 1 else ("", "", "")
    domain = told or domain.lower()
    return Hints(login=login, domain=domain if _DOMAIN.fullmatch(domain) else "", told=told)


def fitting(
    providers: Mapping[str, Provider],
    *,
    wanted: str = "",
    chosen: str = "",
    hints: Hints | None = None,
    remembered: str = "",
    ask: bool = False,
) -> tuple[str, ...]:
    """The ids of the providers to sign in at: one to go to, or several to ask about. () only without providers.

    `wanted` is the app's provider, `chosen` what the person clicked just now, `remembered` what in this browser before,
    `ask` whether to ask at all. What names no provider counts as not said.
    """
    if wanted:
        return (wanted,)
    if chosen in providers:
        return (chosen,)
    if hints and hints.domain:
        named = tuple(each.id for each in providers.values() if hints.domain in {name.lower() for name in each.domains})
        if len(named) == 1 or (named and ask):
            return (remembered,) if remembered in named else named
    if not ask or len(providers) < 2:
        return tuple(providers)[:1]
    return (remembered,) if remembered in providers else tuple(providers)


def by_issuer(providers: Iterable[Provider], issuer: str) -> str:
    """The one provider that `iss` of a sign-in begun elsewhere means (OpenID Connect Core section 4); '' for none."""
    wanted = issuer.rstrip("/")
    found = [each.id for each in providers if each.authority and each.authority.rstrip("/") == wanted]
    if not found and (host := _host(wanted)):
        found = [each.id for each in providers if each.kind == "entra" and _host(each.authority) == host]
    return found[0] if len(found) == 1 else ""


def mark_of(provider_id: str) -> str:
    """What the cookie holds for a provider: like all cookies of ours it looks like an id and tells nothing."""
    digest = hashlib.sha256(f"casb home realm|{provider_id}".encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def remembered_by(providers: Iterable[str], mark: str | None) -> str:
    """The provider that a cookie stands for; '' when there is none such any more."""
    return next((each for each in providers if mark == mark_of(each)), "") if mark else ""


def _host(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return parts.netloc.lower() if parts.scheme == "https" else ""
