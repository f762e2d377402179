"""Which instance of an app a request is for: its tenant, workspace or organisation, by what the admin says of them.

Told by the host, a header, a cookie, or a claim of the token that the request carries. A token is only read, not
verified: that is the app's business, which refuses what is forged. Reads nothing where an app has no instances.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from casb.model.app import App

LARGEST_TOKEN = 16 * 1024  # bytes

type Header = Callable[[str], str | None]
"""A request's header by its name in lower case."""


def instance_of(app: App, host: str, header: Header) -> str | None:
    """The name of the first instance of which everything said holds; None when there is none."""
    claims: Mapping[str, Any] | None = None
    cookies: Mapping[str, str] | None = None
    for each in app.instances:
        if each.hosts and not _fits(each.hosts, host):
            continue
        if not all(_fits(wanted, header(name)) for name, wanted in each.headers.items()):
            continue
        if each.cookies:
            cookies = cookies_of(header("cookie") or "") if cookies is None else cookies
            if not all(_fits(wanted, cookies.get(name)) for name, wanted in each.cookies.items()):
                continue
        if each.claims:
            claims = claims_of(header("authorization") or "") if claims is None else claims
            if not all(_claimed(wanted, claims.get(name)) for name, wanted in each.claims.items()):
                continue
        return each.name
    return None


def claims_of(authorization: str) -> Mapping[str, Any]:
    """The claims of a bearer token that is a JWT (RFC 7519), unverified; none when it is anything else."""
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or len(token) > LARGEST_TOKEN:
        return {}
    parts = token.strip().split(".")
    if len(parts) != 3:
        return {}
    try:
        payload = base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True)
        found = orjson.loads(payload)
    except (binascii.Error, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def cookies_of(text: str) -> Mapping[str, str]:
    """Cookies by name (RFC 6265 section 4.2); of a name told twice none, for the app may take the other."""
    found: dict[str, str] = {}
    twice = set[str]()
    for part in text.split(";"):
        name, equals, value = part.strip().partition("=")
        if equals:
            twice |= {name} & found.keys()
            found[name] = value.strip().strip('"')
    return {name: value for name, value in found.items() if name not in twice}


def _claimed(wanted: tuple[str, ...], value: object) -> bool:
    if isinstance(value, list):
        return any(_fits(wanted, str(each)) for each in value)
    return _fits(wanted, None if value is None else str(value))


def _fits(wanted: tuple[str, ...], value: str | None) -> bool:
    return value is not None and _pattern(wanted).match(value.strip().casefold()) is not None


@functools.lru_cache(512)
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(each.casefold().replace("[", "[[]")) for each in globs))
