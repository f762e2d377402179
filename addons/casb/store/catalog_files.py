"""The shipped catalog on disk: its files, one a category, and the compiled form that is loaded instead of them.

Compiling takes seconds and loading what was compiled a fraction of one. The compiled file is named after the content
of all files, so it can never be of other ones; it lies in a folder of ours that nobody else may write to.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import orjson

from casb.catalog.entries import compile_apps, version_of
from casb.catalog.known import KnownApps, pack, unpack
from casb.errors import ConfigError, StoreError, Where
from casb.store.atomic import replace_private

SHIPPED = Path(__file__).resolve().parents[1] / "catalog" / "apps"
"""Where the shipped files are."""

_FORMAT = 2  # of the compiled file; raise it when `pack` changes
_KEPT = 3  # compiled files of this many versions stay
_MOST_BYTES = 256 * 1024 * 1024

logger = logging.getLogger(__name__)


def read_texts(folder: Path = SHIPPED) -> dict[str, bytes]:
    """The files of a catalog folder by name. Raises `ConfigError`: C121 no such folder, C122 an unreadable file."""
    if not folder.is_dir():
        raise ConfigError("C121", "there is no such folder", Where(file=str(folder)))
    texts = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            texts[path.name] = path.read_bytes()
        except OSError as error:
            raise ConfigError("C122", f"the file cannot be read: {error.strerror}", Where(file=str(path))) from None
    return texts


def cache_folder() -> Path:
    """Where compiled files are kept when no data folder is given: the user's own cache."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "casb"


def load_shipped(cache: Path | None = None, folder: Path = SHIPPED) -> KnownApps:
    """The shipped catalog. `cache` is a private folder for the compiled form; None: `cache_folder()`.

    A cache that cannot be written or read costs time and nothing else. Raises `ConfigError` as `read_texts` does, and
    C213 when the files are faulty.
    """
    texts = read_texts(folder)
    version = version_of(texts)
    place = cache if cache is not None else cache_folder()
    path = place / f"catalog-{_FORMAT}-{version}.json"
    known = _read(path, version)
    if known is None:
        known = compile_apps(texts)
        _write(path, known)
    return known


def _read(path: Path, version: str) -> KnownApps | None:
    """What was compiled; None when it is not there, not ours or damaged."""
    try:
        with open(path, "rb") as file:
            facts = os.fstat(file.fileno())
            # Somebody else's file could say anything of any app.
            if facts.st_uid != os.getuid() or facts.st_mode & 0o022 or facts.st_size > _MOST_BYTES:
                return None
            content = orjson.loads(file.read())
        return KnownApps(version=version, by_id=unpack(content))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        logger.warning("the compiled catalog is made anew reason=%s", type(error).__name__)
        return None


def _write(path: Path, known: KnownApps) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_private(path, orjson.dumps(pack(known.by_id.values())))
        compiled = sorted(path.parent.glob("catalog-*.json"), key=lambda each: each.stat().st_mtime, reverse=True)
        for old in compiled[_KEPT:]:
            old.unlink(missing_ok=True)
    except (OSError, StoreError) as error:
        logger.warning("the compiled catalog cannot be kept reason=%s", type(error).__name__)
