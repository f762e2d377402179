"""Custom apps: an organisation's own line-of-business apps, and those the catalog does not know.

Checks what an admin wrote; all mistakes are told at once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from casb.catalog.domains import parse_pattern
from casb.catalog.factors import CATEGORIES, FACTORS
from casb.catalog.known import Fact, KnownApp, Origin, Source, parse_value
from casb.catalog.suffixes import is_public_suffix
from casb.errors import CasbError, CatalogError, Problems
from casb.model.network import parse_network
from casb.yamlfile import did_you_mean

PLATFORMS = ("azure", "aws", "gcp", "other")
"""Where a custom app can be hosted."""

FIELDS = (
    "name",
    "about",
    "vendor",
    "category",
    "domains",
    "addresses",
    "hosting_platform",
    "business_unit",
    "score",
    "facts",
)
"""What a custom app is made of."""

_LONGEST = 120
_LONGEST_ABOUT = 500
_MOST = 200
_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class Owner:
    """The app that owns something already, and by which pattern or network."""

    ident: str
    pattern: str
    custom: bool


def slug(name: str) -> str:
    """An id out of a name: `Größe & Co.` gives `grosse-co`; `app` when nothing is left.

    >>> slug("Adobe Sign")
    'adobe-sign'
    """
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].strip("-") or "app"


def is_id(text: str) -> bool:
    """Whether it can be an app's id."""
    return bool(_ID.match(text))


def read_custom(
    ident: str,
    values: Mapping[str, Any],
    owner: Callable[[str], Owner | None],
    *,
    by: str,
    at: str,
    take_over: bool = False,
) -> KnownApp:
    """The custom app that `values` (see `FIELDS`) describe. Raises `Problems` with every C224 and C225.

    `owner` gives the app that a domain or network overlaps with. With `take_over` the custom app takes precedence
    there over an app of the catalog, never over another custom app.
    """
    reader = _Reader(values, [])
    for name in values:
        if name not in FIELDS:
            reader.wrong("C224", f"'{name}' is no field of a custom app", did_you_mean(name, FIELDS))
    if not is_id(ident):
        reader.wrong("C224", f"'{ident}' is not an id", "use lower-case letters, digits and hyphens")
    name = reader.text("name", _LONGEST, needed=True)
    category = reader.text("category", _LONGEST, needed=True)
    if category and category not in CATEGORIES:
        reader.wrong("C224", f"'{category}' is no category", did_you_mean(category, CATEGORIES))
    platform = reader.text("hosting_platform", _LONGEST)
    if platform and platform not in PLATFORMS:
        reader.wrong("C224", f"'{platform}' is no hosting platform", did_you_mean(platform, PLATFORMS))
    domains = reader.patterns("domains")
    if not domains and not any(error.code == "C224" and "domain" in error.message for error in reader.errors):
        reader.wrong("C224", "a custom app needs a domain")
    addresses = reader.networks("addresses")
    for text in (*domains, *addresses):
        other = owner(text)
        if other is not None and other.ident != ident and not (take_over and not other.custom):
            hint = "choose another one" if other.custom else "choose another one, or let this app take precedence"
            reader.wrong("C225", f"'{text}' overlaps with {other.pattern} of '{other.ident}'", hint)
    score = values.get("score")
    if not isinstance(score, int) or isinstance(score, bool) or not 0 <= score <= 10:
        reader.wrong("C224", f"the score of a custom app is a whole number from 0 to 10, not {score!r}")
    facts = reader.facts(by, at)
    if reader.errors:
        raise Problems(reader.errors)
    return KnownApp(
        id=ident,
        name=name,
        category=category,
        vendor=reader.text("vendor", _LONGEST),
        about=reader.text("about", _LONGEST_ABOUT),
        domains=domains,
        addresses=addresses,
        origin=Origin.CUSTOM,
        business_unit=reader.text("business_unit", _LONGEST),
        hosting_platform=platform,
        fixed_score=score,
        facts=facts,
    )


def check_domains(texts: Iterable[str]) -> tuple[str, ...]:
    """Patterns in their one form. Raises `Problems` with a C224 for each that is none."""
    reader = _Reader({"domains": list(texts)}, [])
    patterns = reader.patterns("domains")
    if reader.errors:
        raise Problems(reader.errors)
    return patterns


def check_networks(texts: Iterable[str]) -> tuple[str, ...]:
    """Networks in their one form. Raises `Problems` with a C224 for each that is none."""
    reader = _Reader({"addresses": list(texts)}, [])
    networks = reader.networks("addresses")
    if reader.errors:
        raise Problems(reader.errors)
    return networks


class _Reader:
    def __init__(self, values: Mapping[str, Any], errors: list[CasbError]) -> None:
        self.values = values
        self.errors = errors

    def wrong(self, code: str, message: str, hint: str = "") -> None:
        self.errors.append(CatalogError(code, message, None, hint))

    def text(self, name: str, longest: int, *, needed: bool = False) -> str:
        raw = self.values.get(name)
        text = raw.strip() if isinstance(raw, str) else ""
        if needed and not text:
            self.wrong("C224", f"a custom app needs a {name}")
        if (raw is not None and not isinstance(raw, str)) or len(text) > longest or re.search(r"[\x00-\x1f\x7f]", text):
            self.wrong("C224", f"'{name}' is a text of at most {longest} characters on one line")
            return ""
        return text

    def items(self, name: str) -> list[str]:
        raw = self.values.get(name) or []
        if not isinstance(raw, list | tuple) or len(raw) > _MOST or not all(isinstance(each, str) for each in raw):
            self.wrong("C224", f"'{name}' is a list of at most {_MOST} texts")
            return []
        return list(raw)

    def patterns(self, name: str) -> tuple[str, ...]:
        found = []
        for text in self.items(name):
            try:
                pattern = parse_pattern(text.strip())
            except ValueError as error:
                self.wrong("C224", f"domain: {error}")
                continue
            if is_public_suffix(pattern.partition("/")[0].removeprefix("*.")):
                self.wrong("C224", f"domain: {text!r} is or covers a public suffix", "choose a more specific one")
                continue
            found.append(pattern)
        return tuple(dict.fromkeys(found))

    def networks(self, name: str) -> tuple[str, ...]:
        found = []
        for text in self.items(name):
            try:
                network = parse_network(text.strip())
            except ValueError as error:
                self.wrong("C224", f"address: {error}")
                continue
            if network.prefixlen < (8 if network.version == 4 else 16):
                self.wrong("C224", f"address: {text!r} is larger than one app can be")
                continue
            found.append(str(network))
        return tuple(dict.fromkeys(found))

    def facts(self, by: str, at: str) -> dict[str, Fact]:
        raw = self.values.get("facts") or {}
        if not isinstance(raw, Mapping):
            self.wrong("C224", "'facts' is a mapping of factors to values")
            return {}
        facts = {}
        for name, value in raw.items():
            if name not in FACTORS:
                self.wrong("C224", f"'{name}' is no factor", did_you_mean(str(name), FACTORS))
                continue
            try:
                facts[name] = Fact(value=parse_value(FACTORS[name], value), source=Source.OPERATOR, as_of=at, by=by)
            except ValueError as error:
                self.wrong("C224", str(error))
        return facts
