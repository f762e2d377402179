"""The configuration folder on disk: read whole, watched cheaply, loaded to a `Configuration`.

Half-written files are not read: a file that changes while it is being read is read again, and after some attempts the
folder is refused as it is. The caller then keeps what it has.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from casb.config import Configuration, Draft, Outside, build, draft
from casb.errors import ConfigError, Where
from casb.store.in_force import Published
from casb.yamlfile import MAX_BYTES

MOST_FILES = 2000
_FOLDERS = ("", "apps", "exceptions", "info_types", "tests")
LISTS = ".digests"
MOST_LIST = 64 * 1024 * 1024
_ATTEMPTS = 10
_PAUSE = 0.02  # seconds
_LONGEST_SECRET = 64 * 1024

type Fingerprint = tuple[tuple[str, int, int, int, int], ...]
"""Changes when a file of the folder is added, removed, replaced or written. Compare it, nothing else."""


def read_folder(path: str | Path) -> dict[str, bytes]:
    """The YAML files of the folder and its lists of digests, by their path below it with forward slashes.

    Files longer than `yamlfile.MAX_BYTES` are cut one byte behind it, so that their reader refuses them. Raises
    `ConfigError` C121 when there is no such folder, C122 when it cannot be read as a whole.
    """
    root = Path(path)
    if not root.is_dir():
        raise ConfigError("C121", "there is no such folder", Where(file=str(path)), "give --config the folder's path")
    names = [name for name, _ in _listing(root)]
    if len(names) > MOST_FILES:
        raise ConfigError("C122", f"{len(names)} files, at most {MOST_FILES} are read", Where(file=str(path)))
    files = {name: _read_stable(root, name) for name in names}
    return {name: text for name, text in files.items() if text is not None}


def fingerprint(path: str | Path) -> Fingerprint:
    """The folder's state by file system facts alone; about ten microseconds a file. No folder gives ()."""
    return tuple(
        (name, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino)
        for name, facts in _listing(Path(path))
    )


def load(path: str | Path) -> Configuration:
    """The configuration in the folder, with its secrets. Raises `Problems` or `ConfigError` (see `read_folder`)."""
    return build(read_folder(path), _absolute(path), WORLD, label=_label(path))


def published(path: str | Path) -> Published:
    """The folder's texts as they are, to be put in force for all processes. Raises `ConfigError` as `read_folder`."""
    return Published(folder=_absolute(path), label=_label(path), files=read_folder(path))


def load_draft(path: str | Path, *, secrets: bool = False) -> Draft:
    """What can be read of the folder and all that is wrong with it, for `casb check`: secrets need not be there."""
    return draft(read_folder(path), _absolute(path), WORLD if secrets else CHECKING, label=_label(path))


def resolve_secret(reference: str) -> str:
    """What `env:NAME` or `file:PATH` refers to; `ValueError` with a sentence when it is not there."""
    kind, _, rest = reference.partition(":")
    if kind == "env":
        value = os.environ.get(rest, "")
        if not value:
            raise ValueError(f"the environment variable {rest} is not set")
        return value
    try:
        with open(rest, "rb") as file:
            raw = file.read(_LONGEST_SECRET + 1)
    except OSError as error:
        raise ValueError(f"{rest} cannot be read: {error.strerror}") from None
    if len(raw) > _LONGEST_SECRET:
        raise ValueError(f"{rest} is too long for a secret")
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{rest} is not UTF-8 text") from None
    if not text:
        raise ValueError(f"{rest} is empty")
    return text


def read_file(path: str) -> bytes:
    """The bytes of a small file that the configuration names; `ValueError` with a sentence."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES} bytes")
    return content


WORLD = Outside(secret=resolve_secret, is_file=os.path.isfile, read=read_file)
"""This machine, with its secrets."""

CHECKING = Outside(is_file=os.path.isfile, read=read_file)
"""This machine, without asking for secrets."""


def _absolute(path: str | Path) -> str:
    return Path(path).resolve().as_posix()


def _label(path: str | Path) -> str:
    label = Path(path).as_posix()
    return "" if label == "." else label


def _listing(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every YAML file that counts, with its facts, in the order of names. What vanishes meanwhile is left out."""
    for folder in _FOLDERS:
        found = []
        try:
            with os.scandir(root / folder if folder else root) as entries:
                for entry in entries:
                    wanted = (".yaml", ".yml", LISTS) if folder == "info_types" else (".yaml", ".yml")
                    if entry.name.endswith(wanted) and not entry.name.startswith("."):
                        found.append(entry)
        except OSError:
            continue
        for entry in sorted(found, key=lambda each: each.name):
            try:
                if entry.is_file():
                    yield (f"{folder}/{entry.name}" if folder else entry.name), entry.stat()
            except OSError:
                continue


def _read_stable(root: Path, name: str) -> bytes | None:
    """The file's bytes as they were at one moment; None when it has vanished."""
    path = root / name
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE)
        try:
            with open(path, "rb") as file:
                before = os.fstat(file.fileno())
                text = file.read((MOST_LIST if name.endswith(LISTS) else MAX_BYTES) + 1)
                after = os.fstat(file.fileno())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError("C122", f"the file cannot be read: {error.strerror}", Where(file=str(path))) from None
        same = (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
        if same and len(text) == min(after.st_size, MAX_BYTES + 1):
            return text
    raise ConfigError("C122", "the file is being written again and again", Where(file=str(path)))
