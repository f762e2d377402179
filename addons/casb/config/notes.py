"""Values out of one file's texts, and what is wrong with them, with places.

Every reader here gives a usable value whatever happens, so that reading goes on and all errors of a file are found.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field

from casb.config.units import byte_count, seconds
from casb.errors import CasbError, ConfigError, Where
from casb.settings import Secret
from casb.yamlfile import Marks, Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What the readers must ask the world. The defaults ask nobody: for `casb check` on a machine that is not it.

    `secret` gives what `env:NAME` or `file:PATH` (absolute) refers to, and raises `ValueError` with a sentence when
    it is not there. `is_file` tells whether there is a file at an absolute path, `read` gives the bytes of one and
    raises `ValueError` with a sentence.
    """

    secret: Callable[[str], str] = field(default=lambda reference: "")
    is_file: Callable[[str], bool] = field(default=lambda path: True)
    read: Callable[[str], bytes] = field(default=lambda path: b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """One file being read: its places, the folder its relative paths count from, and the errors so far."""

    marks: Marks
    folder: str
    outside: Outside
    errors: list[CasbError]

    def where(self, *path: str | int) -> Where:
        """The place of a value."""
        return self.marks.where(path)

    def wrong(self, code: str, message: str, path: Path, hint: str = "") -> None:
        """Something is wrong with the value at `path`."""
        self.errors.append(ConfigError(code, message, self.marks.where(path), hint))

    def parsed[T](self, code: str, parse: Callable[[str], T], text: str, path: Path, hint: str = "") -> T | None:
        """What `parse` makes of `text`; None, and an error, when it raises `ValueError`."""
        try:
            return parse(text)
        except ValueError as error:
            self.wrong(code, str(error), path, hint)
            return None

    def seconds(self, text: str | None, default: int, path: Path) -> int:
        """A duration of at least a second."""
        if text is None:
            return default
        number = self.parsed("C101", seconds, text, path)
        if number == 0:
            self.wrong("C120", "a duration must be longer than nothing", path)
        return number or default

    def byte_count(self, text: str | None, default: int, path: Path) -> int:
        """A size of at least a byte."""
        if text is None:
            return default
        number = self.parsed("C102", byte_count, text, path)
        if number == 0:
            self.wrong("C120", "a size must be more than nothing", path)
        return number or default

    def path(self, text: str) -> str:
        """A path made absolute; relative ones count from the configuration folder."""
        return posixpath.normpath(posixpath.join(self.folder, text))

    def file(self, text: str | None, path: Path) -> str | None:
        """The absolute path of a file that must be there."""
        if text is None:
            return None
        absolute = self.path(text)
        if not self.outside.is_file(absolute):
            self.wrong(
                "C115", f"there is no file {absolute}", path, "relative paths count from the configuration folder"
            )
        return absolute

    def content(self, text: str | None, path: Path) -> bytes | None:
        """The bytes of a file that must be there; None when it is not."""
        absolute = self.file(text, path)
        if absolute is None or not self.outside.is_file(absolute):
            return None
        return self.parsed("C115", self.outside.read, absolute, path)

    def secret(self, text: str | None, path: Path) -> Secret | None:
        """What `env:NAME` or `file:PATH` refers to."""
        if text is None:
            return None
        kind, colon, rest = text.partition(":")
        if not colon or kind not in ("env", "file") or not rest:
            # The text itself is not repeated: it might be the secret.
            hint = "write env:NAME or file:PATH, and change the secret if it was real"
            self.wrong("C103", f"'{path[-1]}' holds a secret itself", path, hint)
            return None
        reference = text if kind == "env" else f"file:{self.path(rest)}"
        value = self.parsed("C104", self.outside.secret, reference, path)
        return None if value is None else Secret(value)
