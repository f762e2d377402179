"""The organisation's feeds of hashes and YARA rules, read from where `malware` of casb.yaml says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from casb.errors import ConfigError, Where
from casb.inspection.malware import KnownBad, known_bad
from casb.settings import Malware

LARGEST = 256 * 1024 * 1024
"""Bytes of one file."""


def read(settings: Malware | None) -> KnownBad | None:
    """What is known now; None when nothing is named. Raises `Problems` and `ConfigError` (C163)."""
    if settings is None or not (settings.hashes or settings.yara):
        return None
    return known_bad(_texts(settings.hashes), _texts(settings.yara))


def stamp(settings: Malware | None) -> object:
    """Changes when one of the files is written, added or removed. Compare it, nothing else."""
    if settings is None:
        return None
    found = []
    for path in _files((*settings.hashes, *settings.yara)):
        try:
            facts = path.stat()
            found.append((str(path), facts.st_mtime_ns, facts.st_size, facts.st_ino))
        except OSError:
            found.append((str(path), 0, 0, 0))
    return tuple(found)


def _files(names: Iterable[str]) -> Iterator[Path]:
    for name in names:
        path = Path(name)
        if path.is_dir():
            yield from sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith("."))
        else:
            yield path


def _texts(names: Iterable[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name in names:
        try:
            for path in _files([name]):
                if path.stat().st_size > LARGEST:
                    raise ConfigError("C163", f"larger than {LARGEST} bytes", Where(file=str(path)))
                found[str(path)] = path.read_bytes()
        except OSError as error:
            raise ConfigError("C163", f"the file cannot be read: {error.strerror}", Where(file=name)) from None
    return found
