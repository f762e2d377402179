"""The directory of people, read from the file that `discovery.directory` names: CSV, or YAML."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import yaml

from casb.discovery.people import People, Person, from_mapping, from_rows
from casb.errors import StoreError

MOST_BYTES = 256 * 1024 * 1024

_read: dict[str, tuple[tuple[int, int], People]] = {}


def people(path: str | None) -> People:
    """The people in the file, read again when it has changed; nobody without a file. Raises `StoreError` D003."""
    if path is None:
        return People()
    try:
        facts = Path(path).stat()
        stamp = (facts.st_mtime_ns, facts.st_size)
        known = _read.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        if facts.st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES} bytes")
        text = Path(path).read_text(encoding="utf-8-sig")
        found = People(_from_csv(text) if path.lower().endswith(".csv") else _from_yaml(text))
    except OSError as error:
        raise StoreError("D003", f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, csv.Error, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreError("D003", f"{path} is no directory of people: {reason}") from None
    _read[path] = (stamp, found)
    return found


def _from_csv(text: str) -> list[Person]:
    return from_rows(csv.DictReader(io.StringIO(text)))


def _from_yaml(text: str) -> list[Person]:
    content = yaml.safe_load(text) or {}
    if not isinstance(content, dict) or not all(isinstance(each, Mapping) for each in content.values()):
        raise ValueError("it is a mapping of log name to {upn, groups}")
    return from_mapping({str(name): entry for name, entry in content.items()})
