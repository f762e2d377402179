"""What can go wrong, in the words of the person who can mend it.

Knows the shape of an error and nothing of who raises it. Every error carries a stable code, one sentence, where it
happened and, wherever we can tell, how to mend it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A place in a file. `line` and `column` count from 1; 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}"


class CasbError(Exception):
    """The root of all our errors.

    `code` is stable (`P014`), `message` is one sentence, `where` is a place or None, `hint` says how to mend it.
    `str(error)` is the line that people read: `file:line:col: CODE message; hint`.
    """

    def __init__(self, code: str, message: str, where: Where | None = None, hint: str = "") -> None:
        super().__init__(code, message, where, hint)
        self.code = code
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{place}{self.code} {self.message}{hint}"


class PolicyError(CasbError):
    """A policy file, or a test beside it, cannot be used."""


class ConfigError(CasbError):
    """The deployment (`casb.yaml`, `apps/*.yaml`, `ranges.yaml`) cannot be used."""


class TokenError(CasbError):
    """A token, assertion or key set is not what it must be. Never carries the token itself."""


class ContentError(CasbError):
    """A body cannot be read or changed as asked."""


class StoreError(CasbError):
    """A store is away or refused. The caller fails closed or spools."""


class CatalogError(CasbError):
    """A change to the app catalog is refused; nothing was changed."""


class ConnectorError(CasbError):
    """Another service (identity provider, app API) did not do what we asked."""


class Problems(Exception):
    """All errors of a file or a folder at once, never only the first."""

    def __init__(self, errors: list[CasbError]) -> None:
        super().__init__(errors)
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)
