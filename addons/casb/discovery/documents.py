"""JSON that is not one record a line: lists, records wrapped in an object's list, records printed over several lines.

Each record comes out as a line of its own, with the number of the line that it began on. Other lines pass untouched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from casb.discovery import formats
from casb.discovery.lines import MAX_LINE
from casb.model.discovery import Skipped

MAX_LINES = 5_000  # of one record
BRACKET = "a bracket of a JSON list"
FURTHER = "a further line of a JSON record"
_LISTS = (
    "records",
    "value",
    "values",
    "events",
    "data",
    "logs",
    "results",
    "result",
    "items",
    "entries",
    "hits",
    "flow_logs",
)
_WRAPPED = re.compile(r'\{\s*"\w+"\s*:\s*(?:\[|\{\s*"\w+"\s*:\s*\[|"[^"]{0,80}"\s*,\s*"\w+"\s*:\s*\[|\d+\s*,)')

type Numbered = tuple[int, str] | Skipped


def unfolded(numbered: Iterator[Numbered]) -> Iterator[Numbered]:
    """The lines, JSON documents among them record by record."""
    held: _Held | None = None
    for each in numbered:
        if isinstance(each, Skipped):
            yield each
            continue
        number, text = each
        if held is not None:
            whole = held.more(number, text)
            if whole is None:
                continue
            held = None
            yield from whole
            continue
        first = text.lstrip()[:1]
        if first not in ("{", "[", "]"):
            yield each
        elif first == "{" and _opened(text):
            held = _Held(number, text)
        else:
            yield from _records(number, text, first)
    if held is not None:
        yield from held.given_up()


def _opened(text: str) -> bool:
    """True for the first line of a record that goes on: braces stay open and it is no record as it stands."""
    end = text.rstrip()[-1:]
    return (end in "{,[" or text.strip() == "{") and text.count("{") > text.count("}")


class _Held:
    """The lines of a record so far."""

    def __init__(self, number: int, text: str) -> None:
        self._lines = [(number, text)]
        self._size = len(text)
        self._open = text.count("{") - text.count("}")

    def more(self, number: int, text: str) -> list[Numbered] | None:
        """The outcome when the record ends with this line, or cannot be one; None while it goes on."""
        self._lines.append((number, text))
        self._size += len(text)
        self._open += text.count("{") - text.count("}")
        if self._open > 0 and self._size < MAX_LINE and len(self._lines) < MAX_LINES:
            return None
        if self._open > 0:
            return self.given_up()
        first = self._lines[0][0]
        whole = " ".join(line for _, line in self._lines).strip().rstrip(",")
        records = list(_records(first, whole, "{"))
        if len(records) == 1 and formats.json_object(whole) is None:
            return self.given_up()
        return [*records, *(Skipped(line=line, why=FURTHER) for line, _ in self._lines[1:])]

    def given_up(self) -> list[Numbered]:
        """The lines as they were."""
        return list(self._lines)


def _records(number: int, text: str, first: str) -> Iterator[Numbered]:
    if first == "{":
        value = formats.json_object(text) if _WRAPPED.match(text.lstrip()) else None
        inner = _inner(value) if value is not None else None
        if not inner:
            yield number, text
            return
        yield from ((number, formats.dumped(record)) for record in inner)
        return
    bare = text.strip().rstrip(",")
    if bare in ("[", "]", "[]"):
        yield Skipped(line=number, why=BRACKET)
        return
    if bare.startswith("[") and bare[1:].lstrip()[:1] == "{":
        try:
            value = orjson.loads(bare)
        except ValueError:
            rest = bare[1:].lstrip()  # A list whose first record stands on this line.
            yield number, rest
            return
        records = [record for record in value if isinstance(record, dict)]
        yield from ((number, formats.dumped(record)) for record in records)
        if not records:
            yield Skipped(line=number, why=BRACKET)
        return
    if first == "]" and len(bare) <= 2:
        yield Skipped(line=number, why=BRACKET)
        return
    yield number, text


def _inner(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of an object that is only their envelope."""
    for key, content in value.items():
        if str(key).lower() in _LISTS:
            if isinstance(content, dict):
                return _inner(content)
            if isinstance(content, list) and content and all(isinstance(record, dict) for record in content):
                return content
    return []
