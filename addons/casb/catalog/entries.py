"""The files of the catalog, one a category, to apps; and everything that is wrong with them, with places.

Two readers of one form: `check` is strict and slow, for people who write the files; `compile_apps` trusts files that
were checked, and is what makes the compiled catalog.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from casb.catalog.domains import Layer, parents, parse_pattern
from casb.catalog.factors import CATEGORIES, FACTORS
from casb.catalog.known import SHIPPED_SOURCES, Fact, KnownApp, KnownApps, Source, Value, parse_value
from casb.catalog.suffixes import is_hosting_suffix, is_public_suffix
from casb.errors import CasbError, ConfigError, Where
from casb.model.network import parse_network
from casb.yamlfile import Marks, Path, did_you_mean, examine

_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_AS_OF = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12][0-9]|3[01]))?\Z")
_LONGEST_NAME = 120
_LONGEST_ABOUT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AppEntry:
    """One app as it is written."""

    id: str
    name: str
    vendor: str = ""
    about: str = ""
    mdca_id: int | None = None
    domains: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryFile:
    """One file."""

    as_of: str
    apps: tuple[AppEntry, ...] = ()


def category_of(file: str) -> str:
    """The category a file holds, by its name."""
    return file.rpartition("/")[2].removesuffix(".yaml")


def version_of(texts: Mapping[str, bytes]) -> str:
    """Sixteen hexadecimal digits that change with every byte of every file."""
    digest = hashlib.sha256()
    for name, text in sorted(texts.items()):
        for part in (name.encode(), text):
            digest.update(len(part).to_bytes(8))
            digest.update(part)
    return digest.hexdigest()[:16]


def check(texts: Mapping[str, bytes], label: str = "") -> list[CasbError]:
    """Everything that is wrong with the files, in the order of files and lines; nothing when they are sound.

    `texts` are by file name; `label` is put before the names in messages.
    """
    checker = _Checker()
    for name, text in sorted(texts.items()):
        file = f"{label}/{name}" if label else name
        value, marks, report = examine(CategoryFile, text, file, prefix="C", dates=True)
        errors = report.sorted()
        if value is not None and marks is not None:
            checker.file(value, marks, category_of(name), errors)
        checker.errors += errors
    checker.overlaps()
    order = {f"{label}/{name}" if label else name: at for at, name in enumerate(sorted(texts))}
    return sorted(checker.errors, key=lambda each: _place(each, order))


def _place(error: CasbError, order: Mapping[str, int]) -> tuple[int, int, int]:
    where = error.where or Where(file="")
    return order.get(where.file, -1), where.line, where.column


@dataclass(frozen=True, slots=True)
class _Claim:
    app: AppEntry
    pattern: str
    where: Where


@dataclass(slots=True)
class _Checker:
    errors: list[CasbError] = field(default_factory=list)
    ids: dict[str, Where] = field(default_factory=dict)
    names: dict[str, Where] = field(default_factory=dict)
    numbers: dict[int, Where] = field(default_factory=dict)
    claims: dict[str, _Claim] = field(default_factory=dict)
    networks: dict[str, Where] = field(default_factory=dict)

    def file(self, value: CategoryFile, marks: Marks, category: str, errors: list[CasbError]) -> None:
        page = _Page(marks, errors)
        if category not in CATEGORIES:
            page.wrong("C201", f"'{category}' is no category", (), did_you_mean(category, CATEGORIES))
        if not _AS_OF.match(value.as_of):
            page.wrong("C202", f"'{value.as_of}' is no month or date", ("as_of",), "write YYYY-MM or YYYY-MM-DD")
        for at, app in enumerate(value.apps):
            self.app(app, ("apps", at), category, page)

    def app(self, app: AppEntry, path: Path, category: str, page: _Page) -> None:
        if not _ID.match(app.id):
            page.wrong("C203", f"'{app.id}' is not an id", (*path, "id"), "lower-case letters, digits and hyphens")
        self._once(self.ids, app.id, f"the id '{app.id}'", (*path, "id"), page)
        self._once(self.names, app.name.casefold(), f"the name '{app.name}'", (*path, "name"), page)
        if app.mdca_id is not None:
            self._once(self.numbers, app.mdca_id, f"mdca_id {app.mdca_id}", (*path, "mdca_id"), page)
        for name, longest in (("name", _LONGEST_NAME), ("vendor", _LONGEST_NAME), ("about", _LONGEST_ABOUT)):
            text = getattr(app, name)
            if not text.strip() or len(text) > longest:
                page.wrong("C202", f"'{name}' is a text of 1 to {longest} characters", (*path, name))
        for at, word in enumerate(app.also):
            if word not in CATEGORIES:
                page.wrong("C201", f"'{word}' is no category", (*path, "also", at), did_you_mean(word, CATEGORIES))
            elif word == category:
                page.wrong("C201", f"'{word}' is the category of this file", (*path, "also", at))
        if not app.domains:
            page.wrong("C204", "an app needs a domain", (*path, "domains"))
        for at, text in enumerate(app.domains):
            self.domain(app, text, (*path, "domains", at), page)
        for at, text in enumerate(app.addresses):
            self.network(text, (*path, "addresses", at), page)
        self.facts(app, path, page)

    def _once[K](self, seen: dict[K, Where], key: K, what: str, path: Path, page: _Page) -> None:
        here = page.marks.where(path)
        first = seen.setdefault(key, here)
        if first is not here:
            page.wrong("C206", f"{what} is taken", path, f"the first is at {first}")

    def domain(self, app: AppEntry, text: str, path: Path, page: _Page) -> None:
        try:
            pattern = parse_pattern(text)
        except ValueError as error:
            page.wrong("C204", str(error), path, "write example.com, *.example.com or example.com/path")
            return
        name = pattern.partition("/")[0].removeprefix("*.")
        if is_public_suffix(name):
            page.wrong("C205", f"'{text}' is or covers a public suffix: everybody's names are below '{name}'", path)
            return
        claim = _Claim(app, pattern, page.marks.where(path))
        first = self.claims.setdefault(pattern, claim)
        if first is not claim:
            page.wrong(
                "C207", f"'{pattern}' belongs to '{first.app.id}' already", path, f"the first is at {first.where}"
            )

    def network(self, text: str, path: Path, page: _Page) -> None:
        try:
            network = parse_network(text)
        except ValueError as error:
            page.wrong("C204", str(error), path)
            return
        if not network.is_global or network.prefixlen < (8 if network.version == 4 else 16):
            page.wrong("C204", f"'{text}' is no public network of a size that one app can have", path)
        self._once(self.networks, str(network), f"the network {network}", path, page)

    def facts(self, app: AppEntry, path: Path, page: _Page) -> None:
        seen: dict[str, str] = {}
        for source, values in app.facts.items():
            if source not in SHIPPED_SOURCES:
                hint = did_you_mean(source, SHIPPED_SOURCES)
                page.wrong("C208", f"'{source}' is no kind of source", (*path, "facts", source), hint, key=True)
            for name, raw in values.items():
                place = (*path, "facts", source, name)
                factor = FACTORS.get(name)
                if factor is None:
                    page.wrong("C209", f"'{name}' is no factor", place, did_you_mean(name, FACTORS), key=True)
                    continue
                other = seen.setdefault(name, source)
                if other != source:
                    page.wrong("C211", f"'{name}' stands under '{other}' already", place, key=True)
                try:
                    parse_value(factor, raw)
                except ValueError as error:
                    hint = did_you_mean(raw, factor.values) if isinstance(raw, str) and factor.values else ""
                    page.wrong("C210", str(error), place, "" if hint.startswith("known") else hint)

    def overlaps(self) -> None:
        """What lies below a wildcard of the same app is superfluous; of another vendor's app, somebody is mistaken."""
        layer = Layer((pattern, claim) for pattern, claim in self.claims.items())
        for pattern, claim in self.claims.items():
            above = layer.covering(pattern)
            if above is None:
                continue
            other: _Claim = above.owner
            if other.app is claim.app:
                if "/" not in pattern:
                    message = f"'{pattern}' lies below '{above.pattern}' of the same app"
                    self.errors.append(ConfigError("C212", message, claim.where, "remove it"))
            elif other.app.vendor != claim.app.vendor and not _customer(pattern, above.pattern):
                message = f"'{pattern}' lies below '{above.pattern}' of '{other.app.id}', another vendor's"
                hint = f"narrow the wildcard at {other.where}, or give both the same vendor"
                self.errors.append(ConfigError("C212", message, claim.where, hint))


