"""A walk as a file: what a person does in an application, one step a line.

steps:
  - goto: /board
  - click: "text=New card"
  - type: {into: "#title", text: Milk}
  - press: Enter
  - expect: Milk
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from casb.errors import ConfigError, Where
from casb.yamlfile import read


@dataclass(frozen=True, slots=True, kw_only=True)
class Typing:
    """Words into a field."""

    into: str
    """Selector of the field, as Playwright reads it."""
    text: str
    """What is typed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step; exactly one of its keys is there."""

    goto: str | None = None
    """Open a path of the application."""
    click: str | None = None
    """Click what a selector finds, as Playwright reads it: `text=Save`, `#save`, `role=button[name="Save"]`."""
    type: Typing | None = None
    """Type into a field."""
    press: str | None = None
    """Press a key: `Enter`, `Control+s`."""
    expect: str | None = None
    """A text must come to be on the page."""
    wait: float | None = None
    """Seconds to wait, at most 60."""

    @property
    def label(self) -> str:
        """As a line of the report."""
        for name in ("goto", "click", "press", "expect", "wait"):
            value = getattr(self, name)
            if value is not None:
                return f"{name} {value}"
        return f"type into {self.type.into}" if self.type else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsFile:
    """A walk."""

    steps: tuple[Step, ...]
    """In order."""


def read_steps(path: Path) -> tuple[Step, ...]:
    """The steps of a file. Raises `Problems` for what is not of their form, `ConfigError` L003 otherwise."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError("L003", f"{path} cannot be read ({error.strerror})") from None
    found = read(StepsFile, text, str(path), prefix="C")
    for number, step in enumerate(found.steps, 1):
        given = [
            name for name in ("goto", "click", "type", "press", "expect", "wait") if getattr(step, name) is not None
        ]
        where = Where(file=str(path))
        if len(given) != 1:
            raise ConfigError("L003", f"step {number} has {len(given)} actions", where, "one of them, exactly")
        if step.goto is not None and not step.goto.startswith("/"):
            raise ConfigError("L003", f"step {number}: {step.goto!r} is not a path", where, "start it with /")
        if step.wait is not None and not 0 <= step.wait <= 60:
            raise ConfigError("L003", f"step {number} waits longer than 60 seconds", where)
    return found.steps
