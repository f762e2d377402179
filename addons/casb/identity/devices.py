"""Devices by their certificate, by an inventory file and by a directory: values, merged with what a token proved.

Pure. A tag that nobody gives is absent, and a device without tags is unmanaged; nothing here takes a tag for granted
because something could not be asked.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import yaml

from casb.errors import ConfigError, Where
from casb.model.identity import Device, DeviceTag, User

MAX_DEVICES: Final = 1_000_000
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
RETRY: Final = 600.0  # seconds after which a check that came to nothing for want of an answer is made again


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateCheck:
    """What asking a browser for its certificate came to, for one login. Times are seconds since 1970.

    `tags` has the tags that follow from it, with their sources; `code` says why there are none.
    """

    at: float
    until: float
    fingerprint: str = ""
    device_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    ip: str = ""
    agent: str = ""  # digest of the user agent

    def counts(self, now: datetime) -> bool:
        """Whether what it said still holds."""
        return now.timestamp() < self.until


def check_json(check: CertificateCheck | None) -> dict[str, Any] | None:
    """As plain data; `CertificateCheck(**data)` is the reverse."""
    if check is None:
        return None
    return {name: getattr(check, name) for name in check.__dataclass_fields__} | {"tags": dict(check.tags)}


def is_check_due(check: CertificateCheck | None, ip: str, agent: str, now: datetime) -> bool:
    """Whether a browser must be asked: never asked, too long ago, or from another address or with another program."""
    return check is None or not check.counts(now) or (check.ip, check.agent) != (ip, agent)


def with_check(device: Device, check: CertificateCheck | None, now: datetime | None) -> Device:
    """The device with what its certificate adds, as long as that holds."""
    if check is None or not check.tags or (now is not None and not check.counts(now)):
        return device
    return with_tags(device, check.tags, check.device_id)


def with_tags(device: Device, tags: Mapping[str, str], device_id: str = "") -> Device:
    """The device with further tags and their sources; what was proven before keeps its source."""
    if not tags and (device.id or not device_id):
        return device
    return replace(
        device,
        tags=device.tags | {DeviceTag(each) for each in tags},
        id=device.id or device_id or None,
        sources={**tags, **device.sources},
    )


# --- the inventory


@dataclass(frozen=True, slots=True)
class Entry:
    """One device of an inventory. `owner`: only this person has it; '': anybody may."""

    tags: frozenset[DeviceTag]
    owner: str = ""


type Inventory = Mapping[str, Entry]


def read_inventory(data: bytes, file: str) -> Inventory:
    """Devices by id, lower case. Raises `ConfigError` I043 with the place.

    CSV has a head with `device`, `tags` (separated by spaces or `|`) and, if wanted, `owner`; YAML a mapping of ids to
    tags, or to `{tags, owner}`.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("I043", "the inventory is not UTF-8", Where(file=file)) from error
    rows = _yaml_rows(text, file) if file.endswith((".yaml", ".yml")) else _csv_rows(text, file)
    found: dict[str, Entry] = {}
    for line, name, tags, owner in rows:
        where = place(file, line)
        key = name.strip().lower()
        if not key or key in found:
            raise ConfigError("I043", f"the device '{name}' is there twice, or has no id", where)
        try:
            found[key] = Entry(frozenset(DeviceTag(each) for each in tags), owner.strip().lower())
        except ValueError as error:
            hint = f"known: {', '.join(DeviceTag)}"
            raise ConfigError("I043", f"the device '{name}' has an unknown tag", where, hint) from error
        if len(found) > MAX_DEVICES:
            raise ConfigError("I043", "the inventory is too long", where)
    return MappingProxyType(found)


type _Row = tuple[int, str, list[str], str]


def _csv_rows(text: str, file: str) -> list[_Row]:
    try:
        reader = csv.DictReader(io.StringIO(text), strict=True)
        head = {name.strip().lower() for name in reader.fieldnames or ()}
        if not {"device", "tags"} <= head:
            raise ConfigError("I043", "the head must name 'device' and 'tags'", place(file, 1))
        rows: list[_Row] = []
        for row in reader:
            if None in row or None in row.values():
                raise ConfigError("I043", "the row is not as long as the head", place(file, reader.line_num))
            fields = {name.strip().lower(): value for name, value in row.items()}
            tags = fields["tags"].replace("|", " ").split()
            rows.append((reader.line_num, fields["device"], tags, fields.get("owner", "")))
        return rows
    except csv.Error as error:
        raise ConfigError("I043", f"the CSV cannot be read: {error}", Where(file=file)) from error


def place(file: str, line: int) -> Where:
    """The beginning of a line; the file where the line is not known (0)."""
    return Where(file=file, line=line, column=1) if line else Where(file=file)


def load_yaml(text: str, file: str) -> Any:
    """Plain YAML; raises `ConfigError` I043."""
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = Where(file=file, line=mark.line + 1, column=mark.column + 1) if mark else Where(file=file)
        raise ConfigError("I043", "the YAML cannot be read", where) from error


def _yaml_rows(text: str, file: str) -> list[_Row]:
    document = load_yaml(text, file)
    if not isinstance(document, dict):
        raise ConfigError("I043", "the inventory must be a mapping of device ids", place(file, 1))
    rows: list[_Row] = []
    for name, value in document.items():
        tags = value.get("tags") if isinstance(value, dict) else value
        owner = value.get("owner", "") if isinstance(value, dict) else ""
        if not isinstance(tags, list) or not all(isinstance(each, str) for each in (name, owner, *tags)):
            raise ConfigError("I043", f"the device '{name}' has no list of tags", Where(file=file))
        rows.append((0, name, tags, owner))
    return rows


def inventory_tags(inventory: Inventory, device_id: str | None, user: User, file: str = "inventory") -> dict[str, str]:
    """The tags of a device, with their source; none for somebody who is not its owner."""
    entry = inventory.get((device_id or "").lower())
    if entry is None or (entry.owner and entry.owner not in (user.name, user.id)):
        return {}
    return {tag.value: f"inventory:{file}" for tag in sorted(entry.tags)}


# --- a directory


def directory_tags(device: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a device as Graph describes it (resource type device): `isCompliant`, `trustType` ServerAd."""
    if device.get("accountEnabled") is not True:
        return {}
    tags = {}
    if device.get("isCompliant") is True:
        tags[DeviceTag.COMPLIANT.value] = "graph:isCompliant"
    if device.get("trustType") == "ServerAd":
        tags[DeviceTag.HYBRID_JOINED.value] = "graph:trustType"
    return tags
