"""What is configured, as the portal shows it: apps, policies, and whether the files are valid."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from casb.config import Configuration, Draft, version_with
from casb.control.discovery_policies import discovery_policies
from casb.control.snapshot import Known, beside_policies, known_to
from casb.discovery.policies import DiscoveryPolicy
from casb.errors import CasbError, Problems, Where
from casb.inspection.info_types import custom
from casb.model.app import App
from casb.policy.compile import action_of
from casb.policy.loader import LoadedPolicy, load
from casb.policy.rollout import told
from casb.ports import Clock
from casb.store import in_force, withdrawals
from casb.store.folder import Fingerprint, fingerprint, load_draft


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyView:
    """One policy as a line of the portal. `action` and `severity` are words, `kind` is access or session."""

    id: str
    name: str
    kind: str
    action: str
    severity: str
    file: str
    line: int
    enabled: bool = True
    apps: tuple[str, ...] = ()
    stage: str = "enforce"

    @property
    def afterwards(self) -> bool:
        """Whether its matches are in the alerts, and not in the records of activities."""
        return self.kind in ("activity", "discovery")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """One file of the configuration folder and what is wrong with it."""

    name: str
    errors: tuple[CasbError, ...] = ()

    @property
    def valid(self) -> bool:
        return not self.errors


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The configuration folder as it is on the disk now. `version` is None when it is not valid as a whole."""

    version: str | None
    apps: tuple[App, ...]
    policies: tuple[PolicyView, ...]
    files: tuple[FileView, ...]
    read: datetime
    loaded: tuple[LoadedPolicy, ...] = ()  # every policy that can be used, as written
    known: Known | None = None  # what policies may name; None while the folder cannot be read

    @property
    def errors(self) -> tuple[CasbError, ...]:
        return tuple(error for file in self.files for error in file.errors)


class Deployment(Protocol):
    """Where the portal learns what is configured."""

    def view(self) -> View:
        """The present state; cheap to ask for again and again. Never raises for what is written in the files."""


class FolderDeployment:
    """A configuration folder, read again when a file of it has changed.

    `first` is what it was at the start. While a later edit is wrong the apps stay as they were: with the PAC file made
    from them, an app that is missing for a moment would be reached around the proxy.
    """

    def __init__(self, folder: Path | str, first: Configuration, clock: Clock) -> None:
        self._folder = Path(folder)
        self._clock = clock
        self._apps = first.apps
        self._lock = threading.Lock()
        self._data = Path(first.settings.data)
        self._seen: object = None
        self._view: View | None = None

    def view(self) -> View:
        with self._lock:
            listing = fingerprint(self._folder)
            now = listing, in_force.stamp(self._data / withdrawals.FILE)
            if self._view is None or now != self._seen:
                self._view, self._seen = self._read(listing), now
            return self._view

    def _read(self, listing: Fingerprint) -> View:
        try:
            draft = load_draft(self._folder)
        except CasbError as error:
            file = FileView(name=str(self._folder), errors=(error,))
            return View(version=None, apps=self._apps, policies=(), files=(file,), read=self._clock())
        known, wrong = _known(draft)
        policies, errors = _policies(draft, known)
        errors = [*draft.errors, *wrong, *errors, *beside_policies(draft)]
        watching = discovery_policies(draft.policy_texts, policies, errors)
        if not draft.errors:
            self._apps = draft.apps
        withdrawn = withdrawals.digests(self._data)
        names = [name for name, *_ in listing if not name.startswith("tests/")]
        return View(
            version=None if errors else version_with(draft.version, withdrawn),
            apps=self._apps,
            policies=tuple(sorted([*map(_line, policies), *map(_watching, watching)], key=lambda line: line.id)),
            files=_files(self._folder, names, errors),
            read=self._clock(),
            loaded=tuple(policies),
            known=known,
        )


def _known(draft: Draft) -> tuple[Known, list[CasbError]]:
    """What policies may name, and what is wrong with the organisation's own information types. Lists of exact data
    match are not looked into: their key is a secret."""
    try:
        return known_to(draft, custom.load(draft.info_type_texts, label=draft.label)), []
    except Problems as problems:
        return known_to(draft, None), problems.errors


def _policies(draft: Draft, known: Known) -> tuple[list[LoadedPolicy], list[CasbError]]:
    """The policies of every file that can be used, and what is wrong with the others."""
    try:
        return list(load(draft.policy_texts, **known).policies), []
    except Problems as problems:
        errors = problems.errors
    found: list[LoadedPolicy] = []
    for name, text in draft.policy_texts.items():
        try:
            found += load({name: text}, **known).policies
        except Problems:
            continue  # its errors are among those of the whole
    return found, errors


def _watching(policy: DiscoveryPolicy) -> PolicyView:
    return PolicyView(
        id=policy.id,
        name=policy.name,
        kind="discovery",
        action=", ".join(policy.tags) or "alert",
        severity=policy.severity.value,
        file=policy.where.file,
        line=policy.where.line,
        enabled=policy.enabled,
    )


def _line(loaded: LoadedPolicy) -> PolicyView:
    document = loaded.document
    action = action_of(document).word
    return PolicyView(
        id=document.id,
        name=document.name or document.id,
        kind=document.kind.value,
        action=action,
        severity=document.severity.value,
        file=loaded.origins.policy.file,
        line=loaded.origins.policy.line,
        enabled=document.enabled,
        apps=loaded.apps,
        stage=told(document.rollout),
    )


def _files(folder: Path, names: Iterable[str], errors: Iterable[CasbError]) -> tuple[FileView, ...]:
    """Every file with its errors; an error of no file in the list stands under the name that it carries."""
    by_file: dict[str, list[CasbError]] = {f"{folder.as_posix()}/{name}": [] for name in names}
    for error in errors:
        where = error.where or Where(file=str(folder))
        by_file.setdefault(where.file, []).append(error)
    return tuple(FileView(name=name, errors=tuple(found)) for name, found in by_file.items())