def _customer(pattern: str, above: str) -> bool:
    """Whether a name below a hosting company's wildcard is a customer's of that company: rightly another vendor's."""
    base = above.removeprefix("*.")
    name = pattern.partition("/")[0].removeprefix("*.")
    return any(is_hosting_suffix(each) for each in parents(name) if each == base or each.endswith(f".{base}"))


@dataclass(frozen=True, slots=True)
class _Page:
    marks: Marks
    errors: list[CasbError]

    def wrong(self, code: str, message: str, path: Path, hint: str = "", *, key: bool = False) -> None:
        self.errors.append(ConfigError(code, message, self.marks.where(path, key=key), hint))


# --- Without places, for files that were checked

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # Every scalar is its text: the factor knows what it must be.


def compile_apps(texts: Mapping[str, bytes]) -> KnownApps:
    """The apps of files that `check` found sound. Raises `ConfigError` C213 for files that were not checked."""
    by_id: dict[str, KnownApp] = {}
    for name, text in sorted(texts.items()):
        try:
            for app in _compiled(text, category_of(name)):
                by_id[app.id] = app
        except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError("C213", f"the file cannot be compiled ({error})", Where(file=name)) from None
    return KnownApps(version=version_of(texts), by_id=by_id)


def _compiled(text: bytes, category: str) -> Iterator[KnownApp]:
    document = yaml.load(text, Loader=_LOADER)  # noqa: S506 - the base loader makes texts, lists and mappings only
    as_of = document["as_of"]
    for entry in document.get("apps") or ():
        yield KnownApp(
            id=entry["id"],
            name=entry["name"],
            category=category,
            vendor=entry.get("vendor", ""),
            about=entry.get("about", ""),
            domains=tuple(map(parse_pattern, entry.get("domains", ()))),
            addresses=tuple(str(parse_network(each)) for each in entry.get("addresses", ())),
            also=tuple(entry.get("also", ())),
            mdca_id=int(entry["mdca_id"]) if entry.get("mdca_id") else None,
            facts={
                factor: Fact(value=_value(factor, raw), source=Source(source), as_of=as_of)
                for source, values in entry.get("facts", {}).items()
                for factor, raw in values.items()
            },
        )


def _value(factor: str, raw: Any) -> Value:
    return parse_value(FACTORS[factor], raw)
