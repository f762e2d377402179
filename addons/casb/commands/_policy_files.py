"""Which policy and test files a path stands for, and their texts: the file system for `check`, `test` and `schema`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from casb.errors import CasbError, PolicyError, Where

NOT_POLICIES = frozenset({"casb.yaml", "ranges.yaml"})
MAX_READ = 2 * 1024 * 1024  # twice what is parsed: enough to say that a file is too large


@dataclass(slots=True)
class Found:
    """The files of some paths: name as shown to people, in order. `folders` are the configuration folders."""

    policies: dict[str, Path] = field(default_factory=dict)
    tests: dict[str, Path] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)
    errors: list[CasbError] = field(default_factory=list)


def find(paths: Iterable[str]) -> Found:
    """What the paths stand for: a folder is searched (its policies, `tests/`), a file is taken by its name."""
    found = Found()
    for given in paths:
        path = Path(given)
        if path.is_dir():
            found.folders.append(path)
            for each in sorted([*path.glob("*.yaml"), *path.glob("*.yml"), *path.glob("tests/**/*_test.yaml")]):
                _add(found, each)
        elif path.is_file():
            _add(found, path)
        else:
            where = Where(file=given)
            found.errors.append(PolicyError("P040", "the file cannot be opened: it is not there", where))
    return found


def _add(found: Found, path: Path) -> None:
    name = shown(path)
    if path.name.endswith(("_test.yaml", "_test.yml")):
        found.tests[name] = path
    elif path.name not in NOT_POLICIES and path.parent.name != "apps":
        found.policies[name] = path


def shown(path: Path) -> str:
    """A path as people and tools find it: relative to here when below here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def read(files: dict[str, Path], errors: list[CasbError]) -> dict[str, bytes]:
    """The texts; what cannot be opened is added to `errors`."""
    texts: dict[str, bytes] = {}
    for name, path in files.items():
        try:
            with path.open("rb") as stream:
                texts[name] = stream.read(MAX_READ)
        except OSError as error:
            why = (error.strerror or "unknown error").lower()
            errors.append(PolicyError("P040", f"the file cannot be opened: {why}", Where(file=name)))
    return texts
