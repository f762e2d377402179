"""The organisation's own log parsers: `logparsers/*.yaml` of the configuration folder, beside the shipped ones."""

from __future__ import annotations

import logging
from pathlib import Path

from casb.discovery import PARSERS, Parsers
from casb.discovery.custom import Texts, with_custom
from casb.errors import Problems
from casb.yamlfile import MAX_BYTES

FOLDER = "logparsers"

logger = logging.getLogger(__name__)


def texts_of(folder: str | Path | None) -> Texts:
    """The texts of the folder's parsers by file name; none without a folder. A file that vanishes meanwhile is none."""
    found = []
    for path in _paths(folder):
        try:
            with path.open("rb") as file:
                found.append((path.as_posix(), file.read(MAX_BYTES + 1)))
        except OSError:
            continue
    return tuple(found)


def _paths(folder: str | Path | None) -> list[Path]:
    if folder is None:
        return []
    try:
        inside = sorted((Path(folder) / FOLDER).iterdir())
    except OSError:
        return []
    return [each for each in inside if each.suffix in (".yaml", ".yml") and not each.name.startswith(".")]


class OwnParsers:
    """The parsers of a folder as they are now; while one of them is broken, all as they were before."""

    def __init__(self, folder: str | Path | None) -> None:
        self._folder = folder
        self._texts: Texts = ()
        self._seen: object = None

    def texts(self) -> Texts:
        """Those that can be used: what a worker process makes its parsers of."""
        try:
            stamp = [(each.name, each.stat().st_mtime_ns, each.stat().st_size) for each in _paths(self._folder)]
        except OSError:
            return self._texts
        if stamp != self._seen:
            self._seen, fresh = stamp, texts_of(self._folder)
            try:
                with_custom(fresh)
            except Problems as problems:
                for each in problems.errors:
                    logger.error("log parsers refused, the last good ones stay: %s", each)
            else:
                self._texts = fresh
        return self._texts

    def parsers(self) -> Parsers:
        """With the shipped ones."""
        texts = self.texts()
        return with_custom(texts) if texts else PARSERS
