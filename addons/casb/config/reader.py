"""The files of a configuration folder to one `Configuration`, or to every error in them.

Takes the files' bytes. Reads no file and no environment: what it must know of the world it asks `Outside`. Policies are
passed on as text; `casb.policy` reads them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from casb.config.apps import read_app
from casb.config.deployment import read_settings
from casb.config.notes import Notes, Outside
from casb.config.shape import AppsFile, AppShape, CasbFile, RangesFile
from casb.errors import CasbError, ConfigError, Problems, Where
from casb.hostname import domain_pattern
from casb.model.app import App
from casb.model.network import IpRange, Network, overlaps, parse_network
from casb.settings import Settings
from casb.yamlfile import Marks, Path, read_located

CASB = "casb.yaml"
RANGES = "ranges.yaml"
APPS = "apps/"
EXCEPTIONS = "exceptions/"
INFO_TYPES = "info_types/"
TESTS = "tests/"

_SEVERAL = re.compile(rb"^apps\s*:", re.MULTILINE)
_COUNTRY = re.compile(r"[A-Z]{2}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A folder that is sound so far: its policies are still text, by the name that errors carry."""

    settings: Settings
    apps: tuple[App, ...] = ()
    ranges: tuple[IpRange, ...] = ()
    policy_texts: Mapping[str, bytes] = field(default_factory=dict)
    info_type_texts: Mapping[str, bytes] = field(default_factory=dict)  # likewise still text; paths below the folder
    label: str = ""  # what is put before paths that people read
    version: str = ""  # changes with every byte of every file but tests
    exception_texts: Mapping[str, bytes] = field(default_factory=dict)
    withdrawn: tuple[str, ...] = ()  # digests of policies that are in shadow because of their budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What could be read of a folder, and all that is wrong with it.

    `settings` is None without a sound `casb.yaml`. `complete` tells that no app and no range is missing because its
    file could not be read, so that a policy naming an unknown one is wrong.
    """

    settings: Settings | None
    apps: tuple[App, ...]
    ranges: tuple[IpRange, ...]
    policy_texts: Mapping[str, bytes]
    version: str
    complete: bool
    exception_texts: Mapping[str, bytes]
    errors: tuple[CasbError, ...]
    info_type_texts: Mapping[str, bytes] = field(default_factory=dict)
    label: str = ""

    def finished(self) -> Configuration:
        """The configuration; raises `Problems` when anything is wrong."""
        if self.errors or self.settings is None:
            raise Problems(list(self.errors))
        return Configuration(
            settings=self.settings,
            apps=self.apps,
            ranges=self.ranges,
            policy_texts=self.policy_texts,
            exception_texts=self.exception_texts,
            info_type_texts=self.info_type_texts,
            label=self.label,
            version=self.version,
        )


def build(files: Mapping[str, bytes], folder: str, outside: Outside | None = None, *, label: str = "") -> Configuration:
    """The configuration that `files` are; raises `Problems` with the errors of all of them.

    `files` has paths relative to `folder` (an absolute path) with forward slashes. `label` is put before them in
    places that people read, e.g. `policies`.
    """
    return draft(files, folder, outside, label=label).finished()


def draft(files: Mapping[str, bytes], folder: str, outside: Outside | None = None, *, label: str = "") -> Draft:
    """As `build`, but gives what it could read together with the errors."""
    reader = _Reader(files, folder, outside or Outside(), label)
    settings = reader.settings()
    apps = reader.apps(settings)
    ranges = reader.ranges()
    return Draft(
        settings=settings,
        apps=apps,
        ranges=ranges,
        policy_texts={reader.label(name): text for name, text in sorted(files.items()) if is_policy(name)},
        exception_texts={reader.label(name): text for name, text in sorted(files.items()) if is_exception(name)},
        info_type_texts={name: text for name, text in sorted(files.items()) if name.startswith(INFO_TYPES)},
        label=label,
        version=version_of(files),
        complete=reader.unread <= {CASB},
        errors=tuple(reader.errors),
    )


def is_policy(name: str) -> bool:
    """Whether a file of the folder holds policies: any `*.yaml` at its top that is not one of ours."""
    return "/" not in name and name.endswith((".yaml", ".yml")) and name not in (CASB, RANGES)


def is_exception(name: str) -> bool:
    """Whether a file of the folder is an exception to a policy."""
    return name.startswith(EXCEPTIONS) and name.endswith((".yaml", ".yml"))


def version_with(version: str, withdrawn: Iterable[str]) -> str:
    """The version of a configuration of which some policies are withdrawn."""
    digests = sorted(withdrawn)
    if not digests:
        return version
    return hashlib.sha256(" ".join((version, *digests)).encode()).hexdigest()[:12]


def version_of(files: Mapping[str, bytes]) -> str:
    """Twelve hexadecimal digits that change with every byte of every file but tests."""
    digest = hashlib.sha256()
    for name, text in sorted(files.items()):
        if not name.startswith(TESTS):
            for part in (name.encode(), text):
                digest.update(len(part).to_bytes(8))
                digest.update(part)
    return digest.hexdigest()[:12]


@dataclass(slots=True)
class _Reader:
    files: Mapping[str, bytes]
    folder: str
    outside: Outside
    prefix: str
    errors: list[CasbError] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)  # files that gave no value

    def label(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def read[T](self, shape: type[T], name: str) -> tuple[T, Notes] | None:
        try:
            value, marks = read_located(shape, self.files[name], self.label(name), prefix="C")
        except Problems as problems:
            self.errors.extend(problems.errors)
            self.unread.add(name)
            return None
        return value, self.notes(marks)

    def notes(self, marks: Marks) -> Notes:
        return Notes(marks=marks, folder=self.folder, outside=self.outside, errors=self.errors)

    def settings(self) -> Settings | None:
        if CASB not in self.files:
            where = Where(file=self.label(CASB))
            self.errors.append(
                ConfigError("C121", "the deployment is missing", where, "at least: suffix: casb.example")
            )
            return None
        before = len(self.errors)
        found = self.read(CasbFile, CASB)
        settings = read_settings(*found) if found else None
        return settings if len(self.errors) == before else None

    def apps(self, settings: Settings | None) -> tuple[App, ...]:
        apps: list[App] = []
        ids: dict[str, Where] = {}
        owners: dict[str, tuple[App, Where]] = {}
        for name in sorted(self.files):
            if not name.startswith(APPS) or not name.endswith((".yaml", ".yml")):
                continue
            for shape, path, notes in self.shapes(name):
                app = read_app(shape, path, settings, notes)
                place = notes.where(*path, "id")
                first = ids.setdefault(app.id, place)
                if first is not place:
                    notes.wrong("C109", f"two apps have the id '{app.id}'", (*path, "id"), f"the first is at {first}")
                self.claim(app, path, notes, owners)
                apps.append(app)
        return tuple(apps)

    def shapes(self, name: str) -> list[tuple[AppShape, Path, Notes]]:
        """The apps of one file, which is one app or a list of them under `apps`."""
        if _SEVERAL.search(self.files[name]):
            several = self.read(AppsFile, name)
            return [(shape, ("apps", at), several[1]) for at, shape in enumerate(several[0].apps)] if several else []
        one = self.read(AppShape, name)
        return [(one[0], (), one[1])] if one else []

    def claim(self, app: App, path: Path, notes: Notes, owners: dict[str, tuple[App, Where]]) -> None:
        """No domain may belong to two apps. Below a wildcard another app may have a name: the longest match wins."""
        for at, text in enumerate(notes.marks.data((*path, "domains"))):
            try:
                domain = domain_pattern(text)
            except ValueError:
                continue  # Told already.
            place = notes.where(*path, "domains", at)
            owner, first = owners.setdefault(domain, (app, place))
            if owner is not app:
                message = f"'{domain}' belongs to '{owner.id}' already"
                notes.wrong("C113", message, (*path, "domains", at), f"the first is at {first}")

    def ranges(self) -> tuple[IpRange, ...]:
        found = self.read(RangesFile, RANGES) if RANGES in self.files else None
        if found is None:
            return ()
        shape, notes = found
        ranges = []
        for at, each in enumerate(shape.ranges):
            networks: list[Network] = []
            places: list[Where] = []
            for index, text in enumerate(each.ranges):
                network = notes.parsed("C117", parse_network, text, ("ranges", at, "ranges", index))
                if network is not None:
                    networks.append(network)
                    places.append(notes.where("ranges", at, "ranges", index))
            if each.country is not None and not _COUNTRY.match(each.country):
                hint = "two capital letters, as in ISO 3166-1"
                notes.wrong("C119", f"{each.country!r} is not a country", ("ranges", at, "country"), hint)
            ranges.append(
                IpRange(
                    name=each.name,
                    networks=tuple(networks),
                    category=each.category,
                    tags=frozenset(each.tags),
                    country=each.country,
                    isp=each.isp,
                    places=tuple(places),
                )
            )
        for clash in overlaps(ranges):
            first, second = clash.first, clash.second
            self.errors.append(
                ConfigError(
                    "C118",
                    f"{second.networks[clash.second_index]} of '{second.name}' overlaps "
                    f"{first.networks[clash.first_index]} of '{first.name}'",
                    second.places[clash.second_index],
                    f"the first is at {first.places[clash.first_index]}; an address can be in one range only",
                )
            )
        return tuple(ranges)
