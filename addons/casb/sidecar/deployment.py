"""What is configured, as the portal shows it: apps, policies, and whether the files are valid."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from casb.errors import CasbError
from casb.model.app import App


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

    @property
    def errors(self) -> tuple[CasbError, ...]:
        return tuple(error for file in self.files for error in file.errors)


class Deployment(Protocol):
    """Where the portal learns what is configured."""

    def view(self) -> View:
        """The present state; cheap to ask for again and again. Never raises for what is written in the files."""
